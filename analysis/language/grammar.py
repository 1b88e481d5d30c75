"""A probabilistic grammar: texts drawn from it, and the exact probability of a text under it.

A symbol is a tuple, its category and its features: `("clause", "sea", "sailor")`. A part of a rule
is a symbol, or a string of words and punctuation marks that stands for itself. A rule function
takes the features and gives the weighted alternatives of a symbol, none of them empty.
"""

import math
import random
import re
from bisect import bisect
from collections.abc import Callable, Iterable, Mapping
from itertools import accumulate

Symbol = tuple[str, ...]
Part = str | Symbol
Parts = tuple[Part, ...]
Weighted = list[tuple[float, Parts]]
RuleFunction = Callable[..., Weighted]

_TOKEN = re.compile(r"[^\s,.]+|[,.]")


def joined(tokens: Iterable[str]) -> str:
    """The tokens as text: sentences capitalised, no space before a comma or a full stop."""
    text = ""
    for token in tokens:
        word = capitalised(token) if not text or text.endswith(".") else token
        text += word if not text or token in ",." else " " + word
    return text


def separated(text: str) -> list[str]:
    """The words and punctuation marks of a text, in order, as they are written."""
    return _TOKEN.findall(text)


def capitalised(word: str) -> str:
    """The word as it begins a sentence."""
    return word[0].upper() + word[1:]


class Grammar:
    """Texts of one start symbol; rules are looked up by category as they are needed."""

    def __init__(self, rules: Mapping[str, RuleFunction], start: Symbol):
        self.start = start
        self._rules = rules
        self._alternatives: dict[Symbol, Weighted] = {}
        self._cumulative: dict[Symbol, list[float]] = {}
        self._first: dict[Symbol, frozenset[str]] = {}
        self._by_word: dict[tuple[Symbol, bool], dict[str, Weighted]] = {}

    def alternatives(self, symbol: Symbol) -> Weighted:
        """What the symbol can become: (probability, its parts: single tokens and symbols)."""
        if symbol not in self._alternatives:
            weighted = self._rules[symbol[0]](*symbol[1:])
            total = math.fsum(weight for weight, _ in weighted)
            self._alternatives[symbol] = [
                (weight / total, _single_tokens(parts)) for weight, parts in weighted
            ]
        return self._alternatives[symbol]

    def sample(self, rng: random.Random, start: Symbol | None = None) -> str:
        """One text, drawn with its probability."""
        tokens: list[str] = []
        pending: list[Part] = [start or self.start]
        while pending:
            part = pending.pop()
            if isinstance(part, str):
                tokens.append(part)
            else:
                pending.extend(reversed(self._drawn(part, rng)))
        return joined(tokens)

    def log_probability(self, text: str, start: Symbol | None = None) -> float:
        """The natural logarithm of the text's probability, its end included, over all derivations.

        Minus infinity for a text outside the language.
        """
        tokens = separated(text)
        if not tokens or joined(tokens) != text:
            return -math.inf
        ends = _Reading(self, tokens).ends(start or self.start, 0)
        probability = ends.get(len(tokens), 0.0)
        return math.log(probability) if probability else -math.inf

    def beginning_with(self, symbol: Symbol, word: str, starts_sentence: bool) -> Weighted:
        """The alternatives of the symbol that can begin with the word as it is written."""
        key = (symbol, starts_sentence)
        if key not in self._by_word:
            index: dict[str, Weighted] = {}
            for alternative in self.alternatives(symbol):
                words = self._first_words(alternative[1][0])
                for first in sorted({capitalised(w) for w in words} if starts_sentence else words):
                    index.setdefault(first, []).append(alternative)
            self._by_word[key] = index
        return self._by_word[key].get(word, [])

    def _drawn(self, symbol: Symbol, rng: random.Random) -> Parts:
        alternatives = self.alternatives(symbol)
        if symbol not in self._cumulative:
            self._cumulative[symbol] = list(accumulate(chance for chance, _ in alternatives))
        place = bisect(self._cumulative[symbol], rng.random())
        return alternatives[min(place, len(alternatives) - 1)][1]

    def _first_words(self, part: Part) -> frozenset[str]:
        if isinstance(part, str):
            return frozenset((part,))
        if part not in self._first:
            self._first[part] = frozenset(
                word for _, parts in self.alternatives(part) for word in self._first_words(parts[0])
            )
        return self._first[part]


class _Reading:
    """Inside probabilities of one text: every derivation of every stretch, each counted once."""

    def __init__(self, grammar: Grammar, tokens: list[str]):
        self._grammar = grammar
        self._tokens = tokens
        self._known: dict[tuple[Symbol, int], dict[int, float]] = {}

    def ends(self, part: Part, start: int) -> dict[int, float]:
        """Where the part can end when it begins at token `start`, each with its probability."""
        if start == len(self._tokens):
            return {}
        token = self._tokens[start]
        starts_sentence = start == 0 or self._tokens[start - 1] == "."
        if isinstance(part, str):
            shown = capitalised(part) if starts_sentence else part
            return {start + 1: 1.0} if shown == token else {}
        if (part, start) not in self._known:
            total: dict[int, float] = {}
            for chance, parts in self._grammar.beginning_with(part, token, starts_sentence):
                for end, inside in self._ends_of_all(parts, start).items():
                    total[end] = total.get(end, 0.0) + chance * inside
            self._known[part, start] = total
        return self._known[part, start]

    def _ends_of_all(self, parts: Parts, start: int) -> dict[int, float]:
        reached = {start: 1.0}
        for part in parts:
            following: dict[int, float] = {}
            for middle, before in reached.items():
                for end, inside in self.ends(part, middle).items():
                    following[end] = following.get(end, 0.0) + before * inside
            reached = following
        return reached


def _single_tokens(parts: Parts) -> Parts:
    split: list[Part] = []
    for part in parts:
        split.extend(separated(part) if isinstance(part, str) else (part,))
    return tuple(split)
