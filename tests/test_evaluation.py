"""The step of evaluation: what is remembered between variants changes no answer."""

import functools
import json

import architectures
import mini
import numpy as np
import pytest
import torch
import transformers

from analysis.errors import RequestError, RunError
from analysis.models.loading import load_model
from analysis.models.weights import FILE, read_weights, weights_sha256
from analysis.objects import Objects, content_digest
from analysis.pruning.masks import Pruned, applied, read_pruned, write_pruned
from analysis.steps import evaluation
from analysis.steps.evaluation import evaluate_variant
from analysis.steps.examples import make_examples
from analysis.tasks import task as described

_LONG = {"max_position_embeddings": 96}
KINDS = {  # model class, its sizes, whose tokenizer, a task, a weight used twice where there is one
    "bert": (
        "BertForSequenceClassification",
        architectures.ENCODER | _LONG,
        "Bert",
        "sentiment",
        "bert.embeddings.word_embeddings.weight",
    ),
    "gpt2": (
        "GPT2LMHeadModel",
        architectures.ARCHITECTURES["GPT2"][1] | {"n_positions": 96},
        "GPT2",
        "language-modelling",
        "transformer.wte.weight",
    ),
    "bart": (
        "BartForConditionalGeneration",
        architectures.BOTH | _LONG,
        "Bart",
        "headline",
        "model.shared.weight",
    ),
}
EXAMPLES = 24
every_kind = pytest.mark.parametrize("kind", KINDS)
pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(autouse=True)
def nothing_remembered():
    evaluation._remembered.clear()
    yield
    evaluation._remembered.clear()


@functools.cache
def dense(kind):
    """A model whose weights are large enough that each of them tells in its answers."""
    name, sizes, architecture, *_ = KINDS[kind]
    model_class = getattr(transformers, name)
    config = model_class.config_class(**architectures.SMALL | {"decoder_start_token_id": 2} | sizes)
    torch.manual_seed(0)
    model = model_class(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.3)
    return model, mini.tokenizer(architecture)


def adopt(objects, model, tokenizer):
    with objects.scratch() as scratch:
        model.save_pretrained(scratch / "checkpoint")
        tokenizer.save_pretrained(scratch / "checkpoint")
        return objects.adopt(scratch / "checkpoint")


@functools.cache
def checkpoint_of(objects, kind):
    return adopt(objects, *dense(kind))


def task_of(kind):
    return KINDS[kind][3]


@functools.cache
def data_of(objects, kind):
    made = make_examples(objects, task_name=task_of(kind), count=EXAMPLES, seed=0)
    return made["data"]["object"]


def masks_of(objects, kind, seed, change):
    """Pruned matrices, the shared one among them; where `change`, others have other values too."""
    weights = read_weights(objects.open(checkpoint_of(objects, kind)))
    generator = np.random.default_rng(seed)
    matrices = sorted(name for name, array in weights.items() if array.ndim == 2)
    chosen = {KINDS[kind][4], *generator.choice(matrices, 4, replace=False).tolist()}
    masks = {name: generator.random(weights[name].shape) < 0.6 for name in chosen}
    values = {}
    if change:
        name = sorted(chosen)[0]
        values[name] = np.where(masks[name], weights[name] * 2, 0).astype(np.float32)
    with objects.scratch() as scratch:
        pruned = Pruned(masks, values)
        write_pruned(scratch / "masks", pruned, weights_sha256(weights))
        return objects.adopt(scratch / "masks")


def evaluated(objects, kind, masks=None, checkpoint=None, batch_size=8, data=None, **more):
    record = evaluate_variant(
        objects,
        checkpoint=checkpoint or checkpoint_of(objects, kind),
        masks=masks,
        task_name=task_of(kind),
        data=data or data_of(objects, kind),
        batch_size=batch_size,
        threads=1,
        device="cpu",
        **more,
    )
    return {key: value for key, value in record.items() if key != "evaluate_seconds"}


def by_hand(objects, kind, masks):
    """The variant as a checkpoint of its own: the weights as pruning left them, saved."""
    folder = objects.open(checkpoint_of(objects, kind))
    left = applied(read_weights(folder), read_pruned(objects.open(masks)))
    model, tokenizer = load_model(folder, described(task_of(kind)).form, "cpu")
    state = model.state_dict()
    for name, array in left.items():
        state[name].copy_(torch.from_numpy(array))
    return adopt(objects, model, tokenizer)


# ---------------------------------------------------------------- what is remembered


@every_kind
def test_variants_one_after_another_are_as_each_alone(objects, kind):
    variants = [None, *(masks_of(objects, kind, seed, change=seed % 2) for seed in range(4))]
    alone = []
    for masks in variants:
        evaluation._remembered.clear()
        alone.append(evaluated(objects, kind, masks))
    for i in (0, 1, 2, 1, 4, 0, 3, 3, 0):
        assert evaluated(objects, kind, variants[i]) == alone[i]
    assert evaluation._remembered.opened == 1
    if kind == "gpt2":  # perplexity tells every change
        assert all(found["metrics"] != alone[0]["metrics"] for found in alone[1:])


@pytest.mark.parametrize("change", [False, True])
@every_kind
def test_a_variant_is_its_checkpoint_as_pruning_left_it(objects, kind, change):
    masks = masks_of(objects, kind, 7, change)
    own = by_hand(objects, kind, masks)
    evaluated(objects, kind)
    assert evaluated(objects, kind, masks) == evaluated(objects, kind, checkpoint=own)


def test_models_of_several_tasks_may_come_in_turn(objects):
    variants = {kind: masks_of(objects, kind, 1, change=True) for kind in KINDS}
    first = {kind: evaluated(objects, kind, masks) for kind, masks in variants.items()}
    for _ in range(2):
        for kind, masks in variants.items():
            assert evaluated(objects, kind, masks) == first[kind]
    assert evaluation._remembered.opened == len(KINDS)


def test_what_is_remembered_is_bounded_in_bytes(objects, monkeypatch):
    size = sum(
        weights.nbytes
        for weights in read_weights(objects.open(checkpoint_of(objects, "bert"))).values()
    )
    monkeypatch.setattr(evaluation._remembered, "_limit", int(2.5 * size))
    for batch_size in (1, 2, 1, 3, 1, 2):  # 1 and 2, then 1 and 3, then 1 and 2
        evaluated(objects, "bert", batch_size=batch_size)
        assert 0 < evaluation._remembered.bytes <= 2.5 * size
    assert evaluation._remembered.opened == 4


@pytest.mark.parametrize("change", [False, True])
@every_kind
def test_a_large_model_is_pruned_in_place_and_forgotten(objects, kind, change, monkeypatch):
    masks = masks_of(objects, kind, 3, change)
    small = [evaluated(objects, kind, variant) for variant in (None, masks)]
    evaluation._remembered.clear()
    monkeypatch.setattr(evaluation, "_LARGE_BYTES", 0)
    for i in (0, 1, 0, 1, 1):
        assert evaluated(objects, kind, (None, masks)[i]) == small[i]
        assert evaluation._remembered.bytes == 0
    folder = objects.path(checkpoint_of(objects, kind))
    assert content_digest(folder) == checkpoint_of(objects, kind)  # the file is as it was


def test_a_step_that_fails_leaves_the_model_as_it_was(objects):
    whole = evaluated(objects, "gpt2")
    with objects.scratch() as scratch:
        strange = Pruned({"no.such.weight": np.ones((2, 2), bool)})
        write_pruned(scratch / "masks", strange, "0" * 64)
        digest = objects.adopt(scratch / "masks")
    with pytest.raises(KeyError):
        evaluated(objects, "gpt2", digest)
    assert evaluated(objects, "gpt2") == whole


@pytest.mark.parametrize("which", ["checkpoint", "data"])
def test_what_has_been_damaged_is_refused_though_it_was_read_before(tmp_path, which):
    objects = Objects(tmp_path)
    evaluated(objects, "bert")
    digests = {"checkpoint": checkpoint_of(objects, "bert"), "data": data_of(objects, "bert")}
    path = objects.path(digests[which])
    (path / FILE if path.is_dir() else path).write_bytes(b"damaged")
    with pytest.raises(RunError, match="missing or damaged"):
        evaluate_variant(
            objects,
            **digests,
            masks=None,
            task_name="sentiment",
            batch_size=8,
            threads=1,
            device="cpu",
        )


# ---------------------------------------------------------------- what is recorded


def data_for(objects, examples):
    return objects.put_bytes("".join(json.dumps(example) + "\n" for example in examples).encode())


@pytest.mark.parametrize("dtype", ["auto", "float32", "bfloat16", "float16"])
def test_models_compute_in_the_type_asked_for(objects, dtype):
    found = evaluated(objects, "gpt2", dtype=dtype)
    whole = evaluated(objects, "gpt2")
    assert (found == whole) == (dtype in ("auto", "float32"))
    value, expected = (r["metrics"]["perplexity"]["value"] for r in (found, whole))
    assert value == pytest.approx(expected, rel=0.2)


def test_a_pruned_model_in_half_precision_has_the_same_zeros(objects):
    masks = masks_of(objects, "gpt2", 5, change=True)
    dense, pruned = (evaluated(objects, "gpt2", m, dtype="bfloat16") for m in (None, masks))
    whole = evaluated(objects, "gpt2", masks)
    assert pruned["metrics"] != dense["metrics"]
    value, expected = (r["metrics"]["perplexity"]["value"] for r in (pruned, whole))
    assert value == pytest.approx(expected, rel=0.2)


def test_a_type_that_there_is_not_is_refused(objects):
    with pytest.raises(RequestError, match="float32"):
        evaluated(objects, "bert", dtype="float64")


@every_kind
def test_the_batch_size_may_be_left_to_the_memory(objects, kind):
    exact = kind != "gpt2"
    for memory_bytes in (1, 2_000_000, 10**10):
        found = evaluated(objects, kind, batch_size="auto", memory_bytes=memory_bytes)
        whole = evaluated(objects, kind)
        for name, scored in found["metrics"].items():
            rows = whole["metrics"][name]["rows"]
            assert scored["rows"] == (rows if exact else [pytest.approx(row) for row in rows])


@pytest.mark.parametrize("kind", ["bert", "bart", "gpt2"])
def test_only_answers_that_should_differ_are_called_collapsed(objects, kind):
    task = described(task_of(kind))
    data = data_for(
        objects, [dict.fromkeys(task.inputs, "the film") | {"label": 0, "summary": "a"}] * 5
    )
    record = evaluated(objects, kind, data=data)
    assert record["collapsed"] == (kind != "gpt2")
    assert record["examples"] == 5
