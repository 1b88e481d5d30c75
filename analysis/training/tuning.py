"""Fine-tuning of any checkpoint for a task, once it is known to fit into memory."""

import functools
import math
import time
from collections.abc import Callable, Mapping, Sequence
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
from analysis.training.loop import Example, fine_tune
from analysis.training.memory import training_bytes_of

WEIGHT_DECAY = 0.01
_CLASSES = {
    "classification": AutoModelForSequenceClassification,
    "causal": AutoModelForCausalLM,
    "text-to-text": AutoModelForSeq2SeqLM,
}
_GB = 1e9
_USABLE = 0.75  # of the device's memory


def tune(
    folder: Path,
    form: str,
    examples: Sequence[Example],
    *,
    labels: int | None,
    learning_rate: float,
    batch_size: int,
    epochs: float,
    seed: int,
    threads: int,
    device: str,
    max_tokens: int,
    out: Path,
    dtype: str = "float32",
    label_words: Mapping[str, int] | None = None,
    weight_decay: float = WEIGHT_DECAY,
    what: str = "fine-tuning",
) -> dict[str, Any]:
    """Fine-tune the checkpoint in `folder` on the examples, save it to `out`; how it went.

    form, examples   as `training.fine_tune` takes them
    labels           of a classification, for which the model gets a new head
    label_words      the names of these where they have any, which the model keeps
    device           "cpu" or "cuda"
    dtype            in which matrices are multiplied: "float32" or "bfloat16"; weights and their
                     updates stay in float32

    Raises RequestError if the request is wrong or there are no examples, RunError if the training
    would not fit into memory, or diverged.
    """
    if form not in _CLASSES:
        raise RequestError(unknown("form to fine-tune for", form, _CLASSES))
    if not examples:
        raise RequestError("there are no training examples; give the task's training data")
    if form == "classification":
        _check_labels(examples, labels)
    autocast = autocast_type(dtype)
    tokenizer = open_tokenizer(folder)
    with opening(folder, CONFIG):
        config = AutoConfig.from_pretrained(folder, local_files_only=True, **trusted(folder))
    max_tokens = min(max_tokens, _longest_input(config, form, folder, tokenizer) or max_tokens)
    parameters = sum(math.prod(tensor.shape) for tensor in open_checkpoint(folder).tensors.values())
    needed = functools.partial(
        training_bytes_of,
        config,
        parameters,
        form=form,
        tokens=max_tokens,
        bytes_each=4 if autocast is None else autocast.itemsize,
    )
    rows = _rows_that_fit(needed, batch_size, what, device)
    torch.set_num_threads(threads)
    started = time.perf_counter()
    words = {number: word for word, number in (label_words or {}).items()}
    names = [words.get(label, str(label)) for label in range(labels or 0)]
    model = _opened(folder, form, names, seed)
    model.to(torch.device(device))  # type: ignore[arg-type]  # transformers' wrapper hides self
    losses = fine_tune(
        model,
        tokenizer,
        form,
        examples,
        batch_size=batch_size,
        learning_rate=learning_rate,
        seed=seed,
        epochs=epochs,
        max_tokens=max_tokens,
        weight_decay=weight_decay,
        what=what,
        autocast=autocast,
        rows_at_once=rows,
    )
    seconds = round(time.perf_counter() - started, 3)
    model.cpu().save_pretrained(out)
    tokenizer.save_pretrained(out)
    return {
        "form": form,
        "examples": len(examples),
        "epochs": epochs,
        "steps": len(losses),
        "batch_size": batch_size,
        "rows_at_once": rows,
        "learning_rate": learning_rate,
        "max_tokens": max_tokens,
        "device": device,
        "dtype": "float32" if autocast is None else str(autocast).removeprefix("torch."),
        "final_loss": losses[-1],
        "seconds": seconds,
    }


def _rows_that_fit(needed: Callable[..., int], batch_size: int, what: str, device: str) -> int:
    """Of a batch as many texts at once as fit into memory, by halving.

    Raises RunError if not one does.
    """
    available, rows = int(_USABLE * device_bytes(device)), batch_size
    while rows > 1 and needed(batch_size=rows) > available:
        rows = math.ceil(rows / 2)
    require_fit(needed(batch_size=rows), available, what, device)
    return rows


def autocast_type(dtype: str) -> torch.dtype | None:
    """The type to multiply matrices in, None for the weights' own float32.

    Raises RequestError if the type is none of those that training keeps its precision in.
    """
    if dtype not in ("float32", "bfloat16"):
        raise RequestError(
            f"models are fine-tuned in float32 or bfloat16; {dtype!r} would lose small gradients"
        )
    return torch.bfloat16 if dtype == "bfloat16" else None


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
