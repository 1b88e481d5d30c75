"""N:M patterns: what a text says, and which of a group's neighbours are kept."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from analysis.errors import RequestError
from analysis.pruning.groups import keep_largest_by_group, keep_largest_in_groups, pieces
from analysis.pruning.patterns import Pattern, parse
from analysis.pruning.scope import Scope

# ---------------------------------------------------------------- texts


@given(group=st.integers(2, 32), data=st.data())
def test_a_pattern_is_read_as_it_is_written(group, data):
    kept = data.draw(st.integers(1, group - 1))
    pattern = parse(f"{kept}:{group}")
    assert pattern == Pattern(kept, group)
    assert parse(str(pattern)) == pattern
    assert pattern.sparsity == pytest.approx((group - kept) / group)


@pytest.mark.parametrize(
    ("text", "sparsity"),
    [("2:4", 0.5), ("4:8", 0.5), ("1:4", 0.75), ("3:4", 0.25), ("1:32", 31 / 32)],
)
def test_sparsity_is_the_share_removed(text, sparsity):
    assert parse(text).sparsity == sparsity


@pytest.mark.parametrize(
    "text",
    [
        *(
            "",
            ":",
            "2",
            "2:",
            ":4",
            "2:4:8",
            "2/4",
            "2-4",
            "2 : 4",
            " 2:4",
            "2:4 ",
            "2:4\n",
            "2:4\0",
        ),
        *("0:4", "4:4", "5:4", "4:2", "0:0", "-2:4", "+2:4", "2.0:4", "2e0:4", "0x2:4", "2:-4"),
        *("2:33", "1:999", "2:1000", "1:99999999999999999999", "1" * 10_000 + ":4"),
        *("²:4", "２:４", "٢:٤", "two:four", "nan:4", "0.5", "2:4\n2:4", "a" * 5_000),
    ],
)
def test_what_is_no_pattern_is_refused_in_one_line(text):
    with pytest.raises(RequestError) as caught:
        parse(text)
    assert "is not N:M" in str(caught.value)
    assert "\n" not in str(caught.value)


@given(st.text(st.sampled_from("0123456789:. -"), max_size=6))
def test_any_text_is_a_pattern_or_refused(text):
    try:
        pattern = parse(text)
    except RequestError:
        return
    assert 0 < pattern.kept < pattern.group <= 32
    assert [int(part) for part in text.split(":")] == [pattern.kept, pattern.group]


# ---------------------------------------------------------------- groups

patterns = st.integers(2, 9).flatmap(
    lambda group: st.builds(Pattern, st.integers(1, group - 1), st.just(group))
)
floats = st.one_of(
    st.floats(0, width=32),
    st.sampled_from([0.0, -0.0, 1.0, 1e-45, 2e-45, 3.4e38]),  # ties, and neighbours
)
saliencies = hnp.arrays(
    np.float32, hnp.array_shapes(min_dims=2, max_dims=2, max_side=20), elements=floats
)


def by_sorting(saliency, pattern):
    """The plainest way to the same mask: a stable sort of each whole group."""
    keep = np.ones(saliency.shape, bool)
    for row, kept in zip(saliency, keep, strict=True):
        for start in range(0, len(row) - len(row) % pattern.group, pattern.group):
            group = [(abs(float(row[i])), i) for i in range(start, start + pattern.group)]
            for _, i in sorted(group)[: pattern.group - pattern.kept]:
                kept[i] = False
    return keep


@given(saliency=saliencies, pattern=patterns)
def test_groups_keep_what_sorting_keeps(saliency, pattern):
    np.testing.assert_array_equal(
        keep_largest_in_groups(saliency, pattern), by_sorting(saliency, pattern)
    )


@given(saliency=saliencies, pattern=patterns)
def test_each_whole_group_keeps_exactly_n_and_the_rest_is_kept(saliency, pattern):
    keep = keep_largest_in_groups(saliency, pattern)
    whole = saliency.shape[1] // pattern.group * pattern.group
    groups = keep[:, :whole].reshape(len(keep), -1, pattern.group)
    assert (groups.sum(axis=2) == pattern.kept).all()
    assert keep[:, whole:].all()


def test_zeros_of_either_sign_are_equals_and_the_first_go():
    saliency = np.array([[-0.0, 0.0, -0.0, 0.0], [0.0, -0.0, 1e-45, -0.0]], np.float32)
    keep = keep_largest_in_groups(saliency, Pattern(2, 4))
    assert keep.tolist() == [[False, False, True, True], [False, False, True, True]]


def test_rows_and_groups_do_not_mix():
    """The largest of one group are smaller than the smallest of the next."""
    saliency = np.arange(48, dtype=np.float32).reshape(4, 12)
    keep = keep_largest_in_groups(saliency, Pattern(1, 4))
    np.testing.assert_array_equal(keep, np.arange(48).reshape(4, 12) % 4 == 3)


@pytest.mark.parametrize("shape", [(0, 8), (3, 0), (0, 0), (1, 1), (5, 3)])
def test_what_has_no_whole_group_is_kept(shape):
    keep = keep_largest_in_groups(np.ones(shape, np.float32), Pattern(2, 4))
    assert keep.shape == shape
    assert keep.all()


def test_a_view_that_is_not_contiguous_is_taken_like_its_copy():
    saliency = np.random.default_rng(0).random((24, 16), np.float32)
    for view in (saliency.T, saliency[::2, ::3], saliency[:, ::-1]):
        np.testing.assert_array_equal(
            keep_largest_in_groups(view, Pattern(2, 4)), by_sorting(view, Pattern(2, 4))
        )


@given(rows=st.integers(0, 200))
def test_pieces_are_all_rows_once_and_in_order(rows):
    assert [row for piece in pieces(rows) for row in range(rows)[piece]] == list(range(rows))


@pytest.mark.parametrize("pattern", [Pattern(2, 4), Pattern(4, 8), Pattern(1, 4)])
def test_groups_lie_along_the_inputs_whichever_way_a_matrix_is_stored(pattern):
    """A Conv1D's matrix is stored [in, out]: its groups go down the columns."""
    weight = np.random.default_rng(0).standard_normal((10, 24)).astype(np.float32)
    expected = by_sorting(np.abs(weight), pattern)
    stored = Scope({"linear": weight, "conv": weight.T}, by_input=frozenset({"conv"}))
    masks = keep_largest_by_group(stored, pattern)
    np.testing.assert_array_equal(masks["linear"], expected)
    np.testing.assert_array_equal(masks["conv"], expected.T)


def test_a_stack_of_matrices_is_grouped_along_its_last_axis():
    weight = np.random.default_rng(0).standard_normal((3, 5, 8)).astype(np.float32)
    masks = keep_largest_by_group(Scope({"experts": weight}), Pattern(2, 4))
    for one, mask in zip(weight, masks["experts"], strict=True):
        np.testing.assert_array_equal(mask, by_sorting(one, Pattern(2, 4)))
