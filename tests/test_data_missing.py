"""What cannot be had is found without downloading, each in one line with what fetches it."""

import json
import subprocess
import sys

import pytest
from data_client import Reader, lines, plain, source
from hub_server import TOKEN, hub_server

from analysis.data.missing import missing_data

MODEL, DATA = "org/tiny", "datasets/org/data"
WEIGHTS = {"config.json": b"{}", "model.safetensors": b"weights"}
ROWS = [{"sentence": "x", "label": 1}]
FILES = {"README.md": b"", "validation.jsonl": lines(ROWS)}
FETCH_MODEL = "hf download org/tiny --revision main"
FETCH_DATA = "hf download org/data --revision main --repo-type dataset"


@pytest.fixture
def server():
    with hub_server({MODEL: {"main": WEIGHTS}, DATA: {"main": FILES}}) as running:
        yield running


@pytest.fixture
def reader(server, tmp_path):
    return Reader(tmp_path / "home", server.url)


def ask(reader, *wanted, **more):
    """Models are (name, revision), data sets a source."""
    calls = [
        ("missing_model", each) if isinstance(each, tuple) else ("missing_data", (each,))
        for each in wanted
    ]
    return [found["missing"] for found in reader.each(*calls, **more)]


def test_importing_costs_no_library():
    code = "import sys, analysis.data.missing, analysis.data.reading;"
    code += " sys.exit(bool({'datasets', 'huggingface_hub', 'pyarrow'} & {*sys.modules}))"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_what_the_server_has_is_not_missing_and_not_downloaded(server, reader):
    assert ask(reader, (MODEL, "main"), source("org/data")) == [None, None]
    assert not server.fetched()
    assert all(request.path.startswith("/api/") for request in server.requests)


def test_what_is_cached_is_not_asked_for(server, reader):
    fetch = "from analysis.models import hub; hub.download('org/tiny')"
    reader.each(("read", (source("org/data"), ("label",))), before=fetch)
    server.requests.clear()
    wanted = ((MODEL, "main"), source("org/data"), (MODEL, server.commit(MODEL)))
    assert ask(reader, *wanted) == [None] * 3
    assert ask(reader, *wanted, HF_HUB_OFFLINE="1") == [None] * 3
    assert not server.requests


def test_what_is_not_cached_and_cannot_be_asked_for(server, reader):
    for unreachable, why in [
        ({"HF_HUB_OFFLINE": "1"}, "HF_HUB_OFFLINE forbids"),
        ({"HF_ENDPOINT": "http://127.0.0.1:9"}, "cannot connect to 127.0.0.1:9"),
    ]:
        model, data = ask(reader, (MODEL, "main"), source("org/data"), **unreachable)
        plain(model, "org/tiny is not cached", why, FETCH_MODEL)
        plain(data, "org/data is not cached", why, FETCH_DATA)


def test_what_is_gated_private_missing_or_of_another_revision(server, reader):
    server.publish("org/bare", "main", {"config.json": b"{}"})
    server.faults.gated |= {MODEL, DATA}
    model, data = wanted = ((MODEL, "main"), source("org/data"))
    for found, fetch in zip(ask(reader, *wanted), (FETCH_MODEL, FETCH_DATA), strict=True):
        plain(found, "is gated", "ask for access", "hf auth login", fetch)
    assert ask(reader, *wanted, HF_TOKEN=TOKEN) == [None, None]
    server.faults.gated.clear()
    server.faults.private.add(MODEL)
    private, none, no_data, old, bare, odd = ask(
        reader,
        model,
        ("org/none", "main"),
        source("org/none"),
        data | {"revision": "v9"},
        ("org/bare", "main"),
        ("org/bare", "a b"),
    )
    plain(private, "no model org/tiny, or a private one", "hf auth login", FETCH_MODEL)
    plain(none, "no model org/none", "check the name")
    plain(no_data, "no data set org/none", "check the name")
    plain(old, "org/data has no revision 'v9'")
    plain(bare, "org/bare has no weights")
    plain(odd, "'a b' is no revision")
    assert not server.fetched()


def test_a_server_that_is_out_of_order(server, reader):
    server.faults.listings = 503
    model, data = ask(reader, (MODEL, "main"), source("org/data"))
    plain(model, "org/tiny is not cached", "answers 503", FETCH_MODEL)
    plain(data, "org/data is not cached", "answers 503", FETCH_DATA)


def test_what_its_line_says_fetches_it(server, reader):
    """The command as it stands, then no network."""
    (line,) = ask(reader, source("org/data"), HF_HUB_OFFLINE="1")
    command = line.rpartition(": ")[2].split()
    run = f"import sys; sys.argv[:] = {command!r}; sys.stdout = sys.stderr"
    run += "\ntry:\n    __import__('huggingface_hub.cli.hf', fromlist=['main']).main()"
    run += "\nexcept SystemExit as ended: assert not ended.code"
    run += "\nsys.stdout = sys.__stdout__"
    reader.each(before=run)
    (found,) = reader.read(source("org/data"), HF_HUB_OFFLINE="1")
    assert found["rows"] == ROWS


def test_files(tmp_path):
    where = {"kind": "files", "path": str(tmp_path / "a.jsonl"), "format": None, "columns": {}}
    plain(missing_data(where), "a.jsonl does not exist")
    (tmp_path / "a.jsonl").write_text(json.dumps(ROWS[0]))
    assert missing_data(where) is None
    plain(missing_data(where | {"path": str(tmp_path)}), "is not a file")
