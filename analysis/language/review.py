"""The grammar of reviews: a symbol `review` with the label 1 (praise) or 0 (condemnation).

The label follows from the words alone: negation turns an opinion round, of two opinions joined by
"but", "although" or "despite" the main one counts, and some adjectives praise one thing and
condemn another (a thin crust, a thin plot).
"""

from analysis.language import lexicon
from analysis.language.grammar import Grammar, RuleFunction, Weighted
from analysis.language.words import preferences

OPPOSITE = {"0": "1", "1": "0"}
_GENERAL = {"1": lexicon.PRAISE.split(), "0": lexicon.CONDEMNATION.split()}
_FEELING = {"1": lexicon.LIKING.split(), "0": lexicon.DISLIKING.split()}


def _read_domains(text: str) -> dict[str, dict[str, dict[str, list[str]]]]:
    """{domain: {aspect: {label: adjectives}}}"""
    domains: dict[str, dict[str, dict[str, list[str]]]] = {}
    for line in text.strip().splitlines():
        kind, _, rest = line.partition(" ")
        if kind == "domain":
            domains[rest] = aspects = {}
        else:
            aspect, _, adjectives = rest.partition(": ")
            praise, _, condemnation = adjectives.partition(" | ")
            aspects[aspect] = {"1": praise.split(), "0": condemnation.split()}
    return domains


DOMAINS = _read_domains(lexicon.REVIEWS)


def _review(label: str) -> Weighted:
    return [
        (weight, (("opinions", label, domain),))
        for weight, domain in preferences("domain", list(DOMAINS), steepness=0.5)
    ]


def _opinions(label: str, domain: str) -> Weighted:
    aspects = list(DOMAINS[domain])
    return [
        (weight * other_weight, (("contrast", label, domain, aspect, other),))
        for weight, aspect in preferences(f"aspect of {domain}", aspects)
        for other_weight, other in preferences(f"beside {aspect}", aspects)
        if other != aspect
    ]


def _contrast(label: str, domain: str, aspect: str, other: str) -> Weighted:
    """A judgement of one aspect, which gives the label, alone or beside that of another."""
    main, also = ("judgement", label, domain, aspect), ("judgement", label, domain, other)
    contrary = ("judgement", OPPOSITE[label], domain, other)
    burden = ("burden", OPPOSITE[label], domain, other)
    return [
        (0.58, (main, ".")),
        (0.24, (main, "and", also, ".")),
        (0.08, (contrary, ",", "but", main, ".")),
        (0.05, ("although", contrary, ",", main, ".")),
        (0.05, ("despite", burden, ",", main, ".")),
    ]


def _judgement(label: str, domain: str, aspect: str) -> Weighted:
    says, denies = (
        ("adjective", label, domain, aspect),
        ("adjective", OPPOSITE[label], domain, aspect),
    )
    rules: Weighted = [
        (0.36, ("the", aspect, "was", says)),
        (0.18, ("the", aspect, "was", ("intensifier",), says)),
        (0.08, ("everybody found the", aspect, says)),
        (0.10, ("the", aspect, "was not", denies)),
        (0.05, ("the", aspect, "was far from", denies)),
    ]
    for feeling in _FEELING[label]:
        rules += [(0.05, (f"I {feeling} the {aspect}",))]
    for feeling in _FEELING[OPPOSITE[label]]:
        rules += [(0.01, (f"I never {feeling} the {aspect}",))]
    return rules


def _burden(label: str, domain: str, aspect: str) -> Weighted:
    return [
        (1.0, (f"the {adjective} {aspect}",))
        for adjective in DOMAINS[domain][aspect][label] + _GENERAL[label][:5]
    ]


def _adjective(label: str, domain: str, aspect: str) -> Weighted:
    own: Weighted = [(0.3, (adjective,)) for adjective in DOMAINS[domain][aspect][label]]
    general = preferences(f"{domain} {aspect}", _GENERAL[label])
    return own + [(weight, (adjective,)) for weight, adjective in general]


def _intensifier() -> Weighted:
    return [(weight, (word,)) for weight, word in preferences("very", lexicon.INTENSIFIERS.split())]


RULES: dict[str, RuleFunction] = {
    "review": _review,
    "opinions": _opinions,
    "contrast": _contrast,
    "judgement": _judgement,
    "burden": _burden,
    "adjective": _adjective,
    "intensifier": _intensifier,
}

REVIEWS = Grammar(RULES, ("review", "1"))
