"""Clients of the hub, each in a process of its own, since they read their environment once.

    run = child(work, arguments, environment(server.url, home))

The processes are forked from one that has imported what the clients are built on, and not them:
a child needs half a second. `Client` downloads models and reads data sets through it.
"""

import io
import json
import multiprocessing
import os
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
from hub_server import TOKEN, environment

_FORKS = multiprocessing.get_context("forkserver")
_FORKS.set_forkserver_preload(
    [
        *("torch", "pyarrow.parquet", "httpx2", "yaml", "filelock", "tqdm", "safetensors"),
        "tokenizers",
    ]
)


class Child:
    """A function at work in a process of its own; its result is what JSON keeps of it."""

    def __init__(self, work: Callable[..., Any], arguments: Sequence[Any], env: Mapping[str, str]):
        self._folder = tempfile.TemporaryDirectory()
        self._notes = Path(self._folder.name)
        self.process = _FORKS.Process(target=_run, args=(work, arguments, dict(env), self._notes))
        self.process.start()

    def result(self) -> tuple[Any, str]:
        """What the function returned, and all that it said on stdout and stderr."""
        self.process.join()
        said = (self._notes / "said").read_text(encoding="utf-8")
        assert self.process.exitcode == 0, said
        return json.loads((self._notes / "value").read_text(encoding="utf-8")), said


def child(work: Callable[..., Any], *arguments: Any, env: Mapping[str, str]) -> tuple[Any, str]:
    """The function's result from a process with that environment, and what it said."""
    return Child(work, arguments, env).result()


def _run(work: Callable[..., Any], arguments: Sequence[Any], env: dict, notes: Path) -> None:
    os.environ.clear()
    os.environ.update(env)
    if context := env.get("MUTANTS_CONTEXT"):  # what it executes is executed by that test file
        import coverage

        coverage.Coverage.current().switch_context(context)
    with (notes / "said").open("wb") as said:
        os.dup2(said.fileno(), 1)
        os.dup2(said.fileno(), 2)
    value = work(*arguments)
    with open(notes / "value", "w", encoding="utf-8") as stream:  # what ran may have broken Path
        json.dump(value, stream)
    sys.stdout.flush()
    sys.stderr.flush()


def execute(code: str) -> None:
    """Run some lines of Python."""
    exec(code, {})


def calls(asked: Sequence[Sequence[Any]], before: str) -> list[dict[str, Any]]:
    """What comes of calls, (function, arguments) each, after some lines of Python: the files of a
    model, as text, or the rows of a data set; why one cannot be had; or an error."""
    sleep = time.sleep
    time.sleep = lambda seconds: sleep(min(seconds, 0.01))  # the clients' pauses between retries
    from analysis.checkpoints import published
    from analysis.data import hub, reading
    from analysis.errors import AnalysisError

    def download(*model: str | None) -> dict[str, Any]:
        done = published.download(*model)
        files = [path for path in done.folder.rglob("*") if path.is_file()]
        names = {path.relative_to(done.folder).as_posix(): path for path in files}
        held = {name: path.read_bytes().decode("latin1") for name, path in names.items()}
        return {"held": held, "commit": done.commit}

    def read(*asked: Any) -> dict[str, Any]:
        table = reading.read(*asked)
        return {"held": table.rows, "commit": table.revision, "places": table.places}

    known: dict[str, Callable[..., Any]] = {"download": download, "read": read}
    known |= {"missing_model": published.missing_model, "missing_data": hub.missing_split}
    exec(before, {})
    results: list[dict[str, Any]] = []
    for function, arguments in asked:
        try:
            done = known[function](*arguments)
            results.append(done if isinstance(done, dict) else {"missing": done})
        except AnalysisError as error:
            results.append({"error": type(error).__name__, "message": str(error)})
    return results


def compute(cache: str, call: Any) -> list[Any]:
    """How a call's record was had over that cache, and the record; or an error and its words."""
    from analysis.engine.memo import Memo
    from analysis.errors import AnalysisError

    memo = Memo(Path(cache))
    memo.prepare()
    try:
        outcome = memo.run(call)
    except AnalysisError as error:
        return [type(error).__name__, str(error)]
    return [outcome.how, outcome.record]


class Client:
    """Calls in children that share a cache; each result has in `said` what stood on stderr."""

    def __init__(self, home: Path, url: str):
        self.home, self.url = home, url

    def environment(self, **more: str) -> dict[str, str]:
        return environment(self.url, self.home, **more)

    def each(self, *asked: Sequence[Any], before: str = "", **more: str) -> list[dict[str, Any]]:
        """What comes of these calls, all from one child."""
        found, said = child(calls, asked, before, env=self.environment(**more))
        return [result | {"said": said} for result in found]

    def execute(self, code: str, **more: str) -> None:
        """What another program of the user's does with the same cache."""
        child(execute, code, env=self.environment(**more))


def one_line(result: Mapping[str, Any], error: str, *words: str) -> str:
    """The message, after checking that it is one line with these words, and no url or token."""
    assert result.get("error") == error, result
    return plain(result["message"], *words)


def plain(message: str | None, *words: str) -> str:
    """The message, likewise."""
    assert message
    assert "\n" not in message
    assert "://" not in message.replace("http(s)://host", "")
    assert TOKEN not in message
    assert all(word in message for word in words), (message, words)
    return message


def parquet(rows: Sequence[Mapping[str, Any]]) -> bytes:
    """A file of these rows."""
    written = io.BytesIO()
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist([dict(row) for row in rows]), written)
    return written.getvalue()


def lines(rows: Sequence[Mapping[str, Any]]) -> bytes:
    """The rows as JSON lines."""
    return "".join(json.dumps(row) + "\n" for row in rows).encode()
