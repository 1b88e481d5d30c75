"""The five studies' files, cut so that a rehearsal with toys takes seconds."""

import asyncio
import contextlib
import os
from dataclasses import dataclass, field, replace
from pathlib import Path
from unittest.mock import patch

import yaml

from analysis import pipeline, results, study
from analysis.engine import memo, runner
from analysis.engine.display import Display
from analysis.study import rehearsal

ROOT = Path(__file__).parents[1]
FIVE = ("classic", "xl", "medium", "glue", "billion")
CUT = {
    "methods": ["magnitude"],
    "sparsities": [0.5],
    "formats": ["dense"],
    "bootstrap": {"resamples": 200},
}
RUNTIME = {"operations": ["forward"], "batches": [1], "threads": 1, "min_runs": 3}
COMPUTE = {"device": "cpu", "jobs": 2, "threads": 1}


def text(name):
    """A study file as it stands in the repository."""
    return (ROOT / "studies" / f"{name}.yml").read_text(encoding="utf-8")


def cut(name, **changes):
    """The tree of a study with all its models and tasks, and one level of one method."""
    tree = yaml.safe_load(text(name)) | CUT | {"runtime": dict(RUNTIME), "compute": dict(COMPUTE)}
    if "recovery" in tree:
        tree["recovery"] = tree["recovery"] | {"sparsities": [0.5], "unmasked_at": 0.5}
    return tree | changes


def to_folder(folder, tree, name="cut"):
    """The tree as a study file of a project in the folder; gives its path."""
    path = folder / "studies" / f"{name}.yml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump(tree), encoding="utf-8")
    return path


def loaded(folder, tree, kind="tiny"):
    """The tree as a study, rehearsed."""
    return rehearsal.rehearsed(study.load(str(to_folder(folder, tree))), kind)


@dataclass
class OnWorkers(runner.Runner):
    """A runner for many runs, whose workers also measure: a fresh process imports for seconds."""

    loop: asyncio.Runner = field(default_factory=asyncio.Runner)

    async def _outcome(self, call):
        return await super()._outcome(replace(call, fresh=False))


def run(chosen, worker):
    """The tables of a run by that runner; its failures are of this run alone."""
    worker.failures.clear()
    return results.build(worker.loop.run(pipeline.run_study(chosen, worker)))


@contextlib.contextmanager
def started(cache, stream):
    """A runner over that cache, which shows on the stream.

    Its workers' machine lock is their own: timings wait for no run beside the tests.
    """
    cache.parent.mkdir(parents=True, exist_ok=True)
    kept = memo.Memo(cache)
    kept.prepare()
    with patch.dict(os.environ, TMPDIR=str(cache.parent)):
        worker = OnWorkers(kept, COMPUTE["jobs"], Display(stream))
        try:
            yield worker
        finally:
            worker.close()
            worker.loop.close()
