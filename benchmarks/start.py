"""A process that loads vesselrt, segments a photograph a few times, and prints what that took: see `measure.start`."""

import sys
import time
from argparse import ArgumentParser
from json import dumps
from pathlib import Path

from vesselrt.runtime.errors import VesselrtError
from vesselrt.runtime.segmenter import load

CALLS = 3


def main() -> None:
    """Prints a JSON object with the fields of `measure.Start` but `process_s`; errors become one line and code 1."""
    parser = ArgumentParser()
    parser.add_argument("photo", type=Path)
    parser.add_argument("--model")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--threads", type=int)
    given = parser.parse_args()
    data, times = given.photo.read_bytes(), [time.perf_counter()]
    try:
        with load(given.model, device=given.device, precision=given.precision, threads=given.threads) as segmenter:
            times.append(time.perf_counter())
            for _ in range(CALLS):
                segmenter.segment(data).encode("mask")
                times.append(time.perf_counter())
    except VesselrtError as error:
        sys.exit(f"error: {error}")
    found = {"load_s": times[1] - times[0], "first_ms": (times[2] - times[1]) * 1e3, "peak_memory_mb": peak_memory()}
    sys.stdout.write(dumps(found) + "\n")


def peak_memory() -> float | None:
    """Peak resident memory of this process, in units of 2**20 bytes; None where the system does not tell."""
    # Linux: getrusage counts in what the parent process held when it started this one.
    status = Path("/proc/self/status")
    if status.exists():
        peak = next(line for line in status.read_text("ascii").splitlines() if line.startswith("VmHWM:"))
        return int(peak.split()[1]) / 2**10
    try:
        import resource
    except ImportError:  # Windows
        return None
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20  # macOS: bytes


if __name__ == "__main__":
    main()
