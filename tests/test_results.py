"""Result tables have unique keys and known columns, come back as they were, and change at once."""

import errno
import json
import math
import random
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import yaml

from analysis.errors import RequestError, RunError
from analysis.experiments import sizes
from analysis.results import COLUMNS, KEYS, as_read, build, environment, exist, number, read, write

TABLES = yaml.safe_load(Path(__file__).with_name("tables.yml").read_text(encoding="utf-8"))


def row(table, **values):
    return {column: f"{column} x" for column in COLUMNS[table]} | values


def a_result(title="one"):
    return build({"models": [row("models", model=title)]})


def words_of(folder):
    assert list(folder.parent.iterdir()) == [folder]  # nothing stands beside the results
    return list(read(folder)[0]["models"]["model"])


def back(folder, table, rows):
    write(build({table: rows}), {}, folder / "results")
    return read(folder / "results")[0][table]


def refused(error, call, *said):
    """Fails unless the call raises that error in one line with these words in it."""
    with pytest.raises(error) as caught:
        call()
    assert [x for x in said if str(x) not in str(caught.value)] == []
    assert "\n" not in str(caught.value)


def test_every_table_has_its_columns_and_key_and_refuses_two_rows_of_one():
    assert {table: " ".join(key) for table, key in KEYS.items()} == TABLES["keys"]
    empty = build({})
    for table, columns in COLUMNS.items():
        assert list(empty[table].columns) == columns
        other = {column: "other" for column in columns if column not in KEYS[table]}
        for same in ({}, other):
            with pytest.raises(ValueError, match=f"table {table} has two rows with the key"):
                build({table: [row(table), row(table, **same)]})
        for column in KEYS[table]:
            both = build({table: [row(table), row(table, **{column: "other"})]})[table]
            assert list(both[column]) == [f"{column} x", "other"]
        with pytest.raises(ValueError, match=f"table {table} has no columns strange"):
            build({table: [row(table), row(table, strange=1)]})
    outside = row("profile", layer=None)  # an empty part of a key is a value like others
    with pytest.raises(ValueError, match="two rows"):
        build({"profile": [outside, dict(outside)]})


def test_floats_come_back_to_the_last_bit(tmp_path):
    bits = np.random.default_rng(0).integers(0, 2**64, 2000, dtype=np.uint64).view(np.float64)
    values = [*bits[np.isfinite(bits)].tolist(), 5e-324, -0.0, 0.1, 1e308, 2.0**-1022, 1 / 3]
    rows = [row("size", variant=str(i), ratio=value) for i, value in enumerate(values)]
    found = back(tmp_path, "size", rows)["ratio"]
    assert np.array_equal(found.to_numpy().view(np.int64), np.array(values).view(np.int64))


def test_words_come_back_as_they_were(tmp_path):
    chance = random.Random(0)
    marks = ["a\rb", "a\r\nb", "a\nb", 'a"b', "a,b", " a ", "a\\", "#a", "=1+1", "'", '""', "\t"]
    nothing = ["NA", "None", "nan", "null", "N/A", "NaN", "inf", "<NA>", "1", "007", "1e3", "True"]
    letters = [chr(i) for i in (*range(1, 0xD800), *range(0xE000, 0x11000), 0x1F600)]
    drawn = ["".join(chance.choices(letters, k=chance.randrange(1, 9))) for _ in range(500)]
    words = [*marks, *nothing, *drawn]
    rows = [row("quality", variant=f"v{i}", sample=word) for i, word in enumerate(words)]
    assert list(back(tmp_path, "quality", rows)["sample"]) == words
    texts, numbers = set(TABLES["texts"]), set(TABLES["numbers"])
    for word in ("007", "1e3", "None", "True"):  # names stay names whatever they look like
        tables = {t: [row(t, **dict.fromkeys(COLUMNS[t], word))] for t in COLUMNS}
        write(build(tables), {}, tmp_path / "results")
        for name, table in read(tmp_path / "results")[0].items():
            again = as_read(build(tables)[name])
            for column in texts & set(table) | set(KEYS[name]) - numbers:
                assert list(table[column]) == list(again[column]) == [word], column


def test_cells_keep_their_kind_beside_missing_ones(tmp_path):
    rows = [row("quality", retained=None, sample="", collapsed=True)]
    rows += [row("quality", variant="y", retained=0.5, collapsed=False)]
    table = back(tmp_path, "quality", rows)
    assert table["retained"].isna().tolist() == [True, False]
    assert (pd.isna(table["sample"][0]), table["retained"][1]) == (True, 0.5)
    assert (table["collapsed"].dtype, list(table["collapsed"])) == (bool, [True, False])
    back(tmp_path, "variants", [row("variants", peak_bytes=2**53 + 1), {"variant": "other"}])
    assert f"{2**53 + 1}," in (tmp_path / "results/variants.csv").read_text()  # a whole number
    assert [number(x) for x in (None, math.nan, math.inf, -math.inf)] == [None] * 4
    assert [number(x) for x in (0.0, -1.5, 5e-324, 1e308)] == [0.0, -1.5, 5e-324, 1e308]


def test_a_run_that_computed_nothing_leaves_the_account_of_the_one_that_did(tmp_path):
    first = {name: name for name in ("study", "study_text", "rehearsal", "hardware", "versions")}
    first |= {"finished": "noon", "seconds": 600.0, "needs": {"memory_bytes": 5}, "commit": "a"}
    first |= {"steps": {"prune": {"computed": 2}}}
    second = first | {"finished": "later", "seconds": 1.0, "needs": {}, "commit": "b"}
    looked = second | {"steps": {"prune": {"computed": 0}}}
    path = tmp_path / "environment.json"
    assert environment.after(looked, path) == looked
    path.write_text(json.dumps(first))
    assert environment.after(looked, path) == first | {"commit": "b"}
    for other in (second, looked | {"study_text": "edited"}):
        assert environment.after(other, path) == other


def test_files_are_named_after_their_tables_readable_by_all_and_the_same_again(tmp_path):
    described = {"study": "tïny", "seeds": [0], "versions": {"torch": "2"}, "commit": None}
    for name in ("one", "two"):
        write(a_result(), described, tmp_path / name)
    assert read(tmp_path / "one")[1] == described
    assert json.loads((tmp_path / "one/environment.json").read_text("utf-8")) == described
    files = {path.name: path.read_bytes() for path in (tmp_path / "one").iterdir()}
    assert set(files) == {f"{table}.csv" for table in COLUMNS} | {"environment.json"}
    assert files == {path.name: path.read_bytes() for path in (tmp_path / "two").iterdir()}
    assert (tmp_path / "one").stat().st_mode & 0o777 == 0o755


def test_a_disk_that_refuses_leaves_the_old_results_and_new_ones_take_their_place(
    tmp_path, monkeypatch
):
    folder, calls = tmp_path / "results", []
    write(a_result("old"), {"title": "old"}, folder)
    works = pd.DataFrame.to_csv

    def refuse_the_last(*arguments, **options):
        calls.append(1)
        if len(calls) == len(COLUMNS):
            raise OSError(errno.ENOSPC, "No space left on device")
        return works(*arguments, **options)

    with monkeypatch.context() as patched:
        patched.setattr(pd.DataFrame, "to_csv", refuse_the_last)
        said = f"cannot write the results to {folder}: No space left on device; make room"
        refused(RunError, lambda: write(a_result("new"), {}, folder), said)
    assert words_of(folder) == ["old"]
    with pytest.raises(TypeError):
        write(a_result("new"), {"path": object()}, folder)
    assert words_of(folder) == ["old"]
    write(a_result("new"), {"title": "new"}, folder)
    assert (words_of(folder), read(folder)[1]) == (["new"], {"title": "new"})


def test_results_are_whole_or_refused_with_what_makes_them(tmp_path):
    folder, run = tmp_path / "results", "`python -m analysis run`"
    for place in (tmp_path, tmp_path / "nowhere"):
        assert not exist(place)
        refused(RequestError, lambda at=place: read(at), f"no results in {place};", run)
    write(a_result(), {}, folder)
    damaged = {"models.csv": [b"", b"\xff\xfe\x00", b'a,"b\n', b"a,b\n1,2,3,4\n5,6\n"]}
    damaged |= {"environment.json": [b"", b"{", b"\xff", b"[]"]}
    for path in list(folder.iterdir()):
        whole = path.read_bytes()
        path.unlink()
        assert not exist(folder), path
        refused(RequestError, lambda: read(folder), f"no results in {folder};", run)
        for content in damaged.get(path.name, []):
            path.write_bytes(content)
            refused(RequestError, lambda: read(folder), folder, run)
        path.write_bytes(whole)
        assert exist(folder)
    for table, (*rest, last) in COLUMNS.items():
        path = folder / f"{table}.csv"
        whole = path.read_bytes()
        path.write_text(",".join(rest) + "\n")
        refused(RequestError, lambda: read(folder), f"{path} lacks {last}: it is of another", run)
        path.write_bytes(whole)
    later = pd.read_csv(folder / "models.csv").assign(later=1)  # of a later version
    later.to_csv(folder / "models.csv", index=False)
    assert words_of(folder) == ["one"]


def test_sizes_are_compared_with_the_dense_file_of_the_dense_model():
    own = {"bytes": {"dense": 80, "auto": 20}, "bound_bytes": 15}
    dense = {"bytes": {"dense": 100, "auto": 90}, "bound_bytes": 85}
    for whole, ratios in ((dense, [0.8, 0.2]), ({}, [1.0, 0.25])):
        found = sizes.size_rows(SimpleNamespace(name="v"), own, whole)
        assert [row["ratio"] for row in found] == ratios
        assert [row["format"] for row in found] == ["dense", "auto"]
