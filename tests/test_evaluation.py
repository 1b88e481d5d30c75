"""Evaluation: what is remembered between variants changes no answer, and padding none either."""

import functools

import architectures
import mini
import numpy as np
import pytest
import torch
import transformers
from hypothesis import given
from hypothesis import strategies as st

from analysis.errors import RunError
from analysis.models.loading import load_model
from analysis.models.weights import FILE, read_weights, weights_sha256
from analysis.objects import Objects
from analysis.pruning.masks import Pruned, applied, read_pruned, write_pruned
from analysis.scoring.predict import predict, prepare, tokens_per_word
from analysis.steps import evaluation
from analysis.steps.evaluation import evaluate_variant
from analysis.steps.examples import make_examples, read_examples
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
words = st.lists(
    st.sampled_from(["the", "film", "was", "not", "very", "good", ",", "and", "so", "on"]),
    max_size=12,
)


pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(autouse=True)
def nothing_remembered():
    evaluation._open.cache_clear()
    yield
    evaluation._open.cache_clear()


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


def evaluated(objects, kind, masks=None, checkpoint=None, batch_size=8):
    record = evaluate_variant(
        objects,
        checkpoint=checkpoint or checkpoint_of(objects, kind),
        masks=masks,
        task_name=task_of(kind),
        data=data_of(objects, kind),
        batch_size=batch_size,
        threads=1,
        device="cpu",
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
        evaluation._open.cache_clear()
        alone.append(evaluated(objects, kind, masks))
    for i in (0, 1, 2, 1, 4, 0, 3, 3, 0):
        assert evaluated(objects, kind, variants[i]) == alone[i]
    assert evaluation._open.cache_info().misses == 1
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
    assert evaluation._open.cache_info().misses == len(KINDS)


def test_what_is_remembered_is_bounded(objects):
    for size in range(1, 12):
        evaluated(objects, "bert", batch_size=size)
    assert evaluation._open.cache_info().currsize < 11


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


# ---------------------------------------------------------------- batches


@every_kind
def test_answers_are_those_of_each_example_alone(objects, kind):
    model, tokenizer = load_model(
        objects.open(checkpoint_of(objects, kind)), described(task_of(kind)).form, "cpu"
    )
    task, examples = described(task_of(kind)), read_examples(objects, data_of(objects, kind))
    alone = [
        answer
        for example in examples
        for answer in predict(model, tokenizer, task, prepare(tokenizer, task, [example], 1))
    ]
    for batch_size in (1, 5, 64):
        inputs = prepare(tokenizer, task, examples, batch_size)
        found = predict(model, tokenizer, task, inputs)
        assert found == (pytest.approx(alone) if kind == "gpt2" else alone)


@given(st.lists(words.map(" ".join), min_size=1, max_size=20), st.integers(1, 7))
def test_every_example_is_in_a_batch_of_no_more_padding_than_it_needs(texts, batch_size):
    task, tokenizer = described("sentiment"), dense("bert")[1]
    examples = [{"sentence": text, "label": 0} for text in texts]
    inputs = prepare(tokenizer, task, examples, batch_size)
    rows, widths = {}, []
    for chosen, batch in inputs.batches:
        assert len(chosen) <= batch_size
        assert {tensor.shape for tensor in batch.values()} == {batch["input_ids"].shape}
        lengths = batch["attention_mask"].sum(1).tolist()
        assert lengths == sorted(lengths, reverse=True)
        assert batch["input_ids"].shape[1] == lengths[0]
        widths += lengths
        for number, ids, length in zip(chosen, batch["input_ids"].tolist(), lengths, strict=True):
            assert number not in rows
            rows[number] = ids[:length]
    assert widths == sorted(widths, reverse=True)
    assert len(rows) == len(set(texts))  # equal ones once
    assert [rows[place] for place in inputs.places] == [tokenizer(t)["input_ids"] for t in texts]


@given(st.lists(words.filter(bool).map(" ".join), min_size=1, max_size=12), st.integers(1, 5))
def test_texts_to_be_scored_are_batched_by_their_words_each_on_its_own(texts, batch_size):
    task, tokenizer = described("language-modelling"), dense("gpt2")[1]
    inputs = prepare(tokenizer, task, [{task.inputs[0]: t} for t in texts], batch_size)
    order = [i for chosen, _ in inputs.batches for i in chosen]
    assert order == sorted(range(len(texts)), key=lambda i: -len(texts[i].split()))
    assert list(inputs.places) == list(range(len(texts)))
    assert inputs.expected == [len(text.split()) for text in texts]


def test_predicting_twice_from_the_same_inputs_is_the_same(objects):
    for kind in KINDS:
        task, examples = described(task_of(kind)), read_examples(objects, data_of(objects, kind))
        folder = objects.open(checkpoint_of(objects, kind))
        model, tokenizer = load_model(folder, task.form, "cpu")
        inputs = prepare(tokenizer, task, examples, 8)
        assert predict(model, tokenizer, task, inputs) == predict(model, tokenizer, task, inputs)


def test_a_text_longer_than_what_is_scored_at_once_is_refused(objects):
    task = described("language-modelling")
    folder = objects.open(checkpoint_of(objects, "gpt2"))
    model, tokenizer = load_model(folder, task.form, "cpu")
    examples = [{task.inputs[0]: "good " * length} for length in (3, 95)]
    with pytest.raises(RunError, match="more than the 96 tokens"):
        predict(model, tokenizer, task, prepare(tokenizer, task, examples, 1))


def test_tokens_per_word_counts_no_framing():
    task = described("sentiment")
    examples = [{"sentence": "the film", "label": 0}, {"sentence": "the", "label": 1}]
    assert tokens_per_word(dense("bert")[1], task, examples) == 1.0
