"""Records as the steps would give them, made up: results for tests that need no model."""

import numpy as np

from analysis import pruning, results, rows, study, tasks, variants
from analysis.models import naming
from analysis.models.tensors import in_memory
from analysis.profile.checkpoint import profile as profile_checkpoint
from analysis.pruning.scope import Scope
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
LATENCY = {"dense": 4.0}


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


def pruned(family: str, method: str, levels: tuple[float, ...]) -> dict:
    found = weights(family)
    named = naming.weights(found)
    module = pruning.method(method)
    scope = {name: found[name] for name in found if module.in_scope(named[name])}
    size = sum(a.size for a in scope.values())
    whole = sum(a.size for a in found.values())
    return {
        "peak_bytes": 1 << 20,
        "levels": [
            {
                "level": s.sparsity,
                "sparsity": s.sparsity,
                "achieved": s.sparsity,
                "scope_weights": size,
                "whole_model": s.sparsity * size / whole,
                "threshold": s.threshold,
                "prune_seconds": 0.01,
                "masks": {"object": f"{method}-{s.sparsity}"},
            }
            for s in module.select(Scope(scope), levels)
        ],
    }


def quality(level: float, method: str) -> float:
    """The share of what the dense model can do that is left: a cliff between 50 and 90 %."""
    shift = 0.1 if method == "magnitude-all" else 0.0
    return 1 / (1 + np.exp(18 * (level + shift - 0.68)))


def evaluation(task: str, level: float, method: str, seed: int) -> dict:
    """Per-example statistics of a model that retains `quality` of its dense version."""
    generator = np.random.default_rng(seed)  # the same draws at every level: nested answers
    kept = generator.random(EXAMPLES) < quality(level, method)
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
        base = variants.base_variant(chosen, model, 0, record)
        parts.append(rows.model_rows(model, record))
        parts.append(rows.profile_rows(model.name, base.name, profile(model.family)))
        groups = [_group(chosen, model, task) for task in model.tasks]
        for task, group in zip(model.tasks, groups, strict=True):
            parts.append(rows.scored_rows(chosen, group, task, found[task]["chance"]))
        parts.append(rows.scored_rows(chosen, [Scored(base, sizes(0.0))], "", {}))
        timed = [s.variant for s in groups[0] if s.variant.method in ("dense", "magnitude")]
        parts.append(rows.histogram_rows(timed, histograms(model.family, timed)))
        parts.append({"runtime": rows.runtime_rows(timed, latency(chosen, timed))})
    return results.build(rows.merge(parts))


def _group(chosen: study.Study, model: study.Model, task: str) -> list[Scored]:
    dense = variants.dense_variant(
        chosen, model, task, 0, checkpoint(model.family, f"{model.name}-{task}")
    )
    group = [dense] + [
        variants.pruned_variant(chosen, dense, method, "one-shot", record, level)
        for method in chosen.methods
        for record in [pruned(model.family, method, chosen.sparsities)]
        for level in record["levels"]
    ]
    return [
        Scored(v, sizes(v.sparsity), evaluation(task, v.sparsity, v.method, seed=len(task)))
        for v in group
    ]


def sizes(level: float) -> dict:
    return {
        "bytes": {"dense": 4096, "dense+zstd": int(4096 * (0.93 - 0.8 * level))},
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
