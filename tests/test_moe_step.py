"""The step that makes models with experts: what it records and what it stores."""

import functools
import json

import architectures
import mini
import numpy as np
import pytest
import torch
import transformers
from safetensors.numpy import load_file

from analysis.alternatives import moe, read_alternative, write_alternative
from analysis.alternatives.activations import held_out, observe
from analysis.alternatives.feedforward import feed_forwards
from analysis.alternatives.routers import Router, choice, masses
from analysis.calibration.matrices import matrices
from analysis.errors import RequestError, RunError
from analysis.models import naming
from analysis.models.loading import load_model
from analysis.models.weights import read_weights, weights_sha256
from analysis.steps.calibrated import calibration
from analysis.steps.moefied import moefy_checkpoint
from analysis.steps.training_examples import training_examples
from analysis.tasks import task as described

LONG = {"max_position_embeddings": 96}
KINDS = {  # model class, its sizes, whose tokenizer, a task
    "bert": ("BertForSequenceClassification", architectures.ENCODER | LONG, "Bert", "sentiment"),
    "gpt2": (
        "GPT2LMHeadModel",
        architectures.ARCHITECTURES["GPT2"][1] | {"n_positions": 96},
        "GPT2",
        "language-modelling",
    ),
    "bart": ("BartForConditionalGeneration", architectures.BOTH | LONG, "Bart", "headline"),
}
EXPERTS, RUN = 8, [8, 2]
PARTS = ("weight", "bias")
EXAMPLES, TOKENS, SEED = 16, 16, 3
TEXTS = {"training": None, "examples": EXAMPLES, "tokens": TOKENS, "seed": SEED}
TEXTS |= {"threads": 1, "device": "cpu"}
every_kind = pytest.mark.parametrize("kind", KINDS)


pytestmark = pytest.mark.usefixtures("one_thread")


@functools.cache
def dense(kind):
    name, sizes, architecture, _ = KINDS[kind]
    model_class = getattr(transformers, name)
    config = model_class.config_class(**architectures.SMALL | {"decoder_start_token_id": 2} | sizes)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = model_class(config).eval()
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(torch.randn_like(parameter) * 0.3)
    return model, mini.tokenizer(architecture)


def stored(objects, kind, change=lambda folder: None):
    """What the step is told of the checkpoint, changed or not."""
    with objects.scratch() as scratch:
        for part in dense(kind):
            part.save_pretrained(scratch / "checkpoint")
        change(scratch / "checkpoint")
        digest = objects.adopt(scratch / "checkpoint")
    sha = weights_sha256(read_weights(objects.open(digest)))
    return {"checkpoint": digest, "weights_sha256": sha}


def moefied(objects, kind, **more):
    options = {**TEXTS, **stored(objects, kind), "experts": EXPERTS, "run": RUN}
    return moefy_checkpoint(objects, **({"task": KINDS[kind][3]} | options | more))


def batches_of(objects, kind):
    folder = objects.open(stored(objects, kind)["checkpoint"])
    texts = training_examples(objects, KINDS[kind][3], None, EXAMPLES, SEED)
    loaded = calibration(folder, texts, TOKENS, "cpu")
    model = loaded.load()
    return model, loaded.batches(model)


def layers_of(model):
    shapes = {name: tuple(p.shape) for name, p in model.named_parameters()}
    return feed_forwards(shapes, model.config.to_dict())


def without_time(record):
    return [{**level, "train_seconds": 0} for level in record["levels"]]


@every_kind
def test_each_level_is_a_checkpoint_that_opens_and_answers(objects, kind):
    record = moefied(objects, kind)
    assert json.loads(json.dumps(record, allow_nan=False)) == record
    assert without_time(record) == without_time(moefied(objects, kind))
    assert [(level["run"], level["router"]) for level in record["levels"]] == [
        (run, router) for run in RUN for router in moe.ROUTERS
    ]
    model, batches = batches_of(objects, kind)
    form = described(KINDS[kind][3]).form
    for level in record["levels"]:
        folder = objects.open(level["checkpoint"]["object"])
        facts = {name: level[name] for name in ("experts", "run", "router")}
        assert read_alternative(folder) == {"kind": "moe"} | facts
        tensors = load_file(folder / "model.safetensors")
        assert level["weights_sha256"] == weights_sha256(tensors)
        opened, _ = load_model(folder, form, "cpu")
        assert level["parameters"] == sum(p.numel() for p in opened.parameters())
        with torch.no_grad():
            same = all(
                torch.allclose(opened(**b).logits, model(**b).logits, rtol=1e-4, atol=1e-4)
                for b in batches
            )
        assert same == (level["run"] == EXPERTS)
        assert level["train_seconds"] > 0
        assert level["run_share"] == level["run"] / EXPERTS
        assert (level["router_share"] > 0) == (level["router"] == "learned")
        assert level["hit"] <= 1
        if level["router"] == "oracle" or level["run"] == EXPERTS:
            assert level["hit"] == 1
        else:
            assert level["hit"] > level["run"] / EXPERTS  # of an arbitrary choice
    assert record["peak_bytes"] >= 0


def test_one_split_and_one_set_of_routers_serve_all_levels(objects):
    levels = moefied(objects, "gpt2")["levels"]
    by_router = {}
    for level in levels:
        by_router.setdefault(level["router"], set()).add(level["weights_sha256"])
    assert [len(shas) for shas in by_router.values()] == [1, 1]
    assert len({level["checkpoint"]["object"] for level in levels}) == len(levels)
    learned, oracle = (load_file(path / "model.safetensors") for path in (
        objects.open(levels[i]["checkpoint"]["object"]) for i in (0, 1)
    ))  # fmt: skip
    plain = moe.plain(learned, {})
    assert plain.keys() == oracle.keys()
    assert learned.keys() - plain.keys() == {
        f"transformer.h.{i}.router.{of}" for i in (0, 1) for of in PARTS
    }
    for name, array in plain.items():
        np.testing.assert_array_equal(array, oracle[name])


@every_kind
def test_the_hit_is_that_of_the_stored_routers_on_held_out_examples(objects, kind):
    level = moefied(objects, kind)["levels"][2]
    tensors = load_file(objects.open(level["checkpoint"]["object"]) / "model.safetensors")
    model, batches = batches_of(objects, kind)
    plain = {name: torch.from_numpy(array) for name, array in moe.plain(tensors, {}).items()}
    model.load_state_dict(plain, strict=False)
    layers = layers_of(model)
    found = []

    def count(key, x, h):
        block = naming.block_of(layers[key].into)
        router = Router(*(torch.from_numpy(tensors[f"{block}.router.{of}"]) for of in PARTS))
        norms = matrices(model, [layers[key].out])[0].outputs_first.norm(dim=0)
        made, best = choice(router.scores(x), 2), choice(masses(h, norms, EXPERTS), 2)
        found.extend((made & best).sum(dim=1).tolist())

    observe(model, held_out(batches)[1], layers, count)
    assert level["hit"] == pytest.approx(sum(found) / (2 * len(found)), abs=2 / len(found))


def test_other_texts_make_other_experts(objects):
    one, other = (moefied(objects, "bert", run=[2], seed=seed) for seed in (1, 2))
    assert one["levels"][0]["weights_sha256"] != other["levels"][0]["weights_sha256"]


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"experts": 5}, "allowed: 2, 4, 8, 16, 32"),
        ({"run": [2, 9]}, "allowed are 1 to 8"),
        ({"run": []}, "of 1 to 8"),
        ({"examples": 3}, "at least 4"),
        ({"task": "chess"}, "unknown task"),
    ],
)
def test_a_wrong_request_is_refused(objects, wrong, says):
    with pytest.raises(RequestError, match=says):
        moefied(objects, "bert", **wrong)


@pytest.mark.parametrize("what", ["kept", "alternative"])
def test_a_model_that_is_no_longer_dense_is_refused(objects, what):
    def change(folder):
        if what == "kept":
            (folder / "kept.json").write_text("{}", encoding="utf-8")
        else:
            write_alternative(folder, "moe", {})

    with pytest.raises(RequestError, match=f"{what}.json"):
        moefied(objects, "bert", **stored(objects, "bert", change))


def test_weights_that_are_not_finite_are_refused(objects):
    def change(folder):
        model = transformers.BertForSequenceClassification.from_pretrained(folder)
        model.bert.encoder.layer[1].output.dense.weight.data[0, 0] = torch.nan
        model.save_pretrained(folder)

    with pytest.raises(RunError, match="NaN"):
        moefied(objects, "bert", **stored(objects, "bert", change))


# ---------------------------------------------------------------- what is observed


@every_kind
def test_every_fourth_example_is_held_out(objects, kind):
    _, batches = batches_of(objects, kind)
    most, rest = held_out(batches)

    def rows(parts):
        return [tuple(map(tuple, (b[name][i].tolist() for name in sorted(b))))
                for b in parts for i in range(len(b["input_ids"]))]  # fmt: skip

    every = rows(batches)
    assert rows(rest) == every[3::4]
    assert rows(most) == [row for i, row in enumerate(every) if i % 4 != 3]


@every_kind
def test_what_is_observed_are_inputs_and_activations_without_padding(objects, kind):
    model, batches = batches_of(objects, kind)
    layers = layers_of(model)
    seen = {key: [] for key in layers}
    observe(model, batches, layers, lambda key, x, h: seen[key].append((x, h)))
    activation = getattr(model.config, "activation_function", "gelu")
    act = {"gelu": torch.nn.functional.gelu}.get(
        activation, functools.partial(torch.nn.functional.gelu, approximate="tanh")
    )
    for key, layer in layers.items():
        side = "decoder_attention_mask" if key.startswith("decoder") else "attention_mask"
        real = [batch.get(side, batch["attention_mask"]) for batch in batches]
        assert [len(x) for x, _ in seen[key]] == [int(mask.sum()) for mask in real]
        x, h = (torch.cat(parts) for parts in zip(*seen[key], strict=True))
        weight, bias = (model.get_parameter(layer.into.removesuffix("weight") + of) for of in PARTS)
        weight = weight if kind != "gpt2" else weight.T
        torch.testing.assert_close(
            act(torch.nn.functional.linear(x, weight, bias)), h, rtol=1e-4, atol=1e-4
        )


def test_a_layer_that_is_never_reached_is_told(objects):
    model, batches = batches_of(objects, "bert")
    layers = layers_of(model)
    with pytest.raises(RunError, match=r"encoder\.0\.ffn has no activations"):
        observe(model, batches[:0], layers, lambda *_: None)
