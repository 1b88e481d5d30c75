"""Steps that prune by calibration, remove units, measure layers alone and give each its share."""

import functools
import json

import architectures
import mini
import numpy as np
import pytest
import torch
import transformers

from analysis import pruning
from analysis.calibration.batches import calibration_batches
from analysis.calibration.matrices import matrices
from analysis.calibration.moments import moments_of
from analysis.errors import RequestError, RunError
from analysis.models import naming
from analysis.models.loading import load_model
from analysis.models.weights import read_weights, weights_sha256
from analysis.pruning.calibrated import Calibration, prune_in_place
from analysis.pruning.choice import require_matches
from analysis.pruning.masks import applied, read_pruned
from analysis.pruning.patterns import parse
from analysis.pruning.structured import projections, remove_units
from analysis.steps.allocated import prune_allocated
from analysis.steps.calibrated import prune_calibrated
from analysis.steps.evaluation import evaluate_variant
from analysis.steps.examples import make_examples
from analysis.steps.pruned import prune_checkpoint
from analysis.steps.sensitivity import grouped, measure_sensitivity
from analysis.steps.shrunk import shrink_checkpoint
from analysis.steps.training_examples import training_examples
from analysis.tasks import task as described

LONG = {"max_position_embeddings": 96}
KINDS = {  # model class, its sizes, whose tokenizer, a task
    "bert": ("BertForSequenceClassification", architectures.ENCODER | LONG, "Bert", "paraphrase"),
    "gpt2": (
        "GPT2LMHeadModel",
        architectures.ARCHITECTURES["GPT2"][1] | {"n_positions": 96},
        "GPT2",
        "language-modelling",
    ),
    "bart": ("BartForConditionalGeneration", architectures.BOTH | LONG, "Bart", "headline"),
}
METHODS = [name for name in pruning.names() if pruning.kind(name) == "calibrated"]
EXAMPLES, TOKENS, SEED = 12, 16, 3
TEXTS = {"training": None, "examples": EXAMPLES, "tokens": TOKENS, "seed": SEED}
TEXTS |= {"threads": 1, "device": "cpu"}
SECONDS = ("prune_seconds", "seconds", "peak_bytes")
every_kind = pytest.mark.parametrize("kind", KINDS)


pytestmark = pytest.mark.usefixtures("one_thread")


@functools.cache
def tokenizer(architecture):
    return mini.tokenizer(architecture)


@functools.cache
def dense(kind):
    """A model whose weights are large enough that each of them tells in its answers."""
    name, sizes, architecture, _ = KINDS[kind]
    model_class = getattr(transformers, name)
    config = model_class.config_class(**architectures.SMALL | {"decoder_start_token_id": 2} | sizes)
    torch.manual_seed(0)
    model = model_class(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.3)
    return model, tokenizer(architecture)


def stored(objects, kind):
    """What a step is told of the checkpoint."""
    with objects.scratch() as scratch:
        for part in dense(kind):
            part.save_pretrained(scratch / "checkpoint")
        digest = objects.adopt(scratch / "checkpoint")
    sha = weights_sha256(read_weights(objects.open(digest)))
    return {"checkpoint": digest, "weights_sha256": sha}


def task_of(kind):
    return KINDS[kind][3]


def loaded(objects, kind):
    """The dense model, its tokenizer and the batches that a step should calibrate with."""
    form, texts = training_examples(objects, task_of(kind), None, EXAMPLES, SEED)
    folder = objects.open(stored(objects, kind)["checkpoint"])
    model, words = load_model(folder, form, "cpu")
    return model, words, calibration_batches(model, words, form, texts, TOKENS)


def scope_of(objects, kind):
    weights = read_weights(objects.open(stored(objects, kind)["checkpoint"]))
    named = naming.weights(weights)
    return {n: weights[n] for n, what in named.items() if what.prunable}


def plain(value):
    """The record as JSON gives it back, without seconds and peaks."""
    if isinstance(value, dict):
        return {key: plain(inner) for key, inner in value.items() if key not in SECONDS}
    return [plain(inner) for inner in value] if isinstance(value, list) else value


def same_again(step):
    """The record, computed twice; it has to be JSON and the same but for the time it took."""
    one, other = step(), step()
    assert json.loads(json.dumps(one, allow_nan=False)) == one
    assert plain(one) == plain(other)
    return one


# ---------------------------------------------------------------- calibrated methods


def levels_of(method):
    return ["2:4", "1:8"] if pruning.takes_patterns(method) else [0.5, 0.9]


def calibrated(objects, kind, method, **more):
    options = {"include": [], "exclude": [], **TEXTS, **stored(objects, kind)}
    options |= {"method": method, "levels": levels_of(method), "task": task_of(kind)}
    return prune_calibrated(objects, **(options | more))


@every_kind
@pytest.mark.parametrize("method", METHODS)
def test_each_level_is_the_dense_model_pruned_in_place(objects, kind, method):
    record = same_again(lambda: calibrated(objects, kind, method))
    before = read_weights(objects.open(stored(objects, kind)["checkpoint"]))
    names = list(scope_of(objects, kind))
    assert [level["level"] for level in record["levels"]] == levels_of(method)
    for asked, level in zip(levels_of(method), record["levels"], strict=True):
        model, _, batches = loaded(objects, kind)
        target = parse(asked) if isinstance(asked, str) else asked
        prune_in_place(pruning.method(method), model, batches, matrices(model, names), target)
        expected = model.state_dict()
        pruned = read_pruned(objects.open(level["masks"]["object"]))
        after = applied(before, pruned)
        for name, array in after.items():
            np.testing.assert_array_equal(array, expected[name].numpy(), err_msg=name)
        assert sorted(pruned.masks) == sorted(names)
        zeros = sum(int((after[name] == 0).sum()) for name in names)
        size = sum(after[name].size for name in names)
        sparsity = asked if isinstance(asked, float) else target.sparsity
        assert zeros == round(sparsity * size)
        assert (level["sparsity"], level["achieved"]) == (sparsity, zeros / size)
        assert level["scope_weights"] == size
        counted = [after[name] for name in naming.weights(after)]  # without buffers
        zeros = sum(int((array == 0).sum()) for array in counted)
        assert level["whole_model"] == zeros / sum(array.size for array in counted)
        assert level["threshold"] is None
        assert level["prune_seconds"] > 0
    assert record["peak_bytes"] >= 0


def test_other_texts_prune_otherwise_and_the_scope_can_be_chosen(objects):
    one, other = (calibrated(objects, "bert", "wanda", seed=seed) for seed in (1, 2))
    assert one["levels"][0]["masks"] != other["levels"][0]["masks"]
    record = calibrated(
        objects, "bert", "wanda", include=["*.layer.*.weight"], exclude=["*LayerNorm*", "*.1.*"]
    )
    masks = read_pruned(objects.open(record["levels"][0]["masks"]["object"])).masks
    assert sorted(masks) == [n for n in scope_of(objects, "bert") if ".layer.0." in n]


BLOCKS = ["*.layer.*.weight", "*.h.*.weight", "*.layers.*.weight"]  # of one model or another


@every_kind
@pytest.mark.parametrize("method", ["magnitude", "wanda"])
def test_a_glob_of_a_study_may_match_nothing_in_one_of_its_models(objects, kind, method):
    globs = {"include": BLOCKS, "exclude": ["*[Ll]ayer[Nn]orm*", "*layer_norm*", "*.ln_*", "none*"]}

    def masks(**scope):
        if method == "wanda":
            record = calibrated(objects, kind, method, **scope)
        else:
            given = stored(objects, kind) | {"method": method, "levels": [0.5], "seed": 0}
            record = prune_checkpoint(objects, **given, **scope)
        return read_pruned(objects.open(record["levels"][0]["masks"]["object"])).masks

    assert sorted(masks(**globs)) == sorted(scope_of(objects, kind))
    with pytest.raises(RequestError, match="no weights are in scope"):
        masks(include=["none*"], exclude=[])


def test_a_mistake_in_a_glob_is_said_where_there_is_but_one_model():
    names = [f"model.layers.{i}.fc1.weight" for i in range(3)]
    require_matches(["*.fc1.*", "*layers.2*"], names)
    require_matches([], [])
    with pytest.raises(RequestError, match="'\\*fc2\\*' matches no tensor"):
        require_matches(["*.fc1.*", "*fc2*"], names)


def test_weights_that_are_not_finite_are_named(objects):
    model, words = dense("bert")
    name = "bert.encoder.layer.1.output.dense.weight"
    with objects.scratch() as scratch, torch.no_grad():
        words.save_pretrained(scratch / "broken")
        state = {n: tensor.clone() for n, tensor in model.state_dict().items()}
        state[name][0, 0] = torch.nan
        model.save_pretrained(scratch / "broken", state_dict=state)
        broken = objects.adopt(scratch / "broken")
    with pytest.raises(RunError, match=name):
        calibrated(objects, "bert", "wanda", checkpoint=broken)


def test_an_unknown_task_is_refused(objects):
    with pytest.raises(RequestError, match="Did you mean 'paraphrase'"):
        calibrated(objects, "bert", "wanda", task="paraphrases")


# ---------------------------------------------------------------- units


@every_kind
def test_a_smaller_checkpoint_opens_and_is_what_removing_units_gives(objects, kind):
    given = stored(objects, kind)

    def step():
        return shrink_checkpoint(
            objects, **given, levels=[0.99, 0.3, 0.5], task=task_of(kind), **TEXTS
        )

    unreachable, *reached = same_again(step)["levels"]
    assert unreachable["status"] == "unreachable"
    assert "the most is 0." in unreachable["reason"]
    assert "checkpoint" not in unreachable
    folder = objects.open(given["checkpoint"])
    before = read_weights(folder)
    model, words, batches = loaded(objects, kind)
    calibration = Calibration(load=lambda: loaded(objects, kind)[0], batches=lambda _: batches)
    moments = moments_of(calibration, projections(naming.weights(before)))
    config = json.loads((folder / "config.json").read_text())
    for asked, level in zip([0.3, 0.5], reached, strict=True):
        assert (level["status"], level["level"], level["sparsity"]) == ("ok", asked, asked)
        expected = remove_units(before, config, moments, asked)
        smaller = objects.open(level["checkpoint"]["object"])
        after = read_weights(smaller)
        for name, array in expected.weights.items():
            np.testing.assert_array_equal(after[name], array)
        assert level["kept"] == expected.kept
        assert level["weights_sha256"] == weights_sha256(after)
        size = sum(array.size for array in scope_of(objects, kind).values())
        assert level["scope_weights"] == size
        assert level["achieved"] == expected.removed / size
        assert level["achieved"] == pytest.approx(asked, abs=0.07)  # half of a head
        opened, tokens = load_model(smaller, described(task_of(kind)).form, "cpu")
        assert level["parameters"] == opened.num_parameters() < model.num_parameters()
        assert level["whole_model"] == 1 - opened.num_parameters() / model.num_parameters()
        assert tokens.get_vocab() == words.get_vocab()
        assert opened(**batches[0]).logits.isfinite().all()


# ---------------------------------------------------------------- sensitivity


def examples_of(objects, kind, count=10):
    return make_examples(objects, task_name=task_of(kind), count=count, seed=7)["data"]["object"]


def sensitivity(objects, kind, by, sparsities):
    return measure_sensitivity(
        objects,
        **stored(objects, kind),
        task_name=task_of(kind),
        data=examples_of(objects, kind),
        by=by,
        sparsities=sparsities,
        batch_size=4,
        threads=1,
        device="cpu",
        memory_bytes=10**9,
    )


def evaluated(objects, kind, checkpoint):
    return evaluate_variant(
        objects,
        checkpoint=checkpoint,
        masks=None,
        task_name=task_of(kind),
        data=examples_of(objects, kind),
        batch_size=4,
        threads=1,
        device="cpu",
    )["metrics"]


def pruned_by_hand(objects, kind, names, sparsity):
    """The checkpoint with the smallest of each of these matrices set to zero."""
    given = stored(objects, kind)
    model, words = load_model(
        objects.open(given["checkpoint"]), described(task_of(kind)).form, "cpu"
    )
    state = model.state_dict()
    removed = total = 0
    for name in sorted(names):
        flat = state[name].view(-1)
        total += flat.numel()
        count = round(sparsity * total) - removed  # so that the sum is exact
        flat[flat.abs().argsort()[:count]] = 0
        removed += count
    with objects.scratch() as scratch:
        model.save_pretrained(scratch / "pruned")
        words.save_pretrained(scratch / "pruned")
        return objects.adopt(scratch / "pruned")


@pytest.mark.parametrize(
    ("kind", "by", "sparsities"),
    [
        ("bert", "layer", [0.5, 0.9]),
        ("gpt2", "layer", [0.9]),
        ("gpt2", "kind", [0.5, 0.9]),
        ("bart", "layer", [0.9]),
    ],
)
def test_each_cell_is_the_model_with_that_group_pruned_by_hand(objects, kind, by, sparsities):
    record = sensitivity(objects, kind, by, sparsities)
    assert json.loads(json.dumps(record)) == record
    whole = evaluated(objects, kind, stored(objects, kind)["checkpoint"])
    assert record["dense"] == whole
    assert record["examples"] == 10
    scope = scope_of(objects, kind)
    names_of = {cell["group"]: list(cell["tensors"]) for cell in record["cells"]}
    assert sorted(name for names in names_of.values() for name in names) == sorted(scope)
    assert [(c["group"], c["sparsity"]) for c in record["cells"]] == [
        (group, sparsity) for group in names_of for sparsity in sparsities
    ]
    for cell in record["cells"]:
        assert cell["tensors"] == {name: scope[name].size for name in cell["tensors"]}
        by_hand = pruned_by_hand(objects, kind, cell["tensors"], cell["sparsity"])
        assert cell["metrics"] == evaluated(objects, kind, by_hand), cell["group"]
    if kind == "gpt2":  # perplexity tells every change
        assert all(cell["metrics"] != whole for cell in record["cells"])


def test_groups_are_blocks_or_what_does_the_same_in_a_part(objects):
    named = naming.weights(scope_of(objects, "bart"))
    by_layer = grouped(named, "layer")
    assert set(by_layer) == {"encoder 0", "encoder 1", "decoder 0", "decoder 1"}
    assert all(".decoder.layers.1." in name for name in by_layer["decoder 1"])
    by_kind = grouped(named, "kind")
    assert by_kind["encoder ffn in"] == [f"model.encoder.layers.{i}.fc1.weight" for i in (0, 1)]
    assert "decoder cross-attention query" in by_kind
    assert "encoder cross-attention query" not in by_kind


@pytest.mark.parametrize("by", ["layer", "kind"])
def test_a_cell_says_what_its_group_is(objects, by):
    for cell in sensitivity(objects, "bert", by, [0.5])["cells"]:
        assert cell["part"] == "encoder"
        last = cell["layer"] if by == "layer" else cell["kind"]
        assert cell["group"] == f"encoder {last}"
        assert (cell["layer"] is None) == (by == "kind")
        assert (cell["kind"] == "") == (by == "layer")


# ---------------------------------------------------------------- shares


def shares(scope, seed):
    """Sparsities of their own, from none to nearly all, and what they are together."""
    generator = np.random.default_rng(seed)
    own = {name: float(generator.choice([0.0, 0.98, generator.uniform(0, 0.98)])) for name in scope}
    size = sum(array.size for array in scope.values())
    return own, sum(own[name] * scope[name].size for name in scope) / size


@pytest.mark.parametrize("seed", range(3))
@every_kind
def test_each_matrix_loses_its_share_of_its_smallest(objects, kind, seed):
    scope = scope_of(objects, kind)
    own, sparsity = shares(scope, seed)

    def step():
        return prune_allocated(objects, **stored(objects, kind), sparsity=sparsity, sparsities=own)

    record = same_again(step)
    masks = read_pruned(objects.open(record["masks"]["object"])).masks
    assert sorted(masks) == sorted(scope)
    size = sum(array.size for array in scope.values())
    removed = sum(int((~mask).sum()) for mask in masks.values())
    assert removed == round(sparsity * size)
    assert record["achieved"] == removed / size
    assert record["scope_weights"] == size
    assert record["level"] == record["sparsity"] == sparsity
    for name, mask in masks.items():
        assert abs(int((~mask).sum()) - own[name] * mask.size) <= 1
        magnitudes = np.abs(scope[name])
        if mask.any() and not mask.all():
            assert magnitudes[~mask].max() <= magnitudes[mask].min()


def test_equal_shares_are_magnitude_by_layer(objects):
    given = stored(objects, "gpt2")
    own = dict.fromkeys(scope_of(objects, "gpt2"), 0.6)
    allocated = prune_allocated(objects, **given, sparsity=0.6, sparsities=own)
    record = prune_checkpoint(
        objects, **given, method="magnitude-layer", levels=[0.6], include=[], exclude=[], seed=0
    )
    assert allocated["masks"] == record["levels"][0]["masks"]
