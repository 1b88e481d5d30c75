"""The rows of a data set's split, as its files have them; how these are had, see `test_hub`."""

import pytest
from clients import Client, lines, one_line, parquet, plain
from hub_server import hub_server

from analysis.planning.missing import missing_data

NESTED = [{"translation": {"en": f"e{i}", "de": f"d{i}"}, "n": i} for i in range(3)]
COLUMNS = {"source": "translation.en", "target": "translation.de"}
FILES = {
    "pairs/test-00000-of-00002.parquet": parquet(NESTED[:2]),
    "pairs/test-00001-of-00002.parquet": parquet(NESTED[2:]),
    "test.jsonl": lines(NESTED),
    "test.csv": b"source,n\nx,1\n",
    "bad.parquet": b"no parquet",
}


@pytest.fixture
def client(tmp_path):
    with hub_server({"datasets/org/data": {"main": FILES}}) as server:
        yield Client(tmp_path / "home", server.url)


def source(files, **more):
    return {"kind": "hub", "path": "org/data", "files": files, "revision": "main"} | more


def read(client, *sources, fields=("source", "target")):
    return client.each(*(("read", (each, fields)) for each in sources))


def test_parquet_in_shards_and_json_lines_have_the_same_rows(client):
    rows = [{"source": f"e{i}", "target": f"d{i}"} for i in range(3)]
    patterns = ("pairs/test-*.parquet", "test.jsonl")
    parts, whole = read(client, *(source(files, columns=COLUMNS) for files in patterns))
    assert parts["held"] == whole["held"] == rows
    shards = [f"org/data/pairs/test-0000{i}-of-00002.parquet" for i in range(2)]
    assert parts["places"] == [f"{shards[0]}, row 1", f"{shards[0]}, row 2", f"{shards[1]}, row 1"]
    assert whole["places"][2] == "org/data/test.jsonl, line 3"
    (cells,) = read(client, source("test.csv"), fields=("source",))
    assert cells["held"] == [{"source": "x"}]


def test_files_that_are_not_as_they_should_be_are_named(client):
    wrong = {"columns": {"source": "translation.fr", "target": "n"}}
    column, bad = read(client, source("test.jsonl", **wrong), source("bad.parquet"))
    one_line(column, "RunError", "org/data, test.jsonl: ", "column", "'fr'", "de, en")
    one_line(bad, "RunError", "org/data, bad.parquet: ", "snapshots", "as parquet", "remove it")


def test_files_that_are_missing(tmp_path):
    where = {"kind": "files", "path": str(tmp_path / "a.jsonl"), "format": None, "columns": {}}
    plain(missing_data(where), "a.jsonl does not exist")
    (tmp_path / "a.jsonl").write_bytes(lines(NESTED))
    assert missing_data(where) is None
    plain(missing_data(where | {"path": str(tmp_path)}), "is not a file")
