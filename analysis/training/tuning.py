"""Fine-tuning of any checkpoint for a task, once it is known to fit into memory."""

import functools
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForSeq2SeqLM,
    AutoModelForSequenceClassification,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from analysis.checkpoints.checkpoint import WRAPPED, open_checkpoint
from analysis.checkpoints.trust import trusted
from analysis.engine import machine
from analysis.errors import RequestError, RunError, unknown
from analysis.models.encoding import positions
from analysis.models.opening import CONFIG, MODEL, opening
from analysis.models.tokenizing import open_tokenizer
from analysis.training.batches import Example
from analysis.training.course import Course
from analysis.training.loop import fine_tune
from analysis.training.memory import training_bytes_of

_CLASSES = {
    "classification": AutoModelForSequenceClassification,
    "causal": AutoModelForCausalLM,
    "text-to-text": AutoModelForSeq2SeqLM,
}
_GB = 1e9
_USABLE = 0.75  # of the device's memory


def tune(
    folder: Path,
    course: Course,
    *,
    labels: int | None,
    out: Path,
    label_words: Mapping[str, int] | None = None,
) -> dict[str, Any]:
    """Fine-tune the checkpoint in `folder` by the course, save it to `out`; how it went.

    labels           of a classification, for which the model gets a new head
    label_words      the names of these where they have any, which the model keeps

    Raises RequestError if the request is wrong or there are no examples, RunError if the training
    would not fit into memory, or diverged.
    """
    if course.form not in _CLASSES:
        raise RequestError(unknown("form to fine-tune for", course.form, _CLASSES))
    if not course.examples:
        raise RequestError("there are no training examples; give the task's training data")
    if course.form == "classification":
        _check_labels(course.examples, labels)
    tokenizer = open_tokenizer(folder)
    course = _fitting(folder, tokenizer, course)
    torch.set_num_threads(course.threads)
    started = time.perf_counter()
    words = {number: word for word, number in (label_words or {}).items()}
    names = [words.get(label, str(label)) for label in range(labels or 0)]
    model = _opened(folder, course.form, names, course.seed)
    model.to(torch.device(course.device))  # type: ignore[arg-type]  # transformers' wrapper hides self
    losses = fine_tune(model, tokenizer, course)
    seconds = round(time.perf_counter() - started, 3)
    model.cpu().save_pretrained(out)
    tokenizer.save_pretrained(out)
    return {
        "form": course.form,
        "examples": len(course.examples),
        "epochs": course.epochs,
        "steps": len(losses),
        "batch_size": course.batch_size,
        "rows_at_once": course.rows_at_once,
        "learning_rate": course.learning_rate,
        "max_tokens": course.max_tokens,
        "device": course.device,
        "dtype": course.dtype,
        "final_loss": losses[-1],
        "seconds": seconds,
    }


def _fitting(folder: Path, tokenizer: PreTrainedTokenizerBase, course: Course) -> Course:
    """The course with texts as long as the model reads, and with so many of a batch at once as fit
    into memory.

    Raises RequestError for a type that training is not done in, RunError if not one text fits.
    """
    autocast = course.autocast
    with opening(folder, CONFIG):
        config = AutoConfig.from_pretrained(folder, local_files_only=True, **trusted(folder))
    longest = _longest_input(config, course.form, folder, tokenizer) or course.max_tokens
    course = replace(course, max_tokens=min(course.max_tokens, longest))
    parameters = sum(math.prod(tensor.shape) for tensor in open_checkpoint(folder).tensors.values())
    needed = functools.partial(
        training_bytes_of,
        config,
        parameters,
        form=course.form,
        tokens=course.max_tokens,
        bytes_each=4 if autocast is None else autocast.itemsize,
    )
    rows = _rows_that_fit(needed, course.batch_size, course.what, course.device)
    return replace(course, rows_at_once=rows)


def _rows_that_fit(needed: Callable[..., int], batch_size: int, what: str, device: str) -> int:
    """Of a batch as many texts at once as fit into memory, by halving.

    Raises RunError if not one does.
    """
    available, rows = int(_USABLE * device_bytes(device)), batch_size
    while rows > 1 and needed(batch_size=rows) > available:
        rows = math.ceil(rows / 2)
    require_fit(needed(batch_size=rows), available, what, device)
    return rows


def device_bytes(device: str) -> int:
    """Bytes of memory of the device."""
    if torch.device(device).type == "cuda":
        return int(torch.cuda.get_device_properties(device).total_memory)
    return machine.memory_bytes()


def require_fit(needed: int, available: int, what: str, device: str) -> None:
    """Raise RunError if fine-tuning takes more bytes than there are."""
    if needed > available:
        owner = "this machine" if torch.device(device).type == "cpu" else f"the device {device}"
        raise RunError(
            f"{what} needs about {needed / _GB:.0f} GB and {owner} has {available / _GB:.0f} for"
            " it; lower the tokens, leave the model out, or run it where there is more"
        )


def _longest_input(
    config: Any, form: str, folder: Path, tokenizer: PreTrainedTokenizerBase
) -> int | None:
    """As `positions`, of a model that is not in memory yet."""
    with opening(folder, CONFIG), torch.device("meta"):
        model = _CLASSES[form].from_config(config, **trusted(folder))
    return positions(model, tokenizer)


def _check_labels(examples: Sequence[Example], labels: int | None) -> None:
    if labels is None or labels < 2:
        raise RequestError(f"labels is how many a classification has, 2 or more; got {labels}")
    for example in examples:
        if example["label"] not in range(labels):
            raise RequestError(
                f"an example has the label {example['label']!r}, and labels go from 0 to"
                f" {labels - 1}; correct the data, or say how many labels there are"
            )


def _opened(folder: Path, form: str, labels: Sequence[str], seed: int) -> PreTrainedModel:
    settings: dict[str, Any] = {}
    if form == "classification":
        # transformers saves no count of two labels without names, and BART reads that as three
        names = dict(enumerate(labels))
        numbers = {name: label for label, name in names.items()}
        settings = {"id2label": names, "label2id": numbers, "ignore_mismatched_sizes": True}
    with opening(folder, MODEL), torch.random.fork_rng():
        torch.manual_seed(seed)  # the head's new weights
        model, found = _CLASSES[form].from_pretrained(
            folder,
            dtype=torch.float32,
            local_files_only=True,
            output_loading_info=True,
            **trusted(folder),
            **settings,
        )
    if wrapped := [name for name in found["unexpected_keys"] if WRAPPED.match(name)]:
        raise RequestError(
            f"{folder} holds {min(wrapped)}: it was saved with the wrapper of torch.compile or"
            " DataParallel around the model; save the model inside (`_orig_mod`, `module`) to"
            " fine-tune it"
        )
    tuned: PreTrainedModel = model
    return tuned
