"""What each bomb costs, decoded in a process of its own whose processor time and memory the system counts (Linux).

    python -m vesselrt.benchmarks.corpus.cost [--heavy]

Prints a line of JSON for each.
"""

import json
import os
import resource
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass

from vesselrt.benchmarks.corpus.bomb import Bomb
from vesselrt.benchmarks.corpus.bombs import bombs
from vesselrt.benchmarks.corpus.judge import decode
from vesselrt.benchmarks.corpus.undamaged import PHOTO, written
from vesselrt.benchmarks.process_memory import read_memory, reset_peak

TIMEOUT = 20
"""Seconds of the processor after which the system ends the process."""
_MAX_ADDRESS_BYTES = 16 * 2**30  # bytes of addresses: no bomb takes the machine with it


@dataclass(frozen=True)
class BombCost:
    """What one file took."""

    kind: str
    name: str
    answer: str
    """`read`, `refused`, or `ended` by the system."""
    message: str
    seconds: float
    """Of the processor."""
    memory: int
    """Bytes at the most, beyond what the process held before."""


def measured_costs(*, heavy: bool = False) -> Iterator[BombCost]:
    """Of all bombs but the heavy ones, or of these alone. In a new process: forks need one without threads."""
    command = [sys.executable, "-m", "vesselrt.benchmarks.corpus.cost", *(["--heavy"] if heavy else [])]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout is not None
        yield from (BombCost(**json.loads(line)) for line in process.stdout)
    if process.returncode:
        raise RuntimeError(f"{' '.join(command)} ended with {process.returncode}")


def _main(*, heavy: bool) -> None:
    for bomb in bombs():
        if bomb.heavy == heavy:
            _measure_apart(bomb)


def _measure_apart(bomb: Bomb) -> None:
    child = os.fork()
    if not child:
        _measure_bomb(bomb)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    if code := os.waitstatus_to_exitcode(status):
        _print_cost(BombCost(bomb.kind, bomb.name, "ended", f"exit code {code}", TIMEOUT, 0))


def _measure_bomb(bomb: Bomb) -> None:
    data = bomb.write()
    for form in ("JPEG", "PNG", "TIFF", "WEBP", "GIF", "BMP"):  # libraries are loaded, threads are started
        decode(written(PHOTO, form))
    spent = _processor_seconds()
    resource.setrlimit(resource.RLIMIT_CPU, (int(spent) + TIMEOUT,) * 2)
    resource.setrlimit(resource.RLIMIT_AS, (_MAX_ADDRESS_BYTES, _MAX_ADDRESS_BYTES))
    reset_peak()
    held = read_memory("VmHWM")
    try:
        answer = decode(data)
    except MemoryError as error:
        _print_cost(
            BombCost(bomb.kind, bomb.name, "ended", repr(error), _processor_seconds() - spent, _MAX_ADDRESS_BYTES)
        )
        return
    word = "refused" if answer.pixels is None else "read"
    _print_cost(
        BombCost(bomb.kind, bomb.name, word, answer.refusal, _processor_seconds() - spent, read_memory("VmHWM") - held)
    )


def _processor_seconds() -> float:
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_CHILDREN, resource.RUSAGE_SELF)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def _print_cost(cost: BombCost) -> None:
    print(json.dumps(asdict(cost)), flush=True)


if __name__ == "__main__":
    _main(heavy="--heavy" in sys.argv)
