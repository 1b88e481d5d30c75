"""Objects are immutable, named by their content; damage is found, and killed runs leave nothing."""

import hashlib
import json
import multiprocessing
import os
import shutil
import signal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analysis import objects as module
from analysis.errors import RunError
from analysis.objects import Objects, content_digest, file_digest


@pytest.fixture
def store(tmp_path):
    return Objects(tmp_path / "objects")


def folder_in(scratch: Path, **files: bytes) -> Path:
    """A folder of these files; `a__b` is file b in folder a."""
    folder = scratch / "folder"
    for name, content in files.items():
        path = folder / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return folder


def put_folder(store: Objects, **files: bytes) -> str:
    with store.scratch() as scratch:
        return store.adopt(folder_in(scratch, **files))


def change(path: Path) -> None:
    """Flip a bit of the file's content: same size, same inode, later mtime."""
    content = bytearray(path.read_bytes())
    content[0] ^= 1
    before = path.stat().st_mtime_ns
    path.write_bytes(content)
    os.utime(path, ns=(before + 1_000_000, before + 1_000_000))


def count_reads(monkeypatch) -> list:
    """The files that are read for their digest from now on."""
    read = []
    original = module.file_digest
    monkeypatch.setattr(module, "file_digest", lambda path: read.append(path) or original(path))
    return read


# ---------------------------------------------------------------- digests


def test_a_files_digest_is_the_sha256_of_its_bytes(tmp_path):
    path = tmp_path / "file"
    for content in (b"", b"abc", bytes(range(256)) * 10_000):
        path.write_bytes(content)
        expected = hashlib.sha256(content).hexdigest()
        assert file_digest(path) == content_digest(path) == expected


def test_a_folders_digest_depends_on_names_and_contents_only(tmp_path):
    for name in ("one", "two"):
        folder_in(tmp_path / name, a=b"1", b__c=b"2")
    os.utime(tmp_path / "two/folder/a", ns=(0, 0))
    assert content_digest(tmp_path / "one/folder") == content_digest(tmp_path / "two/folder")


@pytest.mark.parametrize(
    "files",
    [
        {"a": b"1"},
        {"a": b"1", "b__c": b"3"},
        {"a": b"2", "b__c": b"1"},
        {"a": b"1", "c": b"2"},
        {"a": b"1", "b__d": b"2"},
        {"a": b"1", "b__c": b"2", "e": b""},
    ],
)
def test_another_folder_has_another_digest(tmp_path, files):
    one = folder_in(tmp_path / "one", a=b"1", b__c=b"2")
    assert content_digest(one) != content_digest(folder_in(tmp_path / "two", **files))


# ---------------------------------------------------------------- put and open


@given(content=st.binary(max_size=200))
def test_bytes_come_back_as_they_were(tmp_path_factory, content):
    store = Objects(tmp_path_factory.getbasetemp() / "shared-objects")
    digest = store.put_bytes(content)
    assert digest == hashlib.sha256(content).hexdigest()
    assert store.open(digest).read_bytes() == content


def test_a_folder_comes_back_as_it_was(store):
    path = store.open(put_folder(store, a=b"1", b__c=b"2"))
    assert sorted(p.relative_to(path).as_posix() for p in path.rglob("*") if p.is_file()) == [
        "a",
        "b/c",
    ]
    assert (path / "b/c").read_bytes() == b"2"


def test_the_same_content_is_stored_once(store):
    digests = {store.put_bytes(b"same") for _ in range(3)}
    digests |= {put_folder(store, a=b"1") for _ in range(3)}
    assert len(digests) == 2
    assert len([p for p in store.root.glob("??/*") if p.suffix != ".stamp"]) == 2


def test_putting_again_mends_a_damaged_object(store):
    for put in (lambda: store.put_bytes(b"content"), lambda: put_folder(store, a=b"1")):
        digest = put()
        path = store.path(digest)
        change(path if path.is_file() else path / "a")
        assert put() == digest
        assert content_digest(store.open(digest)) == digest


def fail_halfway(store: Objects) -> None:
    with store.scratch() as scratch:
        (scratch / "half").write_bytes(b"half")
        raise ValueError("stop")


def test_nothing_is_left_in_the_making(store):
    store.put_bytes(b"x")
    put_folder(store, a=b"1")
    with pytest.raises(ValueError, match="stop"):
        fail_halfway(store)
    assert list((store.root / "tmp").iterdir()) == []


def test_scratch_folders_are_empty_and_distinct(store):
    with store.scratch() as one, store.scratch() as two:
        assert one != two
        assert list(one.iterdir()) == list(two.iterdir()) == []


# ---------------------------------------------------------------- damage


def test_an_intact_object_is_not_read_again(store, monkeypatch):
    digests = [store.put_bytes(b"x"), put_folder(store, a=b"1", b=b"2")]
    read = count_reads(monkeypatch)
    assert all(store.intact(digest) for digest in digests)
    assert read == []


def test_a_changed_file_of_the_same_size_is_found(store):
    digest = store.put_bytes(b"content")
    change(store.path(digest))
    assert not store.intact(digest)


@pytest.mark.parametrize("damage", ["change", "truncate", "remove", "add", "rename", "empty"])
def test_a_changed_folder_is_found(store, damage):
    digest = put_folder(store, a=b"123", b__c=b"2")
    path = store.path(digest)
    {
        "change": lambda: change(path / "a"),
        "truncate": lambda: (path / "a").write_bytes(b"12"),
        "remove": lambda: (path / "a").unlink(),
        "add": lambda: (path / "d").write_bytes(b""),
        "rename": lambda: (path / "a").rename(path / "z"),
        "empty": lambda: shutil.rmtree(path / "b"),
    }[damage]()
    assert not store.intact(digest)


def test_a_missing_object_is_not_intact(store):
    digest = store.put_bytes(b"x")
    store.path(digest).unlink()
    assert not store.intact(digest)
    assert not store.intact("0" * 64)


def test_a_truncated_object_is_found(store):
    digest = store.put_bytes(b"content")
    store.path(digest).write_bytes(b"")
    assert not store.intact(digest)


def test_opening_what_is_missing_or_damaged_is_one_line(store):
    digest = store.put_bytes(b"content")
    change(store.path(digest))
    for wanted in (digest, "0" * 64):
        with pytest.raises(RunError) as caught:
            store.open(wanted)
        assert wanted[:12] in str(caught.value)
        assert "run again" in str(caught.value)
        assert "\n" not in str(caught.value)


def test_a_touched_object_is_read_once_and_kept(store, monkeypatch):
    digest = store.put_bytes(b"content")
    os.utime(store.path(digest))
    read = count_reads(monkeypatch)
    assert store.intact(digest)
    assert store.intact(digest)
    assert len(read) == 1


@pytest.mark.parametrize("stamp", [None, b"", b"[[", b"null", b"{}", b"\xff\xfe", b'[["x"]]'])
def test_a_lost_or_garbled_stamp_costs_a_reading_only(store, stamp):
    digest = store.put_bytes(b"content")
    path = store._stamp_path(digest)
    path.unlink() if stamp is None else path.write_bytes(stamp)
    assert store.intact(digest)
    assert json.loads(path.read_text())


def test_a_copied_cache_is_intact_and_read_once(store, tmp_path, monkeypatch):
    digests = [store.put_bytes(b"x"), put_folder(store, a=b"1", b__c=b"2")]
    shutil.copytree(store.root, tmp_path / "copy")
    copy = Objects(tmp_path / "copy")
    assert all(copy.intact(digest) for digest in digests)
    read = count_reads(monkeypatch)
    assert all(copy.intact(digest) for digest in digests)
    assert read == []


def test_damage_done_while_copying_is_found(store, tmp_path):
    digest = store.put_bytes(b"content")
    shutil.copytree(store.root, tmp_path / "copy")
    copy = Objects(tmp_path / "copy")
    change(copy.path(digest))
    assert not copy.intact(digest)
    assert store.intact(digest)


def test_a_read_only_copy_is_intact(public_folder, unprivileged):
    digest = Objects(public_folder / "objects").put_bytes(b"content")
    shutil.copytree(public_folder / "objects", public_folder / "copy")
    copy = Objects(public_folder / "copy")
    with unprivileged():
        assert copy.intact(digest)
        assert copy.open(digest).read_bytes() == b"content"


def test_a_discarded_object_is_gone_and_can_be_put_again(store):
    for put in (lambda: store.put_bytes(b"x"), lambda: put_folder(store, a=b"1")):
        digest = put()
        store.discard(digest)
        store.discard(digest)
        assert not store.intact(digest)
        assert store.intact(put())


# ---------------------------------------------------------------- other processes


def _killed_in_the_making(root: Path) -> None:
    with Objects(root).scratch() as scratch:
        (scratch / "half").write_bytes(b"half")
        os.kill(os.getpid(), signal.SIGKILL)


def test_what_a_killed_run_left_is_swept_and_the_living_keep_theirs(store):
    child = multiprocessing.get_context("fork").Process(
        target=_killed_in_the_making, args=(store.root,)
    )
    child.start()
    child.join()
    assert len(list((store.root / "tmp").iterdir())) == 1
    with store.scratch() as mine:
        store.sweep()
        assert list((store.root / "tmp").iterdir()) == [mine]


def test_sweeping_an_empty_store_does_nothing(store):
    store.sweep()
    assert not store.root.exists()


def test_what_another_host_has_in_the_making_is_left_alone(store, monkeypatch):
    """A cache on a shared disk: that process's number means nothing here."""
    monkeypatch.setattr("socket.gethostname", lambda: "another-host")
    monkeypatch.setattr(os, "getpid", lambda: 2**22 + 1)  # no such process here
    with store.scratch() as theirs:
        monkeypatch.undo()
        store.sweep()
        assert theirs.is_dir()


def _put_many(root: Path, barrier) -> None:
    store = Objects(root)
    for i in range(80):
        barrier.wait(timeout=5)
        store.open(put_folder(store, a=str(i).encode(), b__c=b"2"))


def test_processes_that_put_the_same_folders_at_once_all_succeed(store):
    context = multiprocessing.get_context("fork")
    barrier = context.Barrier(4)
    children = [context.Process(target=_put_many, args=(store.root, barrier)) for _ in range(4)]
    for child in children:
        child.start()
    for child in children:
        child.join()
    assert [child.exitcode for child in children] == [0, 0, 0, 0]
