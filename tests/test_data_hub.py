"""Data sets from the hub: the right split at one commit, and one line for all that can go wrong."""

import pytest
from clients import Client, lines, one_line, parquet, plain, source
from hub_server import TOKEN, hub_server

from analysis.data.missing import missing_data

MODEL, DATA = "org/tiny", "datasets/org/glue"  # the repositories, as the server knows them
PAIR = ("sentence1", "sentence2", "label")
CARD = b"""---
configs:
- config_name: sst2
  data_files: [{split: train, path: sst2/train-*}, {split: validation, path: sst2/validation-*}]
- config_name: mrpc
  data_files: [{split: test, path: mrpc/test-*}]
---
"""
TRAIN = [{"sentence": f"t{i}", "label": i % 2} for i in range(6)]
VALIDATION = [{"sentence": f"v{i}", "label": i % 2} for i in range(4)]
PAIRS = [{"sentence1": "a", "sentence2": "b", "label": 1}]
SHARDS = [f"sst2/validation-0000{i}-of-00002.parquet" for i in range(2)]
FILES = {
    "README.md": CARD,
    "sst2/train-00000-of-00001.parquet": parquet(TRAIN),
    SHARDS[0]: parquet(VALIDATION[:2]),
    SHARDS[1]: parquet(VALIDATION[2:]),
    "mrpc/test-00000-of-00001.parquet": parquet(PAIRS),
}
SST2, MRPC = source("org/glue", "sst2"), source("org/glue", "mrpc", split="test")
NESTED = [{"translation": {"en": f"e{i}", "de": f"d{i}"}, "n": i} for i in range(3)]
WEIGHTS = {"config.json": b"{}", "model.safetensors": b"weights"}
UNREACHABLE = [
    ({"HF_HUB_OFFLINE": "1"}, "HF_HUB_OFFLINE forbids"),
    ({"HF_ENDPOINT": "http://127.0.0.1:9"}, "cannot connect to 127.0.0.1:9"),
]


@pytest.fixture
def server():
    with hub_server({MODEL: {"main": WEIGHTS}, DATA: {"main": FILES}}) as running:
        yield running


@pytest.fixture
def client(server, tmp_path):
    return Client(tmp_path / "home", server.url)


def offline(client, *sources, **more):
    return client.read(*sources, HF_HUB_OFFLINE="1", **more)


def test_a_split_of_a_configuration_comes_alone_and_is_not_asked_for_again(server, client):
    (found,) = client.read(SST2)
    told = {"rows": VALIDATION, "revision": server.commit(DATA), "said": ""}
    assert told.items() <= found.items()
    assert server.fetched() == ["README.md", *SHARDS]
    server.requests.clear()
    pinned = {**SST2, "revision": server.commit(DATA)}
    assert [found["rows"] for found in client.read(SST2, pinned)] == [VALIDATION] * 2
    assert [path for _, path, _ in server.requests] == ["/api/datasets/org/glue/revision/main"]


def test_every_split_and_configuration_has_its_own_rows_of_the_fields_asked_for(client):
    asked = ({**SST2, "split": "train"}, ("sentence",)), (MRPC, PAIR), (SST2, ("label", "sentence"))
    train, pairs, again = client.each(*(("read", each) for each in asked))
    assert train["rows"] == [{"sentence": row["sentence"]} for row in TRAIN]
    assert (pairs["rows"], again["rows"]) == (PAIRS, VALIDATION)


def test_branches_tags_and_commits_are_pinned_and_a_moved_branch_is_followed(server, client):
    old, one = server.commit(DATA), {SHARDS[0]: parquet([{"sentence": "x", "label": 0}])}
    tagged = server.publish(DATA, "v1", FILES | one)
    asked = [{**SST2, "revision": revision} for revision in ("v1", tagged, old, "main")]
    found = client.read(*asked)
    assert [each["revision"] for each in found] == [tagged, tagged, old, old]
    assert [len(each["rows"]) for each in found] == [3, 3, 4, 4]
    new = server.publish(DATA, "main", FILES | {SHARDS[1]: parquet(VALIDATION[3:])})
    (moved,) = client.read(SST2)
    assert (len(moved["rows"]), moved["revision"]) == (3, new)
    (cached,) = offline(client, SST2)  # the last one seen
    assert (cached["rows"], cached["revision"]) == (moved["rows"], new)


def test_json_lines_without_a_card_and_nested_columns(server, client):
    files = {"train.jsonl": lines(NESTED[:1]), "test.jsonl": lines(NESTED)}
    server.publish("datasets/org/plain", "main", files)
    columns = {"source": "translation.en", "target": "translation.de"}
    where = source("org/plain", split="test", columns=columns)
    wrong = {**where, "columns": {"source": "translation.fr", "target": "n"}}
    found, refused = client.read(where, wrong, fields=("source", "target"))
    assert found["rows"] == [{"source": f"e{i}", "target": f"d{i}"} for i in range(3)]
    one_line(refused, "RequestError", "column", "'fr'", "de, en")


def test_without_the_server_the_cache_does_and_says_so(server, client):
    pinned = {**SST2, "revision": server.commit(DATA)}
    client.read(SST2)
    for unreachable, why in UNREACHABLE:
        for found in client.read(SST2, pinned, **unreachable):
            assert (found["rows"], found["revision"]) == (VALIDATION, pinned["revision"])
            (line,) = found["said"].splitlines()  # of the branch; a commit is not asked for
            plain(line, why, f"org/glue from the cache, commit {pinned['revision']}")
    other = server.publish(DATA, "v1", FILES | {SHARDS[1]: parquet(PAIRS)})
    asked = [{**SST2, "split": "train"}, {**SST2, "revision": other}, {**SST2, "revision": "v1"}]
    for where, result in zip(asked, offline(client, *asked), strict=True):  # not taken for another
        one_line(result, "RunError", f"{where['split']} of org/glue", "not cached", "hf download")


def test_what_the_library_prepared_or_a_program_downloaded_is_used_offline(server, client):
    prepared = """
import datasets
datasets.config.USE_PARQUET_EXPORT = False  # a service of the real hub only
datasets.load_dataset("org/glue", "sst2")
"""
    client.execute(prepared, HF_UPDATE_DOWNLOAD_COUNTS="0")
    train, validation = offline(client, {**SST2, "split": "train"}, SST2)
    assert (train["rows"], validation["rows"]) == (TRAIN, VALIDATION)
    client.home.rename(client.home.with_name("old"))
    download = "snapshot_download('org/glue', repo_type='dataset')"
    client.execute(f"import huggingface_hub as h; h.{download}")
    found, pairs, refused = offline(client, SST2, MRPC, source("org/glue", "cola"))
    assert found["rows"] == VALIDATION
    assert pairs.get("error") == "RequestError"  # it has no column `sentence`
    one_line(refused, "RequestError", "configuration", "'cola'", "mrpc, sst2")


def test_a_complete_cache_may_be_read_only_and_a_damaged_one_is_named(client):
    client.read(SST2)
    folders = [client.home, *(path for path in client.home.rglob("*") if path.is_dir())]
    refuse = """
import filelock
def acquire(self, *_, **__): raise PermissionError(13, "Permission denied")
filelock.FileLock.acquire = filelock.SoftFileLock.acquire = acquire
"""
    for folder in folders:
        folder.chmod(0o555)
    try:
        (found,) = offline(client, SST2, before=refuse)
    finally:
        for folder in folders:
            folder.chmod(0o755)
    assert found["rows"] == VALIDATION
    (table,) = client.home.rglob("*.arrow")
    table.write_bytes(table.read_bytes()[:100])
    (result,) = client.read(SST2)
    one_line(result, "RunError", str(table.parent), "damaged; remove it")


def test_a_download_that_was_cut_is_taken_up_with_the_files_that_came_whole(server, client):
    server.faults.cuts[SHARDS[1]] = 99
    (broken,) = client.read(SST2)
    one_line(broken, "RunError", "broke", "run this again")
    server.faults.cuts.clear()
    server.requests.clear()
    assert [found["rows"] for found in client.read(SST2)] == [VALIDATION]
    assert server.fetched() == [SHARDS[1]]


INFO = b"---\ndataset_info:\n- config_name: sst2\n  splits: [{name: validation, num_examples: 9}]"
SMALL = "import shutil, types; shutil.disk_usage = lambda _: types.SimpleNamespace(free=99)"
FULL = """
import errno, datasets.arrow_writer as writer
def write(*_, **__): raise OSError(errno.ENOSPC, "No space left on device")
writer.ArrowWriter.write_table = write
"""
FAILURES = [  # the server's faults, its changed files, what the client ran before, words
    ({"files": {SHARDS[0]: 503}}, {}, "", "503 / run this again"),
    ({"listings": 503}, {}, "", "answers 503 / not cached / hf download org/glue --revision main"),
    ({"portal": True}, {}, "", "not answer as a hub does / proxy"),
    ({}, {SHARDS[0]: b"no parquet"}, "", "org/glue / validation / damaged"),
    ({}, {"README.md": CARD.replace(b"---", INFO, 1)}, "", "validation has 4 rows / says 9"),
    ({}, {}, SMALL, "0.0 MB / HF_HOME"),
    ({}, {}, FULL, "no room left / HF_HOME"),
]  # fmt: skip


@pytest.mark.parametrize(("faults", "files", "before", "words"), FAILURES)
def test_what_fails_is_one_line(server, client, faults, files, before, words):
    server.publish(DATA, "main", FILES | files)
    for name, fault in faults.items():
        setattr(server.faults, name, fault)
    (result,) = client.read(SST2, before=before)
    one_line(result, "RunError", *words.split(" / "))
    if before == SMALL:
        assert not [name for name in server.fetched() if name.endswith(".parquet")]


def test_what_there_is_not_is_said_with_what_there_is(server, client):
    server.publish("datasets/org/program", "main", {"program.py": b"", "README.md": b""})
    server.publish("datasets/org/bare", "main", {"README.md": b"", "notes.odd": b"1"})
    wrong = [
        (source("org/none", "x"), ("no data set org/none", "check the name")),
        ({**SST2, "revision": "v9"}, ("no revision 'v9'", "branch")),
        ({**SST2, "revision": "a b"}, ("'a b'", "no revision")),
        ({**SST2, "split": "test"}, ("split", "'test'", "train, validation")),
        (source("org/glue", "sts2"), ("configuration", "'sts2'", "'sst2'", "mrpc")),
        (source("org/glue"), ("configuration", "mrpc, sst2")),
        ({**SST2, "columns": {"label": "lable"}}, ("column", "'lable'", "Did you mean 'label'")),
        (source("org/program"), ("org/program", "program, not files", "refs/convert/parquet")),
        (source("org/bare"), ("org/bare", "no files of data")),
        (source("a/b/c"), ("'a/b/c'", "organisation/name")),
    ]
    results = client.read(*(where for where, _ in wrong))
    for (_, words), result in zip(wrong, results, strict=True):
        one_line(result, "RequestError", *words)
    assert not [name for name in server.fetched() if name.endswith(".parquet")][2:]


def test_data_sets_that_need_a_token(server, client):
    faults = ("gated", "private", "forbidden")
    for fault in faults:
        server.publish(f"datasets/org/{fault}", "main", FILES)
        getattr(server.faults, fault).add(f"datasets/org/{fault}")
    asked = [source(f"org/{fault}", "sst2") for fault in faults]
    for fault, result in zip(faults, client.read(*asked, HF_TOKEN="hf_x"), strict=True):
        message = one_line(result, "RequestError", f"org/{fault}", "hf auth login", "HF_TOKEN")
        assert "hf_x" not in message
    assert [r["rows"] for r in client.read(*asked[:2], HF_TOKEN=TOKEN)] == [VALIDATION] * 2


FETCH_MODEL = "hf download org/tiny --revision main"
FETCH_DATA = "hf download org/data --revision main --repo-type dataset"
PLAIN = {"README.md": b"", "validation.jsonl": lines(VALIDATION[1:2])}
WANTED = ((MODEL, "main"), source("org/data"))


@pytest.fixture
def ask(server, client):
    """Whether models, (name, revision), and data sets, a source each, are missing."""
    server.publish("datasets/org/data", "main", PLAIN)

    def asked(*wanted, **more):
        calls = (("model", x) if isinstance(x, tuple) else ("data", (x,)) for x in wanted)
        found = client.each(*((f"missing_{kind}", given) for kind, given in calls), **more)
        return [each["missing"] for each in found]

    return asked


def test_what_the_server_has_or_what_is_cached_is_not_missing(server, client, ask):
    assert ask(*WANTED) == [None, None]
    assert not server.fetched()
    assert all(request.path.startswith("/api/") for request in server.requests)
    fetch = "from analysis.models import hub; hub.download('org/tiny')"
    client.each(("read", (WANTED[1], ("label",))), before=fetch)
    server.requests.clear()
    wanted = (*WANTED, (MODEL, server.commit(MODEL)))
    assert ask(*wanted) == ask(*wanted, HF_HUB_OFFLINE="1") == [None] * 3
    assert not server.requests  # what is cached is not asked for


def test_what_is_not_cached_and_cannot_be_asked_for_is_said_with_what_fetches_it(
    server, client, ask
):
    for unreachable, why in UNREACHABLE:
        model, data = ask(*WANTED, **unreachable)
        plain(model, "org/tiny is not cached", why, FETCH_MODEL)
        plain(data, "org/data is not cached", why, FETCH_DATA)
    command = data.rpartition(": ")[2].split()  # as it stands, then no network
    run = f"import sys; sys.argv[:] = {command!r}"
    run += "\ntry:\n    __import__('huggingface_hub.cli.hf', fromlist=['main']).main()"
    run += "\nexcept SystemExit as ended: assert not ended.code"
    client.execute(run)
    assert [found["rows"] for found in offline(client, WANTED[1])] == [VALIDATION[1:2]]
    server.faults.listings = 503
    model, other = ask(WANTED[0], SST2)
    plain(model, "org/tiny is not cached", "answers 503", FETCH_MODEL)
    plain(other, "org/glue is not cached", "answers 503", "--repo-type dataset")


def test_what_is_gated_private_missing_or_of_another_revision(server, ask):
    server.publish("org/bare", "main", {"config.json": b"{}"})
    server.faults.gated |= {MODEL, "datasets/org/data"}
    for found, fetch in zip(ask(*WANTED), (FETCH_MODEL, FETCH_DATA), strict=True):
        plain(found, "is gated", "ask for access", "hf auth login", fetch)
    assert ask(*WANTED, HF_TOKEN=TOKEN) == [None, None]
    server.faults.gated.clear()
    server.faults.private.add(MODEL)
    wrong = [
        (WANTED[0], ("no model org/tiny, or a private one", "hf auth login", FETCH_MODEL)),
        (("org/none", "main"), ("no model org/none", "check the name")),
        (source("org/none"), ("no data set org/none", "check the name")),
        (WANTED[1] | {"revision": "v9"}, ("org/data has no revision 'v9'",)),
        (("org/bare", "main"), ("org/bare has no weights",)),
        (("org/bare", "a b"), ("'a b' is no revision",)),
    ]
    for (_, words), found in zip(wrong, ask(*(each for each, _ in wrong)), strict=True):
        plain(found, *words)
    assert not server.fetched()


def test_files_that_are_missing(tmp_path):
    where = {"kind": "files", "path": str(tmp_path / "a.jsonl"), "format": None, "columns": {}}
    plain(missing_data(where), "a.jsonl does not exist")
    (tmp_path / "a.jsonl").write_bytes(lines(VALIDATION))
    assert missing_data(where) is None
    plain(missing_data(where | {"path": str(tmp_path)}), "is not a file")
