"""Records as the steps would give them, made up: results for tests that need no model."""

import functools
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd

from analysis import pruning, results, rows, scores, sections, study, tasks, variants
from analysis.models import naming
from analysis.models.catalogue import BUILTIN
from analysis.models.tensors import in_memory
from analysis.paper.data import Data
from analysis.profile.checkpoint import profile as profile_checkpoint
from analysis.pruning import patterns
from analysis.scoring.statistics import METRICS
from analysis.variants import Scored

NAMES = {
    "encoder-only": [
        "bert.embeddings.word_embeddings.weight",
        *(
            f"bert.encoder.layer.{i}.{part}"
            for i in range(4)
            for part in ("attention.self.query.weight", "intermediate.dense.weight")
        ),
        "classifier.weight",
    ],
    "decoder-only": [
        "transformer.wte.weight",
        *(f"transformer.h.{i}.mlp.{own}.weight" for i in range(4) for own in ("c_fc", "c_proj")),
        "transformer.ln_f.weight",
    ],
    "encoder-decoder": [
        "model.shared.weight",
        *(
            f"model.{part}.layers.{i}.{own}.weight"
            for part in ("encoder", "decoder")
            for i in range(4)
            for own in ("fc1", "fc2")
        ),
    ],
}
EXAMPLES = 64
# from here on whole units cannot be removed
UNREACHED = {"encoder-only": 0.95, "decoder-only": 0.97, "encoder-decoder": 0.95}
SHIFTS = {
    "random": 0.4,
    "magnitude-all": 0.1,
    "structured": 0.2,
    "wanda": -0.06,
    "sparsegpt": -0.12,
    "gradual": -0.1,
    "fine-tuned": -0.3,
    "distilled": -0.35,
}


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
        "runtime": {"method": "magnitude-layer"},
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


def weights(family: str, seed: int = 0) -> dict[str, np.ndarray]:
    """A few small tensors with the names of that family's checkpoints."""
    generator = np.random.default_rng(seed)
    return {
        name: (0.05 * (1 + i) * generator.standard_normal((16, 8))).astype(np.float32)
        for i, name in enumerate(NAMES[family])
    }


def checkpoint(family: str, digest: str) -> dict:
    found = weights(family)
    named = naming.weights(found)
    return {
        "checkpoint": {"object": digest},
        "weights_sha256": digest,
        "parameters": sum(a.size for a in found.values()),
        "prunable_parameters": sum(found[n].size for n, w in named.items() if w.prunable),
        "dtype": "float32",
        "bytes": 4096,
        "train_seconds": 1.5,
    }


def profile(family: str) -> dict:
    return profile_checkpoint(in_memory(weights(family)))


def histograms(family: str, shown: list[variants.Variant]) -> dict:
    """Of the weights with the smallest of all set to zero, as many as the level says."""
    found = weights(family)
    magnitudes = np.sort(np.concatenate([np.abs(a).reshape(-1) for a in found.values()]))
    listed = []
    for variant in shown:
        cut = magnitudes[min(magnitudes.size - 1, round(variant.sparsity * magnitudes.size))]
        left = {n: np.where(np.abs(a) < cut, np.float32(0), a) for n, a in found.items()}
        listed.append(profile_checkpoint(in_memory(left))["scopes"]["model"]["histogram"])
    return {"histograms": listed}


def pruned(family: str, method: str, chosen: study.Study) -> dict:
    """A method's levels; `structured` reaches the highest in some families, or in none."""
    kind = pruning.kind(method)
    asked = chosen.patterns if pruning.takes_patterns(method) else chosen.sparsities
    listed = [_level(family, method, kind, level) for level in asked]
    return {"peak_bytes": None if kind == "trained" else 1 << 20, "levels": listed}


def _level(family: str, method: str, kind: str, level: float | str) -> dict:
    found = weights(family)
    whole = sum(a.size for a in found.values())
    named = naming.weights(found)
    scope = [n for n in found if method == "magnitude-all" or named[n].prunable]
    size = sum(found[name].size for name in scope)
    sparsity = patterns.parse(level).sparsity if isinstance(level, str) else level
    facts = {"level": level, "sparsity": sparsity, "threshold": None}
    if kind == "structured" and sparsity >= UNREACHED[family]:
        return facts | {"status": "unreachable", "reason": "one head of each layer has to stay"}
    facts |= {"achieved": sparsity, "scope_weights": size, "prune_seconds": 0.01}
    facts |= {"whole_model": sparsity * size / whole}
    if kind == "structured":
        return facts | {
            "status": "ok",
            "parameters": whole - round(sparsity * size),
            "weights_sha256": f"smaller-{sparsity}",
            "checkpoint": {"object": f"smaller-{sparsity}"},
            "kept": {"heads": {"encoder 0": {"of": 4, "kept": [0, 2]}}, "neurons": {}},
        }
    if method in ("magnitude", "magnitude-all"):
        magnitudes = np.sort(np.concatenate([np.abs(found[n]).reshape(-1) for n in scope]))
        facts["threshold"] = float(magnitudes[min(size - 1, round(sparsity * size))])
    facts["unheard_inputs"] = sparsity**8 * (1.0 if method == "wanda" else 0.5)
    if kind == "trained":
        facts |= {"train_seconds": 2.5, "zeros_by_epoch": [round(sparsity * size)]}
    return facts | {"masks": {"object": f"{method}-{level}"}}


def recovered(start: variants.Variant, masks_kept: bool) -> dict:
    """Two epochs of training: with masks all zeros stay, without most are gone."""
    size = start.level["scope_weights"]
    removed = round(start.sparsity * size)
    left = [removed, removed] if masks_kept else [removed // 10, removed // 50]
    facts = {
        "removed": removed,
        "zeros_by_epoch": left,
        "scope_weights": size,
        "train_seconds": 1.25,
    }
    if not masks_kept:
        return facts
    known = {key: start.level[key] for key in ("achieved", "whole_model")}
    return facts | known | {"threshold": None, "masks": {"object": "trained"}}


def sensitivity(chosen: study.Study, family: str, task: str) -> dict:
    """Groups that bear more the later they stand."""
    by = chosen.sensitivity.by
    found = weights(family)
    groups: dict[str, list[str]] = {}
    named = {name: what for name, what in naming.weights(found).items() if what.prunable}
    for name, what in named.items():
        groups.setdefault(f"{what.part} {getattr(what, by)}", []).append(name)
    cells = []
    for i, (group, names) in enumerate(groups.items()):
        for sparsity in chosen.sensitivity.sparsities:
            hurt = sparsity * (1 - i / len(groups))
            cells.append(
                {
                    "group": group,
                    "part": named[names[0]].part,
                    "layer": named[names[0]].layer if by == "layer" else None,
                    "kind": named[names[0]].kind if by == "kind" else "",
                    "tensors": {name: found[name].size for name in names},
                    "sparsity": sparsity,
                    "metrics": evaluation(task, hurt, seed=7)["metrics"],
                }
            )
    dense = evaluation(task, 0.0, seed=7)["metrics"]
    return {"dense": dense, "cells": cells, "examples": EXAMPLES, "seconds": 1.0}


def quality(level: float) -> float:
    """The share of what the dense model can do that is left: a cliff between 50 and 90 %."""
    return 1 / (1 + np.exp(18 * (level - 0.68)))


def hardness(variant: variants.Variant) -> float:
    """The level at which plain magnitude would hurt as much as this variant is hurt at its own."""
    if variant.level is None:
        return 0.0
    method = variant.method.removeprefix("nm-")
    shift = SHIFTS.get(method, 0.0) + SHIFTS.get(variant.protocol, 0.0)
    shift += 0.05 * variant.method.startswith("nm-") - 0.1 * ("allocation" in variant.settings)
    return max(0.0, variant.sparsity + shift)


def evaluation(task: str, level: float, seed: int) -> dict:
    """Per-example statistics of a model that retains `quality` of its dense version."""
    generator = np.random.default_rng(seed)  # the same draws at every level: nested answers
    kept = generator.random(EXAMPLES) < quality(level)
    luck = generator.random(EXAMPLES) < 0.5
    correct = kept | luck
    positive = np.arange(EXAMPLES) % 2 == 0
    said = np.where(correct, positive, ~positive)
    table = {
        "accuracy": np.stack([correct, np.ones(EXAMPLES)], axis=1),
        "f1": np.stack([said & positive, said & ~positive, ~said & positive], axis=1),
        "perplexity": np.stack([np.where(kept, 20.0, 40.0), np.full(EXAMPLES, 10.0)], axis=1),
        "bleu": np.stack([np.full(EXAMPLES, 8.0)] * 2 + [np.where(kept, 5.0, 1.0)] * 4
                         + [np.full(EXAMPLES, 5.0)] * 4, axis=1),
    }  # fmt: skip
    for name in ("rouge1", "rouge2", "rougeL"):
        table[name] = np.stack([np.where(kept, 0.95, 0.2), np.ones(EXAMPLES)], axis=1)
    metrics = {
        name: {
            "value": float(METRICS[name].value(table[name].astype(float).sum(axis=0))),
            "rows": table[name].astype(float).tolist(),
        }
        for name in tasks.task(task).metrics
    }
    return {
        "metrics": metrics,
        "collapsed": level >= 0.99 and "accuracy" in metrics,
        "sample": ["an answer"],
        "examples": EXAMPLES,
        "tokens_per_word": 1.25,
    }


def examples(task: str) -> dict:
    described = tasks.task(task)
    chance = {"accuracy": 0.5, "f1": 0.667, "perplexity": 120.0}
    best = {**described.best, "perplexity": 7.0}
    return {
        "data": {"object": "d" * 64},
        "data_sha256": "d" * 64,
        "examples": EXAMPLES,
        "sample": [{f: f"some {f}" for f in (*described.inputs, described.target) if f}],
        "chance": {m: chance.get(m, 0.25) for m in described.metrics},
        "best": {m: best[m] for m in described.metrics},
    }


def tables(chosen: study.Study) -> results.Tables:
    """All result tables of a study, from made-up records."""
    found = {task: examples(task) for task in chosen.examples}
    parts = [rows.task_rows(found)]
    for model in chosen.models:
        record = checkpoint(model.family, model.name)
        base = variants.base_variant(chosen, model, chosen.seeds[0], record)
        parts.append(rows.model_rows(model, record))
        parts.append(rows.profile_rows(model.name, base.name, profile(model.family)))
        works = [_Work(chosen, model, base, task) for task in model.tasks]
        groups = [work.group() for work in works]
        for work, group in zip(works, groups, strict=True):
            parts += [
                rows.scored_rows(chosen, group, work.task, found[work.task]["chance"]),
                *work.more,
            ]
        if all(work.dense != base for work in works):
            parts.append(rows.scored_rows(chosen, [Scored(base, sizes(base))], "", {}))
        leading = [scored.variant for scored in groups[0]]
        for method, timed in ((chosen.methods[0], False), (chosen.runtime.method, True)):
            plain = [v for v in leading if v.method == method and v.protocol == "one-shot"]
            shown = leading[:1] + [v for v in plain if not v.settings]
            if timed:
                parts.append({"runtime": rows.runtime_rows(shown, latency(chosen, shown))})
            else:
                shown = [v for v in shown if v != base]
                parts.append(rows.histogram_rows(shown, histograms(model.family, shown)))
    return results.build(rows.merge(parts))


class _Work:
    """One model on one task, as `analysis.benchmarked` has it."""

    def __init__(
        self, chosen: study.Study, model: sections.Model, base: variants.Variant, task: str
    ):
        self.chosen, self.model, self.task = chosen, model, task
        self.more: list[rows.Rows] = []
        self.dense = base
        if task not in BUILTIN[model.name].pretrained:
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
        return [self.scored(variant) for variant in found]

    def scored(self, variant: variants.Variant) -> Scored:
        if not variant.reached:
            return Scored(variant, {})
        seed = len(self.task)  # the same examples for all
        return Scored(variant, sizes(variant), evaluation(self.task, hardness(variant), seed))

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
                _level(family, "magnitude-layer", "weights", level),
            )
            for level in chosen.sensitivity.allocate
        ]


def sizes(variant: variants.Variant) -> dict:
    level = variant.sparsity
    whole = int(4096 * (1 - level)) if variant.method == "structured" else 4096
    return {
        "bytes": {"dense": whole, "dense+zstd": int(4096 * (0.93 - 0.8 * level))},
        "bound_bytes": int(4000 * (1 - 0.9 * level)),
    }


def latency(chosen: study.Study, timed: list[variants.Variant]) -> dict:
    return {
        "kernel": "torch dense",
        "device": "cpu",
        "dtype": "float32",
        "threads": 2,
        "tokens": 32,
        "cells": [
            {
                "variant": name,
                "batch": batch,
                "peak_bytes": 1 << 22,
                "samples_ms": [4.0 * batch + 0.01 * i for i in range(10)],
            }
            for name in ("dense", *(v.name for v in timed[1:]))
            for batch in chosen.runtime.batches
        ],
    }


def environment(chosen: study.Study) -> dict:
    """An environment.json as a run would write it."""
    from analysis.environment import describe
    from analysis.runner import Tally

    return describe(chosen, {"evaluate_variant": Tally(computed=3, seconds=1.0)}, 12.0)
