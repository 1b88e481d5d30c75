"""What the page depends on, and waiting until some of it changes."""

import time
from collections.abc import Callable, Iterable
from pathlib import Path

from analysis.rendering.execute import stamp

Stamps = dict[Path, tuple[int, int] | None]
_PATTERNS = (
    "report.qmd",
    "_quarto*.yml",
    "*.yml",
    "*.bib",
    "*.svg",
    "*.png",
    "*.jpg",
    "styles/**/*",
)
_CODE = "analysis/paper/**/*.py"
_SECONDS = 0.05


def stamps(project: Path, read: Iterable[Path]) -> Stamps:
    """When each file was written: those of the document, the paper's code, and what that `read`."""
    found = {path for pattern in (*_PATTERNS, _CODE) for path in project.glob(pattern)}
    return {path: stamp(path) for path in found.union(read)}


def wait(before: Stamps, now: Callable[[], Stamps]) -> bool:
    """Wait until the files are others than before, and are not being written; whether code came or
    went, which may be found by name."""
    while (changed := now()) == before:
        time.sleep(_SECONDS)
    while changed != (changed := now()):
        time.sleep(_SECONDS)
    return any(path.suffix == ".py" for path in changed.keys() ^ before.keys())
