"""Which weights go, and how many of each group; masks in their files and on their tensors."""

import itertools
import tracemalloc

import numpy as np
import pytest
from calibrations import CASES, refused
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from analysis.errors import RequestError
from analysis.pruning.allocation.sensitivity import BEYOND, MOST, allocate, counts
from analysis.pruning.groups.n_of_m import N_OF_M
from analysis.pruning.masks import Pruned, applied, number_kept, read_pruned, remove, write_pruned
from analysis.pruning.methods import magnitude, magnitude_layer
from analysis.pruning.outcome import unheard_inputs
from analysis.pruning.patterns import Pattern, parse
from analysis.pruning.scope import Scope
from analysis.pruning.scores.ranking import keys_of
from analysis.pruning.selection import select
from analysis.storage.reading import opened

LEVELS = [0.10, 0.50, 0.90, 0.95, 0.99]
SHA = "0123456789abcdef" * 4
floats32 = st.floats(width=32, allow_nan=False, allow_infinity=False) | st.sampled_from(
    [0.0, -0.0, 1.0, -1.0, 1e-45, -1e-45, 2e-45, 3.4e38, 0.5]  # ties, neighbours
)


def arrays(dtype, dims, side, elements=None):
    shapes = hnp.array_shapes(min_dims=dims[0], max_dims=dims[1], min_side=0, max_side=side)
    return hnp.arrays(dtype, shapes, elements=elements)


def by_sorting(weights, sparsity):
    """The plainest way: a stable sort of every |w|, tensors by name. Masks, and what goes last."""
    names = sorted(weights)
    flat = np.concatenate([np.abs(weights[name]).reshape(-1) for name in names])
    gone = np.argsort(flat, kind="stable")[: round(sparsity * flat.size)]
    keep = np.ones(flat.size, dtype=bool)
    keep[gone] = False
    parts = np.split(keep, np.cumsum([weights[name].size for name in names])[:-1])
    masks = {n: p.reshape(weights[n].shape) for n, p in zip(names, parts, strict=True)}
    return masks, float(flat[gone[-1]]) if gone.size else None


def smallest(weights, levels):
    return select(magnitude, Scope(weights), levels)


def assert_as_by_sorting(weights, levels):
    for w in weights.values():
        w.setflags(write=False)  # they are left as they are
    for sparsity, found in zip(levels, smallest(weights, levels), strict=True):
        masks, threshold = by_sorting(weights, sparsity)
        assert (found.sparsity, found.threshold) == (sparsity, threshold)
        assert (list(found.masks), len(found.masks)) == (sorted(weights), len(weights))
        for name, mask in masks.items():
            np.testing.assert_array_equal(found.masks[name], mask, strict=True)


@settings(max_examples=80)
@given(
    weights=st.dictionaries(
        st.text(min_size=1, max_size=3), arrays(np.float32, (0, 3), 5, floats32), min_size=1
    ),
    levels=st.lists(st.floats(0, 1) | st.sampled_from([0.0, 0.5, 1.0]), min_size=1, max_size=4),
)
def test_selection_is_that_of_a_stable_sort_at_each_level(weights, levels):
    """So exactly round(s·N) go, and among equals the first by name and position."""
    assert_as_by_sorting(weights, levels)


@settings(max_examples=4)
@given(seed=st.integers(0, 2**32), scale=st.sampled_from([1e-40, 1e-3, 1.0, 1e37]))
def test_many_weights_are_selected_as_by_sorting(seed, scale):
    generator = np.random.default_rng(seed)
    shapes = {"b.weight": (400, 85), "a.weight": (64, 64), "c": (7,), "d": (3, 4, 5)}
    made = {name: generator.standard_normal(shape) * scale for name, shape in shapes.items()}
    made["range"] = np.ldexp(1.0, np.arange(-149, 128))  # of float32
    made["neighbours"] = (np.float32(scale).view("u4") + np.arange(99, dtype="u4")).view("f4")
    assert_as_by_sorting({name: w.astype(np.float32) for name, w in made.items()}, LEVELS)


few_shapes = st.lists(st.tuples(st.integers(1, 6), st.integers(1, 8)), min_size=1, max_size=4)


@settings(max_examples=50)
@given(few_shapes, st.integers(0, 999), st.floats(0, 1))
def test_the_smallest_go_and_of_equal_ones_the_first_and_the_total_is_exact(sizes, seed, sparsity):
    chance = np.random.default_rng(seed)  # small whole numbers, so that many are equal
    weights = {f"t{i}": chance.integers(-4, 5, s).astype(np.float32) for i, s in enumerate(sizes)}
    before = {name: array.copy() for name, array in weights.items()}
    some = {name: chance.integers(0, a.size + 1, 1) for name, a in weights.items()}
    (alike,) = select(magnitude_layer, Scope(weights, frozenset({"t0"})), [sparsity])
    (own,) = select(magnitude_layer, Scope(weights), [sparsity], lambda level, sizes: some)
    gone = {name: int((~mask).sum()) for name, mask in alike.masks.items()}
    assert sum(gone.values()) == round(sparsity * sum(a.size for a in weights.values()))
    assert all(abs(gone[name] - sparsity * a.size) <= 1 for name, a in weights.items())
    for masks, numbers in ((alike.masks, gone), (own.masks, some)):
        for name, count in numbers.items():
            keep = np.ones(weights[name].size, bool)
            keep[
                np.argsort(np.abs(weights[name]).reshape(-1), kind="stable")[: int(np.sum(count))]
            ] = False
            np.testing.assert_array_equal(masks[name], keep.reshape(weights[name].shape))
    assert all(np.array_equal(weights[name], before[name]) for name in weights)


def test_types_that_scopes_do_not_hold_are_refused():
    """Their bits do not order as those of what is read do: a wrong mask is worse than none."""
    for dtype in ("float16", "int32"):
        weights = {"x": np.ones(4, np.float32), "y": np.ones(4, dtype)}
        with pytest.raises(TypeError, match=f"{dtype} is not ranked"):
            list(smallest(weights, [0.5]))


def test_a_pattern_is_read_as_it_is_written_or_refused():
    for kept, group in [(2, 4), (4, 8), (1, 4), (3, 4), (1, 2), (1, 32), (31, 32)]:
        pattern = parse(f"{kept}:{group}")
        assert (pattern, str(pattern)) == (Pattern(kept, group), f"{kept}:{group}")
        assert pattern.sparsity == 1 - kept / group
    for text in [*CASES["no patterns"], "1" * 10_000 + ":4", "a" * 5_000]:
        assert "is not N:M" in refused(RequestError, parse, text), text


def grouped_by_sorting(saliency, pattern):
    """The plainest way: a stable sort of each whole group, rows being along the last axis."""
    keep = np.ones(saliency.shape, bool)
    for at in np.ndindex(saliency.shape[:-1]):
        row = np.abs(saliency[at])
        for start in range(0, len(row) - len(row) % pattern.group, pattern.group):
            order = np.argsort(row[start : start + pattern.group], kind="stable")
            keep[at][start + order[: pattern.group - pattern.kept]] = False
    return keep


@given(arrays(np.float32, (2, 2), 20, floats32), st.integers(1, 8), st.integers(1, 8))
def test_groups_keep_what_sorting_keeps(saliency, kept, more):
    """Exactly N of each whole group, and all of what is left over at the end of a row."""
    pattern = Pattern(kept, kept + more)
    keep = N_OF_M.keep(keys_of(saliency), pattern)
    np.testing.assert_array_equal(keep, grouped_by_sorting(saliency, pattern), strict=True)


def test_views_are_taken_like_their_copies():
    whole = np.random.default_rng(0).standard_normal((24, 16)).astype(np.float32)
    for view in (whole.T, whole[::2, ::3], whole[:, ::-1], np.asfortranarray(whole)):
        keep = N_OF_M.keep(keys_of(view), Pattern(2, 4))
        np.testing.assert_array_equal(keep, grouped_by_sorting(view, Pattern(2, 4)))
        assert_as_by_sorting({"x": view}, LEVELS)


names = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=6)


@settings(max_examples=50)
@given(
    masks=st.dictionaries(names, arrays(np.bool_, (0, 3), 9), max_size=4),
    dtype=st.sampled_from([np.float16, np.float32]),
    seed=st.integers(0),
)
def test_masks_and_the_values_they_keep_come_back(tmp_path_factory, masks, dtype, seed):
    """Kept zeros of either sign stay kept, and a tensor without a mask comes back whole; narrow
    floats come back as float32."""
    path = tmp_path_factory.getbasetemp() / "valued"
    choices = np.array([0.0, -0.0, np.nan, 1.5], dtype)
    generator = np.random.default_rng(seed)
    valued = list(masks)[: -1 if seed % 2 else None]  # the last mask may have no values
    values = {name: generator.choice(choices, masks[name].shape) for name in valued}
    values["bias:"] = generator.choice(choices, 5)
    made = set()
    for _ in range(2):  # a file's digest is part of what is remembered of a variant
        write_pruned(path, Pruned(masks, values), SHA)
        made.add(path.read_bytes())
        masks, values = (dict(reversed(given.items())) for given in (masks, values))
    assert len(made) == 1
    with opened(path) as stored:
        assert stored.metadata["weights_sha256"] == SHA
    back = read_pruned(path)
    assert (list(back.masks), len(back.masks)) == (sorted(masks), len(masks))
    for name, mask in masks.items():
        np.testing.assert_array_equal(back.masks[name], mask, strict=True)
    assert (back.values.keys(), len(back.values)) == (values.keys(), len(values))
    for name, value in values.items():
        kept = np.where(masks[name], value, dtype(0)) if name in masks else value
        assert back.values[name].shape == value.shape
        assert back.values[name].tobytes() == kept.astype(np.float32).tobytes()


def test_files_and_what_is_read_take_a_bit_a_weight_and_what_is_kept(tmp_path):
    """So that the masks of a large model lie in memory beside it; a view is written in order."""
    path = tmp_path / "masks"
    mask = np.zeros((1000, 800), bool)
    mask[:, 7] = True  # little is kept: less than a bit a weight
    write_pruned(path, Pruned({"a": mask}), SHA)
    assert path.stat().st_size < 2 * 1000 + 4 * 1001 + 1000
    np.testing.assert_array_equal(read_pruned(path).masks["a"], mask)

    mask = (np.random.default_rng(0).random((800, 1000)) < 0.1).T
    values = np.ones((1000, 800), np.float32)
    write_pruned(path, Pruned({"a": mask}, {"a": values, "b": values[0]}), SHA)
    tracemalloc.start()
    back, (held, _) = read_pruned(path), tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert held < mask.size / 8 + 4 * mask.sum() + 4 * 800 + 50_000
    assert ["a" in back.masks, "b" in back.masks] == [True, False]
    assert number_kept(path) == {"a": mask.sum(), "b": 800}
    for found in (back.masks["a"], back.values["a"]):
        np.testing.assert_array_equal(found, mask)
    np.testing.assert_array_equal(back.values["b"], np.ones(800))


def test_applying_keeps_every_bit_of_what_is_kept_and_type_shape_and_inputs():
    values = np.array([[1.5, -0.0, np.nan], [-2.0, np.inf, 1e-45]])
    mask = np.array([[True, True, True], [False, False, True]])
    for dtype in (np.float16, np.float32, np.float64):
        weights = {"a": values.astype(dtype), "b": np.ones(2, dtype)}
        left = applied(weights, Pruned({"a": mask}))
        expected = np.array([[1.5, -0.0, np.nan], [0, 0, 1e-45]]).astype(dtype)
        assert (left["a"].dtype, left["a"].shape) == (dtype, (2, 3))
        assert left["a"].tobytes() == expected.tobytes()
        assert left["b"] is weights["b"]
        assert weights["a"].tobytes() == values.astype(dtype).tobytes()
        changed = {"a": np.arange(6, dtype=dtype).reshape(2, 3), "b": np.full(2, 3, dtype)}
        left = applied(weights, Pruned({"a": mask}, changed))
        assert (left["a"].tolist(), left["b"].tolist()) == ([[0, 1, 2], [0, 0, 5]], [3, 3])


def test_what_fits_no_tensor_is_refused_by_name():
    """Broadcasting would spread a mask over the tensor: a wrong number, and no error."""
    weights = {"tensor.weight": np.ones((2, 3), np.float32)}
    for shape in [(1,), (3,), (1, 3), (2, 1), (3, 2), (6,), ()]:
        for name in ("tensor.weight", "strange"):
            mask, value = {name: np.zeros(shape, bool)}, {name: np.zeros(shape)}
            assert name in refused(ValueError, applied, weights, Pruned(mask))
            assert name in refused(ValueError, applied, weights, Pruned({}, value))


def test_removing_in_place_is_applying():
    """Of a selection's masks too, which are written out as they are asked for."""
    weights = {"a": np.random.default_rng(0).standard_normal((37, 21)).astype(np.float32)}
    weights["a"][3] = 0.5  # ties at the threshold
    for found in smallest(weights, [0.0, 0.001, 0.3, 0.5, 0.9]):
        left = {"a": weights["a"].copy()}
        remove(left, found.masks)
        np.testing.assert_array_equal(left["a"], applied(weights, Pruned({**found.masks}))["a"])


def test_inputs_that_no_kept_weight_reads_are_counted_along_the_right_axis():
    mask = np.ones((4, 6), bool)
    mask[:, :3] = False  # three of the inputs of a matrix [out, in], none of one [in, out]
    assert unheard_inputs({"bert.encoder.layer.0.intermediate.dense.weight": mask}, ()) == 0.5
    for own, expected in ((mask, 0.0), (np.zeros((4, 6), bool), 0.5)):
        by_input = {"h.0.mlp.c_fc.weight": own, "h.0.attn.c_proj.weight": mask[:2]}
        assert unheard_inputs(by_input, by_input) == expected
    assert unheard_inputs({"bert.embeddings.word_embeddings.weight": mask}, ()) is None


FLAT = 1e-6
NEAR = 1e-5  # what the least slopes may add up to
points = st.sampled_from([0.1, 0.3, 0.5, 0.7, 0.9])
losses_at = st.floats(0, 2).map(lambda x: round(x, 3))
curves = st.dictionaries(points, losses_at, min_size=1, max_size=3).map(lambda c: [*c.items()])
totals = st.floats(0, MOST)


def problems(names, most, **sizes):
    """Numbers of weights and measured losses, by group."""
    pairs = st.tuples(st.integers(1, most), curves)
    grouped = st.dictionaries(st.sampled_from(names), pairs, **sizes)
    return grouped.map(lambda g: [{name: pair[i] for name, pair in g.items()} for i in (0, 1)])


def under(points):
    """The greatest convex function under the points, by trying every line between two of them."""
    known = [(0.0, 0.0), *sorted(points)]
    rise = known[-1][1] / known[-1][0]
    known.append((MOST, known[-1][1] + BEYOND * max(rise, FLAT) * (MOST - known[-1][0])))
    lines = [(*a, *b) for a, b in itertools.combinations(known, 2)]
    return lambda x: min(y + (v - y) * (x - t) / (u - t) for t, y, u, v in lines if t <= x <= u)


def predicted(losses, shares):
    return sum(under(losses[name])(min(MOST, max(0.0, shares[name]))) for name in losses)


def assert_exact(found, sizes, sparsity):
    assert found.keys() == sizes.keys()
    assert sum(found.values()) == round(sparsity * sum(sizes.values()))
    assert all(0 <= found[name] <= sizes[name] for name in sizes)


@given(problem=problems("abcde", 10_000, min_size=1), pair=st.tuples(totals, totals).map(sorted))
def test_shares_make_exactly_the_total(problem, pair):
    """And none falls when the total grows."""
    sizes, losses = problem
    for sparsity in pair:
        shares = allocate(sizes, losses, sparsity)
        total = sum(sizes[name] * shares[name] for name in sizes) / sum(sizes.values())
        assert (shares.keys(), total) == (sizes.keys(), pytest.approx(sparsity, abs=1e-9))
        assert all(0 <= share <= MOST + 1e-12 for share in shares.values())
        assert_exact(counts(sizes, shares, sparsity), sizes, sparsity)
    less, more = (allocate(*problem, sparsity) for sparsity in pair)
    assert all(less[name] <= more[name] + 1e-9 for name in less)


@settings(max_examples=60)
@given(problem=problems("abc", 4, min_size=2, max_size=3), sparsity=totals)
def test_no_shares_of_a_fine_grid_lose_less(problem, sparsity):
    sizes, losses = problem
    best = predicted(losses, allocate(sizes, losses, sparsity))
    step = 0.02 if len(sizes) == 2 else 0.07  # MOST is a multiple of both
    grid = [min(MOST, i * step) for i in range(round(MOST / step) + 1)]
    *first, last = losses
    tables = {name: {x: under(losses[name])(x) for x in grid} for name in first}
    for shares in itertools.product(grid, repeat=len(first)):
        used = sum(sizes[name] * share for name, share in zip(first, shares, strict=True))
        rest = (sparsity * sum(sizes.values()) - used) / sizes[last]
        if 0 <= rest <= MOST:
            loss = sum(tables[name][share] for name, share in zip(first, shares, strict=True))
            assert best <= loss + under(losses[last])(rest) + NEAR


def test_a_total_that_cannot_be_is_refused():
    for sparsity in (-0.1, 0.981, 0.99, 1.0, 2.0, float("nan")):
        refusal = refused(ValueError, allocate, {"a": 10}, {"a": [(0.5, 0.1)]}, sparsity)
        assert "is not between 0 and 0.98" in refusal


@given(
    st.lists(st.tuples(st.integers(1, 5) | st.integers(1, 5000), st.floats(0, 1)), min_size=1),
    st.floats(0, 1),
)
def test_counts_are_exact_and_within_one_of_the_share_where_all_share_alike(tensors, sparsity):
    sizes = {f"{i:02d}": size for i, (size, _) in enumerate(tensors)}
    own = {f"{i:02d}": share for i, (_, share) in enumerate(tensors)}
    found = counts(sizes, own, sparsity)
    assert_exact(found, sizes, sparsity)
    assert found == counts(dict(reversed(sizes.items())), own, sparsity)
    found = counts(sizes, dict.fromkeys(sizes, sparsity), sparsity)
    assert all(abs(found[name] - sparsity * sizes[name]) <= 1 + 1e-6 for name in sizes)
    assert_exact(counts(sizes, dict.fromkeys(sizes, 0.0), sparsity), sizes, sparsity)
