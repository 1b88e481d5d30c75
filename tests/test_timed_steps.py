"""The steps that measure time, on tiny random models: which cells there are, and what they run."""

import ctypes
import functools
import json
import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from unittest.mock import patch

import pytest
import torch
import transformers
from random_models import EACH, FACTS, FAMILIES, KINDS, POSITIONS, SCHEDULE, TOKENS, dense, entry

from analysis.checkpoints import naming
from analysis.errors import RequestError, RunError
from analysis.execution.choice import always
from analysis.execution.names import AUTO, DENSE, EXPERTS, INT8, TILED_CSR, TORCH_CSR
from analysis.experiments.timing import runtime_rows
from analysis.pruning.masks import read_pruned
from analysis.steps.alternatives.int8 import quantise_checkpoint
from analysis.steps.alternatives.moe import moefy_checkpoint
from analysis.steps.pruning.shrunk import shrink_checkpoint
from analysis.steps.timing import generation, groups, latency, replica, train_time
from analysis.steps.timing.sharing import Loader

pytestmark = pytest.mark.usefixtures("one_thread")
writers = pytest.mark.parametrize("kind", ["gpt2", "bart"])
TRUE_SIZE = {"schedule": SCHEDULE, "threads": 1, "seed": 0}
_MAPPED = (-3, 1 << 16)  # M_MMAP_THRESHOLD: from that many bytes on, see mallopt(3)
HERE = {"threads": 1, "device": "cpu"}
COMMON = {"schedule": SCHEDULE, "seed": 0, "tokens": TOKENS, "place": HERE}


def checked(record, tokens=TOKENS):
    """The record's cells, of which each has its samples, after what every record has to say."""
    assert json.loads(json.dumps(record, allow_nan=False)) == record
    assert {key: record[key] for key in (*FACTS, "tokens")} == FACTS | {"tokens": tokens}
    for cell in record["cells"]:
        assert [sample > 0 for sample in cell["samples_ms"]] == [True] * 3
    return record["cells"]


def named(cells):
    return [(c["variant"], c["kernel"], c["batch"], c["operation"]) for c in cells]


def levels(objects, kind, *kernels, of=(0.1, 0.9), **more):
    masked = (entry(objects, kind, str(level), kernels, level=level, **more) for level in of)
    return [entry(objects, kind, "dense", **more), *masked]


def forward(objects, folder, variants, kind="bert", **more):
    given = COMMON | {"form": KINDS[kind][3], "batches": [1, 2], "variants": variants} | more
    return latency.measure_latency(objects, kernels=str(folder / "kernels.json"), **given)


def written(objects, folder, variants, kind, new_tokens=5, **more):
    given = COMMON | {"form": KINDS[kind][3], "new_tokens": new_tokens, "variants": variants} | more
    return generation.measure_generation(objects, kernels=str(folder / "kernels.json"), **given)


def trained(objects, variants, kind, **more):
    given = COMMON | {"form": KINDS[kind][3], "batch": 2, "variants": variants} | more
    return train_time.measure_training(objects, **given)


def test_each_variant_has_a_cell_for_each_kernel_that_can_do_something(objects, tmp_path):
    """Of a BERT: dense, masked at a high and a low level, int8, with experts, and smaller."""
    whole, measured = dense(objects, "bert"), {"measured": True}
    texts = {"task": "sentiment", "training": None, "examples": 8, "tokens": 8, "seed": 3} | HERE
    texts = whole | {"calibration": texts}
    others = {
        "int8": (quantise_checkpoint(objects, **whole), INT8),
        "moe": (moefy_checkpoint(objects, **texts, experts=4, run=[2])["levels"][0], EXPERTS),
        "structured": (shrink_checkpoint(objects, **texts, levels=[0.5])["levels"][0], DENSE),
    }
    variants = levels(objects, "bert", *EACH, of=[0.9], **measured)
    variants.append(entry(objects, "bert", "0.1", EACH, level=0.1))
    for name, (record, kernel) in others.items():
        made = {"name": name, "checkpoint": record["checkpoint"]["object"], "kernels": [kernel]}
        variants.append(made | {"masks": None} | measured)
    found = checked(forward(objects, tmp_path, variants))
    expected = [("dense", DENSE), *(("0.9", kernel) for kernel in EACH)]
    expected += [("0.1", DENSE), ("0.1", AUTO)]  # too few zeros for a sparse kernel
    expected += [(name, kernel) for name, (_, kernel) in others.items()]
    assert named(found) == [(*cell, batch, "forward") for batch in (1, 2) for cell in expected]
    linear = 2 * 6 + 2  # of each block, the pooler and the classifier
    for cell in found:
        # peaks: where asked for, of the first batch, and of default and chosen kernels
        asked = cell["variant"] != "0.1" and cell["batch"] == 1
        asked = asked and cell["kernel"] not in (TORCH_CSR, TILED_CSR)
        assert (cell["peak_bytes"] is not None) == asked
        assert not asked or cell["peak_bytes"] >= 0
        assert (cell["chosen"] is None) == (cell["kernel"] != AUTO)
        if cell["chosen"]:
            assert {DENSE, TORCH_CSR, TILED_CSR} >= cell["chosen"].keys()
            assert sum(cell["chosen"].values()) == linear
            assert cell["variant"] != "0.1" or cell["chosen"] == {DENSE: linear}
    assert (remembered := json.loads((tmp_path / "kernels.json").read_text(encoding="utf-8")))
    assert all({DENSE, TILED_CSR} <= seconds.keys() for seconds in remembered.values())


def forward_in_tiles(*given, **more):
    with patch.object(latency, "Chooser", lambda memory: always(TILED_CSR)):
        return forward(*given, **more)


def test_a_peak_counts_the_weights_as_the_kernel_holds_them(objects, tmp_path):
    """A model whose linear layers outweigh all else by far, in a process whose tensors each get
    memory of the system's: what earlier tests freed would be used again and not count."""
    linear = 12 * 512**2 * 4
    variants = levels(objects, "wide", *EACH, of=[0.9], measured=True)
    int8 = quantise_checkpoint(objects, **dense(objects, "wide"))["checkpoint"]["object"]
    variants.append(variants[0] | {"name": "int8", "checkpoint": int8, "kernels": [INT8]})
    context = multiprocessing.get_context("fork")
    with ProcessPoolExecutor(1, context, ctypes.CDLL(None).mallopt, _MAPPED) as pool:
        own = {"batches": [1], "tokens": 2}
        made = pool.submit(forward_in_tiles, objects, tmp_path, variants, "wide", **own)
    cells = made.result()["cells"]
    found = {(c["variant"], c["kernel"]): c["peak_bytes"] for c in cells}
    assert min(found["dense", DENSE], found["0.9", DENSE]) >= 0.85 * linear
    assert 0.15 * linear <= found["0.9", AUTO] < 0.4 * linear  # a tenth, each with its column
    assert 0.2 * linear <= found["int8", INT8] < 0.5 * linear


def test_what_does_not_fit_at_once_is_measured_in_groups_beside_the_dense_model(
    objects, tmp_path, monkeypatch
):
    variants, texts = levels(objects, "bert", *EACH, of=(0.1, 0.5)), levels(objects, "gpt2", DENSE)
    with monkeypatch.context() as patch:  # nothing is measured before it is known to fit
        patch.setattr(latency, "peak_of", None)
        with pytest.raises(RunError, match=r"0\.1 cannot be timed .* beside dense: .* 1\.1 GB"):
            forward(objects, tmp_path, variants, memory_bytes=10**9)
    monkeypatch.setattr(groups, "BESIDE", 0)
    monkeypatch.setattr(latency, "Chooser", lambda memory: always(TILED_CSR))
    size = Loader(objects, "", "cpu").bytes_of_whole
    whole, smaller = size(variants[0]["checkpoint"]), size(texts[0]["checkpoint"])
    together = forward(objects, tmp_path, variants)
    few = forward(objects, tmp_path, variants, memory_bytes=3 * whole)
    assert [c["chosen"] for c in few["cells"]] == [c["chosen"] for c in together["cells"]]
    assert named(checked(few)) == named(checked(together))
    assert not any("dense_ms" in cell for cell in together["cells"])
    later = [cell for cell in few["cells"] if "dense_ms" in cell]
    assert {(cell["variant"] != "dense", len(cell["dense_ms"])) for cell in later} == {(True, 3)}
    assert len(runtime_rows(few, 0.95)["runtime"]) == len(few["cells"])
    for record, tokens in (
        (written(objects, tmp_path, texts, "gpt2", 3, memory_bytes=2 * smaller), 3),
        (trained(objects, texts, "gpt2", memory_bytes=8 * smaller), TOKENS),
    ):
        assert [cell[0] for cell in named(checked(record, tokens))] == ["dense", "0.1", "0.9"]
        assert [len(c.get("dense_ms", [])) for c in record["cells"]] == [0, 0, 3]
    with pytest.raises(RunError, match=r"0\.1 cannot be timed"):
        trained(objects, texts, "gpt2", memory_bytes=8 * smaller - 1)


@writers
def test_each_variant_writes_with_each_kernel_just_so_many_tokens(
    objects, kind, tmp_path, monkeypatch
):
    lengths, generate = [], transformers.GenerationMixin.generate

    def watched(model, **options):
        found = generate(model, **options)
        before = 1 if model.config.is_encoder_decoder else options["input_ids"].shape[1]
        lengths.append(found.shape[1] - before)
        return found

    monkeypatch.setattr(transformers.GenerationMixin, "generate", watched)
    found = written(objects, tmp_path, levels(objects, kind, DENSE, TILED_CSR, AUTO), kind)
    cells = checked(found, tokens=5)  # those that are written
    high = [("0.9", kernel) for kernel in (DENSE, TILED_CSR, AUTO)]
    expected = [("dense", DENSE), ("0.1", DENSE), ("0.1", AUTO), *high]
    assert named(cells) == [(*cell, 1, "generate") for cell in expected]
    assert all(cell["peak_bytes"] is None for cell in cells)
    assert lengths == [5] * 4 * 6  # once to warm up
    for new_tokens in (1, POSITIONS - TOKENS):  # as many as a study may ask for
        lengths.clear()
        written(objects, tmp_path, levels(objects, kind, of=()), kind, new_tokens)
        assert lengths == [new_tokens] * 4


@pytest.mark.parametrize("kind", FAMILIES)
def test_a_training_step_moves_all_weights_but_the_masked_which_stay_zero(
    objects, kind, monkeypatch
):
    models, load = [], Loader.model

    def kept(loader, given):
        model = load(loader, given)
        models.append((given, model, {n: p.detach().clone() for n, p in model.named_parameters()}))
        return model

    monkeypatch.setattr(Loader, "model", kept)
    cells = checked(trained(objects, levels(objects, kind, of=[0.9]), kind))
    assert named(cells) == [(name, DENSE, 2, "train_step") for name in ("dense", "0.9")]
    assert all(cell["peak_bytes"] is None for cell in cells)
    for given, model, before in models:
        masks = read_pruned(objects.open(given.masks)).masks if given.masks else {}
        moved = {name for name, p in model.named_parameters() if not torch.equal(p, before[name])}
        prunable = {name for name, what in naming.weights(before).items() if what.prunable}
        assert (model.training, prunable <= moved) == (True, True)
        assert masks.keys() == (prunable if given.masks else set())
        assert not any(model.get_parameter(n).detach().numpy()[~m].any() for n, m in masks.items())


def test_the_replica_is_of_the_published_size_and_an_unknown_architecture_is_one_line():
    with torch.device("meta"):
        model = transformers.BertModel(replica._CONFIGS["bert-base"]())
    assert sum(p.numel() for p in model.parameters()) == 109_482_240
    with pytest.raises(RequestError, match="Did you mean 'bert-base'"):
        replica.measure_replica(None, architecture="bert-bas", sparsities=[0.5], **TRUE_SIZE)


def test_each_level_of_a_replica_is_run_by_each_kernel_from_its_largest_weights(monkeypatch):
    config = functools.partial(
        transformers.BertConfig, hidden_size=32, num_hidden_layers=2, num_attention_heads=2,
        intermediate_size=64, vocab_size=1000,
    )  # fmt: skip
    monkeypatch.setitem(replica._CONFIGS, "bert-base", config)
    ran, run = [], replica._run

    def watched(model, ids):
        run(model, ids)
        with torch.inference_mode():
            weights = {name: p.detach().clone() for name, p in model.named_parameters()}
            ran.append((model(ids).last_hidden_state, ids, weights))

    monkeypatch.setattr(replica, "_run", watched)
    torch.manual_seed(0)
    before = {name: p.detach() for name, p in transformers.BertModel(config()).named_parameters()}
    generator = torch.random.get_rng_state()
    levels = {"architecture": "bert-base", "sparsities": [0.9, 0.1, 0.5]}
    record = replica.measure_replica(None, **levels, **TRUE_SIZE)
    assert torch.equal(torch.random.get_rng_state(), generator)  # it is left alone
    assert (record["architecture"], {c["batch"] for c in record["cells"]}) == ("bert-base", {1})
    matrices = [(32, 32)] * 8 + [(64, 32), (32, 64)] * 2
    pooler = 4 * 32 * 32  # is not pruned
    dense = pooler + sum(4 * rows * columns for rows, columns in matrices)
    expected = {(0.1, DENSE): dense}  # too few zeros for the others
    for level in (0.5, 0.9):
        left = sum(rows * columns - round(level * rows * columns) for rows, columns in matrices)
        # each value with its column, and where rows begin
        sparse = pooler + 8 * left + sum(4 * (rows + 1) for rows, _ in matrices)
        expected |= {(level, DENSE): dense, (level, TORCH_CSR): sparse, (level, TILED_CSR): sparse}
    found = [((c["sparsity"], c["kernel"]), c["linear_bytes"]) for c in checked(record, 128)]
    assert found == list(expected.items())
    for level, first, last in ((0.1, 0, 4), (0.5, 4, 16), (0.9, 16, 28)):  # each run four times
        for answers, ids, _ in ran[first:last]:
            assert ids.shape == (1, 128)
            torch.testing.assert_close(answers, ran[first][0], rtol=1e-4, atol=1e-4)
        now = ran[first][2]
        for name, what in naming.weights(before).items():
            gone = now[name] != before[name]
            assert int(gone.sum()) == round(level * gone.numel()) * what.prunable
            assert not now[name][gone].any()
            if what.prunable:
                assert before[name][gone].abs().max() <= before[name][~gone].abs().min()
