"""What the paper says of methods: each claim flips with the results, tables and figures follow."""

import re

import fake
import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from fake import changed

from analysis.paper import claims, method_figures, method_tables, series, style, text
from analysis.paper.contests import contest
from analysis.paper.data import Data

mpl.use("agg")


@pytest.fixture(scope="module")
def data():
    return fake.data("tiny")


@pytest.fixture(autouse=True)
def look():
    style.use()


def supported(data, name):
    found = claims.verdict(data, name)
    word = {True: "supported", False: "not supported", None: "not tested"}[found.supported]
    statement = str(claims.statement(data, name))
    assert f": {word} by this run" in statement
    assert (": supported by this run" in statement) is (found.supported is True)
    return found.supported


def without(data, *starts):
    """The same results without the variants whose `method/protocol` begins with one of these."""
    gone = data["variants"]["variant"].str.contains("|".join(f"/{start}" for start in starts))
    left = data["variants"][~gone]
    names = set(left["variant"])
    found = {**data.tables, "variants": left}
    found["quality"] = data["quality"][data["quality"]["variant"].isin(names)]
    contests = data["contests"]
    found["contests"] = contests[contests["variant"].isin(names) & contests["other"].isin(names)]
    return Data(found, data.environment)


def met(data, one, other):
    """Which rows of table `contests` are of these two series, and in which order they stand."""
    names = data.variants.set_index("variant")["series"].to_dict()
    pair = data["contests"][["variant", "other"]].map(names.get)
    first, second = pair["variant"], pair["other"]
    return ((first == one) & (second == other)), ((first == other) & (second == one))


def tilted(data, one, other, retained, only=None):
    """The results in which the first series retains that much more than the other, for sure."""
    straight, turned = met(data, one, other)
    assert (straight | turned).any()

    def change(frame):
        for rows, sign in ((straight, 1), (turned, -1)):
            chosen = rows if only is None else rows & only(frame)
            ends = sorted([sign * retained - 0.01, sign * retained + 0.01])
            frame.loc[chosen, ["difference", "low", "high"]] = [sign * retained, *ends]

    return changed(data, "contests", change)


def keeping(data, values, sparsity="[0-9.]+", variant="{}/one-shot"):
    """The results in which each of these methods retains so much, for sure."""

    def change(frame):
        for method, value in values.items():
            pattern = f"(?:^|/){variant.format(method)}/{sparsity}$"
            rows = frame["variant"].str.contains(pattern)
            assert rows.any()
            frame.loc[rows, ["retained", "retained_low", "retained_high"]] = value

    return changed(data, "quality", change)


# ---------------------------------------------------------------- claims

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


# ---------------------------------------------------------------- series


@pytest.mark.parametrize(
    ("method", "protocol", "settings", "name"),
    [
        ("wanda", "one-shot", "{}", "wanda"),
        ("nm-wanda", "one-shot", '{"pattern": "2:4"}', "nm-wanda 2:4"),
        ("magnitude", "fine-tuned", "{}", "magnitude, fine-tuned"),
        ("nm-wanda", "distilled", '{"pattern": "2:4"}', "nm-wanda 2:4, distilled"),
        ("gradual", "fine-tuned", "{}", "gradual"),
        ("dense", float("nan"), "{}", "dense"),
        ("dense", "", "{}", "dense"),
        ("structured", "one-shot", '{"kept": {}}', "structured"),
        (
            "magnitude-layer",
            "one-shot",
            '{"allocation": {"encoder 0": 0.5}}',
            "magnitude-layer, by sensitivity",
        ),
    ],
)
def test_a_series_is_named_by_what_its_method_does_not_say(method, protocol, settings, name):
    assert series.name(method, protocol, settings) == name


def test_methods_that_lead_reach_every_level_and_entrants_are_all(data):
    assert data.methods == [
        m for m in fake.load("tiny").methods if not m.startswith(("nm-", "struct", "grad"))
    ]
    assert set(data.entrants) - set(data.methods) == {
        "structured",
        *(f"{method} {p}" for method, _ in PATTERNS for p in ("2:4", "4:8")),
    }
    assert data.trained == ["gradual", "magnitude, fine-tuned", "magnitude, distilled"]


def test_a_method_out_of_reach_in_one_model_only_does_not_lead_and_is_shown_where_it_is():
    found = fake.data("other")
    reached = found.one_shot.query("method == 'structured' and status == 'ok'")
    top = max(found.levels)
    assert set(reached["sparsity"]) == set(found.levels)  # by one model or another
    assert set(reached.loc[reached["sparsity"] == top, "model"]) == {"tiny-gpt2"}
    assert "structured" not in found.methods
    assert found.methods == ["wanda", "magnitude-layer"]
    body = {row[0]: row[1:] for row in cells(method_tables.means(found))}
    assert body["structured"][-1] == "*out of reach*"
    assert all(cell.strip("*").endswith("%") for cell in body["structured"][:-1])
    rows = [row for row in cells(method_tables.methods_by_level(found)) if row[0] == "structured"]
    assert len(rows) == len(found.levels)
    missing = {
        cell
        for cell, shown in zip(found.cells(), rows[-1][1:], strict=True)
        if shown == text.MISSING
    }
    assert missing == {cell for cell in found.cells() if cell[0] == "tiny-bert"}
    method_tables.winners(found)
    method_figures.retained_curves(found).canvas.draw()


def test_contests_read_the_same_from_both_sides(data):
    one, other = data.contest("wanda", "random"), data.contest("random", "wanda")
    assert len(one) == len(other) == len(data.cells()) * len(data.levels)
    keys = ["model", "task", "sparsity"]
    one, other = (table.set_index(keys).sort_index() for table in (one, other))
    assert (one["difference"] == -other["difference"]).all()
    assert (one["low"] == -other["high"]).all()
    assert (one["low"] <= one["difference"]).all()


# ---------------------------------------------------------------- tables


def cells(table):
    """A table's body as lists of plain cells."""
    lines = str(table).strip().splitlines()[2:]
    return [
        [re.sub(r"&#(\d+);", lambda m: chr(int(m[1])), c).strip() for c in line[1:-1].split("|")]
        for line in lines
    ]


def test_means_are_bold_where_they_are_the_best_of_their_level_and_nowhere_else(data):
    found = keeping(data, dict.fromkeys(data.methods, 0.5))
    found = keeping(found, {"wanda": 0.7}, "0.5")
    found = keeping(found, {"random": 0.6, "sparsegpt": 0.6}, "0.9")
    body = {row[0]: row[1:] for row in cells(method_tables.means(found))}
    bold = {(name, i) for name, row in body.items() for i, c in enumerate(row) if "**" in c}
    at = dict(enumerate(found.levels))
    assert {(n, at[i]) for n, i in bold if at[i] in (0.5, 0.9)} >= {
        ("random", 0.9),
        ("sparsegpt", 0.9),
    }
    for i, level in at.items():
        means = {
            name: found.mean_retained(found.retained(name, level).values())
            for name in found.entrants
            if len(found.retained(name, level)) == len(found.cells())
        }
        best = {name for name, mean in means.items() if mean == max(means.values())}
        assert {name for name, j in bold if i == j} == best
        for name, mean in means.items():
            assert body[name][i].strip("*") == text.percent(mean)


def test_means_say_what_is_out_of_reach_and_what_is_no_level_of_a_method(data):
    body = {row[0]: row[1:] for row in cells(method_tables.means(data))}
    assert body["structured"][3:] == ["*out of reach*"] * 2
    assert body["nm-wanda 2:4"][0] == text.MISSING
    assert body["nm-wanda 2:4"][1].endswith("%")


def test_a_mean_over_some_benchmarks_only_is_no_mean(data):
    gone = "tiny-bert/sentiment/wanda/one-shot/0.5"
    fewer = changed(data, "quality", lambda frame: frame[frame["variant"] != gone])
    body = {row[0]: row[1:] for row in cells(method_tables.means(fewer))}
    assert body["wanda"][1] == text.MISSING
    assert body["wanda"][2].strip("*").endswith("%")


def test_a_winner_is_bold_only_if_it_is_surely_above_all_others(data):
    found = keeping(data, {"[a-z-]+": 0.5}, "[0-9.:]+")
    found = keeping(found, {"wanda": 0.9}, "0.5")
    rivals = [
        name for name in found.entrants if found.find(*found.cells()[0], name, 0.5) is not None
    ]
    sure = found
    for other in rivals:
        if other != "wanda":
            sure = tilted(sure, "wanda", other, 0.4)
    column = 2 + found.levels.index(0.5)
    assert {row[column] for row in cells(method_tables.winners(sure))} == {"**wanda**"}
    close = tilted(sure, "wanda", "random", 0.0)
    assert {row[column] for row in cells(method_tables.winners(close))} == {"wanda, 1 alike"}
    one = tilted(sure, "wanda", "random", 0.0, lambda f: f["task"] == "paraphrase")
    shown = {tuple(row[:2]): row[column] for row in cells(method_tables.winners(one))}
    assert shown[("tiny-bert", "paraphrase")] == "wanda, 1 alike"
    assert shown[("tiny-bert", "sentiment")] == "**wanda**"


def test_nobody_wins_where_all_are_at_chance_or_void(data):
    found = keeping(data, {"[a-z-]+": -0.2}, "[0-9.:]+")
    assert {c for row in cells(method_tables.winners(found)) for c in row[2:]} == {
        "none above chance"
    }
    void = keeping(data, {"[a-z-]+": np.nan}, "[0-9.:]+")
    assert {c for row in cells(method_tables.winners(void)) for c in row[2:]} == {text.MISSING}


def test_every_method_that_ran_has_its_costs(data):
    rows = cells(method_tables.method_costs(data))
    methods = list(dict.fromkeys(data.one_shot["method"]))
    assert [row[0] for row in rows] == methods
    looks = {row[0]: row[2] for row in rows}
    assert looks["magnitude"] == "weights"
    assert looks["wanda"] == looks["structured"] == "weights and inputs"


def test_levels_list_every_series_that_has_a_score_there(data):
    rows = cells(method_tables.methods_by_level(data))
    starts = [i for i, row in enumerate(rows) if row[0].startswith("**")]
    assert [rows[i][0].strip("*") for i in starts] == [text.level(level) for level in data.levels]
    blocks = [
        [row[0] for row in rows[a + 1 : b]]
        for a, b in zip(starts, [*starts[1:], len(rows)], strict=True)
    ]
    assert blocks[1] == [*data.entrants, "gradual"]
    assert "structured" not in blocks[-1]
    assert "magnitude, fine-tuned" in blocks[-1]


def test_recovery_shows_before_and_after_of_its_own_method():
    other = keeping(fake.data("other"), {"magnitude-layer": 0.25, "wanda": 0.75}, "0.95")
    other = keeping(other, {"magnitude-layer": 0.6}, "0.95", "{}/distilled")
    rows = cells(method_tables.recovery(other))
    assert [row[0].split(":")[0] for row in rows] == ["tiny-gpt2", "tiny-bert"]
    for row in rows:
        assert row[1:4] == [text.level(0.95), "0.25", "0.60 (0.60 to 0.60)"]


def test_every_trained_variant_has_a_place_in_recovery(data):
    table = method_tables.recovery(data)
    rows = cells(table)
    levels = fake.load("tiny").sparsities
    assert len(rows) == 3 * len(levels)
    header = str(table).splitlines()[0]
    assert all(name in header for name in ("distilled", "gradual"))
    shown = [cell for row in rows for cell in row[3:6] if cell != text.MISSING]
    assert len(shown) == 3 * len(levels) + 9 + 9


def test_allocation_shows_what_each_group_was_given(data):
    rows = cells(method_tables.allocation(data))
    assert len(rows) == 6
    bert = next(row for row in rows if row[0].startswith("tiny-bert") and row[1] == text.level(0.9))
    shares = [float(s) for s in re.findall(r": ([0-9.]+)", bert[5])]
    assert len(shares) == 4
    assert shares == sorted(shares)
    assert np.mean(shares) == pytest.approx(90, abs=1)
    assert bert[4].startswith("+")


# ---------------------------------------------------------------- figures


def said(figure):
    return [t.get_text() for t in figure.texts]


@pytest.mark.parametrize("chosen", ["minimal", "one"])
def test_figures_say_so_where_a_study_did_nothing(chosen):
    found = fake.data(chosen)
    assert said(method_figures.recovery_curves(found)) == ["This study trains no pruned model."]
    assert said(method_figures.sensitivity_map(found)) == ["This study prunes no layer alone."]


def panel(figure, number=0):
    return [axis for axis in figure.axes if axis.get_visible()][number]


def test_each_series_has_a_line_or_mark_and_lines_end_where_the_method_does(data):
    figure = method_figures.retained_curves(data)
    axis = panel(figure)
    curves = [line for line in axis.lines if len(line.get_xdata()) and line.get_marker() != "None"]
    ends = sorted(max(line.get_xdata()) for line in curves)
    full = 1 + len(data.levels) - 1
    assert ends.count(full) == len(data.methods)
    assert ends.count(3) == 1  # structured: to 90 %
    assert ends.count(2) == 6  # patterns: a mark at 50 %
    (legend,) = figure.legends
    assert [t.get_text() for t in legend.get_texts()][: len(data.methods)] == data.methods
    assert len(legend.get_texts()) == len(data.entrants)
    looks = [(h.get_color(), h.get_marker(), h.get_linestyle()) for h in legend.legend_handles]
    assert len(set(looks)) == len(looks)  # told apart


def test_recovery_is_drawn_beside_what_it_began_with():
    found = fake.data("other")
    (legend,) = method_figures.recovery_curves(found).legends
    assert [t.get_text() for t in legend.get_texts()] == [
        "magnitude-layer",
        "magnitude-layer, distilled",
    ]


def test_recovery_has_a_panel_for_each_benchmark_that_was_trained_on(data):
    figure = method_figures.recovery_curves(data)
    titles = [axis.get_title() for axis in figure.axes if axis.get_visible()]
    assert len(titles) == 3
    assert all("sentiment" in title for title in titles)


def test_the_map_has_a_cell_for_each_group_and_level_with_its_number(data):
    figure = method_figures.sensitivity_map(data)
    table = data["sensitivity"]
    for number, model in enumerate(data.models):
        part = table[table["model"] == model]
        axis = panel(figure, number)
        assert [t.get_text() for t in axis.get_yticklabels()] == list(dict.fromkeys(part["group"]))
        assert sorted(t.get_text() for t in axis.texts) == sorted(
            f"{value:.2f}" for value in part["retained"]
        )


def test_the_map_has_levels_in_order_and_leaves_void_cells_empty():
    found = fake.data("other")

    def void(frame):
        frame.loc[frame["task"] == "language-modelling", "retained"] = np.nan

    figure = method_figures.sensitivity_map(changed(found, "sensitivity", void))
    figure.canvas.draw()
    first, second = panel(figure), panel(figure, 1)
    assert [t.get_text() for t in first.get_xticklabels()] == ["40", "90"]
    assert not first.texts
    assert len(first.get_yticklabels()) == 2
    assert len(second.texts) == 4
