"""`vesselrt serve`: models over HTTP; `vesselrt triton`: for another server; `vesselrt receive`: over DICOM."""

import signal
import sys
from contextlib import closing
from pathlib import Path
from typing import Annotated

import typer

from vesselrt.cli.console import console
from vesselrt.cli.options import Device, Models, Precision, Threads, load_model


def serve(
    host: Annotated[str | None, typer.Option(help="Address to listen on; default: 127.0.0.1.")] = None,
    port: Annotated[
        int | None, typer.Option(min=0, max=65535, help="Port to listen on, 0: any free one; default: 8000.")
    ] = None,
    model: Annotated[
        list[str] | None,
        typer.Option(
            help="Built-in model, model file, engine file or https address, or NAME=MODEL; MODEL#sha256=... is the "
            "file of this hash. Repeat for more, under one NAME to average them; default: fundus."
        ),
    ] = None,
    device: Annotated[str | None, typer.Option(help="As for predict; default: auto.")] = None,
    precision: Annotated[str | None, typer.Option(help="auto, f32, bf16, fp16 or int8; default: auto.")] = None,
    tta: Annotated[str | None, typer.Option(help="As for predict; default: none.")] = None,
    threads: Annotated[int | None, typer.Option(help="Processor cores for each worker; default: its share.")] = None,
    workers: Annotated[int | None, typer.Option(help="Processes behind the one address; default: 1.")] = None,
) -> None:
    """Serve models over HTTP, with a page at /, and /predict and /health.

    Every other setting, and these too, come from VESSELRT_ variables or a file: docs/operations.md.
    """
    from vesselrt.server import ServerSettings
    from vesselrt.server import serve as serve_models

    given = {
        "host": host, "port": port, "models": model, "device": device, "precision": precision, "tta": tta,
        "threads": threads, "workers": workers,
    }  # fmt: skip
    serve_models(ServerSettings(**{name: value for name, value in given.items() if value is not None}))


def triton(
    model: Annotated[str, typer.Argument(help="Built-in model, model file, or engine file of TensorRT.")],
    out: Annotated[Path, typer.Option("-o", "--out", help="The model repository; others in it stay as they are.")],
    instances: Annotated[int, typer.Option(min=1, help="Photographs that are prepared at once.")] = 2,
) -> None:
    """Write a model repository for NVIDIA's Triton: a photograph in, its mask out."""
    from vesselrt.server.triton_repository import write_triton_repository

    for folder in write_triton_repository(model, out, instances):
        typer.echo(folder)


def receive(
    send: Annotated[str, typer.Option(help="Where results go: TITLE@HOST:PORT.")],
    queue: Annotated[Path, typer.Option(help="Folder of what waits; nothing in it is lost by a kill.")],
    format: Annotated[  # noqa: A002 - the option's name
        list[str] | None, typer.Option(help="dicom-seg, dicom-probability, dicom-sr; repeat. Default: dicom-seg.")
    ] = None,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on, 0: any free one.")] = 11112,
    title: Annotated[str, typer.Option(help="Title of this node.")] = "VESSELRT",
    caller: Annotated[list[str] | None, typer.Option(help="Title that may send; repeat. Default: any.")] = None,
    queue_mb: Annotated[int, typer.Option(min=1, help="Megabytes of photographs that may wait.")] = 4096,
    model: Models = None,
    device: Device = "auto",
    precision: Precision = "auto",
    threads: Threads = None,
) -> None:
    """Be a node of a DICOM network: photographs come in by C-STORE, their segmentations and reports go out."""
    from vesselrt.server.dicom.node import Node, NodeSettings, checked_formats
    from vesselrt.server.dicom.sender import Receiver
    from vesselrt.server.dicom.spool import Spool

    settings = NodeSettings(Receiver.from_text(send), checked_formats(format), host, port, title, tuple(caller or ()))
    with load_model(model, device, precision, threads) as segmenter, closing(Spool(queue, queue_mb * 10**6)) as spool:
        node = Node(segmenter, spool, settings)
        console.print(f"{segmenter.manifest.name} {segmenter.manifest.version} on {segmenter.info}")
        console.print(f"{title} listens on {host}, port {node.port}; results go to {send}")
        before = signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # what orchestrators send is no failure
        try:
            node.wait()
        finally:
            node.close()
            signal.signal(signal.SIGTERM, before)
