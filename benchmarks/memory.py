"""What a photograph costs the server in memory: the peak above rest, in bytes a pixel, by kind of file and of answer.

    python -m vesselrt.benchmarks.memory --json memory.json

A server in a process of its own is sent one photograph after another, each drawn to be hard: a retina crossed by
thousands of thin lines, and noise. Linux tells the peak of resident memory and sets it back when asked
(/proc/PID/clear_refs); the peaks of the server and of its decoder process are added. docs/operations.md and the table
in vesselrt.server.work.budget hold what was found.
"""

import http.client
import io
import json as json_module
import time
from dataclasses import dataclass
from itertools import product
from subprocess import Popen
from typing import Annotated, Any

import numpy as np
import typer
from PIL import Image as Pillow

from vesselrt.benchmarks.options import JsonFile, check_choices
from vesselrt.benchmarks.process_memory import list_family, read_memory, reset_peak
from vesselrt.benchmarks.reports import MeasurementReport, report_head
from vesselrt.benchmarks.serving import serve_module
from vesselrt.benchmarks.tables import growing_table
from vesselrt.runtime.arrays import Image
from vesselrt.runtime.errors import VesselrtError, as_command
from vesselrt.runtime.hardware import machine
from vesselrt.runtime.modelfile import find_model_file, read_manifest
from vesselrt.runtime.output.formats import FORMATS

SCHEMA = 2
"""Of the JSON. 1 had neither schema, date, versions nor model."""
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
ANSWERS = (*(form for form in FORMATS if form != "spread"), "v2, binary")  # the model has one member

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@dataclass(frozen=True)
class MemoryCost:
    """One request alone."""

    file: str
    answer: str
    sent_mb: float
    answered_mb: float
    bytes_a_pixel: float
    """The peak above rest, less the body."""


@dataclass(frozen=True, kw_only=True)
class MemoryReport(MeasurementReport):
    """All figures."""

    size: str
    """Width x height of the photographs."""
    costs: list[MemoryCost]


@app.command()
def memory_command(
    size: Annotated[str, typer.Option(metavar="WxH", help="Of the photographs.")] = "6000x4000",
    file: Annotated[list[str] | None, typer.Option(help=f"Repeat; default: {'; '.join(FILES)}.")] = None,
    answer: Annotated[list[str] | None, typer.Option(help="Repeat for more; default: all.")] = None,
    json: JsonFile = None,
) -> None:
    """Measure what a photograph costs the server in memory, by kind of file and of answer."""
    where, path = machine(), find_model_file(None)
    width, height = map(int, size.split("x"))
    bodies = {
        name: encode_photo(draw_hard_photo(width, height), *FILES[name])
        for name in check_choices("--file", file, FILES)
    }
    costs = []
    titles = ("file", "answer", "sent MB", "answered MB", "bytes a pixel")
    with (
        serve_module("vesselrt.cli", ["serve", "--precision=f32"]) as (port, process),
        growing_table(*titles, texts=2) as add_row,
    ):
        for (name, body), form in product(bodies.items(), check_choices("--answer", answer, ANSWERS)):
            measure_cost(port, process, name, form, body, width * height)  # what is allocated once is there afterwards
            cost = measure_cost(port, process, name, form, body, width * height)
            costs.append(cost)
            add_row(name, form, f"{cost.sent_mb:.1f}", f"{cost.answered_mb:.1f}", f"{cost.bytes_a_pixel:.1f}")
    head = report_head(SCHEMA, where, path, read_manifest(path), {})
    MemoryReport(**head, size=size, costs=costs).write(json)


def draw_hard_photo(width: int, height: int) -> Image:
    """(H, W, 3) uint8: a lit disc, thin dark lines each 24 px in two directions, and noise."""
    y, x = np.ogrid[:height, :width]
    picture = np.empty((height, width, 3), np.uint8)
    noise = np.random.default_rng(1).integers(0, 24, (height, width), np.uint8)
    line = ((x % 24) < 4) ^ ((y % 24) < 4)
    inside = (x - width / 2) ** 2 + (y - height / 2) ** 2 < (0.48 * min(width, height)) ** 2
    for channel, (lit, dark) in enumerate(((190, 150), (100, 40), (60, 40))):
        picture[:, :, channel] = np.where(inside, np.where(line, dark, lit) + noise, noise // 12)
    return picture


def encode_photo(picture: Image, form: str, mode: str, options: dict[str, Any]) -> bytes:
    """(H, W, 3) uint8 RGB by Pillow, in its format and mode."""
    file = io.BytesIO()
    Pillow.fromarray(picture).convert(mode).save(file, form, **options)
    return file.getvalue()


def measure_cost(port: int, process: "Popen[bytes]", file: str, answer: str, body: bytes, pixels: int) -> MemoryCost:
    """Sends one photograph of so many `pixels`, alone. Raises VesselrtError when it is refused."""
    family = list_family(process.pid)
    rest = sum(read_memory("VmRSS", pid) for pid in family)
    for pid in family:
        reset_peak(pid)
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=300)
    if answer.startswith("v2"):
        tensor = {"name": "file", "datatype": "BYTES", "shape": [1], "parameters": {"binary_data_size": len(body) + 4}}
        head = json_module.dumps({"inputs": [tensor], "parameters": {"binary_data_output": True}}).encode()
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
    peak = sum(read_memory("VmHWM", pid) for pid in family)
    return MemoryCost(file, answer, len(body) / 1e6, len(content) / 1e6, (peak - rest - len(body)) / pixels)


if __name__ == "__main__":
    with as_command():
        app()
