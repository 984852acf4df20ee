"""What a photograph costs the server in memory: the peak above rest, in bytes a pixel, by kind of file and of answer.

    python -m vesselrt.benchmarks.memory --json memory.json

A server in a process of its own is sent one photograph after another, each drawn to be hard: a retina crossed by
thousands of thin lines, and noise. Linux tells the peak of resident memory and sets it back when asked
(/proc/PID/clear_refs); the peaks of the server and of its decoder process are added. docs/operations.md and the table
in vesselrt.server.work.budget hold what was found.
"""

import http.client
import io
import json
import os
import socket
import subprocess
import sys
import time
from argparse import ArgumentParser
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image as Pillow

from vesselrt.runtime.arrays import Image
from vesselrt.runtime.errors import VesselrtError, as_command
from vesselrt.runtime.hardware import machine

FILES: dict[str, tuple[str, str, dict[str, Any]]] = {
    "jpeg": ("JPEG", "RGB", {"quality": 90}),
    "jpeg, progressive": ("JPEG", "RGB", {"quality": 90, "progressive": True}),
    "jpeg, cmyk": ("JPEG", "CMYK", {"quality": 90}),
    "png": ("PNG", "RGB", {"compress_level": 1}),
    "png, rgba": ("PNG", "RGBA", {"compress_level": 1}),
    "webp": ("WEBP", "RGB", {"quality": 90, "method": 0}),
    "webp, lossless": ("WEBP", "RGB", {"lossless": True, "quality": 0, "method": 0}),
    "tiff": ("TIFF", "RGB", {}),
    "bmp": ("BMP", "RGB", {}),
    "gif": ("GIF", "P", {}),
}
"""Kind of file → Pillow's format, mode and options."""
ANSWERS = ("mask", "probability", "overlay", "svg", "geojson", "json", "v2, binary")


@dataclass(frozen=True)
class Cost:
    """One request alone."""

    file: str
    answer: str
    sent_mb: float
    answered_mb: float
    bytes_a_pixel: float
    """The peak above rest, less the body."""


def main() -> None:
    """Prints a table; writes JSON where asked to."""
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("--size", default="6000x4000", help="width x height of the photographs")
    parser.add_argument("--files", nargs="+", choices=FILES, default=list(FILES))
    parser.add_argument("--answers", nargs="+", choices=ANSWERS, default=list(ANSWERS))
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    width, height = map(int, given.size.split("x"))
    found = []
    print("| file | answer | sent MB | answered MB | bytes a pixel |\n| --- | --- | ---: | ---: | ---: |")
    with _serving() as (port, process):
        bodies = {file: _encoded(draw(width, height), *FILES[file]) for file in given.files}
        for (file, body), answer in product(bodies.items(), given.answers):
            _measure(port, process, file, answer, body, width * height)  # what is allocated once is there afterwards
            cost = _measure(port, process, file, answer, body, width * height)
            found.append(cost)
            numbers = f"{cost.sent_mb:.1f} | {cost.answered_mb:.1f} | {cost.bytes_a_pixel:.1f}"
            print(f"| {file} | {answer} | {numbers} |", flush=True)
    if given.json:
        report = {"machine": machine(), "size": given.size, "costs": [asdict(cost) for cost in found]}
        given.json.write_text(json.dumps(report, indent=1), "utf-8")


def draw(width: int, height: int) -> Image:
    """(H, W, 3) uint8: a lit disc, thin dark lines each 24 px in two directions, and noise."""
    y, x = np.ogrid[:height, :width]
    picture = np.empty((height, width, 3), np.uint8)
    noise = np.random.default_rng(1).integers(0, 24, (height, width), np.uint8)
    line = ((x % 24) < 4) ^ ((y % 24) < 4)
    inside = (x - width / 2) ** 2 + (y - height / 2) ** 2 < (0.48 * min(width, height)) ** 2
    for channel, (lit, dark) in enumerate(((190, 150), (100, 40), (60, 40))):
        picture[:, :, channel] = np.where(inside, np.where(line, dark, lit) + noise, noise // 12)
    return picture


def _encoded(picture: Image, form: str, mode: str, options: dict[str, Any]) -> bytes:
    file = io.BytesIO()
    Pillow.fromarray(picture).convert(mode).save(file, form, **options)
    return file.getvalue()


def _measure(port: int, process: "subprocess.Popen[bytes]", file: str, answer: str, body: bytes, pixels: int) -> Cost:
    family = _family(process.pid)
    rest = sum(_memory(pid, "VmRSS") for pid in family)
    for pid in family:
        Path(f"/proc/{pid}/clear_refs").write_text("5")  # the peak begins anew
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=300)
    if answer.startswith("v2"):
        tensor = {"name": "file", "datatype": "BYTES", "shape": [1], "parameters": {"binary_data_size": len(body) + 4}}
        head = json.dumps({"inputs": [tensor], "parameters": {"binary_data_output": True}}).encode()
        sent = head + len(body).to_bytes(4, "little") + body
        connection.request("POST", "/v2/models/fundus/infer", sent, {"Inference-Header-Content-Length": str(len(head))})
    else:
        connection.request("POST", f"/predict?format={answer}", body, {"Content-Type": "image/*"})
    response = connection.getresponse()
    content = response.read()
    connection.close()
    if response.status != http.client.OK:
        raise VesselrtError(f"{file} as {answer}: {response.status} {content[:200]!r}")
    time.sleep(0.1)
    peak = sum(_memory(pid, "VmHWM") for pid in family)
    return Cost(file, answer, len(body) / 1e6, len(content) / 1e6, (peak - rest - len(body)) / pixels)


def _family(pid: int) -> list[int]:
    """A process and its children: the server and its decoder processes."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text("utf-8").split()
    return [pid, *map(int, children)]


def _memory(pid: int, name: str) -> int:
    """Bytes; VmRSS is now, VmHWM the peak."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) * 1024
    raise VesselrtError(f"/proc tells no {name}: measure on Linux.")


@contextmanager
def _serving() -> "Iterator[tuple[int, subprocess.Popen[bytes]]]":
    """The built-in model behind a port of its own, when it is ready."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "vesselrt.cli", "serve", f"--port={port}", "--precision=f32"]
    environment = {**os.environ, "VESSELRT_MAPS_BYTES": "0"}
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment) as process:
        try:
            while not _ready(port):
                if process.poll() is not None:
                    raise VesselrtError("the server does not start; the reason stands above.")
                time.sleep(0.2)
            yield port, process
        finally:
            process.terminate()


def _ready(port: int) -> bool:
    with suppress(OSError, http.client.HTTPException):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        connection.request("GET", "/health")
        return connection.getresponse().status == http.client.OK
    return False


if __name__ == "__main__":
    with as_command():
        main()
