"""Files and folders are replaced whole or stay as they were, and nothing is left beside them."""

import os
import subprocess
import sys
from pathlib import Path
from unittest.mock import patch

import pytest

from analysis.engine import files, processes

FULL = OSError(28, "No space left on device")


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def texts(folder):
    return {path.name: path.read_text(encoding="utf-8") for path in folder.iterdir()}


def written(folder, **contents):
    folder.mkdir(exist_ok=True)
    for name, text in contents.items():
        (folder / name).write_text(text, encoding="utf-8")
    return folder


def replace_by(folder, error=None, **contents):
    with files.replaced_folder(folder) as new:
        assert names(new) == []
        written(new, **contents)
        if error:
            raise error


def test_a_text_is_written_whole_and_others_may_read_it(tmp_path):
    path = tmp_path / "note.json"
    for text in ("new", "", "Grüße 漢字\nsecond line, longer\n", "short"):
        files.replace_text(path, text)
        assert texts(tmp_path) == {"note.json": text}
        assert path.stat().st_mode & 0o777 == 0o644


def test_a_text_that_cannot_be_written_leaves_the_old_one(tmp_path):
    for before in ({}, {"note.json": "old"}):
        written(tmp_path, **before)
        with pytest.raises(UnicodeEncodeError):
            files.replace_text(tmp_path / "note.json", "begun \ud800")
        with patch("os.replace", side_effect=FULL), pytest.raises(OSError, match="No space"):
            files.replace_text(tmp_path / "note.json", "new")
        assert texts(tmp_path) == before


def test_a_folder_is_replaced_as_a_whole(tmp_path):
    folder = tmp_path / "deeper" / "results"
    replace_by(folder, a="old", b="old")
    with files.replaced_folder(folder) as new:
        written(new, a="new", c="new")
        assert names(folder) == ["a", "b"]
    assert texts(folder) == {"a": "new", "c": "new"}
    assert names(folder.parent) == ["results"]
    assert folder.stat().st_mode & 0o777 == 0o755  # one that is made first is its owner's alone


@pytest.mark.parametrize("before", [{}, {"results": {"a": "old"}}])
def test_a_block_or_a_disk_that_fails_leaves_the_old_folder(tmp_path, monkeypatch, before):
    def refuse_the_new(self, target, rename=Path.rename):
        if self.name.startswith(".results-"):
            raise FULL
        return rename(self, target)

    for name, contents in before.items():
        written(tmp_path / name, **contents)
    for error in (ValueError, KeyboardInterrupt):
        with pytest.raises(error):
            replace_by(tmp_path / "results", error, a="half")
    monkeypatch.setattr(Path, "rename", refuse_the_new)
    with pytest.raises(OSError, match="No space"):
        replace_by(tmp_path / "results", a="new")
    assert {path.name: texts(path) for path in tmp_path.iterdir()} == before


def test_a_folder_that_refuses_is_left_as_it_was(read_only_folder):
    for call in (replace_by, lambda path: files.replace_text(path, "text")):
        with pytest.raises(PermissionError):
            call(read_only_folder / "new")
    assert names(read_only_folder) == []


def test_what_a_killed_process_left_is_swept_by_the_next_and_nothing_else(tmp_path):
    kept = [".results-of-mine", "report.html", f".report.html-{processes.process_tag()}-a"]
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    tag = f"{processes.host()}-{ended.pid}"
    left = [f".{name}-{tag}-x_1y" for name in ("results", "results-old", "rendering", "a.csv")]
    for name in (*kept, left[-1]):
        (tmp_path / name).touch()
    for name in left[:-1]:
        written(tmp_path / name, note="half")
    replace_by(tmp_path / "results", whole="yes")
    assert names(tmp_path) == sorted([*kept, *left[2:], "results"])  # of that name
    files.sweep(tmp_path)
    assert names(tmp_path) == sorted([*kept, "results"])
    with files.passing_folder("rendering", tmp_path) as folder:
        assert processes.tagged(folder.name) == os.getpid()
    assert names(tmp_path) == sorted([*kept, "results"])
