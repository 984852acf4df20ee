"""Whether every photograph is read right or refused by name, what a file may cost, and how long decoding takes.

    python -m vesselrt.benchmarks.decoding [--heavy] [--data FOLDER]

- Cases: files with known pixels. `right`: those pixels; `refused`: by words that say what the file is; `misnamed`: by
  others; `warned`: right pixels, with a warning that is out of place; `wrong`: other pixels, or a whole file refused.
- Damage: 512 bytes overwritten at 20 places (random, zeros, ones), or cut at 20 lengths. `silent`: other pixels, and no
  word of it.
- BombCost: files made to cost much, each in a process of its own: seconds of the processor, memory beyond the base.
- Time: least of several, one after the other.
"""

import io
from collections import Counter, defaultdict
from collections.abc import Callable
from pathlib import Path
from time import perf_counter
from typing import Annotated

import typer
from PIL import Image as Pillow

from vesselrt.benchmarks.corpus.bomb import MAX_SECONDS
from vesselrt.benchmarks.corpus.bombs import bombs
from vesselrt.benchmarks.corpus.cost import measured_costs
from vesselrt.benchmarks.corpus.judge import cases, damages, decode, told_of
from vesselrt.benchmarks.photos import from_size
from vesselrt.benchmarks.tables import growing_table, render_table
from vesselrt.runtime.arrays import Image
from vesselrt.runtime.errors import as_command
from vesselrt.runtime.photo.decoding import decode_photo

VERDICTS = ("right", "refused", "misnamed", "warned", "wrong")
OUTCOMES = ("refused", "warned", "harmless", "silent")
SIZES = ("565x584", "999x960", "3504x2336")
_ROUNDS = 7

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def decoding_command(
    data: Annotated[
        Path | None, typer.Option(help="Folder of CHASE_DB1 and HRF; else the photographs are drawn.")
    ] = None,
    heavy: Annotated[bool, typer.Option(help="With files that take gigabytes.")] = False,
) -> None:
    """Prints the tables."""
    with as_command():
        _print_verdicts()
        _print_damage(decode_photo(from_size("500x480", data).data).pixels)
        _print_costs(heavy=heavy)
        _print_times(data)


def _print_verdicts() -> None:
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    faults = []
    for case in cases():
        verdict = case.judge(answer := decode(case.data))
        counts[case.kind][verdict] += 1
        if verdict not in {"right", "refused"}:
            faults.append(f"{verdict}: {case.kind}, {case.name}: {answer.refusal or answer.warnings}")
    total = sum(counts.values(), Counter[str]())
    rows = [
        (kind, count.total(), *(count[verdict] for verdict in VERDICTS))
        for kind, count in {**counts, "all": total}.items()
    ]
    typer.echo(render_table(("kind", "cases", *VERDICTS), rows))
    typer.echo("\n".join(faults))


def _print_damage(photo: Image) -> None:
    with growing_table("damage", "cases", *OUTCOMES, "told of") as add_row:
        for name, way, outcomes in damages(photo):
            count = Counter(outcomes)
            told = f"{100 * told_of(outcomes):.0f} %"
            add_row(f"{name}, {way}", len(outcomes), *(count[outcome] for outcome in OUTCOMES), told)


def _print_costs(*, heavy: bool) -> None:
    allowed = {(bomb.kind, bomb.name): bomb.memory for bomb in bombs()}
    with growing_table("bomb", "answer", "CPU s", "MB", "MB allowed", "") as add_row:
        for cost in measured_costs(heavy=heavy):
            most = allowed[cost.kind, cost.name]
            over = cost.seconds > MAX_SECONDS or cost.memory > most or cost.answer == "ended"
            figures = (f"{cost.seconds:.2f}", cost.memory // 2**20, most // 2**20)
            add_row(f"{cost.kind}, {cost.name}", cost.answer, *figures, "over" if over else "")


def _print_times(data: Path | None) -> None:
    photos = [decode_photo(from_size(size, data).data).pixels for size in SIZES]
    with growing_table("ms", *SIZES) as add_row:
        for name, write in _WRITERS.items():
            add_row(name, *(f"{_time_decoding(write(photo)):.1f}" for photo in photos))


def _time_decoding(data: bytes) -> float:
    seconds = []
    for _ in range(_ROUNDS):
        start = perf_counter()
        decode_photo(data)
        seconds.append(perf_counter() - start)
    return 1000 * min(seconds)


def _pillow_writer(form: str, **options: object) -> Callable[[Image], bytes]:
    def write(photo: Image) -> bytes:
        file = io.BytesIO()
        Pillow.fromarray(photo).save(file, form, **options)
        return file.getvalue()

    return write


_WRITERS = {
    "JPEG": _pillow_writer("JPEG", quality=95),
    "JPEG progressive": _pillow_writer("JPEG", quality=95, progressive=True),
    "PNG": _pillow_writer("PNG"),
    "TIFF": _pillow_writer("TIFF"),
    "TIFF LZW": _pillow_writer("TIFF", compression="tiff_lzw"),
    "TIFF deflate": _pillow_writer("TIFF", compression="tiff_adobe_deflate"),
    "WebP": _pillow_writer("WEBP", quality=90),
    "BMP": _pillow_writer("BMP"),
    "PPM": _pillow_writer("PPM"),
    "AVIF": _pillow_writer("AVIF", quality=85),
}


if __name__ == "__main__":
    app()
