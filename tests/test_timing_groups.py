"""What is timed together fits into memory, and every group has the dense model in it."""

import gc
import weakref
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analysis.errors import RunError
from analysis.steps import groups
from analysis.steps.groups import BESIDE, allowed_bytes, cells_of, in_groups
from analysis.steps.timed import Entry, beside_dense

MEGABYTE = 10**6


@pytest.fixture(autouse=True, scope="module")
def nothing_old_is_searched():
    """Memory is searched for cycles after each group: only what these tests make."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


class Model:
    """So many bytes; it knows itself in a cycle, as some models do."""

    def __init__(self, size):
        self.size, self.itself = size, self


@dataclass
class Maker:
    """Makes models that share nothing, and watches what is alive."""

    sizes: dict
    nothing: frozenset = frozenset()

    def __post_init__(self):
        self.alive, self.most, self.made = weakref.WeakSet(), 0, []

    def make(self, cell):
        if cell[0].name in self.nothing:
            return None
        model = Model(self.sizes[cell[0].name])
        self.alive.add(model)
        self.made.append(cell[0].name)
        self.most = max(self.most, sum(there.size for there in self.alive))
        return model

    def bytes_to_add(self, cell):
        return self.sizes[cell[0].name]

    def bytes_held(self, models):
        return sum(model.size for model in models.values())


def cells(sizes):
    return cells_of([Entry(name, "", None, ("torch dense",)) for name in sizes])


def grouped(sizes, memory, **more):
    """The names of each group, and the maker."""
    maker = Maker(sizes, **more)
    found = in_groups(
        cells(sizes), maker, memory, lambda models: [entry.name for entry, _ in models]
    )
    return found, maker


@given(
    st.lists(st.integers(1, 50), min_size=1, max_size=12), st.integers(0, 120), st.integers(0, 3)
)
def test_groups_fit_and_miss_nobody(sizes, more, nothing):
    sizes = {str(i): size * MEGABYTE for i, size in enumerate(sizes)}
    allowed = sizes["0"] + max([*list(sizes.values())[1:], 0]) + BESIDE + more * MEGABYTE
    absent = frozenset(list(sizes)[1 : 1 + nothing])
    found, maker = grouped(sizes, allowed, nothing=absent)
    assert maker.most + BESIDE <= allowed
    assert all(group[0] == "0" for group in found)
    others = [name for group in found for name in group[1:]]
    assert sorted(others) == sorted(sizes.keys() - {"0"} - absent)
    assert sorted(maker.made) == sorted(sizes.keys() - absent)  # each of them once


@given(st.lists(st.integers(1, 50), min_size=1, max_size=9))
def test_all_are_one_group_where_they_fit_or_nothing_is_said_of_memory(sizes):
    sizes = {str(i): size for i, size in enumerate(sizes)}
    for allowed in (None, sum(sizes.values()) + BESIDE):
        assert grouped(sizes, allowed)[0] == [list(sizes)]


def test_what_does_not_fit_is_left_for_a_later_group_and_smaller_ones_are_not():
    sizes = {"dense": 4, "a": 4, "b": 3, "c": 2, "d": 4}
    assert grouped(sizes, 10 + BESIDE)[0] == [["dense", "a", "c"], ["dense", "b"], ["dense", "d"]]


@pytest.mark.parametrize("sizes", [{"m/dense": 6, "m/0.5": 7}, {"m/dense": 13}])
def test_one_line_with_the_numbers_where_not_even_two_fit(sizes):
    sizes = {name: size * 10**9 for name, size in sizes.items()}
    with pytest.raises(RunError) as caught:
        grouped(sizes, 14 * 10**9)
    line = str(caught.value)
    for part in (f"{list(sizes)[-1]} cannot be timed", "1.1 GB for all else", "14.0 GB are allowed",
                 "`compute: memory_gb`"):  # fmt: skip
        assert part in line
    assert "\n" not in line


def test_nothing_is_made_before_all_are_known_to_fit():
    maker = Maker({"dense": 1, "a": 1, "b": 10 + BESIDE})
    with pytest.raises(RunError, match="b cannot be timed"):
        in_groups(cells(maker.sizes), maker, 10 + BESIDE, lambda _: None)
    assert not maker.made


def test_on_a_gpu_its_own_free_memory_is_the_limit(monkeypatch):
    monkeypatch.setattr(groups.torch.cuda, "mem_get_info", lambda: (5, 9))
    assert allowed_bytes("cuda", 7) == 5
    assert allowed_bytes("cpu", 7) == 7
    assert allowed_bytes("cpu", None) is None


def test_cells_of_later_groups_have_the_dense_samples_of_their_own():
    def cell(name, batch, *samples):
        return {"variant": name, "batch": batch, "samples_ms": list(samples)}

    groups = [
        [cell("dense", 1, 1.0), cell("a", 1, 2.0), cell("dense", 8, 3.0), cell("a", 8, 4.0)],
        [cell("dense", 1, 5.0), cell("b", 1, 6.0), cell("dense", 8, 7.0), cell("b", 8, 8.0)],
    ]
    assert beside_dense(groups[:1]) == groups[0]
    assert beside_dense(groups) == [
        *groups[0],
        cell("b", 1, 6.0) | {"dense_ms": [5.0]},
        cell("b", 8, 8.0) | {"dense_ms": [7.0]},
    ]
