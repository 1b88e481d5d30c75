"""A Jupyter kernel in this interpreter's environment, whatever kernels and settings a user has."""

import ast
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import nbformat
from jupyter_client.kernelspec import KernelSpec, KernelSpecManager
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, DeadKernelError

from analysis.engine.files import passing_folder

# As Quarto's own set-up: figures come as SVG, and in the document's size unless they ask for one.
_SETUP = """
def _setup(width, height):
    try:
        import matplotlib
        from matplotlib_inline.backend_inline import set_matplotlib_formats
    except ImportError:
        return
    matplotlib.rcParams["figure.figsize"] = (width, height)
    matplotlib.rcParams["svg.hashsalt"] = "report"  # the same figure has the same bytes
    set_matplotlib_formats("svg")
_setup({width!r}, {height!r})
del _setup
"""
# Which files code opens to read them, and when; and what modules it imports.
_NOTING = """
def _noting():
    import json, os, sys, time
    opened = []
    def note(event, given):
        if event == "open" and isinstance(given[0], str) and not (given[2] or 0) & os.O_ACCMODE:
            opened.append((time.time(), os.path.abspath(given[0])))
    def noted():
        files = (getattr(module, "__file__", None) for module in list(sys.modules.values()))
        return json.dumps([opened, [path for path in files if path]])
    sys.addaudithook(note)
    noting = sys.modules["analysis_noting"] = type(sys)("analysis_noting")
    noting.noted, noting.forget = noted, opened.clear
_noting()
del _noting
"""
_NOTED = "__import__('analysis_noting').noted()", "__import__('analysis_noting').forget()"
_ANSI = re.compile(r"\x1b\[[0-9;]*m")
_CELL_LINE = re.compile(r"(?:Cell In\[\d+\], line|File <ipython-input[^>]*>:) ?(\d+)")


_COMPILED = re.compile(r" \((<\w+>|[^\s()]+\.py), line \d+\)$")  # where Python keeps the code


class ChunkError(Exception):
    """Code that failed: `line` counts from 1 within it; None where Python's process ended."""

    def __init__(self, message: str, line: int | None = None):
        super().__init__(message)
        self.line = line


def said(name: str, value: str) -> str:
    """Python's last line on an exception."""
    text = _COMPILED.sub("", _ANSI.sub("", value).strip())
    return f"{name}: {text}" if text else name


class Kernel:
    """A running kernel: code in, Jupyter outputs out; one namespace until it is shut down."""

    def __init__(self, client: NotebookClient, log: IO[bytes]):
        self._client = client
        self._log = log

    def run(self, code: str) -> list[Any]:
        """The outputs of `code`. ChunkError if it raises or Python ends."""
        cell = nbformat.v4.new_code_cell(code)
        self._client.nb.cells = [cell]
        try:
            self._client.execute_cell(cell, 0)
        except CellExecutionError as error:
            found = _CELL_LINE.search(_ANSI.sub("", error.traceback))
            line = int(found[1]) if found else 1
            raise ChunkError(said(error.ename, error.evalue), line) from error
        except DeadKernelError as error:
            raise self._death() from error
        return list(cell.outputs)

    def evaluate(self, expressions: Sequence[str]) -> list[dict[str, Any]]:
        """The answers to expressions, in one request: `status` ok with `data`, or error."""
        client = self._client.kc
        assert client is not None
        asked = {str(index): expression for index, expression in enumerate(expressions)}
        try:
            reply = self._client.wait_for_reply(client.execute("", user_expressions=asked))
        except DeadKernelError as error:
            raise self._death() from error
        answers = (reply or {})["content"]["user_expressions"]
        return [answers[key] for key in asked]

    def noted(self) -> tuple[list[tuple[float, Path]], set[Path]]:
        """Files that code opened to read them since this was last asked, with the time; and those
        of all modules."""
        shown = self.evaluate(_NOTED)[0]["data"]["text/plain"]
        opened, modules = json.loads(ast.literal_eval(shown))
        return [(at, Path(path)) for at, path in opened], {Path(path) for path in modules}

    def forget(self, names: Iterable[str]) -> None:
        """Unset these names."""
        self.run(f"[globals().pop(name, None) for name in {sorted(names)!r}] and None")

    def _death(self) -> ChunkError:
        self._log.seek(0)
        lines = [line.strip() for line in self._log.read().decode(errors="replace").splitlines()]
        last = next((line for line in reversed(lines) if line), "")
        more = f"; it last said: {last}" if last else ""
        return ChunkError(f"Python ended here (out of memory, or a crash in a library){more}.")


class _ThisInterpreter(KernelSpecManager):
    """Knows one kernel: ipykernel under `sys.executable`."""

    def get_kernel_spec(self, kernel_name: str) -> KernelSpec:
        argv = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
        quiet = ["--IPKernelApp.log_level=40", "--HistoryManager.enabled=False"]
        return KernelSpec(argv=argv + quiet, display_name="this interpreter", language="python")


@contextmanager
def running(project: Path, width: float, height: float) -> Iterator[Kernel]:
    """A kernel that works in `project` and ends with the block; figures default to that size."""
    manager = AsyncKernelManager(kernel_spec_manager=_ThisInterpreter())
    notebook = nbformat.v4.new_notebook()
    client = NotebookClient(notebook, km=manager, timeout=None, store_widget_state=False)
    client.shutdown_kernel = "immediate"
    with passing_folder("analysis-kernel") as folder, (folder / "log").open("w+b") as log:
        manager.connection_file = str(folder / "connection.json")  # else one that a kill leaves
        client.reset_execution_trackers()
        with client.setup_kernel(
            cwd=str(project),
            env=_environment(project, str(folder), width, height),
            stdout=log,
            stderr=subprocess.STDOUT,
            cleanup_kc=True,  # the kernel ends here, not with this process
        ):
            kernel = Kernel(client, log)
            kernel.run(_SETUP.format(width=width, height=height))
            kernel.run(_NOTING)
            yield kernel


def _environment(project: Path, folder: str, width: float, height: float) -> dict[str, str]:
    """This process's environment, with what Quarto adds and without the user's IPython profile."""
    return {
        **os.environ,
        "IPYTHONDIR": folder,
        "PYDEVD_DISABLE_FILE_VALIDATION": "1",  # no debugger warning on stderr
        "MPLBACKEND": "module://matplotlib_inline.backend_inline",
        "QUARTO_FIG_WIDTH": f"{width:g}",
        "QUARTO_FIG_HEIGHT": f"{height:g}",
        "QUARTO_PROJECT_DIR": str(project),
    }
