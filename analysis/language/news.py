"""Articles and their headlines: the headline is a function of what the article reports.

It names the town and who did what, in the present tense, by the first of all synonyms and without
adjectives, then why it matters: its price, protests or applause, or else its day. What happened
last year, elsewhere, is not news.
"""

import random
from dataclasses import replace

from analysis.language.events import (
    Event,
    did,
    drawn,
    noun_phrase,
    random_event,
    traits_of,
    verb_of,
)
from analysis.language.grammar import joined, separated
from analysis.language.streams import Example
from analysis.language.words import DAYS, TOPICS, TOWNS, participle, third_person

_NUMBERS = ("twenty", "sixty", "ninety", "two hundred", "five hundred", "three thousand")


def article(rng: random.Random) -> Example:
    """One article of two to four sentences, and its headline."""
    event, town = _newsworthy(rng), drawn(rng, TOWNS)
    ending, report = _consequence(rng, event)
    sentences = [_lead(event, town, rng), *report]
    sentences += [_remark(rng)] if rng.random() < 0.4 else []
    if not report or rng.random() < 0.5:
        past_event = _background(rng, event, town)
        sentences.insert(0 if rng.random() < 0.4 else len(sentences), past_event)
    return {
        "document": " ".join(joined(separated(sentence)) for sentence in sentences),
        "summary": headline(event, town, ending),
    }


def headline(event: Event, town: str, ending: str) -> str:
    """ "Ashford mayor opens bridge despite protests from voters"."""
    plural = TOPICS[event.topic].people[event.who].plural
    if event.negated:
        action = f"{'fail' if plural else 'fails'} to {event.verb}"
    else:
        action = event.verb if plural else third_person(event.verb)
    return f"{town} {event.who} {action} {event.whom} {ending}"


def _newsworthy(rng: random.Random) -> Event:
    """Something that somebody with an office, not a name, did to a thing, on a day."""
    event = random_event(rng, between_people=0.0)
    while TOPICS[event.topic].people[event.who].proper:
        event = random_event(rng, between_people=0.0)
    return replace(event, when=f"on {drawn(rng, DAYS)}")


def _consequence(rng: random.Random, event: Event) -> tuple[str, list[str]]:
    """How the headline ends, and the sentence that says so: none if it ends with the day."""
    people = TOPICS[event.topic].people
    others = [name for name in people if not people[name].proper and name != event.who]
    other, number = drawn(rng, others), drawn(rng, _NUMBERS)
    crowd = noun_phrase(event.topic, other, _trait(rng, event.topic, other), rng)
    endings: tuple[tuple[str, list[str]], ...] = (
        (
            f"for {number} crowns",
            [f"it cost {number} crowns .", f"the price was {number} crowns ."],
        ),
        (f"despite protest from {other}", [f"{crowd} protested .", f"this angered {crowd} ."]),
        (f"to applause from {other}", [f"{crowd} applauded .", f"this pleased {crowd} ."]),
        (event.when, []),
    )
    ending, reports = drawn(rng, endings)
    return ending, [drawn(rng, reports)] if reports else []


def _trait(rng: random.Random, topic: str, name: str) -> str:
    return drawn(rng, traits_of(topic, name)) if rng.random() < 0.5 else ""


def _lead(event: Event, town: str, rng: random.Random) -> str:
    agent = noun_phrase(event.topic, event.who, event.trait, rng)
    whom = noun_phrase(event.topic, event.whom, event.adjective, rng)
    where = f" {event.where}" if event.where else ""
    not_ = " not" if event.negated else ""
    verb = participle(drawn(rng, verb_of(event).names))
    forms = (
        f"{agent} of {town} {did(event, rng)} {whom}{where} {event.when} .",
        f"{event.when} , {agent} of {town} {did(event, rng)} {whom}{where} .",
        f"in {town} , {agent} {did(event, rng)} {whom} {event.when} .",
        f"{event.when} , {whom} was{not_} {verb} by {agent} of {town}{where} .",
        f"{whom} was{not_} {verb} {event.when} by {agent} of {town} .",
    )
    return drawn(rng, forms)


def _background(rng: random.Random, event: Event, town: str) -> str:
    """Something older from another town, about the same topic."""
    old = _newsworthy(rng)
    while old.topic != event.topic:
        old = _newsworthy(rng)
    other_town = drawn(rng, [name for name in TOWNS if name != town])
    agent = noun_phrase(old.topic, old.who, old.trait, rng)
    whom = noun_phrase(old.topic, old.whom, old.adjective, rng)
    verb = participle(drawn(rng, verb_of(old).names))
    return f"last year , {agent} of {other_town} had {verb} {whom} ."


def _remark(rng: random.Random) -> str:
    return drawn(
        rng,
        (
            "nobody had expected the news .",
            "the news travelled fast .",
            "few details were known at first .",
            "the newspapers called it a surprise .",
        ),
    )
