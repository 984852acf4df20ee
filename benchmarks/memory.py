"""A process that segments a photograph a few times and prints its peak memory; `vesselrt bench` starts it."""

import sys
from argparse import ArgumentParser
from pathlib import Path

from vesselrt.runtime.segmenter import load

CALLS = 3


def main() -> None:
    """Prints the peak resident memory of this process in MB."""
    parser = ArgumentParser()
    parser.add_argument("photo", type=Path)
    parser.add_argument("--model")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--threads", type=int)
    given = parser.parse_args()
    with load(given.model, device=given.device, precision=given.precision, threads=given.threads) as segmenter:
        data = given.photo.read_bytes()
        for _ in range(CALLS):
            segmenter.segment(data).encode("mask")
    sys.stdout.write(f"{peak_memory():.1f}\n")


def peak_memory() -> float:
    """Peak resident memory of this process, in units of 2**20 bytes; NaN where the system does not tell."""
    # Linux: getrusage counts in what the parent process held when it started this one.
    status = Path("/proc/self/status")
    if status.exists():
        peak = next(line for line in status.read_text("ascii").splitlines() if line.startswith("VmHWM:"))
        return int(peak.split()[1]) / 2**10
    try:
        import resource
    except ImportError:  # Windows
        return float("nan")
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20  # macOS: bytes


if __name__ == "__main__":
    main()
