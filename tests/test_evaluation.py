"""Models are loaded whole and pruned in memory; what is remembered changes no evaluation."""

import functools
import itertools
import json
import re

import accelerate
import accelerate.utils
import numpy as np
import pytest
import torch
from calibrations import refused
from checkpoints import weights_sha256
from loud_models import CASES, opened
from safetensors.numpy import load_file, save_file

from analysis.checkpoints.weights import FILE, read_weights, write_in_place_of
from analysis.engine.objects import Objects, content_digest
from analysis.errors import RequestError, RunError
from analysis.models.loading import DTYPES, load_model, put, torch_type
from analysis.models.tokenizing import open_tokenizer
from analysis.pruning.masks import Pruned, applied, read_pruned, write_pruned
from analysis.scoring.batches import MEMORY_BYTES
from analysis.steps import quality
from analysis.steps.examples.generated import make_examples
from analysis.steps.quality import evaluate_variant
from analysis.tasks import task as described

KINDS = {  # a task, and a weight used twice where there is one
    "bert": ("sentiment", "bert.embeddings.word_embeddings.weight"),
    "gpt2": ("language-modelling", "transformer.wte.weight"),
    "bart": ("headline", "model.shared.weight"),
}
every_kind = pytest.mark.parametrize("kind", KINDS)
HERE = {"threads": 1, "device": "cpu"}
other_memory = itertools.count(MEMORY_BYTES + 1)
pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def loads(monkeypatch):
    """The folders of the models that are loaded."""
    found, own = [], load_model
    monkeypatch.setattr(
        quality, "load_model", lambda folder, *rest: found.append(folder) or own(folder, *rest)
    )
    return found


def saved(folder, case):
    for one in opened(case)[:2]:
        one.save_pretrained(folder)
    return folder


@functools.cache
def checkpoint_of(objects, kind):
    with objects.scratch() as scratch:
        return objects.adopt(saved(scratch / "checkpoint", kind))


@functools.cache
def data_of(objects, kind):
    made = make_examples(objects, task_name=KINDS[kind][0], count=16, seed=0)
    return made["data"]["object"]


def stored(objects, pruned, sha256="0" * 64):
    with objects.scratch() as scratch:
        write_pruned(scratch / "masks", pruned, sha256)
        return objects.adopt(scratch / "masks")


@functools.cache
def masks_of(objects, kind, seed, change):
    """Pruned matrices, the shared one among them; where `change`, others have other values too."""
    weights = read_weights(objects.open(checkpoint_of(objects, kind)))
    generator = np.random.default_rng(seed)
    matrices = sorted(name for name, array in weights.items() if array.ndim == 2)
    chosen = {KINDS[kind][1], *generator.choice(matrices, 4, replace=False).tolist()}
    masks = {name: generator.random(weights[name].shape) < 0.6 for name in chosen}
    name = min(chosen)
    values = {name: np.where(masks[name], weights[name] * 2, 0).astype(np.float32)}
    return stored(objects, Pruned(masks, values if change else {}), weights_sha256(weights))


def evaluated(objects, kind, masks=None, **other):
    asked = {"checkpoint": checkpoint_of(objects, kind), "data": data_of(objects, kind)}
    asked |= {"task_name": KINDS[kind][0], "batch_size": 8}
    asked |= {"place": HERE}
    record = evaluate_variant(objects, masks=masks, **asked | other)
    return {key: value for key, value in record.items() if key != "evaluate_seconds"}


def by_hand(objects, kind, masks):
    """The variant as a checkpoint of its own: the weights as pruning left them, saved."""
    folder = objects.open(checkpoint_of(objects, kind))
    left = applied(read_weights(folder), read_pruned(objects.open(masks)))
    with objects.scratch() as scratch:
        write_in_place_of(folder, scratch / "checkpoint", left)
        return objects.adopt(scratch / "checkpoint")


@every_kind
def test_variants_in_any_order_are_as_each_alone_and_as_pruning_left_them(objects, kind, loads):
    masks = [None, *(masks_of(objects, kind, seed, seed % 2) for seed in range(3))]
    # with nothing remembered: nobody has asked for so much memory before
    expected = [evaluated(objects, kind, one, memory_bytes=next(other_memory)) for one in masks]
    assert len(loads) == len(masks)
    for one, found in zip(masks[1:3], expected[1:3], strict=True):
        assert evaluated(objects, kind, checkpoint=by_hand(objects, kind, one)) == found
    loads.clear()
    memory_bytes = next(other_memory)
    for i in (0, 1, 2, 1, 3, 0, 3, 3, 0):
        assert evaluated(objects, kind, masks[i], memory_bytes=memory_bytes) == expected[i]
    assert len(loads) == 1
    if kind == "gpt2":  # perplexity tells every change
        assert all(found["metrics"] != expected[0]["metrics"] for found in expected[1:])


def size_of(objects, kind):
    weights = read_weights(objects.open(checkpoint_of(objects, kind)))
    return sum(array.nbytes for array in weights.values())


def test_what_is_remembered_is_bounded_and_the_longest_unused_goes(objects, loads, monkeypatch):
    bounded = type(quality._remembered)(int(2.5 * size_of(objects, "bert")))
    monkeypatch.setattr(quality, "_remembered", bounded)
    # 1 and 2, then 1 and 3, then 1 and 2
    for batch_size, count in zip((1, 2, 1, 3, 1, 2), (1, 2, 2, 3, 3, 4), strict=True):
        evaluated(objects, "bert", batch_size=batch_size)
        assert len(loads) == count


@every_kind
def test_a_large_model_is_pruned_in_place_and_forgotten(objects, kind, loads, monkeypatch):
    variants = [None, *(masks_of(objects, kind, 1, change) for change in (False, True))]
    small = [evaluated(objects, kind, masks) for masks in variants]
    loads.clear()
    memory_bytes, digest = next(other_memory), checkpoint_of(objects, kind)
    for too_large, order, counted in ((1, (0, 1, 0, 2, 2), 5), (0, (1, 0), 6)):
        monkeypatch.setattr(quality, "_LARGE_BYTES", size_of(objects, kind) - too_large)
        for i in order:
            assert evaluated(objects, kind, variants[i], memory_bytes=memory_bytes) == small[i]
        assert len(loads) == counted
    assert content_digest(objects.path(digest)) == digest  # the file is as it was


def test_a_step_that_fails_leaves_the_model_as_it_was(objects):
    whole, strange = evaluated(objects, "gpt2"), Pruned({"no.such.weight": np.ones((2, 2), bool)})
    with pytest.raises(RunError, match="no weight of that name"):
        evaluated(objects, "gpt2", stored(objects, strange))
    assert evaluated(objects, "gpt2") == whole


def test_what_has_been_damaged_is_refused_though_it_was_read_before(tmp_path):
    for of in (data_of, checkpoint_of):
        objects = Objects(tmp_path / of.__name__)
        evaluated(objects, "bert")
        path = objects.path(of(objects, "bert"))
        (path / FILE if path.is_dir() else path).write_bytes(b"damaged")
        with pytest.raises(RunError, match="missing or damaged"):
            evaluated(objects, "bert")


def test_models_compute_in_the_type_asked_for_pruned_or_not(objects):
    perplexities = {}
    for masks in (None, masks_of(objects, "gpt2", 5, True)):
        whole = evaluated(objects, "gpt2", masks)
        for dtype in DTYPES:
            found = evaluated(objects, "gpt2", masks, place=HERE | {"dtype": dtype})
            assert (found == whole) == (dtype == "float32")
            value, exact = (r["metrics"]["perplexity"]["value"] for r in (found, whole))
            assert value == pytest.approx(exact, rel=0.2)
            perplexities.setdefault(dtype, set()).add(value)
    assert [len(found) for found in perplexities.values()] == [2] * 3


@every_kind
def test_only_answers_that_should_differ_are_called_collapsed(objects, kind):
    example = dict.fromkeys(described(KINDS[kind][0]).inputs, "the film")
    line = json.dumps(example | {"label": 0, "summary": "a"}) + "\n"
    record = evaluated(objects, kind, data=objects.put_bytes(line.encode() * 5))
    assert (record["collapsed"], record["examples"]) == (kind != "gpt2", 5)
    assert not evaluated(objects, kind)["collapsed"]


def test_each_form_has_its_head_and_the_type_asked_for(tmp_path):
    for case in ("bert", "masked-bert", "masked-deberta", "gpt2", "cloze", "t5"):
        folder = saved(tmp_path / case, case)
        for dtype in DTYPES:
            model, _ = load_model(folder, CASES[case][2].form, "cpu", dtype)
            assert (type(model).__name__, model.training) == (CASES[case][0], False)
            assert model.dtype == getattr(torch, dtype)
    for dtype in ("float64", "int8", "", "half", "auto"):
        assert re.search("dtype.*bfloat16", refused(RequestError, torch_type, dtype)), dtype


def test_what_another_form_of_task_has_is_not_put_in(tmp_path):
    """BERT as it was pretrained has a pooler, which the model that guesses words lacks."""
    model, _ = load_model(saved(tmp_path, "masked-bert"), "masked", "cpu")
    pooler, matrix = "bert.pooler.dense.weight", "bert.encoder.layer.0.output.dense.weight"
    nothing = {name: np.zeros((16, 16), bool) for name in (pooler, "cls.seq_relationship.weight")}
    put(model, nothing | {matrix: np.zeros((16, 32), bool)}, {pooler: np.ones((16, 16), "f4")})
    assert not model.state_dict()[matrix].any()
    with pytest.raises(RunError, match=r"layer\.9.* no weight of that name"):
        put(model, {matrix.replace("layer.0", "layer.9"): np.zeros((16, 32), bool)}, {})


@pytest.mark.parametrize("case", ["masked-bert", "gpt2", "bart"])
def test_a_model_without_a_head_a_layer_or_a_tokenizer_is_refused(tmp_path, case):
    """Transformers would draw weights at random, and make up a tokenizer that knows no word."""
    path = saved(tmp_path / "whole", case) / FILE
    said = refused(RunError, load_model, path.parent, "classification", "cpu")
    assert re.search("has no head for this form of task.*fine_tune", said)
    tensors = load_file(path)
    layer = min(name for name in tensors if ".1." in name)
    del tensors[layer]
    save_file(tensors, path, metadata={"format": "pt"})
    said = refused(RunError, load_model, path.parent, CASES[case][2].form, "cpu")
    assert re.search(f"weights for all of it.*{layer}", said)
    opened(case)[0].save_pretrained(tmp_path / "mute")
    assert "has no tokenizer" in refused(RequestError, open_tokenizer, tmp_path / "mute")


def test_a_model_is_spread_over_gpus_with_whole_blocks_if_it_fits(tmp_path, monkeypatch):
    memory, plans = {0: 1000, 1: 1000}, []
    monkeypatch.setattr(torch.cuda, "device_count", lambda: len(memory))
    monkeypatch.setattr(accelerate.utils, "get_max_memory", lambda: memory | {"cpu": 10**9})
    monkeypatch.setattr(
        accelerate, "dispatch_model", lambda model, device_map: plans.append(device_map) or model
    )
    folder = saved(tmp_path, "gpt2")
    said = refused(RunError, load_model, folder, "causal", "cuda")
    assert "does not fit into the memory of 2 GPUs" in said
    model, _ = load_model(folder, "causal", "cpu")
    assert (model.device.type, plans) == ("cpu", [])
    size = sum(parameter.nbytes for parameter in model.parameters())
    memory.update({0: size // 2 + 6000, 1: size})
    load_model(folder, "causal", "cuda")
    (plan,) = plans
    assert set(plan.values()) == {0, 1}
    blocks = [name for name in plan if ".h." in f".{name}."]
    assert all(name.count(".") <= 2 for name in blocks), plan
