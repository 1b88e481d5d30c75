"""Quality against bytes and milliseconds: the Pareto set, advice, and groups of variants."""

import fake
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from paper_changes import after, put, void

from analysis.execution.names import AUTO, DENSE, INT8
from analysis.paper.tradeoff import measures as tradeoff

few = st.integers(0, 3)  # ties are frequent
points = st.lists(st.tuples(few, few, few), max_size=9)
shares = st.sampled_from([-0.2, 0.5, 0.9, 0.95, 0.99, 1.0, 1.1, np.nan])
candidates = st.lists(st.tuples(st.booleans(), shares, few, few), max_size=8)


@pytest.fixture(scope="module")
def data():
    return fake.data("tiny")


@pytest.fixture(scope="module")
def table(data):
    return tradeoff.table(data)


def frame(rows):
    index = [7 * i + 3 for i in range(len(rows))]  # anything but their place
    return pd.DataFrame(rows, columns=list(tradeoff.MEASURES), index=index, dtype=float)


def beats(one, other):
    """Whether one point is as good as the other in all and better in one."""
    retained, size, time = (a - b for a, b in zip(one, other, strict=True))
    return retained >= 0 and size <= 0 and time <= 0 and (retained > 0 or size < 0 or time < 0)


def unbeaten(rows):
    return [not any(beats(other, row) for other in rows) for row in rows]


@settings(max_examples=60)
@given(points)
def test_the_best_are_those_that_no_other_beats(rows):
    found = tradeoff.best(frame(rows))
    assert (list(found), list(found.index)) == (unbeaten(rows), list(frame(rows).index))


def test_each_model_has_a_pareto_set_of_its_own(table):
    assert table["model"].nunique() == 3
    for _, own in table.groupby("model"):
        rows = list(own[list(tradeoff.MEASURES)].itertuples(index=False, name=None))
        assert list(own["best"]) == unbeaten(rows)


def listed(rows):
    """Variants by (whether dense, lower end of what is retained, bytes, milliseconds)."""
    columns = ["kind", "retained_low", "bytes", "p50_ms"]
    named = [("dense" if dense else "pruned", low, 1 + b, 1 + t) for dense, low, b, t in rows]
    return pd.DataFrame(named, columns=columns, index=[5 * i + 1 for i in range(len(rows))])


@settings(max_examples=60)
@given(candidates, st.sampled_from([0.01, 0.05, 0.1]))
def test_advice_is_the_cheapest_of_what_surely_stays_within_the_loss(rows, loss):
    good = [row for row in rows if row[0] or row[1] >= 1 - loss]
    found = tradeoff.recommended(listed(rows), loss)
    assert (found is None) is (not good)
    if good:
        assert found["kind"] == "dense" or found["retained_low"] >= 1 - loss
        assert found["bytes"] * found["p50_ms"] == min((1 + b) * (1 + t) for _, _, b, t in good)


def test_every_variant_that_was_timed_and_scored_has_one_row(data, table):
    timed = data.runtime[data.runtime["operation"] == "forward"]
    scored = data.scores[data.scores["retained"].notna()]
    assert table["variant"].is_unique
    assert set(table["variant"]) == set(timed["variant"]) & set(scored["variant"])
    # an oracle's choice is no model to be taken, even if it were timed
    oracle = next(name for name in data.variants["variant"] if name.endswith("oracle"))
    changed = put("runtime", {"variant": oracle}, variant="tiny-bert/sentiment/int8$")(data)
    expected = set(table["variant"]) - {"tiny-bert/sentiment/int8"}
    assert set(tradeoff.table(changed)["variant"]) == expected
    left = tradeoff.table(void(variant="^tiny-gpt2/")(data))
    assert set(left["model"]) == {"tiny-bert", "tiny-bart"}
    none = tradeoff.table(fake.data("written"))  # no forward pass: empty and whole
    assert (len(none), list(none.columns)) == (0, list(table.columns))
    assert tradeoff.recommended(none, 0.1) is None


def test_a_row_has_its_smallest_file_the_chosen_kernels_and_shares_of_the_dense_model(data, table):
    forward = data.runtime.query("operation == 'forward' and batch == 8")
    dense = table[table["kind"] == "dense"].set_index("model")
    assert (dense[["bytes_share", "p50_ms_share"]] == 1).all(axis=None)
    for _, row in table.iterrows():
        files = data["size"].query("variant == @row.variant").set_index("format")["bytes"]
        assert (row["bytes"], files[row["format"]]) == (files.min(), files.min())
        times = forward.query("variant == @row.variant").set_index("kernel")["p50_ms"]
        kernel = AUTO if AUTO in times.index else times.index.item()  # no least of several
        assert (row["kernel"], row["p50_ms"]) == (kernel, times[kernel])
        whole = dense.loc[row["model"]]
        assert row["task"] == whole["task"]
        for column in ("bytes", "p50_ms"):
            assert row[f"{column}_share"] == pytest.approx(row[column] / whole[column])
    one, other = {"batch": 1}, {"operation": ["generate", "train_step"]}
    others = after(data, *(put("runtime", {"p50_ms": 1e-6}, **rows) for rows in (one, other)))
    assert (tradeoff.table(others)["p50_ms"] == table["p50_ms"]).all()
    kernels = table.groupby("group")["kernel"].unique().map(set)
    assert kernels["int8"] == {INT8}
    assert kernels["student"] == kernels["structured"] == {DENSE}


GROUPS = {
    "dense": "dense", "magnitude/one-shot/0.5": "one-shot", "magnitude/fine-tuned/0.9": "trained",
    "magnitude-layer/one-shot/0.5/allocated": "one-shot", "magnitude/distilled/0.9": "trained",
    "gradual/fine-tuned/0.9": "trained", "nm-wanda/one-shot/2:4": "N:M", "int8": "int8",
    "structured/one-shot/0.5": "structured", "student": "student", "moe/4-of-16/learned": "moe",
}  # fmt: skip


def test_each_variant_is_of_one_group_whatever_its_method_is_called(data, table):
    own = (("structured", "a-units"), ("nm-wanda", "nearby"), ("magnitude", "nm-like"))
    renamed = after(data, *(put("variants", {"method": new}, method=old) for old, new in own))
    for found in (table, tradeoff.table(renamed)):
        groups = found.set_index("variant")["group"]
        assert {name: groups[f"tiny-bert/sentiment/{name}"] for name in GROUPS} == GROUPS
    trained = tradeoff.table(put("variants", {"protocol": "distilled"}, method="nm-wanda")(data))
    rows = trained[trained["method"] == "nm-wanda"]  # a trained pattern is trained
    assert set(rows["series"]) == {"nm-wanda 2:4, distilled", "nm-wanda 4:8, distilled"}
    assert set(rows["group"]) == {"trained"}
