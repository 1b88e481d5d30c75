"""What happens to files: one generator of damage for checkpoints, sparse files and the cache.

Each damage is a function of a file's bytes that gives others; the same seed gives the same ones.
"""

import random
from collections.abc import Callable, Iterator
from pathlib import Path

Damage = Callable[[bytes], bytes]


def flipped(content: bytes, place: float, bit: int) -> bytes:
    """One bit turned over, at that fraction of the length (0 to below 1)."""
    at = int(place * len(content))
    return content[:at] + bytes([content[at] ^ (1 << bit)]) + content[at + 1 :]


def cut(content: bytes, place: float) -> bytes:
    """The beginning alone, as far as that fraction; at least a byte is missing."""
    return content[: min(int(place * len(content)), len(content) - 1)]


def swapped(content: bytes, place: float, width: int = 1) -> bytes:
    """Two neighbouring pieces exchanged; always changes something if any two differ."""
    last = len(content) - 2 * width
    for at in [*range(int(place * last), last + 1), *range(int(place * last))]:
        one, other = content[at : at + width], content[at + width : at + 2 * width]
        if one != other:
            return content[:at] + other + one + content[at + 2 * width :]
    raise ValueError("all pieces are equal: nothing to exchange")


def oversized(content: bytes, more: bytes = b"\0") -> bytes:
    """Something that does not belong there at the end."""
    return content + more


def damages(count: int, seed: int = 0) -> Iterator[tuple[str, Damage]]:
    """So many named damages of all four kinds, spread over the whole length of a file.

    Yields (name, function); the first and the last bytes are among the places.
    """
    chance = random.Random(seed)
    places = [0.0, 0.999999, *(chance.random() for _ in range(count))]
    for index in range(count):
        place, bit = places[index // 4 % len(places)], chance.randrange(8)
        kind = index % 4
        if kind == 0:
            yield f"bit {bit} at {place:.2f}", lambda c, p=place, b=bit: flipped(c, p, b)
        elif kind == 1:
            yield f"cut at {place:.2f}", lambda c, p=place: cut(c, p)
        elif kind == 2:
            yield f"swapped at {place:.2f}", lambda c, p=place: swapped(c, p)
        else:
            more = chance.choice([b"\0", b"\n", b"more than belongs there"])
            yield f"{len(more)} bytes too many", lambda c, m=more: oversized(c, m)


def hurt(path: Path, damage: Damage) -> None:
    """Damage the file where it lies; its rights and its name stay, its time does not."""
    path.write_bytes(damage(path.read_bytes()))
