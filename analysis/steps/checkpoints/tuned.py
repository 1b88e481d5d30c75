"""Dense checkpoints fine-tuned for a task on training examples that were read of files."""

import time
from typing import Any

from analysis.engine.objects import Objects
from analysis.steps.checkpoints.builtin import checkpoint_record
from analysis.steps.examples.stored import drawn, read_examples
from analysis.training.tuning import tune


def fine_tune_checkpoint(
    objects: Objects,
    *,
    checkpoint: str,
    form: str,
    data: str,
    labels: int | None,
    examples: int | None,
    epochs: float,
    learning_rate: float,
    batch_size: int,
    max_tokens: int,
    seed: int,
    threads: int,
    device: str,
    dtype: str,
    label_words: dict[str, int] | None = None,
) -> dict[str, Any]:
    """Record of a copy of the checkpoint (an object's digest) fine-tuned on examples.

    data      object of training examples, as `tasks.training_example` makes them
    examples  how many of them, drawn with the seed; None takes all

    All else is as `models.tuning.tune` takes it.
    """
    chosen = drawn(read_examples(objects, data), examples, seed)
    with objects.scratch() as scratch:
        folder = scratch / "checkpoint"
        start = time.perf_counter()
        facts = tune(
            objects.open(checkpoint),
            form,
            chosen,
            labels=labels,
            label_words=label_words,
            learning_rate=learning_rate,
            batch_size=batch_size,
            epochs=epochs,
            seed=seed,
            threads=threads,
            device=device,
            dtype=dtype,
            max_tokens=max_tokens,
            out=folder,
        )
        return checkpoint_record(objects, folder, time.perf_counter() - start, facts)
