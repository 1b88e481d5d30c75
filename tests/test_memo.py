"""A step is computed once for what goes into it; damage is mended; failures leave nothing."""

import dataclasses
import errno
import functools
import json
import multiprocessing
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import joblib
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis import code, machine, memo, processes
from analysis.errors import MachineError
from analysis.memo import Call, Memo, objects_in

ROOT = Path(__file__).parents[1]


@pytest.fixture(autouse=True)
def _steps_are_importable(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT))


@pytest.fixture
def cache(tmp_path):
    opened = Memo(tmp_path / "cache")
    opened.prepare()
    return opened


@pytest.fixture
def log(tmp_path):
    return tmp_path / "log"


def call(step: str, log: Path, **arguments) -> Call:
    """A call of a step of steps_for_tests.py; where its log lies does not count."""
    return Call(f"tests.steps_for_tests:{step}", arguments, carried={"log": str(log)})


def times_computed(log: Path) -> int:
    return len(log.read_text().splitlines()) if log.exists() else 0


def stored_file(cache: Memo) -> Path:
    """The one output that joblib holds."""
    (path,) = cache.folder.rglob("output.pkl")
    return path


# ---------------------------------------------------------------- once


def test_a_step_is_computed_once_and_then_remembered(cache, log):
    doubling = call("double", log, x=4)
    assert cache.lookup(doubling) is None
    assert not cache.has_entry(doubling)
    first, second = cache.run(doubling), cache.run(doubling)
    assert (first.how, second.how) == ("computed", "remembered")
    assert first.record == second.record == {"twice": 8}
    assert times_computed(log) == 1


def test_a_record_is_the_same_computed_and_remembered(cache, log):
    """JSON has no tuples and no numbers as keys: the first run must not see what the next won't."""
    plain = call("tuples", log)
    assert cache.run(plain).record == cache.run(plain).record == {"pair": [1, 2], "by": {"1": "a"}}


def test_another_memo_on_the_folder_remembers(cache, log):
    cache.run(call("double", log, x=4))
    assert Memo(cache.folder).lookup(call("double", log, x=4)).record == {"twice": 8}


def test_looking_up_computes_nothing_and_imports_no_step(cache, log):
    missing = Call("tests.no_such_step:none", {}, carried={"log": str(log)})
    missing.__dict__["key"] = "a key that nobody stored"
    assert cache.lookup(missing) is None
    assert not log.exists()


def test_a_remembered_outcome_keeps_the_seconds_of_its_computing(cache, log):
    sleeping = call("slow", log, x=1, seconds=0.2)
    cache.run(sleeping)
    start = time.perf_counter()
    assert cache.run(sleeping).seconds >= 0.2
    assert time.perf_counter() - start < 0.2


@settings(max_examples=40)
@given(
    record=st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
        max_leaves=8,
    )
)
def test_every_plain_record_comes_back_as_it_was(tmp_path_factory, record):
    opened = Memo(tmp_path_factory.mktemp("cache"))
    some = Call("tests.steps_for_tests:double", {})
    opened.store(some, {"value": record}, 0.0)
    assert opened.lookup(some).record == {"value": record}


# ---------------------------------------------------------------- the key


@pytest.mark.parametrize(
    "changed",
    [
        {"arguments": {"x": 2}},
        {"arguments": {"x": 1.0}},
        {"arguments": {"x": True}},
        {"arguments": {"x": "1"}},
        {"arguments": {"x": [1]}},
        {"arguments": {"x": 1, "y": None}},
        {"arguments": {"y": 1}},
        {"function": "tests.steps_for_tests:slow"},
        {"code": ("analysis.pruning.methods.magnitude",)},
        {"libraries": ("numpy",)},
        {"timing": True},
    ],
)
def test_what_decides_the_result_is_in_the_key(log, changed):
    plain = call("double", log, x=1)
    assert dataclasses.replace(plain, **changed).key != plain.key


@pytest.mark.parametrize(
    "changed",
    [
        {"carried": {"log": "elsewhere", "checkpoint": "x"}},
        {"label": "what a person calls it"},
        {"arguments": {"x": 1}},
    ],
)
def test_what_does_not_decide_the_result_is_not_in_the_key(log, changed):
    plain = call("double", log, x=1)
    assert dataclasses.replace(plain, **changed).key == plain.key


def test_the_order_of_arguments_and_libraries_does_not_count(log):
    one = call("double", log, a=1, b={"c": 2, "d": 3})
    two = call("double", log, b={"d": 3, "c": 2}, a=1)
    assert one.key == two.key
    libraries = ("numpy", "scipy")
    assert (
        dataclasses.replace(one, libraries=libraries).key
        == dataclasses.replace(one, libraries=libraries[::-1]).key
    )


def test_a_librarys_version_counts_where_it_is_named(log, monkeypatch):
    plain = call("double", log, x=1)
    named = dataclasses.replace(plain, libraries=("numpy",))
    before = named.key
    monkeypatch.setattr(memo, "_version", lambda name: "0.0.0")
    assert dataclasses.replace(named).key != before
    assert dataclasses.replace(plain).key == plain.key


def test_an_absent_library_is_a_version_of_its_own(log):
    named = dataclasses.replace(call("double", log, x=1), libraries=("no-such-library-here",))
    assert json.loads(named.key)["libraries"] == {"no-such-library-here": "absent"}


def test_the_machine_counts_for_timings_only(log, monkeypatch):
    plain = call("double", log, x=1)
    timed = dataclasses.replace(plain, timing=True)
    keys = plain.key, timed.key
    monkeypatch.setattr(machine, "identity", lambda: {"processor": "another"})
    assert dataclasses.replace(plain).key == keys[0]
    assert dataclasses.replace(timed).key != keys[1]


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_numbers_that_json_does_not_have_are_no_arguments(log, value):
    with pytest.raises(ValueError, match="JSON"):
        _ = call("double", log, x=[value]).key


@pytest.mark.parametrize("value", [{1, 2}, b"bytes", Path("x"), object()])
def test_what_is_not_plain_is_no_argument(log, value):
    with pytest.raises(TypeError):
        _ = call("double", log, x=value).key


@pytest.fixture
def edited(tmp_path, monkeypatch):
    """A step whose module can be edited: gives the key after writing it."""
    monkeypatch.setattr(code, "digest", functools.partial(code.digest, root=tmp_path))

    def key(**files):
        code._facts.cache_clear()
        for name, text in files.items():
            path = tmp_path / "analysis" / f"{name}.py"
            path.parent.mkdir(exist_ok=True)
            path.write_text(text)
        return Call("analysis.step:run", {"x": 1}, code=("analysis.method",)).key

    yield key
    code._facts.cache_clear()


def test_code_counts_and_comments_do_not(edited):
    files = {
        "step": "from analysis import shared\n\ndef run(x):\n    return x\n",
        "shared": "A = 1\n",
        "method": "B = 1\n",
        "other_method": "C = 1\n",
    }
    before = edited(**files)
    assert edited(step=files["step"] + "# a comment\n") == before
    assert edited(other_method="C = 2\n") == before
    assert edited(shared="A = 2\n") != before
    assert edited(shared="A = 1\n") == before
    assert edited(method="B = 2\n") != before
    assert edited(method="B = 1\n", step=files["step"].replace("return x", "return -x")) != before


def test_the_key_is_canonical_json(log):
    key = call("double", log, x=1).key
    parsed = json.loads(key)
    assert json.dumps(parsed, sort_keys=True, separators=(",", ":")) == key
    assert {"function", "arguments", "code", "libraries"} <= set(parsed)


def test_two_keys_live_beside_each_other(cache, log):
    """Edits on two branches that share a cache do not forget each other's results."""
    for code_modules in ((), ("analysis.registry",)):
        edited_call = dataclasses.replace(call("double", log, x=1), code=code_modules)
        assert cache.run(edited_call).how == "computed"
    for code_modules in ((), ("analysis.registry",)):
        edited_call = dataclasses.replace(call("double", log, x=1), code=code_modules)
        assert cache.run(edited_call).how == "remembered"


# ---------------------------------------------------------------- damage


def damages(content: bytes) -> dict[str, bytes]:
    middle = len(content) // 2
    return {
        "empty": b"",
        "truncated": content[:middle],
        "one byte short": content[:-1],
        "garbled": bytes(reversed(content)),
        "zeros": bytes(len(content)),
        "another pickle": b"\x80\x04]\x94.",
        "a number": b"\x80\x04K\x01.",
        "bytes": b"\x80\x04C\x03a\nb.",
        "none": b"N.",
        "text": b"\x80\x04\x8c\x05hello.",
        "wrong checksum": content.replace(b'"twice": 8', b'"twice": 9'),
    }


@pytest.mark.parametrize("kind", damages(b"1234"))
def test_a_damaged_record_is_computed_again_and_said_to_be_repaired(cache, log, kind):
    doubling = call("double", log, x=4)
    cache.run(doubling)
    path = stored_file(cache)
    path.write_bytes(damages(path.read_bytes())[kind])
    assert cache.lookup(doubling) is None
    assert cache.has_entry(doubling)
    mended = cache.run(doubling)
    assert (mended.how, mended.record) == ("repaired", {"twice": 8})
    assert cache.run(doubling).how == "remembered"
    assert times_computed(log) == 2


@pytest.mark.parametrize("flip", [0x01, 0x1A, 0x80, 0xFF])
def test_a_flipped_byte_is_never_taken_for_the_record(cache, log, flip):
    doubling = call("double", log, x=4)
    cache.run(doubling)
    path = stored_file(cache)
    content = path.read_bytes()
    for position in range(0, len(content), 1 if len(content) < 200 else 3):
        damaged = bytearray(content)
        damaged[position] ^= flip
        path.write_bytes(damaged)
        outcome = cache.lookup(doubling)
        assert outcome is None or outcome.record == {"twice": 8}, position


def test_a_damaged_record_is_silent_on_the_terminal(cache, log, capfd):
    doubling = call("double", log, x=4)
    cache.run(doubling)
    stored_file(cache).write_bytes(b"damaged")
    cache.run(doubling)
    assert capfd.readouterr() == ("", "")


def test_lost_metadata_does_not_matter(cache, log):
    doubling = call("double", log, x=4)
    cache.run(doubling)
    stored_file(cache).with_name("metadata.json").unlink()
    assert cache.run(doubling).how == "remembered"


@pytest.mark.parametrize("damage", ["missing", "changed", "stamp and object missing"])
def test_a_missing_or_damaged_object_is_made_again(cache, log, damage):
    storing = call("store", log, text="content")
    digest = cache.run(storing).record["files"][0]["object"]
    path = cache.objects.path(digest)
    if damage == "changed":
        path.write_bytes(b"CONTENT")
        os.utime(path, ns=(1, 1))
    elif damage == "missing":
        path.unlink()
    else:
        shutil.rmtree(path.parent)
    assert cache.lookup(storing) is None
    assert cache.run(storing).how == "repaired"
    assert cache.objects.open(digest).read_bytes() == b"content"


def test_objects_are_found_wherever_a_record_names_them():
    record = {"a": [{"object": "1"}, {"b": {"object": "2"}}], "object": "3", "c": {"object": 4}}
    assert sorted(objects_in(record)) == ["1", "2", "3"]
    assert objects_in(["object", 1, None]) == []


def test_a_copied_cache_is_remembered(cache, log, tmp_path):
    calls = [call("double", log, x=1), call("store", log, text="content")]
    for one in calls:
        cache.run(one)
    shutil.copytree(cache.folder, tmp_path / "copy")
    shutil.rmtree(cache.folder)
    copy = Memo(tmp_path / "copy")
    assert [copy.run(one).how for one in calls] == ["remembered", "remembered"]


# ---------------------------------------------------------------- failure


def test_a_failing_step_leaves_nothing_and_can_be_run_again(cache, log):
    failing = call("fail_once", log)
    with pytest.raises(ValueError, match="the first time only"):
        cache.run(failing)
    assert not cache.has_entry(failing)
    assert cache.run(failing).how == "computed"


def test_a_failing_step_fails_each_time(cache, log):
    for _ in range(2):
        with pytest.raises(ValueError, match="the step failed"):
            cache.run(call("fail", log))
    assert times_computed(log) == 2


def test_a_record_that_is_not_plain_is_refused_and_not_stored(cache, log):
    with pytest.raises(TypeError):
        cache.run(call("not_plain", log))
    assert not cache.has_entry(call("not_plain", log))


def test_a_full_disk_is_one_line_and_leaves_nothing(cache, log, monkeypatch):
    def full(*arguments, **options):
        raise OSError(errno.ENOSPC, "No space left on device")

    doubling = call("double", log, x=1)
    with monkeypatch.context() as patched:
        patched.setattr(joblib.numpy_pickle, "dump", full)
        with pytest.raises(MachineError) as caught:
            cache.run(doubling)
    assert "No space left on device" in str(caught.value)
    assert "make room" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not cache.has_entry(doubling)
    assert cache.run(doubling).how == "computed"


def test_a_folder_that_cannot_be_written_to_is_said_before_the_first_step(read_only_folder):
    for folder in (read_only_folder, read_only_folder / "cache"):
        with pytest.raises(MachineError) as caught:
            Memo(folder).prepare()
        assert str(folder) in str(caught.value)
        assert "Permission denied" in str(caught.value)
        assert "\n" not in str(caught.value)


def test_a_file_in_place_of_the_folder_is_one_line(tmp_path):
    (tmp_path / "cache").write_text("")
    with pytest.raises(MachineError, match="cannot write to the cache folder"):
        Memo(tmp_path / "cache").prepare()


def test_preparing_leaves_no_probe_and_sweeps_what_killed_runs_left(cache):
    left = (
        cache.folder / f"objects/tmp/{processes.host()}-4194305-abc"
    )  # no process has that number
    left.mkdir(parents=True)
    cache.prepare()
    assert not left.exists()
    assert [p for p in cache.folder.iterdir() if "writable" in p.name] == []


# ---------------------------------------------------------------- several processes

RUN = (
    "import sys; from pathlib import Path; from analysis.memo import Call, Memo\n"
    "c = Call('tests.steps_for_tests:slow', {'x': 3, 'seconds': 0.5}, {'log': sys.argv[2]})\n"
    "print(Memo(Path(sys.argv[1])).run(c).how)"
)


@pytest.mark.parametrize("processes", [2, 4])
def test_processes_on_one_key_compute_it_once(cache, log, tmp_path, processes):
    started = [
        subprocess.Popen(
            [sys.executable, "-c", RUN, str(cache.folder), str(log)],
            cwd=ROOT,
            env={**os.environ, "TMPDIR": str(tmp_path)},
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(processes)
    ]
    said = sorted(child.communicate(timeout=60)[0].strip() for child in started)
    assert said == ["computed"] + ["remembered"] * (processes - 1)
    assert times_computed(log) == 1


def test_a_process_killed_in_a_step_leaves_the_key_free(cache, log):
    sleeping = call("slow", log, x=3, seconds=60)
    child = multiprocessing.get_context("fork").Process(target=cache.run, args=(sleeping,))
    child.start()
    while not log.exists():
        time.sleep(0.01)
    child.kill()
    child.join()
    quick = dataclasses.replace(sleeping, arguments={"x": 3, "seconds": 0})
    quick.__dict__["key"] = sleeping.key
    assert cache.run(quick).how == "computed"


def overlaps(log: Path) -> bool:
    """Whether the two spans in the log ran at the same time."""
    one, two = ([float(x) for x in line.split()] for line in log.read_text().splitlines())
    return max(one[0], two[0]) < min(one[1], two[1])


@pytest.mark.parametrize(("timings", "together"), [(0, True), (1, False), (2, False)])
def test_a_timing_has_the_machine_alone_and_other_steps_share_it(cache, log, timings, together):
    calls = [
        dataclasses.replace(call("span", log, x=x, seconds=0.4), timing=x < timings) for x in (0, 1)
    ]
    context = multiprocessing.get_context("fork")
    children = [context.Process(target=cache.run, args=(one,)) for one in calls]
    for child in children:
        child.start()
    for child in children:
        child.join()
    assert overlaps(log) == together
