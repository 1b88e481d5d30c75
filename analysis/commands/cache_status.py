"""What the cache holds, looked at without touching it."""

import json
from collections import defaultdict
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
    """How many remembered results each step has, and their bytes.

    An entry whose metadata a killed run did not get to write counts as "unnamed".
    """
    entries: dict[str, int] = defaultdict(int)
    sizes: dict[str, int] = defaultdict(int)
    for output in (folder / "joblib").rglob("output.pkl"):
        step = _step(output.with_name("metadata.json"))
        entries[step] += 1
        sizes[step] += output.stat().st_size
    return entries, sizes


def _step(metadata: Path) -> str:
    try:
        arguments = json.loads(metadata.read_text(encoding="utf-8"))["input_args"]
        return str(arguments["step"]).strip("'")
    except (OSError, ValueError, KeyError, TypeError):
        return "unnamed"


def _bytes(paths: list[Path]) -> int:
    files = [q for p in paths for q in (p.rglob("*") if p.is_dir() else [p]) if q.is_file()]
    return sum(q.stat().st_size for q in files)
