"""make bench: every benchmark beside a peer in the same run; a table, and results.json."""

import importlib
from pathlib import Path

from rich.console import Console
from rich.table import Table

from analysis.engine import machine
from analysis.engine.files import json_text

FOLDER = Path(__file__).parent


def main() -> None:
    """Run every module of this folder that has `measure`, print and write what they found."""
    results = []
    console = Console()
    for path in sorted(FOLDER.glob("[!_]*.py")):
        module = importlib.import_module(f"benchmarks.{path.stem}")
        if not hasattr(module, "measure"):
            continue
        console.print(f"measuring {path.stem} …")
        for row in module.measure():
            results.append({**row, "ratio": _ratio(row), "machine": machine.identity()})
    table = Table("benchmark", "ours", "peer", "unit", "times better")
    for row in results:
        table.add_row(
            row["name"],
            f"{row['ours']:.4g}",
            f"{row['peer']:.4g}",
            row["unit"],
            f"{row['ratio']:.1f}",
        )
    console.print(table)
    text = json_text(results) + "\n"
    (FOLDER / "results.json").write_text(text, encoding="utf-8")


def _ratio(row: dict) -> float:
    """How many times better ours is; all units so far are better when smaller."""
    return round(row["peer"] / row["ours"], 2)


if __name__ == "__main__":
    main()
