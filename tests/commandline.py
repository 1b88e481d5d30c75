"""The command line as a user calls it, in this process: a real one is started once a command.

done = request("prune", "tiny-bert", "--out", "x", folder=tmp_path)
assert done.returncode == 2 and "…" in one_line(done.stderr)
"""

import contextlib
import io
import os
import sys
from pathlib import Path
from typing import NamedTuple
from unittest.mock import patch

from analysis import cli


class Done(NamedTuple):
    """What a command left behind; its status is negative if a signal ended it, None if it hung."""

    returncode: int | None
    stdout: str
    stderr: str


def request(*arguments: str, folder: Path | None = None, **environment: str) -> Done:
    """`python -m analysis …` in that folder (here if there is none) with this added environment."""
    out, err, status = io.StringIO(), io.StringIO(), 0
    with (
        contextlib.chdir(folder or Path.cwd()),
        patch.dict(os.environ, {"SPARSITY_STUDY": "mini", **environment}),
        patch.object(sys, "argv", ["analysis", *map(str, arguments)]),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        try:
            cli.main()
        except SystemExit as end:
            status = int(end.code or 0)
    return Done(status, out.getvalue(), err.getvalue())


def one_line(stderr: str) -> str:
    """The error line that a user sees; fails if there is a traceback or more than one line."""
    lines = [line for line in stderr.splitlines() if line.strip()]
    assert len(lines) == 1, stderr
    assert lines[0].startswith("error: "), stderr
    return lines[0]
