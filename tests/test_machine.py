"""What a machine is, its lock between processes, and the memory that a call adds."""

import multiprocessing
import os
import signal
import time

import numpy as np
import pytest

from analysis import machine, processes
from analysis.errors import RequestError

MB = 1 << 20
FORK = multiprocessing.get_context("fork")


# ---------------------------------------------------------------- what it is


def test_the_identity_is_plain_and_the_same_each_time():
    identity = machine.identity()
    assert identity == machine.identity()
    assert identity.keys() == {"processor", "cores", "architecture", "accelerator"}
    assert all(isinstance(value, str | int) and value for value in identity.values())
    assert identity["cores"] >= 1


def test_memory_is_counted_in_bytes():
    assert 2**28 < machine.memory_bytes() < 2**50


def test_processes_have_distinct_tags():
    tags = [processes.process_tag(), machine.peak_of(processes.process_tag)[0]]
    assert len(set(tags)) == 2
    assert str(os.getpid()) in tags[0]


# ---------------------------------------------------------------- the memory of a call


def allocate(megabytes, seconds=0.05):
    """Touch that much memory, hold it for a moment, and let it go."""
    array = np.ones(megabytes * MB, dtype=np.uint8)
    time.sleep(seconds)
    return int(array[-1])


@pytest.mark.parametrize("megabytes", [16, 64, 200])
def test_the_peak_is_what_was_held_at_most(megabytes):
    result, peak = machine.peak_of(lambda: allocate(megabytes))
    assert result == 1
    assert peak == pytest.approx(megabytes * MB, abs=6 * MB)


def test_the_peak_of_two_in_turn_is_that_of_the_larger():
    _, peak = machine.peak_of(lambda: (allocate(64), allocate(32)))
    assert peak == pytest.approx(64 * MB, abs=6 * MB)


def test_what_was_held_before_does_not_count():
    ballast = np.ones(128 * MB, dtype=np.uint8)
    _, peak = machine.peak_of(lambda: allocate(16))
    assert peak == pytest.approx(16 * MB, abs=6 * MB)
    assert ballast[0] == 1


def test_nothing_adds_nearly_nothing():
    result, peak = machine.peak_of(lambda: "nothing")
    assert result == "nothing"
    assert 0 <= peak < 4 * MB


def test_what_is_kept_counts_as_well():
    result, peak = machine.peak_of(lambda: np.ones(32 * MB, dtype=np.uint8))
    assert result.nbytes == 32 * MB
    assert result.all()
    assert peak >= 31 * MB


def test_what_was_prepared_counts_and_its_making_does_not():
    def prepare():
        allocate(96)
        return np.ones(32 * MB, dtype=np.uint8)

    result, peak = machine.peak_of(lambda held: allocate(16) + int(held[-1]), prepare)
    assert result == 2
    assert peak == pytest.approx(48 * MB, abs=6 * MB)


def test_the_caller_is_not_changed():
    state = []
    machine.peak_of(lambda: state.append(1))
    assert state == []


@pytest.mark.parametrize(
    "error", [ValueError("what went wrong"), RequestError("one line"), KeyError("a")]
)
def test_an_error_is_raised_here_as_it_was_there(error):
    def fail():
        raise error

    with pytest.raises(type(error)) as caught:
        machine.peak_of(fail)
    assert caught.value.args == error.args


def test_a_call_that_is_killed_is_a_memory_error():
    """That is how Linux ends a process that takes too much."""
    with pytest.raises(MemoryError, match="-9"):
        machine.peak_of(lambda: os.kill(os.getpid(), signal.SIGKILL))


class StrangeError(Exception):
    """An error that cannot be made again from its arguments alone, as those of some libraries."""

    def __init__(self, place, what):
        super().__init__(f"{place}: {what}")


def test_an_error_that_cannot_travel_still_says_what_it_was():
    def fail():
        raise StrangeError("here", "the very words")

    with pytest.raises(Exception, match="the very words"):
        machine.peak_of(fail)


def test_a_result_that_cannot_travel_is_not_taken_for_a_lack_of_memory():
    with pytest.raises(Exception, match="pickle") as caught:
        machine.peak_of(lambda: lambda: 1)
    assert not isinstance(caught.value, MemoryError)


# ---------------------------------------------------------------- alone and beside others


def _hold(lock, seconds, begun, ended):
    with lock():
        begun.value = time.monotonic()
        time.sleep(seconds)
        ended.value = time.monotonic()


def spans(first, second):
    """When each of two processes held its lock, the first being there before the second asks."""
    times, children = [], []
    for lock in (first, second):
        begun, ended = FORK.Value("d", 0), FORK.Value("d", 0)
        child = FORK.Process(target=_hold, args=(lock, 0.3, begun, ended))
        child.start()
        while lock is first and not times and not begun.value:
            time.sleep(0.005)
        times.append((begun, ended))
        children.append(child)
    for child in children:
        child.join()
    return [(begun.value, ended.value) for begun, ended in times]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (machine.alone, machine.alone),
        (machine.alone, machine.beside_others),
        (machine.beside_others, machine.alone),
    ],
)
def test_a_timing_and_anything_else_wait_for_each_other(first, second):
    (_, ended), (begun, _) = spans(first, second)
    assert begun >= ended


def test_ordinary_steps_run_beside_each_other():
    (_, ended), (begun, _) = spans(machine.beside_others, machine.beside_others)
    assert begun < ended


def _die_holding(begun):
    with machine.alone():
        begun.set()
        time.sleep(60)


def test_a_killed_process_lets_the_machine_go():
    begun = FORK.Event()
    child = FORK.Process(target=_die_holding, args=(begun,))
    child.start()
    assert begun.wait(timeout=10)
    child.kill()
    child.join()
    with machine.alone():
        pass


def test_a_failing_step_lets_the_machine_go():
    with pytest.raises(ValueError, match="failed"), machine.alone():
        raise ValueError("failed")
    with machine.alone():
        pass


def test_peak_counts_memory_that_reuses_what_was_freed_before():
    blocks = [np.ones(4096, dtype=np.uint8) for _ in range(8192)]  # 32 MB of small blocks
    keep = blocks[::512]
    del blocks
    _, peak = machine.peak_of(lambda: len([np.ones(4096, dtype=np.uint8) for _ in range(8192)]))
    assert len(keep) == 16
    assert peak >= 24e6
