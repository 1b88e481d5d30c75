"""The metrics themselves: local `evaluate.Metric` classes over their reference libraries.

`evaluate.load` would fetch each metric's script from a hub; these have the same interface and need
none. Each also gives the per-example statistics that `analysis.scoring.statistics` sums.
"""

import functools
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import datasets
import evaluate
import sklearn.metrics
from nltk.stem.porter import PorterStemmer
from rouge_score.rouge_scorer import RougeScorer
from sacrebleu.metrics import BLEU, CHRF

from analysis.tasks import scripts

Sums = list[list[float]]  # statistics of each example, which add up


class _Metric(evaluate.Metric):
    """A metric whose value is a number between 0 and 1, or a perplexity.

    kind     the type of predictions and references
    library  of a metric of words, whose they are; its configuration is called by its tokenizer
    """

    kind = "int64"
    library = ""
    citation = ""

    def _info(self) -> evaluate.MetricInfo:
        features = datasets.Features(
            {
                "predictions": datasets.Value(self.kind),
                "references": datasets.Value(self.kind),
            }
        )
        return evaluate.MetricInfo(
            description=self.__doc__ or "",
            citation=self.citation,
            inputs_description="predictions and references, one each an example",
            features=features,
        )


class Accuracy(_Metric):
    """The fraction of examples whose label is predicted (scikit-learn's accuracy_score)."""

    def _compute(self, predictions: Sequence[int], references: Sequence[int]) -> dict[str, float]:
        return {"accuracy": _accuracy(predictions, references)}


class F1(_Metric):
    """F1 of label 1 (scikit-learn's f1_score); 0 where nothing is positive."""

    def _compute(self, predictions: Sequence[int], references: Sequence[int]) -> dict[str, float]:
        return {"f1": _f1(predictions, references)}


class Combined(_Metric):
    """The mean of accuracy and F1, as GLUE has it for MRPC."""

    citation = "wang2019glue"

    def _compute(self, predictions: Sequence[int], references: Sequence[int]) -> dict[str, float]:
        return {"combined": (_accuracy(predictions, references) + _f1(predictions, references)) / 2}


class Perplexity(_Metric):
    """exp(−Σ log likelihood / Σ words): predictions are log likelihoods, references words."""

    kind = "float64"

    def _compute(
        self, predictions: Sequence[float], references: Sequence[float]
    ) -> dict[str, float]:
        import numpy as np

        with np.errstate(over="ignore"):
            return {"perplexity": float(np.exp(-np.sum(predictions) / np.sum(references)))}


class Rouge(_Metric):
    """Mean F of ROUGE-1, -2, -L and -Lsum (google-research's rouge_score, Porter's stemmer), of the
    words of its own tokenizer or of `scripts.words`."""

    kind = "string"
    library = "rouge"
    citation = "lin2004rouge"

    def _compute(self, predictions: Sequence[str], references: Sequence[str]) -> dict[str, float]:
        words = self.config_name
        rows = [rouge_f(p, r, words) for p, r in zip(predictions, references, strict=True)]
        return {name: sum(row[name] for row in rows) / len(rows) for name in rows[0]}


class Bleu(_Metric):
    """Corpus BLEU, unsmoothed (sacrebleu, by one of its tokenizers), 0 to 1."""

    kind = "string"
    library = "bleu"
    citation = "post2018call"

    def _compute(self, predictions: Sequence[str], references: Sequence[str]) -> dict[str, float]:
        scorer = _bleu(self.config_name)
        return {"bleu": scorer.corpus_score(predictions, [references]).score / 100}


class Chrf(_Metric):
    """Corpus chrF of character n-grams up to 6, β = 2 (sacrebleu), 0 to 1."""

    kind = "string"
    citation = "popovic2015chrf"

    def _compute(self, predictions: Sequence[str], references: Sequence[str]) -> dict[str, float]:
        return {"chrf": _chrf().corpus_score(predictions, [references]).score / 100}


def _accuracy(predictions: Sequence[int], references: Sequence[int]) -> float:
    return float(sklearn.metrics.accuracy_score(references, predictions))


def _f1(predictions: Sequence[int], references: Sequence[int]) -> float:
    expected, found = ([label == 1 for label in labels] for labels in (references, predictions))
    return float(sklearn.metrics.f1_score(expected, found, zero_division=0.0))


_ANY_SENTENCE_END = re.compile(
    r"(?<=[。！？｡।॥۔؟။።])[\"'”’」』）)\]]*\s*|(?<=[.!?])[\"'”’»)\]]*\s+(?=[\"'“‘«(\[]?[^\Wa-z_])"
)
_SENTENCE_END = re.compile(r"(?<=[.!?])[\"'”’)\]]*\s+(?=[\"'“‘(\[]?[A-Z0-9])")


_ROUGE = ["rouge1", "rouge2", "rougeL", "rougeLsum"]


class _UnicodeWords:
    """A tokenizer for rouge_score: words of any script, those of a to z stemmed as its own are."""

    def __init__(self) -> None:
        self._stemmer = PorterStemmer()

    def tokenize(self, text: str) -> list[str]:
        return [
            self._stemmer.stem(word) if len(word) > 3 and word.isascii() else word
            for word in scripts.words(text)
        ]


@functools.cache
def _rouge(words: str) -> RougeScorer:
    if words == scripts.OWN:
        return RougeScorer(_ROUGE, use_stemmer=True)
    return RougeScorer(_ROUGE, tokenizer=_UnicodeWords())


@functools.cache
def _bleu(words: str) -> BLEU:
    return BLEU(smooth_method="none", effective_order=False, force=True, tokenize=words)


@functools.cache
def _chrf() -> CHRF:
    return CHRF(char_order=6, word_order=0, beta=2)


@functools.lru_cache(maxsize=1 << 15)  # each of the four is asked of the same pairs
def rouge_f(prediction: str, reference: str, words: str = scripts.OWN) -> Mapping[str, float]:
    """F of ROUGE-1, -2, -L and -Lsum of one pair, by metric name; words as in `scripts`."""
    split = sentences if words == scripts.OWN else _sentences_of_any_script
    scores = _rouge(words).score(split(reference), split(prediction))
    return {name: float(score.fmeasure) for name, score in scores.items()}


def sentences(text: str) -> str:
    """The text with each of its sentences on a line, as ROUGE-Lsum has to be given them.

    A text that has several lines is left as it is; others are split after ".", "!" or "?" before
    a capital or a digit, which now and then takes an abbreviation for an end.
    """
    return text if "\n" in text.strip() else _SENTENCE_END.sub("\n", text)


def _sentences_of_any_script(text: str) -> str:
    """Likewise; before a capital of any script, and after the stops of Chinese and Hindi."""
    return text if "\n" in text.strip() else _ANY_SENTENCE_END.sub("\n", text)


def _accuracy_rows(predictions: Sequence[int], references: Sequence[int]) -> Sums:
    return [[float(p == r), 1.0] for p, r in zip(predictions, references, strict=True)]


def _f1_rows(predictions: Sequence[int], references: Sequence[int]) -> Sums:
    return [
        [float(p == 1 == r), float(p == 1 != r), float(r == 1 != p)]
        for p, r in zip(predictions, references, strict=True)
    ]


def _combined_rows(predictions: Sequence[int], references: Sequence[int]) -> Sums:
    both = (_accuracy_rows(predictions, references), _f1_rows(predictions, references))
    return [one + other for one, other in zip(*both, strict=True)]


def _perplexity_rows(log_likelihoods: Sequence[float], words: Sequence[float]) -> Sums:
    return [[-float(p), float(w)] for p, w in zip(log_likelihoods, words, strict=True)]


def _rouge_rows(
    name: str, predictions: Sequence[str], references: Sequence[str], words: str
) -> Sums:
    return [[rouge_f(p, r, words)[name], 1.0] for p, r in zip(predictions, references, strict=True)]


def _bleu_rows(predictions: Sequence[str], references: Sequence[str], words: str) -> Sums:
    scores = [
        _bleu(words).corpus_score([p], [[r]]) for p, r in zip(predictions, references, strict=True)
    ]
    return [[float(x) for x in (s.sys_len, s.ref_len, *s.counts, *s.totals)] for s in scores]


def _chrf_rows(predictions: Sequence[str], references: Sequence[str]) -> Sums:
    return [
        [float(x) for x in _chrf()._extract_corpus_statistics([p], [[r]])[0]]
        for p, r in zip(predictions, references, strict=True)
    ]


_ROWS: dict[str, tuple[type[_Metric], Callable[..., Sums]]] = {
    "accuracy": (Accuracy, _accuracy_rows),
    "f1": (F1, _f1_rows),
    "combined": (Combined, _combined_rows),
    "perplexity": (Perplexity, _perplexity_rows),
    "rouge1": (Rouge, functools.partial(_rouge_rows, "rouge1")),
    "rouge2": (Rouge, functools.partial(_rouge_rows, "rouge2")),
    "rougeL": (Rouge, functools.partial(_rouge_rows, "rougeL")),
    "rougeLsum": (Rouge, functools.partial(_rouge_rows, "rougeLsum")),
    "bleu": (Bleu, _bleu_rows),
    "chrf": (Chrf, _chrf_rows),
}


def score(
    names: Sequence[str],
    predictions: Sequence[Any],
    references: Sequence[Any],
    tokenizers: Mapping[str, str] | None = None,
) -> dict[str, dict[str, Any]]:
    """For each metric its value, by the reference library, and one row of statistics an example.

    tokenizers   by which words texts are compared, as `scripts.tokenizers` has them; by default
                 those of Latin script
    """
    words = {**scripts.PLAIN, **(tokenizers or {})}
    values: dict[str, float] = {}
    for metric in dict.fromkeys(_ROWS[name][0] for name in names):
        computing = metric(
            words.get(metric.library), keep_in_memory=True
        )  # else it writes into the user's home
        values |= computing.compute(predictions=predictions, references=references)
    found = {}
    for name in names:
        metric, rows = _ROWS[name]
        more = {"words": words[metric.library]} if metric.library else {}
        found[name] = {"value": values[name], "rows": rows(predictions, references, **more)}
    return found
