"""Quality against bytes and milliseconds: the Pareto set, advice, and groups of variants."""

import fake
import numpy as np
import pandas as pd
import pytest
from fake import changed
from hypothesis import given
from hypothesis import strategies as st

from analysis.execution.names import AUTO, DENSE, INT8
from analysis.paper import tradeoff


@pytest.fixture(scope="module")
def data():
    return fake.data("tiny")


@pytest.fixture(scope="module")
def table(data):
    return tradeoff.table(data)


few = st.integers(0, 3)  # ties are frequent
points = st.lists(st.tuples(few, few, few), max_size=9)


def frame(rows):
    """Such points as variants, indexed by anything but their place."""
    index = [7 * i + 3 for i in range(len(rows))]
    return pd.DataFrame(rows, columns=list(tradeoff.MEASURES), index=index, dtype=float)


# ---------------------------------------------------------------- the Pareto set


def beats(one, other):
    """Whether one point is as good as the other in all and better in one."""
    retained, size, time = (a - b for a, b in zip(one, other, strict=True))
    return retained >= 0 and size <= 0 and time <= 0 and (retained > 0 or size < 0 or time < 0)


@given(points)
def test_the_best_are_those_that_no_other_beats(rows):
    expected = [not any(beats(other, row) for other in rows) for row in rows]
    found = tradeoff.best(frame(rows))
    assert list(found) == expected
    assert list(found.index) == list(frame(rows).index)
    assert found.any() or not rows


@given(points, st.randoms())
def test_the_order_of_variants_does_not_matter(rows, random):
    shuffled = list(rows)
    random.shuffle(shuffled)
    chosen = {row for row, best in zip(rows, tradeoff.best(frame(rows)), strict=True) if best}
    again = {
        row for row, best in zip(shuffled, tradeoff.best(frame(shuffled)), strict=True) if best
    }
    assert chosen == again


@given(points.filter(bool))
def test_what_is_beaten_changes_nothing_for_others(rows):
    found = tradeoff.best(frame(rows))
    worse = (rows[0][0] - 1, rows[0][1] + 1, rows[0][2])
    assert list(tradeoff.best(frame([*rows, worse]))) == [*found, False]


def test_each_model_has_a_pareto_set_of_its_own(table):
    for _, own in table.groupby("model"):
        rows = own[list(tradeoff.MEASURES)].itertuples(index=False, name=None)
        rows = list(rows)
        assert list(own["best"]) == [not any(beats(o, r) for o in rows) for r in rows]
        assert own["best"].any()


# ---------------------------------------------------------------- advice

shares = st.sampled_from([-0.2, 0.5, 0.9, 0.95, 0.99, 1.0, 1.1, np.nan])
candidates = st.lists(st.tuples(st.booleans(), shares, few, few), max_size=8)


def listed(rows):
    """Variants by (whether dense, lower end of what is retained, bytes, milliseconds)."""
    columns = ["kind", "retained_low", "bytes", "p50_ms"]
    named = [("dense" if dense else "pruned", low, 1 + b, 1 + t) for dense, low, b, t in rows]
    return pd.DataFrame(named, columns=columns, index=[5 * i + 1 for i in range(len(rows))])


@given(candidates, st.sampled_from(["0.01", "0.05", "0.1"]).map(float))
def test_advice_is_the_cheapest_of_what_surely_stays_within_the_loss(rows, loss):
    good = [row for row in rows if row[0] or row[1] >= 1 - loss]
    found = tradeoff.recommended(listed(rows), loss)
    if not good:
        assert found is None
        return
    assert found["kind"] == "dense" or found["retained_low"] >= 1 - loss
    assert found["bytes"] * found["p50_ms"] == min((1 + b) * (1 + t) for _, _, b, t in good)


@given(candidates)
def test_there_is_always_advice_where_there_is_a_dense_model(rows):
    with_dense = listed([*rows, (True, np.nan, 3, 3)])
    assert tradeoff.recommended(with_dense, 0.0) is not None


@given(candidates)
def test_who_bears_more_loss_is_never_advised_worse(rows):
    costs = []
    for loss in (0.01, 0.05, 0.10):
        found = tradeoff.recommended(listed([*rows, (True, 1.0, 3, 3)]), loss)
        costs.append(found["bytes"] * found["p50_ms"])
    assert costs == sorted(costs, reverse=True)


def test_nothing_but_the_dense_model_is_advised_where_all_else_loses(data):
    def lose(quality):
        rows = ~quality["variant"].str.endswith("/dense")
        quality.loc[rows, ["retained", "retained_low", "retained_high"]] = [0.995, 0.98, 1.01]

    table = tradeoff.table(changed(data, "quality", lose))
    for _, own in table.groupby("model"):
        assert tradeoff.recommended(own, 0.01)["kind"] == "dense"  # perhaps is not surely
        assert tradeoff.recommended(own, 0.05)["kind"] != "dense"


# ---------------------------------------------------------------- the table


def test_every_variant_that_was_timed_and_scored_has_one_row(data, table):
    timed = data.runtime[data.runtime["operation"] == "forward"]
    scored = data.scores[data.scores["retained"].notna()]
    assert table["variant"].is_unique
    assert set(table["variant"]) == set(timed["variant"]) & set(scored["variant"])


def test_an_oracles_choice_is_no_model_to_be_taken(data, table):
    assert data.scores["series"].str.endswith(", oracle").any()
    assert not table["series"].str.endswith(", oracle").any()

    def time_it(frame):
        oracle = frame.iloc[[0]].copy()
        oracle["variant"] = next(v for v in data.variants["variant"] if v.endswith("oracle"))
        return pd.concat([frame, oracle])

    again = tradeoff.table(changed(data, "runtime", time_it))
    assert set(again["variant"]) == set(table["variant"])


def test_bytes_are_of_the_smallest_file_and_milliseconds_of_the_chosen_kernels(data, table):
    size, runtime = data["size"], data["runtime"]
    forward = runtime[runtime["operation"] == "forward"]
    for _, row in table.iterrows():
        files = size[size["variant"] == row["variant"]].set_index("format")["bytes"]
        assert (row["bytes"], files[row["format"]]) == (files.min(), files.min())
        own = forward[(forward["variant"] == row["variant"]) & (forward["batch"] == 8)]
        times = own.set_index("kernel")["p50_ms"]
        kernel = AUTO if AUTO in times.index else times.index.item()  # no least of several
        assert (row["kernel"], row["p50_ms"]) == (kernel, times[kernel])


def test_shares_are_of_the_dense_model_on_the_same_task(table):
    dense = table[table["kind"] == "dense"].set_index("model")
    assert (dense[["bytes_share", "p50_ms_share"]] == 1).all(axis=None)
    for _, row in table.iterrows():
        whole = dense.loc[row["model"]]
        assert row["task"] == whole["task"]
        assert row["bytes_share"] == pytest.approx(row["bytes"] / whole["bytes"])
        assert row["p50_ms_share"] == pytest.approx(row["p50_ms"] / whole["p50_ms"])


def test_the_largest_batch_of_forward_passes_counts_alone(data, table):
    def others(frame):
        frame.loc[(frame["batch"] != 8) | (frame["operation"] != "forward"), "p50_ms"] = 1e-6

    again = tradeoff.table(changed(data, "runtime", others))
    assert (again["p50_ms"] == table["p50_ms"]).all()


@pytest.mark.parametrize(
    ("variant", "group"),
    [
        ("dense", "dense"),
        ("magnitude/one-shot/0.5", "one-shot"),
        ("magnitude-layer/one-shot/0.5/allocated", "one-shot"),
        ("magnitude/fine-tuned/0.9", "trained"),
        ("magnitude/distilled/0.9", "trained"),
        ("gradual/fine-tuned/0.9", "trained"),
        ("nm-wanda/one-shot/2:4", "N:M"),
        ("structured/one-shot/0.5", "structured"),
        ("int8", "int8"),
        ("student", "student"),
        ("moe/4-of-16/learned", "moe"),
    ],
)
def test_each_variant_is_of_one_group(table, variant, group):
    row = table.set_index("variant").loc[f"tiny-bert/sentiment/{variant}"]
    assert row["group"] == group


def test_groups_stand_in_one_order_and_only_those_there_are(table):
    assert tradeoff.groups(table) == list(tradeoff.GROUPS)
    some = table[table["group"].isin(["moe", "dense", "N:M"])]
    assert tradeoff.groups(some[::-1]) == ["dense", "N:M", "moe"]
    assert tradeoff.groups(table[:0]) == []


def test_a_method_of_ones_own_is_grouped_by_what_it_does(data):
    named = {"structured": "a-units", "nm-wanda": "nearby", "magnitude": "nm-like"}

    def rename(frame):
        frame["method"] = frame["method"].replace(named)

    table = tradeoff.table(changed(data, "variants", rename)).set_index("variant")
    group = table["group"].to_dict()
    assert group["tiny-bert/sentiment/structured/one-shot/0.5"] == "structured"
    assert group["tiny-bert/sentiment/nm-wanda/one-shot/2:4"] == "N:M"
    assert group["tiny-bert/sentiment/magnitude/one-shot/0.5"] == "one-shot"
    assert group["tiny-bert/sentiment/magnitude/fine-tuned/0.9"] == "trained"


def test_a_trained_pattern_is_trained(data):
    def train(frame):
        frame.loc[frame["method"] == "nm-wanda", "protocol"] = "distilled"

    table = tradeoff.table(changed(data, "variants", train))
    rows = table[table["method"] == "nm-wanda"]
    assert set(rows["series"]) == {"nm-wanda 2:4, distilled", "nm-wanda 4:8, distilled"}
    assert set(rows["group"]) == {"trained"}


def test_alternatives_run_on_kernels_of_their_own(table):
    kernels = table.groupby("group")["kernel"].unique().map(set)
    assert kernels["int8"] == {INT8}
    assert kernels["student"] == kernels["structured"] == {DENSE}


def test_a_void_benchmark_has_no_rows(data):
    def void(frame):
        own = frame["variant"].str.startswith("tiny-gpt2/")
        frame.loc[own, ["retained", "retained_low", "retained_high"]] = np.nan

    table = tradeoff.table(changed(data, "quality", void))
    assert set(table["model"]) == {"tiny-bert", "tiny-bart"}


def test_without_forward_passes_the_table_is_empty_and_whole():
    table = tradeoff.table(fake.data("written"))
    assert table.empty
    assert {"group", "best", "bytes_share", "p50_ms_share"} <= set(table.columns)
    assert tradeoff.recommended(table, 0.1) is None
