"""What bears on the speed of a processor, as the system tells it: instructions, clock, governor, quota, load."""

import math
import os
from pathlib import Path
from statistics import mean
from typing import Any

from vesselrt.runtime.hardware import machine
from vesselrt.runtime.quota import cpu_quota

FLAGS = (
    "avx2", "fma", "avx512f", "avx512_vnni", "avx_vnni", "avx512_bf16", "avx512_fp16", "amx_tile", "amx_bf16",
    "amx_int8", "asimd", "asimddp", "i8mm", "bf16", "sve",
)  # fmt: skip
"""Instructions that networks are computed with, as /proc/cpuinfo names them: x86 first, then ARM."""


def describe_machine(root: Path = Path("/")) -> dict[str, Any]:
    """As `vesselrt.runtime.hardware.machine`, and what the system tells of:

    flags (those of `FLAGS` that the processor has), cpu_quota (of the container, in cores; None: it has none), governor
    (None: a virtual machine hides it), mhz, mhz_min and mhz_max (mean over the processors, each None where it is not
    told). `root` is where /proc and /sys are.
    """
    quota, clocks = cpu_quota(), root / "sys/devices/system/cpu"
    governors = sorted(set(_read_all(clocks, "scaling_governor")))
    return {
        **machine(),
        "flags": read_flags(root),
        "cpu_quota": None if math.isinf(quota) else quota,
        "governor": ", ".join(governors) or None,
        "mhz": read_clock(root),
        "mhz_min": _mean_mhz(_read_all(clocks, "cpuinfo_min_freq")),
        "mhz_max": _mean_mhz(_read_all(clocks, "cpuinfo_max_freq")),
    }


def describe_afterwards(root: Path = Path("/")) -> dict[str, Any]:
    """What may have changed since `describe_machine`: load_after (average over the last minute, with the measurement's
    own) and mhz_after.
    """
    load = round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None
    return {"load_after": load, "mhz_after": read_clock(root)}


def read_flags(root: Path = Path("/")) -> list[str]:
    """Those of `FLAGS` that the processor has; empty where the system does not tell."""
    told = {word for name in ("flags", "Features") for line in _cpuinfo(root, name)[:1] for word in line.split()}
    return [flag for flag in FLAGS if flag in told]


def read_clock(root: Path = Path("/")) -> float | None:
    """The clock now in MHz, mean over the processors; None where the system does not tell."""
    scaled = _mean_mhz(_read_all(root / "sys/devices/system/cpu", "scaling_cur_freq"))
    if scaled is not None:
        return scaled
    told = [float(text) for text in _cpuinfo(root, "cpu MHz")]
    return round(mean(told), 1) if told else None


def _cpuinfo(root: Path, name: str) -> list[str]:
    """The values of all lines of this name in /proc/cpuinfo."""
    try:
        lines = (root / "proc/cpuinfo").read_text("utf-8").splitlines()
    except OSError:
        return []
    pairs = (line.partition(":") for line in lines)
    return [value.strip() for key, _, value in pairs if key.strip() == name]


def _read_all(clocks: Path, name: str) -> list[str]:
    """A file of cpufreq, of each processor that has it."""
    found = []
    for path in sorted(clocks.glob(f"cpu[0-9]*/cpufreq/{name}")):
        try:
            found.append(path.read_text("ascii").strip())
        except OSError:  # of a processor that is switched off
            continue
    return found


def _mean_mhz(khz: list[str]) -> float | None:
    return round(mean(map(int, khz)) / 1e3, 1) if khz else None
