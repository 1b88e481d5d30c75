"""The contract of every pruning method: a new one joins by its file."""

import functools
import inspect
import itertools
import re
from pathlib import Path
from unittest.mock import patch

import architectures
import calibrations
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis import pruning, threads
from analysis.errors import RequestError, RunError
from analysis.models import naming
from analysis.models.weights import require_finite
from analysis.pruning import calibrated
from analysis.pruning.calibrated import Calibration, prune_in_place
from analysis.pruning.masks import Pruned, applied
from analysis.pruning.patterns import Pattern
from analysis.pruning.scope import Scope, stored_by_input

ROOT = Path(__file__).parents[1]
KINDS = ("weights", "calibrated", "structured", "trained")
SPARSITIES = [0.10, 0.50, 0.90, 0.95, 0.99]
PATTERNS = [Pattern(2, 4), Pattern(4, 8), Pattern(1, 4)]
GLOBAL = ["magnitude", "magnitude-all"]  # one threshold over all tensors
ROWS = ["magnitude-row", "wanda"]  # the same sparsity in every output row
LAYERS = ["magnitude-layer", "sparsegpt"]  # the same in every matrix
NESTED = [*GLOBAL, "magnitude-layer", "magnitude-row", "random"]  # higher levels remove more


def of_kind(*kinds):
    return [name for name in pruning.names() if pruning.method(name).KIND in kinds]


def by_patterns(name):
    return getattr(pruning.method(name), "LEVELS", "sparsities") == "patterns"


UNSTRUCTURED = of_kind("weights", "calibrated")  # decide weight by weight
CALIBRATED = of_kind("calibrated")
GROUPS = [name for name in UNSTRUCTURED if by_patterns(name)]
FREE = [name for name in UNSTRUCTURED if not by_patterns(name)]

every_method = pytest.mark.parametrize("name", pruning.names())
every_unstructured = pytest.mark.parametrize("name", UNSTRUCTURED)
every_calibrated = pytest.mark.parametrize("name", CALIBRATED)
every_architecture = pytest.mark.parametrize("architecture", architectures.ARCHITECTURES)


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    """The models are too small to share out."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    with patch.object(threads, "count", lambda: 1):
        yield
    torch.set_num_threads(before)


def levels_of(name):
    """Fewer where each level is a run of the model."""
    if by_patterns(name):
        return PATTERNS
    return SPARSITIES[1::3] if name in CALIBRATED else SPARSITIES


def middle_level(name):
    return PATTERNS[0] if by_patterns(name) else 0.5


def parameters(model):
    """A model's parameters, each tied one once, as numpy has them."""
    return {name: p.detach().float().numpy().copy() for name, p in model.named_parameters()}


@functools.cache
def dense(architecture):
    return parameters(calibrations.model(architecture))


def checkpoint(architecture="Bert", seed=None):
    """A tiny model's own parameters, or random ones of their shapes."""
    if seed is None:
        return {name: array.copy() for name, array in dense(architecture).items()}
    generator = np.random.default_rng(seed)
    return {
        name: generator.standard_normal(array.shape).astype(np.float32)
        for name, array in dense(architecture).items()
    }


def scope(name, weights):
    in_scope, named = pruning.method(name).in_scope, naming.weights(weights)
    chosen = {n: weights[n] for n in named if in_scope(named[n])}
    return Scope(chosen, by_input=stored_by_input({n: w.shape for n, w in weights.items()}))


def select(name, architecture="Bert", levels=None, weights=None):
    """A selection a level; of a calibrated method, on a few batches."""
    module, levels = pruning.method(name), levels_of(name) if levels is None else levels
    weights = checkpoint(architecture) if weights is None else weights
    chosen = scope(name, weights)
    if module.KIND == "weights":
        return list(module.select(chosen, levels))

    calibration = Calibration(lambda: with_weights(architecture, weights), calibrations.batches)
    return list(calibrated.select(module, chosen.weights, levels, calibration))


def with_weights(architecture, weights):
    model = calibrations.model(architecture)
    for tensor, array in weights.items():
        model.get_parameter(tensor).data.copy_(torch.tensor(array))
    return model


@functools.cache
def selected(name, architecture):
    """The same, once for all tests that only look at it."""
    return select(name, architecture)


def prune(name, model, level=None):
    """Prune a model by a calibrated method on its batches."""
    level = middle_level(name) if level is None else level
    module, found = pruning.method(name), calibrations.found(model)
    return prune_in_place(module, model, calibrations.batches(model), found, level)


def removed(selection):
    return sum(int((~mask).sum()) for mask in selection.masks.values())


def outputs_first(architecture, stored):
    """By the module, not by the name: GPT-2's Conv1D is stored [in, out]."""
    return stored.T if architecture == "GPT2" else stored


def assert_same(one, two):
    assert one.sparsity == two.sparsity
    assert one.threshold == two.threshold
    assert set(one.masks) == set(two.masks)
    assert set(one.values) == set(two.values)
    for tensor in one.masks:
        np.testing.assert_array_equal(one.masks[tensor], two.masks[tensor])
    for tensor in one.values:
        np.testing.assert_array_equal(one.values[tensor], two.values[tensor])


# ---------------------------------------------------------------- every method


def test_the_homeworks_methods_are_there():
    assert set(GLOBAL) <= set(pruning.names())


@every_method
def test_a_method_says_what_it_is_called_and_where_it_comes_from(name):
    module = pruning.method(name)
    assert isinstance(module.TITLE, str)
    assert module.TITLE.strip()
    bibliography = (ROOT / "references.bib").read_text(encoding="utf-8")
    assert re.search(rf"^@\w+\{{{module.CITATION},", bibliography, re.MULTILINE)
    assert module.__name__ == pruning.module_name(name)
    assert module.KIND in KINDS


@every_method
def test_what_is_read_from_a_methods_text_is_what_the_module_says(name):
    module = pruning.method(name)
    assert pruning.kind(name) == module.KIND
    assert pruning.title(name) == module.TITLE
    assert pruning.takes_patterns(name) == by_patterns(name)


@every_method
def test_the_first_line_of_a_methods_docstring_says_what_it_does(name):
    first = inspect.getdoc(pruning.method(name)).splitlines()[0]
    assert first.strip().endswith(".")
    assert len(first) <= 100


def test_titles_and_first_lines_are_distinct():
    modules = [pruning.method(name) for name in pruning.names()]
    for said in ([m.TITLE for m in modules], [inspect.getdoc(m).splitlines()[0] for m in modules]):
        assert len(set(said)) == len(said)


@every_method
@every_architecture
def test_there_is_something_in_scope_and_no_bias(name, architecture):
    chosen = scope(name, checkpoint(architecture)).weights
    assert chosen
    assert not any(n.endswith("bias") for n in chosen)


@pytest.mark.parametrize("name", [n for n in pruning.names() if n != "magnitude-all"])
@every_architecture
def test_the_linear_layers_of_the_blocks_are_in_scope_and_nothing_else(name, architecture):
    weights = checkpoint(architecture)
    found = scope(name, weights).weights
    assert all(weights[tensor].ndim == 2 for tensor in found)
    assert not any(re.search("norm|embed|shared|wte|wpe|lm_head|cls|ln_", n.lower()) for n in found)


def test_magnitude_all_prunes_everything_called_weight():
    expected = {name for name in dense("Bert") if name.endswith(".weight")}
    assert scope("magnitude-all", checkpoint()).weights.keys() == expected


@pytest.mark.parametrize("wrong", ["magnitud", "Magnitude", "magnitude_all", "../magnitude", ""])
def test_an_unknown_method_is_a_wrong_request(wrong):
    with pytest.raises(RequestError) as caught:
        pruning.method(wrong)
    assert "unknown method" in str(caught.value)
    assert "magnitude-all" in str(caught.value)


# ---------------------------------------------------------------- methods that decide by weight


@every_unstructured
def test_one_selection_a_level_in_the_given_order(name):
    levels = levels_of(name)
    for given_levels in (levels, levels[::-1], levels[1:2]):
        selections = select(name, levels=given_levels)
        assert [s.sparsity for s in selections] == [
            level.sparsity if by_patterns(name) else level for level in given_levels
        ]


@every_unstructured
def test_levels_are_decided_alone(name):
    """Each from the dense weights on, whatever was removed before."""
    for level, together in zip(levels_of(name), selected(name, "Bert"), strict=True):
        (alone,) = select(name, levels=[level])
        assert_same(alone, together)


@every_unstructured
@every_architecture
def test_masks_are_booleans_for_exactly_the_tensors_in_scope(name, architecture):
    chosen = scope(name, checkpoint(architecture)).weights
    for selection in selected(name, architecture):
        assert set(selection.masks) == set(chosen)
        for tensor, mask in selection.masks.items():
            assert mask.dtype == np.bool_
            assert mask.shape == chosen[tensor].shape


@pytest.mark.parametrize("name", FREE)
@every_architecture
def test_a_method_removes_exactly_round_of_s_times_n(name, architecture):
    total = sum(w.size for w in scope(name, checkpoint(architecture)).weights.values())
    for level, selection in zip(levels_of(name), selected(name, architecture), strict=True):
        assert removed(selection) == round(level * total)


@pytest.mark.parametrize("name", [n for n in FREE if n not in CALIBRATED])
@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**32), level=st.floats(0.001, 0.999))
def test_counts_are_exact_at_any_level(name, seed, level):
    weights = checkpoint(seed=seed)
    (selection,) = select(name, levels=[level], weights=weights)
    total = sum(w.size for w in scope(name, weights).weights.values())
    assert removed(selection) == round(level * total)


@pytest.mark.parametrize("name", [n for n in FREE if n in CALIBRATED])
@settings(max_examples=5, deadline=None)
@given(seed=st.integers(0, 2**32), level=st.floats(0.001, 0.999))
def test_calibrated_counts_are_exact_at_any_level(name, seed, level):
    weights = checkpoint(seed=seed)
    (selection,) = select(name, levels=[level], weights=weights)
    total = sum(w.size for w in scope(name, weights).weights.values())
    assert removed(selection) == round(level * total)


@pytest.mark.parametrize("name", GROUPS)
@every_architecture
def test_each_group_of_an_outputs_inputs_keeps_exactly_n(name, architecture):
    for pattern, selection in zip(levels_of(name), selected(name, architecture), strict=True):
        for mask in selection.masks.values():
            groups = outputs_first(architecture, mask).reshape(-1, pattern.group)
            assert (groups.sum(axis=1) == pattern.kept).all()
        assert removed(selection) == selection.sparsity * sum(
            mask.size for mask in selection.masks.values()
        )


@pytest.mark.parametrize("name", GROUPS)
def test_groups_do_not_lie_along_the_outputs(name):
    """That they do along the inputs would show nothing if they did both ways."""
    for mask in selected(name, "GPT2")[0].masks.values():
        assert (mask.reshape(-1, 4).sum(axis=1) != 2).any()


@pytest.mark.parametrize("name", of_kind("weights"))
@every_architecture
def test_the_weights_are_left_as_they_are(name, architecture):
    weights = checkpoint(architecture)
    for w in weights.values():
        w.setflags(write=False)
    for selection in select(name, architecture, weights=weights):
        list(selection.masks.values())
    for tensor, w in checkpoint(architecture).items():
        np.testing.assert_array_equal(weights[tensor], w)


@every_unstructured
@every_architecture
def test_the_same_weights_give_the_same_masks_and_values(name, architecture):
    (again,) = select(name, architecture, levels_of(name)[1:2])
    assert_same(selected(name, architecture)[1], again)


@pytest.mark.parametrize("name", NESTED)
@every_architecture
def test_a_higher_level_removes_what_a_lower_one_does_and_more(name, architecture):
    for lower, higher in itertools.pairwise(selected(name, architecture)):
        for tensor in lower.masks:
            assert not (higher.masks[tensor] & ~lower.masks[tensor]).any()


@pytest.mark.parametrize("name", [n for n in UNSTRUCTURED if n != "random"])
@every_architecture
def test_pruning_what_is_pruned_changes_nothing(name, architecture):
    """At the same level the zeros are the first to go again, and cost SparseGPT nothing.

    But where an input fell silent with its own block's pruning (ReLUs), all its weights may go.
    """
    level, weights = middle_level(name), checkpoint(architecture)
    (first,) = select(name, architecture, [level], weights)
    again = applied(weights, Pruned(first.masks, first.values))
    (second,) = select(name, architecture, [level], again)
    silent = silenced(architecture, again) if name in CALIBRATED else set()
    assert len(silent) < len(first.masks) / 4
    for tensor in first.masks.keys() - silent:
        np.testing.assert_array_equal(first.masks[tensor], second.masks[tensor])
    twice = applied(again, Pruned(second.masks, second.values))
    for tensor in again.keys() - silent:
        np.testing.assert_array_equal(again[tensor], twice[tensor])


def silenced(architecture, weights):
    """The matrices of a model of these weights that have an input that is always zero."""
    model = with_weights(architecture, weights)
    run_on, names = calibrations.batches(model), calibrations.in_scope(model)
    plain = calibrations.plain_inputs(model, run_on, names)
    return {name for name in names if not plain[name].x.any(axis=0).all()}


@every_unstructured
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_weights_that_are_not_finite_are_refused_by_name(name, bad):
    """By `require_finite`, which whoever prunes calls for the tensors in scope first."""
    weights = checkpoint()
    broken = "bert.encoder.layer.1.output.dense.weight"
    weights[broken][2, 3] = bad
    with pytest.raises(RunError) as caught:
        require_finite(weights, scope(name, weights).weights)
    assert broken in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ROWS)
@every_architecture
def test_rows_of_outputs_lose_alike(name, architecture):
    for level, selection in zip(levels_of(name), selected(name, architecture), strict=True):
        for mask in selection.masks.values():
            keep = outputs_first(architecture, mask)
            whole = int(keep.shape[1] * level)
            assert set((~keep).sum(axis=1).tolist()) <= {whole, whole + 1}


@pytest.mark.parametrize("name", LAYERS)
@every_architecture
def test_layers_lose_alike(name, architecture):
    for level, selection in zip(levels_of(name), selected(name, architecture), strict=True):
        for mask in selection.masks.values():
            assert abs((~mask).sum() - level * mask.size) <= 1


def test_rows_lose_their_smallest():
    for architecture in ("Bert", "GPT2"):
        weights = checkpoint(architecture)
        for selection in selected("magnitude-row", architecture):
            for tensor, mask in selection.masks.items():
                assert_lowest_gone(*(outputs_first(architecture, x)
                                     for x in (np.abs(weights[tensor]), mask)))  # fmt: skip


@every_architecture
def test_layers_lose_their_smallest(architecture):
    weights = checkpoint(architecture)
    for selection in selected("magnitude-layer", architecture):
        for tensor, mask in selection.masks.items():
            assert_lowest_gone(np.abs(weights[tensor]).reshape(1, -1), mask.reshape(1, -1))


@every_architecture
def test_groups_lose_their_smallest(architecture):
    weights = checkpoint(architecture)
    for pattern, selection in zip(PATTERNS, selected("nm-magnitude", architecture), strict=True):
        for tensor, mask in selection.masks.items():
            magnitude, keep = (
                outputs_first(architecture, x).reshape(-1, pattern.group)
                for x in (np.abs(weights[tensor]), mask)
            )
            assert_lowest_gone(magnitude, keep)


def assert_lowest_gone(scores, keep, rtol=0.0):
    """In each row no removed score is above a kept one."""
    gone = np.where(keep, -np.inf, scores).max(axis=1)
    kept = np.where(keep, scores, np.inf).min(axis=1)
    assert (gone <= kept * (1 + rtol)).all()


def test_random_looks_at_no_weight_and_draws_by_seed():
    chosen = scope("random", checkpoint())
    zeroed = Scope({n: w * 0 for n, w in chosen.weights.items()})
    other = Scope(chosen.weights, seed=1)
    one, same, different = (
        next(iter(pruning.method("random").select(s, [0.5]))).masks for s in (chosen, zeroed, other)
    )
    assert all((one[n] == same[n]).all() for n in one)
    assert any((one[n] != different[n]).any() for n in one)


def test_random_removes_as_much_everywhere():
    weights = {f"h.{i}.mlp.c_fc.weight": np.ones((300, 400), np.float32) for i in range(3)}
    (selection,) = pruning.method("random").select(Scope(weights), [0.5])
    for mask in selection.masks.values():
        assert np.mean(mask) == pytest.approx(0.5, abs=0.01)
        assert mask.mean(axis=0).std() < 0.05  # no rows or columns are preferred


@pytest.mark.parametrize("name", GLOBAL)
def test_magnitude_is_ranked_over_all_tensors_together(name):
    """A tensor of large weights loses none while another still has small ones."""
    weights = {n: np.full(w.shape, 0.01, np.float32) for n, w in dense("Bert").items()}
    large = "bert.encoder.layer.0.intermediate.dense.weight"
    weights[large] = np.full(weights[large].shape, 5.0, np.float32)
    (selection,) = select(name, levels=[0.5], weights=weights)
    assert selection.masks[large].all()
    assert selection.threshold == np.float32(0.01)


# ---------------------------------------------------------------- calibrated methods


@every_calibrated
@every_architecture
def test_a_pruned_model_holds_the_dense_weights_with_the_selection_applied(name, architecture):
    """Bit for bit, and so all that is out of scope is untouched."""
    model = calibrations.model(architecture)
    selection = prune(name, model)
    expected = applied(dense(architecture), Pruned(selection.masks, selection.values))
    for tensor, array in parameters(model).items():
        assert array.tobytes() == expected[tensor].tobytes(), tensor
    assert set(selection.values) <= set(selection.masks)
    for tensor, values in selection.values.items():
        assert not values[~selection.masks[tensor]].any()


@every_calibrated
@every_architecture
def test_what_is_tied_stays_tied(name, architecture):
    model = calibrations.model(architecture)

    def memory():
        named = model.named_parameters(remove_duplicate=False)
        return {tensor: parameter.data_ptr() for tensor, parameter in named}

    before = memory()
    prune(name, model)
    assert memory() == before
    tied = {pointer for pointer in before.values() if [*before.values()].count(pointer) > 1}
    assert bool(tied) == (architecture != "Llama")


@every_calibrated
@pytest.mark.parametrize("architecture", ["Bert", "GPT2", "T5"])
def test_a_models_type_is_kept(name, architecture):
    model = calibrations.model(architecture).bfloat16()
    before = parameters(model)
    selection = prune(name, model)
    assert {p.dtype for p in model.parameters()} == {torch.bfloat16}
    expected = applied(before, Pruned(selection.masks, selection.values))
    for tensor, array in parameters(model).items():
        np.testing.assert_array_equal(array, expected[tensor])


@every_calibrated
@pytest.mark.parametrize("architecture", ["Bert", "GPT2", "Llama", "Bart", "T5"])
def test_a_method_decides_by_the_inputs_of_the_blocks_already_pruned(name, architecture):
    """Inputs found by plain forward passes of the model as it is so far give the same weights."""
    module, level = pruning.method(name), middle_level(name)
    expected = calibrations.model(architecture)
    run_on, found = calibrations.batches(expected), calibrations.found(expected)
    quotas = module.quotas({m.name: tuple(m.outputs_first.shape) for m in found}, level)
    for block in dict.fromkeys(naming.block_of(tensor) for tensor in dense(architecture)):
        inside = [matrix for matrix in found if matrix.block == block]
        plain = calibrations.plain_inputs(expected, run_on, [matrix.name for matrix in inside])
        for matrix in inside:
            weight, inputs = matrix.outputs_first, calibrations.inputs(plain[matrix.name].x)
            kept = module.prune_matrix(weight, inputs, quotas[matrix.name])
            now = weight if kept.weight is None else kept.weight
            weight.copy_(now * torch.from_numpy(kept.mask))
    model = calibrations.model(architecture)
    prune(name, model, level)
    for tensor, array in parameters(expected).items():
        np.testing.assert_allclose(parameters(model)[tensor], array, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("seed", range(5))
def test_wanda_removes_the_smallest_of_weight_times_input_norm(seed):
    generator = np.random.default_rng(seed)
    weight = generator.standard_normal((9, 16)).astype(np.float32)
    x = (generator.standard_normal((30, 16)) * generator.uniform(0, 5, 16)).astype(np.float32)
    x[:, 3] = 0
    saliency = np.abs(weight) * np.linalg.norm(x.astype(np.float64), axis=0)
    inputs = calibrations.inputs(x)
    wanda, by_group = pruning.method("wanda"), pruning.method("nm-wanda")
    kept = wanda.prune_matrix(torch.from_numpy(weight), inputs, np.arange(9))
    assert (~kept.mask).sum(axis=1).tolist() == list(range(9))
    assert_lowest_gone(saliency, kept.mask, rtol=1e-6)
    for pattern in PATTERNS:
        kept = by_group.prune_matrix(torch.from_numpy(weight), inputs, pattern)
        groups = (-1, pattern.group)
        assert_lowest_gone(saliency.reshape(groups), kept.mask.reshape(groups), rtol=1e-6)
        assert kept.weight is None


def test_inputs_count_and_not_weights_alone():
    """On other texts other weights go."""
    model, other = calibrations.model("Bert"), calibrations.model("Bert")
    module, found = pruning.method("wanda"), calibrations.found(other)
    texts = calibrations.batches(other, seed=1)
    one, two = prune("wanda", model), prune_in_place(module, other, texts, found, 0.5)
    assert any((one.masks[tensor] != two.masks[tensor]).any() for tensor in one.masks)


@every_calibrated
def test_inputs_that_are_not_finite_are_refused_in_one_line(name):
    model = calibrations.model("Bert")
    model.get_input_embeddings().weight.data[3:] = torch.nan
    with pytest.raises(RunError) as caught:
        prune(name, model)
    assert "bert.encoder.layer.0." in str(caught.value)
    assert "not finite" in str(caught.value)
    assert "\n" not in str(caught.value)


@every_calibrated
def test_a_method_that_fails_half_way_leaves_a_model_that_runs(name, monkeypatch):
    module, model = pruning.method(name), calibrations.model("Bart")
    calls, prune_matrix = itertools.count(), module.prune_matrix

    def fails(*arguments):
        if next(calls) == 9:
            raise ZeroDivisionError
        return prune_matrix(*arguments)

    monkeypatch.setattr(module, "prune_matrix", fails)
    with pytest.raises(ZeroDivisionError):
        prune(name, model)
    assert not any(part._forward_pre_hooks for part in model.modules())
    assert torch.isfinite(model(**calibrations.batches(model)[0]).logits).all()


@pytest.mark.parametrize("name", [n for n in FREE if n in CALIBRATED])
@given(
    shapes=st.lists(st.tuples(st.integers(1, 50), st.integers(1, 300)), min_size=1, max_size=6),
    sparsity=st.floats(0, 1),
)
def test_quotas_add_up_and_are_never_more_than_there_is(name, shapes, sparsity):
    named = {str(i): shape for i, shape in enumerate(shapes)}
    quotas = pruning.method(name).quotas(named, sparsity)
    total = sum(out * width for out, width in shapes)
    assert sum(int(quota.sum()) for quota in quotas.values()) == round(sparsity * total)
    for tensor, (out, width) in named.items():
        assert quotas[tensor].min() >= 0
        assert quotas[tensor].sum() <= out * width
