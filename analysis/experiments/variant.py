"""Variants: models as they are benchmarked, and where their weights and masks lie."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from analysis.engine.memo import Record
from analysis.pruning.patterns import parse
from analysis.results import Row
from analysis.study import Study
from analysis.study.sections import Model


@dataclass(frozen=True)
class Variant:
    """A model as it is benchmarked, and where its weights and masks lie."""

    name: str
    model: str
    task: str
    seed: int
    checkpoint: str
    weights_sha256: str
    parameters: int | None
    prunable: int
    train_seconds: float
    masks: str | None = None
    kind: str = "dense"
    method: str = "dense"
    protocol: str = ""
    sparsity: float = 0.0
    settings: Mapping[str, Any] = field(default_factory=dict)
    level: Mapping[str, Any] | None = None

    @property
    def reached(self) -> bool:
        """Whether there is such a model: a structured method cannot reach every level, and a step
        may have failed."""
        return self.level is None or self.level.get("status", "ok") == "ok"


@dataclass(frozen=True)
class Scored:
    """A variant with its bytes and, if it was put to a task, its evaluation."""

    variant: Variant
    sizes: Record
    evaluation: Record | None = None


def suffix(study: Study, seed: int) -> str:
    """What tells a seed's models, and the steps that make them, from another's by name."""
    return f"/seed-{seed}" if len(study.seeds) > 1 else ""


def base_variant(study: Study, model: Model, seed: int, record: Record) -> Variant:
    """The pretrained model, fine-tuned for no task."""
    return _dense(f"{model.name}/dense{suffix(study, seed)}", model, "", seed, record)


def dense_variant(study: Study, model: Model, task: str, seed: int, record: Record) -> Variant:
    """The model fine-tuned for the task, not pruned."""
    return _dense(f"{model.name}/{task}/dense{suffix(study, seed)}", model, task, seed, record)


def _dense(name: str, model: Model, task: str, seed: int, record: Record) -> Variant:
    return Variant(
        name=name,
        model=model.name,
        task=task,
        seed=seed,
        checkpoint=record["checkpoint"]["object"],
        weights_sha256=record["weights_sha256"],
        parameters=record["parameters"],
        prunable=record["prunable_parameters"],
        train_seconds=record["train_seconds"],
    )


def pruned_variant(
    study: Study, dense: Variant, method: str, protocol: str, record: Record, level: Row
) -> Variant:
    """The dense variant, pruned by a method to a level: by masks, or as a smaller checkpoint."""
    patterned = isinstance(level["level"], str)
    stem = "/".join(part for part in (dense.model, dense.task) if part)
    shown = level["level"] if patterned else f"{level['level']:g}"
    smaller, is_there = level.get("checkpoint"), level.get("status", "ok") == "ok"
    return replace(
        dense,
        name=f"{stem}/{method}/{protocol}/{shown}{suffix(study, dense.seed)}",
        checkpoint=smaller["object"] if smaller else dense.checkpoint,
        weights_sha256=level.get("weights_sha256", dense.weights_sha256),
        parameters=level.get("parameters", dense.parameters if is_there else None),
        train_seconds=level.get("train_seconds", 0.0),
        masks=level["masks"]["object"] if "masks" in level else None,
        kind="pruned",
        method=method,
        protocol=protocol,
        sparsity=level["sparsity"],
        settings=_settings(level, patterned) | of_training(record),
        level=level | {"peak_bytes": record.get("peak_bytes")},
    )


def _settings(level: Row, patterned: bool) -> Row:
    """What a name does not say of how the level was pruned."""
    return {
        **({"pattern": level["level"]} if patterned else {}),
        **{key: level[key] for key in ("notes", "kept", "calibrated_on") if level.get(key)},
    }


def of_training(record: Record) -> Row:
    """Whether denormal numbers were flushed to zero, where there was training."""
    return {"flush_denormal": record["flush_denormal"]} if "flush_denormal" in record else {}


def failed_variant(
    study: Study, dense: Variant, method: str, protocol: str, level: float | str, reason: str
) -> Variant:
    """What the dense variant would have become, had the step not failed."""
    sparsity = parse(level).sparsity if isinstance(level, str) else level
    return pruned_variant(
        study, dense, method, protocol, {}, {"level": level, "sparsity": sparsity} | _failed(reason)
    )


def failed(variant: Variant, reason: str) -> Variant:
    """The variant, of which a step failed."""
    return replace(variant, level={**(variant.level or {}), **_failed(reason)})


def failed_dense(
    study: Study, model: Model, task: str, seed: int, reason: str, kind: str = "dense"
) -> Variant:
    """The dense model of a task, or an alternative to it, that could not be had."""
    return Variant(
        name=f"{model.name}/{task}/{kind}{suffix(study, seed)}",
        model=model.name,
        task=task,
        seed=seed,
        checkpoint="",
        weights_sha256="",
        parameters=None,
        prunable=0,
        train_seconds=0.0,
        kind=kind,
        method=kind,
        level=_failed(reason),
    )


def _failed(reason: str) -> Row:
    return {"status": "failed", "reason": reason}


def renamed(pruned: Variant, protocol: str) -> Variant:
    """The pruned variant under another protocol."""
    name = pruned.name.replace(f"/{pruned.protocol}/", f"/{protocol}/")
    return replace(pruned, name=name, protocol=protocol)


def trained_for(variant: Variant, task: str) -> Variant:
    """The variant under the name that it has where it is trained on a task which its dense model
    answers as it is: several tasks share that model, and none what was trained on it."""
    if variant.task:
        return variant
    model, _, rest = variant.name.partition("/")
    return replace(variant, name=f"{model}/{task}/{rest}")


def in_one_shot(variant: Variant, method: str) -> bool:
    """Whether it is the dense model, or pruned by this method and no more."""
    plain = variant.protocol == "one-shot" and "allocation" not in variant.settings
    return variant.kind == "dense" or (variant.method == method and plain)


def variant_row(variant: Variant) -> Row:
    """The row of table `variants`; a dense model removes nothing of its prunable weights."""
    level = variant.level or {"achieved": 0.0, "scope_weights": variant.prunable, "whole_model": 0}
    return {
        "variant": variant.name,
        "model": variant.model,
        "task": variant.task,
        "kind": variant.kind,
        "method": variant.method,
        "protocol": variant.protocol,
        "sparsity": variant.sparsity,
        **{
            column: level.get(column)
            for column in (
                "achieved",
                "scope_weights",
                "whole_model",
                "threshold",
                "prune_seconds",
                "peak_bytes",
                "reason",
                "unheard_inputs",
                "outside_share",
            )
        },
        "settings": json.dumps(variant.settings, sort_keys=True),
        "seed": variant.seed,
        "status": level.get("status", "ok"),
        "train_seconds": variant.train_seconds,
        "parameters": variant.parameters,
    }
