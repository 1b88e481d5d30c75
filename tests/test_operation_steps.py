"""The steps that time writing, training, and a model of true size."""

import functools
import json

import pytest
import torch
import transformers
from timed_models import FACTS, KINDS, SCHEDULE, TOKENS, entry

from analysis.errors import RequestError, RunError
from analysis.execution.convert import linear_bytes
from analysis.execution.names import AUTO, DENSE, TILED_CSR, TORCH_CSR
from analysis.models import naming
from analysis.pruning.masks import read_pruned
from analysis.steps import generation, groups, replica, train_time
from analysis.steps.sharing import Loader

writers = pytest.mark.parametrize("kind", ["gpt2", "bart"])
every_kind = pytest.mark.parametrize("kind", KINDS)


pytestmark = pytest.mark.usefixtures("one_thread")


def two_levels(objects, kind, *kernels):
    """The dense model, and it masked at a low and a high level."""
    return [
        entry(objects, kind, "dense"),
        *(entry(objects, kind, str(level), kernels, level=level) for level in (0.1, 0.9)),
    ]


def cells(record):
    assert json.loads(json.dumps(record, allow_nan=False)) == record
    assert {key: record[key] for key in FACTS} == FACTS
    for cell in record["cells"]:
        assert len(cell["samples_ms"]) == 3
        assert min(cell["samples_ms"]) > 0
        assert cell["peak_bytes"] is None
    return [(c["variant"], c["kernel"], c["batch"], c["operation"]) for c in record["cells"]]


# ---------------------------------------------------------------- writing


def written(objects, kind, variants, tmp_path, new_tokens=5):
    return generation.measure_generation(
        objects, variants=variants, form=KINDS[kind][3], tokens=TOKENS, new_tokens=new_tokens,
        schedule=SCHEDULE, threads=1, device="cpu", seed=0,
        kernels=str(tmp_path / "kernels.json"),
    )  # fmt: skip


@writers
def test_each_variant_writes_with_each_kernel_that_can_do_something(objects, kind, tmp_path):
    record = written(objects, kind, two_levels(objects, kind, DENSE, TILED_CSR, AUTO), tmp_path)
    assert cells(record) == [
        (*cell, 1, "generate")
        for cell in (
            *(("dense", DENSE), ("0.1", DENSE), ("0.1", AUTO)),
            *(("0.9", DENSE), ("0.9", TILED_CSR), ("0.9", AUTO)),
        )
    ]
    assert record["tokens"] == 5  # those that are written


@writers
@pytest.mark.parametrize("new_tokens", [1, 7])
def test_just_so_many_tokens_are_written_each_time(
    objects, kind, new_tokens, tmp_path, monkeypatch
):
    lengths = []
    generate = transformers.GenerationMixin.generate

    def watched(model, **options):
        found = generate(model, **options)
        before = 1 if model.config.is_encoder_decoder else options["input_ids"].shape[1]
        lengths.append(found.shape[1] - before)
        return found

    monkeypatch.setattr(transformers.GenerationMixin, "generate", watched)
    written(objects, kind, [entry(objects, kind, "dense")], tmp_path, new_tokens)
    assert lengths == [new_tokens] * 4  # once to warm up


@writers
def test_texts_up_to_the_last_position_can_be_gone_on_with(objects, kind, tmp_path):
    """As many as a study may ask for."""
    variants = [entry(objects, kind, "dense")]
    cells(written(objects, kind, variants, tmp_path, new_tokens=96 - TOKENS))


# ---------------------------------------------------------------- training


def trained(objects, kind, variants, batch=2):
    return train_time.measure_training(
        objects, variants=variants, form=KINDS[kind][3], batch=batch, tokens=TOKENS,
        schedule=SCHEDULE, threads=1, device="cpu", seed=0,
    )  # fmt: skip


@every_kind
def test_a_training_step_moves_all_weights_but_the_masked_which_stay_zero(
    objects, kind, monkeypatch
):
    models = []
    load = train_time.Loader.model

    def kept(loader, given):
        model = load(loader, given)
        before = {name: p.detach().clone() for name, p in model.named_parameters()}
        models.append((given, model, before))
        return model

    monkeypatch.setattr(train_time.Loader, "model", kept)
    variants = [entry(objects, kind, "dense"), entry(objects, kind, "0.9", level=0.9)]
    record = trained(objects, kind, variants)
    assert cells(record) == [(name, DENSE, 2, "train_step") for name in ("dense", "0.9")]
    assert record["tokens"] == TOKENS
    (_, _, _), (given, pruned, before) = models
    masks = read_pruned(objects.open(given.masks)).masks
    parameters = dict(pruned.named_parameters())
    assert masks
    for name, mask in masks.items():
        assert (parameters[name].detach().numpy()[~mask] == 0).all()
    for _, model, before in models:
        assert model.training
        moved = [name for name, p in model.named_parameters() if not torch.equal(p, before[name])]
        shapes = {name: tuple(p.shape) for name, p in model.named_parameters()}
        prunable = {n for n, what in naming.weights(shapes).items() if what.prunable}
        assert prunable <= set(moved)


def test_a_step_that_lets_removed_weights_go_is_seen(objects, monkeypatch):
    """The test above can fail: without the keeper's hands, AdamW moves what was removed."""
    monkeypatch.setattr(train_time, "_keeper", lambda *_: lambda: None)
    models = []
    load = train_time.Loader.model
    monkeypatch.setattr(
        train_time.Loader, "model", lambda *given: models.append(load(*given)) or models[-1]
    )
    given = entry(objects, "bert", "0.9", level=0.9)
    trained(objects, "bert", [given])
    parameters = dict(models[0].named_parameters())
    masks = read_pruned(objects.open(given["masks"])).masks
    assert any((parameters[n].detach().numpy()[~mask] != 0).any() for n, mask in masks.items())


# ---------------------------------------------------------------- in groups


def test_writing_and_training_are_measured_in_groups_where_memory_is_short(
    objects, tmp_path, monkeypatch
):
    monkeypatch.setattr(groups, "BESIDE", 0)
    whole = Loader(objects, "causal", "cpu").bytes_of_whole(
        entry(objects, "gpt2", "")["checkpoint"]
    )
    variants = two_levels(objects, "gpt2", DENSE)
    common = {
        "variants": variants, "form": "causal", "tokens": TOKENS, "schedule": SCHEDULE,
        "threads": 1, "device": "cpu", "seed": 0,
    }  # fmt: skip
    written = generation.measure_generation(
        objects, **common, new_tokens=3, kernels=str(tmp_path / "kernels.json"),
        memory_bytes=2 * whole,
    )  # fmt: skip
    steps = train_time.measure_training(objects, **common, batch=2, memory_bytes=8 * whole)
    for record in (written, steps):
        assert [(cell[0], cell[1]) for cell in cells(record)] == [
            (name, DENSE) for name in ("dense", "0.1", "0.9")
        ]
        assert [len(c.get("dense_ms", [])) for c in record["cells"]] == [0, 0, 3]
    with pytest.raises(RunError, match=r"0\.1 cannot be timed"):
        train_time.measure_training(objects, **common, batch=2, memory_bytes=7 * whole)


# ---------------------------------------------------------------- a model of true size


@pytest.fixture
def small_replica(monkeypatch):
    """The architecture with its parts, each small."""
    config = functools.partial(
        transformers.BertConfig, hidden_size=32, num_hidden_layers=2, num_attention_heads=2,
        intermediate_size=64, vocab_size=1000,
    )  # fmt: skip
    monkeypatch.setitem(replica._CONFIGS, "bert-base", config)


def replicated(sparsities, **more):
    given = {"architecture": "bert-base", "schedule": SCHEDULE, "threads": 1, "seed": 0}
    return replica.measure_replica(None, sparsities=sparsities, **(given | more))


def test_the_replica_is_of_the_published_size():
    config = replica._CONFIGS["bert-base"]()
    with torch.device("meta"):
        model = transformers.BertModel(config)
    assert sum(p.numel() for p in model.parameters()) == 109_482_240


@pytest.mark.usefixtures("small_replica")
def test_each_level_has_a_cell_for_each_kernel_that_can_do_something():
    record = replicated([0.9, 0.1, 0.5])
    assert json.loads(json.dumps(record, allow_nan=False)) == record
    assert [(c["sparsity"], c["kernel"]) for c in record["cells"]] == [
        (0.1, DENSE),  # too few zeros for the others
        *((level, k) for level in (0.5, 0.9) for k in (DENSE, TORCH_CSR, TILED_CSR)),
    ]
    assert {key: record[key] for key in FACTS} == FACTS
    assert (record["architecture"], record["tokens"]) == ("bert-base", 128)
    for cell in record["cells"]:
        assert len(cell["samples_ms"]) == 3
        assert cell["batch"] == 1


@pytest.mark.usefixtures("small_replica")
def test_bytes_are_of_the_linear_layers_as_they_run():
    found = {(c["sparsity"], c["kernel"]): c["linear_bytes"]
             for c in replicated([0.5, 0.9])["cells"]}  # fmt: skip
    matrices = [(32, 32)] * 8 + [(64, 32), (32, 64)] * 2
    pooler = 4 * 32 * 32  # is not pruned
    for level in (0.5, 0.9):
        assert found[level, DENSE] == pooler + sum(4 * rows * columns for rows, columns in matrices)
        for kernel in (TORCH_CSR, TILED_CSR):  # each value with its column, and where rows begin
            assert found[level, kernel] == pooler + sum(
                8 * (rows * columns - round(level * rows * columns)) + 4 * (rows + 1)
                for rows, columns in matrices
            )


@pytest.mark.usefixtures("small_replica")
def test_each_matrix_loses_its_smallest_weights_and_the_kernels_agree():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = transformers.BertModel(replica._CONFIGS["bert-base"]()).eval()
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    replica._prune(model, 0.9)
    shapes = {name: tuple(p.shape) for name, p in before.items()}
    for name, what in naming.weights(shapes).items():
        now, was = model.get_parameter(name).detach(), before[name]
        if not what.prunable:
            assert torch.equal(now, was)
            continue
        gone = now == 0
        assert int(gone.sum()) == round(0.9 * was.numel())
        assert was[gone].abs().max() <= was[~gone].abs().min()
        assert torch.equal(now[~gone], was[~gone])
    ids = torch.arange(128)[None]
    whole = linear_bytes(model)
    with torch.inference_mode():
        dense = model(ids).last_hidden_state
        for kernel in (TORCH_CSR, TILED_CSR):
            sparse = replica._converted(model, kernel)
            assert linear_bytes(sparse) < whole == linear_bytes(model)  # it is as it was
            torch.testing.assert_close(sparse(ids).last_hidden_state, dense, rtol=1e-4, atol=1e-4)


@pytest.mark.usefixtures("small_replica")
def test_measuring_leaves_the_random_generator_alone():
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    replicated([0.9])
    assert torch.equal(torch.rand(3), expected)


def test_an_unknown_architecture_is_one_line():
    with pytest.raises(RequestError, match="Did you mean 'bert-base'"):
        replicated([0.5], architecture="bert-bas")
