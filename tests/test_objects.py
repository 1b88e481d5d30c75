"""Objects are immutable, named by their content; damage is found, and killed runs leave nothing."""

import contextlib
import hashlib
import json
import multiprocessing
import os
import shutil
import signal

import damage
import pytest

from analysis.engine import objects
from analysis.engine.objects import DamagedError, Objects, content_digest, file_digest
from analysis.errors import RunError

FORK = multiprocessing.get_context("fork")
FOLDER = {"a": b"123", "b/c": b"2"}


@pytest.fixture
def store(tmp_path):
    return Objects(tmp_path / "objects")


def folder_in(parent, files=FOLDER):
    for name, content in files.items():
        path = parent / "folder" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return parent / "folder"


def put_folder(store, files=FOLDER):
    with store.scratch() as scratch:
        return store.adopt(folder_in(scratch, files))


def puts(store):
    """Two ways to put the same object again and again: a file and a folder."""
    return (lambda: store.put_bytes(b"content"), lambda: put_folder(store))


def change(path):
    """Flip a bit of the file's content: same size, same inode, later mtime."""
    later = path.stat().st_mtime_ns + 1_000_000
    damage.hurt(path, lambda content: damage.flipped(content, 0, 0))
    os.utime(path, ns=(later, later))


def test_objects_come_back_under_the_sha256_of_bytes_or_of_names_and_digests(store, tmp_path):
    def sha(content):
        return hashlib.sha256(content).hexdigest()

    path = tmp_path / "file"
    for content in (b"", b"abc", bytes(range(256)) * 10_000):
        path.write_bytes(content)
        assert file_digest(path) == content_digest(path) == store.put_bytes(content) == sha(content)
        assert store.open(sha(content)).read_bytes() == content
    one, two = folder_in(tmp_path / "one"), folder_in(tmp_path / "two")
    os.utime(two / "a", ns=(0, 0))
    expected = sha("\n".join(f"{name}\0{sha(FOLDER[name])}" for name in sorted(FOLDER)).encode())
    assert content_digest(one) == content_digest(two) == put_folder(store) == expected
    assert content_digest(store.open(expected)) == expected


def test_the_same_content_is_stored_once_mended_by_putting_it_again_and_discarded(store):
    for put in puts(store):
        digest = put()
        assert put() == digest
        path = store.path(digest)
        change(path if path.is_file() else path / "a")
        assert put() == digest
        assert content_digest(store.open(digest)) == digest
    assert len([p for p in store.root.glob("??/*") if p.suffix != ".stamp"]) == 2
    for put in puts(store):
        digest = put()
        store.discard(digest)
        store.discard(digest)
        assert not store.intact(digest)
        assert store.intact(put())


def test_scratch_folders_are_empty_and_distinct_and_gone_afterwards(store):
    put_folder(store)
    with contextlib.suppress(ValueError), store.scratch() as one, store.scratch() as two:
        assert (one != two, list(one.iterdir()), list(two.iterdir())) == (True, [], [])
        (two / "half").write_bytes(b"half")
        raise ValueError
    assert list((store.root / "tmp").iterdir()) == []


def test_an_intact_object_is_read_once_by_who_uses_it_or_after_it_was_touched_or_copied(
    store, tmp_path, monkeypatch
):
    read = []
    monkeypatch.setattr(objects, "file_digest", lambda path: read.append(path) or file_digest(path))
    digests = [put() for put in puts(store)]
    path, anew = store.path(digests[0]), Objects(store.root)
    read.clear()
    assert all(map(store.intact, digests))
    assert read == []
    assert {anew.open(digests[0]) for _ in range(3)} == {path}
    os.utime(path)
    assert all(store.intact(digests[0]) for _ in range(2))
    assert read == [path] * 2
    copy = Objects(shutil.copytree(store.root, tmp_path / "copy"))
    assert all(map(copy.intact, digests))
    read.clear()
    assert all(map(copy.intact, digests))
    assert read == []
    change(copy.path(digests[0]))
    assert (copy.intact(digests[0]), store.intact(digests[0])) == (False, True)


def test_every_damage_of_a_file_is_found_and_named_in_one_line(store):
    content = b"content of an object"
    digest = store.put_bytes(content)
    for name, hurt in damage.damages(40):
        damage.hurt(store.path(digest), hurt)
        assert not store.intact(digest), name
        assert store.put_bytes(content) == digest
        assert store.intact(digest), name
    change(store.path(digest))
    for wanted in (digest, "0" * 64):
        with pytest.raises(RunError, match=f"{wanted[:12]}[^\n]*run again"):
            store.open(wanted)


def test_every_change_of_a_folder_is_found(store):
    path = store.path(put_folder(store))
    for name, hurt in {
        "change": lambda: change(path / "a"),
        "truncate": lambda: (path / "a").write_bytes(b"12"),
        "remove": lambda: (path / "a").unlink(),
        "add": lambda: (path / "d").write_bytes(b""),
        "rename": lambda: (path / "a").rename(path / "z"),
        "empty": lambda: shutil.rmtree(path / "b"),
        "all": lambda: shutil.rmtree(path),
    }.items():
        hurt()
        assert not store.intact(path.name), name
        put_folder(store)
        assert store.intact(path.name), name


def test_a_lost_or_garbled_stamp_costs_a_reading_only(store):
    digest = store.put_bytes(b"content")
    stamp = store.path(digest).with_suffix(".stamp")
    intact = json.loads(stamp.read_text())
    stamp.unlink()
    assert store.intact(digest)
    for garbled in (b"", b"[[", b"null", b"{}", b"\xff\xfe", b'[["x"]]'):
        stamp.write_bytes(garbled)
        assert Objects(store.root).intact(digest)
        assert stamp.read_bytes() == garbled  # who only looks changes nothing
        assert Objects(store.root).open(digest) == store.path(digest)
        assert json.loads(stamp.read_text()) == intact


def test_what_its_stamp_does_not_tell_is_found_when_an_object_is_first_used(store):
    """A bit is another, size and time are the same."""
    for put in puts(store):
        digest = put()
        path = store.path(digest)
        file, anew = path if path.is_file() else path / "a", Objects(store.root)
        state = file.stat()
        change(file)
        os.utime(file, ns=(state.st_atime_ns, state.st_mtime_ns))
        assert anew.intact(digest)  # to look at
        with pytest.raises(DamagedError, match="missing or damaged"):
            anew.open(digest)
        assert not Objects(store.root).intact(digest)  # so whoever makes it is asked again
        assert put() == digest
        assert content_digest(anew.open(digest)) == digest


def _killed_in_the_making(root):
    with Objects(root).scratch() as scratch:
        (scratch / "half").write_bytes(b"half")
        os.kill(os.getpid(), signal.SIGKILL)


def test_what_a_killed_run_left_is_swept_and_the_living_keep_theirs(store):
    store.sweep()
    assert not store.root.exists()
    child = FORK.Process(target=_killed_in_the_making, args=(store.root,))
    child.start()
    child.join()
    (left,) = (store.root / "tmp").iterdir()
    elsewhere = left.with_name(f"another-{left.name}")  # on a disk that hosts share
    elsewhere.mkdir()
    with store.scratch() as mine:
        store.sweep()
        assert set((store.root / "tmp").iterdir()) == {mine, elsewhere}


def _put_many(root, barrier):
    store = Objects(root)
    for i in range(40):
        barrier.wait(timeout=60)
        store.open(put_folder(store, {"a": str(i).encode(), "b/c": b"2"}))


def test_processes_that_put_the_same_folders_at_once_all_succeed(store):
    barrier = FORK.Barrier(4)
    children = [FORK.Process(target=_put_many, args=(store.root, barrier)) for _ in range(4)]
    for child in children:
        child.start()
    for child in children:
        child.join()
    assert [child.exitcode for child in children] == [0, 0, 0, 0]
