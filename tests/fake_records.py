"""Records as the steps would give them, made up: models, prunings, alternatives, scores, sizes."""

from collections.abc import Sequence

import numpy as np

from analysis import pruning, sections, study, tasks, variants
from analysis.models import naming
from analysis.models.tensors import in_memory
from analysis.profile.checkpoint import profile as profile_checkpoint
from analysis.pruning import patterns
from analysis.scoring.statistics import METRICS

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
    listed = [pruned_level(family, method, kind, level) for level in asked]
    return {"peak_bytes": None if kind == "trained" else 1 << 20, "levels": listed}


def pruned_level(family: str, method: str, kind: str, level: float | str) -> dict:
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


_ALTERNATIVES = {
    "dense": lambda settings: 0.0,
    "int8": lambda settings: 0.1,
    "student": lambda settings: 0.35,
    "moe": lambda s: 0.75 * (1 - s["run_share"]) + 0.01 * (s["router"] == "learned"),
}


def hardness(variant: variants.Variant) -> float:
    """The level at which plain magnitude would hurt as much as this variant is hurt at its own."""
    if variant.kind != "pruned":
        return _ALTERNATIVES[variant.kind](variant.settings)
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


def alternative(kind: str, dense: variants.Variant, wanted: sections.Alternatives) -> dict:
    """What makes the variants of that kind, of a dense one."""
    shared = {
        "checkpoint": {"object": f"{kind}-{dense.name}"},
        "weights_sha256": f"{kind}-{dense.name}",
        "parameters": dense.parameters,
    }
    if kind == "int8":
        return shared | {"quantised_weights": dense.prunable}
    if kind == "student":
        half = {"parameters": dense.parameters // 2, "prunable_parameters": dense.prunable // 2}
        layers = {"kept": 2, "of": 4}
        return shared | half | {"layers": layers, "flush_denormal": True, "train_seconds": 9.5}
    return {
        "levels": [
            shared
            | {"run": run, "experts": wanted.experts, "router": router, "train_seconds": 3.5}
            | {"run_share": run / wanted.experts, "hit": 0.8 if router == "learned" else 1.0}
            for run in wanted.run
            for router in ("learned", "oracle")
        ]
    }


_FILES = {"int8": 0.3, "student": 0.55, "moe": 1.02}  # shares of the dense one


def sizes(variant: variants.Variant, formats: Sequence[str]) -> dict:
    """Bytes by format: sparse files near the bound, which a compressor of dense ones is not."""
    smaller = variant.method == "structured"
    share = 0.0 if smaller else variant.sparsity  # of zeros
    whole = int(4096 * _FILES.get(variant.kind, 1 - variant.sparsity if smaller else 1))
    entropy = -sum(p * np.log2(p) for p in (share, 1 - share) if p)
    bound = int(whole * (1 - share + entropy / 32))
    listed = {
        "dense": whole,
        "dense+zstd": int(whole * (0.93 - 0.8 * share)),
        "bitmask": int(whole * (1 - share + 1 / 32)),
        "csr16": int(whole * 1.5 * (1 - share)) + 64,
        "auto": min(whole, int(1.02 * bound)),
        "auto+zstd": min(whole, int(1.01 * bound)),
    }
    return {"bytes": {name: listed[name] for name in formats}, "bound_bytes": bound}
