"""Random streams and the split into train and test, the same on every machine."""

import hashlib
import random
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any, Literal

Split = Literal["train", "test"]
Example = dict[str, Any]

_TEST_SHARE = 4  # one text in so many belongs to the test split


def generator(purpose: str, seed: int) -> random.Random:
    """A stream of random numbers for one purpose and seed."""
    return random.Random(_hash(f"{purpose} {seed}"))


def split_of(text: str) -> Split:
    """The split that a text belongs to, for ever: no text is in both."""
    return "test" if _hash(text) % _TEST_SHARE == 0 else "train"


def examples(
    make: Callable[[random.Random], Example], key: str, count: int, seed: int, split: Split
) -> list[Example]:
    """`count` examples whose text under `key` belongs to the split."""
    return list(islice(_stream(make, key, seed, split), count))


def _stream(
    make: Callable[[random.Random], Example], key: str, seed: int, split: Split
) -> Iterator[Example]:
    rng = generator(f"{make.__module__}.{make.__qualname__} {split}", seed)
    while True:
        example = make(rng)
        if split_of(example[key]) == split:
            yield example


def _hash(text: str) -> int:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")
