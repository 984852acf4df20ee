"""Facts about this machine: processor, cores, GPU."""

import ctypes
import os
import platform
import re
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from vesselrt.runtime.errors import DeviceError
from vesselrt.runtime.lifetime import start_library
from vesselrt.runtime.quota import cpu_quota


@cache
def _read_cpuinfo() -> str:
    """/proc/cpuinfo; empty where there is none."""
    try:
        return Path("/proc/cpuinfo").read_text("utf-8")
    except OSError:
        return ""


@cache
def cpu_name() -> str:
    """The processor's name as its maker gives it."""
    lines = _read_cpuinfo().splitlines()
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, "") or platform.processor() or platform.machine()


def cpu_features() -> str:
    """The instructions that the processor has, as Linux lists them; empty elsewhere."""
    found = re.search(r"^(?:flags|Features)\b.*$", _read_cpuinfo(), re.MULTILINE)
    return found[0] if found else ""


def gains_by_bf16() -> bool:
    """Whether a processor with instructions for bf16 is faster by them than in f32.

    AMD's are, and Intel's with AMX. An Emerald Rapids whose virtual machine hides AMX and leaves AVX512-BF16 took 1.6
    times as long in bf16 (OpenVINO 2026.4.1), and 1.2 times to train (torch 2.13.0).
    """
    return "GenuineIntel" not in _read_cpuinfo() or "amx_bf16" in _read_cpuinfo()


def gains_by_int8() -> bool:
    """Whether an INT8 network takes this processor less time than any other precision.

    On x86 from AVX2 on: 0.53 of f32's time with AVX2 alone, 0.3 of it with AVX512-VNNI, and with AMX 0.8 of bf16's
    (`fundus`, OpenVINO 2026.4). OpenVINO calls INT8 on ARM experimental, and nobody measured it there.
    """
    return re.search(r"^flags\b.*\bavx2\b", _read_cpuinfo(), re.MULTILINE) is not None


def usable_cores() -> int:
    """Cores that this process may use: fewer than the machine has, in a container or under taskset."""
    available = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, int(min(available, cpu_quota())))


def machine() -> dict[str, str | int | float]:
    """What a measurement has to name: cpu, cores (that may be used), os, the versions of python and vesselrt, and load,
    the average over the last minute, where the system tells it.
    """
    from importlib.metadata import version  # one of the slower imports

    found: dict[str, str | int | float] = {
        "cpu": cpu_name(),
        "cores": usable_cores(),
        "os": f"{platform.system()} {platform.release()} {platform.machine()}",
        "python": platform.python_version(),
        "vesselrt": version("vesselrt"),
    }
    if hasattr(os, "getloadavg"):
        found["load"] = round(os.getloadavg()[0], 2)
    return found


@dataclass(frozen=True)
class Gpu:
    """An NVIDIA GPU."""

    name: str
    target: str
    """Its compute capability as engines name it: sm75 is 7.5."""


def find_gpu() -> Gpu:
    """The first GPU that CUDA shows to this process.

    Raises DeviceError that says what is missing, the driver or the GPU; ForkError in a child of a process that used it.
    """
    driver = _load_driver()
    if driver is None:
        raise DeviceError(
            f"no NVIDIA driver here ({_DRIVER} is missing). Install it; give a container its GPU with: --gpus all"
        )
    code = driver.cuInit(0)
    if code == _NO_DEVICE:
        raise DeviceError("the NVIDIA driver finds no GPU here. See nvidia-smi and CUDA_VISIBLE_DEVICES.")
    start_library("CUDA")  # in a child of a process that used CUDA, the driver answers with an error of its own
    if code != 0:
        raise DeviceError(f"the NVIDIA driver does not start (CUDA error {code}). See nvidia-smi, or install it again.")
    device, value, name = ctypes.c_int(), ctypes.c_int(), ctypes.create_string_buffer(256)
    driver.cuDeviceGet(ctypes.byref(device), 0)
    driver.cuDeviceGetName(name, len(name), device)
    digits = []
    for attribute in _CAPABILITY_ATTRIBUTES:
        driver.cuDeviceGetAttribute(ctypes.byref(value), attribute, device)
        digits.append(str(value.value))
    return Gpu(name.value.decode(), "sm" + "".join(digits))


_DRIVER = "nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1"
_NO_DEVICE = 100  # CUDA_ERROR_NO_DEVICE
_CAPABILITY_ATTRIBUTES = (75, 76)  # CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR, _MINOR


def _load_driver() -> Any:
    """The driver's own library, None without one. A library with CUDA support may be installed without a GPU."""
    try:
        return ctypes.CDLL(_DRIVER)
    except OSError:
        return None
