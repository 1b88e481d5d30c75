"""Data sets from the hub: the right split at one commit, and one line for all that can go wrong."""

import subprocess
import sys

import pytest
from data_client import Reader, lines, one_line, parquet, source
from hub_server import TOKEN, environment, hub_server

DATA = "datasets/org/glue"  # the repository, as the server knows it
PAIR = ("sentence1", "sentence2", "label")
CARD = b"""---
configs:
- config_name: sst2
  data_files:
  - {split: train, path: sst2/train-*}
  - {split: validation, path: sst2/validation-*}
- config_name: mrpc
  data_files:
  - {split: test, path: mrpc/test-*}
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
SST2 = source("org/glue", "sst2")
NESTED = [{"translation": {"en": f"e{i}", "de": f"d{i}"}, "n": i} for i in range(3)]


@pytest.fixture
def server():
    with hub_server({DATA: {"main": FILES}}) as running:
        yield running


@pytest.fixture
def reader(server, tmp_path):
    return Reader(tmp_path / "home", server.url)


def offline(reader, *sources, **more):
    return reader.read(*sources, HF_HUB_OFFLINE="1", **more)


# ---------------------------------------------------------------- what is read


def test_a_split_of_a_configuration_comes_alone(server, reader):
    (found,) = reader.read(SST2)
    assert found["rows"] == VALIDATION
    assert found["revision"] == server.commit(DATA)
    assert server.fetched() == ["README.md", *SHARDS]
    assert not found["said"]


def test_every_split_and_configuration_has_its_own_rows(server, reader):
    train, pairs, *again = reader.each(
        ("read", ({**SST2, "split": "train"}, ("sentence",))),
        ("read", (source("org/glue", "mrpc", split="test"), PAIR)),
        ("read", (SST2, ("label", "sentence"))),
    )
    assert train["rows"] == [{"sentence": row["sentence"]} for row in TRAIN]
    assert pairs["rows"] == PAIRS
    assert again[0]["rows"] == VALIDATION


def test_a_second_reading_asks_for_the_commit_alone_and_of_a_commit_for_nothing(server, reader):
    reader.read(SST2)
    server.requests.clear()
    pinned = {**SST2, "revision": server.commit(DATA)}
    assert [found["rows"] for found in reader.read(SST2, pinned)] == [VALIDATION] * 2
    assert [path for _, path, _ in server.requests] == ["/api/datasets/org/glue/revision/main"]


def test_branches_tags_and_commits_are_pinned(server, reader):
    old = server.commit(DATA)
    tagged = server.publish(
        DATA, "v1", FILES | {SHARDS[0]: parquet([{"sentence": "x", "label": 0}])}
    )
    calls = [{**SST2, "revision": revision} for revision in ("v1", tagged, old, "main")]
    found = reader.read(*calls)
    assert [each["revision"] for each in found] == [tagged, tagged, old, old]
    assert [len(each["rows"]) for each in found] == [3, 3, 4, 4]


def test_a_moved_branch_is_followed_and_offline_the_last_one_seen_is_used(server, reader):
    reader.read(SST2)
    new = server.publish(DATA, "main", FILES | {SHARDS[1]: parquet(VALIDATION[3:])})
    (found,) = reader.read(SST2)
    assert (len(found["rows"]), found["revision"]) == (3, new)
    (cached,) = offline(reader, SST2)
    assert (cached["rows"], cached["revision"]) == (found["rows"], new)


def test_json_lines_without_a_card_and_nested_columns(server, reader):
    files = {"train.jsonl": lines(NESTED[:1]), "test.jsonl": lines(NESTED)}
    server.publish("datasets/org/plain", "main", files)
    where = source(
        "org/plain", split="test", columns={"source": "translation.en", "target": "translation.de"}
    )
    wrong = {**where, "columns": {"source": "translation.fr", "target": "n"}}
    found, refused = reader.read(where, wrong, fields=("source", "target"))
    assert found["rows"] == [{"source": f"e{i}", "target": f"d{i}"} for i in range(3)]
    one_line(refused, "RequestError", "column", "'fr'", "de, en")


# ---------------------------------------------------------------- without the server


def test_without_the_server_the_cache_does_and_says_so(server, reader):
    pinned = {**SST2, "revision": server.commit(DATA)}
    reader.read(SST2)
    for unreachable, why in [
        ({"HF_HUB_OFFLINE": "1"}, "HF_HUB_OFFLINE forbids"),
        ({"HF_ENDPOINT": "http://127.0.0.1:9"}, "cannot connect to 127.0.0.1:9;"),
    ]:
        for found in reader.read(SST2, pinned, **unreachable):
            assert (found["rows"], found["revision"]) == (VALIDATION, pinned["revision"])
            (line,) = found["said"].splitlines()  # of the branch; a commit is not asked for
            assert why in line
            assert f"org/glue from the cache, commit {pinned['revision']}" in line


def test_offline_no_other_split_or_commit_is_taken_for_the_one_asked_for(server, reader):
    reader.read(SST2)
    other = server.publish(DATA, "v1", FILES | {SHARDS[1]: parquet(PAIRS)})
    asked = [{**SST2, "split": "train"}, {**SST2, "revision": other}, {**SST2, "revision": "v1"}]
    for where, result in zip(asked, offline(reader, *asked), strict=True):
        one_line(result, "RunError", f"{where['split']} of org/glue", "not cached", "hf download")


def test_what_the_library_itself_prepared_is_used_offline(server, reader):
    code = """
import datasets
datasets.config.USE_PARQUET_EXPORT = False  # a service of the real hub only
datasets.load_dataset("org/glue", "sst2")
"""
    env = environment(server.url, reader.home, HF_UPDATE_DOWNLOAD_COUNTS="0")
    subprocess.run([sys.executable, "-c", code], env=env, check=True, capture_output=True)
    train, validation = offline(reader, {**SST2, "split": "train"}, SST2)
    assert (train["rows"], validation["rows"]) == (TRAIN, VALIDATION)


def test_what_was_downloaded_whole_is_used_offline(server, reader):
    code = "import huggingface_hub as h; h.snapshot_download('org/glue', repo_type='dataset')"
    env = environment(server.url, reader.home)
    subprocess.run([sys.executable, "-c", code], env=env, check=True, capture_output=True)
    wrong = source("org/glue", "cola")
    found, pairs, refused = offline(reader, SST2, source("org/glue", "mrpc", split="test"), wrong)
    assert found["rows"] == VALIDATION
    assert [row["sentence"] for row in found["rows"]] == ["v0", "v1", "v2", "v3"]
    assert pairs.get("error") == "RequestError"  # it has no column `sentence`
    one_line(refused, "RequestError", "configuration", "'cola'", "mrpc, sst2")


def test_a_complete_cache_may_be_read_only(reader):
    reader.read(SST2)
    folders = [reader.home, *(path for path in reader.home.rglob("*") if path.is_dir())]
    refuse = """
import filelock
def acquire(self, *_, **__): raise PermissionError(13, "Permission denied")
filelock.FileLock.acquire = filelock.SoftFileLock.acquire = acquire
"""
    for folder in folders:
        folder.chmod(0o555)
    try:
        (found,) = offline(reader, SST2, before=refuse)
    finally:
        for folder in folders:
            folder.chmod(0o755)
    assert found["rows"] == VALIDATION


def test_a_cache_that_is_damaged_is_named(reader):
    reader.read(SST2)
    (table,) = reader.home.rglob("*.arrow")
    table.write_bytes(table.read_bytes()[:100])
    (result,) = reader.read(SST2)
    one_line(result, "RunError", str(table.parent), "damaged; remove it")


# ---------------------------------------------------------------- interruptions


def test_a_download_that_was_cut_is_taken_up_with_the_files_that_came_whole(server, reader):
    server.faults.cuts[SHARDS[1]] = 99
    (broken,) = reader.read(SST2)
    one_line(broken, "RunError", "broke", "run this again")
    server.faults.cuts.clear()
    server.requests.clear()
    (found,) = reader.read(SST2)
    assert found["rows"] == VALIDATION
    assert server.fetched() == [SHARDS[1]]


def test_a_file_that_is_out_of_order(server, reader):
    server.faults.files[SHARDS[0]] = 503
    (result,) = reader.read(SST2)
    one_line(result, "RunError", "503", "run this again")


def test_a_file_that_is_damaged(server, reader):
    server.publish(DATA, "main", FILES | {SHARDS[0]: b"no parquet"})
    (result,) = reader.read(SST2)
    one_line(result, "RunError", "org/glue", "validation", "damaged")


def test_a_split_that_is_not_as_long_as_its_card_says(server, reader):
    info = (
        b"dataset_info:\n- config_name: sst2\n  splits:\n  - {name: validation, num_examples: 9}\n"
    )
    server.publish(DATA, "main", FILES | {"README.md": CARD.replace(b"---\n", b"---\n" + info, 1)})
    (result,) = reader.read(SST2)
    one_line(result, "RunError", "validation has 4 rows", "says 9")


# ---------------------------------------------------------------- requests that cannot be met


def test_what_there_is_not_is_said_with_what_there_is(server, reader):
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
    results = reader.read(*(where for where, _ in wrong))
    for (_, words), result in zip(wrong, results, strict=True):
        one_line(result, "RequestError", *words)
    assert not [name for name in server.fetched() if name.endswith(".parquet")][2:]


def test_data_sets_that_need_a_token(server, reader):
    faults = ("gated", "private", "forbidden")
    for fault in faults:
        server.publish(f"datasets/org/{fault}", "main", FILES)
        getattr(server.faults, fault).add(f"datasets/org/{fault}")
    calls = [source(f"org/{fault}", "sst2") for fault in faults]
    for fault, result in zip(faults, reader.read(*calls, HF_TOKEN="hf_x"), strict=True):
        message = one_line(result, "RequestError", f"org/{fault}", "hf auth login", "HF_TOKEN")
        assert "hf_x" not in message
    assert [r["rows"] for r in reader.read(*calls[:2], HF_TOKEN=TOKEN)] == [VALIDATION] * 2


def test_servers_that_fail(server, reader):
    server.faults.listings = 503
    (busy,) = reader.read(SST2)
    one_line(busy, "RunError", "answers 503", "not cached", "hf download org/glue --revision main")
    server.faults.listings = None
    server.faults.portal = True
    (portal,) = reader.read(SST2)
    one_line(portal, "RunError", "not answer as a hub does", "proxy")


def test_disks_that_are_full(server, reader):
    small = "import shutil, types; shutil.disk_usage = lambda _: types.SimpleNamespace(free=99)"
    (result,) = reader.read(SST2, before=small)
    one_line(result, "RunError", "0.0 MB", "HF_HOME")
    assert not [name for name in server.fetched() if name.endswith(".parquet")]
    full = """
import errno, datasets.arrow_writer as writer
def write(*_, **__): raise OSError(errno.ENOSPC, "No space left on device")
writer.ArrowWriter.write_table = write
"""
    (result,) = reader.read(SST2, before=full)
    one_line(result, "RunError", "no room left", "HF_HOME")
