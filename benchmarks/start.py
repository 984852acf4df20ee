"""A process that loads vesselrt, segments a photograph a few times, and prints what that took: see `measure.start`.

    python -m vesselrt.benchmarks.start PHOTO '{"device": "cpu"}'      # JSON: the arguments of `vesselrt.load`

It parses nothing else, so that the process has little to import beside the library that is measured.
"""

import sys
import time
from json import dumps, loads
from pathlib import Path

from vesselrt.benchmarks.process_memory import peak_memory
from vesselrt.runtime.errors import as_command
from vesselrt.runtime.segmenter import load

CALLS = 3


def main() -> None:
    """Prints JSON: the fields of `measure.FreshStart` but `process_s`. Errors become one line and exit code 1."""
    photo, arguments = sys.argv[1:]
    data, times = Path(photo).read_bytes(), [time.perf_counter()]
    with as_command(), load(**loads(arguments)) as segmenter:
        times.append(time.perf_counter())
        for _ in range(CALLS):
            segmenter.segment(data).encode("mask")
            times.append(time.perf_counter())
    found = {"load_s": times[1] - times[0], "first_ms": (times[2] - times[1]) * 1e3, "peak_memory_mb": peak_memory()}
    sys.stdout.write(dumps(found) + "\n")


if __name__ == "__main__":
    main()
