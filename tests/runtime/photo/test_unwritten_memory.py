"""No byte of a photograph comes from memory that was not written: what was there before belongs to someone else."""

import os
import subprocess
import sys

import numpy as np
import pytest

# glibc fills what it hands out with the complement of a pattern: pixels that change with it were never written.
_DIGESTS = """
import hashlib, sys
import numpy as np
from vesselrt.benchmarks.corpus.damage import formats
from vesselrt.benchmarks.corpus.judge import cases, decode
from vesselrt.benchmarks.photos import synthetic

print("unwritten", hashlib.sha256(np.empty(100_000, np.uint8)).hexdigest())
files = {f"{case.kind}, {case.name}": case.data for case in cases()} | formats(synthetic(160, 144)[0])
for number, (name, data) in enumerate(files.items()):
    lengths = (100, 90, 60, 30) if number % 7 == 0 or not name.startswith("TIFF") else (100,)  # thousands are TIFFs
    for percent in lengths:
        answer = decode(data[:len(data) * percent // 100])
        print(name, percent, "" if answer.pixels is None else hashlib.sha256(answer.pixels).hexdigest())
"""


def digests(pattern: int) -> dict[str, str]:
    environment = {**os.environ, "MALLOC_PERTURB_": str(pattern)}
    command = [sys.executable, "-W", "ignore", "-c", _DIGESTS]
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, check=True, text=True)
    return dict(line.rsplit(" ", 1) for line in done.stdout.splitlines())


@pytest.mark.skipif(sys.platform != "linux", reason="MALLOC_PERTURB_ is glibc's")
def test_pixels_do_not_depend_on_what_was_in_memory() -> None:
    first, second = digests(0xC3), digests(0x5A)
    assert first.keys() == second.keys()
    assert {name for name in first if first[name] != second[name]} == {"unwritten"}
    assert np.count_nonzero([bool(digest) for digest in first.values()]) > 500
