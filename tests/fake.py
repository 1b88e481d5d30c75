"""Results of studies that were never run, made up of made-up records: for tests without models."""

import functools
import tempfile
from collections.abc import Callable
from pathlib import Path

import fake_timings
import pandas as pd
from fake_records import (
    alternative,
    checkpoint,
    evaluation,
    examples,
    hardness,
    histograms,
    profile,
    pruned,
    pruned_level,
    recovered,
    sensitivity,
    sizes,
)

from analysis import (
    alternative_calls,
    pruning,
    results,
    rows,
    scores,
    sections,
    study,
    timing_calls,
    timings,
    variants,
)
from analysis.model_grid import is_tuned
from analysis.paper.data import Data
from analysis.variants import Scored

BERT = {"name": "tiny-bert", "family": "encoder-only", "tasks": ["sentiment"]}
GPT2 = {"name": "tiny-gpt2", "family": "decoder-only", "tasks": ["language-modelling", "sentiment"]}
STUDIES = {
    # without any section that may be left out
    "minimal": {
        "models": [BERT, GPT2],
        "examples": {"sentiment": 8, "language-modelling": 8},
        "methods": ["magnitude", "magnitude-all"],
        "sparsities": [0.5, 0.9],
    },
    "one": {
        "models": [BERT],
        "examples": {"sentiment": 8},
        "methods": ["magnitude"],
        "sparsities": [0.5],
    },
    # led by a calibrated method, levels in no order, kinds in place of layers, one way of training
    "other": {
        "models": [GPT2, BERT],
        "examples": {"sentiment": 8, "language-modelling": 8},
        "methods": ["wanda", "nm-wanda", "structured", "magnitude-layer"],
        "sparsities": [0.95, 0.3, 0.875],
        "patterns": ["1:8"],
        "protocols": ["one-shot", "distilled"],
        "recovery": {"tasks": ["sentiment"], "method": "magnitude-layer", "sparsities": [0.95]},
        "sensitivity": {
            "tasks": ["language-modelling", "sentiment"],
            "by": "kind",
            "sparsities": [0.9, 0.4],
            "allocate": [0.95],
        },
        "runtime": {
            "method": "magnitude-layer",
            "operations": ["forward", "train_step"],
            "task": "language-modelling",
            "masked_at": 0.3,
        },
        "alternatives": {"tasks": ["sentiment"], "kinds": ["moe"], "experts": 4, "run": [4, 1]},
    },
    # nothing but writing is timed, nothing but the dense file written
    "written": {
        "models": [GPT2],
        "examples": {"sentiment": 8, "language-modelling": 8},
        "methods": ["magnitude"],
        "sparsities": [0.9, 0.95],
        "formats": ["dense"],
        "runtime": {"operations": ["generate"], "task": "sentiment"},
    },
    # alternatives on two tasks of a model, a structured method that reaches every level
    "beside": {
        "models": [BERT | {"tasks": ["sentiment", "paraphrase"]}],
        "examples": {"sentiment": 8, "paraphrase": 8},
        "methods": ["magnitude", "structured"],
        "sparsities": [0.25, 0.9],
        "formats": ["dense", "auto+zstd", "bitmask"],
        "alternatives": {"tasks": ["paraphrase", "sentiment"], "kinds": ["student", "moe"]},
        "runtime": {"task": "paraphrase", "replica": "bert-base", "batches": [4]},
    },
}


@functools.cache
def load(name: str) -> study.Study:
    """The built-in study, or one of STUDIES."""
    if name in STUDIES:
        tree = {"title": name, "bootstrap": {"resamples": 300}} | STUDIES[name]
        return study.Study(**tree, name=name)
    return study.load(name, Path(__file__).parents[1] / study.FOLDER)


@functools.cache
def data(name: str) -> Data:
    """Its made-up results, written and read back, as the paper gets them."""
    chosen = load(name)
    with tempfile.TemporaryDirectory() as folder:
        results.write(tables(chosen), environment(chosen), Path(folder) / "results")
        return Data(*results.read(Path(folder) / "results"))


def changed(found: Data, table: str, change: Callable[[pd.DataFrame], object]) -> Data:
    """The same results with one table changed: in place, or by what `change` returns."""
    frame = found[table].copy()
    returned = change(frame)
    frame = returned if isinstance(returned, pd.DataFrame) else frame
    return Data({**found.tables, table: frame}, found.environment)


def tables(chosen: study.Study) -> results.Tables:
    """All result tables of a study, from made-up records."""
    found = {task: examples(task) for task in chosen.tasks}
    parts = [rows.task_rows(chosen, found)]
    for model in chosen.models:
        record = checkpoint(model.family, model.name)
        base = variants.base_variant(chosen, model, chosen.seeds[0], record)
        parts.append(rows.model_rows(model, record))
        parts.append(rows.profile_rows(model.name, base.name, profile(model.family)))
        works = [_Work(chosen, model, base, task) for task in model.tasks]
        groups = [work.group() for work in works]
        for work, group in zip(works, groups, strict=True):
            parts.append(rows.score_rows(chosen, group, work.task, found[work.task]["chance"]))
            parts += work.more
        untuned = [[Scored(base, sizes(base, chosen.formats))]]
        parts.append(
            rows.variant_rows((untuned if all(w.dense != base for w in works) else []) + groups)
        )
        by_task = {
            work.task: [scored.variant for scored in group if scored.variant.reached]
            for work, group in zip(works, groups, strict=True)
        }
        leading = by_task[model.tasks[0]]
        shown = [v for v in leading if timing_calls.in_one_shot(v, chosen.methods[0])]
        shown = [v for v in shown if v != base]
        parts.append(rows.histogram_rows(shown, histograms(model.family, shown)))
        for call in timing_calls.timings(chosen, model, by_task):
            parts.append(timings.runtime_rows(fake_timings.record(call, by_task)))
    if chosen.runtime.replica is not None:
        call = timing_calls.replica(chosen)
        parts.append(timings.replica_rows(fake_timings.record(call, {})))
    return results.build(rows.merge(parts))


class _Work:
    """One model on one task, as `analysis.benchmarked` has it."""

    def __init__(
        self, chosen: study.Study, model: sections.Model, base: variants.Variant, task: str
    ):
        self.chosen, self.model, self.task = chosen, model, task
        self.more: list[rows.Rows] = []
        self.dense = base
        if is_tuned(model, task):
            record = checkpoint(model.family, f"{model.name}-{task}")
            self.dense = variants.dense_variant(chosen, model, task, base.seed, record)
        self.trained = chosen.recovery is not None and task in chosen.recovery.tasks

    def group(self) -> list[Scored]:
        """The dense model and all its variants, scored."""
        found = [self.dense]
        for method in self.chosen.methods:
            if self.trained or pruning.kind(method) != "trained":
                found += self.levels(method)
        if self.trained:
            found += self.recovered()
        if self.chosen.sensitivity is not None and self.task in self.chosen.sensitivity.tasks:
            found += self.allocated()
        if self.chosen.alternatives is not None and self.task in self.chosen.alternatives.tasks:
            found += self.alternatives()
        return [self.scored(variant) for variant in found]

    def scored(self, variant: variants.Variant) -> Scored:
        if not variant.reached:
            return Scored(variant, {})
        seed = len(self.task)  # the same examples for all
        return Scored(
            variant,
            sizes(variant, self.chosen.formats),
            evaluation(self.task, hardness(variant), seed),
        )

    def levels(self, method: str) -> list[variants.Variant]:
        record = pruned(self.model.family, method, self.chosen)
        protocol = "fine-tuned" if pruning.kind(method) == "trained" else "one-shot"
        return [
            variants.pruned_variant(self.chosen, self.dense, method, protocol, record, level)
            for level in record["levels"]
        ]

    def recovered(self) -> list[variants.Variant]:
        recovery, listed = self.chosen.recovery, []
        starts = self.levels(recovery.method)
        for protocol in self.chosen.protocols:
            for start in starts:
                if protocol != "one-shot" and start.sparsity in recovery.sparsities:
                    record = recovered(start, True)
                    listed.append(variants.recovered_variant(start, protocol, record))
                    self.more.append(rows.recovery_rows(listed[-1], record, True))
        first = next(m for m in self.chosen.models if set(m.tasks) & set(recovery.tasks))
        if self.model == first:
            for start in starts:
                if start.sparsity == recovery.unmasked_at:
                    self.more.append(rows.recovery_rows(start, recovered(start, False), False))
        return listed

    def allocated(self) -> list[variants.Variant]:
        chosen, family = self.chosen, self.model.family
        record, chance = sensitivity(chosen, family, self.task), examples(self.task)["chance"]
        listed = scores.sensitivity_rows(chosen, self.dense, self.task, record, chance)
        self.more.append({"sensitivity": listed})
        return [
            variants.allocated_variant(
                chosen,
                self.dense,
                scores.shares(listed, level),
                pruned_level(family, "magnitude-layer", "weights", level),
            )
            for level in chosen.sensitivity.allocate
        ]

    def alternatives(self) -> list[variants.Variant]:
        chosen, listed = self.chosen, []
        for kind in chosen.alternatives.kinds:
            record = alternative(kind, self.dense, chosen.alternatives)
            listed += alternative_calls.found(chosen, self.dense, kind, record)
        return listed


def environment(chosen: study.Study) -> dict:
    """An environment.json as a run would write it."""
    from analysis.environment import describe
    from analysis.runner import Tally

    return describe(chosen, {"evaluate_variant": Tally(computed=3, seconds=1.0)}, 12.0)
