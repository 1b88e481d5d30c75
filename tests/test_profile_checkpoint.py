"""A checkpoint's profile: what is counted where, in every type of number, from files and memory."""

import json
import math

import numpy as np
import pytest
import torch
from leaves import in_memory, normal, statistics
from safetensors.torch import save_file

from analysis.checkpoints import naming
from analysis.checkpoints.checkpoint import SAFETENSORS, open_checkpoint
from analysis.checkpoints.tensors import Reader
from analysis.engine import progress, threads
from analysis.profile import blocks
from analysis.profile.checkpoint import profile

SUMS = ["parameters", "zeros", "not_finite", "mean_abs", "std", "skew", "kurtosis", "below_1e-2"]
ENCODER = "bert.encoder.layer"
QUERY, QUERY_BIAS = (f"{ENCODER}.0.attention.self.query.{end}" for end in ("weight", "bias"))
FFN_OUT, FFN_OUT_10 = (f"{ENCODER}.{layer}.output.dense.weight" for layer in (1, 10))
KEY_BIAS = f"{ENCODER}.0.attention.self.key.bias"
EMBEDDING, NORM = (f"bert.embeddings.{n}.weight" for n in ("word_embeddings", "LayerNorm"))
CLASSIFIER, WTE, LM_HEAD = "classifier.weight", "transformer.wte.weight", "lm_head.weight"
NAMES = [EMBEDDING, NORM, QUERY, QUERY_BIAS, KEY_BIAS, FFN_OUT, FFN_OUT_10, CLASSIFIER]
SMALL = [torch.float16, torch.bfloat16, torch.float8_e4m3fn, torch.float8_e5m2]


def some_weights(size=30):
    """An array for each of NAMES, all of different sizes; some weights are zero."""
    arrays = {name: normal(size + i, seed=i).reshape(-1, 1) for i, name in enumerate(NAMES)}
    arrays[FFN_OUT][::3] = 0
    return arrays


def saved(folder, tensors):
    """A checkpoint of torch's tensors (or arrays) in a safetensors file."""
    folder.mkdir(exist_ok=True)
    save_file({n: torch.as_tensor(tensor) for n, tensor in tensors.items()}, folder / SAFETENSORS)
    return open_checkpoint(folder)


def leaf_of(record, name):
    """The statistics of the leaf that holds the tensor of this name."""
    what = naming.weight(name)
    key = {"part": what.part, "layer": what.layer, "kind": what.kind}
    (row,) = [row for row in record["leaves"] if key.items() <= row.items()]
    return {column: value for column, value in row.items() if column not in key}


def of_model(record):
    return record["scopes"]["model"]["statistics"]


def flat(*arrays):
    return np.concatenate([array.reshape(-1) for array in arrays])


def nearly(expected):
    """The same record, but for the rounding of sums."""
    if isinstance(expected, dict):
        return {key: nearly(value) for key, value in expected.items()}
    if isinstance(expected, list):
        return [nearly(value) for value in expected]
    return pytest.approx(expected, rel=1e-9) if isinstance(expected, float) else expected


def test_scopes_are_the_model_its_parts_layers_kinds_and_prunable_weights():
    weights = some_weights(300) | {FFN_OUT: 100 + normal(305)}
    scopes = profile(in_memory(weights))["scopes"]
    members = {
        "model": NAMES, "part:embedding": NAMES[:2], "part:encoder": NAMES[2:-1],
        "part:head": NAMES[-1:], "layer:encoder:0": [QUERY, QUERY_BIAS, KEY_BIAS],
        "layer:encoder:1": [FFN_OUT], "layer:encoder:10": [FFN_OUT_10],
        "kind:attention query": [QUERY], "kind:bias": [QUERY_BIAS, KEY_BIAS],
        "kind:ffn out": [FFN_OUT, FFN_OUT_10], "kind:head": [CLASSIFIER], "kind:norm": [NORM],
        "kind:token embedding": [EMBEDDING], "prunable": [QUERY, FFN_OUT, FFN_OUT_10],
    }  # fmt: skip
    assert [*scopes] == [*members]
    for name, inside in members.items():
        own = flat(*(weights[member] for member in inside))
        exact, row = statistics(own), scopes[name]["statistics"]
        assert {c: row[c] for c in SUMS} == pytest.approx({c: exact[c] for c in SUMS}), name
        for scale, count in {"linear": own.size, "log10": np.count_nonzero(own)}.items():
            assert count == sum(
                r["count"] for r in scopes[name]["histogram"] if r["scale"] == scale
            )
        for point in scopes[name]["cdf"]:
            assert point["fraction"] == (np.abs(own.astype(float)) < point["left"]).sum() / own.size
    assert scopes["model"]["statistics"]["ks_distance"] == 0
    others = 1 - 305 / sum(array.size for array in weights.values())
    farthest = scopes["layer:encoder:1"]["statistics"]["ks_distance"]
    assert farthest == pytest.approx(others)  # all of the layer is above all others


def test_a_record_is_plain_json_and_says_the_family_of_the_layers():
    record = profile(in_memory(some_weights() | {FFN_OUT: np.full(4, np.nan, np.float32)}))
    assert json.loads(json.dumps(record, allow_nan=False)) == record
    assert record["family"] == "encoder-only"
    assert profile(in_memory({WTE: normal(4)}))["family"] is None


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, *SMALL], ids=str)
def test_weights_of_every_type_are_those_of_torch(tmp_path, dtype):
    stored = torch.from_numpy(normal(4001)).to(dtype)
    record = profile(saved(tmp_path, {QUERY: stored}))
    assert leaf_of(record, QUERY) == statistics(stored.float().numpy())
    if dtype is torch.float64:  # beyond float32: not finite, or zero
        stored = torch.tensor([1e300, -1e39, 1e-300, 0.1, 1 + 1e-12], dtype=dtype)
        row = leaf_of(profile(saved(tmp_path, {QUERY: stored})), QUERY)
        assert (row["not_finite"], row["zeros"]) == (2, 1)
        assert row["mean_abs"] == pytest.approx((np.float32(0.1) + 1.0) / 3, rel=1e-12)
    if dtype not in SMALL:
        return
    codes = np.arange(1 << 8 * dtype.itemsize).astype(f"i{dtype.itemsize}")
    stored = torch.from_numpy(codes).view(dtype)  # NaN and infinities too
    expected, checkpoint = stored.float().numpy(), saved(tmp_path, {QUERY: stored})
    assert leaf_of(profile(checkpoint), QUERY) == statistics(expected)
    # counts of a whole could hide two codes that change places
    with Reader(checkpoint) as reader:
        (block,) = blocks.Blocks(reader, [checkpoint.tensors[QUERY]])()
    np.testing.assert_array_equal(block, expected)
    number = ~np.isnan(expected)
    np.testing.assert_array_equal(np.signbit(block)[number], np.signbit(expected)[number])


def test_integers_are_left_out_and_scales_are_not_applied_and_both_are_named(tmp_path):
    mlp, query = "model.layers.0.mlp", "model.layers.{}.self_attn.q_proj"
    tensors = {
        f"{mlp}.down_proj.qweight": torch.ones(7, dtype=torch.int32),
        f"{mlp}.gate_proj.weight": torch.ones(4), f"{mlp}.gate_proj.weight_scale": torch.ones(1),
        "model.mask": torch.ones(2, dtype=torch.bool), "position_ids": torch.arange(9),
    }  # fmt: skip
    for i, scale in enumerate(("weight_scale", "weight_scale_inv", "scale", "weight_other")):
        tensors[f"{query.format(i)}.weight"] = torch.ones(5).to(torch.float8_e4m3fn)
        tensors[f"{query.format(i)}.{scale}"] = torch.ones(1)
    record = profile(saved(tmp_path, tensors))
    left_out = {"name": f"{mlp}.down_proj.qweight", "dtype": "int32", "elements": 7}
    assert record["left_out"] == [left_out]
    assert record["scaled"] == [f"{query.format(i)}.weight" for i in range(3)]
    odd = [f"{query.format(2)}.scale", f"{query.format(3)}.weight_other"]
    assert (record["not_understood"], of_model(record)["parameters"]) == (odd, 4 + 4 * 5 + 2)


def test_a_tied_head_stored_twice_is_counted_once_and_only_if_it_is_the_same(tmp_path, monkeypatch):
    wte, heads = normal(101), {}
    for place in (0, 100):  # one weight is the next larger one
        heads[place] = wte.copy()
        heads[place][place] = np.nextafter(wte[place], np.float32(1))
    monkeypatch.setattr(
        "analysis.checkpoints.parameters._BLOCK", 64
    )  # compared in pieces, all of them
    record = profile(saved(tmp_path, {WTE: wte, LM_HEAD: wte.copy()}))
    assert (record["tied"], of_model(record)["parameters"]) == ({LM_HEAD: WTE}, 101)
    for head in (*heads.values(), wte.astype(np.float16), wte.reshape(101, 1).copy()):
        record = profile(saved(tmp_path, {WTE: wte, LM_HEAD: head}))
        assert (record["tied"], of_model(record)["parameters"]) == ({}, 202)
        assert [row["kind"] for row in record["leaves"]] == ["token embedding", "head"]


def test_what_is_not_finite_is_named_and_what_is_empty_is_counted_for_what_it_is(tmp_path):
    weights = some_weights()
    assert profile(in_memory(weights))["not_finite"] == {}
    weights[QUERY_BIAS][3] = np.nan  # the other tensor of its leaf is whole
    weights[FFN_OUT][:2] = [[np.inf], [-np.inf]]
    record = profile(in_memory(weights))
    assert record["not_finite"] == {QUERY_BIAS: 1, FFN_OUT: 2}
    assert (leaf_of(record, QUERY_BIAS)["not_finite"], of_model(record)["not_finite"]) == (1, 3)
    tensors = {QUERY: torch.zeros(0, 4), FFN_OUT: torch.tensor(2.0), CLASSIFIER: torch.ones(3)}
    record = profile(saved(tmp_path, tensors))
    assert leaf_of(record, QUERY) == statistics([])
    assert leaf_of(record, FFN_OUT) == statistics([2.0])
    empty = record["scopes"]["kind:attention query"]
    assert (empty["histogram"], empty["statistics"]["ks_distance"]) == ([], None)
    assert of_model(record)["parameters"] == 4


def test_neither_buffers_nor_the_number_of_threads_matter(tmp_path, monkeypatch):
    weights = some_weights(130)
    weights[EMBEDDING][5] = np.nan
    weights[CLASSIFIER] = weights[CLASSIFIER].astype(np.float16)
    whole = profile(checkpoint := saved(tmp_path, weights))
    for number in (1, 2, 7):
        monkeypatch.setattr(threads, "count", lambda number=number: number)
        assert profile(checkpoint) == whole
    for buffer, piece in ((64, 7), (64, 64), (1, 1), (138, 137), (1 << 20, 13)):
        monkeypatch.setattr(blocks, "BUFFER", buffer)
        monkeypatch.setattr(blocks, "_PIECE", piece)
        assert profile(checkpoint) == nearly(whole), (buffer, piece)


def test_reading_reports_the_megabytes_up_to_all_of_them(tmp_path, monkeypatch):
    reports = []
    monkeypatch.setattr(progress, "_sink", lambda *report: reports.append(report))
    wide, narrow = torch.ones(500_000), torch.ones(1_000_000, dtype=torch.float16)
    wide[7] = math.nan  # its tensor is read again, of which nothing is said
    tensors = {QUERY: wide, FFN_OUT: narrow, "h.0.attn.bias": torch.ones(999_999)}
    monkeypatch.setattr(progress, "_SECONDS_BETWEEN_REPORTS", 0.0)
    monkeypatch.setattr(blocks, "_PIECE", 1 << 16)
    profile(saved(tmp_path, tensors))
    assert {(what, total) for what, _, total in reports} == {("MB read", 4)}
    done = [done for _, done, _ in reports]
    assert (sorted(done), {*done}, done.count(4)) == (done, {0, 1, 2, 3, 4}, 1)
