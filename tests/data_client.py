"""Reading data sets in processes of their own, since the clients read their environment once."""

import io
import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
from hub_server import TOKEN, environment

CHILD = """
import json, logging, sys, time
sleep = time.sleep
time.sleep = lambda seconds: sleep(min(seconds, 0.01))  # the client's pauses between retries
from analysis.data import missing, reading
from analysis.errors import AnalysisError
calls = json.loads(sys.stdin.read())
BEFORE
results = []
for function, arguments in calls:
    try:
        if function == "read":
            rows, revision = reading.read(*arguments)
            results.append({"rows": rows, "revision": revision})
        else:
            results.append({"missing": getattr(missing, function)(*arguments)})
    except AnalysisError as error:
        results.append({"error": type(error).__name__, "message": str(error)})
print(json.dumps(results))
"""


class Reader:
    """Calls in child processes that share a cache."""

    def __init__(self, home: Path, url: str):
        self.home, self.url = home, url

    def each(self, *calls: Sequence[Any], before: str = "", **more: str) -> list[dict[str, Any]]:
        """Results, from one process; in each `said`: all that stood on stderr."""
        code = [sys.executable, "-c", CHILD.replace("BEFORE", before)]
        env = environment(self.url, self.home, **more)
        done = subprocess.run(
            code, env=env, input=json.dumps(calls), capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        return [each | {"said": done.stderr} for each in json.loads(done.stdout)]

    def read(self, *sources: Mapping[str, Any], fields=("sentence", "label"), **more: str):
        """What comes of reading each of these."""
        return self.each(*(("read", (source, fields)) for source in sources), **more)


def one_line(result: Mapping[str, Any], error: str, *words: str) -> str:
    """The message, after checking that it has these words, and no url or token."""
    assert result.get("error") == error, result
    return plain(result["message"], *words)


def plain(message: str | None, *words: str) -> str:
    """The message, likewise."""
    assert message
    assert "\n" not in message
    assert "://" not in message
    assert TOKEN not in message
    for word in words:
        assert word in message, message
    return message


def source(path: str, name: str | None = None, **more: Any) -> dict[str, Any]:
    """A split of a data set of the hub."""
    return {
        "kind": "hub",
        "path": path,
        "name": name,
        "revision": "main",
        "split": "validation",
        "columns": {},
    } | more


def parquet(rows: Sequence[Mapping[str, Any]]) -> bytes:
    """A file of these rows."""
    written = io.BytesIO()
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist([dict(row) for row in rows]), written)
    return written.getvalue()


def lines(rows: Sequence[Mapping[str, Any]]) -> bytes:
    """The rows as JSON lines."""
    return "".join(json.dumps(row) + "\n" for row in rows).encode()
