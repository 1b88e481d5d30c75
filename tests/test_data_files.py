"""Files of a user's own: every format, hostile content, and a line for what is wrong."""

import bz2
import csv
import datetime
import gzip
import io
import json
import lzma
import os
import tempfile
from hashlib import sha256
from pathlib import Path

import pyarrow
import pyarrow.parquet
import pytest
import yaml
from clients import lines
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis.data.reading import read
from analysis.errors import RequestError, RunError

ROWS = [{"sentence": "a, b", "label": 1}, {"sentence": 'é "c"', "label": 0}]
FIELDS = ("sentence", "label")
BOM = b"\xef\xbb\xbf"
CSV = 'sentence,label\n"a, b",1\n"é ""c""",0\n'.encode()
WRONG = yaml.safe_load(Path(__file__).with_name("hostile_files.yml").read_text(encoding="utf-8"))
HOSTILE = [
    *((name, content.encode("latin-1"), words) for name, content, words in WRONG["files"]),
    *(("a.jsonl", lines(ROWS) + line.encode(), says) for line, says in WRONG["after right lines"]),
    ("a.jsonl", lines(ROWS) + b"[" * 100_000 + b"]" * 100_000, ("line 3", "nested too deeply")),
    ("a.jsonl", lines(ROWS) + b'{"sentence": "x", "label": ' + b"1" * 5000, ("line 3", "digits")),
    *(("a.csv", CSV.decode().encode(f"utf-{code}"), ("line 1", f"`iconv -f {told} -t"))
      for code, told in (("16", "UTF-16"), ("32", "UTF-32"), ("16-be", "ENCODING"))),
    ("a.csv", gzip.compress(CSV), (".gz",)),
    ("a.jsonl", lines(ROWS)[:-9] + b"\xc3", ("not UTF-8",)),
    ("a.jsonl.gz", gzip.compress(lines(ROWS), mtime=0)[:-9], ("damaged",)),
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
            table = read(source(path, **more), fields, choose)
        finally:
            new = set(os.listdir(tempfile.gettempdir())) - before
            assert not [name for name in new if name.startswith("analysis-data-")]
        assert table.revision == sha256(content).hexdigest()[:12]
        assert len(table.places) == len(table.rows)
        return table.rows

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
    quoted = 'sentence\tlabel\na, b\t1\n"é ""c"""\t0\n'.encode()
    assert reads("a.tsv", quoted, quotes=True) == words
    unquoted = [row["sentence"] for row in reads("a.tsv", quoted)]  # as GLUE's are written
    assert unquoted == ["a, b", '"é ""c"""']
    assert reads("a.csv", CSV.replace(b",", b";").replace(b"a;", b"a,"), separator=";") == words
    swallowed = b'sentence,label\n"good,1\nbad",0\n'
    assert reads("a.csv", swallowed, quotes=True)[0]["sentence"] == "good,1\nbad"
    assert [row["label"] for row in reads("a.csv", swallowed, quotes=False)] == ["1", "0"]
    assert [row["sentence"] for row in reads("a.csv", swallowed, quotes=False)] == ['"good', 'bad"']
    content = b"sentence,label\nNA,1\n007,0\n,1\nnull,1\n1e3,0\n"
    words = [row["sentence"] for row in reads("a.csv", content)]
    assert words == ["NA", "007", "", "null", "1e3"]


def parquet(columns):
    made = io.BytesIO()
    pyarrow.parquet.write_table(pyarrow.table(columns), made)
    return made.getvalue()


def test_parquet_of_whatever_types(reads, refuses):
    texts, labels = ([row[field] for row in ROWS] for field in FIELDS)
    for kind in (pyarrow.string(), pyarrow.large_string(), pyarrow.string_view()):
        content = parquet({"sentence": pyarrow.array(texts, kind), "label": labels})
        assert reads("a.parquet", content) == ROWS, kind
    days = [datetime.date(2024, 2, 29)] * 2
    coded = {"sentence": pyarrow.array(texts).dictionary_encode(), "label": labels, "day": days}
    assert reads("a", parquet(coded), format="parquet") == ROWS
    assert reads("a.parquet", parquet(coded), ("day",)) == [{"day": day} for day in days]
    pairs = parquet({"pair": [{"en": "x", "de": None}, None]})
    columns = {"source": "pair.en", "target": "pair.de"}
    found = reads("a.parquet", pairs, ("source", "target"), columns=columns)
    assert [*map(tuple, map(dict.values, found))] == [("x", None), (None, None)]
    refuses("a.parquet", pairs, "'sentence'", "pair")


def test_columns_that_nobody_asked_for_change_nothing(reads):
    words = [row | {"label": str(row["label"])} for row in ROWS]
    index = b',sentence,when,label,,\n0,"a, b",2024-02-30,1,,\n1,"\xc3\xa9 ""c""",x,0,"",\n'
    assert reads("a.csv", index) == words
    changing = [ROWS[0] | {"more": 1, "": None}, ROWS[1] | {"more": {"a": [float("nan")]}}]
    assert reads("a.jsonl", lines(changing)) == ROWS
    typed = [{"sentence": "x", "label": 1}, {"sentence": 3, "label": "1"}, {"label": None}]
    assert reads("a.jsonl", lines(typed)) == [*typed[:2], {"sentence": None, "label": None}]


def test_packed_files_are_read_as_what_is_in_them(reads):
    for ending, pack in ((".gz", gzip.compress), (".bz2", bz2.compress), (".XZ", lzma.compress)):
        assert reads(f"a.jsonl{ending}", pack(lines(ROWS))) == ROWS
        assert [row["label"] for row in reads(f"a.csv{ending}", pack(CSV))] == ["1", "0"]


HOSTILE_TEXT = st.text(st.sampled_from("a \",;\t\n\r'\\\u2028é\ufeff"), max_size=6)


@settings(max_examples=200, deadline=None, database=None)
@given(st.lists(st.tuples(HOSTILE_TEXT, HOSTILE_TEXT), min_size=1, max_size=4), st.booleans())
def test_rows_are_those_of_the_standard_library_or_refused_with_their_line(rows, sure):
    written = io.StringIO()
    csv.writer(written, quoting=csv.QUOTE_ALL).writerows([FIELDS, *rows])
    as_json = [dict(zip(FIELDS, row, strict=True)) for row in rows]
    with tempfile.TemporaryDirectory() as folder:
        for name, text in (("a.jsonl", lines(as_json)), ("a.csv", written.getvalue().encode())):
            path = os.path.join(folder, name)
            with open(path, "wb") as stream:
                stream.write(text)
            asked = source(path, quotes=True if sure else None)
            if name == "a.csv" and not sure and any({*"\n,"} <= {*c} for row in rows for c in row):
                with pytest.raises(RequestError, match=r"a\.csv, line \d+: a cell in quotes holds"):
                    read(asked, FIELDS)
            else:
                assert read(asked, FIELDS).rows == as_json, name


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


# numbered: some contents hold the time, and two processes would name them differently
@pytest.mark.parametrize(("name", "content", "words"), HOSTILE, ids=range(len(HOSTILE)))
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
