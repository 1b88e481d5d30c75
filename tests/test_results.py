"""Result tables have unique keys and known columns, come back as they were, and change at once."""

import errno
import json
import re
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis import results
from analysis.errors import RequestError, RunError
from analysis.results import COLUMNS, KEYS, build, exist, number, read, write

every_table = pytest.mark.parametrize("table", COLUMNS)

CONTRACT = {
    "models": "*model family source revision weights_sha256 parameters prunable_parameters dtype"
    " bytes",
    "tasks": "*task *metric higher_is_better chance best split examples data_sha256 revision"
    " licence published published_source",
    "published": "*model *task *metric value source",
    "failures": "*step model task reason",
    "variants": "*variant model task kind method protocol sparsity achieved scope_weights"
    " whole_model threshold settings seed status reason prune_seconds train_seconds peak_bytes",
    "quality": "*variant *task *metric value low high delta delta_low delta_high retained examples"
    " collapsed",
    "contests": "*variant *other *task *metric sparsity difference low high",
    "recovery": "*variant *masks_kept *epoch removed zeros sparsity train_seconds",
    "sensitivity": "*model *task *by *group *sparsity part layer kind weights metric value low high"
    " delta delta_low delta_high retained retained_low retained_high examples",
    "size": "*variant *format bytes ratio bound_bytes",
    "runtime": "*variant *operation *kernel *device *threads *dtype *batch *tokens iterations"
    " p50_ms p95_ms tokens_per_second speedup peak_bytes",
    "replicas": "*architecture *sparsity *kernel *device *threads *dtype *batch *tokens iterations"
    " p50_ms p95_ms tokens_per_second speedup linear_bytes",
    "profile": "*model *part *layer *kind parameters zeros not_finite mean_abs std skew kurtosis"
    " q01 q05 q25 q50 q75 q95 q99 below_1e-3 below_1e-2 below_1e-1 below_1",
    "profile_scopes": "*model *scope part layer kind parameters zeros not_finite mean_abs std skew"
    " kurtosis q01 q05 q25 q50 q75 q95 q99 below_1e-3 below_1e-2 below_1e-1 below_1",
    "histogram": "*variant *scope *scale *left right count",
    "cdf": "*variant *scope *scale *left fraction",
}


def row(table, **values):
    """A row of the table, every cell a word, some given."""
    return {column: f"{column} x" for column in COLUMNS[table]} | values


def a_result(title="one"):
    return build({"models": [row("models", model=title)]})


def words_of(folder: Path) -> list:
    return list(read(folder)[0]["models"]["model"])


# ---------------------------------------------------------------- columns and keys


@every_table
def test_the_columns_of_the_design_come_first_and_its_keys_are_the_keys(table):
    columns = CONTRACT[table].split()
    names = [column.lstrip("*") for column in columns]
    assert COLUMNS[table][: len(names)] == names
    assert KEYS[table] == [column[1:] for column in columns if column.startswith("*")]


def test_no_table_of_the_design_is_missing():
    assert COLUMNS.keys() >= CONTRACT.keys()


@every_table
def test_every_table_is_there_with_its_columns_even_without_rows(table):
    tables = build({})
    assert list(tables[table].columns) == COLUMNS[table]
    assert len(tables[table]) == 0


@every_table
def test_an_unknown_column_is_refused_by_name(table):
    with pytest.raises(ValueError, match=f"table {table} has no columns strange"):
        build({table: [row(table), row(table, strange=1)]})


@every_table
def test_two_rows_of_one_key_are_refused(table):
    with pytest.raises(ValueError, match=f"table {table} has two rows with the key"):
        build({table: [row(table), row(table)]})


@every_table
def test_rows_that_differ_in_any_part_of_the_key_stand_together(table):
    for column in KEYS[table]:
        assert len(build({table: [row(table), row(table, **{column: "other"})]})[table]) == 2


@every_table
def test_rows_that_differ_outside_the_key_only_are_refused(table):
    other = {column: "other" for column in COLUMNS[table] if column not in KEYS[table]}
    with pytest.raises(ValueError, match="two rows"):
        build({table: [row(table), row(table, **other)]})


def test_an_empty_part_of_a_key_is_a_value_like_others():
    outside = row("profile", layer=None)
    with pytest.raises(ValueError, match="two rows"):
        build({"profile": [outside, dict(outside)]})


def test_a_missing_cell_is_empty_and_a_whole_number_beside_it_stays_whole(tmp_path):
    rows = [row("variants", peak_bytes=2**53 + 1), {"variant": "other"}]
    write(build({"variants": rows}), {}, tmp_path / "results")
    text = (tmp_path / "results/variants.csv").read_text()
    assert str(2**53 + 1) in text
    assert ".0" not in text


# ---------------------------------------------------------------- there and back

text_cells = st.text(st.characters(codec="utf-8"), max_size=12)


@settings(max_examples=60)
@given(floats=st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=5))
def test_floats_come_back_to_the_last_bit(tmp_path_factory, floats):
    folder = tmp_path_factory.getbasetemp() / "floats"
    rows = [row("size", variant=str(i), ratio=value) for i, value in enumerate(floats)]
    write(build({"size": rows}), {}, folder)
    assert list(read(folder)[0]["size"]["ratio"]) == floats


@settings(max_examples=60)
@given(
    words=st.lists(
        text_cells.filter(lambda s: s and not set(s) & {"\0", "\r"}), min_size=1, max_size=4
    )
)
def test_words_come_back_as_they_were(tmp_path_factory, words):
    folder = tmp_path_factory.getbasetemp() / "words"
    # a letter before each: a column of digits alone may come back as numbers
    words = [f"w{word}" for word in words]
    rows = [row("models", model=str(i), source=word) for i, word in enumerate(words)]
    write(build({"models": rows}), {}, folder)
    assert list(read(folder)[0]["models"]["source"]) == words


@pytest.mark.parametrize(
    "word", ["a\rb", "a\r\nb", "a\nb", 'a"b', "a,b", " a ", "a\\", "#a", "=1+1"]
)
def test_a_word_with_a_mark_of_the_format_stays_one_cell(tmp_path, word):
    write(build({"models": [row("models", source=word)]}), {}, tmp_path / "results")
    assert list(read(tmp_path / "results")[0]["models"]["source"]) == [word]


@pytest.mark.parametrize("word", ["NA", "None", "nan", "null", "N/A", "NaN", "inf", "<NA>"])
def test_a_word_that_looks_like_nothing_stays_a_word(tmp_path, word):
    rows = [row("quality", sample=word), row("quality", variant="y", sample="other")]
    write(build({"quality": rows}), {}, tmp_path / "results")
    assert list(read(tmp_path / "results")[0]["quality"]["sample"]) == [word, "other"]


def test_an_empty_cell_comes_back_missing(tmp_path):
    rows = [row("quality", retained=None, sample=""), row("quality", variant="y", retained=0.5)]
    write(build({"quality": rows}), {}, tmp_path / "results")
    table = read(tmp_path / "results")[0]["quality"]
    assert pd.isna(table["retained"][0])
    assert table["retained"][1] == 0.5
    assert pd.isna(table["sample"][0])


def test_booleans_come_back_as_booleans(tmp_path):
    rows = [row("quality", collapsed=True), row("quality", variant="y", collapsed=False)]
    write(build({"quality": rows}), {}, tmp_path / "results")
    assert list(read(tmp_path / "results")[0]["quality"]["collapsed"]) == [True, False]


@pytest.mark.parametrize("word", ["1", "007", "1e3", "None", "True"])
def test_names_in_the_new_tables_stay_names_whatever_they_look_like(tmp_path, word):
    named = {
        "contests": ("variant", "other", "metric", "task"),
        "sensitivity": ("model", "task", "by", "group", "part", "kind", "metric"),
        "recovery": ("variant",),
    }
    rows = {table: [row(table, **dict.fromkeys(keys, word))] for table, keys in named.items()}
    write(build(rows), {}, tmp_path / "results")
    tables, _ = read(tmp_path / "results")
    for table, keys in named.items():
        assert list(tables[table].loc[0, list(keys)]) == [word] * len(keys)


def test_the_environment_comes_back_as_it_was(tmp_path):
    environment = {"study": "tïny", "seeds": [0], "versions": {"torch": "2"}, "commit": None}
    write(build({}), environment, tmp_path / "results")
    assert read(tmp_path / "results")[1] == environment


def test_the_same_rows_make_the_same_bytes(tmp_path):
    for name in ("one", "two"):
        write(a_result(), {"b": 1, "a": 2}, tmp_path / name)
    for path in (tmp_path / "one").iterdir():
        assert path.read_bytes() == (tmp_path / "two" / path.name).read_bytes()


def test_files_are_named_after_their_tables_and_readable_by_all(tmp_path):
    write(a_result(), {}, tmp_path / "results")
    names = {path.name for path in (tmp_path / "results").iterdir()}
    assert names == {f"{table}.csv" for table in COLUMNS} | {"environment.json"}
    assert (tmp_path / "results").stat().st_mode & 0o555 == 0o555


# ---------------------------------------------------------------- whole or not at all


def leftovers(folder: Path) -> list[str]:
    """What stands beside the results, hidden or not."""
    return sorted(p.name for p in folder.parent.iterdir() if p != folder)


def test_new_results_take_the_place_of_old_ones(tmp_path):
    folder = tmp_path / "results"
    for title in ("old", "new"):
        write(a_result(title), {"title": title}, folder)
    assert words_of(folder) == ["new"]
    assert read(folder)[1] == {"title": "new"}
    assert leftovers(folder) == []


def full_disk(*arguments, **options):
    raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize("where", ["to_csv", "write_text", "mkdtemp"])
def test_a_full_disk_leaves_the_old_results(tmp_path, monkeypatch, where):
    folder = tmp_path / "results"
    write(a_result("old"), {}, folder)
    owner = {"to_csv": pd.DataFrame, "write_text": Path, "mkdtemp": results.tempfile}[where]
    with monkeypatch.context() as patched:
        patched.setattr(owner, where, full_disk)
        with pytest.raises(RunError) as caught:
            write(a_result("new"), {}, folder)
    assert str(folder) in str(caught.value)
    assert "No space left on device; make room" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert words_of(folder) == ["old"]
    assert leftovers(folder) == []


@pytest.mark.parametrize("failing", [1, 2])
def test_a_rename_that_fails_leaves_the_old_results(tmp_path, monkeypatch, failing):
    folder = tmp_path / "results"
    write(a_result("old"), {}, folder)
    rename, calls = Path.rename, []

    def refuse_once(self, target):
        calls.append(self)
        if len(calls) == failing:
            raise OSError(errno.EIO, "Input/output error")
        return rename(self, target)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "rename", refuse_once)
        with pytest.raises(RunError, match="Input/output error"):
            write(a_result("new"), {}, folder)
    assert words_of(folder) == ["old"]
    assert leftovers(folder) == []


def test_rows_that_cannot_be_written_leave_the_old_results(tmp_path):
    folder = tmp_path / "results"
    write(a_result("old"), {}, folder)
    with pytest.raises(TypeError):
        write(a_result("new"), {"path": object()}, folder)
    assert words_of(folder) == ["old"]
    assert leftovers(folder) == []


def test_a_folder_that_cannot_be_written_to_is_one_line(read_only_folder):
    folder = read_only_folder / "results"
    with pytest.raises(RunError) as caught:
        write(a_result(), {}, folder)
    assert re.search("cannot write the results to .*Permission denied", str(caught.value))
    assert str(folder) in str(caught.value)
    assert "\n" not in str(caught.value)


# ---------------------------------------------------------------- reading what is not whole


def refused(folder: Path) -> str:
    with pytest.raises(RequestError) as caught:
        read(folder)
    message = str(caught.value)
    assert len(message.splitlines()) == 1
    assert str(folder) in message
    assert "python -m analysis run" in message
    return message


def test_no_results_are_refused_with_what_makes_them(tmp_path):
    assert not exist(tmp_path)
    assert "no results" in refused(tmp_path)
    assert "no results" in refused(tmp_path / "nowhere")


@pytest.mark.parametrize("name", [*(f"{table}.csv" for table in COLUMNS), "environment.json"])
def test_results_with_a_file_missing_are_none(tmp_path, name):
    write(a_result(), {}, tmp_path / "results")
    assert exist(tmp_path / "results")
    (tmp_path / "results" / name).unlink()
    assert not exist(tmp_path / "results")
    refused(tmp_path / "results")


@every_table
def test_a_missing_column_is_named_with_its_file(tmp_path, table):
    folder = tmp_path / "results"
    write(a_result(), {}, folder)
    *rest, last = COLUMNS[table]
    (folder / f"{table}.csv").write_text(",".join(rest) + "\n")
    message = refused(folder)
    assert f"{table}.csv lacks {last}" in message


@pytest.mark.parametrize("content", [b"", b"\xff\xfe\x00", b'a,"b\n', b"a,b\n1,2,3,4\n5,6\n"])
def test_a_damaged_table_is_refused(tmp_path, content):
    folder = tmp_path / "results"
    write(a_result(), {}, folder)
    (folder / "models.csv").write_bytes(content)
    refused(folder)


@pytest.mark.parametrize("content", [b"", b"{", b"\xff"])
def test_a_damaged_environment_is_refused(tmp_path, content):
    folder = tmp_path / "results"
    write(a_result(), {}, folder)
    (folder / "environment.json").write_bytes(content)
    refused(folder)


def test_further_columns_of_a_later_version_are_borne(tmp_path):
    folder = tmp_path / "results"
    write(a_result(), {}, folder)
    table = pd.read_csv(folder / "models.csv").assign(later=1)
    table.to_csv(folder / "models.csv", index=False)
    assert words_of(folder) == ["one"]


# ---------------------------------------------------------------- cells


@pytest.mark.parametrize("value", [None, float("nan"), float("inf"), -float("inf")])
def test_what_is_no_number_becomes_an_empty_cell(value):
    assert number(value) is None


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_number_stays_as_it_is(value):
    assert number(value) == value


def test_the_environment_is_plain_json(tmp_path):
    write(build({}), {"a": "ü"}, tmp_path / "results")
    assert json.loads((tmp_path / "results/environment.json").read_text("utf-8")) == {"a": "ü"}
