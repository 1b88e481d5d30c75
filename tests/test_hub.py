"""Models from the hub: the right files at one commit, and one line for all that can go wrong."""

import json
import time
from pathlib import Path

import pytest
from clients import Child, Client, calls, child, one_line
from hub_server import TOKEN, hub_server

MODEL = "org/tiny"
COMMON = {"config.json": b"{}", "generation_config.json": b"{1}", "tokenizer.json": b"{2}"}
SINGLE = COMMON | {"model.safetensors": b"weights" * 100}
SHARDS = ("model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors")
NOT_TAKEN = "README.md flax_model.msgpack tf_model.h5 model.gguf onnx/model.onnx onnx/config.json"
NOT_TAKEN += " original/tokenizer.model original/consolidated.00.pth model.fp16.safetensors"
OTHERS = dict.fromkeys(f"{NOT_TAKEN} modeling_tiny.py training_args.bin".split(), b"not wanted")


def index(*files: str) -> bytes:
    tensors = {f"tensor{number}": file for number, file in enumerate(files)}
    return json.dumps({"metadata": {}, "weight_map": tensors}).encode()


def sharded(*files: str, present: tuple[str, ...] = SHARDS) -> dict[str, bytes]:
    """A repository whose index names `files`, and which has those in `present`."""
    shards = {name: name.encode() * 50 for name in present}
    return COMMON | shards | {"model.safetensors.index.json": index(*files)}


class Downloads(Client):
    def download(self, **more) -> dict:
        (result,) = self.downloads((MODEL, None), **more)
        return result

    def refused(self, error: str, *words: str, **more) -> str:
        """The message of a download that must fail, in one line with these words."""
        result = self.download(**more)
        assert not result["said"]
        return one_line(result, error, *words)


@pytest.fixture
def server():
    with hub_server({MODEL: {"main": SINGLE | OTHERS}}) as running:
        yield running


@pytest.fixture
def client(server, tmp_path):
    return Downloads(tmp_path / "home", server.url)


def content(result: dict) -> dict[str, bytes]:
    folder = Path(result["folder"])
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def heavy(modules):
    """The libraries that importing these loads."""
    import importlib
    import sys

    for name in modules:
        importlib.import_module(name)
    return sorted({"datasets", "huggingface_hub", "transformers"} & {*sys.modules})


def test_importing_costs_no_client(client):
    modules = ["analysis.models.hub", "analysis.data.missing", "analysis.data.reading"]
    assert child(heavy, modules, env=client.environment()) == ([], "")


def test_a_single_file_comes_with_config_and_tokenizer_and_nothing_else(server, client):
    result = client.download()
    assert content(result) == SINGLE
    assert server.fetched() == sorted(SINGLE)
    assert (result["commit"], result["said"]) == (server.commit(MODEL), "")
    server.requests.clear()  # a second call fetches nothing
    assert client.download() == result
    assert [request.path for request in server.requests] == [f"/api/models/{MODEL}/revision/main"]


def test_shards_are_those_of_the_index_preferred_to_bin_which_is_taken_where_nothing_else_is(
    server, client
):
    stray = {"model-00001-of-00003.safetensors": b"of an earlier split"}
    split, whole = sharded(*SHARDS, SHARDS[0]), COMMON | {"pytorch_model.bin": b"pickled"}
    shards = {"pytorch_model.bin.index.json": index("a-1.bin", "a-2.bin")}
    shards |= COMMON | {"a-1.bin": b"1", "a-2.bin": b"2"}
    server.publish(MODEL, "main", split | stray | {"pytorch_model.bin": b"the same, pickled"})
    server.publish("org/whole", "main", whole | OTHERS)
    server.publish("org/shards", "main", shards | OTHERS)
    results = client.downloads((MODEL, None), ("org/whole", None), ("org/shards", None))
    assert [content(result) for result in results] == [split, whole, shards]


def test_branch_tag_and_commit_are_pinned(server, client):
    tagged = SINGLE | {"model.safetensors": b"tagged"}
    server.publish(MODEL, "feature/x", SINGLE | {"model.safetensors": b"feature"})
    commit = server.publish(MODEL, "v1.0", tagged)
    *same, feature = client.downloads((MODEL, "v1.0"), (MODEL, commit), (MODEL, "feature/x"))
    assert [(found["commit"], content(found)) for found in same] == [(commit, tagged)] * 2
    assert content(feature)["model.safetensors"] == b"feature"
    revisions = {path.split("/")[4] for _, path, _ in server.requests if "/resolve/" in path}
    assert revisions == {commit, server.commit(MODEL, "feature/x")}


def test_a_branch_that_moved_is_followed_and_what_stayed_is_not_fetched_again(server, client):
    old = client.download()
    server.requests.clear()
    server.publish(MODEL, "main", SINGLE | {"config.json": b"{new}"})
    new = client.download()
    assert [content(found)["config.json"] for found in (new, old)] == [b"{new}", b"{}"]
    assert server.fetched() == ["config.json"]


def test_without_the_server_the_cache_does_and_says_so(server, client):
    commit = server.publish(MODEL, "v1", SINGLE | {"config.json": b"1"})
    asked = [(MODEL, None), (MODEL, "v1"), (MODEL, commit)]
    before = [content(result) for result in client.downloads(*asked)]
    server.faults.listings = 503
    for unreachable, why in [
        ({"HF_HUB_OFFLINE": "1"}, "HF_HUB_OFFLINE forbids"),
        ({"HF_ENDPOINT": "http://127.0.0.1:9"}, "cannot connect to 127.0.0.1:9;"),
        ({}, "answers 503"),
    ]:
        results = client.downloads(*asked, **unreachable)
        assert [content(result) for result in results] == before
        assert results[2]["commit"] == commit
        for line, result in zip(results[0]["said"].splitlines(), results, strict=True):
            cached = f"{MODEL} from the cache, commit {result['commit']}"
            assert (why in line, cached in line) == (True, True), line


def test_what_another_program_cached_will_do_but_a_part_is_not_taken_for_the_whole(server, client):
    """File by file, the client keeps no list of what a complete snapshot has."""
    fetched = [f"huggingface_hub.hf_hub_download({MODEL!r}, {name!r})" for name in SINGLE]
    client.execute("\n".join(["import huggingface_hub", *fetched]))
    assert content(client.download(HF_HUB_OFFLINE="1")) == SINGLE
    server.publish(MODEL, "main", sharded(*SHARDS))
    server.faults.files[SHARDS[1]] = 404
    assert "error" in client.download()
    client.home.rename(client.home.with_name("old"))
    client.download()
    client.refused("RunError", "not all of", "main", "HF_HUB_OFFLINE", HF_HUB_OFFLINE="1")


def test_a_cut_is_continued_where_it_broke(server, client):
    server.faults.cuts["model.safetensors"] = 2
    small = "from huggingface_hub import constants; constants.DOWNLOAD_CHUNK_SIZE = 50"
    assert content(client.download(before=small)) == SINGLE
    ranges = [r.range for r in server.requests if "model.safetensors" in r.path and r.range]
    assert ranges == ["bytes=350-", "bytes=500-"]  # whole chunks of 350 and of 525 bytes


def test_after_a_failure_whole_files_are_kept_and_the_old_commit_can_be_had(server, client):
    first = client.download()
    later = SINGLE | {"config.json": b"{later}", "model.safetensors": b"later" * 99}
    server.publish(MODEL, "main", later)
    server.faults.cuts["model.safetensors"] = 99
    client.refused("RunError", "broke", "run this again")
    assert client.download(HF_HUB_OFFLINE="1")["commit"] == first["commit"]
    server.faults.cuts.clear()
    server.requests.clear()
    assert content(client.download()) == later
    assert server.fetched() == ["model.safetensors"]


def test_a_killed_download_is_completed(server, client):
    server.faults.held.add("model.safetensors")
    begun = Child(calls, ([("download", (MODEL, None))], ""), client.environment())
    deadline, found = time.monotonic() + 60, client.home.rglob
    while not (list(found("*.incomplete")) and len(list(found("*.json"))) >= 4):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    time.sleep(0.1)
    begun.process.kill()
    begun.process.join()
    assert list(client.home.rglob("*.incomplete"))
    server.faults.held.clear()
    server.requests.clear()
    assert content(client.download()) == SINGLE
    assert server.fetched() == ["model.safetensors"]


def test_repositories_that_lack_what_is_needed(server, client):
    server.publish("org/bare", "main", COMMON | OTHERS)
    server.publish("org/torn", "main", sharded(*SHARDS, present=SHARDS[:1]))
    lacking = [("org/none", None), (MODEL, "v9"), ("org/bare", None), ("org/torn", None)]
    (known,) = client.downloads(lacking[0], HF_TOKEN=TOKEN)
    model, revision, weights, shard = client.downloads(*lacking)
    for result in (known, model):  # the hub answers 404 or 401
        one_line(result, "RequestError", "no model org/none", "check the name", "hf auth login")
    one_line(revision, "RequestError", f"{MODEL} has no revision 'v9'", "branch", "tag", "commit")
    one_line(weights, "RequestError", "org/bare", "model.safetensors", "pytorch_model.bin")
    one_line(shard, "RequestError", "org/torn", repr(SHARDS[1]), "not there", "choose another")
    assert server.fetched() == ["model.safetensors.index.json"]


def test_malformed_names_and_revisions_are_not_sent(server, client):
    names = ["", "a/b/c", "org/tiny@main", "../tiny", "org/ti ny", "./tiny"]
    revisions = ["", "../../x", "a b", "/x"]
    asked = [(name, None) for name in names] + [(MODEL, revision) for revision in revisions]
    words = ["organisation/name"] * len(names) + ["branch"] * len(revisions)
    for odd, word, result in zip(names + revisions, words, client.downloads(*asked), strict=True):
        one_line(result, "RequestError", repr(odd), word)
    assert not server.requests


def test_models_that_need_a_token(server, client):
    faults = ("gated", "private", "forbidden")
    for fault in faults:
        server.publish(f"org/{fault}", "main", SINGLE)
        getattr(server.faults, fault).add(f"org/{fault}")
    asked = [(f"org/{fault}", None) for fault in faults]
    for call, result in zip(asked, client.downloads(*asked, HF_TOKEN="hf_x"), strict=True):
        message = one_line(result, "RequestError", call[0], "hf auth login", "HF_TOKEN")
        assert "hf_x" not in message
    for result in client.downloads(*asked[:2], HF_TOKEN=TOKEN):
        assert content(result) == SINGLE
    message = client.refused("RequestError", "HF_TOKEN", "stray", HF_TOKEN="hf_sécret")
    assert "cret" not in message


def test_an_index_that_names_files_outside_or_is_none(server, client):
    outside = ["../../x", "/etc/x", "a/../../x", "..\\x", "C:x", "./x", "a//x", "*"]
    broken = [b"{", b"\xff", b"[]", b'{"weight_map": 1}', b'{"weight_map": {"a": [1]}}']
    for number, name in enumerate(outside):
        present = (SHARDS[0],) if name.startswith("/") else (SHARDS[0], name)
        server.publish(f"org/bad{number}", "main", sharded(SHARDS[0], name, present=present))
    for number, text in enumerate(broken, len(outside)):
        server.publish(f"org/bad{number}", "main", COMMON | {"model.safetensors.index.json": text})
    asked = [(f"org/bad{number}", None) for number in range(len(outside) + len(broken))]
    words = [(repr(name), "no file beside it") for name in outside]
    words += [("does not say in which file", "choose another")] * len(broken)
    for said, result in zip(words, client.downloads(*asked), strict=True):
        one_line(result, "RequestError", *said)
    assert server.fetched() == ["model.safetensors.index.json"]


SECRET = "http://user:secret@127.0.0.1:9/hub"
FULL = """
import errno, huggingface_hub.file_download as module
def http_get(*_, **__): raise OSError(errno.ENOSPC, "No space left on device")
module.http_get = http_get
"""
FAILURES = [  # the server's faults, the client's environment and what ran before, words
    ({}, {"HF_ENDPOINT": SECRET}, "cannot connect to 127.0.0.1:9, / not all of org/tiny / cached"),
    ({"silent": True}, {"HF_HUB_DOWNLOAD_TIMEOUT": "1"}, "not answer in time / cached"),
    ({"listings": 500}, {}, "answers 500 / cached"),
    ({"files": {"model.safetensors": 503}}, {}, "answers 503 / run this again"),
    ({"portal": True}, {}, "not answer as a hub does / HF_ENDPOINT / proxy"),
    ({}, {"HF_ENDPOINT": "nowhere"}, "HF_ENDPOINT"),  # alone a wrong request
    ({"shortened": {"model.safetensors"}}, {}, "did not arrive whole / run this again"),
    ({}, {"before": FULL}, "no room left / HF_HOME"),
]


@pytest.mark.parametrize(("faults", "more", "words"), FAILURES)
def test_a_network_or_disk_that_fails_is_one_line(server, client, faults, more, words):
    for name, fault in faults.items():
        setattr(server.faults, name, fault)
    error = "RequestError" if "nowhere" in more.values() else "RunError"
    message = client.refused(error, *words.split(" / "), **more)
    assert "secret" not in message
    if "files" in faults:  # after retries
        assert sum("model.safetensors" in request.path for request in server.requests) > 5


def test_a_disk_without_room_is_found_before_downloading(server, client):
    before = "import shutil, types; shutil.disk_usage = lambda _: types.SimpleNamespace(free=600)"
    client.refused("RunError", "0.0 MB", "free", "HF_HOME", before=before)
    assert not server.fetched()
    client.download()
    server.publish(MODEL, "main", SINGLE | {"config.json": b"{3}"})  # 3 bytes more
    assert "folder" in client.download(before=before)


def test_a_cache_that_cannot_be_written_is_one_line_and_a_complete_one_may_be_read_only(client):
    before = """
from pathlib import Path
def refuse(*_, **__): raise PermissionError(13, "Permission denied")
Path.write_text = Path.mkdir = refuse
"""
    first = client.download()
    (note,) = client.home.rglob("refs/main")
    note.unlink()
    assert client.download(before=before) == first
    assert not note.exists()
    client.home.rename(client.home.with_name("old"))
    client.home.write_text("a file, not a folder")
    client.refused("RunError", "cannot write", "HF_HOME")
