"""Rows of timings, against medians and ratios worked out by hand."""

import json
import statistics

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis import results, timings
from analysis.timings import replica_rows, runtime_rows

FACTS = {"device": "cpu", "device_name": "", "dtype": "float32", "threads": 2, "tokens": 32}


def cell(variant, samples, kernel="torch dense", batch=1, operation="forward", peak=None):
    return {
        "variant": variant,
        "kernel": kernel,
        "batch": batch,
        "operation": operation,
        "peak_bytes": peak,
        "samples_ms": samples,
    }


FORWARD = {
    **FACTS,
    "cells": [
        cell("m/dense", [4.0, 2.0, 3.0, 9.0], peak=1000),  # median 3.5
        cell("m/0.9", [1.75, 1.75, 100.0], kernel="tiled csr", peak=500),
        cell("m/0.9", [7.0, 7.0, 7.0]),
        cell("m/dense", [10.0, 20.0, 30.0], batch=8),
        cell("m/0.9", [5.0, 4.0, 6.0], kernel="tiled csr", batch=8),
        cell("m/0.9", [40.0, 40.0, 40.0], batch=8),
    ],
}
REPLICA = {
    **FACTS,
    "architecture": "bert-base",
    "cells": [
        {"sparsity": 0.5, "kernel": "torch dense", "batch": 1, "linear_bytes": 400,
         "samples_ms": [8.0, 6.0, 10.0]},
        {"sparsity": 0.5, "kernel": "tiled csr", "batch": 1, "linear_bytes": 300,
         "samples_ms": [16.0, 16.0, 1.0]},
        {"sparsity": 0.9, "kernel": "torch dense", "batch": 1, "linear_bytes": 400,
         "samples_ms": [6.0, 6.0, 6.0]},
        {"sparsity": 0.9, "kernel": "tiled csr", "batch": 1, "linear_bytes": 60,
         "samples_ms": [1.5, 1.5, 1.5]},
    ],
}  # fmt: skip


def rows(record=FORWARD):
    return runtime_rows(record)["runtime"]


def test_medians_are_of_the_raw_samples_which_are_kept():
    assert [row["p50_ms"] for row in rows()] == [3.5, 1.75, 7.0, 20.0, 5.0, 40.0]
    for row, measured in zip(rows(), FORWARD["cells"], strict=True):
        assert json.loads(row["samples_ms"]) == measured["samples_ms"]
        assert row["iterations"] == len(measured["samples_ms"])
        assert row["p95_ms"] == pytest.approx(np.quantile(measured["samples_ms"], 0.95))


def test_speed_ups_are_against_the_dense_model_at_the_same_batch():
    assert [row["speedup"] for row in rows()] == [1.0, 2.0, 0.5, 1.0, 4.0, 0.5]


def test_what_was_measured_beside_another_dense_run_is_compared_with_that():
    """Where not all variants fit into memory at once."""
    cells = [
        cell("m/dense", [2.0] * 3),
        cell("m/0.5", [1.0] * 3),
        cell("m/0.9", [2.0] * 3) | {"dense_ms": [8.0] * 3},
        cell("m/dense", [30.0] * 3, batch=8),
        cell("m/0.9", [20.0] * 3, batch=8) | {"dense_ms": [10.0] * 3},
    ]
    found = rows(FACTS | {"cells": cells})
    assert [row["speedup"] for row in found] == [1.0, 2.0, 4.0, 1.0, 0.5]
    assert [(row["speedup_low"], row["speedup_high"]) for row in found[2:]] == [
        (4.0, 4.0), (1.0, 1.0), (0.5, 0.5),
    ]  # fmt: skip


def test_the_first_variant_is_the_dense_one_whatever_it_is_called():
    renamed = [c | {"variant": c["variant"].replace("dense", "whole")} for c in FORWARD["cells"]]
    assert [row["speedup"] for row in rows(FORWARD | {"cells": renamed})] == [
        row["speedup"] for row in rows()
    ]


def test_tokens_a_second_are_those_of_the_whole_batch():
    assert rows()[0]["tokens_per_second"] == pytest.approx(32 / 3.5e-3)
    assert rows()[3]["tokens_per_second"] == pytest.approx(8 * 32 / 20e-3)


def test_what_is_generated_is_counted_in_new_tokens():
    record = FACTS | {"tokens": 16, "cells": [
        cell("m/dense", [100.0] * 3, operation="generate"),
        cell("m/0.9", [50.0] * 3, kernel="auto", operation="generate"),
    ]}  # fmt: skip
    dense, fast = rows(record)
    assert (dense["tokens_per_second"], fast["tokens_per_second"]) == (160.0, 320.0)
    assert (dense["operation"], fast["speedup"]) == ("generate", 2.0)


def test_peaks_stand_where_they_were_measured():
    assert [row["peak_bytes"] for row in rows()] == [1000, 500, None, None, None, None]


def test_which_kernels_were_chosen_stands_where_there_was_a_choice():
    given = {"tiled csr": 3, "torch dense": 1}
    chosen = cell("m/0.9", [1.0] * 3, kernel="auto") | {"chosen": given}
    dense = cell("m/dense", [1.0] * 3) | {"chosen": None}
    table = results.build(runtime_rows(FACTS | {"cells": [dense, chosen]}))["runtime"]
    assert json.loads(table["chosen"].iloc[1]) == given
    assert table["chosen"].iloc[0] is None


def test_int8_is_no_float32():
    cells = [cell("m/dense", [2.0] * 3), cell("m/int8", [1.0] * 3, kernel="torch int8")]
    assert [row["dtype"] for row in rows(FACTS | {"cells": cells})] == ["float32", "int8"]


def test_every_row_says_what_it_ran_on():
    for row in rows():
        assert {key: row[key] for key in ("device", "dtype", "threads", "tokens")} == {
            "device": "cpu", "dtype": "float32", "threads": 2, "tokens": 32,
        }  # fmt: skip


def test_replicas_are_against_the_dense_kernel_on_the_same_weights():
    listed = replica_rows(REPLICA)["replicas"]
    assert [(r["sparsity"], r["kernel"], r["p50_ms"], r["speedup"]) for r in listed] == [
        (0.5, "torch dense", 8.0, 1.0),
        (0.5, "tiled csr", 16.0, 0.5),
        (0.9, "torch dense", 6.0, 1.0),
        (0.9, "tiled csr", 1.5, 4.0),
    ]
    assert [r["linear_bytes"] for r in listed] == [400, 300, 400, 60]
    assert {r["architecture"] for r in listed} == {"bert-base"}


def test_rows_fill_their_tables_and_keys_tell_them_apart():
    operations = [
        runtime_rows(FORWARD | {"cells": [c | {"operation": op} for c in FORWARD["cells"]]})
        for op in ("forward", "generate", "train_step")
    ]
    listed = [row for part in operations for row in part["runtime"]]
    tables = results.build({"runtime": listed, **replica_rows(REPLICA)})
    assert len(tables["runtime"]) == 18
    assert len(tables["replicas"]) == 4
    for name in ("runtime", "replicas"):
        optional = ["peak_bytes", "chosen"] if name == "runtime" else []
        assert tables[name].drop(columns=optional).notna().all(axis=None)


def test_a_kernel_measured_twice_is_no_table():
    twice = FORWARD | {"cells": [*FORWARD["cells"], FORWARD["cells"][-1]]}
    with pytest.raises(ValueError, match="two rows with the key"):
        results.build(runtime_rows(twice))


samples = st.lists(st.floats(0.001, 1e6), min_size=3, max_size=9)


@given(dense=samples, others=st.lists(samples, max_size=4), factor=st.sampled_from([2.0, 0.25]))
def test_a_machine_faster_by_some_factor_changes_no_speed_up(dense, others, factor):
    def record(by):
        scaled = [[s * by for s in one] for one in (dense, *others)]
        return FACTS | {"cells": [cell(f"v{i}", one) for i, one in enumerate(scaled)]}

    for row, faster in zip(rows(record(1.0)), rows(record(factor)), strict=True):
        assert faster["speedup"] == row["speedup"]  # powers of two are exact
        assert faster["p50_ms"] == factor * row["p50_ms"]
    assert rows(record(1.0))[0]["speedup"] == 1.0
    assert rows(record(1.0))[0]["p50_ms"] == statistics.median(dense)


@settings(max_examples=20)
@given(
    st.lists(st.floats(1, 2), min_size=5, max_size=40),
    st.lists(st.floats(1, 2), min_size=5, max_size=40),
)
def test_the_interval_of_a_speed_up_holds_no_more_than_the_samples_allow(dense, samples):
    low, high = timings._interval(samples, dense)
    assert min(dense) / max(samples) <= low <= high <= max(dense) / min(samples)


def test_the_interval_of_a_speed_up_tells_a_difference_from_noise():
    noise = [1 + 0.02 * (i % 7) for i in range(25)]
    low, high = timings._interval([x / 2 for x in noise], noise)
    assert 1.9 < low <= 2 <= high < 2.1
    low, high = timings._interval(list(reversed(noise)), noise)
    assert low <= 1 <= high
    assert timings._interval(noise, noise) == (1, 1)
