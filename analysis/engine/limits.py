"""What this process may use of the machine: a container, or a batch system, gives it a part.

Linux keeps the limits in control groups, which are nested: each one up to the root binds. Version 2
has one hierarchy with `memory.max` and `cpu.max`, version 1 one for memory and one for cpu.
"""

import math
import os
import re
from collections.abc import Iterator
from pathlib import Path

_ROOT = Path("/")


def memory_bytes(root: Path = _ROOT) -> int:
    """Bytes of memory: the machine's, or fewer."""
    limits: list[float] = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")]
    limits += [_number(group / "memory.max") for group in _groups(root, "")]
    limits += [_number(group / "memory.limit_in_bytes") for group in _groups(root, "memory")]
    return int(min(limits))


def cores(root: Path = _ROOT) -> int:
    """Whole cores: those that it may run on, or fewer where it is given a part of their time."""
    limits = [_allowed_cores()]
    limits += [_share(*_words(group / "cpu.max")) for group in _groups(root, "")]
    limits += [
        _share(*_words(group / "cpu.cfs_quota_us"), *_words(group / "cpu.cfs_period_us"))
        for group in _groups(root, "cpu")
    ]
    return max(1, math.floor(min(limits)))


def _allowed_cores() -> float:
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # no Linux
        return os.cpu_count() or 1


def _groups(root: Path, controller: str) -> Iterator[Path]:
    """The folders of this process's control group and of all above it; of version 2 if no
    controller is named."""
    inside = _path_in_hierarchy(root, controller)
    if inside is None:
        return
    for top, mounted in _mounts(root, controller):
        # a container may see only its own part of the hierarchy, under the whole one's names
        within = inside.removeprefix(top) if f"{inside}/".startswith(f"{top}/") else ""
        folder = mounted / within.lstrip("/")
        yield folder
        while folder != mounted:
            folder = folder.parent
            yield folder


def _path_in_hierarchy(root: Path, controller: str) -> str | None:
    for line in _lines(root / "proc/self/cgroup"):
        _, controllers, path = line.split(":", 2)
        if controller in controllers.split(","):
            return path.rstrip("/")
    return None


def _mounts(root: Path, controller: str) -> Iterator[tuple[str, Path]]:
    """What part of the hierarchy is mounted, and where."""
    for line in _lines(root / "proc/self/mountinfo"):
        fields, _, kind = line.partition(" - ")
        name, _, options = kind.split(" ", 2)
        wanted = name == "cgroup" and controller in options.split(",")
        if wanted if controller else name == "cgroup2":
            top, place = (_unescaped(field) for field in fields.split(" ")[3:5])
            yield top.rstrip("/"), root / place.lstrip("/")


def _unescaped(field: str) -> str:
    """A path of mountinfo, in which blanks stand as octal numbers."""
    return re.sub(r"\\(\d{3})", lambda found: chr(int(found[1], 8)), field)


def _share(quota: str = "max", period: str = "100000") -> float:
    """Cores' worth of a quota of microseconds in each period."""
    return int(quota) / int(period) if quota not in ("max", "-1") else math.inf


def _number(path: Path) -> float:
    text = "".join(_words(path))
    return int(text) if text.isdigit() else math.inf


def _words(path: Path) -> list[str]:
    return " ".join(_lines(path)).split()


def _lines(path: Path) -> list[str]:
    """The lines of a file; none if it cannot be read."""
    try:
        return path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []
