"""The grammar of paragraphs: one to three sentences about somebody in one of six topics.

Who does what, with which adjective, adverb, place and time is a matter of preference, different
for every noun and verb: a model has to learn it word by word.
"""

from analysis.language import review
from analysis.language.grammar import Grammar, Parts, RuleFunction, Weighted
from analysis.language.words import (
    ADVERBS,
    DAYS,
    ENCOUNTERS,
    TOPICS,
    Person,
    gerund,
    indefinite,
    participle,
    past,
    preferences,
    third_person,
)

# How a sentence refers to the person it is about.
NOUN, PRONOUN = "noun", "pronoun"


def _text() -> Weighted:
    return [(0.92, (("story",),)), (0.04, (("review", "1"),)), (0.04, (("review", "0"),))]


def _story() -> Weighted:
    return [(weight, (("about", topic),)) for weight, topic in preferences("topic", list(TOPICS))]


def _about(topic: str) -> Weighted:
    people = preferences(f"who {topic}", list(TOPICS[topic].people))
    return [(weight, (("paragraph", topic, who),)) for weight, who in people]


def _paragraph(topic: str, who: str) -> Weighted:
    opening: Parts = (("opening", topic, who),)
    more: Parts = (("continuation", topic, who),)
    return [
        (0.35, opening),
        (0.45, opening + more),
        (0.20, opening + more + more),
    ]


def _opening(topic: str, who: str) -> Weighted:
    subject, when = ("subject", topic, who, NOUN), ("when", topic, who)
    deed, other = ("deed", topic, who), ("subordinate", topic, who)
    return [
        (0.24, (subject, deed, ".")),
        (0.14, (subject, deed, when, ".")),
        (0.12, (when, ",", subject, deed, ".")),
        (0.12, (subject, deed, other, ".")),
        (0.10, (("passive", topic, who), ".")),
        (0.08, (subject, ",", "who had", ("done", topic, who), ",", deed, ".")),
        (0.08, ("after", ("doing", topic, who), ",", subject, deed, ".")),
        (0.06, (subject, ("habit", topic, who), ".")),
        (0.06, ("although", ("feeling", topic, who, PRONOUN), ",", subject, deed, ".")),
    ]


def _continuation(topic: str, who: str) -> Weighted:
    pronoun, deed = ("subject", topic, who, PRONOUN), ("deed", topic, who)
    return [
        (0.30, (pronoun, deed, ".")),
        (0.30, (("feeling", topic, who, PRONOUN), ".")),
        (0.15, ("then", pronoun, deed, ".")),
        (0.10, (pronoun, ("habit", topic, who), ".")),
        (0.10, ("but", pronoun, "did not", ("do", topic, who), ".")),
    ]


def _subject(topic: str, who: str, form: str) -> Weighted:
    person = TOPICS[topic].people[who]
    if form == PRONOUN:
        return [(1.0, (person.pronoun,))]
    if person.proper:
        return [(1.0, (who,))]
    traits = preferences(f"trait {who}", TOPICS[topic].traits, kept=2)
    plain: Weighted = [
        (2.5 * weight, ("the " + name,))
        for weight, name in zip((0.7, 0.3), person.names, strict=False)
    ]
    return plain + [(weight, (f"the {trait} {who}",)) for weight, trait in traits]


def _verbs(topic: str, who: str) -> list[tuple[float, str]]:
    return preferences(f"deeds of {who}", list(TOPICS[topic].verbs), kept=4)


def _deed(topic: str, who: str) -> Weighted:
    """The past tense and what follows it."""
    return [
        *[(weight, (("did", topic, verb),)) for weight, verb in _verbs(topic, who)],
        *[
            (0.3 * weight, (past(verb), ("companion", topic, who)))
            for weight, verb in preferences(f"encounters {topic}", list(ENCOUNTERS), kept=3)
        ],
    ]


def _companion(topic: str, who: str) -> Weighted:
    others = [name for name in TOPICS[topic].people if name != who]
    chosen = preferences(f"companion of {who}", others, kept=2)
    return [(weight, (("subject", topic, other, NOUN),)) for weight, other in chosen]


def _did(topic: str, verb: str) -> Weighted:
    return _with_adverb(topic, verb, [past(name) for name in TOPICS[topic].verbs[verb].names])


def _with_adverb(topic: str, verb: str, forms: list[str]) -> Weighted:
    thing, where = ("object", topic, verb), ("where", topic, verb)
    adverbs = preferences(f"adverb {topic}", ADVERBS, kept=2)
    rules: Weighted = []
    for weight, form in zip((0.7, 0.3), forms, strict=False):
        rules += [(weight, (form, thing)), (0.6 * weight, (form, thing, where))]
        rules += [(0.3 * weight * liking, (adverb, form, thing)) for liking, adverb in adverbs]
    return rules


def _do(topic: str, who: str) -> Weighted:
    return [(weight, (verb, ("object", topic, verb))) for weight, verb in _verbs(topic, who)]


def _done(topic: str, who: str) -> Weighted:
    return [
        (weight, (participle(verb), ("object", topic, verb))) for weight, verb in _verbs(topic, who)
    ]


def _doing(topic: str, who: str) -> Weighted:
    return [
        (weight, (gerund(verb), ("object", topic, verb))) for weight, verb in _verbs(topic, who)
    ]


def _habit(topic: str, who: str) -> Weighted:
    """The present tense, which agrees with its subject."""
    plural = TOPICS[topic].people[who].plural
    return [
        (
            weight,
            (often, verb if plural else third_person(verb), ("object", topic, verb), "on", day),
        )
        for weight, verb in _verbs(topic, who)
        for often, day in (("always", _weekday(who)), ("rarely", _weekday(topic)))
    ]


def _weekday(context: str) -> str:
    return preferences(f"day of {context}", DAYS)[0][1] + "s"


def _object(topic: str, verb: str) -> Weighted:
    things = TOPICS[topic].verbs[verb].objects
    return [(1 / rank, (("thing", topic, thing),)) for rank, thing in enumerate(things, start=1)]


def _thing(topic: str, name: str) -> Weighted:
    thing = TOPICS[topic].things[name]
    rules: Weighted = [(0.25, (indefinite(name),))]
    rules += [(w, (f"the {noun}",)) for w, noun in zip((0.3, 0.15), thing.names, strict=False)]
    for rank, adjective in enumerate(thing.adjectives, start=1):
        rules += [(0.25 / rank, (f"the {adjective} {name}",))]
        rules += [(0.15 / rank, (indefinite(f"{adjective} {name}"),))]
    return rules


def _where(topic: str, verb: str) -> Weighted:
    places = preferences(f"place of {verb}", TOPICS[topic].places)
    return [(weight, (place,)) for weight, place in places]


def _when(topic: str, who: str) -> Weighted:
    moments = preferences(f"moment {topic}", TOPICS[topic].moments)
    days = preferences(f"day of {who}", DAYS, kept=2)
    rules: Weighted = [(weight, (moment,)) for weight, moment in moments]
    return rules + [(0.5 * weight, (f"on {day}",)) for weight, day in days]


def _subordinate(topic: str, who: str) -> Weighted:
    pronoun = ("subject", topic, who, PRONOUN)
    return [
        (0.4, ("because", ("feeling", topic, who, PRONOUN))),
        (0.3, ("while", ("companion", topic, who), "watched")),
        (0.3, ("before", pronoun, ("deed", topic, who))),
    ]


def _feeling(topic: str, who: str, form: str) -> Weighted:
    person = TOPICS[topic].people[who]
    traits = preferences(f"trait {who}", TOPICS[topic].traits, kept=2)
    return [
        (weight * share, (("subject", topic, who, form), _was(person), degree + trait))
        for weight, trait in traits
        for share, degree in ((0.6, ""), (0.2, "too "), (0.2, "never "))
    ]


def _was(person: Person) -> str:
    return "were" if person.plural else "was"


def _passive(topic: str, who: str) -> Weighted:
    return [
        (
            weight / rank,
            (("thing", topic, thing), "was", participle(verb), "by", ("subject", topic, who, NOUN)),
        )
        for weight, verb in _verbs(topic, who)
        for rank, thing in enumerate(TOPICS[topic].verbs[verb].objects, start=1)
    ]


RULES: dict[str, RuleFunction] = {
    "text": _text,
    "story": _story,
    "about": _about,
    "paragraph": _paragraph,
    "opening": _opening,
    "continuation": _continuation,
    "subject": _subject,
    "deed": _deed,
    "companion": _companion,
    "did": _did,
    "do": _do,
    "done": _done,
    "doing": _doing,
    "habit": _habit,
    "object": _object,
    "thing": _thing,
    "where": _where,
    "when": _when,
    "subordinate": _subordinate,
    "feeling": _feeling,
    "passive": _passive,
    **review.RULES,
}

PARAGRAPHS = Grammar(RULES, ("text",))
