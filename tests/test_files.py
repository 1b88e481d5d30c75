"""Files and folders are replaced whole or stay as they were, and nothing is left beside them."""

import os
import threading
from pathlib import Path

import pytest

from analysis import files


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def failing(*_, **__):
    raise OSError(28, "No space left on device")


def written(folder, **contents):
    """A folder with these files."""
    folder.mkdir(exist_ok=True)
    for name, text in contents.items():
        (folder / name).write_text(text, encoding="utf-8")
    return folder


# ---------------------------------------------------------------- a text file


@pytest.mark.parametrize("before", [None, "", "old text, longer than what comes"])
@pytest.mark.parametrize("text", ["", "new", "Grüße 漢字\nsecond line\n"])
def test_a_text_is_written_whole(tmp_path, before, text):
    path = tmp_path / "note.json"
    if before is not None:
        path.write_text(before, encoding="utf-8")
    files.replace_text(path, text)
    assert path.read_text(encoding="utf-8") == text
    assert names(tmp_path) == ["note.json"]


@pytest.mark.parametrize("before", [None, "old"])
def test_a_text_that_cannot_be_written_leaves_the_old_one(tmp_path, monkeypatch, before):
    path = tmp_path / "note.json"
    if before is not None:
        path.write_text(before, encoding="utf-8")
    left = names(tmp_path)
    with pytest.raises(UnicodeEncodeError):
        files.replace_text(path, "begun \ud800")
    monkeypatch.setattr(os, "replace", failing)
    with pytest.raises(OSError, match="No space"):
        files.replace_text(path, "new")
    assert names(tmp_path) == left
    assert before is None or path.read_text(encoding="utf-8") == before


def test_a_reader_sees_one_whole_text_or_the_other(tmp_path):
    """Two writers, and a reader that looks all the time."""
    path, texts = tmp_path / "note", {"a" * 70_000, "b" * 50_000}
    path.write_text("a" * 70_000, encoding="utf-8")

    def write(text):
        for _ in range(40):
            files.replace_text(path, text)

    writers = [threading.Thread(target=write, args=(text,)) for text in texts]
    for writer in writers:
        writer.start()
    seen = set()
    while any(writer.is_alive() for writer in writers):
        seen.add(path.read_text(encoding="utf-8"))
    for writer in writers:
        writer.join()
    assert seen <= texts
    assert names(tmp_path) == ["note"]


# ---------------------------------------------------------------- a folder


@pytest.mark.parametrize("before", [{}, {"a": "old", "b": "old"}])
def test_a_folder_is_replaced_as_a_whole(tmp_path, before):
    folder = tmp_path / "deeper" / "results"
    if before:
        folder.parent.mkdir()
        written(folder, **before)
    with files.replaced_folder(folder) as new:
        assert names(new) == []
        written(new, a="new", c="new")
        assert not folder.exists() or names(folder) == sorted(before)
    assert {path.name: path.read_text() for path in folder.iterdir()} == {"a": "new", "c": "new"}
    assert names(folder.parent) == ["results"]


@pytest.mark.parametrize("error", [ValueError, OSError, KeyboardInterrupt, SystemExit])
@pytest.mark.parametrize("there", [True, False])
def test_a_block_that_fails_leaves_the_old_folder(tmp_path, error, there):
    folder = tmp_path / "results"
    if there:
        written(folder, a="old")

    def fails():
        with files.replaced_folder(folder) as new:
            written(new, a="half")
            raise error

    with pytest.raises(error):
        fails()
    assert names(tmp_path) == (["results"] if there else [])
    assert not there or (folder / "a").read_text() == "old"


def test_a_folder_that_cannot_be_moved_into_place_leaves_the_old_one(tmp_path, monkeypatch):
    folder = written(tmp_path / "results", a="old")
    rename = Path.rename

    def refuse_the_new(self, target):
        if self.name.startswith(".results-"):
            failing()
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", refuse_the_new)

    def fails():
        with files.replaced_folder(folder) as new:
            written(new, a="new")

    with pytest.raises(OSError, match="No space"):
        fails()
    assert (folder / "a").read_text() == "old"
    assert names(tmp_path) == ["results"]


def test_nothing_is_left_beside_the_folder(tmp_path):
    folder = written(tmp_path / "results", a="old")
    with files.replaced_folder(folder) as new:
        written(new, a="new")
    assert (folder / "a").read_text() == "new"
    assert names(tmp_path) == ["results"]


def test_others_may_read_the_folder(tmp_path):
    """The folder that is made first is its owner's alone."""
    with files.replaced_folder(tmp_path / "results"):
        pass
    assert (tmp_path / "results").stat().st_mode & 0o777 == 0o755


def test_a_folder_that_refuses_is_left_as_it_was(read_only_folder):
    def fails():
        with files.replaced_folder(read_only_folder / "results"):
            pass

    with pytest.raises(PermissionError):
        fails()
    with pytest.raises(PermissionError):
        files.replace_text(read_only_folder / "note", "text")
    assert names(read_only_folder) == []
