"""Pruned models that train on: masks are kept, teachers are heeded, levels are climbed exactly."""

import functools
import itertools
import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import transformers
from hypothesis import given
from hypothesis import strategies as st

from analysis.errors import RequestError, RunError
from analysis.models import architectures, growing, naming, recovery
from analysis.models.distillation import Distillation, divergence
from analysis.models.encoding import IGNORED, set_padding
from analysis.models.loading import load_model, put
from analysis.models.recovery import Course
from analysis.models.weights import read_weights
from analysis.objects import Objects
from analysis.pruning.masks import Pruned, applied, read_pruned, write_pruned
from analysis.pruning.methods.gradual import sparsity_at
from analysis.pruning.selection import smallest_magnitudes
from analysis.steps.grown import grow_sparse
from analysis.steps.recovered import recover, recover_without_masks
from analysis.steps.trained import course_on, stored_weights
from analysis.tasks import task as described

SHA = "0123456789abcdef" * 4
LEVEL = 0.9
BART = {"d_model": 16, "encoder_layers": 1, "decoder_layers": 1, "encoder_attention_heads": 2}
BART |= {"decoder_attention_heads": 2, "encoder_ffn_dim": 32, "decoder_ffn_dim": 32}
BART |= {"max_position_embeddings": 96}
GPT2 = {"n_embd": 16, "n_layer": 2, "n_head": 2, "n_positions": 96}
BERT = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}
BERT |= {"intermediate_size": 32, "max_position_embeddings": 96}
KINDS = {  # model class, its sizes, whose tokenizer, a task
    "bert": ("BertForSequenceClassification", BERT, "tiny-bert", "paraphrase"),
    "gpt2": ("GPT2ForSequenceClassification", GPT2, "tiny-gpt2", "sentiment"),
    "bart": ("BartForSequenceClassification", BART, "tiny-bart", "sentiment"),
    "causal": ("GPT2LMHeadModel", GPT2, "tiny-gpt2", "language-modelling"),
    "text-to-text": ("BartForConditionalGeneration", BART, "tiny-bart", "headline"),
}
every_kind = pytest.mark.parametrize("kind", KINDS)


@functools.cache
def tokenizer(name):
    return architectures.build_tokenizer(name)


def make(kind, seed=0):
    """A tiny model without dropout, its tokenizer and its task."""
    name, sizes, tokens, task = KINDS[kind]
    words = tokenizer(tokens)
    special = {f"{x}_token_id": getattr(words, f"{x}_token_id") for x in ("pad", "bos", "eos")}
    options = sizes | special | {"vocab_size": len(words)}
    if kind in ("bart", "text-to-text"):
        options |= {"decoder_start_token_id": words.eos_token_id, "dropout": 0.0}
    torch.manual_seed(seed)
    torch.set_num_threads(1)
    kind_of_model = getattr(transformers, name)
    model = kind_of_model(kind_of_model.config_class(**options))
    return model.eval(), words, task


def course(task, epochs=3.0, examples=20, learning_rate=5e-3, seed=0):
    """Three batches an epoch, the last of them smaller."""
    return course_on(
        None,  # no objects: the language makes its examples
        task,
        None,
        examples=examples,
        epochs=epochs,
        learning_rate=learning_rate,
        batch_size=8,
        seed=seed,
    )


def scope(model):
    state = {name: tensor.numpy() for name, tensor in model.state_dict().items()}
    return {n: state[n] for n, what in naming.weights(state).items() if what.prunable}


def magnitude_masks(model, level=LEVEL):
    (selection,) = smallest_magnitudes(scope(model), [level])
    return dict(selection.masks)


def removed(masks):
    return sum(int((~mask).sum()) for mask in masks.values())


def zeros(model, masks):
    state = model.state_dict()
    return sum(int((state[name].numpy()[~mask] == 0).sum()) for name, mask in masks.items())


# -- masks are kept -------------------------------------------------------------------------------


@every_kind
@pytest.mark.parametrize("distilled", [False, True])
def test_masks_are_kept_over_epochs_and_the_rest_is_trained(kind, distilled):
    model, words, task = make(kind)
    masks = magnitude_masks(model)
    put(model, masks, {})
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    if distilled:
        trained = recovery.distill_masked(model, make(kind)[0], words, masks, course(task))
    else:
        trained = recovery.fine_tune_masked(model, words, masks, course(task))
    size = sum(mask.size for mask in masks.values())
    assert trained.zeros == [round(LEVEL * size)] * 3
    assert zeros(model, masks) == removed(masks) == round(LEVEL * size)
    assert len(trained.losses) == 9
    for name, mask in masks.items():
        after = model.state_dict()[name].numpy()
        assert (after[mask] != 0).all()
        assert not mask.any() or (after[mask] != before[name].numpy()[mask]).any()
    assert not any(p.grad is not None and p._post_accumulate_grad_hooks for p in model.parameters())


def test_training_repeats_bit_for_bit():
    results = []
    for _ in range(2):
        model, words, task = make("bert")
        recovery.fine_tune_masked(model, words, magnitude_masks(model), course(task))
        results.append(model.state_dict())
    assert all(torch.equal(results[0][name], results[1][name]) for name in results[0])


def test_what_is_removed_has_no_gradient_and_no_part_in_clipping():
    model, words, _ = make("bert")
    masks = magnitude_masks(model)
    keeper = recovery.Keeper(model)
    keeper.remove(masks)
    batch = words(["A mayor won."], return_tensors="pt") | {"labels": torch.tensor([1])}
    model(**batch).loss.backward()
    parameters = dict(model.named_parameters())
    for name, mask in masks.items():
        gradient = parameters[name].grad.numpy()
        assert (gradient[~mask] == 0).all()
        assert (gradient[mask] != 0).any()
    keeper.let_go()
    model(**batch).loss.backward()
    assert any((parameters[n].grad.numpy()[~mask] != 0).any() for n, mask in masks.items())


def test_moments_from_before_the_removal_do_not_move_what_is_removed():
    weight = torch.nn.Linear(4, 3, bias=False)
    optimizer = torch.optim.AdamW(weight.parameters(), lr=0.1)
    inputs = torch.randn(5, 4)
    weight(inputs).square().sum().backward()
    optimizer.step()
    mask = np.eye(3, 4, dtype=bool)
    keeper = recovery.Keeper(weight)
    keeper.remove({"weight": mask})
    for _ in range(3):
        optimizer.zero_grad()
        weight(inputs).square().sum().backward()
        optimizer.step()
        assert (weight.weight.detach().numpy()[~mask] != 0).any()  # the moments leak …
        keeper.put_back()
        assert recovery.require_kept(weight, {"weight": mask}) == 9  # … and are stopped


def test_a_mask_that_is_not_kept_is_found_after_the_epoch(monkeypatch):
    model, words, task = make("gpt2")
    masks = magnitude_masks(model)
    first = next(iter(masks))

    def put_back_and_spoil(self):
        weight = dict(model.named_parameters())[first]
        place = tuple(int(i[0]) for i in np.nonzero(~masks[first]))
        with torch.no_grad():
            weight[place] = 0.5

    monkeypatch.setattr(recovery.Keeper, "put_back", put_back_and_spoil)
    with pytest.raises(RunError, match=rf"^{first}: \d+ removed weights are not zero") as error:
        recovery.fine_tune_masked(model, words, masks, course(task))
    assert "\n" not in str(error.value)


def test_without_masks_the_zeros_vanish():
    model, words, task = make("bert")
    masks = magnitude_masks(model)
    put(model, masks, {})
    trained = recovery.fine_tune_unmasked(model, words, masks, course(task))
    assert len(trained.zeros) == 3
    assert trained.zeros[-1] == zeros(model, masks) < 0.1 * removed(masks)


@pytest.mark.parametrize("kind", ["causal", "text-to-text"])
def test_tied_weights_stay_tied_and_pruned(kind):
    model, words, task = make(kind)
    name = {"causal": "transformer.wte.weight", "text-to-text": "model.shared.weight"}[kind]
    mask = np.random.default_rng(0).random(model.state_dict()[name].shape) < 0.5
    recovery.fine_tune_masked(model, words, {name: mask}, course(task))
    embedding, head = model.get_input_embeddings().weight, model.get_output_embeddings().weight
    assert embedding.data_ptr() == head.data_ptr()
    assert (head.detach().numpy()[~mask] == 0).all()
    assert (head.detach().numpy()[mask] != 0).all()


def test_epochs_are_counted_where_they_end():
    model, words, task = make("gpt2")
    masks = magnitude_masks(model, 0.5)
    trained = recovery.fine_tune_masked(model, words, masks, course(task, epochs=1.67))
    assert len(trained.losses) == 5
    assert trained.zeros == [removed(masks)] * 2  # after the first epoch, and after the last step


# -- what goes wrong ------------------------------------------------------------------------------


def test_a_loss_that_is_no_number_is_one_line():
    model, words, task = make("gpt2")
    masks = magnitude_masks(model)
    with torch.no_grad():
        model.get_parameter("score.weight").fill_(math.nan)
    for train in (recovery.fine_tune_masked, recovery.fine_tune_unmasked):
        with pytest.raises(RunError, match="diverged") as error:
            train(model, words, masks, course(task, epochs=1))
        assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("masks", "message"),
    [
        ({"no.such.weight": np.ones(3, bool)}, "no.such.weight: .* no weight of that name"),
        ({"score.weight": np.ones((5, 5), bool)}, r"score.weight: a mask of shape \(5, 5\)"),
    ],
)
def test_masks_that_fit_no_weight_are_refused(masks, message):
    model, words, task = make("gpt2")
    with pytest.raises(RunError, match=message):
        recovery.fine_tune_masked(model, words, masks, course(task))


@pytest.mark.parametrize("wrong", [{"epochs": 0}, {"examples": 0}])
def test_training_takes_examples_and_epochs(wrong):
    model, words, task = make("gpt2")
    with pytest.raises(RequestError, match="takes examples"):
        recovery.fine_tune_masked(model, words, {}, course(task, **wrong))


# -- distillation ---------------------------------------------------------------------------------


def test_the_divergence_is_the_formula():
    generator = torch.Generator().manual_seed(0)
    student, teacher = torch.randn(2, 6, 5, generator=generator, dtype=torch.float64)
    for temperature in (1.0, 2.0, 5.0):
        p, q = (torch.softmax(logits / temperature, -1) for logits in (teacher, student))
        direct = temperature**2 * (p * (p / q).log()).sum() / 6
        torch.testing.assert_close(divergence(student, teacher, temperature), direct)
    assert divergence(student, student, 2.0).abs() < 1e-12


class Fixed(torch.nn.Module):
    """Answers every batch with these logits."""

    def __init__(self, logits):
        super().__init__()
        self.config, self.logits = SimpleNamespace(), torch.nn.Parameter(logits)

    def forward(self, labels):
        return SimpleNamespace(logits=self.logits, loss=torch.tensor(3.0, dtype=torch.float64))


@pytest.mark.parametrize("form", ["causal", "text-to-text"])
def test_the_loss_leaves_out_what_has_no_label(form):
    generator = torch.Generator().manual_seed(1)
    student, teacher = torch.randn(2, 2, 4, 3, generator=generator, dtype=torch.float64)
    labels = torch.tensor([[0, 2, 1, IGNORED], [1, 0, IGNORED, IGNORED]])
    answers = {  # row and position of the logits that are about a label
        "causal": [(0, 0), (0, 1), (1, 0)],  # each about the token after it
        "text-to-text": [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1)],
    }[form]
    apart = 0.0
    for place in answers:
        p, q = torch.softmax(teacher[place] / 2, -1), torch.softmax(student[place] / 2, -1)
        apart += 4 * float((p * (p / q).log()).sum()) / len(answers)
    pair = Distillation(Fixed(student), Fixed(teacher), form, labels_share=0.3, temperature=2.0)
    assert pair(labels=labels).loss.item() == pytest.approx(0.3 * 3.0 + 0.7 * apart, rel=1e-12)


@every_kind
def test_a_teacher_is_left_as_it_is(kind):
    (student, words, task), (teacher, _, _) = make(kind, seed=1), make(kind, seed=2)
    before = {name: tensor.clone() for name, tensor in teacher.state_dict().items()}
    pair = Distillation(student, teacher, "classification")
    assert len(list(pair.parameters())) == len(list(student.parameters()))
    pair.train()
    assert student.training
    assert not teacher.training
    recovery.distill_masked(student, teacher, words, {}, course(task, epochs=1))
    assert all(torch.equal(before[n], tensor) for n, tensor in teacher.state_dict().items())
    assert all(p.grad is None for p in teacher.parameters())


def test_a_student_comes_nearer_to_its_teacher():
    (student, words, task), (teacher, _, _) = make("gpt2", seed=1), make("gpt2", seed=2)
    with torch.no_grad():
        teacher.get_parameter("score.weight").mul_(20)
    set_padding(teacher, words)
    set_padding(student, words)
    texts = [example["first"] for example in course(task).examples]
    batch = words(texts, return_tensors="pt", padding=True)

    def apart():
        with torch.no_grad():
            return float(divergence(student(**batch).logits, teacher(**batch).logits, 1.0))

    before = apart()
    recovery.distill_masked(student, teacher, words, {}, course(task, epochs=8))
    assert apart() < before / 2


# -- gradual --------------------------------------------------------------------------------------


@given(steps=st.integers(1, 60), start=st.floats(0, 0.99), end=st.floats(0, 0.999))
def test_the_schedule_goes_from_start_to_end_without_turning(steps, start, end):
    start, end = min(start, end), max(start, end)
    path = [sparsity_at(step, steps, start, end) for step in range(steps + 3)]
    assert path[0] == pytest.approx(start, abs=1e-12)
    assert path[steps:] == [end] * 3
    assert all(a <= b + 1e-12 for a, b in itertools.pairwise(path))
    removed_by_step = np.diff(path)
    assert (np.diff(removed_by_step) <= 1e-12).all()  # fast at first, then ever more slowly


def test_the_schedule_is_the_papers():
    for step in range(11):
        direct = 0.9 + (0.2 - 0.9) * (1 - step / 10) ** 3
        assert sparsity_at(step, 10, 0.2, 0.9) == pytest.approx(direct)


LEVELS = [0.9, 0.5, 0.99]


def grown(kind, levels=LEVELS):
    """Each level's masks and weights, the lowest first."""
    model, words, task = make(kind)
    names = set(scope(model))
    climbed = growing.grow_sparse(model, words, names, levels, course(task))
    return [
        (level, {name: t.clone().numpy() for name, t in model.state_dict().items()})
        for level in climbed
    ]


@every_kind
def test_levels_are_reached_exactly_and_masks_are_nested(kind):
    size = sum(weight.size for weight in scope(make(kind)[0]).values())
    levels = grown(kind)
    assert [level.sparsity for level, _ in levels] == sorted(LEVELS)
    for level, weights in levels:
        assert removed(level.masks) == round(level.sparsity * size) == level.zeros[-1]
        assert level.zeros == sorted(level.zeros)
        assert all((weights[name][~mask] == 0).all() for name, mask in level.masks.items())
        assert all((weights[name][mask] != 0).all() for name, mask in level.masks.items())
    for (low, _), (high, _) in itertools.pairwise(levels):
        assert all((high.masks[n] <= low.masks[n]).all() for n in low.masks)


def test_growing_repeats_bit_for_bit_and_removes_by_the_weights_of_the_time():
    one, two = grown("bert"), grown("bert")
    for (level, weights), (again, same) in zip(one, two, strict=True):
        assert level.threshold == again.threshold
        assert level.losses == again.losses
        assert all(np.array_equal(weights[name], same[name]) for name in weights)
    one_shot = magnitude_masks(make("bert")[0], 0.9)
    assert any((one[1][0].masks[n] != one_shot[n]).any() for n in one_shot)


def test_a_short_course_still_reaches_its_level():
    model, words, task = make("gpt2")
    names = set(scope(model))
    (level,) = growing.grow_sparse(model, words, names, [0.5], course(task, epochs=0.1))
    assert len(level.losses) == 1
    assert removed(level.masks) == round(0.5 * sum(m.size for m in level.masks.values()))


# -- steps ----------------------------------------------------------------------------------------

PLAIN = {"examples": 20, "learning_rate": 5e-3, "batch_size": 8, "seed": 0, "threads": 1}
PLAIN |= {"training": None, "device": "cpu"}


@pytest.fixture
def objects(tmp_path):
    return Objects(tmp_path / "objects")


def stored(objects, kind):
    """The digests of a dense checkpoint and of masks for it, and its task."""
    model, words, task = make(kind)
    with objects.scratch() as scratch:
        model.save_pretrained(scratch / "checkpoint")
        words.save_pretrained(scratch / "checkpoint")
        write_pruned(scratch / "masks", Pruned(magnitude_masks(model)), SHA)
        adopted = [objects.adopt(scratch / name) for name in ("checkpoint", "masks")]
    return {"checkpoint": adopted[0], "masks": adopted[1], "weights_sha256": SHA, "task": task}


@every_kind
@pytest.mark.parametrize("protocol", ["fine-tuned", "distilled"])
def test_a_recovered_model_comes_back_from_its_record(objects, kind, protocol, monkeypatch):
    kept = {}

    def spy(function):
        def train(model, *arguments):
            result = function(model, *arguments)
            kept["model"] = model
            return result

        return train

    from analysis.steps import recovered

    monkeypatch.setattr(recovered, "fine_tune_masked", spy(recovered.fine_tune_masked))
    monkeypatch.setattr(recovered, "distill_masked", spy(recovered.distill_masked))
    inputs = stored(objects, kind)
    record = recover(objects, **inputs, protocol=protocol, epochs=2.0, **PLAIN)
    dense = read_weights(objects.open(inputs["checkpoint"]))
    old, new = (
        read_pruned(objects.open(digest)) for digest in (inputs["masks"], record["masks"]["object"])
    )
    for name, mask in old.masks.items():
        np.testing.assert_array_equal(new.masks[name], mask)
    trained = stored_weights(kept["model"], dense)
    for name, array in applied(dense, new).items():
        np.testing.assert_array_equal(array, trained[name])
    form = described(inputs["task"]).form
    model, _ = load_model(objects.open(inputs["checkpoint"]), form, "cpu")
    put(model, new.masks, new.values)
    state = kept["model"].state_dict()
    assert all(torch.equal(tensor, state[n]) for n, tensor in model.state_dict().items())
    size = sum(mask.size for mask in old.masks.values())
    assert record["achieved"] == round(LEVEL * size) / size
    assert record["scope_weights"] == size
    assert record["zeros_by_epoch"] == [round(LEVEL * size)] * 2
    assert 0 < record["whole_model"] < record["achieved"]
    assert isinstance(record["flush_denormal"], bool)
    assert record["threshold"] is None


def test_values_of_an_earlier_pruning_are_trained_on_and_kept(objects):
    inputs = stored(objects, "bert")
    masks = read_pruned(objects.open(inputs["masks"])).masks
    name = next(iter(masks))
    dense = read_weights(objects.open(inputs["checkpoint"]))
    with objects.scratch() as scratch:
        changed = {name: np.where(masks[name], dense[name] + 1, np.float32(0))}
        write_pruned(scratch / "masks", Pruned(masks, changed), SHA)
        inputs["masks"] = objects.adopt(scratch / "masks")
    options = PLAIN | {"learning_rate": 1e-6}
    record = recover(objects, **inputs, protocol="fine-tuned", epochs=1.0, **options)
    new = read_pruned(objects.open(record["masks"]["object"]))
    np.testing.assert_allclose(new.values[name], changed[name], atol=1e-4)


def test_the_record_of_the_pitfall_says_how_much_sparsity_is_left(objects):
    inputs = stored(objects, "gpt2")
    record = recover_without_masks(objects, **inputs, epochs=2.0, **PLAIN)
    size = record["scope_weights"]
    assert record["removed"] == round(LEVEL * size)
    assert record["sparsity_before"] == record["removed"] / size
    assert len(record["zeros_by_epoch"]) == 2
    assert record["sparsity_after"] == record["zeros_by_epoch"][-1] / size < 0.1


def test_a_grown_models_levels_come_back_in_the_given_order(objects):
    inputs = stored(objects, "bert")
    del inputs["masks"]
    record = grow_sparse(objects, **inputs, sparsities=LEVELS, epochs=1.0, **PLAIN)
    dense = read_weights(objects.open(inputs["checkpoint"]))
    assert [level["sparsity"] for level in record["levels"]] == LEVELS
    assert record["peak_bytes"] is None
    for level in record["levels"]:
        pruned = read_pruned(objects.open(level["masks"]["object"]))
        left = applied(dense, pruned)
        size = sum(mask.size for mask in pruned.masks.values())
        assert level["scope_weights"] == size
        assert level["achieved"] == round(level["sparsity"] * size) / size
        assert sum(int((left[n] == 0).sum()) for n in pruned.masks) == removed(pruned.masks)
    seconds = [
        level["train_seconds"] for level in sorted(record["levels"], key=lambda x: x["achieved"])
    ]
    assert seconds == sorted(seconds)
    again = grow_sparse(objects, **inputs, sparsities=LEVELS, epochs=1.0, **PLAIN)
    assert [x["masks"] for x in again["levels"]] == [x["masks"] for x in record["levels"]]


def test_unknown_protocols_and_tasks_are_refused(objects):
    inputs = stored(objects, "bert")
    with pytest.raises(RequestError, match=r"Did you mean 'fine-tuned'"):
        recover(objects, **inputs, protocol="fine-tune", epochs=1.0, **PLAIN)
    with pytest.raises(RequestError, match=r"unknown task 'singing'"):
        recover_without_masks(objects, **inputs | {"task": "singing"}, epochs=1.0, **PLAIN)


def test_denormals_count_again_after_training():
    with recovery.flushing_denormals() as taken:
        assert ((torch.tensor([1e-40]) * 1).item() == 0) == taken
    assert (torch.tensor([1e-40]) * 1).item() != 0


def test_a_course_knows_its_steps():
    chosen = [{"text": "a"}] * 21
    made = Course("causal", chosen, batch_size=8, learning_rate=1, epochs=2, seed=0)
    assert (made.steps_per_epoch, made.steps) == (3, 6)
