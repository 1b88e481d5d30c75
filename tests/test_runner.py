"""Workers of a run: kept from beginning to end, although they grow by what they keep open."""

import asyncio
import io
import os
import time
from pathlib import Path

import damage

from analysis.display import Display
from analysis.memo import Call, Memo, Outcome
from analysis.runner import Runner, complete

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
