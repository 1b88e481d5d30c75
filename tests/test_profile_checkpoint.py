"""A checkpoint's profile: what is counted where, in every type of number, from files and memory."""

import itertools
import json
import math

import numpy as np
import pytest
import torch
import transformers
from leaves import statistics
from safetensors.torch import save_file

from analysis import progress, threads
from analysis.models import naming
from analysis.models.checkpoint import SAFETENSORS, open_checkpoint
from analysis.models.tensors import Reader, in_memory
from analysis.profile import blocks
from analysis.profile.checkpoint import profile

COUNTED = ("parameters", "zeros", "not_finite")
EMBEDDING = "bert.embeddings.word_embeddings.weight"
QUERY = "bert.encoder.layer.0.attention.self.query.weight"
QUERY_BIAS = "bert.encoder.layer.0.attention.self.query.bias"
KEY_BIAS = "bert.encoder.layer.0.attention.self.key.bias"
FFN_OUT = "bert.encoder.layer.1.output.dense.weight"
FFN_OUT_10 = "bert.encoder.layer.10.output.dense.weight"
CLASSIFIER = "classifier.weight"
NAMES = [
    *(EMBEDDING, "bert.embeddings.LayerNorm.weight", QUERY, QUERY_BIAS, KEY_BIAS),
    *(FFN_OUT, FFN_OUT_10, CLASSIFIER),
]
WTE, LM_HEAD = "transformer.wte.weight", "lm_head.weight"


def normal(size, scale=0.02, seed=0):
    return (scale * np.random.default_rng(seed).standard_normal(size)).astype(np.float32)


def some_weights(size=30):
    """An array for each of NAMES, all of different sizes; some weights are zero."""
    arrays = {name: normal(size + i, seed=i).reshape(-1, 1) for i, name in enumerate(NAMES)}
    arrays[FFN_OUT][::3] = 0
    return arrays


def saved(folder, tensors, file=SAFETENSORS):
    """A checkpoint of torch's tensors (or arrays) in a safetensors file."""
    folder.mkdir(exist_ok=True)
    save_file(
        {
            name: t if isinstance(t, torch.Tensor) else torch.from_numpy(t)
            for name, t in tensors.items()
        },
        folder / file,
    )
    return open_checkpoint(folder)


def sharded(folder, *shards):
    """A checkpoint of several safetensors files and their index."""
    folder.mkdir()
    places = {}
    for number, tensors in enumerate(shards, 1):
        file = f"model-{number:05}-of-{len(shards):05}.safetensors"
        save_file({name: torch.from_numpy(array) for name, array in tensors.items()}, folder / file)
        places |= dict.fromkeys(tensors, file)
    index = folder / f"{SAFETENSORS}.index.json"
    index.write_text(json.dumps({"metadata": {}, "weight_map": places}), encoding="utf-8")
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


# ---------------------------------------------------------------- leaves and scopes


def test_leaves_add_up_to_the_model():
    weights = some_weights()
    record, everything = profile(in_memory(weights)), flat(*weights.values())
    exact = statistics(everything)
    for column in COUNTED:
        assert sum(row[column] for row in record["leaves"]) == exact[column]
        assert of_model(record)[column] == exact[column]
    for column in ("mean_abs", "below_1e-3", "below_1e-2", "below_1e-1", "below_1"):
        total = sum(row["parameters"] * row[column] for row in record["leaves"])
        assert total == pytest.approx(everything.size * exact[column])
        assert of_model(record)[column] == pytest.approx(exact[column])


def test_leaves_are_keyed_by_part_layer_and_kind_in_order():
    record = profile(in_memory(some_weights()))
    keys = [(row["part"], row["layer"], row["kind"]) for row in record["leaves"]]
    expected = {(w.part, w.layer, w.kind) for w in map(naming.weight, NAMES)}
    assert len(keys) == len(NAMES) - 1  # two biases are one leaf
    assert set(keys) == expected
    layers = [layer for part, layer, _ in keys if part == "encoder"]
    assert layers == [0, 0, 1, 10]


def test_a_leaf_holds_all_tensors_of_its_key():
    weights = some_weights()
    record = profile(in_memory(weights))
    both = flat(weights[KEY_BIAS], weights[QUERY_BIAS])
    assert leaf_of(record, KEY_BIAS) == nearly(statistics(both))
    for name in (EMBEDDING, QUERY, FFN_OUT, FFN_OUT_10, CLASSIFIER):
        assert leaf_of(record, name) == statistics(weights[name])


def test_scopes_cover_the_model_its_parts_layers_kinds_and_prunable_weights():
    weights = some_weights()
    scopes = profile(in_memory(weights))["scopes"]
    sizes = {name: scope["statistics"]["parameters"] for name, scope in scopes.items()}
    total = sum(array.size for array in weights.values())
    assert sizes["model"] == total
    for prefix in ("part:", "kind:"):
        assert sum(size for name, size in sizes.items() if name.startswith(prefix)) == total
    layers = {name: size for name, size in sizes.items() if name.startswith("layer:")}
    assert layers == {
        "layer:encoder:0": 32 + 33 + 34,
        "layer:encoder:1": 35,
        "layer:encoder:10": 36,
    }
    assert sizes["prunable"] == 32 + 35 + 36
    assert [*sizes] == [
        *("model", "part:embedding", "part:encoder", "part:head"),
        *("layer:encoder:0", "layer:encoder:1", "layer:encoder:10"),
        *("kind:attention query", "kind:bias", "kind:ffn out", "kind:head", "kind:norm"),
        *("kind:token embedding", "prunable"),
    ]


def test_scopes_hold_the_very_weights():
    weights = some_weights(300)
    scopes = profile(in_memory(weights))["scopes"]
    for name, members in {
        "model": NAMES,
        "layer:encoder:1": [FFN_OUT],
        "kind:ffn out": [FFN_OUT, FFN_OUT_10],
        "prunable": [QUERY, FFN_OUT, FFN_OUT_10],
    }.items():
        own = flat(*(weights[member] for member in members))
        exact, row = statistics(own), scopes[name]["statistics"]
        for column in (*COUNTED, "mean_abs", "std", "skew", "kurtosis", "below_1e-2"):
            assert row[column] == pytest.approx(exact[column]), (name, column)
        counts = {"linear": own.size, "log10": np.count_nonzero(own)}
        for scale, count in counts.items():
            histogram = [r["count"] for r in scopes[name]["histogram"] if r["scale"] == scale]
            assert sum(histogram) == count
        for point in scopes[name]["cdf"]:
            below = np.sum(np.abs(own.astype(np.float64)) < point["left"])
            assert point["fraction"] == below / own.size


def test_a_scopes_distance_is_that_to_the_model():
    weights = some_weights() | {FFN_OUT: 100 + normal(35)}
    scopes = profile(in_memory(weights))["scopes"]
    assert scopes["model"]["statistics"]["ks_distance"] == 0
    others = 1 - 35 / sum(array.size for array in weights.values())
    farthest = scopes["layer:encoder:1"]["statistics"]["ks_distance"]
    assert farthest == pytest.approx(others)  # all of the layer is above all others


def test_a_record_is_plain_json():
    weights = some_weights() | {FFN_OUT: np.full(4, np.nan, np.float32)}
    record = profile(in_memory(weights))
    assert json.loads(json.dumps(record, allow_nan=False)) == record


def test_the_family_is_that_of_the_layers():
    assert profile(in_memory(some_weights()))["family"] == "encoder-only"
    assert profile(in_memory({WTE: normal(4)}))["family"] is None


@pytest.mark.parametrize("arrays", [{}, {"transformer.h.0.mlp.c_fc.weight": np.ones(3, np.int8)}])
def test_a_checkpoint_without_floats_has_neither_leaves_nor_scopes(arrays):
    record = profile(in_memory(arrays))
    assert (record["leaves"], record["scopes"], record["family"]) == ([], {}, None)


# ---------------------------------------------------------------- types of numbers


def codes(dtype):
    """Every value that a type of one or two bytes has, NaN and infinities among them."""
    if dtype.itemsize == 1:
        return torch.arange(256, dtype=torch.int32).to(torch.uint8).view(dtype)
    return torch.arange(-(2**15), 2**15, dtype=torch.int32).to(torch.int16).view(dtype)


DTYPES = [
    *(torch.float32, torch.float64, torch.float16, torch.bfloat16),
    *(torch.float8_e4m3fn, torch.float8_e5m2),
]
SMALL = [dtype for dtype in DTYPES if dtype.itemsize < 4]


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_weights_of_every_type_are_those_of_torch(tmp_path, dtype):
    stored = torch.from_numpy(normal(4001)).to(dtype)
    record = profile(saved(tmp_path, {QUERY: stored}))
    assert leaf_of(record, QUERY) == statistics(stored.float().numpy())


@pytest.mark.parametrize("dtype", SMALL, ids=str)
def test_every_code_of_a_small_type_has_its_value(tmp_path, dtype):
    stored = codes(dtype)
    narrow = profile(saved(tmp_path / "narrow", {QUERY: stored}))
    wide = profile(saved(tmp_path / "wide", {QUERY: stored.float()}))
    assert narrow == wide
    expected = stored.float().numpy()
    row = leaf_of(narrow, QUERY)
    assert row == statistics(expected)
    assert row["parameters"] == stored.numel()
    assert row["not_finite"] == np.sum(~np.isfinite(expected))
    assert row["zeros"] == 2


@pytest.mark.parametrize("dtype", SMALL, ids=str)
def test_every_code_of_a_small_type_alone_has_its_value(tmp_path, dtype):
    """Counts of a whole could hide two codes that change places."""
    stored = codes(dtype)
    checkpoint = saved(tmp_path, {QUERY: stored})
    with Reader(checkpoint) as reader:
        (block,) = blocks.Blocks(reader, [checkpoint.tensors[QUERY]])()
    expected = stored.float().numpy()
    np.testing.assert_array_equal(block, expected)
    number = ~np.isnan(expected)
    np.testing.assert_array_equal(np.signbit(block)[number], np.signbit(expected)[number])


def test_doubles_beyond_float32_are_not_finite(tmp_path):
    stored = torch.tensor([1e300, -1e39, 1e-300, 0.1, 1 + 1e-12], dtype=torch.float64)
    record = profile(saved(tmp_path, {QUERY: stored}))
    row = leaf_of(record, QUERY)
    assert (row["not_finite"], row["zeros"]) == (2, 1)
    assert row["mean_abs"] == pytest.approx((np.float32(0.1) + 1.0) / 3, rel=1e-12)
    assert record["not_finite"] == {QUERY: 2}


def test_a_leaf_may_hold_several_types(tmp_path):
    query, key = (torch.from_numpy(normal(99, seed=seed)) for seed in (1, 2))
    record = profile(saved(tmp_path, {QUERY_BIAS: query.bfloat16(), KEY_BIAS: key.half()}))
    both = torch.cat([key.half().float(), query.bfloat16().float()])
    assert leaf_of(record, KEY_BIAS) == nearly(statistics(both.numpy()))


def test_integers_are_left_out_and_named(tmp_path):
    quantised = "model.layers.0.mlp.up_proj.weight"
    tensors = {
        quantised: torch.ones(3, 5, dtype=torch.int8),
        "model.layers.0.mlp.down_proj.qweight": torch.ones(7, dtype=torch.int32),
        "model.layers.0.mlp.gate_proj.weight": torch.ones(4),
        "model.mask": torch.ones(2, dtype=torch.bool),
    }
    record = profile(saved(tmp_path, tensors))
    assert record["left_out"] == [
        {"name": "model.layers.0.mlp.down_proj.qweight", "dtype": "int32", "elements": 7},
        {"name": quantised, "dtype": "int8", "elements": 15},
    ]
    assert of_model(record)["parameters"] == 4


# ---------------------------------------------------------------- what is counted


@pytest.mark.parametrize("dtype", [np.float32, np.uint8, np.bool_, np.int64])
def test_buffers_are_not_counted(dtype):
    weights = {"transformer.h.0.attn.c_attn.weight": normal(12)}
    buffers = {
        "transformer.h.0.attn.bias": np.ones((1, 1, 4, 4), dtype),
        "transformer.h.0.attn.masked_bias": np.array(1, dtype),
        "bert.embeddings.position_ids": np.ones((1, 9), dtype),
    }
    assert profile(in_memory(weights | buffers)) == profile(in_memory(weights))


def test_a_tied_head_stored_twice_is_counted_once():
    wte = normal(60).reshape(12, 5)
    record = profile(in_memory({WTE: wte, LM_HEAD: wte.copy()}))
    assert record["tied"] == {LM_HEAD: WTE}
    assert of_model(record)["parameters"] == 60
    assert [row["kind"] for row in record["leaves"]] == ["token embedding"]


@pytest.mark.parametrize("where", [0, 59])
def test_a_head_that_differs_in_one_weight_is_counted(where):
    wte = normal(60)
    head = wte.copy()
    head[where] = np.nextafter(head[where], np.float32(1))
    record = profile(in_memory({WTE: wte, LM_HEAD: head}))
    assert record["tied"] == {}
    assert of_model(record)["parameters"] == 120
    assert [row["kind"] for row in record["leaves"]] == ["token embedding", "head"]


@pytest.mark.parametrize("head", [normal(60).astype(np.float16), normal(60).reshape(6, 10)])
def test_a_head_of_another_type_or_shape_is_counted(head):
    record = profile(in_memory({WTE: normal(60), LM_HEAD: head}))
    assert record["tied"] == {}
    assert of_model(record)["parameters"] == 120


@pytest.mark.parametrize("differ", [False, True])
def test_ties_are_compared_to_the_last_piece(tmp_path, monkeypatch, differ):
    monkeypatch.setattr("analysis.models.parameters._BLOCK", 64)
    wte = normal(101)
    head = wte.copy()
    head[-1] += np.float32(differ)
    record = profile(saved(tmp_path, {WTE: wte, LM_HEAD: head}))
    assert record["tied"] == ({} if differ else {LM_HEAD: WTE})


def test_unknown_names_are_leaves_of_their_own_and_listed():
    weights = {"mystery.weight": normal(7), "puzzle": normal(8), QUERY: normal(9)}
    record = profile(in_memory(weights))
    assert record["not_understood"] == ["mystery.weight", "puzzle"]
    others = [row for row in record["leaves"] if row["part"] == "other"]
    assert [(row["layer"], row["kind"]) for row in others] == [
        (None, "mystery.weight"),
        (None, "puzzle"),
    ]
    assert leaf_of(record, "puzzle") == statistics(weights["puzzle"])
    assert record["scopes"]["part:other"]["statistics"]["parameters"] == 15
    assert of_model(record)["parameters"] == 24


def test_names_with_colons_do_no_harm():
    record = profile(in_memory({"a:b:c": normal(3), "layer:x:y": normal(3), QUERY: normal(3)}))
    # what is not understood is a leaf and no scope of its own: there may be thousands
    assert {row["kind"] for row in record["leaves"]} >= {"a:b:c", "layer:x:y"}
    assert [scope for scope in record["scopes"] if "a:b" in scope or "x:y" in scope] == []
    assert record["scopes"]["part:other"]["statistics"]["parameters"] == 6
    assert record["not_understood"] == ["a:b:c", "layer:x:y"]


def test_tensors_that_are_not_finite_are_named_with_how_many():
    weights = some_weights()
    weights[QUERY_BIAS][3] = np.nan  # the other tensor of its leaf is whole
    weights[FFN_OUT][:2] = [[np.inf], [-np.inf]]
    record = profile(in_memory(weights))
    assert record["not_finite"] == {QUERY_BIAS: 1, FFN_OUT: 2}
    assert leaf_of(record, QUERY_BIAS)["not_finite"] == 1
    assert of_model(record)["not_finite"] == 3
    assert profile(in_memory(some_weights()))["not_finite"] == {}


def test_empty_tensors_and_scalars_are_counted_for_what_they_are(tmp_path):
    tensors = {QUERY: torch.zeros(0, 4), FFN_OUT: torch.tensor(2.0), CLASSIFIER: torch.ones(3)}
    record = profile(saved(tmp_path, tensors))
    assert leaf_of(record, QUERY) == statistics(np.zeros(0, np.float32))
    assert leaf_of(record, FFN_OUT) == statistics(np.array([2.0], np.float32))
    assert record["scopes"]["kind:attention query"]["histogram"] == []
    assert record["scopes"]["kind:attention query"]["statistics"]["ks_distance"] is None
    assert of_model(record)["parameters"] == 4


# ---------------------------------------------------------------- however it is read


@pytest.mark.parametrize(
    ("buffer", "piece"), [(64, 7), (64, 64), (1, 1), (8192, 4096), (4100, 4099), (1 << 20, 13)]
)
def test_what_does_not_fit_the_buffer_has_the_same_record(tmp_path, monkeypatch, buffer, piece):
    weights = some_weights(130) if buffer < 100 else some_weights(9000)
    weights[EMBEDDING][5] = np.nan
    weights[CLASSIFIER] = weights[CLASSIFIER].astype(np.float16)
    checkpoint = saved(tmp_path, weights)
    whole = profile(checkpoint)
    monkeypatch.setattr(blocks, "BUFFER", buffer)
    monkeypatch.setattr(blocks, "_PIECE", piece)
    assert profile(checkpoint) == nearly(whole)


def test_the_number_of_threads_does_not_matter(tmp_path, monkeypatch):
    weights = {f"h.{i}.mlp.c_fc.weight": normal(500 + 37 * i, seed=i) for i in range(12)}
    checkpoint = saved(tmp_path, weights | {"h.3.mlp.c_fc.bias": np.full(3, np.inf, np.float32)})
    records = []
    for number in (1, 2, 7):
        monkeypatch.setattr(threads, "count", lambda number=number: number)
        records.append(profile(checkpoint))
    assert records[0] == records[1] == records[2]


def test_memory_one_file_and_shards_have_the_same_record(tmp_path):
    weights = some_weights() | {LM_HEAD: normal(9), WTE: normal(9)}
    parts = [dict(itertools.islice(weights.items(), i, None, 3)) for i in range(3)]
    record = profile(in_memory(weights))
    assert record["tied"] == {LM_HEAD: WTE}  # in two of the shards
    assert profile(saved(tmp_path / "one", weights)) == record
    assert profile(sharded(tmp_path / "shards", *parts)) == record


def test_a_torch_file_has_the_same_record(tmp_path):
    weights = {name: torch.from_numpy(array) for name, array in some_weights().items()}
    weights[QUERY] = weights[QUERY].bfloat16()
    weights[EMBEDDING] = torch.from_numpy(normal(60)).reshape(6, 10).t()  # not contiguous
    torch.save(weights, tmp_path / "pytorch_model.bin")
    expected = saved(tmp_path / "safe", {name: t.contiguous() for name, t in weights.items()})
    assert profile(open_checkpoint(tmp_path)) == profile(expected)


# ---------------------------------------------------------------- models as they are saved

BERT = transformers.BertConfig(
    vocab_size=60,
    hidden_size=8,
    num_hidden_layers=2,
    num_attention_heads=2,
    intermediate_size=16,
    max_position_embeddings=20,
)
GPT2 = transformers.GPT2Config(
    vocab_size=60, n_embd=8, n_layer=2, n_head=2, n_positions=20, bos_token_id=1, eos_token_id=2
)
T5 = transformers.T5Config(
    vocab_size=60, d_model=8, d_kv=4, d_ff=16, num_layers=2, num_decoder_layers=3, num_heads=2
)
MODELS = [
    (transformers.BertForMaskedLM, BERT, "encoder-only"),
    (transformers.GPT2LMHeadModel, GPT2, "decoder-only"),
    (transformers.T5ForConditionalGeneration, T5, "encoder-decoder"),
]


@pytest.mark.parametrize(("kind", "config", "family"), MODELS, ids=["BERT", "GPT-2", "T5"])
def test_a_saved_model_has_the_parameters_that_it_says(tmp_path, kind, config, family):
    torch.manual_seed(0)
    model = kind(config)
    model.save_pretrained(tmp_path / "one")
    record = profile(open_checkpoint(tmp_path / "one"))
    assert of_model(record)["parameters"] == model.num_parameters()
    assert record["family"] == family
    assert (record["left_out"], record["not_understood"], record["not_finite"]) == ([], [], {})
    everything = flat(*(p.detach().numpy() for p in model.parameters()))
    assert of_model(record)["mean_abs"] == pytest.approx(statistics(everything)["mean_abs"])
    assert of_model(record)["std"] == pytest.approx(statistics(everything)["std"])
    assert of_model(record)["zeros"] == np.sum(everything == 0)
    model.save_pretrained(tmp_path / "shards", max_shard_size="4KB")
    shards = open_checkpoint(tmp_path / "shards")
    assert len(shards.files) > 1
    assert profile(shards) == record
    state = {name: tensor.contiguous() for name, tensor in model.state_dict().items()}
    (tmp_path / "bin").mkdir()
    torch.save(state, tmp_path / "bin" / "pytorch_model.bin")  # every tied tensor is stored
    twice = profile(open_checkpoint(tmp_path / "bin"))
    assert twice["tied"]
    assert twice["leaves"] == record["leaves"]


# ---------------------------------------------------------------- progress


@pytest.fixture
def reports(monkeypatch):
    """All that is reported of progress, at every step."""
    listed = []
    monkeypatch.setattr(progress, "_SECONDS_BETWEEN_REPORTS", 0.0)
    progress.send_to(lambda *report: listed.append(report))
    yield listed
    progress.send_to(None)


@pytest.mark.parametrize("buffer", [1 << 24, 1 << 17])
def test_reading_reports_the_megabytes_up_to_all_of_them(tmp_path, monkeypatch, reports, buffer):
    monkeypatch.setattr(blocks, "BUFFER", buffer)
    monkeypatch.setattr(blocks, "_PIECE", 1 << 16)
    wide, narrow = torch.ones(500_000), torch.ones(1_000_000, dtype=torch.float16)
    wide[7] = math.nan  # its tensor is read again, of which nothing is said
    profile(saved(tmp_path, {QUERY: wide, FFN_OUT: narrow, "h.0.attn.bias": torch.ones(999_999)}))
    assert {(what, total) for what, _, total in reports} == {("MB read", 4)}
    done = [done for _, done, _ in reports]
    assert done == sorted(done)
    assert set(done) == {0, 1, 2, 3, 4}
    assert done[-1] == 4
    assert done.count(4) == 1


def test_a_meter_reports_now_and_then_and_at_the_end(monkeypatch, reports):
    monkeypatch.setattr(progress, "_SECONDS_BETWEEN_REPORTS", 10.0)
    meter = progress.Meter("steps", 100)
    for _ in range(100):
        meter.add(1)
    assert reports == [("steps", 1, 100), ("steps", 100, 100)]
