"""Steps that prune by calibration, remove units, measure layers alone and give each its share."""

import json

import numpy as np
import pytest
from checkpoints import weights_sha256
from random_models import dense

from analysis import pruning
from analysis.calibration.batches import calibration_batches
from analysis.calibration.matrices import matrices
from analysis.checkpoints import naming
from analysis.checkpoints.choice import require_matches
from analysis.checkpoints.weights import read_weights
from analysis.errors import RequestError
from analysis.models.loading import load_model
from analysis.pruning.calibrated import Calibration, prune_in_place
from analysis.pruning.masks import Pruned, applied, read_pruned, write_pruned
from analysis.pruning.moments import moments_of
from analysis.pruning.patterns import parse
from analysis.pruning.structured import projections, remove_units
from analysis.steps.examples.generated import make_examples
from analysis.steps.pruning.allocated import prune_allocated
from analysis.steps.pruning.calibrated import Look, prune_calibrated
from analysis.steps.pruning.pruned import prune_checkpoint
from analysis.steps.pruning.shrunk import shrink_checkpoint
from analysis.steps.quality import evaluate_variant
from analysis.steps.sensitivity import measure_sensitivity
from analysis.tasks import task

TASKS = {"bert": "paraphrase", "gpt2": "language-modelling", "bart": "headline"}
HERE = {"threads": 1, "device": "cpu"}
TEXTS = {"training": None, "examples": 12, "tokens": 16, "seed": 3} | HERE
every_kind = pytest.mark.parametrize("kind", TASKS)
pytestmark = pytest.mark.usefixtures("one_thread")


def loaded(objects, kind):
    """The dense model, its tokenizer and the batches that a step should calibrate with."""
    texts = Look(task=TASKS[kind], **TEXTS).texts(objects)
    model, words = load_model(objects.open(dense(objects, kind)["checkpoint"]), texts.form, "cpu")
    return model, words, calibration_batches(model, words, texts)


def weights_of(objects, kind):
    """All of the dense model's, and those that can be pruned."""
    weights = read_weights(objects.open(dense(objects, kind)["checkpoint"]))
    named = naming.weights(weights)
    return weights, {name: weights[name] for name, what in named.items() if what.prunable}


def masks_of(objects, level):
    return read_pruned(objects.open(level["masks"]["object"])).masks


def by_magnitude(array):
    """The places of a tensor's entries, the smallest first."""
    return np.abs(array).reshape(-1).argsort(kind="stable")


def wanda(objects, kind, **changes):
    how = {"method": "wanda", "levels": [0.5], "include": [], "exclude": []}
    return dense(objects, kind) | {"calibration": TEXTS | {"task": TASKS[kind]}} | how | changes


@pytest.mark.parametrize(("kind", "method", "levels"), [
    ("bert", "wanda", [0.5, 0.9]), ("gpt2", "sparsegpt", [0.9, 0.5]),
    ("bart", "nm-sparsegpt", ["2:4", "1:8"]), ("bart", "nm-wanda", ["2:4"]),
])  # fmt: skip
def test_each_level_is_the_dense_model_pruned_in_place(objects, kind, method, levels):
    record = prune_calibrated(objects, **wanda(objects, kind, levels=levels, method=method))
    before, scope = weights_of(objects, kind)
    size = sum(array.size for array in scope.values())
    for asked, level in zip(levels, record["levels"], strict=True):
        model, _, batches = loaded(objects, kind)
        target = parse(asked) if isinstance(asked, str) else asked
        prune_in_place(pruning.method(method), model, batches, matrices(model, scope), target)
        pruned = read_pruned(objects.open(level["masks"]["object"]))
        after, expected = applied(before, pruned), model.state_dict()
        assert all(np.array_equal(after[name], expected[name].numpy()) for name in after)
        assert pruned.masks.keys() == scope.keys()
        zeros = {n: int((after[n] == 0).sum()) for n in naming.weights(after)}  # without buffers
        removed, sparsity = sum(zeros[name] for name in scope), getattr(target, "sparsity", asked)
        assert removed == round(sparsity * size)
        told = {"level": asked, "sparsity": sparsity, "achieved": removed / size}
        told |= {"whole_model": sum(zeros.values()) / sum(after[name].size for name in zeros)}
        assert (told | {"scope_weights": size, "threshold": None}).items() <= level.items()


@every_kind
def test_a_glob_of_a_study_may_match_nothing_in_one_of_its_models(objects, kind):
    globs = {"include": ["*.layer.*.weight", "*.h.*.weight", "*.layers.*.weight"]}
    globs["exclude"] = ["*[Ll]ayer[Nn]orm*", "*layer_norm*", "*.ln_*", "none*", "*.1.*"]
    inside = [name for name in weights_of(objects, kind)[1] if ".1." not in name]
    plain = dense(objects, kind) | {"method": "magnitude", "levels": [0.5], "seed": 0}
    for prune, given in ((prune_calibrated, wanda(objects, kind)), (prune_checkpoint, plain)):
        (level,) = prune(objects, **given | globs)["levels"]
        assert sorted(masks_of(objects, level)) == inside
        with pytest.raises(RequestError, match="no weights are in scope"):
            prune(objects, **given | {"include": ["none*"], "exclude": []})
    with pytest.raises(RequestError, match=f"fc3 is tied to {inside[0]} and is pruned as that"):
        require_matches(["*fc3*"], inside, {"fc3": inside[0]})


@every_kind
def test_a_smaller_checkpoint_opens_and_is_what_removing_units_gives(objects, kind):
    look = {"calibration": TEXTS | {"task": TASKS[kind]}}
    given = dense(objects, kind) | look | {"levels": [0.99, 0.3, 0.5]}
    none, *reached = shrink_checkpoint(objects, **given)["levels"]
    assert (none["status"], "checkpoint" in none) == ("unreachable", False)
    assert "the most is 0." in none["reason"]
    (before, scope), folder = weights_of(objects, kind), objects.open(given["checkpoint"])
    model, words, batches = loaded(objects, kind)
    calibration = Calibration(load=lambda: loaded(objects, kind)[0], batches=lambda _: batches)
    moments, _ = moments_of(calibration, projections(naming.weights(before)))
    config = json.loads((folder / "config.json").read_text())
    size = sum(array.size for array in scope.values())
    for asked, level in zip([0.3, 0.5], reached, strict=True):
        expected = remove_units(before, config, moments, asked)
        smaller = objects.open(level["checkpoint"]["object"])
        after = read_weights(smaller)
        assert all(np.array_equal(after[name], x) for name, x in expected.weights.items())
        opened, tokens = load_model(smaller, task(TASKS[kind]).form, "cpu")
        left, whole = opened.num_parameters(), model.num_parameters()
        told = {"status": "ok", "level": asked, "sparsity": asked, "kept": expected.kept}
        told |= {"weights_sha256": weights_sha256(after), "scope_weights": size, "threshold": None}
        told |= {"achieved": expected.removed / size, "whole_model": 1 - left / whole}
        assert (told | {"parameters": left}).items() <= level.items()
        assert level["achieved"] == pytest.approx(asked, abs=0.07)  # half of a head
        assert tokens.get_vocab() == words.get_vocab()
        assert opened(**batches[0]).logits.isfinite().all()


@pytest.mark.parametrize(("kind", "by", "count"), [
    ("bert", "layer", 9), ("gpt2", "kind", 6), ("bart", "layer", 4),
])  # fmt: skip
def test_each_cell_is_the_model_with_that_group_pruned_by_hand(objects, kind, by, count):
    sparsities = [0.9] if kind == "bart" else [0.5, 0.9]
    given, (_, scope) = dense(objects, kind), weights_of(objects, kind)
    made = make_examples(objects, task_name=TASKS[kind], count=count, seed=7)["data"]["object"]
    asked = {"task_name": TASKS[kind], "data": made, "batch_size": 4, "place": HERE}
    asked |= {"checkpoint": given["checkpoint"]}
    options = asked | {"by": by, "sparsities": sparsities, "memory_bytes": 10**9}
    record = measure_sensitivity(objects, **options)

    def evaluated(masks):
        return evaluate_variant(objects, masks=masks, **asked)["metrics"]

    assert (record["dense"], record["examples"]) == (evaluated(None), count)
    named, groups = naming.weights(scope), {}
    for name, what in named.items():  # blocks, or what does the same in a part
        groups.setdefault(f"{what.part} {getattr(what, by)}", []).append(name)
    assert [(cell["group"], cell["sparsity"]) for cell in record["cells"]] == [
        (group, sparsity) for group in groups for sparsity in sparsities
    ]
    for cell in record["cells"]:
        names, masks, seen, gone = groups[cell["group"]], {}, 0, 0
        for name in names:
            seen += scope[name].size
            few = round(cell["sparsity"] * seen) - gone  # so that the sum is exact
            gone += few
            kept = by_magnitude(scope[name])[few:]
            masks[name] = np.isin(np.arange(few + kept.size), kept).reshape(scope[name].shape)
        with objects.scratch() as scratch:
            write_pruned(scratch / "masks", Pruned(masks), given["weights_sha256"])
            assert cell["metrics"] == evaluated(objects.adopt(scratch / "masks")), cell["group"]
        what, own = named[names[0]], {"layer": None, "kind": ""}
        told = own | {"part": what.part, by: getattr(what, by)}
        told |= {"tensors": {name: scope[name].size for name in names}}
        assert told.items() <= cell.items()
        assert kind != "gpt2" or cell["metrics"] != record["dense"]  # perplexity tells all


@every_kind
def test_each_matrix_loses_its_share_of_its_smallest(objects, kind):
    (_, scope), chance = weights_of(objects, kind), np.random.default_rng(len(kind))
    own = {name: float(chance.choice([0.0, 0.98, chance.uniform(0, 0.98)])) for name in scope}
    size = sum(array.size for array in scope.values())
    sparsity = sum(own[name] * scope[name].size for name in scope) / size
    record = prune_allocated(objects, **dense(objects, kind), sparsity=sparsity, sparsities=own)
    masks, count = masks_of(objects, record), round(sparsity * size)
    assert sum(int((~mask).sum()) for mask in masks.values()) == count
    told = {"level": sparsity, "sparsity": sparsity, "achieved": count / size}
    assert (told | {"scope_weights": size}).items() <= record.items()
    for name, mask in masks.items():
        removed = int((~mask).sum())
        assert abs(removed - own[name] * mask.size) <= 1
        assert not mask.reshape(-1)[by_magnitude(scope[name])[:removed]].any()
