"""The contract of every pruning method: a new one joins by its file."""

import functools
import inspect
import itertools
import re
from pathlib import Path

import architectures
import calibrations
import numpy as np
import pytest
import torch
from calibrations import refused
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers.pytorch_utils import Conv1D

from analysis import pruning
from analysis.checkpoints import naming
from analysis.checkpoints.axes import stored_by_input
from analysis.errors import RunError
from analysis.pruning import calibrated
from analysis.pruning.groups.columns import BLOCK
from analysis.pruning.masks import Pruned, applied
from analysis.pruning.patterns import Pattern
from analysis.pruning.scope import Scope
from analysis.pruning.selection import select as by_weights
from analysis.pruning.updates import Kept, obs

pytestmark = pytest.mark.usefixtures("one_thread")
SPARSITIES = [0.50, 0.90, 0.99]
PATTERNS = [Pattern(2, 4), Pattern(4, 8), Pattern(1, 4)]
ALL = list(architectures.ARCHITECTURES)
GLOBAL = ["magnitude", "magnitude-all"]  # one threshold over all tensors
NESTED = [*GLOBAL, "magnitude-layer", "magnitude-row", "random"]  # higher levels remove more
CALIBRATED = [name for name in pruning.names() if pruning.kind(name) == "calibrated"]
WEIGHTS = [name for name in pruning.names() if pruning.kind(name) == "weights"]
UNSTRUCTURED = WEIGHTS + CALIBRATED  # decide weight by weight
every_unstructured = pytest.mark.parametrize("name", UNSTRUCTURED)
every_calibrated = pytest.mark.parametrize("name", CALIBRATED)


def levels_of(name):
    return PATTERNS if pruning.takes_patterns(name) else SPARSITIES


def parameters(model):
    return {name: p.detach().float().numpy().copy() for name, p in model.named_parameters()}


@functools.cache
def dense(architecture):
    found = parameters(calibrations.model(architecture))
    for array in found.values():
        array.setflags(write=False)  # whoever prunes leaves them as they are
    return found


def scope(name, weights, architecture=""):
    in_scope, named = pruning.method(name).in_scope, naming.weights(weights)
    chosen = {n: weights[n] for n in named if in_scope(named[n])}
    shapes = {n: w.shape for n, w in weights.items()}
    return Scope(chosen, stored_by_input(shapes, {"model_type": architecture.lower()}))


def select(name, architecture, levels):
    """A selection a level; of a calibrated method, on a few batches."""
    module, found = pruning.method(name), scope(name, dense(architecture), architecture)
    if name in WEIGHTS:
        return list(by_weights(module, found, levels))
    load = functools.partial(calibrations.model, architecture)
    calibration = calibrated.Calibration(load, calibrations.batches)
    return list(calibrated.select(module, found.weights, levels, calibration))


@functools.cache
def selected(name, architecture):
    """Levels and selections, once for all tests, which only look at them."""
    return list(zip(levels_of(name), select(name, architecture, levels_of(name)), strict=True))


def prune(name, model):
    """Prune a model by a calibrated method on its batches, to its first level."""
    on = (model, calibrations.batches(model), calibrations.found(model))
    return calibrated.prune_in_place(pruning.method(name), *on, levels_of(name)[0])


def outputs_first(architecture, stored):  # by the module: GPT-2's Conv1D is stored [in, out]
    return stored.T if architecture == "GPT2" else stored


def each_mask(*names):
    """Level, magnitudes and mask [out, in] of each tensor, level and architecture."""
    for name, architecture in itertools.product(names, ALL):
        for level, selection in selected(name, architecture):
            for tensor, mask in selection.masks.items():
                magnitude = np.abs(dense(architecture)[tensor])
                yield level, *(outputs_first(architecture, x) for x in (magnitude, mask))


def assert_same(one, two):
    assert (one.sparsity, one.threshold) == (two.sparsity, two.threshold)
    for found, expected in ((one.masks, two.masks), (one.values, two.values)):
        assert set(found) == set(expected)
        for tensor in found:
            np.testing.assert_array_equal(found[tensor], expected[tensor])


def assert_lowest_gone(scores, keep, width, rtol=0.0):
    """In each group of so many, no removed score is above a kept one."""
    scores, keep = scores.reshape(-1, width), keep.reshape(-1, width)
    gone = np.where(keep, -np.inf, scores).max(axis=1)
    kept = np.where(keep, scores, np.inf).min(axis=1)
    assert (gone <= kept * (1 + rtol)).all()


def test_methods_say_what_they_are_called_what_they_do_and_where_they_come_from():
    bibliography = (Path(__file__).parents[1] / "references.bib").read_text(encoding="utf-8")
    titles, firsts = set(), set()
    for name in pruning.names():
        module = pruning.method(name)
        assert re.search(rf"^@\w+\{{{module.CITATION},", bibliography, re.MULTILINE), name
        assert module.KIND in ("weights", "calibrated", "structured", "trained"), name
        assert (pruning.kind(name), pruning.title(name)) == (module.KIND, module.TITLE)
        assert pruning.takes_patterns(name) == (getattr(module, "LEVELS", "") == "patterns")
        first = inspect.getdoc(module).splitlines()[0]
        assert (first.strip()[-1], len(first) <= 100) == (".", True), name
        titles.add(module.TITLE.strip())
        firsts.add(first)
    assert len(titles - {""}) == len(firsts) == len(pruning.names())


@pytest.mark.parametrize("architecture", ALL)
def test_the_linear_layers_of_the_blocks_are_in_scope_and_nothing_else(architecture):
    """Magnitude-all's are all that is called weight."""
    weights, model = dense(architecture), calibrations.model(architecture)
    linear = {
        f"{path}.weight" for path, module in model.named_modules()
        if isinstance(module, torch.nn.Linear | Conv1D) and re.search(r"\.\d+\.", path)
    }  # fmt: skip
    called = {name for name in weights if name.endswith(".weight")}
    for name in pruning.names():
        expected = called if name == "magnitude-all" else linear
        assert scope(name, weights).weights.keys() == expected, name


@every_unstructured
@pytest.mark.parametrize("architecture", ALL)
def test_exactly_as_many_weights_go_as_were_asked_for(name, architecture):
    """round(s·N) of all, or all but N of each M inputs of an output; more at a higher level."""
    before, chosen = {}, scope(name, dense(architecture)).weights
    by_patterns = pruning.takes_patterns(name)
    for level, selection in selected(name, architecture):
        assert set(selection.masks) == set(chosen)
        for tensor, mask in selection.masks.items():
            assert (mask.dtype, mask.shape) == (np.bool_, chosen[tensor].shape)
            if name in NESTED:
                assert not (mask & ~before.get(tensor, mask)).any()
                before[tensor] = mask
            if by_patterns:
                groups = outputs_first(architecture, mask).reshape(-1, level.group)
                assert (groups.sum(axis=1) == level.kept).all()
                if architecture == "GPT2":  # groups along the outputs would be another thing
                    assert (mask.reshape(-1, level.group).sum(axis=1) != level.kept).any()
        assert selection.sparsity == (level.sparsity if by_patterns else level)
        size = sum(array.size for array in chosen.values())
        kept = sum(int(mask.sum()) for mask in selection.masks.values())
        assert size - kept == round(selection.sparsity * size)


@every_unstructured
@pytest.mark.parametrize("architecture", ["Bert", "GPT2", "Bart"])
def test_levels_are_decided_alone_in_the_given_order_and_the_same_each_time(name, architecture):
    """Each from the dense weights on, whatever was removed before."""
    backwards = select(name, architecture, levels_of(name)[::-1])
    for (_, one), other in zip(selected(name, architecture), backwards[::-1], strict=True):
        assert_same(one, other)
    (alone,) = select(name, architecture, levels_of(name)[1:2])
    assert_same(selected(name, architecture)[1][1], alone)


def test_rows_and_layers_lose_alike_and_as_groups_and_all_together_their_smallest():
    for level, _, keep in each_mask("magnitude-row", "wanda"):
        whole = int(keep.shape[1] * level)
        assert set((~keep).sum(axis=1).tolist()) <= {whole, whole + 1}
    for level, _, keep in each_mask("magnitude-layer", "sparsegpt"):
        assert abs((~keep).sum() - level * keep.size) <= 1
    for name in ("magnitude-row", "magnitude-layer", "nm-magnitude"):
        for level, magnitude, keep in each_mask(name):
            widths = {"magnitude-row": keep.shape[1], "magnitude-layer": keep.size}
            assert_lowest_gone(magnitude, keep, widths.get(name) or level.group)
    for name, architecture in itertools.product(GLOBAL, ALL):
        for _, selection in selected(name, architecture):
            flat = [(dense(architecture)[n].ravel(), m.ravel()) for n, m in selection.masks.items()]
            magnitude, keep = (np.abs(np.concatenate(xs)) for xs in zip(*flat, strict=True))
            assert_lowest_gone(magnitude, keep, keep.size)
            assert selection.threshold == magnitude[~keep].max()


def test_random_looks_at_no_weight_draws_by_seed_and_removes_as_much_everywhere():
    def masks(weights, seed=0):
        scope = Scope(weights, seed=seed)
        (found,) = by_weights(pruning.method("random"), scope, [0.5])
        return found.masks

    weights = {f"h.{i}.mlp.c_fc.weight": np.ones((300, 400), np.float32) for i in range(3)}
    one, zeros = masks(weights), masks({name: w * 0 for name, w in weights.items()})
    for name, mask in one.items():
        np.testing.assert_array_equal(mask, zeros[name])
        assert np.mean(mask) == pytest.approx(0.5, abs=0.01)
        assert max(mask.mean(axis=axis).std() for axis in (0, 1)) < 0.05  # no row is preferred
    for a, b in itertools.combinations([*one.values(), *masks(weights, seed=1).values()], 2):
        assert np.mean(a == b) == pytest.approx(0.5, abs=0.01)


@every_calibrated
@pytest.mark.parametrize("architecture", ["Bert", "GPT2", "T5"])
def test_a_pruned_model_is_the_dense_one_with_the_selection_applied(name, architecture):
    """Bit for bit, in the model's own type; what is tied stays so."""
    for dtype in (torch.float32, torch.bfloat16):
        model = calibrations.model(architecture).to(dtype)
        before = parameters(model)
        tied = [id(p) for _, p in model.named_parameters(remove_duplicate=False)]
        assert len({*tied}) < len(tied)
        selection = prune(name, model)
        assert bool(selection.values) == ("sparsegpt" in name)
        expected = applied(before, Pruned(selection.masks, selection.values))
        for tensor, array in parameters(model).items():
            assert array.tobytes() == expected[tensor].tobytes(), tensor
        for tensor, values in selection.values.items():
            assert not values[~selection.masks[tensor]].any()
        assert {p.dtype for p in model.parameters()} == {dtype}
        assert [id(p) for _, p in model.named_parameters(remove_duplicate=False)] == tied


@every_calibrated
@pytest.mark.parametrize("architecture", ["GPT2", "Llama", "T5"])
def test_a_method_decides_by_the_inputs_of_the_blocks_already_pruned(name, architecture):
    """Inputs found by plain forward passes of the model as it is so far give the same weights."""
    module, plain = pruning.method(name), calibrations.model(architecture)
    run_on, found = calibrations.batches(plain), calibrations.found(plain)
    shapes = {matrix.name: tuple(matrix.outputs_first.shape) for matrix in found}
    quotas = module.GROUP.quotas(shapes, levels_of(name)[0], module.ALLOCATION)
    for block in dict.fromkeys(naming.block_of(tensor) for tensor in dense(architecture)):
        inside = [matrix for matrix in found if matrix.block == block]
        entered = calibrations.inputs_alone(plain, run_on, [matrix.name for matrix in inside])
        for matrix in inside:
            weight, inputs = matrix.outputs_first, calibrations.inputs(entered[matrix.name])
            kept = module.UPDATE.prune(module, weight, inputs, quotas[matrix.name])
            now = weight if kept.weight is None else kept.weight
            weight.copy_(now * torch.from_numpy(kept.mask))
    prune(name, model := calibrations.model(architecture))
    for tensor, array in parameters(plain).items():
        np.testing.assert_allclose(parameters(model)[tensor], array, rtol=1e-3, atol=1e-5)


@settings(max_examples=10)
@given(seed=st.integers(0, 2**32))
def test_wanda_removes_the_smallest_of_weight_times_input_norm(seed):
    generator = np.random.default_rng(seed)
    weight = generator.standard_normal((9, 16)).astype(np.float32)
    x = (generator.standard_normal((30, 16)) * generator.uniform(0, 5, 16)).astype(np.float32)
    x[:, 3] = 0
    saliency = np.abs(weight) * np.linalg.norm(x.astype(np.float64), axis=0)
    for name, quota in [("wanda", np.arange(9)), *(("nm-wanda", pattern) for pattern in PATTERNS)]:
        module, inputs = pruning.method(name), calibrations.inputs(x)
        kept = module.UPDATE.prune(module, torch.from_numpy(weight), inputs, quota)
        width = 16 if name == "wanda" else quota.group
        gone = (~kept.mask).reshape(-1, width).sum(axis=1)
        assert (gone == (quota if name == "wanda" else quota.group - quota.kept)).all()
        assert_lowest_gone(saliency, kept.mask, width, rtol=1e-6)
        assert (kept.weight, kept.note) == (None, "")


def test_a_method_that_fails_half_way_leaves_a_model_that_runs(monkeypatch):
    model = calibrations.model("Bart")
    works, calls = obs.prune, itertools.count()

    def fails_at_last(*given):
        kept = works(*given)
        return kept if next(calls) < 9 else Kept(kept.mask, kept.weight * np.nan)

    monkeypatch.setattr(obs, "prune", fails_at_last)
    refusal = refused(RunError, prune, "sparsegpt", model)
    assert "weight: corrected weights are not finite" in refusal
    assert not any(part._forward_pre_hooks for part in model.modules())
    assert torch.isfinite(model(**calibrations.batches(model)[0]).logits).all()
    model.get_input_embeddings().weight.data[3:] = torch.nan
    assert "its inputs are not finite" in refused(RunError, prune, "wanda", model)


@pytest.mark.parametrize("name", ["wanda", "sparsegpt"])
@settings(max_examples=50)
@given(
    shapes=st.lists(st.tuples(st.integers(1, 50), st.integers(1, 300)), min_size=1, max_size=6),
    sparsity=st.floats(0, 1),
)
def test_quotas_of_rows_and_blocks_add_up_and_are_within_one_of_their_share(name, shapes, sparsity):
    named = {str(i): shape for i, shape in enumerate(shapes)}
    module = pruning.method(name)
    quotas = module.GROUP.quotas(named, sparsity, module.ALLOCATION)
    total = sum(out * width for out, width in shapes)
    assert sum(int(quota.sum()) for quota in quotas.values()) == round(sparsity * total)
    for tensor, (out, width) in named.items():
        blocks = np.minimum(BLOCK, width - np.arange(0, width, BLOCK))
        sizes = np.full(out, width) if name == "wanda" else out * blocks
        assert quotas[tensor].shape == sizes.shape
        assert ((quotas[tensor] >= 0) & (quotas[tensor] <= sizes)).all()
        assert (np.abs(quotas[tensor] - sparsity * sizes) <= 1 + 1e-9).all()
