"""Each architecture pruned, then stored, run, quantised, halved, trained and asked to write."""

import copy

import families
import numpy as np
import pytest
import torch
from test_families_pruning import magnitude, weights_of

from analysis.alternatives import int8, write_alternative
from analysis.alternatives.feedforward import feed_forwards
from analysis.alternatives.student import halved
from analysis.errors import RequestError
from analysis.execution.choice import always
from analysis.execution.convert import densify, sparsify
from analysis.execution.names import TILED_CSR
from analysis.models import naming
from analysis.models.filling import name_in
from analysis.models.loading import load_model, put
from analysis.models.recovery import Course, fine_tune_masked
from analysis.models.replicas import shape
from analysis.models.weights import write_in_place_of
from analysis.pruning.masks import Pruned, applied
from analysis.storage.reading import read
from analysis.storage.writing import write

every_model = pytest.mark.parametrize("model", families.MODELS)
every_form = pytest.mark.parametrize(("model", "form"), families.FORMS)
TRAINED = [(model, form) for model, form in families.FORMS if form != "masked"]
WRITERS = [m for m, form in families.FORMS if form in ("causal", "text-to-text")]
pytestmark = pytest.mark.usefixtures("one_thread")


def pruned_model(model, form):
    """The model at half its weights, its tokenizer, and the masks by stored names."""
    opened, tokenizer = families.loaded(model, form)
    masks = magnitude(model)
    put(opened, masks, {})
    return opened, tokenizer, masks


def answers(opened, tokenizer, form):
    with torch.no_grad():
        return [families.logits(opened, b) for b in families.batches(opened, tokenizer, form)]


@every_model
@pytest.mark.parametrize("format", ["auto", "bitmask", "csr16+zstd"])
def test_stored_sparse_it_comes_back_bit_by_bit(model, format, tmp_path):
    weights = applied(weights_of(model)[0], Pruned(magnitude(model)))
    write(weights, tmp_path / "sparse", format)
    back = read(tmp_path / "sparse")
    assert back.keys() == weights.keys()
    for name, array in weights.items():
        np.testing.assert_array_equal(back[name], array)


@every_form
def test_run_from_its_non_zeros_it_answers_the_same_and_comes_back(model, form):
    opened, tokenizer, masks = pruned_model(model, form)
    before = answers(opened, tokenizer, form)
    state = {name: tensor.clone() for name, tensor in opened.state_dict().items()}
    changed = sparsify(opened, always(TILED_CSR))
    assert len(changed) >= len(masks)
    for one, other in zip(before, answers(opened, tokenizer, form), strict=True):
        torch.testing.assert_close(other, one, rtol=1e-4, atol=1e-4 * float(one.abs().max()))
    densify(opened)
    assert all(torch.equal(t, state[name]) for name, t in opened.state_dict().items())


@every_model
def test_in_eight_bits_it_answers_nearly_the_same(model, tmp_path):
    form = families.pretrained_form(model)
    weights, names = weights_of(model)
    chosen = int8.quantisable(weights)
    assert set(names) <= set(chosen)
    tensors, facts = int8.quantise(weights, chosen)
    out = tmp_path / "int8"
    write_in_place_of(families.folder(model), out, tensors)
    write_alternative(out, "int8", facts)
    opened, tokenizer = load_model(out, form, "cpu")
    families.ready(opened, tokenizer)
    whole, _ = families.loaded(model, form)
    before, after = answers(whole, tokenizer, form), answers(opened, tokenizer, form)
    for one, other in zip(before, after, strict=True):
        assert float((one - other).std()) < 0.1 * float(one.std())


@every_form
def test_a_student_has_the_teachers_first_of_two_blocks(model, form):
    teacher, tokenizer = families.loaded(model, form)
    student = halved(teacher)
    stacks = 2 if shape(model)["family"] == "encoder-decoder" else 1
    blocks = {naming.block_of(name) for name, _ in student.named_parameters()} - {None}
    assert len(blocks) == stacks
    of_teacher = teacher.state_dict()
    for name, tensor in student.state_dict().items():
        assert torch.equal(tensor, of_teacher[name])
    assert all(found.isfinite().all() for found in answers(student, tokenizer, form))


@pytest.mark.parametrize(("model", "form"), TRAINED)
def test_training_holds_what_was_removed_at_zero_and_moves_the_rest(model, form):
    opened, tokenizer, masks = pruned_model(model, form)
    before = copy.deepcopy(opened.state_dict())
    examples = families.examples(form, 8)
    learnt = families.TRAINED.get(form, form)
    course = Course(learnt, examples, 4, 1e-3, 1.0, seed=0, max_tokens=48)
    trained = fine_tune_masked(opened, tokenizer, masks, course)
    assert np.isfinite(trained.losses).all()
    removed = sum(int((~mask).sum()) for mask in masks.values())
    assert trained.zeros == [removed]
    state = opened.state_dict()
    for stored, mask in masks.items():
        name = name_in(opened, state, stored)
        kept = torch.from_numpy(mask)
        assert not state[name][~kept].any()
        assert not torch.equal(state[name], before[name])


@pytest.mark.parametrize("model", WRITERS)
def test_it_writes_the_same_from_its_non_zeros(model):
    form = families.pretrained_form(model).replace("cloze", "causal")
    opened, tokenizer, _ = pruned_model(model, form)
    text = tokenizer(["A man wrote a letter ."], return_tensors="pt")
    text = {name: text[name] for name in ("input_ids", "attention_mask")}
    settings = {"max_new_tokens": 6, "min_length": 0, "do_sample": False}
    if hasattr(tokenizer, "get_lang_id"):
        settings["forced_bos_token_id"] = tokenizer.get_lang_id("fr")
    for beams in (1, 2):
        before = opened.generate(**text, num_beams=beams, **settings)
        sparse = copy.deepcopy(opened)
        sparsify(sparse, always(TILED_CSR))
        assert torch.equal(sparse.generate(**text, num_beams=beams, **settings), before)
        assert before.shape[1] > 1
        assert int(before.max()) < len(tokenizer)
        assert isinstance(tokenizer.batch_decode(before, skip_special_tokens=True)[0], str)


@every_model
def test_its_feed_forward_layers_are_found_or_refused_in_one_line(model):
    config = shape(model)["config"]
    weights, _ = weights_of(model)
    shapes = {name: array.shape for name, array in weights.items()}
    if config.get("is_gated_act"):
        with pytest.raises(RequestError, match="gated"):
            feed_forwards(shapes, config)
    else:
        stacks = 2 if shape(model)["family"] == "encoder-decoder" else 1
        assert len(feed_forwards(shapes, config)) == 2 * stacks
