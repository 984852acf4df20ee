"""`vesselrt serve`: models over HTTP; `vesselrt triton`: for another server."""

from pathlib import Path
from typing import Annotated

import typer


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
