"""How long a process takes to its first mask, and where the time goes.

    python -m vesselrt.benchmarks.start PHOTO                          # a table, of 10 processes
    python -m vesselrt.benchmarks.start PHOTO '{"device": "cpu"}'      # the process: the arguments of `vesselrt.load`

A process imports nothing beside the library that is measured, and prints JSON: see `measure.start_fresh`. The first
process of the table compiles the model where the cache does not hold it (VESSELRT_CACHE names another one).
"""

import sys
import time

_BEGAN = time.perf_counter()  # before an import of vesselrt: this file is run by its path

import subprocess  # noqa: E402
from itertools import pairwise  # noqa: E402
from json import dumps, loads  # noqa: E402
from pathlib import Path  # noqa: E402

CALLS = 3
STARTS = 10
PARTS = ("interpreter", "import", "load", "first mask", "in all")


def main() -> None:
    """Errors become one line and exit code 1."""
    photo, *arguments = sys.argv[1:]
    if arguments:
        _segment(photo, *arguments)
    else:
        _print_parts(photo)


def _segment(photo: str, options: str, *began: str) -> None:
    """Prints JSON: the fields of `measure.FreshStart` but `process_s`; `parts_s` where it is told when it `began`."""
    from vesselrt.benchmarks.process_memory import peak_memory
    from vesselrt.runtime.errors import as_command
    from vesselrt.runtime.segmenter import load

    data, times = Path(photo).read_bytes(), [time.perf_counter()]
    with as_command(), load(**loads(options)) as segmenter:
        times.append(time.perf_counter())
        for _ in range(CALLS):
            segmenter.segment(data).encode("mask")
            times.append(time.perf_counter())
    found: dict[str, object] = {
        "load_s": times[1] - times[0],
        "first_ms": (times[2] - times[1]) * 1e3,
        "peak_memory_mb": peak_memory(),
    }
    if began:  # by the same clock, which all processes of a machine share
        places = [float(began[0]), _BEGAN, *times[:3]]
        found["parts_s"] = [later - earlier for earlier, later in pairwise(places)]
    sys.stdout.write(dumps(found) + "\n")


def _print_parts(photo: str) -> None:
    """The first start, then the best and the middle of the others, part by part, in milliseconds."""
    rows = []
    for _ in range(STARTS):
        command = [sys.executable, "-P", __file__, photo, "{}", str(time.perf_counter())]
        done = subprocess.run(command, stdout=subprocess.PIPE, check=False)
        if done.returncode:
            sys.exit(done.returncode)  # it said why
        parts = loads(done.stdout)["parts_s"]
        rows.append([1e3 * seconds for seconds in (*parts, sum(parts))])
    later = [sorted(part) for part in zip(*rows[1:], strict=True)]
    table = {"first": rows[0], "best": [p[0] for p in later], "median": [p[len(p) // 2] for p in later]}
    sys.stdout.write(f"| ms | {' | '.join(PARTS)} |\n|---|{'---:|' * len(PARTS)}\n")
    for name, cells in table.items():
        sys.stdout.write(f"| {name} | {' | '.join(f'{cell:.0f}' for cell in cells)} |\n")


if __name__ == "__main__":
    main()
