"""Events, and the many sentences that say the same event: the material of paraphrases and news."""

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from analysis.language.grammar import joined, separated
from analysis.language.words import (
    DAYS,
    ENCOUNTERS,
    TOPICS,
    Person,
    Verb,
    participle,
    past,
)

Item = TypeVar("Item")


@dataclass(frozen=True)
class Event:
    """Who did (or did not do) what to whom; "" where nothing is said. Two differ in meaning if
    they differ at all: every field holds the first of its synonyms."""

    topic: str
    who: str
    trait: str
    verb: str
    whom: str  # a thing, or another person
    adjective: str  # the trait of a person
    where: str
    when: str
    negated: bool

    @property
    def between_people(self) -> bool:
        return self.whom in TOPICS[self.topic].people


def drawn(rng: random.Random, items: Sequence[Item]) -> Item:
    """One of the items, each as likely as the other."""
    return items[int(rng.random() * len(items))]


def random_event(rng: random.Random, of: str = "", *, between_people: float = 0.35) -> Event:
    """An event of that topic or of any; a share of them happens between two people."""
    topic = TOPICS[of or drawn(rng, list(TOPICS))]
    who = drawn(rng, list(topic.people))
    if rng.random() < between_people:
        verb, whom = drawn(rng, list(ENCOUNTERS)), another(rng, list(topic.people), who)
    else:
        verb = drawn(rng, list(topic.verbs))
        whom = drawn(rng, topic.verbs[verb].objects)
    return Event(
        topic.name,
        who,
        _sometimes(rng, 0.3, traits_of(topic.name, who)),
        verb,
        whom,
        _sometimes(rng, 0.4, traits_of(topic.name, whom)),
        _sometimes(rng, 0.3, topic.places),
        _sometimes(rng, 0.5, times_of(topic.name)),
        rng.random() < 0.2,
    )


def another(rng: random.Random, items: Sequence[Item], than: Item) -> Item:
    """One of the items, but not this one."""
    return drawn(rng, [item for item in items if item != than])


def traits_of(topic: str, name: str) -> tuple[str, ...]:
    """The adjectives a person or thing can have in an event; a name has none."""
    if name in TOPICS[topic].things:
        return TOPICS[topic].things[name].adjectives
    return () if TOPICS[topic].people[name].proper else TOPICS[topic].traits


def times_of(topic: str) -> tuple[str, ...]:
    """When an event can happen."""
    return TOPICS[topic].moments + tuple(f"on {day}" for day in DAYS)


def swapped(event: Event) -> Event:
    """The event with its two people in each other's place."""
    return replace(
        event, who=event.whom, trait=event.adjective, whom=event.who, adjective=event.trait
    )


def sentence(event: Event, rng: random.Random) -> str:
    """One of the sentences that say the event: synonyms, voice and word order are free."""
    statement = drawn(rng, (_active, _active, _passive, _passive, _cleft))(event, rng)
    if event.where:
        statement += f" {event.where}"
    if not event.when:
        text = f"{statement} ."
    elif rng.random() < 0.5:
        text = f"{event.when} , {statement} ."
    else:
        text = f"{statement} {event.when} ."
    return joined(separated(text))


def verb_of(event: Event) -> Verb:
    """The verb with its synonyms."""
    return ENCOUNTERS[event.verb] if event.between_people else TOPICS[event.topic].verbs[event.verb]


def noun_phrase(topic: str, name: str, adjective: str, rng: random.Random) -> str:
    """ "the bold scheme": any synonym of the name, with its adjective if it has one."""
    described: Person | object = TOPICS[topic].people.get(name)
    if isinstance(described, Person):
        if described.proper:
            return name
        names = described.names
    else:
        names = TOPICS[topic].things[name].names
    return " ".join(word for word in ("the", adjective, drawn(rng, names)) if word)


def _sometimes(rng: random.Random, chance: float, items: Sequence[str]) -> str:
    return drawn(rng, items) if items and rng.random() < chance else ""


def _agent_and_object(event: Event, rng: random.Random) -> tuple[str, str]:
    return (
        noun_phrase(event.topic, event.who, event.trait, rng),
        noun_phrase(event.topic, event.whom, event.adjective, rng),
    )


def did(event: Event, rng: random.Random) -> str:
    """ "opened", "did not open" or "failed to open", with any synonym of the verb."""
    verb = drawn(rng, verb_of(event).names)
    if not event.negated:
        return past(verb)
    return f"{drawn(rng, ('did not', 'failed to'))} {verb}"


def _active(event: Event, rng: random.Random) -> str:
    agent, whom = _agent_and_object(event, rng)
    return f"{agent} {did(event, rng)} {whom}"


def _cleft(event: Event, rng: random.Random) -> str:
    agent, whom = _agent_and_object(event, rng)
    return f"it was {agent} who {did(event, rng)} {whom}"


def _passive(event: Event, rng: random.Random) -> str:
    agent, whom = _agent_and_object(event, rng)
    person = TOPICS[event.topic].people.get(event.whom)
    was = "were" if person and person.plural else "was"
    verb = participle(drawn(rng, verb_of(event).names))
    return f"{whom} {was}{' not' if event.negated else ''} {verb} by {agent}"
