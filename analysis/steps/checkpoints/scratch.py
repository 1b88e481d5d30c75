"""Dense checkpoints that a study trains from scratch on its own training texts."""

import time
from typing import Any

from analysis.engine.objects import Objects
from analysis.steps.checkpoints.builtin import checkpoint_record
from analysis.steps.examples.stored import read_examples
from analysis.tasks import Example
from analysis.training.pretraining import Text
from analysis.training.scratch import pretrain_scratch as pretrained


def pretrain_scratch(
    objects: Objects,
    *,
    family: str,
    shape: dict[str, Any],
    training: dict[str, Any],
    texts: list[str],
    seed: int,
    threads: int,
) -> dict[str, Any]:
    """Record of a model of that family and shape, pretrained on texts by its family's objective.

    texts            objects of training examples, as `tasks.training_example` makes them
    shape, training  as `models.scratch.pretrain_scratch` takes them
    """
    examples = [example for digest in texts for example in read_examples(objects, digest)]
    with objects.scratch() as scratch:
        folder = scratch / "checkpoint"
        start = time.perf_counter()
        facts = pretrained(
            family,
            shape,
            [text for example in examples for text in texts_of(example)],
            training,
            seed=seed,
            threads=threads,
            out=folder,
        )
        return checkpoint_record(objects, folder, time.perf_counter() - start, facts) | {
            "source": "scratch"
        }


def texts_of(example: Example) -> list[Text]:
    """The texts of a training example: the pair of one, source and target each for itself."""
    if "second" in example:
        return [(example["first"], example["second"])]
    return [example[name] for name in ("first", "text", "source", "target") if name in example]
