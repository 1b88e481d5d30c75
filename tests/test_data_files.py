"""Files of a user's own: every format, hostile content, and a line for what is wrong."""

import json
import os
import tempfile
from hashlib import sha256

import pyarrow
import pyarrow.parquet
import pytest
from clients import lines

from analysis.data.reading import read, stamp
from analysis.errors import RequestError, RunError

ROWS = [{"sentence": "a, b", "label": 1}, {"sentence": 'é "c"', "label": 0}]
FIELDS = ("sentence", "label")
BOM = b"\xef\xbb\xbf"
CSV = 'sentence,label\n"a, b",1\n"é ""c""",0\n'.encode()
HOSTILE = [
    *((f"a.{end}", b"", ("is empty",)) for end in ("jsonl", "csv", "txt", "parquet")),
    ("a.jsonl", b" \r\n\n", ("is empty",)), ("a.jsonl", BOM, ("is empty",)),
    ("a.csv", b"sentence,label\n", ("no rows",)), ("a.json", b"[]", ()),
    ("a.jsonl", lines(ROWS) + b'{"sentence": \n', ("line 3", "no JSON object")),
    ("a.jsonl", lines(ROWS) + b"[1]\n", ("line 3", "no JSON object")),
    ("a.json", b'[{"sentence": "x",', ("cannot be read as json",)),
    ("a.jsonl", b'{"sentence": "x", "sentence": "y", "label": 1}\n', ("sentence", "twice")),
    ("a.jsonl", lines([ROWS[0], {"sentence": 3, "label": 0}]), ("'sentence'", "several types")),
    ("a.csv", b"sentence,label,label\nx,1,2\n", ("two columns 'label'",)),
    ("a.csv", b"sentence,label\nx,1\ny,1,2\n", ("line 3", "3 cells under 2 names")),
    ("a.csv", b"sentence,label\nx\n", ("line 2", "1 cells")),
    ("a.csv", "sentence,label\né,1\n".encode("latin-1"), ("not UTF-8",)),
    ("a.jsonl", b"\xff\xfe\x00", ("not UTF-8",)),
    ("a.jsonl", lines(ROWS)[:-9] + b"\xc3", ("not UTF-8",)),
    ("a.parquet", b"PAR1 no parquet", ("cannot be read as parquet",)),
    ("a.dat", b"x", ("'.dat'", "`format`", "json, csv, parquet, text")),
]  # fmt: skip


def source(path, **more):
    return {"kind": "files", "path": str(path), "format": None, "columns": {}, "part": None} | more


@pytest.fixture
def reads(tmp_path):
    """Reads a file of that name and content, and checks that nothing is left of it."""

    def rows(name, content, fields=FIELDS, choose=None, **more):
        path = tmp_path / name
        path.write_bytes(content)
        before = set(os.listdir(tempfile.gettempdir()))
        try:
            found, revision = read(source(path, **more), fields, choose)
        finally:
            new = set(os.listdir(tempfile.gettempdir())) - before
            assert not [name for name in new if name.startswith("analysis-data-")]
        assert revision == sha256(content).hexdigest()[:12]
        return found

    return rows


@pytest.fixture
def refuses(reads):
    def message(name, content, *words, fields=FIELDS, **more):
        with pytest.raises(RequestError) as caught:
            reads(name, content, fields, **more)
        text = str(caught.value)
        assert "\n" not in text
        assert [word for word in (name, *words) if word not in text] == [], text

    return message


def test_json_and_json_lines_however_they_are_called_and_written(reads):
    for name in ("a.jsonl", "a.json", "a.NDJSON", "[a]*?.jsonl", "ä b.jsonl"):
        assert reads(name, lines(ROWS)) == ROWS, name
    by_line, ways = lines(ROWS), [json.dumps(ROWS, indent=step).encode() for step in (None, 1)]
    ways += [by_line.replace(b"\n", b"\r\n"), BOM + by_line, by_line.rstrip(b"\n")]
    for content in ways:
        assert reads("a.json", content) == ROWS, content


def test_csv_has_words_in_all_cells_as_they_stand(reads):
    words = [row | {"label": str(row["label"])} for row in ROWS]
    for content in (CSV, BOM + CSV, CSV.replace(b"\n", b"\r\n")):
        assert reads("a.csv", content) == words, content
    assert reads("a.tsv", 'sentence\tlabel\na, b\t1\n"é ""c"""\t0\n'.encode()) == words
    content = b"sentence,label\nNA,1\n007,0\n,1\nnull,1\n1e3,0\n"
    words = [row["sentence"] for row in reads("a.csv", content)]
    assert words == ["NA", "007", "", "null", "1e3"]


def test_parquet(reads, tmp_path):
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(ROWS), tmp_path / "made")
    content = (tmp_path / "made").read_bytes()
    assert reads("a.parquet", content) == ROWS
    assert reads("a", content, format="parquet") == ROWS


def test_a_text_is_read_by_line_and_by_no_other_separator(reads):
    content = "one\n\ntwo\x0cthree\u2028four\x1cfive\r\n  six".encode()
    found = reads("a.txt", BOM + content, ("text",))
    assert [row["text"] for row in found] == ["one", "", "two\x0cthree\u2028four\x1cfive", "  six"]


def test_a_cell_may_be_longer_than_a_book(reads):
    long = [{"sentence": "word " * 100_000, "label": 1}]
    assert reads("a.jsonl", lines(long)) == long
    content = b"sentence,label\n" + b"word " * 100_000 + b",1\n"
    assert len(reads("a.csv", content)[0]["sentence"]) == 500_000


def test_columns_are_renamed_and_found_within_others(reads):
    nested = [{"pair": {"en": "x", "de": "y"}, "a.b": 1, "n": 2}]
    columns = {"source": "pair.en", "target": "pair.de", "label": "a.b"}
    found = reads("a.jsonl", lines(nested), ("source", "target", "label", "n"), columns=columns)
    assert found == [{"source": "x", "target": "y", "label": 1, "n": 2}]
    twice = {"one": "n", "other": "n"}
    assert reads("a.jsonl", lines(nested), (*twice,), columns=twice) == [{"one": 2, "other": 2}]


def test_rows_can_be_chosen_by_their_number(reads):
    many = [{"sentence": str(i), "label": i} for i in range(10)]
    found = reads("a.jsonl", lines(many), choose=lambda rows: [rows - 1, 0], part=[0.5, 1.0])
    assert found == [many[9], many[5]]


def test_two_parts_that_meet_share_nothing_and_leave_nothing_out(reads):
    for rows, at in [(10, 0.8), (2, 0.6), (7, 0.5), (40, 1 / 3), (3, 0.5), (39, 0.123)]:
        content = "".join(f"{i}\n" for i in range(rows)).encode()
        train = reads("a.txt", content, ("text",), part=[0.0, at])
        test = reads("a.txt", content, ("text",), part=[at, 1.0])
        assert [row["text"] for row in train + test] == [str(i) for i in range(rows)], (rows, at)
    assert len(reads("a.txt", b"0\n" * 10, ("text",), part=[0.0, 0.8])) == 8


@pytest.mark.parametrize(("name", "content", "words"), HOSTILE)
def test_hostile_files(refuses, name, content, words):
    refuses(name, content, *words)


def test_wrong_columns_are_named_with_those_there_are(refuses):
    named = lines([{"sentense": "x", "label": 1}])
    refuses("a.jsonl", named, "'sentence'", "Did you mean 'sentense'?", "label, sentense")
    columns = {"sentence": "label.en"}
    refuses("a.jsonl", lines(ROWS), "'en'", "label of", columns=columns)


def test_files_formats_and_parts_that_are_none(tmp_path):
    (tmp_path / "a.jsonl").write_bytes(lines(ROWS))
    parts = [[0.5, 0.5], [0.8, 0.2], [-1, 1], [0, 2]]
    for path, more, words in [
        *((tmp_path / "a.jsonl", {"part": part}, "within 0 and 1") for part in parts),
        (tmp_path / "a.jsonl", {"part": [0.0, 0.1]}, "a.jsonl.* no rows"),
        (tmp_path / "none.jsonl", {}, "none.jsonl does not exist"),
        (tmp_path, {}, "is not a file"),
        (tmp_path / "a.jsonl", {"format": "jsn"}, "Did you mean 'json'"),
    ]:
        with pytest.raises(RequestError, match=words):
            read(source(path, **more), FIELDS)


def test_a_file_that_may_not_be_read(public_folder, unprivileged):
    path = public_folder / "a.jsonl"
    path.write_bytes(lines(ROWS))
    path.chmod(0)
    with unprivileged(), pytest.raises(RunError, match="cannot be read: Permission denied"):
        read(source(path), FIELDS)


def test_a_stamp_changes_with_the_file_and_is_plain(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_bytes(lines(ROWS))
    first = stamp(source(path))
    assert first == stamp(source(path)) == json.loads(json.dumps(first))
    os.utime(path, ns=(1, 1))
    assert stamp(source(path)) != first
    assert stamp({"kind": "hub"}) == []
    with pytest.raises(RequestError, match=r"none\.jsonl cannot be read: No such file"):
        stamp(source(tmp_path / "none.jsonl"))
