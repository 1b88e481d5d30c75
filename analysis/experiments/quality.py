"""Quality: the scores of every variant on every task, against the dense model and each other.

All intervals of a task come from the same resamples of its examples: that is what pairs them.
"""

import functools
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from analysis import tasks
from analysis.engine import files
from analysis.engine.memo import Call, Record
from analysis.experiments import costs, placement
from analysis.experiments.contract import SCORES, TORCH, Step, memory
from analysis.experiments.costs import Estimate, Setting
from analysis.experiments.variant import Scored, Variant
from analysis.models.alternative import code_of_kinds
from analysis.results import Row, Rows, number
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

_SAMPLES_SHOWN = 3
_NOTHING = Interval(float("nan"), float("nan"), float("nan"))


def evaluate(study: Study, variant: Variant, task: str, examples: Record) -> Call:
    """A variant's scores on a task."""
    place = placement.answering(study.compute, variant.kind)
    said = f"{_model(study, variant)} on {_data(study, task)}"
    return Call(
        "analysis.steps.quality:evaluate_variant",
        {
            "checkpoint": variant.checkpoint,
            "masks": variant.masks,
            "task_name": task,
            "settings": asked(study, task, examples),
            "data": examples["data"]["object"],
            "batch_size": study.compute.batch_size,
            "place": {"threads": study.compute.threads, **place},
        },
        carried=memory(study, place["device"]) | {"said": said},
        code=(tasks.module_name(task), *code_of_kinds()),
        libraries=(*TORCH, *SCORES),
        label=f"{variant.name}: evaluate{'' if variant.task == task else f' for {task}'}",
    )


def _model(study: Study, variant: Variant) -> str:
    """A variant's model as the study names it: its path, or what it is on the hub."""
    found = next((model for model in study.models if model.name == variant.model), None)
    return (found and (found.path or found.id)) or variant.model


def _data(study: Study, task: str) -> str:
    """A task's test data, as the study names them."""
    files = study.data.get(task)
    return task if files is None else files.test


def asked(study: Study, task: str, examples: Record) -> dict[str, Any]:
    """The fields of the task that its data decide, and how the study has its texts written."""
    written = study.generation.get(task)
    own = {} if written is None or not written.given else {"generation": written.given}
    return examples.get("settings", {}) | own


def score_rows(study: Study, group: Sequence[Scored], task: str, chance: Row) -> Rows:
    """The rows of tables `quality` and `contests` of a task's variants, the dense one first."""
    dense = group[0].evaluation
    if dense is None:
        return {}
    quality = [row for s in group for row in quality_rows(study, s, task, chance, dense)]
    return {"quality": quality, "contests": contest_rows(study, group, task, chance)}


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
            **compared(study, metric, evaluation, dense, chance),
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


def compared(study: Study, metric: str, evaluation: Record, dense: Record, chance: Row) -> Row:
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


def estimated(arguments: Mapping[str, Any], setting: Setting) -> Estimate:
    """What it takes to answer all examples."""
    rows = arguments.get("batch_size")
    activations = costs.BYTES * (rows if isinstance(rows, int) else 1) * setting.tokens * 1e4
    seconds = _answering(setting) + setting.bytes / costs.READ
    return Estimate(seconds, 1.1 * setting.bytes + activations, 0.0)


def _answering(setting: Setting) -> float:
    """Seconds to answer all examples: reading and writing; a masked model reads a text once for
    each of its tokens."""
    if setting.form == "masked":
        return costs.forward_seconds(setting, setting.examples * setting.tokens)
    read_and_written = replace(setting, tokens=setting.tokens + setting.written)
    return costs.forward_seconds(read_and_written, setting.examples)


STEPS = {
    "evaluate_variant": Step(
        lambda call: {"metrics": {}, "examples": 0}, leads_on=False, estimate=estimated
    )
}
