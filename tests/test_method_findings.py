"""What the paper says of methods: each claim flips with the results."""

import fake
import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from fake import changed
from paper_changes import keeping, met, supported, tilted, without

from analysis.paper import claims, method_figures, method_tables
from analysis.paper.contests import contest

mpl.use("agg")


@pytest.fixture(scope="module")
def data():
    return fake.data("tiny")


ORDER = {"sparsegpt": 0.8, "wanda": 0.7, "magnitude": 0.6, "random": 0.1}


@pytest.mark.parametrize(
    ("change", "holds"),
    [
        ({}, True),
        ({"magnitude": 0.7}, True),  # equal
        ({"magnitude": 0.704}, True),  # as good as equal
        ({"magnitude": 0.71}, False),
        ({"sparsegpt": 0.6}, False),
        ({"random": 0.65}, False),
    ],
)
def test_methods_stand_in_order_or_not(data, change, holds):
    assert supported(keeping(data, ORDER | change), "methods-in-order") is holds


def test_one_level_out_of_order_is_enough_and_low_levels_do_not_count(data):
    ordered = keeping(data, ORDER)
    assert supported(keeping(ordered, {"wanda": 0.1}, "0.95"), "methods-in-order") is False
    assert supported(keeping(ordered, {"wanda": 0.1}, "0.1"), "methods-in-order") is True


@pytest.mark.parametrize("method", ORDER)
def test_the_order_takes_all_four_methods(data, method):
    fewer = without(data, f"{method}/one-shot")
    assert supported(fewer, "methods-in-order") is None


CONTESTED = [
    ("inputs-help", "wanda", "magnitude-row", True),
    ("correction-helps", "sparsegpt", "wanda", True),
    ("structure-costs", "structured", "magnitude", False),
    ("distillation-helps", "magnitude, distilled", "magnitude, fine-tuned", True),
    ("allocation-helps", "magnitude-layer, by sensitivity", "magnitude-layer", True),
]


@pytest.mark.parametrize(("name", "one", "other", "better"), CONTESTED)
def test_a_contest_decides_both_ways_and_neither_when_all_are_alike(data, name, one, other, better):
    assert supported(tilted(data, one, other, 0.1), name) is better
    assert supported(tilted(data, one, other, -0.1), name) is not better
    assert supported(tilted(data, one, other, 0.0), name) is False  # within the intervals
    assert supported(tilted(data, one, other, 0.009), name) is False


@pytest.mark.parametrize(("name", "one", "other", "better"), CONTESTED)
def test_the_contest_is_counted_the_same_whichever_stands_first(data, name, one, other, better):
    def turn(frame):
        rows = met(data, one, other)
        rows = rows[0] | rows[1]
        columns = ["variant", "other", "difference", "low", "high"]
        old = frame.loc[rows, columns]
        frame.loc[rows, columns] = np.column_stack(
            [old["other"], old["variant"], -old["difference"], -old["high"], -old["low"]]
        )
        for column in columns[2:]:
            frame[column] = frame[column].astype(float)

    turned = changed(data, "contests", turn)
    assert claims.verdict(turned, name).evidence == claims.verdict(data, name).evidence


@pytest.mark.parametrize(
    ("name", "gone"),
    [
        ("inputs-help", ["wanda/one-shot"]),
        ("inputs-help", ["magnitude-row/"]),
        ("correction-helps", ["sparsegpt/one-shot"]),
        ("correction-helps", ["wanda/one-shot"]),
        ("patterns-cost", ["nm-"]),
        ("patterns-cost", ["magnitude-row/", "wanda/", "sparsegpt/"]),
        ("structure-costs", ["structured/"]),
        ("training-recovers", ["magnitude/fine-tuned"]),
        ("distillation-helps", ["magnitude/distilled"]),
        ("distillation-helps", ["magnitude/fine-tuned"]),
        ("allocation-helps", [r"magnitude-layer/one-shot/[0-9.]+/allocated"]),
    ],
)
def test_without_its_variants_a_claim_is_not_tested(data, name, gone):
    assert supported(without(data, *gone), name) is None


@pytest.mark.parametrize(("name", "one", "other", "_"), CONTESTED[:2])
def test_low_levels_do_not_tell_what_methods_know(data, name, one, other, _):
    low = tilted(data, one, other, 0.0)
    low = tilted(low, one, other, 0.5, lambda frame: frame["sparsity"] < 0.5)
    assert supported(low, name) is False

    def keep(frame):
        return frame[frame["sparsity"] < 0.5]

    assert supported(changed(data, "contests", keep), name) is None


@pytest.mark.parametrize(("name", "one", "other", "better"), CONTESTED)
def test_the_mean_over_cells_decides_not_how_many_are_won(data, name, one, other, better):
    """A loss in one cell outweighs small gains in all others."""
    rows = met(data, one, other)
    variant = data["contests"].loc[rows[0] | rows[1], "variant"].iloc[-1]
    found = tilted(data, one, other, 0.05)
    assert supported(found, name) is better
    found = tilted(found, one, other, -50.0, lambda frame: frame["variant"] == variant)
    assert supported(found, name) is not better
    assert "nan" not in claims.verdict(found, name).evidence


@pytest.mark.parametrize(("name", "one", "other", "_"), CONTESTED)
def test_void_cells_are_left_out_of_a_mean_and_void_alone_is_not_tested(data, name, one, other, _):
    rows = met(data, one, other)
    rows = rows[0] | rows[1]

    def void(frame, some=True):
        frame.loc[rows & some, ["difference", "low", "high"]] = np.nan

    assert supported(changed(data, "contests", void), name) is None
    even = tilted(data, one, other, 0.1)
    of_one = even["contests"]["variant"].str.startswith("tiny-bert/")
    some = changed(even, "contests", lambda frame: void(frame, of_one))
    assert supported(some, name) is supported(even, name)
    assert claims.verdict(some, name).evidence != claims.verdict(even, name).evidence  # fewer cells


def unheard(wanda, by_row, level=None):
    """The share of inputs that no weight reads, at one level or at all."""

    def change(frame):
        for method, share in (("wanda", wanda), ("magnitude-row", by_row)):
            rows = (frame["method"] == method) & (frame["protocol"] == "one-shot")
            rows &= True if level is None else frame["sparsity"] == level
            frame.loc[rows, "unheard_inputs"] = share

    return change


def test_inputs_are_cut_off_if_at_each_high_level_more_of_them_are(data):
    more = changed(data, "variants", unheard(0.3, 0.1))
    assert supported(more, "inputs-cut-off") is True
    assert supported(changed(data, "variants", unheard(0.1, 0.3)), "inputs-cut-off") is False
    assert supported(changed(data, "variants", unheard(0.2, 0.2)), "inputs-cut-off") is False
    one = changed(more, "variants", unheard(0.1, 0.1, level=0.95))
    assert supported(one, "inputs-cut-off") is False
    low = changed(more, "variants", unheard(0.1, 0.3, level=0.5))
    assert supported(low, "inputs-cut-off") is True
    assert supported(without(more, "magnitude-row/"), "inputs-cut-off") is None
    assert supported(changed(data, "variants", unheard(np.nan, np.nan)), "inputs-cut-off") is None


def test_a_contest_is_the_mean_with_the_means_of_the_ends():
    columns = ["difference", "low", "high"]
    rows = [(0.4, 0.1, 0.6), (-0.2, -0.3, -0.1), (0.1, -0.1, 0.4), (np.nan, np.nan, np.nan)]
    found = contest(pd.DataFrame(rows, columns=columns))
    assert (found.mean, found.low, found.high) == pytest.approx((0.1, -0.1, 0.3))
    assert (found.better, found.worse, found.cells) == (1, 1, 3)
    assert "better in 1, worse in 1 of 3 cells" in found.shown
    assert contest(pd.DataFrame(rows[3:], columns=columns)) is None
    assert contest(pd.DataFrame([], columns=columns)) is None


def test_sparing_embeddings_and_heads_is_decided_by_the_mean_too(data):
    pair = ("magnitude", "magnitude-all")
    assert supported(tilted(data, *pair, 0.1), "scope-matters") is True
    assert supported(tilted(data, *pair, 0.009), "scope-matters") is False
    assert supported(tilted(data, *pair, -0.1), "scope-matters") is False
    low = tilted(data, *pair, 0.0)
    low = tilted(low, *pair, 0.9, lambda frame: frame["sparsity"] < 0.5)  # all levels count
    assert supported(low, "scope-matters") is True
    assert supported(without(data, "magnitude-all/"), "scope-matters") is None


def test_one_answer_is_asked_of_the_leading_method_alone(data):
    def collapse(method):
        def change(frame):
            frame["collapsed"] = frame["variant"].str.contains(f"/{method}/one-shot/0.9")

        return changed(data, "quality", change)

    assert supported(collapse("magnitude"), "one-answer") is True
    assert supported(collapse("random"), "one-answer") is False
    assert supported(fake.data("one"), "one-answer") is None  # no level is that high


def test_a_structured_method_that_reaches_no_level_is_not_tested(data):
    def fail(frame):
        rows = frame["method"] == "structured"
        frame.loc[rows, "status"] = "unreachable"

    names = set(data["variants"].query("method == 'structured'")["variant"])
    none = changed(data, "variants", fail)
    for table, column in (("quality", "variant"), ("contests", "variant"), ("contests", "other")):
        none = changed(none, table, lambda f, c=column: f[~f[c].isin(names)])
    assert supported(none, "structure-costs") is None
    assert "out of reach" in str(method_tables.means(none))


PATTERNS = [
    ("nm-magnitude", "magnitude-row"),
    ("nm-wanda", "wanda"),
    ("nm-sparsegpt", "sparsegpt"),
]


def test_patterns_are_held_against_their_own_method_at_the_same_sparsity(data):
    def all_by(value):
        found = data
        for method, free in PATTERNS:
            for pattern in ("2:4", "4:8"):
                found = tilted(found, f"{method} {pattern}", free, value)
        return found

    assert supported(all_by(-0.1), "patterns-cost") is True
    assert supported(all_by(0.1), "patterns-cost") is False
    assert supported(all_by(0.0), "patterns-cost") is False
    one = tilted(all_by(0.0), "nm-wanda 2:4", "wanda", -0.1)
    assert supported(one, "patterns-cost") is True
    other = tilted(all_by(0.0), "nm-wanda 2:4", "magnitude", -0.1)  # not what it is a pattern of
    assert supported(other, "patterns-cost") is False


def trained(values, level="0.9"):
    return keeping(
        fake.data("tiny"), {"magnitude": values}, sparsity=level, variant="{}/fine-tuned"
    )


def test_training_recovers_if_every_classifier_is_back_at_nine_tenths(data):
    assert supported(trained(0.9), "training-recovers") is True
    assert supported(trained(0.899), "training-recovers") is False
    one = keeping(trained(0.95), {"tiny-gpt2/sentiment/magnitude": 0.5}, "0.9", "{}/fine-tuned")
    assert supported(one, "training-recovers") is False
    evidence = claims.verdict(one, "training-recovers").evidence
    assert "to 0.5" in evidence
    elsewhere = keeping(trained(0.95), {"magnitude": 0.1}, "0.99", "{}/fine-tuned")
    assert supported(elsewhere, "training-recovers") is True


def test_training_is_asked_of_classifiers_that_had_fallen(data):
    low = trained(0.5)
    whole = keeping(low, {"magnitude": 0.9}, "0.9")
    assert supported(whole, "training-recovers") is None
    one = keeping(whole, {"tiny-gpt2/sentiment/magnitude": 0.899}, "0.9")
    assert supported(one, "training-recovers") is False
    one = keeping(one, {"tiny-gpt2/sentiment/magnitude": 0.95}, "0.9", "{}/fine-tuned")
    assert supported(one, "training-recovers") is True
    assert "tiny-bert" not in claims.verdict(one, "training-recovers").evidence
    void = keeping(data, {"magnitude": np.nan}, "0.9", "{}/fine-tuned")
    assert supported(void, "training-recovers") is None


def test_training_says_what_it_began_with(data):
    before = keeping(data, {"magnitude": 0.123}, "0.9")
    assert "from 0.12 to" in claims.verdict(before, "training-recovers").evidence


def test_gradual_pruning_is_no_fine_tuning(data):
    low = keeping(trained(0.95), {"gradual": 0.1}, "0.9", "{}/fine-tuned")
    assert supported(low, "training-recovers") is True


def test_a_method_of_ones_own_that_trains_is_no_fine_tuning_either(data):
    def rename(frame):
        frame["method"] = frame["method"].replace({"gradual": "slow"})

    own = changed(data, "variants", rename)
    assert "slow, fine-tuned" in own.trained
    for name in ("training-recovers", "distillation-helps"):
        assert claims.verdict(own, name).evidence == claims.verdict(data, name).evidence


@pytest.mark.parametrize(("left", "holds"), [(0.0, True), (0.49, True), (0.5, False), (1.0, False)])
def test_masks_are_needed_if_most_zeros_go_without(data, left, holds):
    def change(frame):
        free = ~frame["masks_kept"]
        frame.loc[free, "zeros"] = (left * frame.loc[free, "removed"]).round().astype(int)
        first = free & (frame["epoch"] == 1)
        frame.loc[first, "zeros"] = frame.loc[first, "removed"]  # the last epoch counts

    def even(frame):
        frame["removed"] = 1000

    found = changed(changed(data, "recovery", even), "recovery", change)
    assert supported(found, "masks-needed") is holds


def test_masks_are_not_tested_without_a_training_without_them(data):
    kept = changed(data, "recovery", lambda frame: frame[frame["masks_kept"]])
    assert supported(kept, "masks-needed") is None
    free = changed(data, "recovery", lambda frame: frame[~frame["masks_kept"]])
    assert supported(free, "masks-needed") is True
    assert "nan" not in claims.verdict(free, "masks-needed").evidence


def borne(values, model="tiny-bert", level=0.9):
    """Table `sensitivity` with these (retained, low, high) of the model's groups at a level."""

    def change(frame):
        rows = (frame["model"] == model) & (frame["sparsity"] == level)
        columns = ["retained", "retained_low", "retained_high"]
        for i, index in enumerate(frame.index[rows]):
            frame.loc[index, columns] = values[min(i, len(values) - 1)]

    return change


@pytest.mark.parametrize(
    ("values", "level", "holds"),
    [
        ([(0.1, 0.05, 0.2), (0.9, 0.8, 1.0)], 0.9, True),
        ([(0.5, 0.3, 0.7), (0.9, 0.8, 1.0)], 0.9, True),  # just apart enough
        ([(0.5, 0.3, 0.75), (0.9, 0.8, 1.0)], 0.9, False),
        ([(0.5, 0.4, 0.6)], 0.9, False),
        ([(0.1, 0.05, 0.2), (0.899, 0.8, 1.0)], 0.9, False),  # apart, but none for little
        ([(-0.5, -0.6, -0.4), (0.05, 0.0, 0.1)], 0.9, False),  # below chance nothing is left
        ([(0.5, 0.4, 0.6)], 0.5, True),  # the highest level counts
    ],
)
def test_layers_bear_differently_if_one_and_another_are_apart_in_each_model(
    data, values, level, holds
):
    found = changed(data, "sensitivity", borne(values, level=level))
    assert supported(found, "layers-bear-differently") is holds


def test_layers_are_compared_on_one_task_at_a_time():
    other = fake.data("other")

    def change(frame):
        columns = ["retained", "retained_low", "retained_high"]
        one = frame["model"] == "tiny-gpt2"
        of_language = frame["task"] == "language-modelling"
        frame.loc[one & of_language, columns] = 0.95
        frame.loc[one & ~of_language, columns] = 0.1

    assert supported(other, "layers-bear-differently") is True
    found = changed(other, "sensitivity", change)
    assert supported(found, "layers-bear-differently") is False
    assert "in 1 of 3 benchmarks" in claims.verdict(found, "layers-bear-differently").evidence


def test_a_void_task_says_nothing_of_layers(data):
    def void(frame, model=None):
        rows = frame["model"].isin([model] if model else frame["model"])
        frame.loc[rows, ["retained", "retained_low", "retained_high"]] = np.nan

    assert supported(changed(data, "sensitivity", void), "layers-bear-differently") is None
    one = changed(data, "sensitivity", lambda frame: void(frame, "tiny-gpt2"))
    assert supported(one, "layers-bear-differently") is True
    method_figures.sensitivity_map(one).canvas.draw()
    method_figures.sensitivity_map(changed(data, "sensitivity", void)).canvas.draw()
