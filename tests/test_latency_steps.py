"""The step that measures latency, on tiny random models: which cells there are, what they run."""

import json

import architectures
import numpy as np
import pytest
import torch
from timed_models import EACH, FACTS, KINDS, SCHEDULE, TOKENS, dense, entry

from analysis.errors import RunError
from analysis.execution.choice import Chooser, always
from analysis.execution.layers import SparseLinear
from analysis.execution.names import AUTO, DENSE, EXPERTS, INT8, TILED_CSR, TORCH_CSR
from analysis.models import naming
from analysis.models.loading import load_model
from analysis.models.weights import read_weights
from analysis.pruning.masks import applied, read_pruned
from analysis.steps import groups, latency
from analysis.steps.moefied import moefy_checkpoint
from analysis.steps.quantised import quantise_checkpoint
from analysis.steps.sharing import Loader
from analysis.steps.shrunk import shrink_checkpoint
from analysis.steps.timed import Entry, random_inputs
from analysis.timings import runtime_rows

every_kind = pytest.mark.parametrize("kind", KINDS)


pytestmark = pytest.mark.usefixtures("one_thread")


def variants(objects, measured=False):
    """Of a BERT: dense, masked at a high and a low level, int8, with experts, and smaller."""
    whole = dense(objects, "bert")
    texts = {"training": None, "examples": 8, "tokens": 8, "seed": 3, "threads": 1, "device": "cpu"}
    experts = moefy_checkpoint(objects, **whole, task="sentiment", experts=4, run=[2], **texts)
    smaller = shrink_checkpoint(objects, **whole, levels=[0.5], task="sentiment", **texts)
    others = {
        "int8": (quantise_checkpoint(objects, **whole), INT8),
        "moe": (experts["levels"][0], EXPERTS),
        "structured": (smaller["levels"][0], DENSE),
    }
    return [
        entry(objects, "bert", "dense", measured=measured),
        entry(objects, "bert", "0.9", EACH, level=0.9, measured=measured),
        entry(objects, "bert", "0.1", EACH, level=0.1),
        *(
            {
                "name": name,
                "checkpoint": record["checkpoint"]["object"],
                "masks": None,
                "kernels": [kernel],
                "measured": measured,
            }
            for name, (record, kernel) in others.items()
        ),
    ]


@pytest.fixture(scope="module")
def forward(objects, tmp_path_factory):
    """The record of the latency of all of these, with peaks, and what was remembered of kernels."""
    memory = tmp_path_factory.mktemp("memory") / "kernels.json"
    record = latency.measure_latency(
        objects, variants=variants(objects, measured=True), form="classification", batches=[1, 2],
        tokens=TOKENS, schedule=SCHEDULE, threads=1, device="cpu", seed=0, kernels=str(memory),
    )  # fmt: skip
    return record, json.loads(memory.read_text(encoding="utf-8"))


# ---------------------------------------------------------------- latency


def test_each_variant_has_a_cell_for_each_kernel_that_can_do_something(forward):
    record = forward[0]
    assert json.loads(json.dumps(record, allow_nan=False)) == record
    expected = [
        ("dense", DENSE),
        *(("0.9", kernel) for kernel in EACH),
        *(("0.1", kernel) for kernel in (DENSE, AUTO)),  # too few zeros for a sparse kernel
        *(("int8", INT8), ("moe", EXPERTS), ("structured", DENSE)),
    ]
    found = [(c["variant"], c["kernel"], c["batch"]) for c in record["cells"]]
    assert found == [(*cell, batch) for batch in (1, 2) for cell in expected]
    assert {key: record[key] for key in FACTS} == FACTS
    assert record["tokens"] == TOKENS


def test_every_raw_sample_of_the_schedule_is_there(forward):
    for cell in forward[0]["cells"]:
        assert len(cell["samples_ms"]) == 3
        assert min(cell["samples_ms"]) > 0
        assert cell["operation"] == "forward"


def test_peaks_are_measured_where_asked_for_the_first_batch_by_default_and_chosen_kernels(forward):
    for cell in forward[0]["cells"]:
        asked = cell["variant"] != "0.1" and cell["batch"] == 1
        asked = asked and cell["kernel"] not in (TORCH_CSR, TILED_CSR)
        assert (cell["peak_bytes"] is not None) == asked
        assert not asked or cell["peak_bytes"] >= 0


def test_what_was_chosen_for_each_layer_is_said(forward):
    linear = 2 * 6 + 1  # of each block, and the classifier
    for cell in forward[0]["cells"]:
        if cell["kernel"] == AUTO:
            assert {DENSE, TORCH_CSR, TILED_CSR} >= cell["chosen"].keys()
            assert sum(cell["chosen"].values()) == linear + 1  # the pooler
            assert cell["variant"] != "0.1" or cell["chosen"] == {DENSE: linear + 1}
        else:
            assert cell["chosen"] is None


def test_which_kernels_are_fastest_is_remembered(forward):
    assert forward[1]
    for seconds in forward[1].values():
        assert {DENSE, TILED_CSR} <= seconds.keys()


def peaks(objects, entries, tmp_path, tokens=2):
    record = latency.measure_latency(
        objects, variants=entries, form="causal", batches=[1], tokens=tokens, schedule=SCHEDULE,
        threads=1, device="cpu", seed=0, kernels=str(tmp_path / "kernels.json"),
    )  # fmt: skip
    return {(c["variant"], c["kernel"]): c["peak_bytes"] for c in record["cells"]}


def test_a_peak_counts_the_weights_as_the_kernel_holds_them(objects, tmp_path, monkeypatch):
    """A model whose linear layers outweigh all else by far."""
    wide = architectures.ARCHITECTURES["GPT2"][1] | {"n_positions": 96, "n_embd": 512}
    monkeypatch.setitem(KINDS, "wide", ("GPT2LMHeadModel", wide, "GPT2", "causal"))
    monkeypatch.setattr(latency, "Chooser", lambda memory: always(TILED_CSR))
    linear = 2 * 12 * 512**2 * 4
    whole = dense(objects, "wide")
    int8 = quantise_checkpoint(objects, **whole)["checkpoint"]["object"]
    found = peaks(
        objects,
        [
            entry(objects, "wide", "dense", measured=True),
            entry(objects, "wide", "0.9", EACH, level=0.9, measured=True),
            {"name": "int8", "checkpoint": int8, "masks": None, "kernels": [INT8],
             "measured": True},
        ],
        tmp_path,
    )  # fmt: skip
    assert found["dense", DENSE] >= linear
    assert found["0.9", DENSE] >= linear
    assert 0.2 * linear <= found["0.9", AUTO] < 0.35 * linear  # a tenth, each with its column
    assert linear / 4 <= found["int8", INT8] < 0.5 * linear


# ---------------------------------------------------------------- in groups


def in_memory(objects, tmp_path, memory_bytes, entries=None, measured=False):
    entries = entries or [
        entry(objects, "bert", "dense", measured=measured),
        *(entry(objects, "bert", str(level), EACH, level=level) for level in (0.1, 0.5, 0.9)),
    ]
    return latency.measure_latency(
        objects, variants=entries, form="classification", batches=[1, 2], tokens=TOKENS,
        schedule=SCHEDULE, threads=1, device="cpu", seed=0,
        kernels=str(tmp_path / "kernels.json"), memory_bytes=memory_bytes,
    )  # fmt: skip


def bytes_of_dense(objects):
    return Loader(objects, "classification", "cpu").bytes_of_whole(
        dense(objects, "bert")["checkpoint"]
    )


def test_what_does_not_fit_at_once_is_measured_in_groups_beside_the_dense_model(
    objects, tmp_path, monkeypatch
):
    monkeypatch.setattr(groups, "BESIDE", 0)
    monkeypatch.setattr(latency, "Chooser", lambda memory: always(TILED_CSR))
    together = in_memory(objects, tmp_path, None)
    few = in_memory(objects, tmp_path, 3 * bytes_of_dense(objects))

    def keys(record):
        return [(c["variant"], c["kernel"], c["batch"], c["chosen"]) for c in record["cells"]]

    assert keys(few) == keys(together)
    assert not any("dense_ms" in cell for cell in together["cells"])
    later = {cell["variant"] for cell in few["cells"] if "dense_ms" in cell}
    assert later
    assert "dense" not in later
    rows = {(r["variant"], r["kernel"], r["batch"]): r for r in runtime_rows(few)["runtime"]}
    assert len(rows) == len(few["cells"])
    for cell in few["cells"]:
        if "dense_ms" in cell:
            assert len(cell["dense_ms"]) == 3
            row = rows[cell["variant"], cell["kernel"], cell["batch"]]
            expected = np.median(cell["dense_ms"]) / np.median(cell["samples_ms"])
            assert row["speedup"] == pytest.approx(expected)


def test_no_room_for_a_variant_beside_the_dense_model_is_one_line(objects, tmp_path, monkeypatch):
    monkeypatch.setattr(latency, "peak_of", None)  # nothing is measured before
    with pytest.raises(RunError, match=r"0\.1 cannot be timed .* beside dense: .* 1\.1 GB"):
        in_memory(objects, tmp_path, 10**9, measured=True)


# ---------------------------------------------------------------- what is run


@every_kind
def test_a_variant_is_its_checkpoint_with_the_masks_applied(objects, kind):
    form = KINDS[kind][3]
    loader = Loader(objects, form, "cpu")
    given = entry(objects, kind, "0.5", level=0.5)
    model = loader.model(Entry(**given))
    weights = read_weights(objects.open(given["checkpoint"]))
    expected = applied(weights, read_pruned(objects.open(given["masks"])))
    state = model.state_dict()
    for name, what in naming.weights(weights).items():
        if what.prunable:
            np.testing.assert_array_equal(state[name].numpy(), expected[name])
    again = loader.model(Entry(**entry(objects, kind, "dense", level=0.1)))
    assert any(
        not torch.equal(one, other)
        for one, other in zip(again.parameters(), model.parameters(), strict=True)
    )  # neither has the other's masks


@every_kind
@pytest.mark.parametrize("kernel", [TORCH_CSR, TILED_CSR, AUTO])
def test_every_kernel_gives_the_answers_of_the_dense_one(objects, kind, kernel):
    form = KINDS[kind][3]
    loader, given = Loader(objects, form, "cpu"), Entry(**entry(objects, kind, "0.9", level=0.9))
    choose = Chooser()
    models = [loader.runnable(given, name, choose, [16]) for name in (DENSE, kernel)]
    inputs = random_inputs(models[0], loader.tokenizer(given), form, 2, TOKENS, 0)
    with torch.inference_mode():
        whole, sparse = (model(**inputs).logits for model in models)
    torch.testing.assert_close(sparse, whole, rtol=1e-4, atol=1e-4)
    if kernel != AUTO:
        assert any(isinstance(module, SparseLinear) for module in models[1].modules())


def test_int8_is_run_on_no_gpu(objects):
    given = Entry(**entry(objects, "bert", "int8", [INT8]))
    assert Loader(objects, "classification", "cuda").runnable(given, INT8, Chooser(), [8]) is None


@every_kind
def test_inputs_are_random_whole_and_the_same_again(objects, kind):
    form = KINDS[kind][3]
    model, tokenizer = load_model(objects.open(dense(objects, kind)["checkpoint"]), form, "cpu")
    one, other = (random_inputs(model, tokenizer, form, 3, TOKENS, seed) for seed in (0, 0))
    assert one["input_ids"].shape == (3, TOKENS)
    assert (one["attention_mask"] == 1).all()
    assert ((one["input_ids"] == tokenizer.eos_token_id).sum(dim=1) == 1).all()
    assert (one["input_ids"][:, -1] == tokenizer.eos_token_id).all()
    assert ("decoder_input_ids" in one) == (form == "text-to-text")
    assert all(torch.equal(one[name], other[name]) for name in one)
    assert not torch.equal(
        one["input_ids"], random_inputs(model, tokenizer, form, 3, TOKENS, 1)["input_ids"]
    )
