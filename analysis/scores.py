"""Rows of scores: each variant against the dense model, against other variants, and layer by layer.

All intervals of a task come from the same resamples of its examples: that is what pairs them.
"""

import functools
import itertools
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from analysis import files
from analysis.memo import Record
from analysis.pruning.allocation import allocate
from analysis.results import number
from analysis.scoring.intervals import (
    Drawn,
    Interval,
    compare_drawn,
    difference,
    drawn,
    interval,
    resample_counts,
    retained_drawn,
)
from analysis.scoring.statistics import METRICS
from analysis.study import Study
from analysis.variants import Row, Scored, Variant

_SAMPLES_SHOWN = 3
_NOTHING = Interval(float("nan"), float("nan"), float("nan"))


def quality_rows(study: Study, scored: Scored, task: str, chance: Row, dense: Record) -> list[Row]:
    """The rows of table `quality`: a metric each, with paired intervals against the dense model."""
    evaluation = scored.evaluation
    if evaluation is None:
        return []
    return [
        {
            "variant": scored.variant.name,
            "task": task,
            "metric": metric,
            **_compared(study, metric, evaluation, dense, chance),
            "collapsed": evaluation["collapsed"],
            "void": is_void(study, metric, dense, chance),
            "tokens_per_word": evaluation["tokens_per_word"],
            "sample": files.json_text(evaluation["sample"][:_SAMPLES_SHOWN], indent=None),
            "protocol": evaluation.get("protocol"),
            "device": evaluation.get("device"),
            "dtype": "int8" if scored.variant.kind == "int8" else evaluation.get("dtype"),
        }
        for metric in evaluation["metrics"]
    ]


def _compared(study: Study, metric: str, evaluation: Record, dense: Record, chance: Row) -> Row:
    """A score, its difference from the dense model's and what is retained, with intervals."""
    examples = evaluation["examples"]
    score, whole = (_drawn(study, metric, record, examples) for record in (evaluation, dense))
    found = compare_drawn(METRICS[metric], score, whole, chance[metric], study.bootstrap.confidence)
    if is_void(study, metric, dense, chance):
        found = replace(found, retained=_NOTHING)
    return {
        "value": number(evaluation["metrics"][metric]["value"]),
        **_bounds("", found.score),
        "delta": number(found.delta.value),
        **_bounds("delta_", found.delta),
        "retained": number(found.retained.value),
        "examples": examples,
        **_bounds("retained_", found.retained),
    }


def scored_interval(study: Study, metric: str, evaluation: Record) -> Interval:
    """A score with its bootstrap interval."""
    whole = _drawn(study, metric, evaluation, evaluation["examples"])
    return interval(whole, study.bootstrap.confidence)


def is_void(study: Study, metric: str, dense: Record, chance: Row) -> bool:
    """Whether the dense model is not above chance beyond its interval.

    Such a model has nothing to lose: what seems robust in it is noise.
    """
    score = scored_interval(study, metric, dense)
    if METRICS[metric].higher_is_better:
        return not score.low > chance[metric]
    return not score.high < chance[metric]


def contest_rows(study: Study, group: Sequence[Scored], task: str, chance: Row) -> list[Row]:
    """The rows of table `contests`: each two variants of one dense model at the same sparsity, and
    each smaller alternative against all that is pruned, at the sparsity of that.

    What is compared is `retained`, on the task's first metric and the same resamples.
    """
    dense = group[0].evaluation
    if not dense or not dense["metrics"]:
        return []
    metric = next(iter(dense["metrics"]))
    if is_void(study, metric, dense, chance):
        return []
    examples = dense["examples"]
    whole = _drawn(study, metric, dense, examples)
    entrants: list[tuple[Variant, Drawn]] = []
    for scored in group[1:]:
        if scored.evaluation is not None:
            score = _drawn(study, metric, scored.evaluation, examples)
            kept = retained_drawn(METRICS[metric], score, whole, chance[metric])
            entrants.append((scored.variant, kept))
    listed = []
    for (one, first), (other, second) in itertools.combinations(entrants, 2):
        level = _met_at(one, other)
        if level is not None:
            found = difference(first, second, study.bootstrap.confidence)
            listed.append(
                {
                    "variant": one.name,
                    "other": other.name,
                    "metric": metric,
                    "task": task,
                    "sparsity": level,
                    "difference": number(found.value),
                    **_bounds("", found),
                }
            )
    return listed


def _met_at(one: Variant, other: Variant) -> float | None:
    """The sparsity at which two variants are compared; None if they are not."""
    if one.sparsity == other.sparsity:
        return one.sparsity
    kinds = {one.kind, other.kind}
    smaller_beside_pruned = "pruned" in kinds and kinds & _SMALLER
    return max(one.sparsity, other.sparsity) if smaller_beside_pruned else None


_SMALLER = {"int8", "student"}  # alternatives that a file as small of a pruned model rivals


def sensitivity_rows(
    study: Study, dense: Variant, task: str, record: Record, chance: Row
) -> list[Row]:
    """The rows of table `sensitivity`: what is retained with one group of matrices pruned."""
    assert study.sensitivity is not None
    whole = {"metrics": record["dense"], "examples": record["examples"]}
    metric = next(iter(record["dense"]))
    return [
        {
            "model": dense.model,
            "task": task,
            "metric": metric,
            "by": study.sensitivity.by,
            "group": cell["group"],
            "sparsity": cell["sparsity"],
            "part": cell["part"],
            "layer": cell["layer"],
            "kind": cell["kind"],
            "weights": sum(cell["tensors"].values()),
            **_compared(study, metric, whole | {"metrics": cell["metrics"]}, whole, chance),
        }
        for cell in record["cells"]
    ]


def shares(rows: Sequence[Row], sparsity: float) -> dict[str, float]:
    """The sparsity of each group that its measured losses call for, at that total."""
    sizes = {row["group"]: row["weights"] for row in rows}
    losses: dict[str, list[tuple[float, float]]] = {group: [] for group in sizes}
    for row in rows:
        losses[row["group"]].append((row["sparsity"], _loss(row)))
    return allocate(sizes, losses, sparsity)


def _loss(row: Row) -> float:
    """What is lost; nothing if the examples cannot tell it from the dense model, or it is void."""
    if row["retained"] is None:  # an infinite perplexity, or a dense model not above chance
        return 1.0 if row["value"] is None else 0.0
    surely = row["retained_high"] is None or row["retained_high"] < 1
    return 1 - max(0.0, row["retained"]) if surely else 0.0


def _bounds(prefix: str, interval: Interval) -> Row:
    return {f"{prefix}low": number(interval.low), f"{prefix}high": number(interval.high)}


def _drawn(study: Study, metric: str, evaluation: Record, examples: int) -> Drawn:
    """The record's score on that metric, on the resamples that all of its task share."""
    rows = np.asarray(evaluation["metrics"][metric]["rows"], np.float64)
    return _drawn_once(metric, rows.tobytes(), len(rows), examples, study.bootstrap.resamples)


# a dense model's score is asked for with each of its variants', a variant's with each contest
@functools.lru_cache(maxsize=512)
def _drawn_once(metric: str, rows: bytes, length: int, examples: int, resamples: int) -> Drawn:
    statistics = np.frombuffer(rows).reshape(length, -1)
    return drawn(METRICS[metric], statistics, _counts(examples, resamples))


@functools.lru_cache(maxsize=8)
def _counts(examples: int, resamples: int) -> Any:
    return resample_counts(examples, resamples, seed=0)
