"""Puts small mistakes into the code, one at a time, and says which of them the tests notice.

    python tests/mutants.py [--measured FOLDER] [NUMBER…]

The mistakes stand in mutants.yml. Each is tried in a copy of the project, against the test files
that execute the changed line, until the first failure; which files these are is measured first,
and kept in FOLDER if one is named. By itself it takes at most 40 minutes on two cores.
"""

import argparse
import ast
import json
import os
import queue
import re
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[1]
CONTEXT = "MUTANTS_CONTEXT"  # the test file at work, for child processes too
SECONDS_EACH = 300
COVERAGE = """\
[run]
branch = True
parallel = True
source = analysis
data_file = {folder}/.coverage
context = ${{MUTANTS_CONTEXT-start}}
sigterm = True
concurrency = thread, multiprocessing
disable_warnings = no-data-collected, module-not-measured
"""


def main() -> None:
    """Try the mutations with those numbers, or all; exit status 1 if the tests miss one."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--measured", type=Path, help="where coverage by test file is kept")
    parser.add_argument("numbers", type=int, nargs="*", help="of mutations; all by default")
    asked = parser.parse_args()
    mutants = dict(enumerate(yaml.safe_load((ROOT / "tests" / "mutants.yml").read_text()), 1))
    with tempfile.TemporaryDirectory(prefix="mutants-") as name:
        folder = Path(name)
        measured = asked.measured or folder / "measured"
        if not (measured / "seconds.json").exists():
            _measure(measured)
        copies: queue.Queue[Path] = queue.Queue()
        for number in range(2):
            copies.put(_copy(folder / f"copy{number}"))
        chosen = {n: m for n, m in mutants.items() if not asked.numbers or n in asked.numbers}
        with ThreadPoolExecutor(2) as pool:
            tried = pool.map(lambda n: _tried(n, chosen[n], measured, copies), chosen)
            missed = sum(not caught for caught in tried)
    print(f"{len(chosen) - missed} of {len(chosen)} mutations found, {missed} missed")
    sys.exit(1 if missed else 0)


def _measure(folder: Path) -> None:
    """Run all tests under coverage: which file executes which line, and how long a file takes."""
    folder.mkdir(parents=True, exist_ok=True)
    settings = folder / "coveragerc"
    settings.write_text(COVERAGE.format(folder=folder.resolve()), encoding="utf-8")
    said = {"COVERAGE_PROCESS_START": str(settings.resolve()), "MUTANTS_MEASURED": str(folder)}
    print("measuring which test file executes which line: all tests once", flush=True)
    command = [*_PYTEST, "-n", "2", "--dist", "loadfile", "-p", "mutants"]
    subprocess.run(command, cwd=ROOT, env=_environment(ROOT, **said), check=True)
    combine = [sys.executable, "-m", "coverage", "combine", "-q", f"--rcfile={settings}"]
    subprocess.run(combine, cwd=ROOT, check=True)


_PYTEST = (sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--tb=no")


def _environment(root: Path, **more: str) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(root / "tests"), "OMP_NUM_THREADS": "1", **more}


def _copy(folder: Path) -> Path:
    """A copy of the project's own files."""
    listed = ["git", "ls-files", "-coz", "--exclude-standard"]
    for name in subprocess.check_output(listed, cwd=ROOT, text=True).split("\0"):
        if name and (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    return folder


def _tried(number: int, mutant: dict[str, str], measured: Path, copies: queue.Queue[Path]) -> bool:
    """Whether a test fails of that mutation; says which."""
    copy = copies.get()
    path = copy / mutant["file"]
    text = path.read_text(encoding="utf-8")
    try:
        assert text.count(mutant["from"]) == 1, f"{mutant}: not once in its file"
        files = _files(mutant["file"], _lines(text, text.index(mutant["from"])), measured)
        path.write_text(text.replace(mutant["from"], mutant["to"]), encoding="utf-8")
        start = time.monotonic()
        failed = _first_failure(copy, files, "njit" in text) if files else None
        seconds = time.monotonic() - start
    finally:
        path.write_text(text, encoding="utf-8")
        copies.put(copy)
    how = f"found by {failed}" if failed else f"MISSED by {len(files)} files"
    print(f"{number:3d} {mutant['file']} ({mutant['kind']}): {how}, {seconds:.0f} s", flush=True)
    return failed is not None


def _first_failure(copy: Path, files: list[str], compiled: bool) -> str | None:
    """The first test that fails, or the file that cannot be read; None if all pass."""
    more = {}
    if compiled:  # the compiler's cache does not see that a function called from elsewhere changed
        more["NUMBA_CACHE_DIR"] = tempfile.mkdtemp(dir=copy.parent)
    command = [*_PYTEST, "-x", "-rfE", *(f"tests/{name}" for name in files)]
    try:
        done = subprocess.run(
            command, cwd=copy, env=_environment(copy, **more), capture_output=True, text=True,
            timeout=SECONDS_EACH,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return None
    if done.returncode == 0:
        return None
    found = re.search(r"^(?:FAILED|ERROR) (\S+)", done.stdout, re.M)
    return found[1] if found else f"exit status {done.returncode}"


def _lines(text: str, place: int) -> range:
    """The lines of the innermost statement at that place; of one with a body, its head's."""
    line = text.count("\n", 0, place) + 1
    statements = (node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.stmt))
    around = [node for node in statements if node.lineno <= line <= (node.end_lineno or 0)]
    found = max(around, key=lambda node: node.lineno)
    body = getattr(found, "body", None)
    return range(found.lineno, body[0].lineno if body else (found.end_lineno or 0) + 1)


def _files(module: str, lines: range, measured: Path) -> list[str]:
    """The test files that execute one of the lines: those named alike first, then quick ones.

    Where none does, as in compiled code, those that execute anything of the same folder.
    """
    seconds = json.loads((measured / "seconds.json").read_text(encoding="utf-8"))
    places = [(module, lines.start, lines.stop - 1), (f"{Path(module).parent}/%", 1, 1 << 30)]
    for path, first, last in places:
        found = sqlite3.connect(measured / ".coverage").execute(
            "select distinct context from arc join context on context.id = context_id join file on"
            " file.id = file_id where path like ?"
            " and (fromno between ? and ? or tono between ? and ?)",
            (f"%/{path}", first, last, first, last),
        )
        names = {context.rsplit("|", 1)[-1] for (context,) in found} & set(seconds)
        if names:
            break
    return sorted(names, key=lambda n: (Path(module).stem not in n, seconds[n], n))


# ---------------------------------------------------------------- as a plugin, while measuring

_seconds: dict[str, float] = defaultdict(float)


def pytest_runtest_protocol(item):
    """From here on, what is executed is executed by this test's file."""
    if os.environ.get(CONTEXT) != item.path.name:
        os.environ[CONTEXT] = item.path.name
        import coverage

        if running := coverage.Coverage.current():
            running.switch_context(item.path.name)


def pytest_runtest_logreport(report):
    """Add up what a file takes."""
    _seconds[Path(report.fspath).name] += report.duration


def pytest_sessionfinish(session):
    """The one process that knows of all tests writes it down."""
    if not hasattr(session.config, "workerinput"):
        path = Path(os.environ["MUTANTS_MEASURED"]) / "seconds.json"
        path.write_text(json.dumps(_seconds, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
