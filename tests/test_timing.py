"""Timing follows its schedule to the run, on a clock that the tests hold."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analysis.execution.timing import Schedule, interleaved_samples


class Clock:
    """A clock that only runs as long as what is timed says; `log` holds who ran."""

    def __init__(self):
        self.now = 0.0
        self.log = []

    def __call__(self):
        return self.now

    def cell(self, name, *seconds):
        """A run that takes these seconds in turn, the last for ever after."""
        left = list(seconds)

        def run():
            self.log.append(name)
            self.now += left.pop(0) if len(left) > 1 else left[0]

        return run


SHORT = Schedule(warmup_runs=2, warmup_seconds=100, min_runs=5, min_seconds=0, max_seconds=1000)


def measured(schedule, *seconds):
    """The samples of one cell, and how often it ran in all."""
    clock = Clock()
    samples = interleaved_samples({"a": clock.cell("a", *seconds)}, schedule, clock)
    return samples["a"], len(clock.log)


def test_the_default_schedule_is_the_one_of_the_facts():
    schedule = Schedule()
    assert (schedule.warmup_runs, schedule.warmup_seconds) == (10, 5.0)
    assert (schedule.min_runs, schedule.min_seconds, schedule.max_seconds) == (10, 1.0, 60.0)
    assert schedule.FEWEST == 3


# ---------------------------------------------------------------- warming up


def test_a_quick_cell_warms_up_for_its_runs():
    samples, runs = measured(SHORT, 1.0)
    assert runs - len(samples) == 2


def test_a_slow_cell_warms_up_for_its_seconds():
    samples, runs = measured(replace(SHORT, warmup_runs=50, warmup_seconds=3), 1.0)
    assert runs - len(samples) == 3


def test_a_very_slow_cell_warms_up_once():
    samples, runs = measured(replace(SHORT, warmup_runs=50, warmup_seconds=3), 10.0)
    assert runs - len(samples) == 1


@pytest.mark.parametrize("changed", [{"warmup_runs": 0}, {"warmup_seconds": 0}])
def test_every_cell_warms_up_at_least_once(changed):
    samples, runs = measured(replace(SHORT, **changed), 1.0)
    assert runs - len(samples) == 1


def test_what_warming_up_took_is_in_no_sample():
    samples, _ = measured(SHORT, 50.0, 40.0, 1.0)
    assert samples == [1.0] * 5


# ---------------------------------------------------------------- how long


def test_a_cell_runs_at_least_its_runs():
    assert measured(SHORT, 1.0)[0] == [1.0] * 5


def test_a_cell_runs_at_least_its_seconds():
    assert measured(replace(SHORT, min_seconds=20), 1.0)[0] == [1.0] * 20


def test_a_cell_stops_at_its_longest_time():
    assert measured(replace(SHORT, min_runs=100, max_seconds=7), 2.0)[0] == [2.0] * 4


def test_no_cell_has_fewer_than_three_samples():
    assert measured(replace(SHORT, max_seconds=1), 100.0)[0] == [100.0] * 3
    assert measured(replace(SHORT, min_runs=1), 1.0)[0] == [1.0] * 3


def test_every_raw_sample_is_kept_in_order():
    samples, _ = measured(replace(SHORT, warmup_runs=1), 9.0, 1.0, 2.0, 4.0, 3.0, 5.0)
    assert samples == [1.0, 2.0, 4.0, 3.0, 5.0]


@given(
    second=st.floats(0.01, 50),
    min_runs=st.integers(3, 20),
    min_seconds=st.floats(0, 30),
    max_seconds=st.floats(0.1, 100),
)
def test_a_cell_is_done_as_soon_as_it_may_be(second, min_runs, min_seconds, max_seconds):
    schedule = replace(SHORT, min_runs=min_runs, min_seconds=min_seconds, max_seconds=max_seconds)

    def enough(count):
        spent = sum([second] * count)
        wanted = count >= min_runs and spent >= min_seconds
        return count >= 3 and (wanted or spent >= max_seconds)

    # 2**-20 s are exact on the fake clock, whose sums would otherwise round
    second = round(second * 2**20) / 2**20
    count = len(measured(schedule, second)[0])
    assert enough(count)
    assert not enough(count - 1)


# ---------------------------------------------------------------- taking turns


def rounds(log, size):
    """The log in rounds of so many runs."""
    return [log[i : i + size] for i in range(0, len(log), size)]


def test_cells_take_turns():
    clock = Clock()
    cells = {name: clock.cell(name, 1.0) for name in "abc"}
    interleaved_samples(cells, replace(SHORT, warmup_runs=1), clock)
    assert len(clock.log) == 3 + 5 * 3
    assert all(sorted(turn) == ["a", "b", "c"] for turn in rounds(clock.log, 3))


def test_no_cell_always_comes_after_the_same_one():
    clock = Clock()
    cells = {name: clock.cell(name, 1.0) for name in "abcd"}
    interleaved_samples(cells, replace(SHORT, warmup_runs=1, min_runs=40), clock)
    before = list(zip(clock.log, clock.log[1:], strict=False))
    for name in "abcd":
        assert len({first for first, second in before if second == name}) >= 3


def test_a_cell_that_is_done_sits_out():
    clock = Clock()
    cells = {"slow": clock.cell("s", 10.0), "quick": clock.cell("q", 1.0)}
    schedule = replace(SHORT, warmup_runs=1, min_runs=3, min_seconds=6)
    samples = interleaved_samples(cells, schedule, clock)
    assert all(sorted(turn) == ["q", "s"] for turn in rounds(clock.log[:8], 2))
    assert "".join(clock.log[8:]) == "qqq"
    assert samples == {"slow": [10.0] * 3, "quick": [1.0] * 6}


def test_a_slow_minute_falls_on_all_cells():
    """The machine is ten times slower for a while: the ratio of the medians does not move."""
    clock = Clock()

    def cell(seconds):
        def run():
            clock.now += seconds * (10 if 20 < clock.now < 200 else 1)

        return run

    schedule = replace(SHORT, min_runs=40)
    samples = interleaved_samples({"a": cell(1.0), "b": cell(2.0)}, schedule, clock)
    ratio = sorted(samples["b"])[20] / sorted(samples["a"])[20]
    assert ratio == pytest.approx(2.0, rel=0.2)


def test_an_error_of_a_cell_is_not_swallowed():
    def broken():
        raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        interleaved_samples({"a": broken}, SHORT)


def test_no_cells_give_no_samples():
    assert interleaved_samples({}, SHORT) == {}


def test_the_real_clock_counts_seconds():
    import time

    schedule = replace(SHORT, warmup_runs=1, min_runs=3)
    samples = interleaved_samples({"a": lambda: time.sleep(0.02)}, schedule)
    assert all(0.02 <= sample < 2 for sample in samples["a"])
