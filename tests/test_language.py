"""The built-in language: reproducible, rightly labelled, with exact probabilities."""

import math
import os
import random
import re
import subprocess
import sys
from collections import Counter

import pytest

from analysis import language
from analysis.language.events import times_of
from analysis.language.grammar import Grammar, Parts, Symbol, joined, separated
from analysis.language.lexicon import CONDEMNATION, DISLIKING, LIKING, PRAISE
from analysis.language.review import DOMAINS, REVIEWS
from analysis.language.story import PARAGRAPHS
from analysis.language.words import (
    ENCOUNTERS,
    TOPICS,
    TOWNS,
    Topic,
    gerund,
    indefinite,
    participle,
    past,
    third_person,
)

TASKS = {
    "sentiment": (language.sentiment, "sentence", ["sentence", "label"]),
    "paraphrase": (language.paraphrase, "sentence1", ["sentence1", "sentence2", "label"]),
    "headline": (language.headline, "document", ["document", "summary"]),
    "language_modelling": (language.language_modelling, "text", ["text", "log_probability"]),
}
DIGESTS = """
import hashlib, json
from analysis import language
for name in ("sentiment", "paraphrase", "headline", "language_modelling"):
    for split in ("train", "test"):
        found = getattr(language, name)(40, 5, split=split)
        print(name, split, hashlib.sha256(json.dumps(found).encode()).hexdigest())
"""


# -- the same everywhere --------------------------------------------------------------------------


def test_generators_do_not_depend_on_the_process():
    outputs = [
        subprocess.run(
            [sys.executable, "-c", DIGESTS],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    ]
    assert outputs[0] == outputs[1]
    assert len(set(outputs[0].split("\n"))) == 9  # eight different digests, and the end


@pytest.mark.parametrize("name", TASKS)
def test_examples_have_the_fields_of_the_real_data_sets_and_depend_on_the_seed(name):
    make, _, fields = TASKS[name]
    assert [list(example) for example in make(5, 0)] == [fields] * 5
    assert make(20, 0) == make(20, 0)
    assert make(20, 0)[:5] == make(5, 0)
    assert make(20, 0) != make(20, 1)


@pytest.mark.parametrize("name", ["sentiment", "paraphrase", "headline"])
def test_no_train_text_is_in_the_test_split(name):
    make, key, _ = TASKS[name]
    train = {example[key] for example in make(3_000, 0, split="train")}
    assert not train & {example[key] for example in make(1_000, 0)}


def test_no_train_paragraph_is_in_the_test_split():
    train = set(language.paragraphs(5_000, 1))
    assert not train & set(language.paragraphs(2_000, 1, split="test"))


@pytest.mark.parametrize("name", ["sentiment", "paraphrase"])
def test_labels_are_balanced(name):
    examples = TASKS[name][0](4_000, 3)
    assert abs(sum(example["label"] for example in examples) / 4_000 - 0.5) < 0.03


# -- the language ---------------------------------------------------------------------------------


def test_inflection():
    assert [past(verb) for verb in ("open", "approve", "hide", "shut")] == [
        "opened",
        "approved",
        "hid",
        "shut",
    ]
    assert [participle(verb) for verb in ("hide", "build", "scrub")] == [
        "hidden",
        "built",
        "scrubbed",
    ]
    assert [third_person(verb) for verb in ("teach", "miss", "open")] == [
        "teaches",
        "misses",
        "opens",
    ]
    assert [gerund(verb) for verb in ("shut", "bake", "win", "hide")] == [
        "shutting",
        "baking",
        "winning",
        "hiding",
    ]
    assert [indefinite(words) for words in ("old bridge", "plan")] == ["an old bridge", "a plan"]


def test_lexicon_is_consistent():
    for topic in TOPICS.values():
        assert len(topic.traits) >= 3
        for verb in topic.verbs.values():
            assert verb.objects
            assert set(verb.objects) <= set(topic.things)
        assert not set(topic.people) & set(topic.things)


def test_words_are_many_and_texts_are_short():
    texts = language.paragraphs(10_000, 2)
    assert len({token.lower() for text in texts for token in separated(text)}) > 500
    lengths = [len(text.split()) for text in texts]
    assert max(lengths) <= 45
    assert all(joined(separated(text)) == text for text in texts)


# -- exact probabilities --------------------------------------------------------------------------

# "the old dog barks" has two derivations, one of them through an adjective inside the noun.
AMBIGUOUS = Grammar(
    {
        "s": lambda: [(3, (("noun",), "barks", ".")), (1, ("the old", ("noun",), "."))],
        "noun": lambda: [(1, ("the old dog",)), (1, ("the", ("old",), "dog")), (2, ("dog",))],
        "old": lambda: [(1, ("old",)), (1, ("young",))],
    },
    ("s",),
)


def every_text(grammar: Grammar, symbol: Symbol) -> Counter[str]:
    """Every text that the symbol derives, with the sum of its derivations' probabilities."""
    total: Counter[str] = Counter()
    for tokens, probability in derivations(grammar, (symbol,)):
        total[joined(tokens)] += probability
    return total


def derivations(grammar: Grammar, parts: Parts):
    if not parts:
        yield [], 1.0
        return
    first, rest = parts[0], parts[1:]
    expansions = [(1.0, None)] if isinstance(first, str) else grammar.alternatives(first)
    for chance, expansion in expansions:
        heads = [([first], 1.0)] if expansion is None else derivations(grammar, expansion)
        for head, inner in heads:
            for tail, outer in derivations(grammar, rest):
                yield head + tail, chance * inner * outer


@pytest.mark.parametrize(
    ("grammar", "symbol"),
    [
        (AMBIGUOUS, ("s",)),
        (REVIEWS, ("judgement", "1", "hotel", "bed")),
        (REVIEWS, ("burden", "0", "film", "plot")),
        (PARAGRAPHS, ("deed", "council", "mayor")),
        (PARAGRAPHS, ("feeling", "sea", "Marina", "pronoun")),
        (PARAGRAPHS, ("subordinate", "sea", "Marina")),
    ],
)
def test_log_probability_is_the_sum_over_all_derivations(grammar, symbol):
    texts = every_text(grammar, symbol)
    assert math.fsum(texts.values()) == pytest.approx(1.0)
    for text, probability in list(texts.items())[:: max(1, len(texts) // 300)]:
        assert grammar.log_probability(text, symbol) == pytest.approx(math.log(probability))


def test_ambiguous_text_gets_both_readings():
    # 3/4 · (1/4 + 1/4 · 1/2)
    assert math.exp(AMBIGUOUS.log_probability("The old dog barks.")) == pytest.approx(0.28125)


def test_frequencies_agree_with_the_probabilities():
    rng, draws = random.Random(4), 40_000
    counts = Counter(PARAGRAPHS.sample(rng) for _ in range(draws))
    for text, count in counts.most_common(25):
        expected = draws * math.exp(PARAGRAPHS.log_probability(text))
        assert abs(count - expected) < 5 * math.sqrt(expected), text


def test_what_the_grammar_cannot_say_has_no_probability():
    for text in ("", "The mayor", "the mayor opened a park.", "Mayor the opened park.", "  "):
        assert PARAGRAPHS.log_probability(text) == -math.inf


def test_every_text_has_its_log_probability():
    for example in language.language_modelling(60, 9):
        assert -120 < example["log_probability"] < -3


# -- labels, read by rules of their own -----------------------------------------------------------


def sentiment_by_reading(text: str) -> int:
    """The label of a review: the main clause's opinion, turned round by a negation."""
    words = text.lower().rstrip(".")
    if ", but " in words:
        words = words.split(", but ")[1]
    elif words.startswith(("although ", "despite ")):
        words = words.split(", ")[1]
    clause = words.split(", ")[0].split(" and ")[0]
    negated = bool(re.search(r"\b(not|never|nobody|anything but|far from)\b", clause))
    return opinion(clause) ^ negated


def opinion(clause: str) -> int:
    *_, last = clause.split()
    for label, liked in ((1, LIKING), (0, DISLIKING)):
        if set(clause.split()) & set(liked.split()):
            return label
    if last in PRAISE.split() + CONDEMNATION.split():
        return int(last in PRAISE.split())
    aspects = [a for domain in DOMAINS.values() for a in domain.items() if f" {a[0]} " in clause]
    ((_, adjectives),) = [max(aspects, key=lambda aspect: len(aspect[0]))]
    assert (last in adjectives["1"]) != (last in adjectives["0"])
    return int(last in adjectives["1"])


def test_sentiment_labels_follow_from_the_words():
    for example in language.sentiment(2_000, 11):
        assert sentiment_by_reading(example["sentence"]) == example["label"], example


def test_no_review_could_have_the_other_label():
    for example in language.sentiment(200, 12):
        other = REVIEWS.log_probability(example["sentence"], ("review", str(1 - example["label"])))
        assert other == -math.inf


FRAMES = (
    "{whom} (?:was|were)(?P<negated> not)? {verb} by {who}",
    "it was {who} who (?P<negated>did not |failed to )?{verb} {whom}",
    "{who} (?P<negated>did not |failed to )?{verb} {whom}",
)
NOUN = r"(?:the )?(?:(?P<{0}_adjective>[a-z]+) )?(?P<{0}>{1})"


def meaning(text: str) -> tuple:
    """Who did what to whom, where, when: the first of all synonyms, whatever the word order."""
    for topic in TOPICS.values():
        found = meaning_in(topic, text)
        if found:
            return found
    raise AssertionError(f"cannot read {text!r}")


def meaning_in(topic: Topic, text: str) -> tuple | None:
    names = {
        name: entry.names[0]
        for entry in (*topic.people.values(), *topic.things.values())
        for name in entry.names
    }
    statement = text.rstrip(".")
    if statement.split()[0] not in names:
        statement = statement[0].lower() + statement[1:]
    when, statement = taken_out(times_of(topic.name), statement)
    where, statement = taken_out(topic.places, statement)
    who, whom = (NOUN.format(role, "|".join(names)) for role in ("who", "whom"))
    for frame in FRAMES:
        match = re.fullmatch(frame.format(who=who, whom=whom, verb=r"(?P<verb>\w+)"), statement)
        verb = match and verb_meant(topic, match["verb"], names[match["whom"]])
        if match and verb:
            roles = names[match["who"]], verb, names[match["whom"]]
            adjectives = match["who_adjective"], match["whom_adjective"]
            return topic.name, *roles, *adjectives, bool(match["negated"]), where, when
    return None


def verb_meant(topic: Topic, form: str, whom: str) -> str | None:
    for verb, entry in (ENCOUNTERS if whom in topic.people else topic.verbs).items():
        if any(form in (name, past(name), participle(name)) for name in entry.names):
            return verb
    return None


def taken_out(phrases, statement: str) -> tuple[str, str]:
    for phrase in sorted(phrases, key=len, reverse=True):
        for form in (f"{phrase}, ", f" {phrase}"):
            if form in statement:
                return phrase, statement.replace(form, "", 1)
    return "", statement


def test_paraphrases_mean_the_same_and_the_others_do_not():
    for example in language.paraphrase(2_000, 13):
        same = meaning(example["sentence1"]) == meaning(example["sentence2"])
        assert same == bool(example["label"]), example
        assert example["sentence1"] != example["sentence2"]


def headline_by_reading(document: str) -> str:
    """The headline, made from the article's sentences alone."""
    sentences = [
        s for s in re.findall(r"[^.]+\.", document) if not s.strip().startswith("Last year")
    ]
    town, lead = next((t, s.strip()) for s in sentences for t in TOWNS if re.search(rf"\b{t}\b", s))
    lead = lead.replace(f" of {town}", "").replace(f"In {town}, ", "")
    topic, who, verb, whom, _, _, negated, _, when = meaning(lead)
    plural = TOPICS[topic].people[who].plural
    action = verb if plural else third_person(verb)
    if negated:
        action = f"{'fail' if plural else 'fails'} to {verb}"
    return f"{town} {who} {action} {whom} {ending_by_reading(document, topic, when)}"


def ending_by_reading(document: str, topic: str, when: str) -> str:
    if price := re.search(r"(?:cost|was) ([a-z ]+ crowns)\.", document):
        return f"for {price[1]}"
    for start, signs in (
        ("despite protest from", r"(\w+) protested\.|angered [\w ]*?(\w+)\."),
        ("to applause from", r"(\w+) applauded\.|pleased [\w ]*?(\w+)\."),
    ):
        if crowd := re.search(signs, document):
            called = crowd[1] or crowd[2]
            people = TOPICS[topic].people.values()
            return f"{start} {next(p.names[0] for p in people if called in p.names)}"
    return when


def test_headlines_follow_from_the_articles():
    for example in language.headline(1_500, 14):
        assert headline_by_reading(example["document"]) == example["summary"], example
        assert 5 <= len(example["summary"].split()) <= 10
        assert 1 <= example["document"].count(".") <= 4
