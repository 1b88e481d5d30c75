"""Variants are named by what they are, say where their weights lie, and fill their table's row."""

import json
import re

import fake
import pytest

from analysis import results, rows, variants
from analysis.variants import Variant, variant_row


@pytest.fixture(scope="module")
def tiny():
    return fake.load("tiny")


@pytest.fixture(scope="module")
def dense(tiny):
    bert = tiny.models[0]
    return variants.dense_variant(
        tiny, bert, "sentiment", 0, fake.checkpoint(bert.family, "weights")
    )


def pruned(tiny, dense, method, protocol="one-shot"):
    record = fake.pruned("encoder-only", method, tiny)
    return [
        variants.pruned_variant(tiny, dense, method, protocol, record, level)
        for level in record["levels"]
    ]


@pytest.mark.parametrize(
    ("method", "names"),
    [
        ("magnitude", ["0.1", "0.5", "0.9", "0.95", "0.99"]),
        ("nm-magnitude", ["2:4", "4:8"]),
        ("structured", ["0.1", "0.5", "0.9", "0.95", "0.99"]),
    ],
)
def test_a_variant_is_named_by_model_task_method_protocol_and_level(tiny, dense, method, names):
    stem = f"tiny-bert/sentiment/{method}/one-shot"
    assert [v.name for v in pruned(tiny, dense, method)] == [f"{stem}/{name}" for name in names]


def test_a_variant_of_the_pretrained_model_has_no_task_in_its_name(tiny):
    gpt2 = tiny.models[1]
    base = variants.base_variant(tiny, gpt2, 0, fake.checkpoint(gpt2.family, "weights"))
    assert base.name == "tiny-gpt2/dense"
    assert pruned(tiny, base, "wanda")[0].name == "tiny-gpt2/wanda/one-shot/0.1"


def test_seeds_are_in_names_where_there_are_several(tiny):
    two = tiny.model_copy(update={"seeds": (3, 4)})
    bert = two.models[0]
    dense = variants.dense_variant(two, bert, "sentiment", 4, fake.checkpoint(bert.family, "w"))
    assert dense.name == "tiny-bert/sentiment/dense/seed-4"
    start = pruned(two, dense, "magnitude")[2]
    assert start.name.endswith("/magnitude/one-shot/0.9/seed-4")
    trained = variants.recovered_variant(start, "distilled", fake.recovered(start, True))
    assert trained.name.endswith("/magnitude/distilled/0.9/seed-4")
    assert trained.seed == 4


def test_all_names_of_a_study_are_different_and_whole():
    for chosen in ("tiny", *fake.STUDIES):
        names = fake.data(chosen)["variants"]["variant"]
        assert names.is_unique
        assert not names.str.contains(r"//|None|nan|\s").any()


def test_a_masked_variant_keeps_the_dense_weights(tiny, dense):
    for variant in [*pruned(tiny, dense, "wanda"), *pruned(tiny, dense, "nm-wanda")]:
        assert variant.checkpoint == dense.checkpoint
        assert variant.weights_sha256 == dense.weights_sha256
        assert variant.parameters == dense.parameters
        assert variant.masks
        assert variant.reached


def test_a_smaller_model_has_weights_of_its_own_and_no_masks(tiny, dense):
    for variant in pruned(tiny, dense, "structured")[:3]:
        assert variant.reached
        assert variant.masks is None
        assert variant.checkpoint != dense.checkpoint
        assert variant.weights_sha256 != dense.weights_sha256
        assert variant.parameters < dense.parameters
        assert variant.settings["kept"]["heads"]


def test_a_level_out_of_reach_is_a_row_that_says_why(tiny, dense):
    unreached = pruned(tiny, dense, "structured")[-1]
    assert not unreached.reached
    row = variant_row(unreached)
    assert row["status"] == "unreachable"
    assert "has to stay" in row["reason"]
    assert row["sparsity"] == 0.99
    assert row["achieved"] is row["scope_weights"] is row["prune_seconds"] is None
    assert variants.Scored(unreached, {}).evaluation is None


@pytest.mark.parametrize("method", ["magnitude", "structured", "nm-wanda", "gradual"])
def test_a_level_that_failed_has_the_name_it_would_have_had_and_says_why(tiny, dense, method):
    protocol = "fine-tuned" if method == "gradual" else "one-shot"
    for made in pruned(tiny, dense, method, protocol):
        lost = variants.failed_variant(tiny, dense, method, protocol, made.level["level"], "a, b")
        assert (lost.name, lost.sparsity) == (made.name, made.sparsity)
        assert not lost.reached
        row = variant_row(lost)
        assert (row["status"], row["reason"]) == ("failed", "a, b")
        assert row["achieved"] is row["prune_seconds"] is row["parameters"] is None


def test_a_variant_of_which_a_step_failed_is_what_it_was_but_not_reached(tiny, dense):
    for made in (dense, pruned(tiny, dense, "magnitude")[0]):
        lost = variants.failed(made, "no room")
        assert made.reached
        assert not lost.reached
        row, whole = variant_row(lost), variant_row(made)
        assert (row["status"], row["reason"]) == ("failed", "no room")
        for column in ("variant", "model", "task", "kind", "method", "sparsity", "parameters"):
            assert row[column] == whole[column]


def test_patterns_have_their_sparsity_and_say_which_they_are(tiny, dense):
    for variant, pattern in zip(pruned(tiny, dense, "nm-wanda"), ("2:4", "4:8"), strict=True):
        assert variant.sparsity == 0.5
        assert json.loads(variant_row(variant)["settings"]) == {"pattern": pattern}


def test_notes_of_a_method_are_kept_and_empty_ones_are_not(tiny, dense):
    record = fake.pruned("encoder-only", "sparsegpt", tiny)
    for notes, kept in (({"w": "damped"}, {"notes": {"w": "damped"}}), ({}, {})):
        level = record["levels"][0] | {"notes": notes}
        made = variants.pruned_variant(tiny, dense, "sparsegpt", "one-shot", record, level)
        assert made.settings == kept


def test_a_recovered_variant_has_new_masks_and_what_training_left(tiny, dense):
    start = pruned(tiny, dense, "magnitude")[2]
    record = fake.recovered(start, True) | {"achieved": 0.91, "whole_model": 0.5}
    made = variants.recovered_variant(start, "fine-tuned", record)
    assert made.name == "tiny-bert/sentiment/magnitude/fine-tuned/0.9"
    assert made.masks != start.masks
    assert made.checkpoint == start.checkpoint
    row = variant_row(made)
    assert (row["protocol"], row["sparsity"], row["achieved"]) == ("fine-tuned", 0.9, 0.91)
    assert row["train_seconds"] == record["train_seconds"]
    assert row["threshold"] is None
    assert start.level["threshold"] is not None  # the start is as it was
    assert start.protocol == "one-shot"


@pytest.mark.parametrize("name", ["one-shot", "fine-tuned"])
def test_a_protocol_in_another_part_of_a_name_stays(tiny, dense, name):
    start = Variant(**{**vars(pruned(tiny, dense, "magnitude")[0]), "model": name})
    start = Variant(**{**vars(start), "name": f"{name}/sentiment/magnitude/one-shot/0.1"})
    made = variants.recovered_variant(start, "distilled", fake.recovered(start, True))
    assert made.name == f"{name}/sentiment/magnitude/distilled/0.1"


def test_an_allocated_variant_stands_beside_the_uniform_one(tiny, dense):
    uniform = pruned(tiny, dense, "magnitude-layer")[1]
    record = {key: value for key, value in uniform.level.items() if key != "peak_bytes"}
    shares = {"encoder 0": 0.123456789, "encoder 1": 0.98}
    made = variants.allocated_variant(tiny, dense, shares, record)
    assert made.name == f"{uniform.name}/allocated"
    assert (made.method, made.protocol, made.sparsity) == ("magnitude-layer", "one-shot", 0.5)
    assert made.settings == {"allocation": {"encoder 0": 0.1235, "encoder 1": 0.98}}


def test_rows_of_every_kind_of_variant_fit_the_table(tiny):
    table = fake.tables(tiny)["variants"]
    assert set(table["kind"]) == {"dense", "pruned", "int8", "student", "moe"}
    assert set(table["status"]) == {"ok", "unreachable"}
    assert set(table["protocol"]) == {"", "one-shot", "fine-tuned", "distilled"}
    for settings in table["settings"]:
        assert isinstance(json.loads(settings), dict)
    dense = table[table["kind"] == "dense"]
    assert (dense["achieved"] == 0).all()


def test_what_is_out_of_reach_has_no_size_no_score_and_no_contest(tiny):
    tables = fake.tables(tiny)
    gone = set(tables["variants"].query("status == 'unreachable'")["variant"])
    assert len(gone) == 10  # six benchmarks, two levels; tiny-gpt2 reaches one of them
    for table, column in (
        ("quality", "variant"),
        ("size", "variant"),
        ("contests", "variant"),
        ("contests", "other"),
    ):
        assert not gone & set(tables[table][column])


def test_recovery_has_a_row_an_epoch(tiny, dense):
    start = pruned(tiny, dense, "magnitude")[2]
    record = fake.recovered(start, False)
    listed = rows.recovery_rows(start, record, False)["recovery"]
    assert [row["epoch"] for row in listed] == [1, 2]
    assert [row["zeros"] for row in listed] == record["zeros_by_epoch"]
    assert listed[0]["sparsity"] == record["zeros_by_epoch"][0] / record["scope_weights"]
    both = rows.recovery_rows(start, fake.recovered(start, True), True)["recovery"]
    assert len(results.build({"recovery": listed + both})["recovery"]) == 4  # keys tell them apart


def test_contests_are_of_variants_that_are_there(tiny):
    tables = fake.tables(tiny)
    names = set(tables["variants"]["variant"])
    contests = tables["contests"]
    assert set(contests["variant"]) | set(contests["other"]) <= names
    assert not any(re.search("/dense", name) for name in contests["other"])
    pairs = contests[["variant", "other"]].apply(frozenset, axis=1)
    assert pairs.is_unique
