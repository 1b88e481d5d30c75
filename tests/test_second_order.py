"""SparseGPT's solver is the paper's algorithm, against a slow one in float64 and closed forms."""

import calibrations
import numpy as np
import pytest
import torch
from calibrations import refused
from hypothesis import given
from hypothesis import strategies as st

from analysis.calibration.inputs import Inputs
from analysis.errors import RunError
from analysis.pruning import method
from analysis.pruning.allocation.uniform import uniform
from analysis.pruning.groups.columns import BLOCK, COLUMNS
from analysis.pruning.patterns import Pattern
from analysis.pruning.updates import obs
from analysis.pruning.updates.obs import DAMPING, factor, solve

pytestmark = pytest.mark.usefixtures("one_thread")
seeds = st.integers(0, 2**32 - 1)
PATTERNS = [Pattern(2, 4), Pattern(4, 8), Pattern(1, 4)]
SIZES = [(5, 7, 40), (16, 128, 300), (6, 129, 300), (12, 300, 700), (3, 256, 600), (1, 1, 4)]
small_patterns = st.builds(lambda kept, more: Pattern(kept, kept + more), *[st.integers(1, 4)] * 2)


def problem(out, width, tokens, seed=0, silent=()):
    """A matrix W [out, in] and inputs X (tokens, in) that depend on each other."""
    generator = np.random.default_rng(seed)
    normal, uniform, few = generator.standard_normal, generator.uniform, max(1, width // 4)
    common = normal((tokens, few))
    x = normal((tokens, width)) + common @ normal((few, width)) * uniform(0, 1, width)
    x *= uniform(0.2, 2, width)
    x[:, list(silent)] = 0
    return normal((out, width)).astype(np.float32), x.astype(np.float32)


def hessian(x):
    """(2/n) XᵀX, damped, in float64; 1 on the diagonal of silent inputs."""
    x = x.astype(np.float64)
    found = 2 / len(x) * x.T @ x
    diagonal = np.diag_indices(len(found))
    found[diagonal] = np.where(found[diagonal] == 0, 1, found[diagonal])
    found[diagonal] += DAMPING * found[diagonal].mean()
    return found


def quotas(weight, level):
    """What a sparsity or a pattern asks of `solve`."""
    if isinstance(level, Pattern):
        return level
    return COLUMNS.quotas({"w": weight.shape}, level, uniform)["w"]


def lowest_go(scores, removed):
    """So many of the lowest scores over all rows together; among equals the first."""
    keep = np.ones(scores.size, bool)
    keep[np.argsort(scores, axis=None, kind="stable")[:removed]] = False
    return keep.reshape(scores.shape)


def choose(keep, column, scores, level):
    """Decide what is decided when that column is reached: of a pattern each row's next group, if
    it is whole; else the next block of columns over all rows together."""
    if isinstance(level, Pattern):
        stop = column + level.group
        if column % level.group == 0 and stop <= keep.shape[1]:
            for row, mask in zip(scores[:, column:stop], keep, strict=True):
                mask[column:stop] = lowest_go(row, level.group - level.kept)
    elif column % BLOCK == 0:
        block = slice(column, column + BLOCK)
        keep[:, block] = lowest_go(scores[:, block], quotas(keep, level)[column // BLOCK])


def by_the_paper(weight, x, level):
    """Column by column, all columns to the right corrected at once; scores are w²/U_jj² now."""
    upper = np.linalg.cholesky(np.linalg.inv(hessian(x)), upper=True)
    silent = ~x.any(axis=0)
    w = np.where(silent, 0, weight.astype(np.float64))
    keep = np.ones(w.shape, bool)
    for i in range(w.shape[1]):
        choose(keep, i, w**2 / np.diag(upper) ** 2, level)
        error = np.where(keep[:, i], 0, w[:, i]) / upper[i, i]
        w[:, i:] -= np.outer(error, upper[i, i:])
    return keep, np.where(silent, np.where(keep, weight, 0), w * keep)


def solved(weight, x, level):
    """Mask and new weights; the given ones are left as they are."""
    before = torch.from_numpy(weight.copy())
    keep, new = solve(before, factor(calibrations.inputs(x)), quotas(weight, level))
    np.testing.assert_array_equal(before.numpy(), weight)
    assert (keep.dtype, new.dtype) == (np.bool_, torch.float32)
    assert (torch.isfinite(new).all(), new.numpy()[~keep].any()) == (True, False)
    if not isinstance(level, Pattern):
        assert (~keep).sum() == round(level * weight.size)
    return keep, new.numpy()


def assert_as_in_the_paper(weight, x, level):
    keep, new = solved(weight, x, level)
    expected_keep, expected = by_the_paper(weight, x, level)
    np.testing.assert_array_equal(keep, expected_keep, err_msg=str(level))
    np.testing.assert_allclose(new, expected, rtol=1e-3, atol=1e-3, err_msg=str(level))


@pytest.mark.parametrize(("out", "width", "tokens"), SIZES)
def test_the_solver_is_the_papers(out, width, tokens):
    """Groups of three do not divide a block of columns."""
    for level in (0.1, 0.5, 0.9, *PATTERNS, Pattern(2, 3)):
        assert_as_in_the_paper(*problem(out, width, tokens), level)


@given(seeds, st.one_of(st.floats(0, 1), small_patterns), st.sets(st.integers(0, 16)))
def test_small_matrices_are_solved_as_in_the_paper(seed, level, silent):
    """Weights of silent inputs go first, of these the first in order; those kept stay."""
    assert_as_in_the_paper(*problem(4, 17, 50, seed, silent=silent), level)


def error(weight, new, gram):
    """‖X Wᵀ − X W'ᵀ‖² by XᵀX of the inputs, float64; the solver looks at the damped Hessian's."""
    change = weight.astype(np.float64) - new
    return float(np.einsum("ri,ij,rj->", change, gram, change))


def test_a_matrix_is_solved_however_it_lies_in_memory_and_in_single_precision():
    """GPT-2's matrices are handed over as transposed views of what is stored."""
    weight, x = problem(6, 20, 60)
    plain, found = torch.from_numpy(weight), factor(calibrations.inputs(x))
    views = plain.T.contiguous().T, plain.repeat_interleave(2, 1)[:, ::2]
    for other in (*views, plain.bfloat16(), plain.half()):
        wide = other.float().contiguous()
        for what in (quotas(weight, 0.5), Pattern(2, 4)):
            (keep, new), (same, expected) = solve(other, found, what), solve(wide, found, what)
            assert (np.array_equal(keep, same), torch.equal(new, expected)) == (True, True)


DAMPED = [(-0.005, 0.01), (-0.05, 0.1), (-0.5, 1), (-70, 100)]
HARD = {
    "fewer tokens than inputs": lambda x: x[:5],
    "one token": lambda x: x[:1],
    "all inputs the same": lambda x: x[:, :1].repeat(x.shape[1], axis=1),
    "each input twice": lambda x: x[:, : x.shape[1] // 2].repeat(2, axis=1),
    "some silent": lambda x: x * (np.arange(x.shape[1]) % 3 > 0),
    "one alone not silent": lambda x: x * (np.arange(x.shape[1]) == 4),
    "scales far apart": lambda x: x * np.logspace(-6, 6, x.shape[1]),
    "one huge": lambda x: x * np.where(np.arange(x.shape[1]) == 4, 1e6, 1),
    "tiny": lambda x: x * 1e-15,
    "huge": lambda x: x * 1e15,
}


@pytest.mark.parametrize("hard", HARD)
def test_singular_products_are_solved_with_the_papers_damping(hard):
    for width in (20, 200):
        weight, x = problem(6, width, 400)
        x = HARD[hard](x).astype(np.float32)
        found = factor(calibrations.inputs(x))
        assert (found.damping, obs.note(found)) == (DAMPING, "")
        assert found.silent.tolist() == (~x.any(axis=0)).tolist()
        keep, new = solved(weight, x, 0.5)
        as_before = error(weight, weight * keep, hessian(x))
        assert error(weight, new, hessian(x)) <= as_before * (1 + 1e-5)


@pytest.mark.parametrize(("lowest", "damping"), DAMPED)
def test_more_damping_is_used_only_where_needed_and_said(lowest, damping):
    """Products that are not positive, as rounding can make them, by so much of the mean."""
    width = 10
    turn = np.linalg.qr(np.random.default_rng(0).standard_normal((width, width)))[0]
    values = np.full(width, (width - lowest) / (width - 1))
    values[0] = lowest  # the mean is 1
    products = torch.from_numpy((turn * values @ turn.T * 3).astype(np.float32))
    found = factor(Inputs(6, torch.zeros(width), products.diagonal().double(), products))
    assert found.damping == pytest.approx(damping)
    matrix = turn * (values + damping) @ turn.T  # 3 · 2/6 = 1
    upper = np.linalg.cholesky(np.linalg.inv(matrix), upper=True)
    np.testing.assert_allclose(found.upper, upper, rtol=1e-3, atol=1e-4)
    note = obs.note(found)
    assert note == ("" if damping == DAMPING else f"damped by {damping:g} of the mean diagonal")


def test_products_that_cannot_be_factored_are_refused():
    squares = torch.ones(4, dtype=torch.float64)
    for bad in (np.nan, np.inf, -1.0):
        found = Inputs(4, torch.zeros(4), squares, torch.diag(torch.tensor([bad, bad, 1.0, bad])))
        assert "cannot be factored" in refused(RunError, factor, found)
    assert "are needed" in refused(ValueError, factor, Inputs(4, torch.zeros(4), squares))


@pytest.mark.parametrize(("name", "level"), [("sparsegpt", 0.5), ("nm-sparsegpt", Pattern(2, 4))])
def test_a_method_leaves_shared_inputs_for_the_next_and_says_when_it_damps_more(name, level):
    """A query's, a key's and a value's inputs are one."""
    weight, x = problem(4, 8, 30, silent=[3])
    inputs, harder = calibrations.inputs(x), calibrations.inputs(x)
    harder.products[0, 1] = harder.products[1, 0] = 3 * float(harder.products.diagonal().max())
    keep, new = solved(weight, x, level)
    for given_inputs in (inputs, inputs, harder):
        quota = quotas(weight, level)
        kept = obs.prune(method(name), torch.from_numpy(weight), given_inputs, quota)
        assert (~kept.mask).sum() == 16
        assert kept.note.startswith("damped by ") == (given_inputs is harder)
        if given_inputs is inputs:
            np.testing.assert_array_equal(kept.mask, keep)
            np.testing.assert_array_equal(kept.weight, new)
    assert torch.isfinite(kept.weight).all()
    assert torch.equal(inputs.products, calibrations.inputs(x).products)
    assert factor(inputs) is factor(inputs)
