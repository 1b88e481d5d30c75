"""Metrics as sums over examples: the form in which a bootstrap of thousands is one product.

Each metric turns an example into a short row of numbers, and the sum of rows into its value.
The metrics' reference libraries give the point value (`analysis.scoring.metrics`); here numpy
alone is needed, and tests hold the two against each other.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.float64]


@dataclass(frozen=True)
class Metric:
    """One metric over sums.

    columns    what the numbers of an example's row are
    value      sums [..., len(columns)] -> values [...]; NaN where the metric is undefined
    unit       how a reader sees it: a value of 0.93 in "%" is shown as 93 %
    log_scale  compare and average the logarithm (perplexity)
    """

    name: str
    title: str
    columns: tuple[str, ...]
    value: Callable[[Numbers], Numbers]
    unit: str = "%"
    higher_is_better: bool = True
    log_scale: bool = False


def _ratio(above: Numbers, below: Numbers) -> Numbers:
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(below > 0, above / below, np.nan)


def _mean(sums: Numbers) -> Numbers:
    return _ratio(sums[..., 0], sums[..., 1])


def _f1(sums: Numbers) -> Numbers:
    true_positive, false_positive, false_negative = sums[..., 0], sums[..., 1], sums[..., 2]
    below = 2 * true_positive + false_positive + false_negative
    return np.where(below > 0, _ratio(2 * true_positive, below), 0.0)


def _combined(sums: Numbers) -> Numbers:
    return (_mean(sums[..., :2]) + _f1(sums[..., 2:])) / 2


def _perplexity(sums: Numbers) -> Numbers:
    with np.errstate(over="ignore"):
        return np.exp(_ratio(sums[..., 0], sums[..., 1]))


def _bleu(sums: Numbers) -> Numbers:
    """Corpus BLEU of order 4, unsmoothed, with the brevity penalty (Papineni et al. 2002)."""
    candidate, reference = sums[..., 0], sums[..., 1]
    correct, total = sums[..., 2:6], sums[..., 6:10]
    with np.errstate(divide="ignore", invalid="ignore"):
        precisions = np.where(total > 0, correct / total, 0.0)
        logarithms = np.where(precisions > 0, np.log(precisions), -np.inf)
        penalty = np.minimum(0.0, 1 - reference / candidate)
        scores = np.exp(logarithms.mean(axis=-1) + penalty)
    return np.where(candidate > 0, scores, 0.0)


def _chrf(sums: Numbers) -> Numbers:
    """Character F, β = 2: of the means of precision and of recall over those orders of which both
    texts have n-grams (Popović 2015)."""
    candidate, reference, common = (sums[..., start::3] for start in range(3))
    possible = (candidate > 0) & (reference > 0)
    orders = np.maximum(possible.sum(axis=-1), 1)
    precision, recall = (
        np.where(possible, common / np.maximum(total, 1), 0.0).sum(axis=-1) / orders
        for total in (candidate, reference)
    )
    below = _BETA**2 * precision + recall
    return np.where(below > 0, _ratio((1 + _BETA**2) * precision * recall, below), 0.0)


_BETA = 2
_ORDERS = range(1, 5)
_CHARACTER_ORDERS = range(1, 7)
METRICS: Mapping[str, Metric] = {
    m.name: m
    for m in (
        Metric("accuracy", "accuracy", ("correct", "examples"), _mean),
        Metric("f1", "F1", ("true_positive", "false_positive", "false_negative"), _f1),
        Metric(
            "combined",
            "mean of accuracy and F1",
            ("correct", "examples", "true_positive", "false_positive", "false_negative"),
            _combined,
        ),
        Metric(
            "perplexity",
            "perplexity per word",
            ("negative_log_likelihood", "words"),
            _perplexity,
            unit="",
            higher_is_better=False,
            log_scale=True,
        ),
        Metric("rouge1", "ROUGE-1", ("f", "examples"), _mean),
        Metric("rouge2", "ROUGE-2", ("f", "examples"), _mean),
        Metric("rougeL", "ROUGE-L", ("f", "examples"), _mean),
        Metric("rougeLsum", "ROUGE-Lsum", ("f", "examples"), _mean),
        Metric(
            "bleu",
            "BLEU",
            (
                "candidate_words",
                "reference_words",
                *(f"correct_{n}" for n in _ORDERS),
                *(f"total_{n}" for n in _ORDERS),
            ),
            _bleu,
        ),
        Metric(
            "chrf",
            "chrF",
            tuple(
                f"{what}_{n}"
                for n in _CHARACTER_ORDERS
                for what in ("candidate", "reference", "common")
            ),
            _chrf,
        ),
    )
}


def retained(
    metric: Metric, value: Numbers | float, dense: Numbers | float, chance: float
) -> Numbers:
    """How much of what the dense model has above chance is left: 1 as the dense model, 0 at chance.

    (value − chance) / (dense − chance), on the logarithm for perplexity. NaN where the dense model
    is not above chance: a model at chance cannot degrade.
    """
    sign = 1.0 if metric.higher_is_better else -1.0
    with np.errstate(divide="ignore", invalid="ignore"):
        scale = (lambda x: np.log(x)) if metric.log_scale else (lambda x: x)
        reach = sign * (scale(dense) - scale(np.asarray(chance)))
        return np.where(
            reach > 0, sign * (scale(value) - scale(np.asarray(chance))) / reach, np.nan
        )
