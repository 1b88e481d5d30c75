"""Metrics of texts equal their reference libraries, with the settings of published scores."""

import math

import numpy as np
import pytest
import sacrebleu
from hypothesis import given, settings
from hypothesis import strategies as st
from rouge_score.rouge_scorer import RougeScorer

from analysis.scoring.metrics import score, sentences
from analysis.scoring.statistics import METRICS

ROUGE = ("rouge1", "rouge2", "rougeL", "rougeLsum")
ALL = (*ROUGE, "bleu", "chrf")
WORDS = ["the", "cats", "cat", "was", "running", "runs", "on", "U.S.", "mats", ",", "1,5", "«naïf»"]
texts = st.lists(st.sampled_from([*WORDS, "\n", ". The"]), max_size=14).map(" ".join)
anything = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)


def value_of_rows(name, scored):
    """The metric's value from its per-example statistics."""
    return float(METRICS[name].value(np.asarray(scored["rows"], float).sum(axis=0)))


def by_libraries(predictions, references):
    """What the reference libraries say, in calls of their own, by metric."""
    scorer = RougeScorer(ROUGE, use_stemmer=True)
    pairs = [
        scorer.score(sentences(r), sentences(p))
        for p, r in zip(predictions, references, strict=True)
    ]
    rouge = {name: np.mean([pair[name].fmeasure for pair in pairs]) for name in ROUGE}
    bleu = sacrebleu.corpus_bleu(
        predictions, [references], tokenize="13a", smooth_method="none", force=True
    )
    chrf = sacrebleu.corpus_chrf(predictions, [references], char_order=6, word_order=0, beta=2)
    return rouge | {"bleu": bleu.score / 100, "chrf": chrf.score / 100}


@settings(max_examples=60)
@given(st.lists(st.tuples(texts, texts), min_size=1, max_size=6))
def test_values_are_the_libraries_and_sums_give_them_too(pairs):
    predictions, references = map(list, zip(*pairs, strict=True))
    expected = by_libraries(predictions, references)
    for name, scored in score(ALL, predictions, references).items():
        assert scored["value"] == pytest.approx(expected[name], abs=1e-12)
        assert value_of_rows(name, scored) == pytest.approx(scored["value"], abs=1e-12)
        assert len(scored["rows"]) == len(pairs)


@settings(max_examples=60)
@given(st.lists(st.tuples(anything, anything), min_size=1, max_size=4))
def test_texts_of_any_characters_are_scored(pairs):
    predictions, references = map(list, zip(*pairs, strict=True))
    for name, scored in score(ALL, predictions, references).items():
        assert 0 <= scored["value"] <= 1 + 1e-12
        assert value_of_rows(name, scored) == pytest.approx(scored["value"], abs=1e-12)


def test_rouge_worked_by_hand():
    scored = score(ROUGE, ["the cat sat"], ["the cat ran off"])
    assert scored["rouge1"]["value"] == pytest.approx(2 * (2 / 3) * (2 / 4) / (2 / 3 + 2 / 4))
    assert scored["rouge2"]["value"] == pytest.approx(2 * (1 / 2) * (1 / 3) / (1 / 2 + 1 / 3))
    assert scored["rougeL"]["value"] == scored["rouge1"]["value"]
    assert scored["rougeLsum"]["value"] == scored["rouge1"]["value"]


def test_rouge_takes_words_of_one_stem_for_the_same():
    assert score(["rouge1"], ["cats running"], ["cat runs"])["rouge1"]["value"] == 1


def test_rouge_lsum_takes_sentences_in_any_order_and_rouge_l_does_not():
    one, other = "Rain fell. Winds rose.", "Winds rose. Rain fell."
    found = score(ROUGE, [one], [other])
    assert found["rougeLsum"]["value"] == 1
    assert found["rougeL"]["value"] == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("text", "split"),
    [
        ('Rain fell. Winds rose! "Why?" He left.', 'Rain fell.\nWinds rose!\n"Why?\nHe left.'),
        ("It cost 3.5 million. 2 died.", "It cost 3.5 million.\n2 died."),
        ("one. two", "one. two"),
        ("A. B\nC. D", "A. B\nC. D"),
        ("Rain fell. Winds rose.\n", "Rain fell.\nWinds rose.\n"),
        ("", ""),
    ],
)
def test_sentences_are_lines_where_there_are_lines_and_end_at_stops_else(text, split):
    assert sentences(text) == split


def test_bleu_worked_by_hand():
    found = score(["bleu"], ["a b c d e"], ["a b c d f"])["bleu"]["value"]
    assert found == pytest.approx((4 / 5 * 3 / 4 * 2 / 3 * 1 / 2) ** 0.25)
    short = score(["bleu"], ["a b c d"], ["a b c d e"])["bleu"]["value"]
    assert short == pytest.approx(math.exp(1 - 5 / 4))


def test_bleu_takes_punctuation_for_words():
    apart = score(["bleu"], ["Le chat dort , ici ."], ["Le chat dort, ici."])["bleu"]["value"]
    assert apart == pytest.approx(1)


def test_chrf_worked_by_hand():
    """Of "abc" and "abd": 2 of 3 letters, 1 of 2 pairs, 0 of 1 triple; no longer ones."""
    mean = (2 / 3 + 1 / 2 + 0) / 3
    assert score(["chrf"], ["abc"], ["abd"])["chrf"]["value"] == pytest.approx(mean)


def test_chrf_weighs_recall_more_than_precision():
    few, many = (score(["chrf"], [p], ["abcd"])["chrf"]["value"] for p in ("ab", "abcdabcd"))
    assert few < many


@pytest.mark.parametrize("resamples", [1, 7])
@pytest.mark.parametrize("name", ALL)
def test_resampled_sums_are_scored_along_their_last_axis(name, resamples):
    rows = np.asarray(
        score([name], ["the cat sat on it", ""], ["the cat ran on", "x"])[name]["rows"]
    )
    counts = np.arange(2 * resamples).reshape(resamples, 2) % 3
    found = METRICS[name].value(counts @ rows)
    assert found.shape == (resamples,)
    for count, value in zip(counts, found, strict=True):
        np.testing.assert_allclose(METRICS[name].value(count @ rows), value)
