"""Pairs of sentences that say the same event, or two events that differ."""

import random
from collections.abc import Callable
from dataclasses import replace

from analysis.language.events import (
    Event,
    another,
    drawn,
    random_event,
    sentence,
    swapped,
    times_of,
    traits_of,
)
from analysis.language.streams import Example
from analysis.language.words import ENCOUNTERS, TOPICS

Change = Callable[[Event, random.Random], Event]

_NEARLY = 0.2  # the share of contradictions that differ in a few respects only
_FEW = 0.7  # … the share of these that differ in up to three instead of one


def pair(rng: random.Random) -> Example:
    """Two sentences of about the same words; the label is 1 if they mean the same, else 0."""
    return restatement(rng) if rng.random() < 0.5 else contradiction(rng)


def restatement(rng: random.Random) -> Example:
    """Two different sentences for one event."""
    event = random_event(rng)
    first = second = sentence(event, rng)
    while second == first:
        second = sentence(event, rng)
    return {"sentence1": first, "sentence2": second, "label": 1}


def contradiction(rng: random.Random) -> Example:
    """Sentences for two events of one topic: often quite unlike, sometimes nearly the same."""
    event = random_event(rng)
    other = event
    while other == event:
        other = (_nearly if rng.random() < _NEARLY else _unlike)(event, rng)
    return {"sentence1": sentence(event, rng), "sentence2": sentence(other, rng), "label": 0}


def _unlike(event: Event, rng: random.Random) -> Event:
    """Another event of the topic; half the time at the same place and time."""
    other = random_event(rng, event.topic)
    return replace(other, where=event.where, when=event.when) if rng.random() < 0.5 else other


def _nearly(event: Event, rng: random.Random) -> Event:
    """The event with one respect changed, or up to three."""
    changed = _changed(event, rng)
    return _changed(_changed(changed, rng), rng) if rng.random() < _FEW else changed


def _changed(event: Event, rng: random.Random) -> Event:
    return drawn(rng, _possible_changes(event))(event, rng)


def _possible_changes(event: Event) -> list[Change]:
    changes: list[Change] = [_other_agent, _other_verb, _negation]
    if event.between_people:
        changes += [_swap, _swap, _other_companion]
    elif len(TOPICS[event.topic].verbs[event.verb].objects) > 1:
        changes += [_other_thing]
    if event.adjective and len(traits_of(event.topic, event.whom)) > 1:
        changes += [_other_adjective]
    if event.where:
        changes += [_other_place]
    if event.when:
        changes += [_other_time]
    return changes


def _swap(event: Event, rng: random.Random) -> Event:
    return swapped(event)


def _negation(event: Event, rng: random.Random) -> Event:
    return replace(event, negated=not event.negated)


def _other_agent(event: Event, rng: random.Random) -> Event:
    strangers = [name for name in TOPICS[event.topic].people if name != event.whom]
    return _with_agent(event, another(rng, strangers, event.who))


def _with_agent(event: Event, who: str) -> Event:
    return replace(event, who=who, trait=event.trait if traits_of(event.topic, who) else "")


def _other_companion(event: Event, rng: random.Random) -> Event:
    return swapped(_other_agent(swapped(event), rng))


def _other_verb(event: Event, rng: random.Random) -> Event:
    verbs = list(ENCOUNTERS)
    if not event.between_people:
        verbs = list(TOPICS[event.topic].verbs)
    return replace(event, verb=another(rng, verbs, event.verb))


def _other_thing(event: Event, rng: random.Random) -> Event:
    things = TOPICS[event.topic].verbs[event.verb].objects
    return replace(event, whom=another(rng, things, event.whom))


def _other_adjective(event: Event, rng: random.Random) -> Event:
    adjectives = traits_of(event.topic, event.whom)
    return replace(event, adjective=another(rng, adjectives, event.adjective))


def _other_place(event: Event, rng: random.Random) -> Event:
    return replace(event, where=another(rng, TOPICS[event.topic].places, event.where))


def _other_time(event: Event, rng: random.Random) -> Event:
    return replace(event, when=another(rng, times_of(event.topic), event.when))
