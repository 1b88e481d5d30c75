"""A variant's scores on a task, example by example."""

import copy
import json
import time
from collections import Counter, OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch

from analysis.checkpoints.checkpoint import open_checkpoint
from analysis.engine import processes
from analysis.engine.objects import Objects
from analysis.errors import RequestError
from analysis.models.loading import load_model, put, torch_type
from analysis.pruning.masks import read_pruned
from analysis.scoring.batches import MEMORY_BYTES
from analysis.scoring.metrics import score
from analysis.scoring.predict import (
    Inputs,
    predict,
    prepare,
    protocol,
    tokens_per_word,
)
from analysis.steps.examples.stored import read_examples
from analysis.steps.place import Place
from analysis.tasks import Task, task

_ONE_ANSWER = 0.99
_LARGE_BYTES = 1_000_000_000  # a larger one is not kept, and never held twice


@dataclass(frozen=True)
class _Opened:
    """A checkpoint and a task's examples, read; all that its variants by masks have in common."""

    model: Any
    tokenizer: Any
    inputs: Inputs
    examples: int
    tokens_per_word: float


class _Remembered:
    """What was opened last, as much of it as fits; what was longest unused goes first."""

    def __init__(self, limit: int):
        self._limit = limit
        self._kept: OrderedDict[tuple[Any, ...], tuple[_Opened, int]] = OrderedDict()

    @property
    def bytes(self) -> int:
        """Of all models that are kept."""
        return sum(size for _, size in self._kept.values())

    def get(self, key: tuple[Any, ...], size: int, make: Callable[[], _Opened]) -> _Opened:
        """What was opened under that key; room for it is made before it is opened."""
        if key in self._kept:
            self._kept.move_to_end(key)
            return self._kept[key][0]
        while self._kept and self.bytes + size > self._limit:
            self._kept.popitem(last=False)
        made = make()
        if size <= _LARGE_BYTES:
            self._kept[key] = made, size
        return made


_remembered = _Remembered(processes.OPENED_BYTES)


def evaluate_variant(
    objects: Objects,
    *,
    checkpoint: str,
    masks: str | None,
    task_name: str,
    data: str,
    batch_size: int | Literal["auto"],
    place: dict[str, Any],
    memory_bytes: int = MEMORY_BYTES,
    settings: dict[str, Any] | None = None,
    said: str = "",
) -> dict[str, Any]:
    """Record: each metric's value and per-example statistics, and whether the model collapsed.

    checkpoint, masks and data are objects' digests; masks None evaluates the checkpoint as it is.
    place is as of `Place`; memory_bytes is what a batch may take if its size is "auto"; settings
    are the fields of the task that its data decide; `said` is how the user calls model and data,
    for errors.
    """
    where, described = Place(**place), task(task_name, settings)
    torch.set_num_threads(where.threads)
    folder = objects.open(checkpoint)  # refuses what is missing or damaged, remembered or not
    objects.open(data)
    size = _model_bytes(folder, torch_type(where.dtype))

    def opened() -> _Opened:
        model, tokenizer = load_model(folder, described.form, where.device, where.dtype)
        try:
            return _open(objects, model, tokenizer, described, data, batch_size, memory_bytes)
        except RequestError as error:  # of model and data together
            raise RequestError(f"{said}: {error}" if said else str(error)) from error

    about = (task_name, json.dumps(settings, sort_keys=True), batch_size, memory_bytes)
    key = (objects.root, checkpoint, data, *about, where.device, where.dtype)
    common = _remembered.get(key, size, opened)
    model = common.model if masks is None else _pruned(objects, common.model, size, masks)
    start = time.perf_counter()
    predictions = predict(model, common.tokenizer, described, common.inputs)
    seconds = time.perf_counter() - start
    return {
        "metrics": score(
            described.metrics, predictions, common.inputs.expected, described.tokenizers
        ),
        "device": where.device,
        "dtype": where.dtype,
        "protocol": protocol(model, common.tokenizer, described),
        "collapsed": _answers_differ(described) and _one_answer(predictions),
        "sample": predictions[:3],
        "examples": common.examples,
        "tokens_per_word": round(common.tokens_per_word, 4),
        "evaluate_seconds": round(seconds, 3),
    }


def _pruned(objects: Objects, model: Any, size: int, masks: str) -> Any:
    """The model of so many bytes, pruned: a copy, or itself if that is too large to be kept."""
    pruned = read_pruned(objects.open(masks))
    if size <= _LARGE_BYTES:
        model = copy.deepcopy(model)  # the dense one is wanted again
    put(model, pruned.masks, pruned.values)
    return model


def _open(
    objects: Objects,
    model: Any,
    tokenizer: Any,
    described: Task,
    data: str,
    batch_size: int | Literal["auto"],
    memory_bytes: int,
) -> _Opened:
    """Objects never change, so what is read of them stays true; a remembered model is not to be
    changed either."""
    examples = read_examples(objects, data)
    return _Opened(
        model,
        tokenizer,
        prepare(model, tokenizer, described, examples, batch_size, memory_bytes),
        len(examples),
        tokens_per_word(tokenizer, described, examples),
    )


def _model_bytes(folder: Path, dtype: torch.dtype) -> int:
    """Bytes of the checkpoint's weights in that type."""
    tensors = open_checkpoint(folder).tensors.values()
    return sum(tensor.size for tensor in tensors) * dtype.itemsize


def _answers_differ(described: Task) -> bool:
    """Whether a model that looks at its inputs gives different answers, as labels and texts are."""
    return described.is_classification or described.form == "text-to-text"


def _one_answer(predictions: list[Any]) -> bool:
    """Whether (almost) every example got the same answer: a score that says nothing."""
    return Counter(predictions).most_common(1)[0][1] >= _ONE_ANSWER * len(predictions)
