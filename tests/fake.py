"""Results of studies that were never run: the pipeline itself, over a runner that makes records up.

Which studies there are stands in fake_studies.yml.
"""

import asyncio
import functools
import re
import tempfile
from pathlib import Path
from types import SimpleNamespace

import yaml
from fake_records import RECORDS, alternative, checkpoint, pruned, recovered

from analysis import pipeline, results, study
from analysis.paper.data import Data
from analysis.study import rehearsal

__all__ = ["alternative", "checkpoint", "pruned", "recovered"]  # what others take from here too

FOLDER = Path(__file__).parents[1] / study.FOLDER
LISTED = yaml.safe_load(Path(__file__).with_name("fake_studies.yml").read_text(encoding="utf-8"))
STUDIES, REAL = LISTED["built-in"], LISTED["real"]
RESAMPLES = {"resamples": 300}
METHODS = {"methods": ["magnitude", "random", "wanda"]}  # in place of a study's five
PARAMETERS = {"hub": 124_439_808, "large": 1_557_611_200}  # others have those of their weights


@functools.cache
def load(name: str) -> study.Study:
    """The study of that name: one of STUDIES or REAL, or the project's own."""
    if name in STUDIES:
        tree = {"title": name, "bootstrap": RESAMPLES} | STUDIES[name]
        return study.Study(**tree, name=name)
    if name not in REAL:
        return study.load(name, FOLDER)
    told = REAL[name]
    tree = yaml.safe_load((FOLDER / f"{told['of']}.yml").read_text(encoding="utf-8"))
    tree |= METHODS | {"title": f"A study called {name}"} | told.get("with", {})
    for model in tree["models"] if told.get("enabled") else ():
        model |= {"enabled": True, "revision": "f" * 40}
    chosen = study.Study(**tree, name=name, text="models: []")
    return rehearsal.rehearsed(chosen, told.get("rehearsal", ""))


@functools.cache
def data(name: str) -> Data:
    """Its made-up results, written and read back, as the paper gets them."""
    with tempfile.TemporaryDirectory() as folder:
        results.write(tables(load(name)), environment(load(name)), Path(folder) / "results")
        return Data(*results.read(Path(folder) / "results"))


def tables(chosen: study.Study) -> results.Tables:
    """All result tables of a study, from made-up records."""
    few = chosen.bootstrap.model_copy(update=RESAMPLES)
    chosen = chosen.model_copy(update={"bootstrap": few})
    return results.build(asyncio.run(pipeline.run_study(chosen, _Runner(chosen))))


def environment(chosen: study.Study) -> dict:
    """An environment.json as a run would write it."""
    from analysis.engine.runner import Tally
    from analysis.results.environment import describe

    return describe(chosen, {"evaluate_variant": Tally(computed=3, seconds=1.0)}, 12.0)


class _Runner:
    """In a runner's place: what is to fail fails, everything else has a made-up record."""

    def __init__(self, chosen):
        told = REAL.get(chosen.name, {})
        self._fail, self.failures, self._models = told.get("fail", {}), {}, {}
        for model in chosen.models:
            source = "replica" if chosen.rehearsal else model.source
            size = "large" if model.name in told.get("large", ()) else model.source
            self._models[model.name] = SimpleNamespace(
                name=model.name, family=model.family, parameters=PARAMETERS.get(size),
                source="local" if model.name == told.get("folder") else source,
                void=told.get("void", ()),
            )  # fmt: skip

    async def run(self, call):
        of = self._models.get(re.split("[:/]", call.label)[0])
        return RECORDS[call.step](of, call.label.rsplit(": ", 1)[0], **call.arguments)

    async def attempt(self, call):
        for pattern, reason in self._fail.items():
            if re.search(pattern, call.label):
                self.failures[call.label] = reason
                return None, reason
        return await self.run(call), None
