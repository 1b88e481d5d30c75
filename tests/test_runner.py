"""Workers of a run: kept from beginning to end, although they grow by what they keep open; and
ended with it, however it ends."""

import asyncio
import io
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import damage
from mini import environment_for

from analysis.engine import processes, stopping
from analysis.engine.display import Display
from analysis.engine.memo import Call, Memo, Outcome
from analysis.engine.runner import Runner, complete

ROOT = Path(__file__).parents[1]
GROWTH = 400_000_000  # joblib's own limit is 300 MB
_held = []


def grow(objects, *, number, size):
    """A step that keeps so many bytes; joblib looks at a worker once a second."""
    _held.append(b"x" * size)
    time.sleep(1.05)
    return {"process": os.getpid(), "held": sum(len(part) for part in _held)}


def make(objects, *, text):
    """A step that keeps a text as an object."""
    return {"text": {"object": objects.put_bytes(text.encode())}}


def read(objects, *, text):
    """A step that uses it."""
    return {"text": objects.open(text).read_text(encoding="utf-8")}


def test_an_object_that_proves_damaged_when_it_is_read_is_made_again(tmp_path, monkeypatch):
    """A bit of it is another, its size and time are as they were."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    memo, said = Memo(tmp_path / "cache"), io.StringIO()
    making = Call("tests.test_runner:make", {"text": "content"}, label="make it")
    digest = memo.run(making).record["text"]["object"]
    path = memo.objects.path(digest)
    state = path.stat()
    damage.hurt(path, lambda content: damage.flipped(content, 0.5, 3))
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))
    runner = Runner(Memo(memo.folder), 1, Display(said))

    async def both():
        await runner.run(making)
        return await runner.run(Call("tests.test_runner:read", {"text": digest}, label="read it"))

    assert complete(runner, both()) == {"text": "content"}
    assert "damaged in the cache, computing again: make it" in said.getvalue()


def test_a_worker_that_has_grown_by_a_model_does_the_next_steps_too(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    memo = Memo(tmp_path / "cache")
    memo.prepare()
    runner = Runner(memo, 1, Display(io.StringIO()))
    sizes = [0, GROWTH, 0]
    calls = [
        Call("tests.test_runner:grow", {"number": n, "size": size}, label=f"grow {n}")
        for n, size in enumerate(sizes)
    ]

    async def each():
        return [await runner.run(call) for call in calls]

    records = complete(runner, each())
    assert len({record["process"] for record in records}) == 1
    assert [record["held"] for record in records] == [0, GROWTH, GROWTH]


def test_one_step_at_a_time_is_given_to_the_gpu_and_others_go_on_beside_it(tmp_path, monkeypatch):
    at_work, most = ({"cuda": 0, "cpu": 0} for _ in range(2))

    async def compute(self, call):
        device = call.arguments["device"]
        at_work[device] += 1
        most[device] = max(most[device], at_work[device])
        await asyncio.sleep(0)
        at_work[device] -= 1
        return Outcome({}, "computed", 0.0)

    monkeypatch.setattr(Runner, "_compute", compute)
    runner = Runner(Memo(tmp_path), 4, Display(io.StringIO()))
    calls = [Call("tests.test_runner:grow", {"device": d, "n": n}) for n in range(4) for d in most]

    async def all_of():
        await asyncio.gather(*(runner.run(call) for call in calls))

    complete(runner, all_of())
    assert most == {"cuda": 1, "cpu": 4}


ENDS = {  # signal → exit status, and what is said
    signal.SIGINT: (130, f"{stopping.LINE}\n"),
    signal.SIGTERM: (143, f"{stopping.LINE}\n"),
    signal.SIGKILL: (-9, ""),
}


def noted(folder):
    """The processes that both steps are in, and those that they measure: once all are there."""
    notes = [folder / "shared", folder / "own"]
    found = [n for note in notes if note.exists() for n in note.read_text("ascii").split()]
    return [int(n) for n in found] if len(found) == 4 else []


def until(condition, seconds=60):
    deadline = time.monotonic() + seconds
    while not (found := condition()) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert found
    return found


# as where /dev/shm may not be written to: a run needs none of it, and so leaves nothing there
NO_SEMAPHORES = """
import _multiprocessing

class Refused(_multiprocessing.SemLock):
    def __new__(cls, *_, **__):
        raise OSError(30, "Read-only file system")

_multiprocessing.SemLock = Refused
"""


def begun(folder):
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(NO_SEMAPHORES, encoding="utf-8")
    # these tests may have been begun in the background, where Ctrl-C is ignored
    heeds = {"preexec_fn": lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)}
    heeds |= {"start_new_session": True, "env": environment_for(TMPDIR=str(folder))}
    heeds["env"]["PYTHONPATH"] = f"{folder}{os.pathsep}{ROOT}"
    command = [sys.executable, str(ROOT / "tests" / "endless_run.py"), str(folder)]
    return subprocess.Popen(
        command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True, **heeds
    )


def test_a_run_that_is_stopped_or_killed_ends_with_all_its_processes_and_in_one_line(tmp_path):
    runs = {number: begun(tmp_path / number.name) for number in ENDS}
    for number, run in runs.items():
        processes_of = until(lambda number=number: noted(tmp_path / number.name))
        # as a terminal or `timeout` does: all that belong to the run are told; SIGKILL is for one
        (os.kill if number == signal.SIGKILL else os.killpg)(run.pid, number)
        start = time.monotonic()
        _, said = run.communicate(timeout=60)
        assert (run.returncode, said) == ENDS[number]
        until(lambda alive=processes_of: not any(map(processes.is_running, alive)))
        assert time.monotonic() - start < 5, number
