"""Series of methods and the tables that compare them follow from the results."""

import re

import fake
import matplotlib as mpl
import numpy as np
import pytest
from fake import changed
from paper_changes import cells, keeping, tilted

from analysis.paper import method_figures, method_tables, series, text

mpl.use("agg")


@pytest.fixture(scope="module")
def data():
    return fake.data("tiny")


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
        ("int8", "", '{"quantised_weights": 9}', "int8"),
        ("student", "distilled", '{"layers": {"kept": 2, "of": 4}}', "student"),
        ("moe", "", '{"run": 4, "experts": 16, "router": "learned"}', "moe 4 of 16"),
        ("moe", "", '{"run": 4, "experts": 16, "router": "oracle"}', "moe 4 of 16, oracle"),
        ("my-method", "one-shot", "{}", "my-method"),
        ("my-method", "fine-tuned", "{}", "my-method, fine-tuned"),
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
    methods = fake.load("tiny").methods
    assert data.methods == [m for m in methods if not m.startswith(("nm-", "struct", "grad"))]
    assert set(data.entrants) - set(data.methods) == {
        "structured",
        *(f"{m} {p}" for m in methods if m.startswith("nm-") for p in ("2:4", "4:8")),
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
        if shown == "*out of reach*"
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


def test_a_mean_over_some_benchmarks_only_is_marked_and_never_the_best(data):
    gone = "tiny-bert/sentiment/wanda/one-shot/0.5"
    fewer = changed(data, "quality", lambda frame: frame[frame["variant"] != gone])
    fewer = keeping(fewer, {"wanda": 0.99}, "0.5")
    body = {row[0]: row[1:] for row in cells(method_tables.means(fewer))}
    assert body["wanda"][1] == "99.0\u00a0% ‡"
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
    assert {c for row in cells(method_tables.winners(void)) for c in row[2:]} == {"*void*"}


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
    assert set(rows[starts[-1] + 1 + blocks[-1].index("structured")][1:]) == {"*out of reach*"}
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
