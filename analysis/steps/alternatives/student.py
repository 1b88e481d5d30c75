"""A student of half its teacher's depth, distilled on the task: a checkpoint of its own."""

import time
from collections import Counter
from pathlib import Path
from typing import Any

import torch

from analysis.alternatives.student import depths, distil, halved
from analysis.checkpoints.checkpoint import open_checkpoint
from analysis.checkpoints.digests import content_sha256
from analysis.checkpoints.opened import opened
from analysis.checkpoints.weights import FILE, require_finite
from analysis.engine.objects import Objects
from analysis.models.loading import load_model
from analysis.steps.recovery.courses import course_on
from analysis.training.recovery import flushing_denormals


def distil_student(
    objects: Objects,
    *,
    checkpoint: str,
    weights_sha256: str,
    course: dict[str, Any],
) -> dict[str, Any]:
    """Record of the student of the checkpoint (an object's digest), the task's teacher.

    `weights_sha256` is the key's; the record's is that of the student's tensors. `course` is as
    `course_on` takes it. `layers` are the
    blocks of all stacks. Raises RunError if training diverges.
    """
    chosen = course_on(objects, course)
    torch.set_num_threads(chosen.threads)
    teacher, tokenizer = load_model(objects.open(checkpoint), chosen.form, chosen.device)
    student = halved(teacher)
    start = time.perf_counter()
    with flushing_denormals() as flushed:
        losses = distil(student, teacher, tokenizer, chosen)
    seconds = time.perf_counter() - start
    with objects.scratch() as scratch:
        folder = scratch / "checkpoint"
        narrowed: Any = student  # what a wrapper of transformers makes of `to` has no types
        narrowed.to(_stored_as(objects.open(checkpoint))).save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        with opened(folder) as model:
            require_finite(model.weights, model.named)
            named, sizes = model.named, model.sizes
        digest = content_sha256(open_checkpoint(folder))
        size = (folder / FILE).stat().st_size
        new = objects.adopt(folder)
    return {
        "checkpoint": {"object": new},
        "weights_sha256": digest,
        "parameters": sum(sizes.values()),
        "prunable_parameters": sum(sizes[n] for n, what in named.items() if what.prunable),
        "bytes": size,
        "layers": {
            "kept": sum(depths(student.config).values()),
            "of": sum(depths(teacher.config).values()),
        },
        "train_seconds": round(seconds, 3),
        "final_loss": losses[-1],
        "flush_denormal": flushed,
    }


def _stored_as(folder: Path) -> torch.dtype:
    """The type that most of a checkpoint's weights are stored in."""
    with opened(folder) as model:
        counts: Counter[str] = Counter()
        for name, size in model.sizes.items():
            counts[model.dtypes[name].name] += size
    found: torch.dtype = getattr(torch, counts.most_common(1)[0][0])
    return found
