"""The lexicon, read: topics with their people, things and actions; inflection; preferences."""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from analysis.language import lexicon

Item = TypeVar("Item")

PRONOUNS = {"f": "she", "m": "he", "p": "they"}


@dataclass(frozen=True)
class Person:
    """Somebody who acts: a noun or a name, its synonyms, and f, m or p (several)."""

    names: tuple[str, ...]
    gender: str

    @property
    def plural(self) -> bool:
        return self.gender == "p"

    @property
    def proper(self) -> bool:
        return self.names[0][0].isupper()

    @property
    def pronoun(self) -> str:
        return PRONOUNS[self.gender]


@dataclass(frozen=True)
class Thing:
    """A countable noun, its synonyms, and the adjectives it goes with, likeliest first."""

    names: tuple[str, ...]
    adjectives: tuple[str, ...]


@dataclass(frozen=True)
class Verb:
    """One meaning: the base forms of its synonyms, and the things it is done to."""

    names: tuple[str, ...]
    objects: tuple[str, ...] = ()


@dataclass
class Topic:
    """One subject to write about; people, things and verbs are found by their first name."""

    name: str
    people: dict[str, Person] = field(default_factory=dict)
    traits: tuple[str, ...] = ()
    things: dict[str, Thing] = field(default_factory=dict)
    verbs: dict[str, Verb] = field(default_factory=dict)
    places: tuple[str, ...] = ()
    moments: tuple[str, ...] = ()


def _synonyms(text: str) -> tuple[str, ...]:
    return tuple(text.split("="))


def _phrases(text: str) -> tuple[str, ...]:
    return tuple(phrase.strip() for phrase in text.split(";"))


def _read_topics(text: str) -> dict[str, Topic]:
    topics: dict[str, Topic] = {}
    for line in text.strip().splitlines():
        kind, _, rest = line.partition(" ")
        head, _, tail = rest.partition(": ")
        if kind == "topic":
            topics[rest] = topic = Topic(rest)
        elif kind == "people":
            for entry in rest.split():
                name, _, gender = entry.partition(":")
                topic.people[_synonyms(name)[0]] = Person(_synonyms(name), gender)
        elif kind == "traits":
            topic.traits = tuple(rest.split())
        elif kind == "thing":
            names = _synonyms(head)
            topic.things[names[0]] = Thing(names, tuple(tail.split()))
        elif kind == "action":
            names = _synonyms(head)
            topic.verbs[names[0]] = Verb(names, tuple(tail.split()))
        elif kind == "places":
            topic.places = _phrases(rest)
        elif kind == "moments":
            topic.moments = _phrases(rest)
    return topics


def _read_irregular(text: str) -> dict[str, tuple[str, str]]:
    entries = (entry.partition(":") for entry in " ".join(text.split()).split(";"))
    forms = {base.strip(): rest.split() for base, _, rest in entries}
    return {base: (words[0], words[-1]) for base, words in forms.items()}


_IRREGULAR = _read_irregular(lexicon.IRREGULAR)
_DOUBLED = lexicon.DOUBLED.split()
_DOUBLED_BEFORE_ING = lexicon.DOUBLED_BEFORE_ING.split() + _DOUBLED
_VOWELS = "aeiou"

TOPICS = _read_topics(lexicon.TOPICS)
ENCOUNTERS = {_synonyms(names)[0]: Verb(_synonyms(names)) for names in lexicon.ENCOUNTERS.split()}
ADVERBS = tuple(lexicon.ADVERBS.split())
DAYS = tuple(lexicon.DAYS.split())
TOWNS = tuple(lexicon.TOWNS.split())


def past(verb: str) -> str:
    """opened, shut, wrote."""
    return _IRREGULAR[verb][0] if verb in _IRREGULAR else _regular_past(verb)


def participle(verb: str) -> str:
    """opened, shut, written."""
    return _IRREGULAR[verb][1] if verb in _IRREGULAR else _regular_past(verb)


def _regular_past(verb: str) -> str:
    if verb in _DOUBLED:
        return verb + verb[-1] + "ed"
    if verb.endswith("e"):
        return verb + "d"
    return verb[:-1] + "ied" if _consonant_y(verb) else verb + "ed"


def third_person(verb: str) -> str:
    """opens, teaches, buries."""
    if verb.endswith(("s", "x", "ch", "sh")):
        return verb + "es"
    return verb[:-1] + "ies" if _consonant_y(verb) else verb + "s"


def gerund(verb: str) -> str:
    """opening, shutting, writing."""
    if verb in _DOUBLED_BEFORE_ING:
        return verb + verb[-1] + "ing"
    return (verb[:-1] if verb.endswith("e") and not verb.endswith("ee") else verb) + "ing"


def _consonant_y(verb: str) -> bool:
    return verb.endswith("y") and verb[-2] not in _VOWELS


def indefinite(words: str) -> str:
    """The words after the article they need: `a bold plan`, `an old bridge`."""
    return ("an " if words[0] in _VOWELS and not words.startswith("uni") else "a ") + words


def preferences(
    context: str, items: Sequence[Item], *, kept: int | None = None, steepness: float = 1.0
) -> list[tuple[float, Item]]:
    """(weight, item) by Zipf's law, in an order that the context fixes; only the first `kept`.

    The order is a hash of context and item: a collocation that can only be learnt by heart.
    """
    ranked = sorted(items, key=lambda item: zlib.crc32(f"{context}|{item}".encode()))
    return [(1 / rank**steepness, item) for rank, item in enumerate(ranked[:kept], start=1)]
