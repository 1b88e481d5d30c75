"""The rows of a data set's split, as its files have them; how these are had, see `test_hub`."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from clients import Client, lines, one_line, parquet, plain
from hub_server import environment, hub_server

from analysis import study, tasks
from analysis.data.reading import read as read_rows
from analysis.experiments import examples
from analysis.planning.missing import missing_files

ROOT = Path(__file__).parents[1]

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
    there, folder = tmp_path / "there.jsonl", tmp_path / "folder"
    files = [(tmp_path / "b.jsonl", None), (tmp_path / "a.txt", None), (there, None)]
    there.write_bytes(lines(NESTED))
    folder.mkdir()
    plain(next(missing_files(tmp_path, files)), "has no b.jsonl, a.txt; put them there")
    (tmp_path / "README.md").write_text("How")
    (said,) = missing_files(tmp_path, files)
    plain(said, f"{tmp_path / 'README.md'} says how")
    assert list(missing_files(tmp_path, [(there, None)])) == []
    plain(next(missing_files(tmp_path, [(folder, None)])), "is not a file")


def test_what_the_page_of_the_data_folder_says_fetches_all_files_of_the_study_local(tmp_path):
    """As it stands there, from a hub that has such data sets at these commits."""
    page = (ROOT / "data/README.md").read_text("utf-8")
    program = page.partition("<<'END'\n")[2].partition("\nEND\n")[0]
    commits = {
        f"datasets/{name}": at for name, at in re.findall(r'\("(.+)", "(\w{40})"\)', program)
    }
    texts, pairs = parquet([{"text": " = A = \n"}, {"text": ""}]), lines([{"en": "a", "de": "ä"}])
    labelled = lines([{"text": "good", "label": 1, "label_text": "positive"}])
    mrpc = parquet([{"sentence1": "a", "sentence2": "b", "label": 0, "idx": 0}])
    files = {
        "datasets/SetFit/sst2": {"train.jsonl": labelled, "dev.jsonl": labelled},
        "datasets/nyu-mll/glue": {
            f"mrpc/{part}-00000-of-00001.parquet": mrpc for part in ("train", "validation")
        },
        "datasets/bentrevett/multi30k": {"train.jsonl": pairs, "val.jsonl": pairs},
        "datasets/Salesforce/wikitext": {
            "wikitext-2-raw-v1/validation-00000-of-00001.parquet": texts
        },
    }
    (tmp_path / "data").mkdir()
    with hub_server({name: {commits[name]: held} for name, held in files.items()}) as server:
        env = environment(server.url, tmp_path / "home")
        command = [sys.executable, "-c", program]
        subprocess.run(command, cwd=tmp_path, env=env, check=True, capture_output=True)
    chosen = study.load("local", folder=ROOT / "studies")
    for task in chosen.tasks:
        for part in ("test", "train"):
            where = examples.source(chosen, task, part) or {}
            where |= {"path": str(tmp_path / where["path"]), "part": None}
            assert read_rows(where, tasks.task(task).row_fields).rows, (task, part)
    assert (tmp_path / "data/wikitext2/validation.txt").read_text("utf-8") == " = A = \n\n"
