"""Recovery: pruned variants trained on with their masks kept; once, as a warning, without."""

from collections.abc import Awaitable
from dataclasses import replace
from typing import Any

from analysis import tasks
from analysis.engine.memo import Call, Record
from analysis.engine.runner import all_of
from analysis.experiments import costs, placement
from analysis.experiments.contract import TORCH, Step, foreseen_object
from analysis.experiments.examples import Data
from analysis.experiments.variant import (
    Scored,
    Variant,
    failed,
    of_training,
    renamed,
    trained_for,
)
from analysis.experiments.work import Found, Work
from analysis.models.alternative import code_of_kinds
from analysis.results import Rows
from analysis.study import Study
from analysis.study.sections import Model, Recovery, Training

RANK = 2


def course(study: Study, dense: Variant, data: Data, how: Training) -> dict[str, Any]:
    """What a step that trains is told of it; texts are cut where fine-tuning cuts them."""
    model = next(model for model in study.models if model.name == dense.model)
    tokens = (model.fine_tuning or study.fine_tuning).tokens
    return {
        "task": data.task,
        "training": data.training_object,
        **how.model_dump(),
        "max_tokens": tokens or tasks.task(data.task).max_tokens,
        "seed": dense.seed,
        "threads": study.compute.threads,
        "device": placement.device(study.compute),
    }


def _recovery(study: Study) -> Recovery:
    assert study.recovery is not None  # the study has been validated
    return study.recovery


def recover(study: Study, pruned: Variant, data: Data, protocol: str) -> Call:
    """A pruned variant, trained with its masks kept."""
    call = _trained(study, pruned, data, "recover", protocol)
    return replace(call, arguments={**call.arguments, "protocol": protocol})


def recover_without_masks(study: Study, pruned: Variant, data: Data) -> Call:
    """The same training with nothing to keep the zeros."""
    return _trained(study, pruned, data, "recover_without_masks", "fine-tuned without masks")


def _trained(study: Study, pruned: Variant, data: Data, step: str, how: str) -> Call:
    return Call(
        f"analysis.steps.recovery.recovered:{step}",
        {
            "checkpoint": pruned.checkpoint,
            "weights_sha256": pruned.weights_sha256,
            "masks": pruned.masks,
            "course": course(study, pruned, data, _recovery(study).training),
        },
        code=(tasks.module_name(data.task), *code_of_kinds()),
        libraries=TORCH,
        label=f"{pruned.name}: {how}",
    )


def recovered_variant(pruned: Variant, protocol: str, record: Record) -> Variant:
    """The pruned variant, trained with its masks kept."""
    return replace(
        renamed(pruned, protocol),
        train_seconds=record["train_seconds"],
        masks=record["masks"]["object"],
        settings={**pruned.settings, **of_training(record)},
        level={**(pruned.level or {}), **record},
    )


def recovery_rows(variant: Variant, record: Record, masks_kept: bool) -> Rows:
    """The rows of table `recovery`: how many of the removed weights are zero after each epoch."""
    return {
        "recovery": [
            {
                "variant": variant.name,
                "masks_kept": masks_kept,
                "epoch": epoch,
                "removed": record["removed"],
                "zeros": zeros,
                "sparsity": zeros / record["scope_weights"],
                "train_seconds": record["train_seconds"],
            }
            for epoch, zeros in enumerate(record["zeros_by_epoch"], start=1)
        ]
    }


def parts(work: Work) -> list[Awaitable[Found]]:
    """Each protocol that trains; once in a study, the same training without masks."""
    if not work.is_trained_on:
        return []
    found: list[Awaitable[Found]] = [
        _recovered(work, p) for p in work.study.protocols if p != "one-shot"
    ]
    if (work.model, work.data.task) == _first_trained(work.study) and work.leads:
        found.append(_unmasked(work))
    return found


async def _recovered(work: Work, protocol: str) -> Found:
    async def one(pruned: Variant) -> tuple[Scored, list[Rows]]:
        named = renamed(pruned, protocol)
        if not pruned.reached:
            return Scored(named, {}), []
        record, reason = await work.runner.attempt(recover(work.study, pruned, work.data, protocol))
        if record is None:
            return Scored(failed(named, str(reason)), {}), []
        variant = recovered_variant(pruned, protocol, record)
        return await work.scored(variant), [recovery_rows(variant, record, True)]

    found = await all_of(one(pruned) for pruned in await _to_train(work))
    return [scored for scored, _ in found], [more for _, listed in found for more in listed]


async def _to_train(work: Work) -> list[Variant]:
    """The variants that training starts from."""
    recovery = _recovery(work.study)
    found = await work.levels(recovery.method)
    return [trained_for(v, work.data.task) for v in found if v.sparsity in recovery.sparsities]


async def _unmasked(work: Work) -> Found:
    """The same training without masks, of which only the zeros are counted."""
    recovery = _recovery(work.study)
    for pruned in await work.levels(recovery.method):
        if pruned.sparsity == recovery.unmasked_at and pruned.reached:
            call = recover_without_masks(work.study, pruned, work.data)
            record, _ = await work.runner.attempt(call)
            if record is not None:
                return [], [recovery_rows(pruned, record, False)]
    return [], []


def _first_trained(study: Study) -> tuple[Model, str] | None:
    """The first model and task that is trained on after pruning."""
    assert study.recovery is not None
    pairs = [(m, t) for m in study.models for t in m.tasks if t in study.recovery.tasks]
    return pairs[0] if pairs else None


def _foreseen(call: Call) -> Record:
    return {
        "masks": foreseen_object(call),
        "train_seconds": 0.0,
        "removed": 0,
        "zeros_by_epoch": [],
        "scope_weights": 1,
    }


STEPS = {
    "recover": Step(_foreseen, estimate=costs.training),
    "recover_without_masks": Step(_foreseen, leads_on=False, estimate=costs.training),
}
