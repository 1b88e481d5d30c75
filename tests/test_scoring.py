"""Metrics equal their reference libraries, two ways; intervals cover, and pair variants."""

import math

import numpy as np
import pytest
import sklearn.metrics
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis import tasks
from analysis.scoring.intervals import compare, resample_counts
from analysis.scoring.metrics import score
from analysis.scoring.statistics import METRICS, retained

LABELS = ("accuracy", "f1", "combined")
TEXTS = ("rouge1", "rouge2", "rougeL", "rougeLsum", "bleu", "chrf")
every_metric = pytest.mark.parametrize("name", METRICS)

labels = st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2)), min_size=1, max_size=30)
words = st.lists(st.sampled_from(["the", "cat", "sat", "on", "a", "mat", "."]), max_size=9)
sentences = st.lists(
    st.tuples(words.map(" ".join), words.map(" ".join)), min_size=1, max_size=6
).filter(lambda pairs: any(p for p, _ in pairs) and all(r for _, r in pairs))


def value_of_rows(name, scored):
    """The metric's value from its per-example statistics."""
    return float(METRICS[name].value(np.asarray(scored["rows"], float).sum(axis=0)))


def random_labels(size=200, seed=0):
    generator = np.random.default_rng(seed)
    return generator.integers(0, 2, size).tolist(), generator.integers(0, 2, size).tolist()


def random_texts(size=40, seed=0):
    """Pairs of sentences, the second a damaged copy of the first."""
    generator = np.random.default_rng(seed)
    lexicon = [f"w{i}" for i in range(20)]
    pairs = []
    for _ in range(size):
        one = generator.choice(lexicon, generator.integers(5, 15)).tolist()
        two = [w if generator.random() < 0.7 else "x" for w in one if generator.random() < 0.9]
        pairs.append((" ".join(two), " ".join(one)))
    return [p for p, _ in pairs], [r for _, r in pairs]


def a_score(name, seed=0):
    """What `score` gives for random answers fit for the metric."""
    if name in LABELS:
        answers = random_labels(seed=seed)
    elif name in TEXTS:
        answers = random_texts(seed=seed)
    else:
        generator = np.random.default_rng(seed)
        counts = generator.integers(1, 30, 100)
        answers = (-3.0 * counts * generator.random(100)).tolist(), counts.tolist()
    return score([name], *answers)[name]


# ---------------------------------------------------------------- against the libraries


def test_accuracy_and_f1_are_scikit_learns():
    predictions, references = random_labels()
    scored = score(LABELS, predictions, references)
    assert scored["accuracy"]["value"] == sklearn.metrics.accuracy_score(references, predictions)
    assert scored["f1"]["value"] == sklearn.metrics.f1_score(references, predictions)
    both = scored["accuracy"]["value"] + scored["f1"]["value"]
    assert scored["combined"]["value"] == pytest.approx(both / 2)


@pytest.mark.parametrize(
    ("predictions", "references", "accuracy", "f1"),
    [
        ([1, 1, 0, 0], [1, 0, 1, 0], 0.5, 0.5),
        ([1, 1, 1], [1, 1, 1], 1, 1),
        ([0, 0], [1, 1], 0, 0),
        ([0, 0], [0, 0], 1, 0),
        ([1], [0], 0, 0),
        ([2, 1, 0], [1, 1, 2], 1 / 3, 2 / 3),
        ([-1, -1, 1], [1, 0, 1], 1 / 3, 2 / 3),
    ],
)
def test_accuracy_and_f1_worked_by_hand(predictions, references, accuracy, f1):
    scored = score(LABELS, predictions, references)
    assert scored["accuracy"]["value"] == pytest.approx(accuracy)
    assert scored["f1"]["value"] == pytest.approx(f1)


def test_perplexity_is_per_word_over_the_whole_corpus():
    log_likelihoods, counts = [-10.0, -1.0, -4.0], [5, 1, 2]
    found = score(["perplexity"], log_likelihoods, counts)["perplexity"]["value"]
    assert found == pytest.approx(math.exp(15 / 8))


def test_a_perplexity_out_of_range_is_infinite_without_a_warning(recwarn):
    found = score(["perplexity"], [-1e6], [1])["perplexity"]
    assert found["value"] == math.inf
    assert value_of_rows("perplexity", found) == math.inf
    assert not recwarn.list


# ---------------------------------------------------------------- sums give the same values


@settings(max_examples=50)
@given(pairs=labels)
def test_sums_of_labels_give_the_librarys_value(pairs):
    for name, scored in score(LABELS, *map(list, zip(*pairs, strict=True))).items():
        assert value_of_rows(name, scored) == pytest.approx(scored["value"])
        assert len(scored["rows"]) == len(pairs)


@settings(max_examples=50)
@given(pairs=sentences)
def test_sums_of_texts_give_the_librarys_value(pairs):
    for name, scored in score(TEXTS, *map(list, zip(*pairs, strict=True))).items():
        assert value_of_rows(name, scored) == pytest.approx(scored["value"], abs=1e-12)
        assert len(scored["rows"]) == len(pairs)


@settings(max_examples=50)
@given(pairs=st.lists(st.tuples(st.floats(-500, 0), st.integers(1, 50)), min_size=1, max_size=9))
def test_sums_of_likelihoods_give_the_same_perplexity(pairs):
    scored = score(["perplexity"], *map(list, zip(*pairs, strict=True)))["perplexity"]
    assert value_of_rows("perplexity", scored) == pytest.approx(scored["value"])


@every_metric
def test_a_row_has_the_columns_that_the_metric_names(name):
    scored = a_score(name)
    assert {len(row) for row in scored["rows"]} == {len(METRICS[name].columns)}
    assert all(isinstance(x, float) for row in scored["rows"] for x in row)


@every_metric
def test_the_value_of_resamples_is_that_of_each_alone(name):
    rows = np.asarray(a_score(name)["rows"])
    counts = resample_counts(len(rows), 20, seed=1)
    together = METRICS[name].value(counts @ rows)
    for count, value in zip(counts, together, strict=True):
        drawn = np.repeat(rows, count.astype(int), axis=0)
        assert METRICS[name].value(drawn.sum(axis=0)) == pytest.approx(value)


@pytest.mark.parametrize("predictions", [["", ""], ["x", "y"], ["", "the cat sat on the mat"]])
def test_empty_and_wrong_texts_score_without_warnings(predictions, recwarn):
    scored = score(TEXTS, predictions, ["the cat sat on the mat", "the cat sat on the mat"])
    for name, found in scored.items():
        assert value_of_rows(name, found) == pytest.approx(found["value"])
    assert [str(w.message) for w in recwarn.list] == []


def test_every_tasks_metrics_exist():
    for name in tasks.names():
        assert set(tasks.task(name).metrics) <= METRICS.keys()


def test_a_metric_is_called_by_its_key():
    assert all(name == metric.name for name, metric in METRICS.items())
    titles = [metric.title for metric in METRICS.values()]
    assert len(set(titles)) == len(titles)


def test_only_perplexity_is_better_lower_and_on_a_log_scale():
    assert [n for n, m in METRICS.items() if not m.higher_is_better] == ["perplexity"]
    assert [n for n, m in METRICS.items() if m.log_scale] == ["perplexity"]


# ---------------------------------------------------------------- retained


@pytest.mark.parametrize(
    ("name", "value", "dense", "chance", "expected"),
    [
        ("accuracy", 0.9, 0.9, 0.5, 1),
        ("accuracy", 0.5, 0.9, 0.5, 0),
        ("accuracy", 0.7, 0.9, 0.5, 0.5),
        ("accuracy", 0.3, 0.9, 0.5, -0.5),
        ("accuracy", 1.0, 0.9, 0.5, 1.25),
        ("bleu", 0.2, 0.4, 0.0, 0.5),
        ("perplexity", 10, 10, 1000, 1),
        ("perplexity", 1000, 10, 1000, 0),
        ("perplexity", 100, 10, 1000, 0.5),
        ("perplexity", 10_000, 10, 1000, -0.5),
    ],
)
def test_retained_is_1_as_the_dense_model_and_0_at_chance(name, value, dense, chance, expected):
    found = retained(METRICS[name], np.array(value), np.array(dense), chance)
    assert found == pytest.approx(expected)


@pytest.mark.parametrize(
    ("name", "dense", "chance"),
    [("accuracy", 0.5, 0.5), ("accuracy", 0.4, 0.5), ("perplexity", 1000, 1000),
     ("perplexity", 2000, 1000), ("bleu", 0.0, 0.0)],
)  # fmt: skip
def test_a_model_at_chance_cannot_degrade(name, dense, chance):
    assert np.isnan(retained(METRICS[name], np.array(dense), np.array(dense), chance))


def test_an_infinite_perplexity_retains_nothing(recwarn):
    assert retained(METRICS["perplexity"], np.array(np.inf), np.array(10.0), 100.0) == -np.inf
    assert not recwarn.list


# ---------------------------------------------------------------- resampling


def test_resamples_draw_as_many_as_there_are_with_replacement():
    counts = resample_counts(50, 400, seed=0)
    assert counts.shape == (400, 50)
    assert (counts.sum(axis=1) == 50).all()
    assert (counts >= 0).all()
    assert counts.max() > 1
    assert counts.mean(axis=0) == pytest.approx(np.ones(50), abs=0.25)


def test_resamples_are_the_same_for_a_seed_and_others_for_another():
    np.testing.assert_array_equal(resample_counts(9, 9, seed=1), resample_counts(9, 9, seed=1))
    assert (resample_counts(9, 9, seed=1) != resample_counts(9, 9, seed=2)).any()


def test_a_single_example_has_one_resample():
    assert (resample_counts(1, 5, seed=0) == 1).all()


# ---------------------------------------------------------------- intervals


def compared(name, rows, dense, chance=0.0, confidence=0.95, resamples=400, seed=0):
    rows, dense = np.asarray(rows, float), np.asarray(dense, float)
    counts = resample_counts(len(rows), resamples, seed)
    return compare(METRICS[name], rows, dense, counts, chance, confidence)


@every_metric
def test_a_model_that_equals_the_dense_one_has_a_difference_of_no_width(name):
    rows = a_score(name)["rows"]
    found = compared(name, rows, rows, chance=1e9 if name == "perplexity" else -0.5)
    assert (found.delta.value, found.delta.low, found.delta.high) == (0, 0, 0)
    assert (found.retained.value, found.retained.low, found.retained.high) == (1, 1, 1)
    assert found.score.low < found.score.high


@every_metric
def test_the_value_is_the_metrics_and_the_bounds_enclose_it(name):
    scored, dense = a_score(name, seed=1), a_score(name, seed=2)
    found = compared(name, scored["rows"], dense["rows"])
    assert found.score.value == pytest.approx(scored["value"])
    assert found.delta.value == pytest.approx(scored["value"] - dense["value"])
    for interval in (found.score, found.delta):
        assert interval.low <= interval.value <= interval.high


def test_pairing_narrows_the_difference_of_models_that_err_alike():
    generator = np.random.default_rng(0)
    dense = generator.random(400) < 0.7
    alike = np.where(generator.random(400) < 0.95, dense, ~dense)
    other = generator.permutation(alike)
    widths = []
    for variant in (alike, other):
        rows = [np.stack([v, np.ones(400)], axis=1) for v in (variant, dense)]
        delta = compared("accuracy", *rows).delta
        widths.append(delta.high - delta.low)
    assert widths[0] < widths[1] / 1.5


def test_bounds_are_the_quantiles_of_the_confidence_asked_for():
    rows = a_score("accuracy")["rows"]
    widths = [
        found.score.high - found.score.low
        for confidence in (0.6, 0.9, 0.99)
        for found in [compared("accuracy", rows, rows, confidence=confidence)]
    ]
    assert widths == sorted(widths)
    assert widths[0] < widths[2]


def test_more_examples_narrow_the_interval_as_their_root():
    generator = np.random.default_rng(0)

    def width(size):
        rows = np.stack([generator.random(size) < 0.5, np.ones(size)], axis=1)
        found = compared("accuracy", rows, rows, resamples=2000).score
        return found.high - found.low

    assert width(100) / width(1600) == pytest.approx(4, rel=0.25)


@pytest.mark.parametrize("examples", [60, 300])
def test_95_percent_intervals_cover_the_truth_about_so_often(examples):
    """300 data sets of a known accuracy and a known difference from a dense model."""
    generator = np.random.default_rng(7)
    truth, dense_truth, flips = 0.7, 0.8, 0.1
    covered = np.zeros(2)
    for seed in range(300):
        dense = generator.random(examples) < dense_truth
        # a right answer is lost with 1/8: 0.8 · 7/8 = 0.7
        variant = dense & (generator.random(examples) < 1 - flips / dense_truth)
        rows = [np.stack([v, np.ones(examples)], axis=1) for v in (variant, dense)]
        found = compared("accuracy", *rows, resamples=400, seed=seed)
        covered += [
            found.score.low <= truth <= found.score.high,
            found.delta.low <= truth - dense_truth <= found.delta.high,
        ]
    assert (covered / 300 >= 0.90).all()
    assert (covered / 300 <= 0.98).all()


def test_where_a_resample_is_undefined_the_bounds_are_void():
    """Perplexity of examples of which some have no words: a resample may have none at all."""
    rows = np.array([[1.0, 0.0], [1.0, 0.0], [1.0, 1.0]])
    found = compared("perplexity", rows, rows)
    assert math.isfinite(found.score.value)
    assert math.isnan(found.score.low)
    assert math.isnan(found.score.high)


def test_a_dense_model_at_chance_voids_what_is_retained():
    rows = a_score("accuracy")["rows"]
    found = compared("accuracy", rows, rows, chance=1.0)
    assert math.isnan(found.retained.value)
    assert math.isnan(found.retained.low)
    assert math.isfinite(found.score.low)


@pytest.mark.parametrize(("examples", "others", "resampled"), [(5, 6, 5), (6, 5, 6), (5, 5, 6)])
def test_examples_that_do_not_fit_are_refused(examples, others, resampled):
    with pytest.raises(ValueError, match="do not fit"):
        compare(
            METRICS["accuracy"],
            np.ones((examples, 2)),
            np.ones((others, 2)),
            resample_counts(resampled, 3, seed=0),
            0.5,
            0.95,
        )


@every_metric
def test_comparing_leaves_the_rows_as_they_are(name):
    rows = np.asarray(a_score(name)["rows"])
    before = rows.copy()
    rows.setflags(write=False)
    compared(name, rows, rows)
    np.testing.assert_array_equal(rows, before)
