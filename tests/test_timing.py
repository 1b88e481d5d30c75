"""Timing follows its schedule to the run, on a clock that the tests hold, in groups that fit."""

import weakref
from dataclasses import dataclass, field, replace

import pytest
from calibrations import refused
from hypothesis import given
from hypothesis import strategies as st

from analysis.errors import RunError
from analysis.execution.timing import Schedule, interleaved_samples
from analysis.steps.timing import groups
from analysis.steps.timing.groups import BESIDE, allowed_bytes, cells_of, in_groups
from analysis.steps.timing.variants import Entry

SHORT = Schedule(warmup_runs=2, warmup_seconds=100, min_runs=5, min_seconds=0, max_seconds=1000)


class Clock:
    """A clock that only runs as long as what is timed says; `log` holds who ran."""

    def __init__(self):
        self.now, self.log = 0.0, []

    def __call__(self):
        return self.now

    def cell(self, name, *seconds):
        """A run that takes these seconds in turn, the last for ever after."""
        left = list(seconds)

        def run():
            self.log.append(name)
            self.now += left.pop(0) if len(left) > 1 else left[0]

        return run


def measured(schedule, *seconds):
    """The runs that warmed one cell up, and its samples."""
    clock = Clock()
    samples = interleaved_samples({"a": clock.cell("a", *seconds)}, schedule, clock)["a"]
    return len(clock.log) - len(samples), samples


def test_a_cell_warms_up_and_runs_as_its_schedule_says():
    slow = {"warmup_runs": 50, "warmup_seconds": 3}
    for changes, seconds, warm_up, samples in (
        ({}, [1], 2, [1] * 5),  # a quick one warms up for its runs
        (slow, [1], 3, [1] * 5), (slow, [10], 1, [10] * 5),  # a slow one for its seconds
        ({"warmup_runs": 0}, [1], 1, [1] * 5), ({"warmup_seconds": 0}, [1], 1, [1] * 5),
        ({}, [50, 40, 1], 2, [1] * 5),  # what warming up took is in no sample
        ({"min_seconds": 20}, [1], 2, [1] * 20), ({"min_seconds": 4}, [1], 2, [1] * 5),
        ({"min_runs": 100, "max_seconds": 8}, [2], 2, [2] * 4),
        ({"max_seconds": 1}, [100], 1, [100] * 3), ({"min_runs": 1}, [1], 2, [1] * 3),  # no fewer
        ({"warmup_runs": 1}, [9, 1, 2, 4, 3, 5], 1, [1, 2, 4, 3, 5]),  # all, in order
    ):  # fmt: skip
        assert measured(replace(SHORT, **changes), *seconds) == (warm_up, samples), changes
    assert Schedule() == Schedule(10, 5.0, 10, 1.0, 60.0)


def test_cells_take_turns_and_none_always_comes_after_the_same_one():
    clock = Clock()
    cells = {name: clock.cell(name, 1.0) for name in "abcd"}
    interleaved_samples(cells, replace(SHORT, warmup_runs=1, min_runs=40), clock)
    assert len(clock.log) == 4 + 40 * 4
    assert all(sorted(clock.log[i : i + 4]) == [*"abcd"] for i in range(0, len(clock.log), 4))
    before = list(zip(clock.log, clock.log[1:], strict=False))
    for name in "abcd":
        assert len({first for first, second in before if second == name}) >= 3


def test_a_cell_that_is_done_sits_out():
    clock = Clock()
    cells = {"slow": clock.cell("s", 10.0), "quick": clock.cell("q", 1.0)}
    schedule = replace(SHORT, warmup_runs=1, min_runs=3, min_seconds=6)
    samples = interleaved_samples(cells, schedule, clock)
    assert all(sorted(clock.log[i : i + 2]) == ["q", "s"] for i in range(0, 8, 2))
    assert "".join(clock.log[8:]) == "qqq"
    assert samples == {"slow": [10.0] * 3, "quick": [1.0] * 6}
    assert interleaved_samples({}, SHORT) == {}


def test_errors_are_not_swallowed():
    with pytest.raises(ZeroDivisionError):
        interleaved_samples({"a": lambda: 1 / 0}, SHORT)


MEGABYTE = 10**6


class Model:  # it knows itself in a cycle, as some models do
    def __init__(self, size):
        self.size, self.itself = size, self


@dataclass
class Maker:
    sizes: dict
    nothing: frozenset = frozenset()
    most: int = 0
    alive: weakref.WeakSet = field(default_factory=weakref.WeakSet)
    made: list = field(default_factory=list)

    def make(self, cell):
        name = cell[0].name
        if name in self.nothing:
            return None
        self.alive.add(model := Model(self.sizes[name]))
        self.made.append(name)
        self.most = max(self.most, self.bytes_held(dict(enumerate(self.alive))))
        return model

    def bytes_to_add(self, cell):
        return self.sizes[cell[0].name]

    def bytes_held(self, models):
        return sum(model.size for model in models.values())


def grouped(maker, memory):
    cells = cells_of([Entry(name, "", None, ("torch dense",)) for name in maker.sizes])
    return in_groups(cells, maker, memory, lambda models: [entry.name for entry, _ in models])


@given(st.lists(st.integers(1, 50), min_size=1, max_size=12), st.integers(0, 99), st.integers(0, 3))
def test_groups_fit_and_miss_nobody(sizes, more, nothing):
    sizes = {str(i): size * MEGABYTE for i, size in enumerate(sizes)}
    allowed = sizes["0"] + max([*list(sizes.values())[1:], 0]) + BESIDE + more * MEGABYTE
    absent = frozenset(list(sizes)[1 : 1 + nothing])
    found = grouped(maker := Maker(sizes, absent), allowed)
    assert maker.most + BESIDE <= allowed
    assert all(group[0] == "0" for group in found)
    others = [name for group in found for name in group[1:]]
    assert sorted(others) == sorted(sizes.keys() - {"0"} - absent)
    assert sorted(maker.made) == sorted(sizes.keys() - absent)  # each of them once
    for enough in (None, sum(sizes.values()) + BESIDE):  # where nothing is said or all fit
        assert grouped(Maker(sizes), enough) == [list(sizes)]


def test_smaller_ones_go_before_what_does_not_fit_and_too_large_ones_are_refused_at_once():
    maker = Maker({"dense": 4, "a": 4, "b": 3, "c": 2, "d": 4})
    assert grouped(maker, 10 + BESIDE) == [["dense", "a", "c"], ["dense", "b"], ["dense", "d"]]
    for sizes in ({"m/dense": 6, "m/0.1": 1, "m/0.5": 7}, {"m/dense": 13}):
        maker = Maker({name: size * 10**9 for name, size in sizes.items()})
        refusal = refused(RunError, grouped, maker, 14 * 10**9)
        said = [f"{list(sizes)[-1]} cannot be timed", "1.1 GB for all else", "14.0 GB are allowed"]
        assert all(part in refusal for part in [*said, "`compute: memory_gb`"])
        assert maker.made == []


def test_on_a_gpu_its_own_free_memory_is_the_limit(monkeypatch):
    monkeypatch.setattr(groups.torch.cuda, "mem_get_info", lambda: (5, 9))
    assert [allowed_bytes(*of) for of in (("cuda", 7), ("cpu", 7), ("cpu", None))] == [5, 7, None]
