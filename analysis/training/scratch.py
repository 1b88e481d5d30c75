"""Models of a study's own: tokenizer and weights learnt from the study's training texts alone."""

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from analysis.errors import RequestError, unknown
from analysis.models.families import Shape, build
from analysis.training.course import Updates
from analysis.training.loop import train
from analysis.training.pretraining import OBJECTIVES, Text
from analysis.training.vocabulary import learn_tokenizer

_WEIGHT_DECAY = 0.1


@dataclass(frozen=True)
class _Family:
    """What is set for a family rather than by the study.

    init      standard deviation of the first weights times the root of the width
    alike     as in `families.Shape`, where the text is to be written again: it slows a classifier
    position  likewise
    uncased   whether its tokenizer reads all in lower case
    """

    init: float
    alike: int = 0
    position: float = 1.0
    uncased: bool = False


# BERT normalises after each layer and learns nothing at first from weights as large as the others'
_FAMILIES = {
    "encoder-only": _Family(0.57, uncased=True),
    "decoder-only": _Family(0.9),
    "encoder-decoder": _Family(0.9, alike=2, position=0.4),
}


def pretrain_scratch(
    family: str,
    shape: Mapping[str, Any],
    texts: Sequence[Text],
    tuning: Mapping[str, Any],
    *,
    seed: int,
    threads: int,
    out: Path,
) -> dict[str, Any]:
    """Learn a tokenizer and a model from the texts, save both to `out`; how it went.

    shape    layers, width, heads, vocabulary, positions, dropout
    texts    of any length; a pair is one text of two that belong together
    tuning   epochs, learning_rate, batch_size

    The objective is the family's own: masked words, next words or denoising. It repeats bit for
    bit for the same seed and number of threads. Raises RequestError if there are no texts, or the
    family or the shape is impossible.
    """
    if family not in _FAMILIES:
        raise RequestError(unknown("family", family, _FAMILIES))
    texts = _that_say_something(texts)
    torch.set_num_threads(threads)
    started = time.perf_counter()
    positions, batch_size = shape["positions"], tuning["batch_size"]
    tokenizer = learn_tokenizer(
        family,
        strings(texts),
        size=shape["vocabulary"],
        max_tokens=positions,
        uncased=_FAMILIES[family].uncased,
    )
    examples, batches = OBJECTIVES[family](tokenizer, texts, batch_size, positions, seed)
    steps = max(1, round(tuning["epochs"] * examples / batch_size))
    how = Updates(
        learning_rate=tuning["learning_rate"],
        weight_decay=_WEIGHT_DECAY,
        what="pretraining from scratch",
    )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = build(family, _shape(family, shape), tokenizer)
        losses = train(model, batches, steps=steps, how=how)
    model.save_pretrained(out)
    tokenizer.save_pretrained(out)
    return {
        "parameters": sum(weight.numel() for weight in model.parameters()),
        "vocabulary": len(tokenizer),
        "examples": examples,
        "steps": steps,
        "batch_size": batch_size,
        "learning_rate": tuning["learning_rate"],
        "final_loss": losses[-1],
        "seconds": round(time.perf_counter() - started, 3),
    }


def _that_say_something(texts: Sequence[Text]) -> list[Text]:
    """The texts that are not empty. Raises RequestError if there is none."""
    found = [text for text in texts if any(map(str.strip, strings([text])))]
    if not found:
        raise RequestError(
            "a model from scratch learns from its tasks' training texts, and there are none; give"
            " training data"
        )
    return found


def strings(texts: Sequence[Text]) -> list[str]:
    """All strings of the texts, both of a pair."""
    return [part for text in texts for part in ((text,) if isinstance(text, str) else text)]


def _shape(family: str, shape: Mapping[str, Any]) -> Shape:
    own = _FAMILIES[family]
    return Shape(
        layers=shape["layers"],
        width=shape["width"],
        heads=shape["heads"],
        positions=shape["positions"],
        dropout=shape["dropout"],
        init=own.init / math.sqrt(shape["width"]),
        alike=own.alike,
        position=own.position,
    )
