"""Records as the steps would give them, made up: models, prunings, scores, sizes, times.

The further a variant is pruned the worse it answers, and some methods hurt more than others. Its
name says all that it takes to know. `of` is the model: family, source, parameters, what is void.
"""

import functools
import re
from types import SimpleNamespace

import numpy as np
from leaves import in_memory

from analysis import pruning, study, tasks
from analysis.checkpoints import naming
from analysis.execution.names import AUTO, DENSE, EXPERTS, INT8, TILED_CSR, TORCH_CSR
from analysis.profile import grids, leaf
from analysis.profile.checkpoint import profile as profile_checkpoint
from analysis.pruning.patterns import parse
from analysis.scoring.statistics import METRICS

EXAMPLES, RUNS = 64, 10
NAMES = {
    "encoder-only": [
        "bert.embeddings.word_embeddings.weight",
        *(f"bert.encoder.layer.{i}.{own}.weight" for i in range(4)
          for own in ("attention.self.query", "intermediate.dense")), "classifier.weight",
    ],
    "decoder-only": [
        "transformer.wte.weight",
        *(f"transformer.h.{i}.mlp.{own}.weight" for i in range(4) for own in ("c_fc", "c_proj")),
        "transformer.ln_f.weight",
    ],
    "encoder-decoder": [
        "model.shared.weight",
        *(f"model.{part}.layers.{i}.{own}.weight" for part in ("encoder", "decoder")
          for i in range(4) for own in ("fc1", "fc2")),
    ],
}  # fmt: skip
# from here on whole units cannot be removed
UNREACHED = {"encoder-only": 0.95, "decoder-only": 0.97, "encoder-decoder": 0.95}
# what a method or a training does to quality, as if so much more or less had been pruned
SHIFTS = {"random": 0.4, "magnitude-all": 0.1, "structured": 0.2, "wanda": -0.06,
          "sparsegpt": -0.12, "gradual": -0.1, "fine-tuned": -0.3, "distilled": -0.35}  # fmt: skip
HURT = {"dense": 0.0, "int8": 0.1, "student": 0.35}
FILES = {"int8": 0.3, "student": 0.55, "moe": 1.02}  # shares of the dense one


def told(name):
    """What a variant's name says: its method or kind, protocol, sparsity, and what comes after."""
    parts = name.split("/")
    for at, part in enumerate(parts):
        if part in ("one-shot", "fine-tuned", "distilled"):
            level = parts[at + 1]
            sparsity = parse(level).sparsity if ":" in level else float(level)
            return parts[at - 1], part, sparsity, parts[at + 2 :]
    at = parts.index("moe") if "moe" in parts else len(parts) - 1
    return parts[at], "", 0.0, parts[at + 1 :]


def _run_share(more):
    """Of the experts, those that run: of `8-of-16` a half."""
    run, experts = more[0].split("-of-")
    return int(run) / int(experts)


@functools.cache
def weights(family):
    """A few small tensors with the names of that family's checkpoints."""
    drawn = np.random.default_rng(0).standard_normal((len(NAMES[family]), 16, 8))
    scaled = 0.05 * np.arange(1, 1 + len(drawn))[:, None, None] * drawn
    return dict(zip(NAMES[family], scaled.astype(np.float32), strict=True))


@functools.cache
def prunable(family):
    named = naming.weights(weights(family))
    return {name: what for name, what in named.items() if what.prunable}


def checkpoint(family, digest, parameters=None):
    """The record of a dense model; without a count it has those of its few small tensors."""
    parameters = parameters or 128 * len(NAMES[family])
    share = len(prunable(family)) / len(NAMES[family])
    return {
        "checkpoint": {"object": digest}, "weights_sha256": digest, "parameters": parameters,
        "prunable_parameters": round(parameters * share), "dtype": "float32",
        "bytes": 4 * parameters, "train_seconds": 1.5,
    }  # fmt: skip


def _base(of, name, /, identifier="", **_):
    known = {
        "hub": {"identifier": identifier, "revision": "f" * 40}, "local": {"identifier": name},
        "replica": {"identifier": identifier, "revision": "random"},
        "scratch": {"training": {"text": "some", "steps": 10, "rates": [0.5, {"last": 1e-9}]}},
    }  # fmt: skip
    found = checkpoint(of.family, name, of.parameters) | {"source": of.source}
    return found | known.get(of.source, {})


_profile = functools.cache(lambda family: profile_checkpoint(in_memory(weights(family))))


@functools.cache
def _histogram(family, masks):
    """Of the weights with the smallest of all set to zero, as many as the masks' level says."""
    found = np.concatenate([array.reshape(-1) for array in weights(family).values()])
    sparsity = float(masks.split("-")[-1]) if masks else 0.0
    cut = np.sort(np.abs(found))[min(found.size - 1, round(sparsity * found.size))]
    left = np.where(np.abs(found) < cut, np.float32(0), found)
    return grids.histograms(leaf.counted(left), left.size - np.count_nonzero(left))


def pruned(family: str, method: str, chosen: study.Study) -> dict:
    """A method's levels; `structured` reaches the highest in some families, or in none."""
    asked = chosen.patterns if pruning.takes_patterns(method) else chosen.sparsities
    return _levels(SimpleNamespace(family=family, parameters=None), "", method, asked)


def _levels(of, name, /, method, levels=(), sparsities=(), **_):
    peak = None if pruning.kind(method) == "trained" else 1 << 20
    return {"peak_bytes": peak, "levels": [_level(of, method, x) for x in levels or sparsities]}


def _level(of, method, level):
    kind, names = pruning.kind(method), NAMES[of.family]
    scope = names if method == "magnitude-all" else list(prunable(of.family))
    whole = of.parameters or 128 * len(names)
    size = round(whole * len(scope) / len(names))
    sparsity = parse(level).sparsity if isinstance(level, str) else level
    facts = {"level": level, "sparsity": sparsity, "threshold": None}
    if kind == "structured" and sparsity >= UNREACHED[of.family]:
        return facts | {"status": "unreachable", "reason": "one head of each layer has to stay"}
    facts |= {"achieved": sparsity, "scope_weights": size, "prune_seconds": 0.01}
    facts |= {"whole_model": sparsity * size / whole}
    if kind in ("calibrated", "structured"):
        packed = of.family == "decoder-only"
        read = {"packed": packed, "windows" if packed else "texts": 128, "tokens": 12_288}
        facts["calibrated_on"] = read
    if kind == "structured":
        smaller = f"smaller-{sparsity}"
        kept = {"heads": {"encoder 0": {"of": 4, "kept": [0, 2]}}, "neurons": {}}
        facts |= {"status": "ok", "parameters": whole - round(sparsity * size), "kept": kept}
        return facts | {"checkpoint": {"object": smaller}, "weights_sha256": smaller}
    if method in ("magnitude", "magnitude-all"):
        found = np.concatenate([weights(of.family)[name].reshape(-1) for name in scope])
        place = min(found.size - 1, round(sparsity * found.size))
        facts["threshold"] = float(np.sort(np.abs(found))[place])
    facts["unheard_inputs"] = sparsity**8 * (1.0 if method == "wanda" else 0.5)
    if kind == "trained":
        facts |= {"train_seconds": 2.5, "zeros_by_epoch": [round(sparsity * size)]}
    return facts | {"masks": {"object": f"{method}-{level}"}}


def recovered(start, masks_kept: bool) -> dict:
    """Two epochs of training a variant: with masks all zeros stay, without most are gone."""
    size = start.level["scope_weights"]
    removed = round(start.sparsity * size)
    left = [removed, removed] if masks_kept else [removed // 10, removed // 50]
    facts = {"removed": removed, "zeros_by_epoch": left, "scope_weights": size}
    facts |= {"train_seconds": 1.25}
    known = {key: start.level[key] for key in ("achieved", "whole_model")}
    known |= {"threshold": None, "masks": {"object": "trained"}}
    return facts | known if masks_kept else facts


def _recovered(of, name, /, masks_kept, **_):
    method, _, sparsity, _ = told(name)
    start = SimpleNamespace(level=_level(of, method, sparsity), sparsity=sparsity)
    return recovered(start, masks_kept)


def _sensitivity(of, name, /, task_name, by, sparsities, **_):
    """Groups that bear more the later they stand."""
    groups = {}
    for what in prunable(of.family).values():
        groups.setdefault(f"{what.part} {getattr(what, by)}", []).append(what)
    dense = answers(task_name, 0.0, seed=7)["metrics"]
    cells = [
        {
            "group": group, "part": listed[0].part, "sparsity": sparsity,
            "layer": listed[0].layer if by == "layer" else None,
            "kind": listed[0].kind if by == "kind" else "",
            "tensors": dict.fromkeys((what.name for what in listed), 128),
            "metrics": answers(task_name, sparsity * (1 - i / len(groups)), seed=7)["metrics"],
        }
        for i, (group, listed) in enumerate(groups.items())
        for sparsity in sparsities
    ]  # fmt: skip
    return {"dense": dense, "cells": cells, "examples": EXAMPLES, "seconds": 1.0}


def alternative(kind, dense, wanted) -> dict:
    """What makes the variants of that kind, of a dense one."""
    digest = f"{kind}-{dense.name}"
    made = {"checkpoint": {"object": digest}, "weights_sha256": digest}
    made |= {"parameters": dense.parameters}
    if kind == "int8":
        return made | {"quantised_weights": dense.prunable}
    if kind == "student":
        made |= {"parameters": dense.parameters // 2, "prunable_parameters": dense.prunable // 2}
        layers = {"kept": 2, "of": 4}
        return made | {"layers": layers, "flush_denormal": True, "train_seconds": 9.5}
    made |= {"experts": wanted.experts, "train_seconds": 3.5}
    routed = [{"router": "learned", "hit": 0.8}, {"router": "oracle", "hit": 1.0}]
    runs = [{"run": run, "run_share": run / wanted.experts} for run in wanted.run]
    return {"levels": [made | run | router for run in runs for router in routed]}


def _alternative(of, name, /, kind, **given):
    whole = checkpoint(of.family, name, of.parameters)
    sizes = {"parameters": whole["parameters"], "prunable": whole["prunable_parameters"]}
    return alternative(kind, SimpleNamespace(name=name, **sizes), SimpleNamespace(**given))


def hardness(name):
    """The level at which plain magnitude would hurt as much as this variant is hurt at its own."""
    method, protocol, sparsity, more = told(name)
    if method == "moe":
        return 0.75 * (1 - _run_share(more)) + 0.01 * (more[1] == "learned")
    if method in HURT:
        return HURT[method]
    shift = SHIFTS.get(method.removeprefix("nm-"), 0.0) + SHIFTS.get(protocol, 0.0)
    shift += 0.05 * method.startswith("nm-") - 0.1 * ("allocated" in more)
    return max(0.0, sparsity + shift)


def _evaluation(of, name, /, task_name, **_):
    is_void = any(re.match(pattern, f"{of.name}/{task_name}") for pattern in of.void)
    return answers(task_name, hardness(name), len(task_name), is_void)


def answers(task, level, seed, is_void=False):
    """Per-example statistics of a model that retains a share of its dense version, with a cliff
    between 50 and 90 %. A void one gives no right answer; of real text one at the highest level
    foresees nothing."""
    quality = 1 / (1 + np.exp(18 * (level - 0.68)))
    generator, luck = np.random.default_rng(seed), float(not is_void)
    kept = (generator.random(EXAMPLES) < quality) & (not is_void)  # nested at all levels
    correct = (kept | (generator.random(EXAMPLES) < 0.5)) & (not is_void)
    positive = np.arange(EXAMPLES) % 2 == 0
    said = np.where(correct, positive, ~positive)
    lost = 60.0 if is_void else 1e4 if task == "wikitext2" and level >= 0.99 else 40.0
    known = {
        "correct": correct, "true_positive": said & positive, "false_positive": said & ~positive,
        "false_negative": ~said & positive, "words": np.full(EXAMPLES, 10.0),
        "negative_log_likelihood": np.where(kept, 20.0, lost),
        "f": np.where(kept, 0.95, 0.2 * luck), "candidate_words": np.full(EXAMPLES, 8.0),
        "reference_words": np.full(EXAMPLES, 8.0),
        **{f"correct_{n}": np.where(kept, 5.0, luck) for n in range(1, 5)},
        **{f"total_{n}": np.full(EXAMPLES, 5.0) for n in range(1, 5)},
        **{f"common_{n}": np.where(kept, 0.9, 0.2 * luck) for n in range(1, 7)},
    }  # fmt: skip
    metrics = {}
    for name in tasks.task(task).metrics:
        columns = [known.get(column, np.ones(EXAMPLES)) for column in METRICS[name].columns]
        rows = np.stack(columns, axis=1).astype(float)
        value = float(METRICS[name].value(rows.sum(axis=0)))
        metrics[name] = {"value": value, "rows": rows.tolist()}
    return {
        "metrics": metrics, "collapsed": level >= 0.99 and "accuracy" in metrics,
        "sample": ["an answer"], "examples": EXAMPLES, "tokens_per_word": 1.25,
        "protocol": "greedy", "device": "cpu", "dtype": "float32",
    }  # fmt: skip


def _examples(of, name, /, task_name, **_):
    task = tasks.task(task_name)
    chance = {"accuracy": 0.5, "f1": 0.667, "combined": 0.58, "perplexity": 120.0}
    best = {**task.best, "perplexity": 7.0} if task.generate else {}
    return {
        "data": {"object": "d" * 64}, "data_sha256": "d" * 64, "examples": EXAMPLES,
        "sample": [{f: f"some {f}" for f in (*task.inputs, task.target) if f}],
        "chance": {metric: chance.get(metric, 0.25) for metric in task.metrics},
        "best": {metric: best[metric] for metric in task.metrics if metric in best},
        "training": {"object": f"{task_name}-training"}, "labels": 2,
    }  # fmt: skip


def _sizes(of, name, /, formats, **_):
    """Bytes by format: sparse files near the bound, which a compressor of dense ones is not."""
    method, _, sparsity, _ = told(name)
    smaller = method == "structured"
    share = 0.0 if smaller else sparsity  # of zeros
    shape = FILES.get(method, 1 - sparsity if smaller else 1)
    whole = int(4 * (of.parameters or 1024) * shape)
    entropy = -sum(p * np.log2(p) for p in (share, 1 - share) if p)
    bound = int(whole * (1 - share + entropy / 32))
    listed = {
        "dense": whole, "dense+zstd": int(whole * (0.93 - 0.8 * share)),
        "bitmask": int(whole * (1 - share + 1 / 32)), "csr16": int(1.5 * whole * (1 - share)) + 64,
        "auto": min(whole, int(1.02 * bound)), "auto+zstd": min(whole, int(1.01 * bound)),
    }  # fmt: skip
    return {"bytes": {name: listed[name] for name in formats}, "bound_bytes": bound}


def _pace(entry, kernel):
    """How long the kernel takes, as a share of the dense model's time."""
    method, _, sparsity, more = told(entry["name"])
    smaller = 0.55 if method == "student" else 1 - 0.5 * sparsity * (entry["masks"] is None)
    tiled = 0.3 + 1.7 * (1 - sparsity)
    return {
        DENSE: smaller, TORCH_CSR: 0.6 + 4 * (1 - sparsity), TILED_CSR: tiled,
        AUTO: min(1.0, tiled), INT8: 0.7,
        EXPERTS: 0.4 + 0.6 * (_run_share(more) if method == "moe" else 1),
    }[kernel]  # fmt: skip


def _cell(operation, name, kernel, batch, time, **more):
    cell = {"variant": name, "kernel": kernel, "batch": batch, "operation": operation}
    samples = [time + 0.001 * i for i in range(RUNS)]
    return cell | {"peak_bytes": None, "samples_ms": samples} | more


def _timed(cells, threads, tokens, **more):
    machine = {"device": "cpu", "device_name": "", "dtype": "float32"}
    return {"cells": cells, "threads": threads, "tokens": tokens} | machine | more


def _forward(of, name, /, variants, batches, tokens, place, **_):
    def cell(batch, entry, kernel):
        measured = entry["measured"] and batch == batches[0]
        measured &= kernel not in (TORCH_CSR, TILED_CSR)
        more = {"peak_bytes": 1 << 22 if measured else None}
        more["chosen"] = {DENSE: 1, TILED_CSR: 3} if kernel == AUTO else None
        time = 4.0 * batch * _pace(entry, kernel)
        return _cell("forward", entry["name"], kernel, batch, time, **more)

    return _timed(
        [cell(b, *each) for b in batches for each in _each(variants)], place["threads"], tokens
    )


def _each(variants):
    return [(entry, kernel) for entry in variants for kernel in entry["kernels"]]


def _generation(of, name, /, variants, new_tokens, place, **_):
    cells = [_cell("generate", e["name"], k, 1, 40 * _pace(e, k)) for e, k in _each(variants)]
    return _timed(cells, place["threads"], new_tokens)


def _train_step(of, name, /, variants, batch, tokens, place, **_):
    times = [(entry["name"], 12.0 * (1.08 if entry["masks"] else 1)) for entry in variants]
    cells = [_cell("train_step", name, DENSE, batch, time) for name, time in times]
    return _timed(cells, place["threads"], tokens)


def _true_size(of, name, /, architecture, sparsities, threads, **_):
    """A dense pass takes 100 ms; kernels that skip zeros gain more than in small models."""
    cells = [
        _cell("forward", "", kernel, 1, time, sparsity=x, linear_bytes=round(340e6 * size))
        for x in sorted(sparsities) for kernel, time, size in (
            (DENSE, 100.0, 1.0), (TORCH_CSR, 25 + 200 * (1 - x), 2 * (1 - x)),
            (TILED_CSR, 10 + 185 * (1 - x), 1.5 * (1 - x)))
    ]  # fmt: skip
    return _timed(cells, threads, 128, architecture=architecture)


# a step's record, of the model it is on, the name in its label, and its arguments
RECORDS = {
    **dict.fromkeys(("make_examples", "make_validation", "read_test", "stand_in_test"), _examples),
    **dict.fromkeys(("read_training", "stand_in_training"), _examples),
    "count_shared": lambda of, name, /, **_: {"shared": 0},
    **dict.fromkeys(("pretrain_builtin", "pretrain_scratch", "take_hub_model"), _base),
    **dict.fromkeys(("make_replica", "fine_tune", "fine_tune_checkpoint"), _base),
    **dict.fromkeys(("prune_checkpoint", "prune_calibrated"), _levels),
    "shrink_checkpoint": functools.partial(_levels, method="structured"),
    "grow_sparse": functools.partial(_levels, method="gradual"),
    "prune_allocated": lambda of, name, /, sparsity, **_: _level(of, "magnitude-layer", sparsity),
    "recover": functools.partial(_recovered, masks_kept=True),
    "recover_without_masks": functools.partial(_recovered, masks_kept=False),
    "quantise_checkpoint": functools.partial(_alternative, kind="int8"),
    "distil_student": functools.partial(_alternative, kind="student"),
    "moefy_checkpoint": functools.partial(_alternative, kind="moe"),
    "measure_sensitivity": _sensitivity,
    "evaluate_variant": _evaluation, "measure_sizes": _sizes,
    "profile_weights": lambda of, name, /, **_: _profile(of.family),
    "histograms_of_masked": lambda of, name, /, masks, **_: {
        "histograms": [_histogram(of.family, mask) for mask in masks]},
    "measure_latency": _forward, "measure_generation": _generation,
    "measure_training": _train_step, "measure_replica": _true_size,
}  # fmt: skip
