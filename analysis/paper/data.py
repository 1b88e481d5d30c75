"""The results that the paper is written from, joined as its questions need them.

If there are none yet (an editor's preview button), a run is started as a child process.
"""

import functools
import os
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from analysis import project, results, study
from analysis.errors import RequestError, RunError


@dataclass(frozen=True)
class Data:
    """One study's tables and environment, and the questions asked of them."""

    tables: results.Tables
    environment: dict[str, Any]

    def __getitem__(self, table: str) -> pd.DataFrame:
        return self.tables[table]

    @functools.cached_property
    def models(self) -> list[str]:
        return list(self["models"]["model"])

    @functools.cached_property
    def levels(self) -> list[float]:
        """The sparsities, from the smallest."""
        return sorted(x for x in set(self["variants"]["sparsity"]) if x > 0)

    @functools.cached_property
    def methods(self) -> list[str]:
        """The pruning methods in the study's order; the first is the one that figures lead with."""
        found = self["variants"].loc[self["variants"]["kind"] == "pruned", "method"]
        return list(dict.fromkeys(found))

    @functools.cached_property
    def primary(self) -> dict[str, str]:
        """Each task's first metric: the one of figures and claims."""
        return self["tasks"].groupby("task", sort=False)["metric"].first().to_dict()

    @functools.cached_property
    def metrics(self) -> pd.DataFrame:
        """Table `tasks` by (task, metric)."""
        return self["tasks"].set_index(["task", "metric"])

    @functools.cached_property
    def quality(self) -> pd.DataFrame:
        """Every score of the first seed with the model, method and level of its variant."""
        of_variant = self["variants"][
            ["variant", "model", "kind", "method", "protocol", "sparsity", "threshold", "seed"]
        ]
        merged = self["quality"].merge(of_variant, on="variant", validate="many_to_one")
        return merged[merged["seed"] == self.environment["seeds"][0]]

    @functools.cached_property
    def scores(self) -> pd.DataFrame:
        """The primary metric of each benchmark: a row for each (model, task, method, level)."""
        quality = self.quality
        return quality[quality["metric"] == quality["task"].map(self.primary)]

    @staticmethod
    def mean_retained(values: Iterable[float]) -> float:
        """The mean over benchmarks; below chance nothing is retained, void ones are left out."""
        return float(pd.Series(list(values), dtype=float).clip(lower=0).mean())

    def cells(self) -> list[tuple[str, str]]:
        """The (model, task) pairs that were benchmarked, in the study's order."""
        return list(dict.fromkeys(zip(self.scores["model"], self.scores["task"], strict=True)))

    def at(self, model: str, task: str, method: str, sparsity: float) -> pd.Series:
        """The primary score of one variant. Raises RequestError if it was not measured."""
        return self.one(self.scores, model=model, task=task, method=method, sparsity=sparsity)

    def first_task(self, model: str) -> str:
        """The model's first benchmark: the one whose variants are sized and timed in figures."""
        return next(task for name, task in self.cells() if name == model)

    def sizes_of(self, model: str) -> pd.DataFrame:
        """Table `size` of the model's first benchmark: dense, and the leading method's levels."""
        scores = self.scores
        chosen = scores[
            (scores["model"] == model)
            & (scores["task"] == self.first_task(model))
            & scores["method"].isin(["dense", self.methods[0]])
        ]
        return self["size"].merge(chosen[["variant", "sparsity"]], on="variant")

    @functools.cached_property
    def runtime(self) -> pd.DataFrame:
        """Table `runtime` with the model and level of each variant."""
        of_variant = self["variants"][["variant", "model", "sparsity"]]
        return self["runtime"].merge(of_variant, on="variant").sort_values("sparsity")

    @staticmethod
    def one(table: pd.DataFrame, **where: Any) -> pd.Series:
        """The one row with these values (the first seed's). Raises RequestError if none has."""
        for column, value in where.items():
            table = table[table[column] == value]
        if table.empty:
            wanted = ", ".join(f"{column} {value!r}" for column, value in where.items())
            raise RequestError(
                f"the results have no row with {wanted}; compute it with `python -m analysis run`"
            )
        return table.iloc[0]

    def task_title(self, task: str) -> str:
        return str(self["tasks"].loc[self["tasks"]["task"] == task, "title"].iloc[0])


@functools.cache
def load() -> Data:
    """The results of the study that SPARSITY_STUDY names, computed first if there are none."""
    name = study.chosen()
    folder = project.results_folder(name)
    if not results.exist(folder) or _is_of_another_study(folder, name):
        _compute(name)
    return Data(*results.read(folder))


def _is_of_another_study(folder: Path, name: str) -> bool:
    """Whether the study has been edited since, or shares its folder with one of the same name."""
    return results.read(folder)[1].get("study_text") != study.load(name).text


def _compute(name: str) -> None:
    study.load(name)  # a wrong request is said here, in one line
    child = subprocess.run(
        [sys.executable, "-m", "analysis", "run"],
        env={**os.environ, study.VARIABLE: name},
        stdout=sys.stderr,
        check=False,
    )
    if child.returncode:
        raise RunError(
            f"study {name!r} could not be computed (exit status {child.returncode}); run"
            " `python -m analysis run` to see why"
        )
