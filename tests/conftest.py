"""What several test files need: workers that do not meet, runs made once, folders that refuse."""

import os

# two workers, or a test run beside other work, must not fight for the cores; before torch is there
os.environ.setdefault("OMP_NUM_THREADS", "1")

import contextlib
import gc
import multiprocessing.util
import shutil
import subprocess
import tempfile
from pathlib import Path
from unittest import mock

import mini
import pytest
import torch
from filelock import FileLock
from hypothesis import settings

from analysis.engine import machine
from analysis.engine.memo import Memo
from analysis.engine.objects import Objects

_NOBODY = 65534
_WHOLE_RUNS = ("test_run.py", "test_five_studies_run.py")  # take longest: not left for the end
# the same examples each time, and no deadline on a machine that others use
settings.register_profile("project", derandomize=True, deadline=None, database=None)
settings.load_profile("project")


@pytest.fixture(autouse=True)
def own_machine_lock(monkeypatch, tmp_path_factory):
    """Steps run by tests neither wait for nor hold up a real run on this machine."""
    monkeypatch.setattr(machine, "_LOCK", tmp_path_factory.getbasetemp() / "machine.lock")


@contextlib.contextmanager
def _unprivileged():
    user = os.geteuid()
    if user == 0:
        os.seteuid(_NOBODY)
    try:
        yield
    finally:
        os.seteuid(user)


@pytest.fixture
def unprivileged():
    """A context in which file permissions bind, even for root."""
    return _unprivileged


@pytest.fixture
def public_folder():
    """An empty folder that everybody may enter and read, and only its owner write."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    yield folder
    folder.chmod(0o755)
    shutil.rmtree(folder)


@pytest.fixture
def read_only_folder(public_folder):
    """A folder that may be read and not written, for the length of the test."""
    public_folder.chmod(0o555)
    with _unprivileged():
        yield public_folder


def pytest_configure(config):
    """A worker's temporary files lie in a folder of its own: a machine's lock is one of them."""
    gc.disable()  # until all is imported
    if hasattr(config, "workerinput"):
        folder = tempfile.mkdtemp(prefix="t-")  # short: sockets lie in it
        Path(folder).chmod(0o755)  # tests give up their rights and look into it
        os.environ["TMPDIR"] = tempfile.tempdir = folder
        # after the libraries' own last words, which want to clear up in it too
        multiprocessing.util.Finalize(None, shutil.rmtree, (folder, True), exitpriority=-200)


def pytest_collection_finish():
    """All is imported."""
    gc.enable()


@pytest.fixture(autouse=True, scope="module")
def _small_heap():
    """What libraries and earlier tests hold is not gone through again by each search for garbage:
    steps ask for one before they measure, which took a second."""
    gc.collect()
    gc.freeze()


def pytest_collection_modifyitems(items):
    """Whole runs first, of two workers: the other one goes through all the rest meanwhile."""
    if "PYTEST_XDIST_WORKER" in os.environ:
        items.sort(key=lambda item: item.path.name not in _WHOLE_RUNS)


def _made_once(tmp_path_factory, name, make):
    """The folder `name`, filled by `make(folder)` in one worker; the others wait for it."""
    root = tmp_path_factory.getbasetemp()
    if os.environ.get("PYTEST_XDIST_WORKER"):
        root = root.parent  # common to all workers
    folder, done = root / name, root / f"{name}.done"
    with FileLock(root / f"{name}.lock"):
        if not done.exists():
            shutil.rmtree(folder, ignore_errors=True)  # what a failed one left
            folder.mkdir()
            make(folder)
            done.touch()
    return folder


@pytest.fixture(scope="session")
def finished(tmp_path_factory):
    """A project whose mini study has been run once, in a fork of this process, and what that run
    printed."""

    def make(folder):
        import forks  # what it imports takes seconds

        forks.preload()
        project = mini.make_project(folder / "project")
        with mock.patch.object(machine, "_LOCK", folder / "machine.lock"):
            done = forks.command(project, "run", seconds=900.0)
        for name in ("stdout", "stderr", "returncode"):
            (folder / name).write_text(str(getattr(done, name)), encoding="utf-8")

    made = _made_once(tmp_path_factory, "finished", make)
    said = {name: (made / name).read_text(encoding="utf-8") for name in ("stdout", "stderr")}
    status = int((made / "returncode").read_text(encoding="utf-8"))
    return made / "project", subprocess.CompletedProcess("run", status, **said)


@pytest.fixture(scope="module")
def one_thread():
    """Steps set the number of threads, for good: afterwards it is what it was."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def objects(tmp_path_factory):
    """A store of objects, one for a test module."""
    return Objects(tmp_path_factory.mktemp("objects"))


@pytest.fixture
def memo(tmp_path):
    """A cache of the test's own."""
    kept = Memo(tmp_path / "cache")
    kept.prepare()
    return kept
