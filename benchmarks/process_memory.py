"""Memory of processes, as Linux counts it in /proc."""

from pathlib import Path
from typing import Literal

from vesselrt.runtime.errors import VesselrtError


def read_memory(name: Literal["VmRSS", "VmHWM"], pid: int | None = None) -> int:
    """Resident memory of a process (None: of this one) in bytes: VmRSS is now, VmHWM the peak.

    Raises VesselrtError where the system does not tell.
    """
    try:
        for line in Path(f"/proc/{pid or 'self'}/status").read_text("ascii", "replace").splitlines():
            if line.startswith(f"{name}:"):
                return int(line.split()[1]) * 1024
    except FileNotFoundError:
        pass
    raise VesselrtError(f"/proc tells no {name}: measure on Linux.")


def reset_peak(pid: int | None = None) -> None:
    """The peak of a process (None: of this one) begins anew."""
    Path(f"/proc/{pid or 'self'}/clear_refs").write_text("5", "ascii")


def list_family(pid: int) -> list[int]:
    """A process and all that it started, and these."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text("ascii").split()
    return [pid, *(member for child in children for member in list_family(int(child)))]


def peak_memory() -> float | None:
    """Peak resident memory of this process, in units of 2**20 bytes; None where the system does not tell."""
    # Linux: getrusage counts in what the parent process held when it started this one.
    if Path("/proc/self/status").exists():
        return read_memory("VmHWM") / 2**20
    try:
        import resource
    except ImportError:  # Windows
        return None
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20  # macOS: bytes
