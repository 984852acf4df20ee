"""What each bomb costs, decoded in a process of its own whose processor time and memory the system counts (Linux).

    python -m vesselrt.benchmarks.corpus.cost [--heavy]

Prints a line of JSON for each.
"""

import json
import os
import re
import resource
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from vesselrt.benchmarks.corpus.bomb import Bomb
from vesselrt.benchmarks.corpus.bombs import bombs
from vesselrt.benchmarks.corpus.judge import decode
from vesselrt.benchmarks.corpus.undamaged import PHOTO, written

TIMEOUT = 20
"""Seconds of the processor after which the system ends the process."""
_MOST = 16 * 2**30  # bytes of addresses: no bomb takes the machine with it


@dataclass(frozen=True)
class Cost:
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


def measured_costs(*, heavy: bool = False) -> Iterator[Cost]:
    """Of all bombs but the heavy ones, or of these alone. In a new process: forks need one without threads."""
    command = [sys.executable, "-m", "vesselrt.benchmarks.corpus.cost", *(["--heavy"] if heavy else [])]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout is not None
        yield from (Cost(**json.loads(line)) for line in process.stdout)
    if process.returncode:
        raise RuntimeError(f"{' '.join(command)} ended with {process.returncode}")


def _main(*, heavy: bool) -> None:
    for bomb in bombs():
        if bomb.heavy == heavy:
            _measure_apart(bomb)


def _measure_apart(bomb: Bomb) -> None:
    child = os.fork()
    if not child:
        _measure(bomb)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    if code := os.waitstatus_to_exitcode(status):
        _tell(Cost(bomb.kind, bomb.name, "ended", f"exit code {code}", TIMEOUT, 0))


def _measure(bomb: Bomb) -> None:
    data = bomb.write()
    for form in ("JPEG", "PNG", "TIFF", "WEBP", "GIF", "BMP"):  # libraries are loaded, threads are started
        decode(written(PHOTO, form))
    spent = _processor()
    resource.setrlimit(resource.RLIMIT_CPU, (int(spent) + TIMEOUT,) * 2)
    resource.setrlimit(resource.RLIMIT_AS, (_MOST, _MOST))
    Path("/proc/self/clear_refs").write_text("5", "ascii")  # the peak is from here on
    held = _peak()
    try:
        answer = decode(data)
    except MemoryError as error:
        _tell(Cost(bomb.kind, bomb.name, "ended", repr(error), _processor() - spent, _MOST))
        return
    word = "refused" if answer.pixels is None else "read"
    _tell(Cost(bomb.kind, bomb.name, word, answer.refusal, _processor() - spent, _peak() - held))


def _peak() -> int:
    (kibibytes,) = re.findall(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text("ascii"))
    return 1024 * int(kibibytes)


def _processor() -> float:
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_CHILDREN, resource.RUSAGE_SELF)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def _tell(cost: Cost) -> None:
    print(json.dumps(asdict(cost)), flush=True)


if __name__ == "__main__":
    _main(heavy="--heavy" in sys.argv)
