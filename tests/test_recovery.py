"""Pruned models that train on: masks are kept, teachers are heeded, levels are climbed exactly."""

import math
from collections import Counter

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from random_models import dense
from torch.nn.functional import kl_div, log_softmax

import studies
from analysis import study
from analysis.checkpoints import naming
from analysis.checkpoints.weights import read_weights
from analysis.engine.memo import Memo
from analysis.errors import RequestError, RunError
from analysis.models.encoding import IGNORED, classification_batch, set_padding, text_to_text_batch
from analysis.models.loading import load_model, put
from analysis.planning import walk
from analysis.pruning.masks import Pruned, applied, read_pruned, write_pruned
from analysis.pruning.methods import magnitude
from analysis.pruning.scope import Scope
from analysis.pruning.selection import select
from analysis.steps.pruning.grown import grow_sparse
from analysis.steps.recovery.courses import course_on
from analysis.steps.recovery.recovered import recover
from analysis.training import recovery
from analysis.training.batches import causal_batch_of, shuffled_batches
from analysis.training.growing import sparsity_at

LEVELS = [0.9, 0.5, 0.99]
HOW = {"learning_rate": 5e-3, "batch_size": 8, "seed": 0, "training": None, "max_tokens": 256}
TASKS = {"bert": "paraphrase", "gpt2": "language-modelling", "bart": "headline"}
TIED = {"gpt2": "transformer.wte.weight", "bart": "model.shared.weight"}
pytestmark = pytest.mark.usefixtures("one_thread")


def asked(kind, epochs=1.67, examples=20):
    """A course as a step is told of it."""
    return HOW | {"task": TASKS[kind], "examples": examples, "epochs": epochs}


def course(kind, epochs=1.67, examples=20):
    """Three batches an epoch, the last of them smaller; the language makes its examples."""
    return course_on(None, asked(kind, epochs, examples))


def opened(objects, kind):
    return load_model(objects.open(dense(objects, kind)["checkpoint"]), course(kind).form, "cpu")


def scope(model):
    state = {name: tensor.numpy() for name, tensor in model.state_dict().items()}
    return {n: state[n] for n, what in naming.weights(state).items() if what.prunable}


def magnitude_masks(model):
    (selection,) = select(magnitude, Scope(scope(model)), [0.9])
    return dict(selection.masks)


def counted(masks):
    """How many weights there are, and how many of them are removed."""
    return sum(m.size for m in masks.values()), sum(int((~m).sum()) for m in masks.values())


def batches(words, course, seed=0):
    """The batches that a course takes, each as its form reads it."""

    def make_batch(chosen):
        if course.form == "causal":
            return causal_batch_of(words, chosen, course.max_tokens)
        columns = {key: [example[key] for example in chosen] for key in chosen[0]}
        if course.form == "text-to-text":
            return text_to_text_batch(words, *columns.values(), course.max_tokens)
        texts = columns["first"], columns.get("second")
        labels = {"labels": torch.tensor(columns["label"])}
        return classification_batch(words, *texts, course.max_tokens) | labels

    return shuffled_batches(course.examples, course.batch_size, make_batch, seed=seed)


def by_hand(model, words, masks, course, teacher=None, after=lambda step: None, seed=0):
    """A plain loop of torch that trains with these masks kept: the losses of all steps.

    AdamW on a cosine that rises for a tenth of the steps; matrices decay, gradients are clipped.
    """
    course = course.read_by(model, words)
    set_padding(model, words)
    named = dict(model.named_parameters())
    groups = [{"params": [p for p in named.values() if (p.ndim > 1) == matrix], "weight_decay": d}
              for matrix, d in ((True, 0.01), (False, 0.0))]  # fmt: skip
    optimizer = torch.optim.AdamW(groups, betas=(0.9, 0.98), fused=True)
    losses, steps, rising = [], course.steps, max(1, round(0.1 * course.steps))

    def clear(tensors):
        with torch.no_grad():
            for name, mask in masks.items():
                tensors[name][torch.from_numpy(~mask)] = 0

    clear(named)
    model.train()
    torch.manual_seed(seed)
    for step, batch in zip(range(steps), batches(words, course, seed), strict=False):
        fall = 0.5 * (1 + math.cos(math.pi * (step - rising) / max(1, steps - rising)))
        for group in optimizer.param_groups:
            group["lr"] = course.learning_rate * ((step + 1) / rising if step < rising else fall)
        optimizer.zero_grad()
        answers = model(**batch)
        loss = answers.loss
        if teacher is not None:  # half of it four times the divergence at a temperature of two
            with torch.no_grad():
                asked = [answers.logits, teacher(**batch).logits, batch["labels"]]
            if course.form == "causal":  # an answer is about the token after it
                asked = [asked[0][:, :-1], asked[1][:, :-1], asked[2][:, 1:]]
            q, p = (log_softmax(logits[asked[2] != IGNORED] / 2, -1) for logits in asked[:2])
            loss = 0.5 * loss + 0.5 * (4 * kl_div(q, p, reduction="batchmean", log_target=True))
        loss.backward()
        clear({name: p.grad for name, p in named.items()})
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        clear(named)
        losses.append(loss.item())
        after(step + 1)
    model.eval()
    return losses


def inputs_of(objects, kind):
    """What a step is told: masks, of tied embeddings too, and values of one tensor."""
    given = dense(objects, kind)
    model, _ = opened(objects, kind)
    masks, state = magnitude_masks(model), model.state_dict()
    if kind in TIED:
        shape = state[TIED[kind]].shape
        masks[TIED[kind]] = np.random.default_rng(0).random(shape) < 0.5
    first = min(scope(model))
    values = {first: np.where(masks[first], scope(model)[first] + 1, np.float32(0))}
    with objects.scratch() as scratch:
        write_pruned(scratch / "masks", Pruned(masks, values), given["weights_sha256"])
        return given | {"masks": objects.adopt(scratch / "masks")}


def pruned_model(objects, kind, inputs):
    """The model that training starts from, its tokenizer and its masks."""
    (model, words), found = opened(objects, kind), read_pruned(objects.open(inputs["masks"]))
    put(model, found.masks, found.values)
    return model, words, found.masks


def stored(objects, kind, pruned):
    """The weights of the dense checkpoint with these masks and values."""
    return applied(read_weights(objects.open(dense(objects, kind)["checkpoint"])), pruned)


def equal(model, weights):
    state = model.state_dict()
    return all(np.array_equal(weights[n], state[n]) for n in weights.keys() & state.keys())


@pytest.mark.parametrize("protocol", ["fine-tuned", "distilled"])
@pytest.mark.parametrize("kind", TASKS)
def test_recovery_is_a_plain_loop_with_its_gradients_and_masks_kept(objects, kind, protocol):
    inputs = inputs_of(objects, kind)
    torch.rand(3)  # it repeats whatever was drawn before, and leaves that stream alone
    stream = torch.random.get_rng_state()
    record = recover(objects, **inputs, protocol=protocol, course=asked(kind))
    assert torch.equal(torch.random.get_rng_state(), stream)
    plain, words, masks = pruned_model(objects, kind, inputs)
    teacher = opened(objects, kind)[0] if protocol == "distilled" else None
    losses = by_hand(plain, words, masks, course(kind), teacher)
    batches_of_8 = math.ceil(len(course(kind).read_by(plain, words).examples) / 8)
    assert len(losses) == round(1.67 * batches_of_8)
    new = read_pruned(objects.open(record["masks"]["object"]))
    left = stored(objects, kind, new)
    assert equal(plain, left)
    assert new.masks.keys() == masks.keys()
    for name, mask in masks.items():
        assert (new.masks[name] == mask).all()
        assert ((plain.state_dict()[name].numpy() != 0) == mask).all()
    if kind in TIED:
        assert plain.get_input_embeddings().weight is plain.get_output_embeddings().weight
    (size, removed), left = counted(masks), [left[name] for name in naming.weights(left)]
    zeros = sum(int((array == 0).sum()) for array in left)
    told = {"removed": removed, "achieved": removed / size, "scope_weights": size}
    told |= {"whole_model": zeros / sum(array.size for array in left), "threshold": None}
    told |= {"zeros_by_epoch": [removed] * 2, "final_loss": losses[-1]}  # the end counts as one
    assert told.items() <= record.items()
    assert isinstance(record["flush_denormal"], bool)


@pytest.mark.parametrize(("kind", "epochs"), [("bert", 6), ("gpt2", 3), ("bart", 3), ("bert", 0.1)])
def test_growing_is_a_plain_loop_that_removes_on_the_schedule(objects, kind, epochs):
    """In the first three tenths of a level's steps, each fifth and the last of them."""
    (plain, words), long = opened(objects, kind), course(kind, epochs)
    masks, below, seconds = {}, 0.0, [0.0]
    inputs = {key: told for key, told in inputs_of(objects, kind).items() if key != "masks"}
    record = grow_sparse(objects, **inputs, sparsities=LEVELS, course=asked(kind, epochs))
    assert ([x["level"] for x in record["levels"]], record["peak_bytes"]) == (LEVELS, None)
    ramp = max(1, round(0.3 * long.read_by(plain, words).steps))
    names = sorted(scope(plain))
    for number, level in enumerate(sorted(LEVELS)):
        thresholds = []

        def select(step, start=below, end=level, thresholds=thresholds):
            if step != ramp and (step > ramp or step % 5):
                return
            weights = [plain.get_parameter(name).detach().numpy() for name in names]
            ranked = np.abs(np.concatenate([w.reshape(-1) for w in weights]))
            count = round(sparsity_at(step, ramp, start, end) * ranked.size)
            order = ranked.argsort(kind="stable")[:count]
            thresholds.append(ranked[order[-1]])
            keep = ~np.isin(np.arange(ranked.size), order)
            for name, weight in zip(names, weights, strict=True):
                masks[name], keep = keep[: weight.size].reshape(weight.shape), keep[weight.size :]
            put(plain, masks, {})

        before = dict(masks)
        losses = by_hand(plain, words, masks, long, after=select, seed=number)
        grown = next(x for x in record["levels"] if x["level"] == level)
        pruned = read_pruned(objects.open(grown["masks"]["object"]))
        assert equal(plain, stored(objects, kind, pruned))
        assert pruned.masks.keys() == masks.keys()
        assert all((pruned.masks[name] == masks[name]).all() for name in names)
        assert all((masks[name] <= mask).all() for name, mask in before.items())  # nested
        size, removed = counted(masks)
        assert removed == round(level * size) == grown["zeros_by_epoch"][-1]
        assert grown["zeros_by_epoch"] == sorted(grown["zeros_by_epoch"])
        told = {"sparsity": level, "scope_weights": size, "achieved": removed / size}
        told |= {"threshold": thresholds[-1], "final_loss": losses[-1]}
        assert told.items() <= grown.items()
        assert grown["prune_seconds"] > 0
        seconds.append(grown["train_seconds"])  # those of the levels below count
        below = level
    assert 0 < seconds[1] <= seconds[2] <= seconds[3]


def test_a_model_that_answers_as_it_is_is_trained_on_for_each_of_its_tasks(tmp_path):
    """One-shot variants are of no task; those that training ends with are."""
    tree = studies.of(
        studies.HUB | {"name": "own", "family": "decoder-only", "tasks": ["wikitext2"]},
        methods=["magnitude", "gradual"], sparsities=[0.9],
        protocols=["one-shot", "fine-tuned", "distilled"],
        recovery={"tasks": ["wikitext2"], "sparsities": [0.9], "unmasked_at": 0.9},
    )  # fmt: skip
    steps = [step.call for step in walk.steps(study.Study(**tree, name="x"), Memo(tmp_path))]
    scored = {call.label.split(":")[0] for call in steps if call.step == "evaluate_variant"}
    trained = ("magnitude/fine-tuned", "magnitude/distilled", "gradual/fine-tuned")
    own = {"own/dense", "own/magnitude/one-shot/0.9"}
    assert scored == own | {f"own/wikitext2/{name}/0.9" for name in trained}
    counts = Counter(call.step for call in steps)
    assert [counts[n] for n in ("recover", "recover_without_masks", "grow_sparse")] == [2, 1, 1]


def test_a_mask_that_is_not_kept_is_found_after_the_epoch(objects, monkeypatch):
    model, words = opened(objects, "bert")
    first = next(iter(masks := magnitude_masks(model)))
    spoilt = torch.from_numpy(~masks[first])

    def put_back_and_spoil(self):
        model.get_parameter(first).data[spoilt] = 0.5

    monkeypatch.setattr(recovery.Keeper, "put_back", put_back_and_spoil)
    with pytest.raises(RunError, match=f"^{first}: {spoilt.sum()} removed weights are") as error:
        recovery.fine_tune_masked(model, words, masks, course("bert"))
    assert "\n" not in str(error.value)


def test_wrong_masks_courses_and_losses_are_one_line(objects):
    model, words = opened(objects, "bert")
    masked, unmasked = recovery.fine_tune_masked, recovery.fine_tune_unmasked
    few, lost = "takes examples, and more than 0 epochs", "^training the pruned model diverged"
    for train, changes, masks, message in (
        (masked, {}, {"no.such.weight": (3,)}, "no.such.weight: .* no weight of that name"),
        (masked, {}, {"classifier.weight": (5, 5)}, r"classifier.weight: a mask of shape \(5, 5\)"),
        (masked, {"epochs": 0}, {}, few), (masked, {"examples": 0}, {}, few),
        (masked, {"epochs": 1}, {}, lost), (unmasked, {"epochs": 1}, {}, lost),
    ):  # fmt: skip
        if message == lost:
            torch.nn.init.constant_(model.classifier.weight, math.nan)
        given = {name: np.ones(shape, bool) for name, shape in masks.items()}
        with pytest.raises(RequestError if message == few else RunError, match=message) as error:
            train(model, words, given, course("bert", **changes))
        assert "\n" not in str(error.value)


def test_denormals_count_again_after_training():
    with recovery.flushing_denormals() as taken:
        assert ((torch.tensor([1e-40]) * 1).item() == 0) == taken
    assert (torch.tensor([1e-40]) * 1).item() != 0


@settings(max_examples=40)
@given(steps=st.integers(1, 60), start=st.floats(0, 0.99), end=st.floats(0, 0.999))
def test_the_schedule_is_the_papers_and_stays_at_its_end(steps, start, end):
    start, end = min(start, end), max(start, end)
    path = [sparsity_at(step, steps, start, end) for step in range(steps + 3)]
    direct = [end + (start - end) * (1 - step / steps) ** 3 for step in range(steps + 1)]
    assert path[: steps + 1] == pytest.approx(direct, abs=1e-12)
    assert path[steps:] == [end] * 3
