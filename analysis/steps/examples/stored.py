"""Examples of a record's data object, and the drawing of some of them."""

import json
import random
from collections.abc import Sequence

from analysis.engine.objects import Objects
from analysis.tasks import Example


def read_examples(objects: Objects, digest: str) -> list[Example]:
    """The examples of a record's data object."""
    lines = objects.open(digest).read_text(encoding="utf-8").split("\n")
    return [json.loads(line) for line in lines if line]


def drawn(examples: Sequence[Example], count: int | None, seed: int) -> list[Example]:
    """All, or so many of the examples drawn with the seed, in their order."""
    return [examples[i] for i in drawn_places(len(examples), count, seed)]


def drawn_places(examples: int, count: int | None, seed: int) -> Sequence[int]:
    """Which of so many are drawn."""
    if count is None or count >= examples:
        return range(examples)
    return sorted(random.Random(seed).sample(range(examples), count))
