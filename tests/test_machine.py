"""What a machine is, its lock, the memory that a call adds, and what a whole run took."""

import ctypes
import dataclasses
import io
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import fake
import numpy as np
import pandas as pd
import pytest
import rehearsals
from accelerators import MACHINES, Driver, put_in

import studies
from analysis import study, tasks
from analysis.engine import gpus, limits, locks, machine, processes, progress
from analysis.engine import memory as needs
from analysis.engine.machine import (
    alone,
    alone_on_gpus,
    anonymous_bytes,
    beside_others,
    peak_of,
)
from analysis.engine.memo import Call
from analysis.engine.memory import Gauge, Needs, Peak
from analysis.errors import RequestError
from analysis.experiments import amounts, examples
from analysis.paper.data import Data
from analysis.paper.environment import tables as environment_tables

MB = 1 << 20


def test_the_identity_is_plain_and_the_same_each_time():
    assert (identity := machine.identity()) == machine.identity()
    assert identity.keys() == {"processor", "cores", "architecture", "accelerator"}
    assert all(isinstance(value, str | int) and value for value in identity.values())
    assert identity["cores"] == limits.cores() <= os.cpu_count()
    assert 2**28 < machine.memory_bytes() < 2**50
    here, there = processes.process_tag(), peak_of(processes.process_tag)[0]
    assert str(os.getpid()) in here != there


looks = []  # at the memory, by the sampling thread


def looking():
    looks.append(anonymous_bytes())
    return looks[-1]


def hold(megabytes):
    """Until the sampling thread has looked at it, however long that waits for a processor."""
    arrays, before, deadline = kept(megabytes), len(looks), time.monotonic() + 60
    while len(looks) < before + 2 and time.monotonic() < deadline:  # one was perhaps half done
        time.sleep(0.005)
    return len(arrays)


def kept(megabytes, count=1):
    return [np.ones(megabytes * MB // count, dtype=np.uint8) for _ in range(count)]


def test_the_peak_is_what_was_held_at_most(monkeypatch):
    monkeypatch.setattr(machine, "anonymous_bytes", looking)
    ballast = kept(128)  # does not count
    freed = kept(32, 8192)[::512]  # what lay between is there to be used again, and counts if it is
    for what, expected, function, prepare in (
        ("nothing", 0, lambda: 1, None), ("little", 16, lambda: hold(16), None),
        ("much", 200, lambda: hold(200), None), ("the result", 32, lambda: kept(32), None),
        ("two in turn", 64, lambda: hold(64) * hold(32), None),
        ("small blocks", 33, lambda: len(kept(32, 8192)) // 8192, None),
        # what was prepared counts, its making does not
        ("prepared", 48, lambda held: hold(16) * held[0][-1], lambda: kept(32 * len(kept(96)))),
    ):  # fmt: skip
        result, peak = peak_of(function, prepare)
        assert np.all(np.asarray(result) == 1), what
        assert 0 <= peak == pytest.approx(expected * MB, abs=6 * MB), what
    assert ballast[0][0] == freed[0][0] == 1


class StrangeError(Exception):  # cannot be made again from its arguments alone
    def __init__(self, place, what):
        super().__init__(f"{place}: {what}")


def test_the_caller_is_not_changed_and_errors_are_raised_here_as_there():
    state = []

    def fail(error):
        state.append(1)
        raise error

    for error in (ValueError("what went wrong"), RequestError("one line"), KeyError("a")):
        with pytest.raises(type(error)) as caught:
            peak_of(lambda error=error: fail(error))
        assert caught.value.args == error.args
    with pytest.raises(RuntimeError, match="StrangeError: here: the very words"):
        peak_of(lambda: fail(StrangeError("here", "the very words")))
    with pytest.raises(RuntimeError, match="cannot be pickled"):
        peak_of(lambda: lambda: 1)
    with pytest.raises(MemoryError, match="-9"):  # so Linux ends what takes too much
        peak_of(lambda: os.kill(os.getpid(), signal.SIGKILL))
    assert state == []


def hold_lock(lock, entered, seconds=0.0):
    with lock():
        entered.set()
        time.sleep(seconds)


def enters(lock):
    threading.Thread(target=hold_lock, args=(lock, it := threading.Event()), daemon=True).start()
    return it


def test_a_timing_and_anything_else_wait_for_each_other_and_ordinary_steps_do_not():
    for first, second in ((alone, alone), (alone, beside_others), (beside_others, alone)):
        with first():
            assert not (entered := enters(second)).wait(0.1)
        assert entered.wait(60)
    with beside_others():
        assert enters(beside_others).wait(60)
    with pytest.raises(ValueError, match="failed"), alone():
        raise ValueError("failed")
    assert enters(alone).wait(60)  # a failing step lets the machine go, and so does a killed one
    held = (fork := multiprocessing.get_context("fork")).Event()
    child = fork.Process(target=hold_lock, args=(alone, held, 600))
    child.start()
    assert held.wait(60)
    assert not (entered := enters(alone)).wait(0.1)
    child.kill()
    assert entered.wait(60)


def test_a_gpu_is_had_by_one_step_at_a_time_and_the_machine_by_others_beside_it(monkeypatch):
    put_in(monkeypatch, "hopper")
    with alone_on_gpus():
        assert enters(beside_others).wait(60)
        assert not (waiting := enters(alone_on_gpus)).wait(0.1)
        put_in(monkeypatch, "turing")  # what CUDA_VISIBLE_DEVICES lets another run see
        assert enters(alone_on_gpus).wait(60)
        assert not enters(alone).wait(0.1)
    assert waiting.wait(60)


def test_the_driver_is_asked_which_gpus_torch_could_use(monkeypatch):
    both = MACHINES["both"]
    for driver, built_for, expected in (
        (Driver(both), "'12.8'", both), (Driver(both), "None", ()), (None, "'12.8'", ()),
        (Driver(both, version=11_080), "'12.8'", ()),  # too old for this torch
        (Driver(both, refuses=100), "'12.8'", ()),  # CUDA_VISIBLE_DEVICES hides them
        (Driver(()), "'12.8'", ()),
    ):  # fmt: skip

        def library(name, driver=driver):
            if driver is None:
                raise OSError(f"{name}: no such file")
            return driver

        noted = f"debug = False\ncuda: Optional[str] = {built_for}\nhip: Optional[str] = None\n"
        with monkeypatch.context() as patched:
            patched.setattr(ctypes, "CDLL", library)
            patched.setattr(Path, "read_text", lambda *_, noted=noted, **__: noted)
            assert gpus.usable.__wrapped__() == expected


@pytest.fixture
def said(monkeypatch):
    """What is said while something waits, after a moment that is short here."""
    lines = []
    monkeypatch.setattr(locks, "_SECONDS_BEFORE_A_WORD", 0.1)
    monkeypatch.setattr(locks, "_SECONDS_BETWEEN_LOOKS", 0.05)
    progress.say_to(lines.append)
    yield lines
    progress.say_to(None)


def hold_for_another(study, entered):
    """In a process of its own: hold the machine for a run of another project."""
    other = dataclasses.replace(locks.this_process(), pid=os.getpid(), study=study)
    locks.hold_for(dataclasses.replace(other, command="python -m analysis run"))
    hold_lock(beside_others, entered, 600)


def until(condition):
    deadline = time.monotonic() + 60
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert condition()


def test_who_waits_says_for_whom_and_whether_that_one_is_stopped(tmp_path, said, monkeypatch):
    monkeypatch.setattr(machine, "_LOCK", tmp_path / "lock")
    others, fork = [], multiprocessing.get_context("fork")
    for study_name in ("glue", "classic"):
        entered = fork.Event()
        others.append(fork.Process(target=hold_for_another, args=(study_name, entered)))
        others[-1].start()
        assert entered.wait(60)
    entered = enters(lambda: alone("gpt2: latency"))
    until(lambda: said)
    for other, name in zip(others, ("glue", "classic"), strict=True):
        assert f"process {other.pid} (python -m analysis run, study {name}, in " in said[0]
    assert said[0].startswith("  gpt2: latency: waiting for ")
    assert "stopped" not in said[0]
    os.kill(others[0].pid, signal.SIGSTOP)
    others[1].kill()
    stopped = f"which is stopped: `fg` in its terminal, or `kill -CONT {others[0].pid}"
    until(lambda: stopped in said[-1] and "classic" not in said[-1])
    assert not entered.is_set()
    others[0].kill()
    assert entered.wait(60)
    until(lambda: said[-1] == "  gpt2: latency: goes on")
    lines = len(said)
    with beside_others():
        assert len(said) == lines  # who need not wait says nothing
    for other in others:
        other.join()
    locks.sweep(tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["lock"]


CGROUPS = """
0::/a/b
4:memory:/docker/x
5:cpu,cpuacct:/docker/x
"""
MOUNTS = """
30 1 0:1 / /sys/fs/cgroup/unified\\040v2 rw - cgroup2 cgroup2 rw
31 1 0:2 /docker/x /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory
32 1 0:3 / /sys/fs/cgroup/cpu rw shared:1 - cgroup cgroup rw,cpu,cpuacct
"""


@pytest.mark.parametrize(("files", "memory", "cores"), [
    ({}, None, None),
    ({"unified v2/a/b/memory.max": "max\n", "unified v2/a/b/cpu.max": "max 100000"}, None, None),
    ({"unified v2/a/b/memory.max": "8000", "unified v2/a/memory.max": "9000"}, 8000, None),
    ({"unified v2/a/b/memory.max": "max", "unified v2/a/memory.max": "7000"}, 7000, None),
    ({"unified v2/a/b/cpu.max": "150000 100000", "unified v2/a/cpu.max": "50000 100000"}, None, 1),
    ({"memory/memory.limit_in_bytes": "9223372036854771712"}, None, None),
    ({"memory/memory.limit_in_bytes": "6000"}, 6000, None),
    ({"cpu/docker/x/cpu.cfs_quota_us": "100000", "cpu/docker/x/cpu.cfs_period_us": "100000"},
     None, 1),
    ({"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, None, None),
])  # fmt: skip
def test_memory_and_cores_are_those_that_a_container_is_given(tmp_path, files, memory, cores):
    listed = {f"sys/fs/cgroup/{name}": text for name, text in files.items()}
    listed |= {"proc/self/cgroup": CGROUPS[1:], "proc/self/mountinfo": MOUNTS[1:]}
    for name, text in listed.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text, encoding="utf-8")
    bare = tmp_path / "bare"  # a system without control groups
    assert limits.memory_bytes(tmp_path) == (memory or limits.memory_bytes(bare))
    assert limits.cores(tmp_path) == (cores or len(os.sched_getaffinity(0)))


def gauged(megabytes):
    gauge = Gauge()
    kept(megabytes)
    return gauge.peak().memory_bytes


def test_a_gauge_sees_what_was_held_since_it_was_made_here_or_by_a_child():
    before = gauged(0)
    assert 190 * MB <= gauged(200) - before <= 300 * MB
    if needs._CLEAR.exists():
        assert gauged(0) < before + 100 * MB  # what was held before it does not count
    gauge = Gauge()
    large = gauge.peak().memory_bytes + 200 * MB
    subprocess.run([sys.executable, "-ISc", f"b'x' * {large}"], check=True)
    assert gauge.peak().memory_bytes >= large
    assert Gauge().peak().memory_bytes < large  # of a step before


def test_a_run_and_the_paper_say_what_it_took():
    noted, first = Needs(), Peak(13_500_000_000, 2_000_000_000)
    for step, peak in (("one", Peak(9, 9)), ("gpt2|xl: latency", first), ("as much", first)):
        noted.note(step, peak)
    described = noted.described(42_100_000_000, 7200)
    assert list(needs.described_lines(described, 2)) == [
        "peak memory: 13.5 GB in 'gpt2|xl: latency', of 2 at a time",
        "peak GPU memory: 2.0 GB in 'gpt2|xl: latency', of 2 at a time",
        "disk: 42.1 GB added to the cache",
        "time: 2.0 h",
    ]
    said = ["disk: 0 MB added to the cache", "time: 1 s"]
    assert list(needs.described_lines(Needs().described(0, 1.0), 1)) == said
    data, columns = fake.data("one"), {"device": ["cpu"] * 2, "dtype": ["float32", "int8"]}
    scored = data.tables | {"quality": pd.DataFrame(columns)}
    without_gpu = {name: value for name, value in described.items() if "gpu" not in name}
    shown, less, none = (
        str(environment_tables.environment(Data(scored, data.environment | {"needs": took})))
        for took in (described, without_gpu, {})
    )
    for part in ("Peak memory", "13.5 GB in gpt2", "Added to the cache", "42.1 GB"):
        assert part in less
        assert part not in none
    assert "float32 on cpu&#44; int8 on cpu" in none
    assert ("Peak GPU memory" in shown, "GPU memory" in less) == (True, False)


def test_objects_count_and_what_they_link_to_does_not(tmp_path):
    own = tmp_path / "cache" / "objects" / "ab"
    (own / "abc").mkdir(parents=True)
    (tmp_path / "weights").write_bytes(b"0" * 1000)
    (own / "abc" / "config").write_bytes(b"0" * 10)
    (own / "abc" / "weights").symlink_to(tmp_path / "weights")
    before = needs.objects(tmp_path / "cache")
    (own / "abd").write_bytes(b"0" * 7)
    (own / "abd.stamp").write_bytes(b"0" * 99)
    after = needs.objects(tmp_path / "cache")
    assert (needs.bytes_of(before), needs.bytes_of(after - before)) == (10, 7)
    assert needs.objects(tmp_path / "none") == set()


def test_a_runner_notes_the_step_that_held_most(tmp_path):
    call = Call("tests.steps_for_tests:double", {"x": 3}, {"log": str(tmp_path / "log")})
    with rehearsals.started(tmp_path / "cache", io.StringIO()) as worker:
        worker.loop.run(worker.run(call))
        assert worker.needs.memory_step == call.label
        assert worker.needs.memory.memory_bytes > MB
        worker.needs = Needs()
        worker.loop.run(worker.run(call))
        assert worker.needs == Needs()  # remembered


def chosen(model, **more):
    own = {"name": "gpt2", "family": "decoder-only", "source": "hub"} | model
    return study.Study(**studies.tree(models=[own], examples={}, **more), name="x")


def test_a_rehearsal_has_a_whole_batch_of_every_training():
    own = {"id": "org/own", "tasks": ["sst2"], "fine_tune": ["sst2"]}
    for size in (8, 64, 200):
        batch = {"batch_size": size}
        found = [chosen(own, fine_tuning=batch), chosen(own | {"fine_tuning": batch})]
        for what in ("training", "gradual"):
            recovery = {"tasks": ["sst2"], "sparsities": [0.5], what: batch}
            found.append(chosen(own, protocols=["one-shot", "fine-tuned"], recovery=recovery))
        assert [amounts.rehearsed(each) for each in found] == [max(64, size)] * 4


def test_published_scores_do_not_stand_beside_those_on_own_files(tmp_path):
    model = {"id": "openai-community/gpt2", "tasks": ["wikitext2"]}
    own = {"data": {"wikitext2": {"test": str(tmp_path / "own.txt")}}}
    task = "wikitext2", tasks.task("wikitext2")
    assert examples._published(chosen(model), *task)
    assert not examples._published(chosen(model, **own), *task)
