"""A run of two steps that never end, begun as `python -m analysis run` is: for tests of how runs
end. Its argument is a folder, for the cache and the steps' notes."""

import asyncio
import sys
from pathlib import Path
from unittest.mock import patch

from analysis import cli
from analysis.commands import run
from analysis.engine import stopping
from analysis.engine.display import Display
from analysis.engine.memo import Call, Memo
from analysis.engine.runner import Runner, complete


def begin(folder):
    memo = Memo(folder)
    memo.prepare()
    runner = Runner(memo, 2, Display())

    async def both():
        calls = [
            Call("tests.failing_steps:never_ends", {"note": str(folder / name)}, fresh=fresh)
            for name, fresh in (("shared", False), ("own", True))
        ]
        await asyncio.gather(*map(runner.run, calls))

    complete(runner, both())


if __name__ == "__main__":
    stopping.heed()
    folder = Path(sys.argv[1])
    with (
        patch.object(run, "run", lambda *_: begin(folder)),
        patch.object(sys, "argv", ["analysis", "run"]),
    ):
        cli.main()
