"""Dense checkpoints: trained here, downloaded, opened or drawn at random, and fine-tuned."""

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from analysis import tasks
from analysis.engine.files import stamp
from analysis.engine.memo import Call, Record
from analysis.experiments import costs, placement
from analysis.experiments.contract import HUB, NUMPY, TORCH, Step, foreseen_checkpoint
from analysis.experiments.costs import Estimate, Setting
from analysis.experiments.variant import Variant, suffix
from analysis.models.family import shape_sha256
from analysis.results import Row, Rows
from analysis.study import Study
from analysis.study.sections import ALL, Model, Pretraining, Shape

# what a checkpoint is asked for as it comes, by family
_PRETRAINED = {
    "encoder-only": "masked",
    "decoder-only": "causal",
    "encoder-decoder": "text-to-text",
}


def base(study: Study, model: Model, seed: int, training: dict[str, Record]) -> Call:
    """The checkpoint that a model begins with; `training` has the records of training examples."""
    if model.source == "builtin":
        call = pretrain(model.name, seed, study.compute.threads)
        return replace(call, label=f"{model.name}{suffix(study, seed)}: pretrain")
    if model.source == "scratch":
        return _from_scratch(study, model, seed, training)
    if model.source == "local":
        return _local(model)
    return _replica(study, model) if study.rehearsal else _hub(model)


def pretrain(name: str, seed: int, threads: int) -> Call:
    """A built-in model, trained from scratch."""
    return Call(
        "analysis.steps.checkpoints.builtin:pretrain_builtin",
        {"name": name, "seed": seed, "threads": threads},
        libraries=TORCH,
        label=f"{name}: pretrain",
    )


def _from_scratch(study: Study, model: Model, seed: int, training: dict[str, Record]) -> Call:
    return Call(
        "analysis.steps.checkpoints.scratch:pretrain_scratch",
        {
            "family": model.family,
            "shape": (model.shape or Shape()).model_dump(),
            "training": (model.pretraining or Pretraining()).model_dump(),
            "texts": [training[task]["training"]["object"] for task in model.tasks],
            "seed": seed,
            "threads": study.compute.threads,
        },
        libraries=TORCH,
        label=f"{model.name}{suffix(study, seed)}: pretrain",
    )


def _local(model: Model) -> Call:
    folder = Path(str(model.path)).expanduser()
    return Call(
        "analysis.steps.checkpoints.sources:take_folder",
        {"files": stamp(folder)},
        carried={"path": str(folder)},
        libraries=NUMPY,
        label=f"{model.name}: open",
    )


def _hub(model: Model) -> Call:
    return Call(
        "analysis.steps.checkpoints.sources:take_hub_model",
        {
            "identifier": model.id,
            "revision": model.revision,
            "remote_code": model.remote_code,
        },
        libraries=HUB,
        label=f"{model.name}: download",
    )


def _replica(study: Study, model: Model) -> Call:
    return Call(
        "analysis.steps.checkpoints.sources:make_replica",
        {
            "identifier": model.id,
            "form": _PRETRAINED[model.family],
            "shape_sha256": shape_sha256(str(model.id)),
            "seed": 0,
            "tiny": study.rehearsal == "tiny",
        },
        libraries=TORCH,
        label=f"{model.name}: replica with random weights",
    )


def fine_tune(
    study: Study, model: Model, base: Variant, task: str, training: Record | None
) -> Call:
    """A copy of a checkpoint, fine-tuned for a task."""
    label = f"{model.name}{suffix(study, base.seed)}: fine-tune for {task}"
    if model.source == "builtin":
        return Call(
            "analysis.steps.checkpoints.builtin:fine_tune",
            {
                "checkpoint": base.checkpoint,
                "task": task,
                "seed": base.seed,
                "threads": study.compute.threads,
            },
            code=(tasks.module_name(task),),
            libraries=TORCH,
            label=label,
        )
    described, tuning = tasks.task(task), model.fine_tuning or study.fine_tuning
    data = None if training is None else training["training"]["object"]
    return Call(
        "analysis.steps.checkpoints.tuned:fine_tune_checkpoint",
        {
            "checkpoint": base.checkpoint,
            "form": tasks.training_form(described),
            "data": data,
            "labels": training["labels"] if training else None,
            "label_words": training.get("label_words", {}) if training else {},
            "course": {
                "examples": None if tuning.examples == ALL else tuning.examples,
                "epochs": tuning.epochs,
                "learning_rate": tuning.learning_rate,
                "batch_size": tuning.batch_size,
                "max_tokens": tuning.tokens or described.max_tokens,
                "seed": base.seed,
                "threads": study.compute.threads,
                **placement.fine_tuning(study.compute),
            },
        },
        libraries=TORCH,
        label=label,
    )


def model_rows(model: Model, record: Record) -> Rows:
    """The row of table `models`."""
    row = {
        **_named(model, record.get("identifier", "")),
        "source": record.get("source", model.source),
        "revision": record.get("revision") or record["weights_sha256"][:12],
        "training": json.dumps(record["training"]) if record.get("training") else None,
        "outside_share": record.get("outside_weights", {}).get("share"),
        **{
            column: record[column]
            for column in (
                "weights_sha256",
                "parameters",
                "prunable_parameters",
                "dtype",
                "bytes",
                "train_seconds",
            )
        },
    }
    return {"models": [row]}


def missing_model_rows(model: Model) -> Rows:
    """The row of a model that could not be had."""
    return {"models": [_named(model, model.id or "") | {"source": model.source}]}


def _named(model: Model, identifier: str) -> Row:
    return {"model": model.name, "family": model.family, "identifier": identifier or None}


def _downloaded(arguments: Mapping[str, Any], setting: Setting) -> Estimate:
    return Estimate(setting.bytes / costs.READ, 0.1e9, setting.bytes)


def _drawn(arguments: Mapping[str, Any], setting: Setting) -> Estimate:
    return Estimate(setting.bytes / costs.DRAWN, 1e9, setting.bytes)


STEPS = {
    "pretrain_builtin": Step(foreseen_checkpoint),
    "pretrain_scratch": Step(foreseen_checkpoint, estimate=costs.training),
    "take_hub_model": Step(foreseen_checkpoint, estimate=_downloaded),
    "take_folder": Step(foreseen_checkpoint),
    "make_replica": Step(foreseen_checkpoint, estimate=_drawn),
    "fine_tune": Step(foreseen_checkpoint, estimate=costs.training),
    "fine_tune_checkpoint": Step(foreseen_checkpoint, estimate=costs.training),
}
