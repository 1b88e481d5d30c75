"""Metrics equal their reference libraries, two ways; intervals cover, and pair variants."""

import math
from dataclasses import astuple
from pathlib import Path

import numpy as np
import pytest
import sacrebleu
import sklearn.metrics
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st
from rouge_score.rouge_scorer import RougeScorer

from analysis.scoring.intervals import compare_drawn, drawn, resample_counts
from analysis.scoring.metrics import score, sentences
from analysis.scoring.statistics import METRICS, retained
from analysis.tasks import scripts

pytestmark = pytest.mark.filterwarnings("error")
ROUGE = ("rouge1", "rouge2", "rougeL", "rougeLsum")
WORDS = ["the", "cats", "cat", "was", "running", "runs", "on", "U.S.", "mats", ",", "1,5", "«naïf»"]
texts = st.lists(st.sampled_from([*WORDS, "\n", ". The"]), max_size=14).map(" ".join)
texts |= st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
MAT, RAIN, WINDS = "the cat sat on the mat", "Rain fell. Winds rose.", "Winds rose. Rain fell."


def by_scikit_learn(predictions, references):
    accuracy = sklearn.metrics.accuracy_score(references, predictions)
    options = {"labels": [1], "average": "micro", "zero_division": 0}
    f1 = sklearn.metrics.f1_score(references, predictions, **options)
    return {"accuracy": accuracy, "f1": f1, "combined": (accuracy + f1) / 2}


def by_libraries(predictions, references):
    """What the reference libraries say of texts, with the settings of published scores."""
    pairs = [(sentences(r), sentences(p)) for p, r in zip(predictions, references, strict=True)]
    rouge = [RougeScorer(ROUGE, use_stemmer=True).score(*pair) for pair in pairs]
    options = {"tokenize": "13a", "smooth_method": "none", "force": True}
    bleu = sacrebleu.corpus_bleu(predictions, [references], **options)
    chrf = sacrebleu.corpus_chrf(predictions, [references], char_order=6, word_order=0, beta=2)
    found = {name: np.mean([pair[name].fmeasure for pair in rouge]) for name in ROUGE}
    return found | {"bleu": bleu.score / 100, "chrf": chrf.score / 100}


def by_definition(log_likelihoods, words):
    return {"perplexity": math.exp(-sum(log_likelihoods) / sum(words))}


def require_both_ways(pairs, oracle):
    """The values are the oracle's, and the sums of a row an example give them too."""
    predictions, references = map(list, zip(*pairs, strict=True))
    expected = oracle(predictions, references)
    found = score(list(expected), predictions, references)
    assert found.keys() == expected.keys()
    for name, scored in found.items():
        assert scored["value"] == pytest.approx(expected[name], rel=1e-9, abs=1e-12), name
        assert all(isinstance(x, float) for row in scored["rows"] for x in row)
        rows = np.asarray(scored["rows"])
        assert rows.shape == (len(pairs), len(METRICS[name].columns))
        by_sums = METRICS[name].value(rows.sum(axis=0))
        assert by_sums == pytest.approx(scored["value"], rel=1e-9, abs=1e-12)


@settings(max_examples=25)
@given(st.lists(st.tuples(st.integers(-1, 2), st.integers(0, 2)), min_size=1, max_size=30))
def test_labels_are_scored_as_by_scikit_learn(pairs):
    require_both_ways(pairs, by_scikit_learn)


@settings(max_examples=60)
@given(st.lists(st.tuples(texts, texts), min_size=1, max_size=5))
@example([("", MAT), ("", MAT)])
@example([("x", MAT), ("y", MAT)])
def test_texts_of_any_characters_are_scored_as_by_the_libraries(pairs):
    require_both_ways(pairs, by_libraries)


@settings(max_examples=25)
@given(st.lists(st.tuples(st.floats(-500, 0), st.integers(1, 50)), min_size=1, max_size=9))
def test_perplexity_is_per_word_over_the_whole_corpus(pairs):
    require_both_ways(pairs, by_definition)


BY_HAND = [  # metric, predictions, references, value
    ("perplexity", [-1e6], [1], math.inf),
    ("rouge1", "cats running", "cat runs", 1),  # of one stem
    ("rougeLsum", RAIN, WINDS, 1),  # sentences in any order
    ("bleu", "Le chat dort , ici .", "Le chat dort, ici.", 1),
    ("chrf", "ab", "abcd", 25 / 53),  # precision 1, recall 5/12, which weighs four times
]  # fmt: skip


def test_values_worked_by_hand():
    for name, *answers, value in BY_HAND:
        found = score([name], *([a] if isinstance(a, str) else a for a in answers))[name]
        both = found["value"], METRICS[name].value(np.sum(found["rows"], axis=0))
        assert both == pytest.approx((value, value)), (name, answers)


SCRIPTS = yaml.safe_load((Path(__file__).parent / "scripts.yml").read_text(encoding="utf-8"))


def test_texts_of_every_script_score_1_against_themselves_and_less_against_others():
    for name, (written, rouge, bleu) in SCRIPTS.items():
        words = scripts.tokenizers(written)
        assert words == {"rouge": rouge, "bleu": bleu}, name
        for metric in (*ROUGE, "bleu"):
            long = [text * 4 for text in written]  # BLEU takes four words in a row
            same, other = (score([metric], long, of, words) for of in (long, long[::-1]))
            assert same[metric]["value"] == pytest.approx(1), (name, metric)
            assert other[metric]["value"] < 0.9, (name, metric)
            by_sums = METRICS[metric].value(np.sum(other[metric]["rows"], axis=0))
            assert by_sums == pytest.approx(other[metric]["value"], abs=1e-9)


@given(st.text(st.characters(codec="ascii"), max_size=60))
def test_words_of_any_script_are_rouges_own_where_there_are_a_to_z_alone(text):
    own = RougeScorer(["rouge1"], use_stemmer=False)._tokenizer.tokenize(text)
    assert scripts.words(text) == own


def test_sentences_are_lines_where_there_are_lines_and_end_at_stops_else():
    for text, split in [
        ('Rain fell. Winds rose! "Why?" He left.', 'Rain fell.\nWinds rose!\n"Why?\nHe left.'),
        ("It cost 3.5 million. 2 died.", "It cost 3.5 million.\n2 died."),
        *((text, text) for text in ("", "one. two", "A. B\nC. D")),
        (RAIN + "\n", "Rain fell.\nWinds rose.\n"),
    ]:
        assert sentences(text) == split


def test_retained_is_1_as_the_dense_model_and_0_at_chance_which_cannot_degrade():
    for name, *numbers, expected in [
        ("accuracy", 0.9, 0.9, 0.5, 1), ("accuracy", 0.5, 0.9, 0.5, 0),
        ("accuracy", 0.7, 0.9, 0.5, 0.5), ("accuracy", 0.3, 0.9, 0.5, -0.5),
        ("accuracy", 1.0, 0.9, 0.5, 1.25), ("bleu", 0.2, 0.4, 0, 0.5),
        ("perplexity", 10, 10, 1000, 1), ("perplexity", 1000, 10, 1000, 0),
        ("perplexity", 100, 10, 1000, 0.5), ("perplexity", 10_000, 10, 1000, -0.5),
        ("perplexity", math.inf, 10, 100, -math.inf), ("bleu", 0, 0, 0, math.nan),
        ("accuracy", 0.5, 0.5, 0.5, math.nan), ("accuracy", 0.4, 0.4, 0.5, math.nan),
        ("perplexity", 1000, 1000, 1000, math.nan), ("perplexity", 2000, 2000, 1000, math.nan),
    ]:  # fmt: skip
        value, dense, chance = (np.array(float(number)) for number in numbers)
        found = retained(METRICS[name], value, dense, chance)
        assert found == pytest.approx(expected, nan_ok=True), (name, numbers)


def answered(right):
    """Rows of accuracy."""
    return np.stack([right, np.ones(len(right))], axis=1)


def compared(name, rows, dense, chance=0.0, seed=0):
    metric, counts = METRICS[name], resample_counts(len(rows), 400, seed)
    score, whole = (drawn(metric, of, counts) for of in (rows, dense))
    return compare_drawn(metric, score, whole, chance, 0.95)


def test_what_is_undefined_has_no_bounds():
    rows = np.array([[1.0, 0.0], [1.0, 0.0], [1.0, 1.0]])  # a resample may have no words at all
    found = compared("perplexity", rows, rows).score
    assert math.isfinite(found.value)
    assert np.isnan([found.low, found.high]).all()
    rows = answered(np.arange(60) % 2)
    found = compared("accuracy", rows, rows, chance=1.0)
    assert np.isnan(astuple(found.retained)).all()
    assert math.isfinite(found.score.low)
