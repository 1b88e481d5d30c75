"""Dense checkpoints fine-tuned for a task on training examples that were read of files."""

import time
from typing import Any

from analysis.engine.objects import Objects
from analysis.steps.checkpoints.builtin import checkpoint_record
from analysis.steps.examples.stored import drawn, read_examples
from analysis.training.course import Course
from analysis.training.tuning import tune


def fine_tune_checkpoint(
    objects: Objects,
    *,
    checkpoint: str,
    form: str,
    data: str,
    labels: int | None,
    course: dict[str, Any],
    label_words: dict[str, int] | None = None,
) -> dict[str, Any]:
    """Record of a copy of the checkpoint (an object's digest) fine-tuned on examples.

    data      object of training examples, as `tasks.training_example` makes them
    course    as of `Course`; its `examples` are how many of them, drawn with the seed; None: all

    form, labels and label_words are as `training.tuning.tune` takes them.
    """
    chosen = drawn(read_examples(objects, data), course["examples"], course["seed"])
    taken = Course(form=form, **course | {"examples": chosen})
    with objects.scratch() as scratch:
        folder = scratch / "checkpoint"
        start = time.perf_counter()
        facts = tune(
            objects.open(checkpoint), taken, labels=labels, label_words=label_words, out=folder
        )
        return checkpoint_record(objects, folder, time.perf_counter() - start, facts)
