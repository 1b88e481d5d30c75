"""What a run ran on and with: versions, hardware, commit, seeds, timings."""

import json
import platform
import subprocess
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from analysis.engine import machine
from analysis.engine.runner import Tally
from analysis.study import Study

_LIBRARIES = (
    "torch",
    "transformers",
    "tokenizers",
    "datasets",
    "evaluate",
    "numpy",
    "scipy",
    "pandas",
    "scikit-learn",
    "sacrebleu",
    "rouge-score",
    "safetensors",
    "numba",
    "zstandard",
    "joblib",
    "matplotlib",
)


def describe(
    study: Study,
    tallies: Mapping[str, Tally],
    seconds: float,
    needs: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """The content of environment.json; `needs` as `needs.Needs.described` gives them."""
    return {
        "study": study.name,
        "title": study.title,
        "rehearsal": bool(study.rehearsal),
        "study_text": study.text,
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": _git("rev-parse", "HEAD"),
        "uncommitted_changes": bool(_git("status", "--porcelain")),
        "seeds": list(study.seeds),
        "bootstrap": {
            "resamples": study.bootstrap.resamples,
            "confidence": study.bootstrap.confidence,
        },
        "hardware": {**machine.identity(), "memory_bytes": machine.memory_bytes()},
        "system": platform.platform(),
        "python": platform.python_version(),
        "versions": {name: version(name) for name in _LIBRARIES},
        "seconds": round(seconds, 1),
        "needs": dict(needs or {}),
        "steps": {
            step: {
                "computed": tally.computed + tally.repaired,
                "remembered": tally.remembered,
                "seconds": round(tally.seconds, 1),
                "remembered_seconds": round(tally.remembered_seconds, 1),
            }
            for step, tally in tallies.items()
        },
    }


_TAKEN = ("finished", "seconds", "needs", "steps")  # by a run
_OF = ("study", "study_text", "rehearsal", "hardware", "versions")


def after(described: dict[str, Any], path: Path) -> dict[str, Any]:
    """The environment for the file at `path`: a run that computed nothing leaves the account of the
    run before it, which took the time and the memory, if that was of the same study here."""
    if any(step["computed"] for step in described["steps"].values()):
        return described
    try:
        before = json.loads(path.read_text(encoding="utf-8"))
        same = before["steps"].keys() == described["steps"].keys()
        same = same and all(before[key] == described[key] for key in _OF)
        return {**described, **{key: before[key] for key in _TAKEN}} if same else described
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return described  # none, or none that can be read


def _git(*arguments: str) -> str | None:
    """What git prints, or None where there is no git or no repository."""
    try:
        done = subprocess.run(
            ["git", *arguments], capture_output=True, text=True, timeout=10, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
