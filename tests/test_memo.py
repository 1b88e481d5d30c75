"""A step is computed once for what goes into it; damage is mended; failures leave nothing."""

import contextlib
import dataclasses
import errno
import itertools
import json
import multiprocessing
import os
import shutil
import sys
import threading
from importlib.metadata import version
from pathlib import Path
from unittest.mock import patch

import damage
import joblib
import pytest
from filelock import FileLock
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis.commands import cache_status
from analysis.engine import code, machine, processes
from analysis.engine.memo import Call, Memo, objects_in
from analysis.engine.objects import DamagedError
from analysis.errors import MachineError, RunError

ROOT = Path(__file__).parents[1]
FORK = multiprocessing.get_context("fork")
PLAIN = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()
RECORDS = st.recursive(PLAIN, lambda x: st.lists(x, max_size=3)
                       | st.dictionaries(st.text(), x, max_size=3), max_leaves=8)  # fmt: skip
# nothing, and pickles of None, a list, a number, bytes and a word
NO_RECORDS = [b"", b"N.", b"\x80\x04]\x94.", b"\x80\x04K\x01.", b"\x80\x04C\x03a\nb."]
NO_RECORDS += [b"\x80\x04\x8c\x05hello."]


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT))  # where the steps are
    opened = Memo(tmp_path / "cache")
    opened.prepare()
    return opened


@pytest.fixture
def log(tmp_path):
    return tmp_path / "log"


def call(step, log, carried=(), **arguments):
    """A call of a step of steps_for_tests.py; where its log lies does not count."""
    return Call(f"tests.steps_for_tests:{step}", arguments, {"log": str(log), **dict(carried)})


def times_computed(log):
    return len(log.read_text().splitlines()) if log.exists() else 0


def test_a_step_is_computed_once_and_then_remembered_with_its_seconds(cache, log, monkeypatch):
    monkeypatch.delitem(sys.modules, "tests.steps_for_tests", raising=False)
    sleeping = call("double", log, {"seconds": 0.05}, x=4)
    assert (cache.lookup(sleeping), cache.has_entry(sleeping)) == (None, False)
    assert "tests.steps_for_tests" not in sys.modules  # nor is anything computed
    first, second = cache.run(sleeping), cache.run(sleeping)
    assert (first.how, second.how) == ("computed", "remembered")
    assert first.record == second.record == {"twice": 8}
    assert first.seconds >= 0.05
    assert second.seconds == round(first.seconds, 3)
    assert times_computed(log) == 1
    assert Memo(cache.folder).lookup(sleeping) == second
    # JSON has no tuples and no numbers as keys: the first run must not see what the next won't
    plain = call("tuples", log)
    assert cache.run(plain).record == cache.run(plain).record == {"pair": [1, 2], "by": {"1": "a"}}


@settings(max_examples=15)
@given(record=RECORDS)
def test_every_plain_record_comes_back_as_it_was(tmp_path_factory, record):
    opened = Memo(tmp_path_factory.mktemp("cache"))
    some = Call("tests.steps_for_tests:double", {})
    opened.store(some, {"value": record}, 1.25)
    assert opened.lookup(some).record == {"value": record}
    assert opened.lookup(some).seconds == 1.25


def test_the_key_is_canonical_json_of_what_decides_the_result_and_nothing_else(log):
    arguments = {"x": [1, 1.0, True, "1", None], "b": {"d": 3, "c": 2}}
    methods, libraries = ("analysis.pruning.methods.magnitude",), ("numpy", "none-such")
    plain = call("double", log, **arguments)
    plain = dataclasses.replace(plain, code=methods, libraries=libraries)
    parts = {"function": "tests.steps_for_tests:double", "arguments": arguments}
    parts |= {"code": code.digest(["tests.steps_for_tests", *methods])}
    parts |= {"libraries": {"none-such": "absent", "numpy": version("numpy")}}
    others = {"carried": {"log": "elsewhere"}, "label": "what a person calls it", "fresh": True}
    timed = parts | {"machine": machine.identity()}
    for changes, expected in (({}, parts), (others, parts), ({"timing": True}, timed)):
        key = dataclasses.replace(plain, **changes).key
        assert key == json.dumps(expected, sort_keys=True, separators=(",", ":"))


def test_what_json_does_not_have_is_no_argument(log):
    for value in (float("nan"), float("inf"), -float("inf")):
        with pytest.raises(ValueError, match="JSON"):
            _ = call("double", log, x=[value]).key
    for value in ({1, 2}, b"bytes", Path("x"), object()):
        with pytest.raises(TypeError):
            _ = call("double", log, x=value).key


def test_code_that_is_edited_during_a_run_is_not_remembered_as_the_other(cache, log, monkeypatch):
    doubling = call("double", log, x=1)
    own = json.loads(doubling.key)["code"]
    for seen, computed in (([""], 0), ([own, "edited"], 1)):
        digests = iter(seen)
        monkeypatch.setattr(code, "digest_now", lambda modules, digests=digests: next(digests))
        with pytest.raises(RunError, match=r"code of double was edited .*run again"):
            cache.run(doubling)
        assert times_computed(log) == computed
        assert not cache.has_entry(doubling)
    monkeypatch.undo()
    assert cache.run(doubling).how == "computed"


def test_two_keys_live_beside_each_other(cache, log):
    """Edits on two branches that share a cache do not forget each other's results."""
    for how in ("computed", "remembered"):
        for modules in ((), ("analysis.engine.registry",)):
            edited = dataclasses.replace(call("double", log, x=1), code=modules)
            assert cache.run(edited).how == how


def test_a_damaged_record_is_computed_again_and_said_to_be_repaired(cache, log, capfd):
    doubling = call("double", log, x=4)
    cache.run(doubling)
    (path,) = cache.folder.rglob("output.pkl")  # all that joblib holds
    content = path.read_bytes()
    wrong_checksum = content.replace(b'"twice": 8', b'"twice": 9')
    for count, damaged in enumerate([*NO_RECORDS, content[::-1], wrong_checksum], 2):
        path.write_bytes(damaged)
        assert (cache.lookup(doubling), cache.has_entry(doubling)) == (None, True), damaged
        mended = cache.run(doubling)
        assert (mended.how, mended.record) == ("repaired", {"twice": 8}), damaged
        assert cache.run(doubling).how == "remembered", damaged
        assert times_computed(log) == count
    for name, hurt in damage.damages(400):
        path.write_bytes(hurt(content))
        outcome = cache.lookup(doubling)
        assert outcome is None or outcome.record == {"twice": 8}, name
    assert capfd.readouterr() == ("", "")


def test_swapped_and_copied_entries_are_found(cache, log):
    calls = [call("double", log, x=x) for x in (1, 2)]
    for one in calls:
        cache.run(one)
    first, second = sorted(cache.folder.rglob("output.pkl"))
    shutil.copy(first, second)
    assert sorted(cache.lookup(one) is None for one in calls) == [False, True]
    assert [cache.run(one).record for one in calls] == [{"twice": 2}, {"twice": 4}]


def no_rights(path):
    path.chmod(0)


def nothing(path):
    shutil.rmtree(path) if path.is_dir() else path.unlink()


def another_kind(path):
    is_file = path.is_file()
    nothing(path)
    path.mkdir() if is_file else path.write_bytes(b"a file")


def a_pipe(path):
    nothing(path)
    os.mkfifo(path)


def no_content(path):
    path.write_bytes(b"") if path.is_file() else None


def noise(path):
    path.write_bytes(b"\xff\xfe[[{") if path.is_file() else None


def state(folder):
    """All that lies there: kinds, rights, times, contents."""
    found = {}
    for path in sorted(folder.rglob("*")):
        kind = path.lstat()
        readable = path.is_file() and kind.st_mode & 0o400
        found[path] = (kind.st_mode, kind.st_mtime_ns, path.read_bytes() if readable else None)
    return found


def test_a_look_changes_nothing_whatever_is_damaged_and_a_run_mends_it(
    public_folder, unprivileged, monkeypatch
):
    """Each file and folder of a cache, in each way."""
    monkeypatch.syspath_prepend(str(ROOT))
    monkeypatch.setattr(machine, "_LOCK", public_folder / "machine")
    public_folder.chmod(0o777)
    log = public_folder / "log"
    calls = [call("double", log, x=1), call("store", log, text="content")]
    with unprivileged():
        whole = Memo(public_folder / "whole")
        records = [whole.run(one).record for one in calls]
        (whole.folder / "locks" / Path(whole._entry(calls[0])).name).touch()  # as a kill leaves it
        paths = [path.relative_to(whole.folder) for path in sorted(whole.folder.rglob("*"))]
        stored = records[1]["files"][0]["object"]
        ways = (no_rights, nothing, another_kind, a_pipe, no_content, noise)
        for number, (path, hurt) in enumerate(itertools.product(paths, ways)):
            copy = Memo(shutil.copytree(whole.folder, public_folder / str(number)))
            hurt(copy.folder / path)
            before = state(copy.folder)
            for one in calls:
                assert copy.lookup(one) is None or copy.lookup(one).how == "remembered"
                copy.has_entry(one)
            cache_status.status(copy.folder)
            assert state(copy.folder) == before, (path, hurt)
            for _ in range(2):  # what only a reader of the object finds is mended by the next run
                again = Memo(copy.folder)
                assert [again.run(one).record for one in calls] == records, (path, hurt)
                with contextlib.suppress(DamagedError):
                    again.objects.open(stored)
            assert again.objects.open(stored).read_bytes() == b"content", (path, hurt)
            assert [again.run(one).how for one in calls] == ["remembered"] * 2, (path, hurt)


def test_a_cache_that_may_only_be_read_gives_what_it_has(public_folder, unprivileged, monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT))
    cache, log = Memo(public_folder / "cache"), public_folder / "log"
    known = call("store", log, text="content")
    record = cache.run(known).record
    before = state(cache.folder)
    with unprivileged():
        assert Memo(cache.folder).run(known).how == "remembered"
        assert Memo(cache.folder).objects.open(record["files"][0]["object"]).exists()
        with pytest.raises(MachineError, match=r"cannot write .*: Permission denied: .*/joblib"):
            Memo(cache.folder).run(call("double", log, x=1))
    assert state(cache.folder) == before


def test_damage_of_files_that_an_object_links_to_is_the_objects(cache, tmp_path):
    """A folder of the user's, changed without its size and time telling."""
    file = tmp_path / "weights"
    file.write_bytes(b"content")
    with cache.objects.scratch() as scratch:
        (scratch / "links").mkdir()
        (scratch / "links" / "weights").symlink_to(file)
        digest = cache.objects.adopt(scratch / "links")
    state = file.stat()
    file.write_bytes(b"CONTENT")
    os.utime(file, ns=(state.st_atime_ns, state.st_mtime_ns))
    with pytest.raises(DamagedError) as caught:
        Memo(cache.folder).run(Call("tests.test_runner:read", {"text": digest}))
    assert caught.value.path == cache.objects.path(digest)


def test_objects_are_found_wherever_a_record_names_them():
    record = {"a": [{"object": "1"}, {"b": {"object": "2"}}], "object": "3", "c": {"object": 4}}
    assert sorted(objects_in(record)) == ["1", "2", "3"]
    assert objects_in(["object", 1, None]) == []


def test_a_copied_cache_is_remembered(cache, log, tmp_path):
    calls = [call("double", log, x=1), call("store", log, text="content")]
    records = [cache.run(one).record for one in calls]
    for extra in cache.folder.rglob("metadata.json"):  # joblib's, and not needed
        extra.unlink()
    copy = Memo(cache.folder.rename(tmp_path / "elsewhere"))
    found = [copy.run(one) for one in calls]
    assert [(one.how, one.record) for one in found] == [("remembered", r) for r in records]


def test_a_failing_step_leaves_nothing_and_can_be_run_again(cache, log):
    failing = call("fail_once", log)
    with pytest.raises(ValueError, match="the first time only"):
        cache.run(failing)
    assert not cache.has_entry(failing)
    assert cache.run(failing).how == "computed"
    with pytest.raises(TypeError):
        cache.run(call("not_plain", log))
    assert not cache.has_entry(call("not_plain", log))


def test_a_full_disk_is_one_line_and_leaves_nothing(cache, log):
    doubling, full = call("double", log, x=1), OSError(errno.ENOSPC, "No space left on device")
    with (
        patch.object(joblib.numpy_pickle, "dump", side_effect=full),
        pytest.raises(MachineError, match=r"No space left on device.*make room") as caught,
    ):
        cache.run(doubling)
    assert str(cache.folder) in str(caught.value)
    assert not cache.has_entry(doubling)
    assert cache.run(doubling).how == "computed"


def test_a_folder_that_cannot_be_written_to_is_said_before_the_first_step(read_only_folder):
    for folder in (read_only_folder, read_only_folder / "cache"):
        with pytest.raises(MachineError, match=r"cannot write .*: Permission denied") as caught:
            Memo(folder).prepare()
        assert str(folder) in str(caught.value)


def test_a_disk_that_is_not_there_and_a_file_for_the_cache_are_told_as_that(cache, tmp_path):
    away = tmp_path / "away"
    for name in ("", "objects", "objects/tmp", "joblib", "holders", "locks"):
        place = cache.folder / name
        shutil.rmtree(cache.folder, ignore_errors=True)
        place.parent.mkdir(parents=True, exist_ok=True)
        place.symlink_to(away)
        with pytest.raises(
            MachineError, match=f": {place} is a link to {away}, which is not there"
        ):
            cache.run(call("store", tmp_path / "log", text="x"))
        place.unlink()
    shutil.rmtree(cache.folder)
    cache.folder.write_text("")
    with pytest.raises(MachineError, match=f": {cache.folder} is no folder; move it away"):
        cache.prepare()


def test_what_killed_runs_left_is_swept_by_the_next_that_computes(cache, log):
    nobody = 4_194_305  # no process has that number
    cache.run(call("double", log, x=1))
    assert list((cache.folder / "locks").iterdir()) == []
    (output,) = cache.folder.rglob("output.pkl")
    half = output.with_name(f"output.pkl.0af3-{nobody}-7")  # as joblib calls them
    lock = cache.folder / "locks" / output.parent.name
    making = cache.folder / f"objects/tmp/{processes.host()}-{nobody}-abc"
    making.mkdir(parents=True)
    note = cache.folder / f".kernels.json-{processes.host()}-{nobody}-abc"
    for left in (half, note):
        left.touch()
    lock.touch()
    with FileLock(lock):  # of the living
        cache.prepare()
        assert (lock.exists(), half.exists(), making.exists()) == (True, True, False)
        assert not note.exists()
    assert cache.run(call("double", log, x=1)).how == "remembered"
    assert half.exists()
    assert cache.run(call("double", log, x=2)).how == "computed"
    assert (lock.exists(), half.exists(), output.exists()) == (False, False, True)


def test_processes_on_one_key_compute_it_once(cache, log):
    """Nothing is there before them, not even the folder."""
    sleeping = call("double", log, {"seconds": 0.3}, x=3)
    barrier, said = FORK.Barrier(4), FORK.Queue()

    def run():
        barrier.wait(timeout=60)
        said.put(Memo(cache.folder / "new").run(sleeping).how)

    children = [FORK.Process(target=run) for _ in range(4)]
    for child in children:
        child.start()
    assert sorted(said.get(timeout=60) for _ in children) == ["computed"] + ["remembered"] * 3
    for child in children:
        child.join()
    assert times_computed(log) == 1


def test_a_timing_has_the_machine_alone_and_other_steps_share_it(cache, log):
    for number, (held, timing) in enumerate(((machine.beside_others, 0), (machine.alone, 0),
                                             (machine.beside_others, 1))):  # fmt: skip
        waits = timing or held is machine.alone
        step = dataclasses.replace(call("double", log, x=number), timing=bool(timing))
        running = threading.Thread(target=cache.run, args=(step,))
        with held():
            running.start()
            running.join(0.2 if waits else 60)
            assert running.is_alive() == bool(waits), (held, timing)
        running.join()
        assert times_computed(log) == number + 1
