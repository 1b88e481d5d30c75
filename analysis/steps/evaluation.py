"""A variant's scores on a task, example by example."""

import copy
import functools
import time
from collections import Counter
from dataclasses import dataclass
from typing import Any

import torch

from analysis.models.loading import load_model, put
from analysis.objects import Objects
from analysis.pruning.masks import read_pruned
from analysis.scoring.metrics import score
from analysis.scoring.predict import Inputs, predict, prepare, tokens_per_word
from analysis.steps.examples import read_examples
from analysis.tasks import task

_ONE_ANSWER = 0.99
_REMEMBERED = 4  # models that a worker keeps, for variants of several come in turn


@dataclass(frozen=True)
class _Opened:
    """A checkpoint and a task's examples, read; all that its variants by masks have in common."""

    model: Any
    tokenizer: Any
    inputs: Inputs
    examples: int
    tokens_per_word: float


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
    for digest in (checkpoint, data):
        objects.open(digest)  # refuses what is missing or damaged, remembered or not
    opened = _open(objects, checkpoint, data, task_name, batch_size, device)
    model = opened.model
    if masks is not None:
        pruned = read_pruned(objects.open(masks))
        model = copy.deepcopy(model)  # the dense one is wanted again
        put(model, pruned.masks, pruned.values)
    start = time.perf_counter()
    predictions = predict(model, opened.tokenizer, described, opened.inputs)
    seconds = time.perf_counter() - start
    return {
        "metrics": score(described.metrics, predictions, opened.inputs.expected),
        "collapsed": described.form != "causal" and _one_answer(predictions),
        "sample": predictions[:3],
        "examples": opened.examples,
        "tokens_per_word": round(opened.tokens_per_word, 4),
        "evaluate_seconds": round(seconds, 3),
    }


@functools.lru_cache(_REMEMBERED)
def _open(
    objects: Objects, checkpoint: str, data: str, task_name: str, batch_size: int, device: str
) -> _Opened:
    """Objects never change, so what is read of them stays true; nobody may change the model."""
    described = task(task_name)
    examples = read_examples(objects, data)
    model, tokenizer = load_model(objects.open(checkpoint), described.form, device)
    return _Opened(
        model,
        tokenizer,
        prepare(tokenizer, described, examples, batch_size),
        len(examples),
        tokens_per_word(tokenizer, described, examples),
    )


def _one_answer(predictions: list[Any]) -> bool:
    """Whether (almost) every example got the same answer: a score that says nothing."""
    return Counter(predictions).most_common(1)[0][1] >= _ONE_ANSWER * len(predictions)
