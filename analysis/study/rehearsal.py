"""A study as it is rehearsed: random replicas of true shape, and as little data as shows the rest.

What weights, their training and their files take depends on shapes, not on what weights mean or how
many examples are answered. So every step is there, and works on little.
"""

import os
from typing import Any, Literal, TypeVar

from analysis.errors import RequestError
from analysis.study import Study
from analysis.study.sections import Pretraining, Section, Shape

VARIABLE = "SPARSITY_REHEARSE"
Kind = Literal["", "true", "tiny"]
SectionT = TypeVar("SectionT", bound=Section)

_EXAMPLES = {"true": 2, "tiny": 4}
_CALIBRATED = 8
_SHORT = {"min_runs": 3, "min_seconds": 0.0, "warmup_runs": 1, "warmup_seconds": 0.0}
_TINY_TOKENS = 16
_TINY_SHAPE = {"layers": 2, "width": 32, "heads": 2, "vocabulary": 400, "positions": 64}


def chosen() -> Kind:
    """What the environment asks for: "true" size, "tiny" stand-ins, or no rehearsal."""
    asked = os.environ.get(VARIABLE, "")
    if asked in ("", "0"):
        return ""
    if asked in ("1", "true"):
        return "true"
    if asked == "tiny":
        return "tiny"
    raise RequestError(f"{VARIABLE}: got {asked!r}. Allowed: 1 (true size), tiny, or nothing.")


def rehearsed(study: Study, kind: Kind) -> Study:
    """The study with replicas in place of published checkpoints, and little of everything else."""
    if not kind:
        return study
    changes: dict[str, Any] = {
        "rehearsal": kind,
        "examples": dict.fromkeys(study.tasks, _EXAMPLES[kind]),
        "fine_tuning": _one_step(study.fine_tuning),
        "calibration": _changed(study.calibration, examples=_CALIBRATED),
        "runtime": _changed(study.runtime, batches=study.runtime.batches[:1], **_SHORT),
        "models": tuple(
            _changed(
                model,
                fine_tuning=_one_step(model.fine_tuning) if model.fine_tuning else None,
                **_shrunk(model, kind),
            )
            for model in study.models
        ),
    }
    if study.recovery is not None:
        changes["recovery"] = _changed(
            study.recovery,
            training=_one_step(study.recovery.training),
            gradual=_one_step(study.recovery.gradual),
        )
    if study.sensitivity is not None:
        changes["sensitivity"] = _changed(study.sensitivity, examples=_EXAMPLES[kind])
    if study.alternatives is not None:
        student = _one_step(study.alternatives.student)
        changes["alternatives"] = _changed(study.alternatives, student=student)
    if kind == "tiny":
        changes["runtime"] = _changed(
            changes["runtime"], tokens=_TINY_TOKENS, new_tokens=4, max_seconds=1.0, replica=None
        )
        changes["calibration"] = _changed(changes["calibration"], tokens=_TINY_TOKENS)
    return _changed(study, **changes)


def _shrunk(model: Any, kind: Kind) -> dict[str, Any]:
    """Of a model that the study trains itself, a toy."""
    if model.source != "scratch":
        return {}
    little = {"pretraining": _changed(model.pretraining or Pretraining(), epochs=0.01)}
    if kind == "true":
        return little
    return little | {"shape": _changed(model.shape or Shape(), **_TINY_SHAPE)}


def _one_step(training: Any) -> Any:
    """One batch of the true size: what a step takes, it takes in each."""
    return _changed(training, examples=training.batch_size, epochs=1.0)


def _changed(section: SectionT, **changes: Any) -> SectionT:
    return section.model_copy(update=changes)
