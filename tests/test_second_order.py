"""SparseGPT's solver is the paper's algorithm, against a slow one in float64 and closed forms."""

import calibrations
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis.calibration.inputs import Inputs
from analysis.errors import RunError
from analysis.pruning import method, second_order
from analysis.pruning.groups import keep_largest_in_groups
from analysis.pruning.patterns import Pattern
from analysis.pruning.second_order import BLOCK, DAMPING, factor, solve, solve_groups

seeds = st.integers(0, 2**32 - 1)


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def problem(out, width, tokens, seed=0, silent=()):
    """A matrix W [out, in] and inputs X (tokens, in) that depend on each other."""
    generator = np.random.default_rng(seed)
    common = generator.standard_normal((tokens, max(1, width // 4)))
    x = generator.standard_normal((tokens, width)) + common @ generator.standard_normal(
        (common.shape[1], width)
    ) * generator.uniform(0, 1, width)
    x *= generator.uniform(0.2, 2, width)
    x[:, list(silent)] = 0
    return generator.standard_normal((out, width)).astype(np.float32), x.astype(np.float32)


def hessian(x, damping=DAMPING):
    """(2/n) XᵀX, damped, in float64; 1 on the diagonal of silent inputs."""
    x = x.astype(np.float64)
    found = 2 / len(x) * x.T @ x
    diagonal = np.diag_indices(len(found))
    found[diagonal] = np.where(found[diagonal] == 0, 1, found[diagonal])
    found[diagonal] += damping * found[diagonal].mean()
    return found


def by_the_paper(weight, x, choose, damping=DAMPING):
    """Column by column, all columns to the right corrected at once.

    choose(column, scores) gives the mask of the columns from there on that it decides: it is asked
    at each column, with w²/U_jj² of the weights as they are now.
    """
    upper = np.linalg.cholesky(np.linalg.inv(hessian(x, damping)), upper=True)
    silent = ~x.any(axis=0)
    w = np.where(silent, 0, weight.astype(np.float64))
    keep = np.ones(w.shape, bool)
    for i in range(w.shape[1]):
        chosen = choose(i, w**2 / np.diag(upper) ** 2)
        if chosen is not None:
            keep[:, i : i + chosen.shape[1]] = chosen
        error = np.where(keep[:, i], 0, w[:, i]) / upper[i, i]
        w[:, i:] -= np.outer(error, upper[i, i:])
    return keep, np.where(silent, np.where(keep, weight, 0), w * keep)


def lowest_of_blocks(removed):
    """The paper's choice: the lowest scores over all rows of each block of columns together."""

    def choose(column, scores):
        if column % BLOCK:
            return None
        block = scores[:, column : column + BLOCK]
        keep = np.ones(block.size, bool)
        keep[np.argsort(block, axis=None, kind="stable")[: removed[column // BLOCK]]] = False
        return keep.reshape(block.shape)

    return choose


def lowest_of_groups(pattern):
    """The paper's choice for N:M: every M columns, in each row."""

    def choose(column, scores):
        group = scores[:, column : column + pattern.group]
        if column % pattern.group or group.shape[1] < pattern.group:
            return None
        order = np.argsort(group, axis=1, kind="stable")
        keep = np.ones(group.shape, bool)
        np.put_along_axis(keep, order[:, : pattern.group - pattern.kept], False, axis=1)
        return keep

    return choose


def counts(weight, sparsity):
    return method("sparsegpt").quotas({"w": weight.shape}, sparsity)["w"]


def solved(weight, x, sparsity):
    """Mask and new weights, numpy."""
    found = factor(calibrations.inputs(x))
    keep, new = solve(torch.from_numpy(weight.copy()), found, counts(weight, sparsity))
    return keep, new.numpy()


def solved_groups(weight, x, pattern):
    keep, new = solve_groups(
        torch.from_numpy(weight.copy()), factor(calibrations.inputs(x)), pattern
    )
    return keep, new.numpy()


# ---------------------------------------------------------------- against the paper's steps

SIZES = [(5, 7, 40), (16, 128, 300), (6, 129, 300), (12, 300, 700), (3, 256, 600), (1, 1, 4)]


@pytest.mark.parametrize("sparsity", [0.1, 0.5, 0.9])
@pytest.mark.parametrize(("out", "width", "tokens"), SIZES)
def test_the_solver_is_the_papers(out, width, tokens, sparsity):
    weight, x = problem(out, width, tokens)
    keep, new = solved(weight, x, sparsity)
    choose = lowest_of_blocks(counts(weight, sparsity))
    expected_keep, expected = by_the_paper(weight, x, choose)
    np.testing.assert_array_equal(keep, expected_keep)
    np.testing.assert_allclose(new, expected, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("pattern", [Pattern(2, 4), Pattern(4, 8), Pattern(1, 4), Pattern(2, 3)])
@pytest.mark.parametrize(("out", "width", "tokens"), SIZES)
def test_the_sweep_over_groups_is_the_papers(out, width, tokens, pattern):
    """Groups of three do not divide a block; what is left over at the end of a row is kept."""
    weight, x = problem(out, width, tokens)
    keep, new = solved_groups(weight, x, pattern)
    expected_keep, expected = by_the_paper(weight, x, lowest_of_groups(pattern))
    np.testing.assert_array_equal(keep, expected_keep)
    np.testing.assert_allclose(new, expected, rtol=1e-3, atol=1e-3)


@given(seed=seeds, sparsity=st.floats(0, 1))
def test_small_matrices_are_solved_as_in_the_paper(seed, sparsity):
    weight, x = problem(4, 9, 30, seed, silent=[2])
    keep, new = solved(weight, x, sparsity)
    choose = lowest_of_blocks(counts(weight, sparsity))
    expected_keep, expected = by_the_paper(weight, x, choose)
    np.testing.assert_array_equal(keep, expected_keep)
    np.testing.assert_allclose(new, expected, rtol=1e-3, atol=1e-4)


@given(seed=seeds, kept=st.integers(1, 4), more=st.integers(1, 4))
def test_small_groups_are_solved_as_in_the_paper(seed, kept, more):
    pattern = Pattern(kept, kept + more)
    weight, x = problem(4, 17, 50, seed, silent=[3])
    keep, new = solved_groups(weight, x, pattern)
    expected_keep, expected = by_the_paper(weight, x, lowest_of_groups(pattern))
    np.testing.assert_array_equal(keep, expected_keep)
    np.testing.assert_allclose(new, expected, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("width", [1, 127, 128, 129, 300, 512])
def test_blocks_cover_the_columns(width):
    found = second_order.blocks_of(width)
    assert sum(found) == width
    assert found[:-1] == [BLOCK] * (len(found) - 1)
    assert 0 < found[-1] <= BLOCK


@given(
    shapes=st.lists(st.tuples(st.integers(1, 40), st.integers(1, 400)), min_size=1, max_size=5),
    sparsity=st.floats(0, 1),
)
def test_each_block_loses_its_share_and_all_together_exactly_theirs(shapes, sparsity):
    named = {str(i): shape for i, shape in enumerate(shapes)}
    found = method("sparsegpt").quotas(named, sparsity)
    total = sum(out * width for out, width in shapes)
    assert sum(int(quota.sum()) for quota in found.values()) == round(sparsity * total)
    for name, (out, width) in named.items():
        sizes = out * np.array(second_order.blocks_of(width))
        assert (found[name] >= 0).all()
        assert (found[name] <= sizes).all()
        assert (np.abs(found[name] - sparsity * sizes) <= 1 + 1e-9).all()


# ---------------------------------------------------------------- closed forms


@given(seed=seeds)
def test_one_weight_removed_of_one_row_is_the_optimal_brain_surgeon(seed):
    """Of what is to its right (all, where it is the first), by the inverse of their Hessian."""
    weight, x = problem(1, 12, 60, seed)
    keep, new = solve(torch.from_numpy(weight), factor(calibrations.inputs(x)), np.array([1]))
    inverses = [np.linalg.inv(hessian(x)[j:, j:]) for j in range(12)]
    w = weight[0].astype(np.float64)
    cost = [w[j] ** 2 / inverses[j][0, 0] for j in range(12)]
    gone = int(np.argmin(cost))
    assert np.flatnonzero(~keep[0]).tolist() == [gone]
    expected = w.copy()
    expected[gone:] -= w[gone] / inverses[gone][0, 0] * inverses[gone][0]
    np.testing.assert_allclose(new[0], expected, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(new[0][:gone], w[:gone].astype(np.float32), rtol=0)


def test_a_first_weight_removed_is_made_up_for_as_least_squares_does():
    weight, x = problem(1, 10, 200)
    weight[0, 0] = 1e-3
    keep, new = solve(torch.from_numpy(weight), factor(calibrations.inputs(x)), np.array([1]))
    assert np.flatnonzero(~keep[0]).tolist() == [0]
    matrix, w = hessian(x), weight[0].astype(np.float64)
    best = np.linalg.solve(matrix[1:, 1:], (matrix @ w)[1:])  # the others, given that w₀ is 0
    np.testing.assert_allclose(new[0, 1:], best, rtol=1e-4, atol=1e-6)


def test_where_inputs_are_independent_nothing_is_made_up_for():
    x = np.eye(8, dtype=np.float32) * np.arange(1, 9, dtype=np.float32)
    weight = np.random.default_rng(0).standard_normal((5, 8)).astype(np.float32)
    keep, new = solved(weight, x, 0.5)
    np.testing.assert_allclose(new, weight * keep, rtol=1e-6)
    damped = np.arange(1, 9) ** 2 + DAMPING * (np.arange(1, 9) ** 2).mean()
    saliency = weight.astype(np.float64) ** 2 * damped
    assert saliency[~keep].max() <= saliency[keep].min()


def test_a_copy_of_an_input_takes_over_from_it():
    """Two inputs that are always the same: removing one weight moves it to the other."""
    x = np.random.default_rng(0).standard_normal((50, 1)).astype(np.float32).repeat(2, axis=1)
    keep, new = solved(np.array([[1.0, 2.0]], np.float32), x, 0.5)
    assert keep.tolist() == [[False, True]]
    assert new[0, 1] == pytest.approx(3, abs=0.02)  # but for the damping


# ---------------------------------------------------------------- its own objective


def error(x, weight, new):
    """‖X Wᵀ − X W'ᵀ‖² of the inputs, float64."""
    return float(((x.astype(np.float64) @ (weight.astype(np.float64) - new).T) ** 2).sum())


def damped_error(x, weight, new):
    """The same by the damped Hessian: what the solver looks at."""
    change = weight.astype(np.float64) - new
    return float(np.einsum("ri,ij,rj->", change, hessian(x), change))


def lowest_kept(scores, removed):
    """The mask without update: the lowest scores of each block of columns go, as many as there."""
    return np.concatenate(
        [
            lowest_of_blocks([count])(0, scores[:, i * BLOCK : (i + 1) * BLOCK])
            for i, count in enumerate(removed)
        ],
        axis=1,
    )


@settings(max_examples=30)
@given(seed=seeds, sparsity=st.sampled_from([0.3, 0.5, 0.8]), width=st.sampled_from([24, 150]))
def test_the_error_is_never_above_magnitudes(seed, sparsity, width):
    weight, x = problem(12, width, 4 * width, seed)
    keep, new = solved(weight, x, sparsity)
    mask = lowest_kept(np.abs(weight), counts(weight, sparsity))
    assert (~mask).sum() == (~keep).sum()
    assert error(x, weight, new) <= error(x, weight, weight * mask)


@settings(max_examples=30)
@given(seed=seeds, sparsity=st.sampled_from([0.3, 0.5, 0.8]))
def test_the_error_of_a_wide_matrix_is_never_above_wandas(seed, sparsity):
    """Of two dozen columns it may be: a block's mask is chosen at once, from what it was before."""
    weight, x = problem(12, 150, 600, seed)
    keep, new = solved(weight, x, sparsity)
    mask = lowest_kept(np.abs(weight) * np.linalg.norm(x, axis=0), counts(weight, sparsity))
    assert (~mask).sum() == (~keep).sum()
    assert error(x, weight, new) <= error(x, weight, weight * mask)


@settings(max_examples=30)
@given(seed=seeds, pattern=st.sampled_from([Pattern(2, 4), Pattern(4, 8), Pattern(1, 4)]))
def test_the_error_over_groups_is_never_above_magnitudes_or_wandas(seed, pattern):
    weight, x = problem(12, 150, 600, seed)
    _, new = solved_groups(weight, x, pattern)
    own = error(x, weight, new)
    for scores in (np.abs(weight), np.abs(weight) * np.linalg.norm(x, axis=0)):
        mask = keep_largest_in_groups(scores.astype(np.float32), pattern)
        assert own <= error(x, weight, weight * mask)


@settings(max_examples=20)
@given(seed=seeds, sparsity=st.sampled_from([0.3, 0.5]))
def test_the_update_never_does_harm(seed, sparsity):
    """The same mask with the weights as they were is no better, by what the solver looks at."""
    weight, x = problem(12, 40, 60, seed)
    keep, new = solved(weight, x, sparsity)
    assert damped_error(x, weight, new) <= damped_error(x, weight, weight * keep) * (1 + 1e-5)


# ---------------------------------------------------------------- what is kept and what is not


@given(seed=seeds, sparsity=st.floats(0, 1))
def test_what_is_removed_is_zero_and_the_given_weights_stay(seed, sparsity):
    weight, x = problem(6, 20, 60, seed, silent=[0, 7])
    given_weight = torch.from_numpy(weight)
    found = factor(calibrations.inputs(x))
    keep, new = solve(given_weight, found, counts(weight, sparsity))
    np.testing.assert_array_equal(given_weight.numpy(), problem(6, 20, 60, seed, [0, 7])[0])
    assert new.dtype == torch.float32
    assert keep.dtype == np.bool_
    assert (~keep).sum() == round(sparsity * weight.size)
    assert not new.numpy()[~keep].any()
    assert np.isfinite(new.numpy()).all()


def test_at_level_0_nothing_changes_and_at_level_1_all_is_gone():
    weight, x = problem(6, 150, 300, silent=[3])
    keep, new = solved(weight, x, 0.0)
    assert keep.all()
    np.testing.assert_array_equal(new, weight)
    keep, new = solved(weight, x, 1.0)
    assert not keep.any()
    assert not new.any()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_solved_in_single(dtype):
    weight, x = problem(6, 20, 60)
    halved = torch.from_numpy(weight).to(dtype)
    found = factor(calibrations.inputs(x))
    keep, new = solve(halved, found, counts(weight, 0.5))
    same, wide = solve(halved.float(), found, counts(weight, 0.5))
    np.testing.assert_array_equal(keep, same)
    assert torch.equal(new, wide)


@pytest.mark.parametrize("view", ["transposed", "strided"])
def test_a_matrix_is_solved_however_it_lies_in_memory(view):
    """GPT-2's matrices are handed over as transposed views of what is stored."""
    weight, x = problem(6, 20, 60)
    plain = torch.from_numpy(weight)
    other = (
        plain.T.contiguous().T if view == "transposed" else plain.repeat_interleave(2, 1)[:, ::2]
    )
    assert not other.is_contiguous()
    found = factor(calibrations.inputs(x))
    for solver, what in ((solve, counts(weight, 0.5)), (solve_groups, Pattern(2, 4))):
        (keep, new), (same, expected) = solver(other, found, what), solver(plain, found, what)
        np.testing.assert_array_equal(keep, same)
        assert torch.equal(new, expected)


# ---------------------------------------------------------------- inputs that make it hard


def test_weights_of_silent_inputs_go_first_and_those_kept_stay_as_they_are():
    weight, x = problem(4, 12, 60, silent=[1, 5, 6])
    weight[:, [1, 5, 6]] = 100
    keep, new = solved(weight, x, 0.5)
    assert not keep[:, [1, 5, 6]].any()
    keep, new = solved(weight, x, 6 / 48)  # fewer than the silent ones, twelve: the first in order
    assert keep.sum(axis=1).tolist() == [9, 9, 12, 12]
    np.testing.assert_array_equal(new, weight * keep)
    keep, new = solved_groups(weight, x, Pattern(3, 4))
    assert not keep[:, 1].any()
    assert not keep[:, 5].any()
    np.testing.assert_array_equal(new[:, 6], weight[:, 6])
    assert keep[:, 6].all()


def test_inputs_that_are_all_silent_leave_nothing_to_make_up_for():
    weight = np.random.default_rng(0).standard_normal((3, 8)).astype(np.float32)
    keep, new = solved(weight, np.zeros((5, 8)), 0.25)
    np.testing.assert_array_equal(new, weight * keep)
    assert (~keep).sum() == 6


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
@pytest.mark.parametrize("width", [20, 200])
def test_singular_products_are_solved_with_the_papers_damping(hard, width):
    weight, x = problem(6, width, 400)
    x = HARD[hard](x).astype(np.float32)
    found = factor(calibrations.inputs(x))
    assert found.damping == DAMPING
    assert second_order.note(found) == ""
    assert found.silent.tolist() == (~x.any(axis=0)).tolist()
    keep, new = solve(torch.from_numpy(weight), found, counts(weight, 0.5))
    assert (~keep).sum() == round(0.5 * weight.size)
    assert torch.isfinite(new).all()
    own, without_update = (damped_error(x, weight, w) for w in (new.numpy(), weight * keep))
    assert own <= without_update * (1 + 1e-5)


@pytest.mark.parametrize(
    ("lowest", "damping"), [(-0.005, 0.01), (-0.05, 0.1), (-0.5, 1), (-70, 100)]
)
def test_more_damping_is_used_only_where_needed_and_said(lowest, damping):
    """Products that are not positive, as rounding can make them, by so much of the mean."""
    width = 10
    turn = np.linalg.qr(np.random.default_rng(0).standard_normal((width, width)))[0]
    values = np.ones(width)
    values[0] = lowest
    values[1:] *= (width - lowest) / (width - 1)  # the mean stays 1
    products = torch.from_numpy((turn * values @ turn.T * 3).astype(np.float32))
    inputs = Inputs(6, torch.zeros(width), products.diagonal().double(), products)
    found = factor(inputs)
    assert found.damping == pytest.approx(damping)
    matrix = turn * (values + damping) @ turn.T  # 3 · 2/6 = 1
    upper = np.linalg.cholesky(np.linalg.inv(matrix), upper=True)
    np.testing.assert_allclose(found.upper, upper, rtol=1e-3, atol=1e-4)
    note = second_order.note(found)
    assert note == ("" if damping == DAMPING else f"damped by {damping:g} of the mean diagonal")


@pytest.mark.parametrize("bad", [np.nan, np.inf, -1.0])
def test_products_that_cannot_be_factored_are_refused_in_one_line(bad):
    products = torch.eye(4)
    products[1, 1] = 1.0 if bad == -1 else bad
    if bad == -1:
        products *= -1
    inputs = Inputs(4, torch.zeros(4), torch.ones(4, dtype=torch.float64), products)
    with pytest.raises(RunError) as caught:
        factor(inputs)
    assert "cannot be factored" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_matrices_that_share_inputs_are_all_solved_from_the_same():
    """A query's, a key's and a value's inputs are one; solving one leaves them for the next."""
    weight, x = problem(6, 20, 60, silent=[3])
    inputs = calibrations.inputs(x)
    before = inputs.products.clone()
    first, second = factor(inputs), factor(inputs)
    assert torch.equal(inputs.products, before)
    assert torch.equal(first.upper, second.upper)
    assert torch.equal(first.silent, second.silent)
    quota = counts(weight, 0.5)
    one, two = (
        method("sparsegpt").prune_matrix(torch.from_numpy(weight), inputs, quota) for _ in range(2)
    )
    np.testing.assert_array_equal(one.mask, two.mask)
    assert torch.equal(one.weight, two.weight)


@pytest.mark.parametrize("name", ["sparsegpt", "nm-sparsegpt"])
def test_a_method_says_when_it_needed_more_damping(name):
    weight, x = problem(4, 8, 30)
    inputs = calibrations.inputs(x)
    level = np.array([16]) if name == "sparsegpt" else Pattern(2, 4)
    assert method(name).prune_matrix(torch.from_numpy(weight), inputs, level).note == ""
    harder = calibrations.inputs(x)
    harder.products[0, 1] = harder.products[1, 0] = 3 * float(harder.products.diagonal().max())
    kept = method(name).prune_matrix(torch.from_numpy(weight), harder, level)
    assert kept.note.startswith("damped by ")
    assert (~kept.mask).sum() == 16
    assert torch.isfinite(kept.weight).all()
