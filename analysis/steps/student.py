"""A student of half its teacher's depth, distilled on the task: a checkpoint of its own."""

import time
from typing import Any

import torch

from analysis.alternatives.student import depths, distil, halved
from analysis.models import naming
from analysis.models import weights as stored
from analysis.models.loading import load_model
from analysis.models.recovery import flushing_denormals
from analysis.models.weights import FILE, read_weights, require_finite
from analysis.objects import Objects
from analysis.steps.trained import course_on


def distil_student(
    objects: Objects,
    *,
    checkpoint: str,
    weights_sha256: str,
    task: str,
    training: str | None,
    examples: int | str,
    epochs: float,
    learning_rate: float,
    batch_size: int,
    seed: int,
    threads: int,
    device: str,
    max_tokens: int | None = None,
) -> dict[str, Any]:
    """Record of the student of the checkpoint (an object's digest), the task's teacher.

    `weights_sha256` is the key's; the record's is that of the student's tensors. `layers` are the
    blocks of all stacks. Raises RunError if training diverges.
    """
    torch.set_num_threads(threads)
    course = course_on(
        objects,
        task,
        training,
        examples=examples,
        epochs=epochs,
        learning_rate=learning_rate,
        batch_size=batch_size,
        seed=seed,
        max_tokens=max_tokens,
    )
    teacher, tokenizer = load_model(objects.open(checkpoint), course.form, device)
    student = halved(teacher)
    start = time.perf_counter()
    with flushing_denormals() as flushed:
        losses = distil(student, teacher, tokenizer, course)
    seconds = time.perf_counter() - start
    with objects.scratch() as scratch:
        folder = scratch / "checkpoint"
        student.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        weights = read_weights(folder)
        require_finite(weights, weights)
        size = (folder / FILE).stat().st_size
        new = objects.adopt(folder)
    named = naming.weights(weights)
    return {
        "checkpoint": {"object": new},
        "weights_sha256": stored.weights_sha256(weights),
        "parameters": sum(weights[name].size for name in named),
        "prunable_parameters": sum(weights[n].size for n, what in named.items() if what.prunable),
        "bytes": size,
        "layers": {
            "kept": sum(depths(student.config).values()),
            "of": sum(depths(teacher.config).values()),
        },
        "train_seconds": round(seconds, 3),
        "final_loss": losses[-1],
        "flush_denormal": flushed,
    }
