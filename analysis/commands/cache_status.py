"""What the cache holds, looked at without touching it."""

import contextlib
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

from rich.console import Console
from rich.table import Table

from analysis.errors import RequestError


def status(folder: Path) -> None:
    """Print entries and bytes by step, and the objects that they name."""
    if not folder.is_dir():
        raise RequestError(
            f"no cache folder at {folder.resolve()}; `python -m analysis run` makes it"
        )
    entries, sizes = entries_by_step(folder)
    table = Table("step", "entries", "bytes", title=f"cache in {folder.resolve()}")
    for column in table.columns[1:]:
        column.justify = "right"
    for step in sorted(entries):
        table.add_row(step, f"{entries[step]:,}", f"{sizes[step]:,}")
    objects = [p for p in (folder / "objects").glob("??/*") if p.suffix != ".stamp"]
    table.add_section()
    table.add_row("objects (weights, masks, data)", f"{len(objects):,}", f"{_bytes(objects):,}")
    Console().print(table)


def entries_by_step(folder: Path) -> tuple[dict[str, int], dict[str, int]]:
    """How many remembered results each step has, and their bytes."""
    entries: dict[str, int] = defaultdict(int)
    sizes: dict[str, int] = defaultdict(int)
    for output in (folder / "joblib").glob("*/*/output.pkl"):
        step = output.parent.parent.name
        entries[step] += 1
        sizes[step] += _bytes([output])
    return entries, sizes


def _bytes(paths: Iterable[Path]) -> int:
    """The bytes of files, and of those in folders; of what may not be looked at, none."""
    total = 0
    for path in paths:
        with contextlib.suppress(OSError):
            total += _bytes(path.iterdir()) if path.is_dir() else path.stat().st_size
    return total
