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

from analysis import results, study
from analysis.engine import project
from analysis.errors import RequestError, RunError, unknown
from analysis.execution.names import DENSE
from analysis.paper import series, text


@dataclass(frozen=True, eq=False)
class Data:
    """One study's tables and environment, and the questions asked of them."""

    tables: results.Tables
    environment: dict[str, Any]

    def __getitem__(self, table: str) -> pd.DataFrame:
        if table not in self.tables:
            raise RequestError(unknown("table", table, self.tables))
        return self.tables[table]

    @functools.cached_property
    def rehearsal(self) -> bool:
        """Whether the weights are random: then no result means anything."""
        return bool(self.environment.get("rehearsal", False))

    @functools.cached_property
    def alpha(self) -> float:
        """How often an interval may miss: one less the study's confidence."""
        return 1 - float(self.environment["bootstrap"]["confidence"])

    @functools.cached_property
    def models(self) -> list[str]:
        """All models, those that could not be had too."""
        return list(dict.fromkeys([*self["models"]["model"], *self["variants"]["model"]]))

    @functools.cached_property
    def profiled(self) -> list[str]:
        """The models whose weights were looked at."""
        scopes = self["profile_scopes"]
        known = set(scopes.loc[scopes["scope"] == "model", "model"])
        return [model for model in self.models if model in known]

    @functools.cached_property
    def seeds(self) -> list[int]:
        """The seeds that were run; all but `by_seed` is of the first."""
        return list(self.environment["seeds"])

    @functools.cached_property
    def _of_all_seeds(self) -> pd.DataFrame:
        """Table `variants` with the series that each is of."""
        table = self["variants"]
        columns = zip(table["method"], table["protocol"], table["settings"], strict=True)
        return table.assign(series=[series.name(*row) for row in columns])

    @functools.cached_property
    def variants(self) -> pd.DataFrame:
        """Those of the first seed."""
        table = self._of_all_seeds
        return table[(table["seed"] == self.seeds[0]) | table["seed"].isna()]

    def by_seed(self, cell: tuple[str, str], name: str, level: float) -> list[float]:
        """What a benchmark retains under a series at a level, seed by seed; void ones left out."""
        return [float(x) for x in self.scores_by_seed(cell, name, level)["retained"]]

    def scores_by_seed(self, cell: tuple[str, str], name: str, level: float) -> pd.DataFrame:
        """The same as rows of table `quality`."""
        table = self._of_all_seeds
        own = table[
            (table["model"] == cell[0]) & (table["series"] == name) & (table["sparsity"] == level)
        ]
        scores = self["quality"]
        scores = scores[(scores["task"] == cell[1]) & (scores["metric"] == self.primary[cell[1]])]
        scores = scores[scores["variant"].isin(own["variant"])].copy()
        known = _nothing_left(scores, ~scores["void"].fillna(False).astype(bool))
        return known.dropna(subset=["retained"])

    @functools.cached_property
    def one_shot(self) -> pd.DataFrame:
        """The variants that were pruned and not trained, all at sparsities of the study's own."""
        table = self.variants
        chosen = table[(table["kind"] == "pruned") & (table["protocol"] == "one-shot")]
        return chosen[~chosen["series"].str.contains(series.ALLOCATED, regex=False)]

    @functools.cached_property
    def levels(self) -> list[float]:
        """The sparsities of the leading method, from the smallest."""
        table = self.one_shot
        return sorted(set(table.loc[table["series"].isin(self.entrants[:1]), "sparsity"]))

    @functools.cached_property
    def entrants(self) -> list[str]:
        """All series that were pruned in one shot, in the study's order."""
        return list(dict.fromkeys(self.one_shot["series"]))

    @functools.cached_property
    def methods(self) -> list[str]:
        """Those of them that reach every level; the first is the one that figures lead with."""
        table = self.one_shot
        unreached = set(table.loc[table["status"] == "unreachable", "series"])
        levels = {name: set(own["sparsity"]) for name, own in table.groupby("series")}
        whole = [name for name in self.entrants if set(self.levels) <= levels[name]]
        return [name for name in whole if name not in unreached]

    @functools.cached_property
    def leading(self) -> str:
        """The method that figures and claims lead with; empty if nothing was pruned."""
        return self.methods[0] if self.methods else ""

    @functools.cached_property
    def trained(self) -> list[str]:
        """The series that were trained after pruning, or while they were pruned."""
        table = self.variants
        chosen = table[(table["kind"] == "pruned") & (table["protocol"] != "one-shot")]
        return list(dict.fromkeys(chosen["series"]))

    def before(self, name: str) -> str:
        """What a trained series is held against: what it began with, or the leading method."""
        start = series.untrained(name)
        return start if start in self.entrants else self.leading

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
        columns = ["variant", "model", "kind", "method", "series", "sparsity", "threshold"]
        of_variant = self.variants[columns]
        merged = self["quality"].merge(of_variant, on="variant", validate="many_to_one")
        for flag in ("void", "collapsed"):
            merged[flag] = merged[flag].fillna(False).astype(bool)
        return _nothing_left(merged, ~merged["void"])

    @functools.cached_property
    def sensitivity(self) -> pd.DataFrame:
        """Table `sensitivity`, what an infinite perplexity retains being known."""
        table = self["sensitivity"]
        return _nothing_left(table.copy(), pd.Series(True, table.index))

    @functools.cached_property
    def scores(self) -> pd.DataFrame:
        """The primary metric of each benchmark: a row for each (model, task, series, level)."""
        quality = self.quality
        return quality[quality["metric"] == quality["task"].map(self.primary)]

    @staticmethod
    def mean_retained(values: Iterable[float]) -> float:
        """The mean over benchmarks; below chance nothing is retained, void ones are left out."""
        return float(pd.Series(list(values), dtype=float).clip(lower=0).mean())

    def cells(self) -> list[tuple[str, str]]:
        """The (model, task) pairs that were scored, in the study's order."""
        return self._cells

    @functools.cached_property
    def _cells(self) -> list[tuple[str, str]]:
        return list(dict.fromkeys(zip(self.scores["model"], self.scores["task"], strict=True)))

    @functools.cached_property
    def void(self) -> frozenset[tuple[str, str]]:
        """Those of them whose dense model is not above chance: it has nothing to retain."""
        dense = self.scores[self.scores["kind"] == "dense"]
        dense = dense[dense["void"] | dense["retained"].isna()]
        return frozenset(zip(dense["model"], dense["task"], strict=True))

    def sound(self) -> list[tuple[str, str]]:
        """Those of them that are not: what means and claims are about."""
        return [cell for cell in self.cells() if cell not in self.void]

    @functools.cached_property
    def benchmarks(self) -> list[tuple[str, str]]:
        """All (model, task) pairs that were asked for, those that failed too."""
        tasks = self["quality"].groupby("variant", sort=False)["task"].unique()
        found = []
        columns = ("variant", "model", "task")
        for variant, model, task in zip(*(self.variants[c] for c in columns), strict=True):
            own = [] if text.is_missing(task) else [task]
            found += [(model, t) for t in [*own, *tasks.get(variant, [])]]
        lost = self["failures"].dropna(subset=["model", "task"])  # of a model tuned for no task
        found += [
            cell for cell in zip(lost["model"], lost["task"], strict=True) if cell[0] in self.models
        ]
        return sorted(dict.fromkeys(found), key=lambda cell: self.models.index(cell[0]))

    def at(self, model: str, task: str, name: str, sparsity: float) -> pd.Series:
        """The primary score of a variant. Raises RequestError if it was not measured."""
        found = self.find(model, task, name, sparsity)
        if found is None:  # raises, naming what is missing
            return self.one(self.scores, model=model, task=task, series=name, sparsity=sparsity)
        return found

    def find(self, model: str, task: str, name: str, sparsity: float) -> pd.Series | None:
        """The same, or None if there is no such variant."""
        return self._by_place.get((model, task, name, sparsity))

    @functools.cached_property
    def _by_place(self) -> dict[tuple[str, str, str, float], pd.Series]:
        keys = ["model", "task", "series", "sparsity"]
        return {tuple(row[key] for key in keys): row for _, row in self.scores.iterrows()}

    def retained(self, name: str, level: float) -> dict[tuple[str, str], float]:
        """What each sound benchmark retains at a level, of those that have this series there."""
        found = {cell: self.find(*cell, name, level) for cell in self.sound()}
        return {cell: row["retained"] for cell, row in found.items() if row is not None}

    @functools.cached_property
    def contests(self) -> pd.DataFrame:
        """Table `contests` both ways round, with the series and the model of the two."""
        table = self["contests"]
        columns = {"variant": "other", "other": "variant", "low": "high", "high": "low"}
        turned = table.rename(columns=columns)
        turned[["difference", "low", "high"]] = -turned[["difference", "low", "high"]]
        both = pd.concat([table, turned], ignore_index=True)
        of_variant = self.variants.set_index("variant")[["series", "model"]]
        both = both.merge(of_variant, left_on="variant", right_index=True)
        other = of_variant["series"].rename("other_series")
        return both.merge(other, left_on="other", right_index=True)

    def contest(self, one: str, other: str) -> pd.DataFrame:
        """What one series retains more than another, with intervals, wherever both were scored."""
        table = self.contests
        return table[(table["series"] == one) & (table["other_series"] == other)]

    def first_task(self, model: str) -> str | None:
        """The model's first benchmark: the one whose variants are sized and timed in figures.

        None if all of them failed.
        """
        return next((task for name, task in self.cells() if name == model), None)

    def sizes_of(self, model: str) -> pd.DataFrame:
        """Table `size` of the model's first benchmark: dense, and the leading method's levels."""
        scores = self.scores
        chosen = scores[
            (scores["model"] == model)
            & (scores["task"] == self.first_task(model))
            & scores["series"].isin(["dense", self.leading])
        ]
        return self["size"].merge(chosen[["variant", "sparsity"]], on="variant")

    @functools.cached_property
    def statuses(self) -> dict[tuple[str, str, str, float], str]:
        """The status of each variant by model, task ("" for a model tuned for none), series and
        level."""
        columns = ("model", "task", "series", "sparsity", "status")
        rows = zip(*(self.variants[column] for column in columns), strict=True)
        return {(m, "" if text.is_missing(t) else t, *k): status for m, t, *k, status in rows}

    @functools.cached_property
    def runtime(self) -> pd.DataFrame:
        """Table `runtime` with the model, series and level of each variant."""
        of_variant = self.variants[["variant", "model", "kind", "method", "series", "sparsity"]]
        return self["runtime"].merge(of_variant, on="variant").sort_values("sparsity")

    @functools.cached_property
    def latency(self) -> pd.DataFrame:
        """Of it the forward passes of the dense models and of one method, kernel by kernel.

        It is the method that was timed with every kernel; models with units removed run on the
        dense kernel alone.
        """
        table = self.runtime[self.runtime["operation"] == "forward"]
        timed = table[(table["kind"] == "pruned") & table["series"].isin(self.methods)]
        timed = timed[timed["series"].isin(timed.loc[timed["kernel"] == DENSE, "series"])]
        kernels = timed.groupby("series")["kernel"].nunique()
        most = [] if kernels.empty else [kernels.idxmax()]
        return table[table["series"].isin(["dense", *most])]

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
        """The task's title; its name where its data could not be had."""
        titles = self["tasks"].loc[self["tasks"]["task"] == task, "title"]
        return task if titles.empty else str(titles.iloc[0])


def _nothing_left(scores: pd.DataFrame, of: pd.Series) -> pd.DataFrame:
    """The scores, of which those without a finite value (an infinite perplexity) retain nothing."""
    infinite = scores["value"].isna() & scores["retained"].isna() & of
    scores.loc[infinite, ["retained", "retained_low", "retained_high"]] = 0.0
    return scores


@functools.cache
def load() -> Data:
    """The results of the study that SPARSITY_STUDY names, computed first if there are none."""
    name, at = study.chosen(), folder()
    if not results.exist(at) or not is_current(at, name):
        _compute(name)
    return Data(*results.read(at))


def folder() -> Path:
    """Where the results of that study are."""
    return project.results_folder(study.chosen())


def is_current(folder: Path, name: str) -> bool:
    """Whether results are of the study as it is: not edited since, nor another of its name."""
    return results.read(folder)[1].get("study_text") == study.load(name).text


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
