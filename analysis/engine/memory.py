"""What a run took of its machine: the most memory that any step held, disk, time."""

import contextlib
import re
import resource
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_STATUS = Path("/proc/self/status")
_CLEAR = Path("/proc/self/clear_refs")
_HIGH_WATER = "5"  # written there, the mark of the most memory starts anew; see proc(5)
_UNIT = 1 if sys.platform == "darwin" else 1024  # bytes, of what getrusage(2) tells


@dataclass(frozen=True)
class Peak:
    """The most that was held at once: resident memory, mapped files with it, and of all GPUs."""

    memory_bytes: int = 0
    gpu_bytes: int = 0


@dataclass
class Needs:
    """The largest peaks of the steps that a run computed, and which steps these were."""

    memory: Peak = Peak()
    memory_step: str = ""
    gpu: Peak = Peak()
    gpu_step: str = ""

    def note(self, step: str, peak: Peak) -> None:
        """Keep the peak of the step called so if none was higher."""
        if peak.memory_bytes > self.memory.memory_bytes:
            self.memory, self.memory_step = peak, step
        if peak.gpu_bytes > self.gpu.gpu_bytes:
            self.gpu, self.gpu_step = peak, step

    def described(self, disk_bytes: int, seconds: float) -> dict[str, Any]:
        """As environment.json has it; what no step was computed for is left out."""
        found: dict[str, Any] = {"disk_bytes": disk_bytes, "seconds": round(seconds, 1)}
        if self.memory_step:
            found |= {"memory_bytes": self.memory.memory_bytes, "memory_step": self.memory_step}
        if self.gpu_step:
            found |= {"gpu_bytes": self.gpu.gpu_bytes, "gpu_step": self.gpu_step}
        return found


class Gauge:
    """Measures the peak of what runs in this process from its making on, and of its children."""

    def __init__(self) -> None:
        with contextlib.suppress(OSError):  # else the mark is that of the process so far
            _CLEAR.write_text(_HIGH_WATER, encoding="ascii")
        self._children = _of_children()
        for device in _devices():
            _torch().cuda.reset_peak_memory_stats(device)

    def peak(self) -> Peak:
        """The most so far; a child counts if it held more than every child before it."""
        children = _of_children()
        own = max(_resident_peak(), children if children > self._children else 0)
        return Peak(own, sum(_torch().cuda.max_memory_allocated(i) for i in _devices()))


def described_lines(needs: dict[str, Any], jobs: int) -> Iterable[str]:
    """What a run says of its needs at its end."""
    beside = f", of {jobs} at a time" if jobs > 1 else ""
    if "memory_step" in needs:
        yield f"peak memory: {gigabytes(needs['memory_bytes'])} in {needs['memory_step']!r}{beside}"
    if "gpu_step" in needs:
        yield f"peak GPU memory: {gigabytes(needs['gpu_bytes'])} in {needs['gpu_step']!r}{beside}"
    yield f"disk: {gigabytes(needs['disk_bytes'])} added to the cache"
    yield f"time: {duration(needs['seconds'])}"


def objects(cache: Path) -> set[Path]:
    """The objects that lie in the cache."""
    return {path for path in (cache / "objects").glob("??/*") if path.suffix != ".stamp"}


def bytes_of(paths: Iterable[Path]) -> int:
    """The bytes of files and folders; of a link, which takes no room, none."""
    return sum(file.lstat().st_size for path in paths for file in _files(path))


def gigabytes(count: float) -> str:
    """So many bytes, for people."""
    return f"{count / 1e9:.1f} GB" if count >= 1e8 else f"{count / 1e6:.0f} MB"


def duration(seconds: float) -> str:
    """So many seconds, for people."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def _files(path: Path) -> Iterator[Path]:
    for found in path.rglob("*") if path.is_dir() else (path,):
        if found.is_file() and not found.is_symlink():
            yield found


def _resident_peak() -> int:
    """The mark; where there is none that starts anew, that of the process so far."""
    try:
        (mark,) = re.findall(r"VmHWM:\s*(\d+) kB", _STATUS.read_text(encoding="ascii"))
    except (OSError, ValueError):
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _UNIT
    return int(mark) * 1024


def _of_children() -> int:
    """The most that any finished child of this process has held."""
    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * _UNIT


def _torch() -> Any:
    return sys.modules["torch"]


def _devices() -> range:
    """The GPUs that this process uses already: to ask is no reason to load torch."""
    torch = sys.modules.get("torch")
    used = torch is not None and torch.cuda.is_available() and torch.cuda.is_initialized()
    return range(_torch().cuda.device_count() if used else 0)
