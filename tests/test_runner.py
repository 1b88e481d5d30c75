"""Workers of a run: kept from beginning to end, although they grow by what they keep open."""

import io
import os
import time
from pathlib import Path

from analysis.display import Display
from analysis.memo import Call, Memo
from analysis.runner import Runner, complete

ROOT = Path(__file__).parents[1]
GROWTH = 400_000_000  # joblib's own limit is 300 MB
_held = []


def grow(objects, *, number, size):
    """A step that keeps so many bytes; joblib looks at a worker once a second."""
    _held.append(b"x" * size)
    time.sleep(1.05)
    return {"process": os.getpid(), "held": sum(len(part) for part in _held)}


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
