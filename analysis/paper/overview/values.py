"""The numbers of the first page, each with its level."""

import pandas as pd

from analysis.execution.names import AUTO, DENSE
from analysis.paper import text
from analysis.paper.data import Data
from analysis.paper.overview import measures
from analysis.paper.sourced import Sourced, sourced

_NOTHING = "nothing"


def glance_best(data: Data) -> Sourced:
    """The method that retains most on average over levels."""
    name = measures.best(data)
    rows = [row for level in data.levels for row in measures.rows(data, name, level)]
    return sourced(_bold(name), "quality", rows) if rows else sourced("none", "quality", [])


def glance_safe(data: Data) -> Sourced:
    """How far it surely retains nine tenths on average: "up to 50 % sparsity"."""
    safe, name = measures.safe_level(data), measures.best(data)
    shown = "at no level of sparsity" if safe is None else f"up to {text.level(safe)} sparsity"
    rows = [row for level in data.levels for row in measures.rows(data, name, level)]
    return sourced(shown, "quality", rows)


def glance_next_level(data: Data) -> Sourced:
    """The level after that; the highest if there is none."""
    level = measures.next_level(data)
    rows = [] if level is None else measures.rows(data, measures.best(data), level)
    return sourced("no level" if level is None else text.level(level), "quality", rows)


def glance_next_retained(data: Data) -> Sourced:
    """What is retained there: "30 % under **sparsegpt** and 11 % under **magnitude**"."""
    level, said, rows = measures.next_level(data), [], []
    curves = {measures.best(data): measures.best_quality(data)}
    curves.setdefault(data.leading, measures.leading(data))
    for name, curve in curves.items():
        for share in curve.loc[curve["sparsity"] == level, "share"]:
            said.append(f"{text.percent(share, 0)} under {_bold(name)}")
            rows += measures.rows(data, name, float(level or 0))
    return sourced(text.listing(said) if said else _NOTHING, "quality", rows)


def glance_trained(data: Data) -> Sourced:
    """The best of the series that were trained."""
    name = measures.best_trained(data)
    rows = [row for level in data.levels for row in measures.rows(data, name, level)]
    return sourced(_bold(name), "quality", rows) if rows else sourced("none", "quality", [])


def glance_trained_on(data: Data) -> Sourced:
    """On how many of the benchmarks it was: "three of six benchmarks"."""
    name = measures.best_trained(data)
    rows = [row for level in data.levels for row in measures.rows(data, name, level)]
    own, whole = len(measures.benchmarks(data, name)), len(data.sound())
    shown = f"{text.spelled(own)} of {text.counted(whole, 'benchmark')}"
    return sourced(shown, "quality", rows) if rows else sourced("no benchmark", "quality", [])


def glance_trained_retained(data: Data) -> Sourced:
    """What it retains at the level after the safe ones, or at its highest: "97 % at 90 %"."""
    name, curve = measures.best_trained(data), measures.trained_quality(data)
    if curve.empty:
        return sourced(_NOTHING, "quality", [])
    there = curve[curve["sparsity"] == measures.next_level(data)]
    last = (there if len(there) else curve).iloc[-1]
    rows = measures.rows(data, name, float(last["sparsity"]))
    return sourced(_at(text.percent(last["share"], 0), last["sparsity"]), "quality", rows)


def glance_files(data: Data) -> Sourced:
    """The sparse file as a share of the dense one at the safe level and at the highest, over
    models: "62 % to 63 % at 50 % and 19 % to 22 % at 99 %"."""
    return _shares(measures.sizes(data), [measures.safe_level(data)], "size")


def glance_dense_kernels(data: Data) -> Sourced:
    """The time of a pass on dense kernels at the highest level, as a share of the dense model's,
    over models: "98 % to 102 % at 99 %"."""
    return _shares(measures.times(data, DENSE), [], "runtime")


def glance_skipping(data: Data) -> Sourced:
    """The same with the kernels chosen for each layer."""
    return _shares(measures.times(data, AUTO), [], "runtime")


def glance_true_size(data: Data) -> Sourced:
    """The same of the model of true size with a sparse kernel, at the safe level, the next and the
    highest."""
    levels = [measures.safe_level(data), measures.next_level(data)]
    return _shares(measures.times_at_true_size(data), levels, "replicas")


def _shares(found: pd.DataFrame, levels: list[float | None], table: str) -> Sourced:
    """The shares at these levels and at the highest, as far as they are known."""
    own = found[found["sparsity"].isin([*levels, found["sparsity"].max()])]
    said = [
        _at(text.between(rows["share"], lambda share: text.percent(share, 0)), level)
        for level, rows in own.groupby("sparsity")
    ]
    return sourced(text.listing(said) if said else text.MISSING, table, own)


def _at(shown: str, level: float) -> str:
    return f"{shown} at {text.level(level)}"


def _bold(name: str) -> str:
    return f"**{text.escape(name)}**"
