"""The processor time that the control groups of this process allow it (Linux cgroups, v1 and v2)."""

import math
from collections.abc import Iterator
from pathlib import Path, PurePosixPath


def cpu_quota(proc: Path = Path("/proc/self")) -> float:
    """Processor time in cores: the minimum of all nested groups of the process; infinite without a quota.

    `proc` is its folder in /proc.
    """
    try:
        lines = (proc / "cgroup").read_text("utf-8").splitlines()
        mounts = (proc / "mountinfo").read_text("utf-8").splitlines()
    except OSError:  # not Linux
        return math.inf
    groups: dict[str, PurePosixPath] = {}
    for line in lines:
        _, controllers, group = line.split(":", 2)
        if not controllers or "cpu" in controllers.split(","):  # version 2 names none
            groups["cgroup" if controllers else "cgroup2"] = PurePosixPath(group)
    quotas = [math.inf]
    for root, folder, kind, options in map(_parse_mount, mounts):
        if kind in groups and (kind == "cgroup2" or "cpu" in options):
            quotas += map(_read_quota, _group_folders(folder, root, groups[kind]))
    return min(quotas)


def _parse_mount(line: str) -> tuple[PurePosixPath, Path, str, set[str]]:
    """Of a line of mountinfo: the group that is mounted, where, the file system's kind and its options."""
    before, _, after = line.partition(" - ")
    root, folder = (part.encode().decode("unicode_escape") for part in before.split()[3:5])  # a blank is \\040
    kind, _, options = [*after.split(), "", "", ""][:3]
    return PurePosixPath(root), Path(folder), kind, set(options.split(","))


def _group_folders(mounted: Path, root: PurePosixPath, group: PurePosixPath) -> Iterator[Path]:
    """Those of the process's group and of all groups around it that are seen here.

    A container may see the whole tree, its own group alone as `root`, or that of the host under another name.
    """
    inside = group.relative_to(root) if group.is_relative_to(root) else PurePosixPath()
    folder = mounted / inside if ".." not in inside.parts else mounted
    while folder != mounted:
        yield folder
        folder = folder.parent
    yield mounted


def _read_quota(folder: Path) -> float:
    try:
        if (folder / "cpu.max").is_file():
            quota, period = (folder / "cpu.max").read_text("utf-8").split()
        else:
            quota = (folder / "cpu.cfs_quota_us").read_text("utf-8").strip()
            period = (folder / "cpu.cfs_period_us").read_text("utf-8").strip()
        return math.inf if quota in {"max", "-1"} else int(quota) / int(period)
    except (OSError, ValueError, ZeroDivisionError):
        return math.inf
