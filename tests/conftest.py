"""What several test files need: a machine lock of the test's own, and folders that refuse."""

import contextlib
import os
import shutil
import tempfile
from pathlib import Path

import mini
import pytest
import torch
from hypothesis import settings

from analysis import machine
from analysis.objects import Objects

_NOBODY = 65534
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


@pytest.fixture(scope="session")
def finished(tmp_path_factory):
    """A project whose mini study has been run once, and what that run printed."""
    folder = mini.make_project(tmp_path_factory.mktemp("finished"))
    return folder, mini.analysis(folder, "run")


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
