"""A variant's scores on a task, example by example."""

import time
from collections import Counter
from typing import Any

import torch

from analysis.models.loading import load_model, put
from analysis.objects import Objects
from analysis.pruning.masks import read_pruned
from analysis.scoring.metrics import score
from analysis.scoring.predict import predict, tokens_per_word
from analysis.steps.examples import read_examples
from analysis.tasks import task

_ONE_ANSWER = 0.99


def evaluate_variant(
    objects: Objects,
    *,
    checkpoint: str,
    masks: str | None,
    task_name: str,
    data: str,
    batch_size: int,
    threads: int,
    device: str,
) -> dict[str, Any]:
    """Record: each metric's value and per-example statistics, and whether the model collapsed.

    checkpoint, masks and data are objects' digests; masks None evaluates the checkpoint as it is.
    """
    torch.set_num_threads(threads)
    described = task(task_name)
    examples = read_examples(objects, data)
    model, tokenizer = load_model(objects.open(checkpoint), described.form, device)
    if masks is not None:
        pruned = read_pruned(objects.open(masks))
        put(model, pruned.masks, pruned.values)
    start = time.perf_counter()
    predictions, expected = predict(model, tokenizer, described, examples, batch_size)
    seconds = time.perf_counter() - start
    return {
        "metrics": score(described.metrics, predictions, expected),
        "collapsed": described.form != "causal" and _one_answer(predictions),
        "sample": predictions[:3],
        "examples": len(examples),
        "tokens_per_word": round(tokens_per_word(tokenizer, described, examples), 4),
        "evaluate_seconds": round(seconds, 3),
    }


def _one_answer(predictions: list[Any]) -> bool:
    """Whether (almost) every example got the same answer: a score that says nothing."""
    return Counter(predictions).most_common(1)[0][1] >= _ONE_ANSWER * len(predictions)
