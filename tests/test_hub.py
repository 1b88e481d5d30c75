"""Models from the hub: the right files at one commit, and one line for all that can go wrong.

The client reads its environment when it is imported, so each call has a process of its own.
"""

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hub_server import TOKEN, environment, hub_server

MODEL = "org/tiny"
COMMON = {"config.json": b"{}", "generation_config.json": b"{1}", "tokenizer.json": b"{2}"}
SINGLE = COMMON | {"model.safetensors": b"weights" * 100}
SHARDS = ("model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors")
OTHERS = dict.fromkeys(  # what no download takes
    (
        *("README.md", "flax_model.msgpack", "tf_model.h5", "model.gguf", "onnx/model.onnx"),
        *("original/tokenizer.model", "original/consolidated.00.pth", "model.fp16.safetensors"),
        *("onnx/config.json", "modeling_tiny.py", "training_args.bin"),
    ),
    b"not wanted",
)
CHILD = """
import json, logging, time
sleep = time.sleep
time.sleep = lambda seconds: sleep(min(seconds, 0.01))  # the client's pauses between retries
from analysis.errors import AnalysisError
from analysis.models import hub
BEFORE
results = []
for model, revision in CALLS:
    try:
        done = hub.download(model, revision)
        results.append({"folder": str(done.folder), "commit": done.commit})
    except AnalysisError as error:
        results.append({"error": type(error).__name__, "message": str(error)})
print(json.dumps(results))
"""


def index(*files: str) -> bytes:
    tensors = {f"tensor{number}": file for number, file in enumerate(files)}
    return json.dumps({"metadata": {}, "weight_map": tensors}).encode()


def sharded(*files: str, present: tuple[str, ...] = SHARDS) -> dict[str, bytes]:
    """A repository whose index names `files`, and which has those in `present`."""
    shards = {name: name.encode() * 50 for name in present}
    return COMMON | shards | {"model.safetensors.index.json": index(*files)}


class Client:
    """Downloads in child processes that share a cache."""

    def __init__(self, home: Path, url: str):
        self.home, self.url = home, url

    def code(self, *calls: tuple[str, str | None], before="") -> list[str]:
        return [sys.executable, "-c", f"CALLS = {calls!r}{CHILD.replace('BEFORE', before)}"]

    def download_each(self, *calls: tuple[str, str | None], before="", **more: str) -> list[dict]:
        """Results and errors, from one process; in each `said`: all that stood on stderr."""
        code, env = self.code(*calls, before=before), environment(self.url, self.home, **more)
        result = subprocess.run(code, env=env, capture_output=True, text=True)
        assert result.returncode == 0, result.stderr
        return [each | {"said": result.stderr} for each in json.loads(result.stdout)]

    def download(self, model=MODEL, revision=None, **more: str) -> dict:
        (result,) = self.download_each((model, revision), **more)
        return result

    def refused(self, error: str, *words: str, **call) -> str:
        """The message of a call that must fail, in one line with these words."""
        return one_line(self.download(**call), error, *words)


def one_line(result: dict, error: str, *words: str) -> str:
    """The message, after checking that it has these words, and no url or token."""
    assert result.get("error") == error, result
    message = result["message"]
    assert "\n" not in message
    assert "://" not in message.replace("http(s)://host", "")
    assert TOKEN not in message
    for word in words:
        assert word in message
    assert not result["said"]
    return message


@pytest.fixture
def server():
    with hub_server({MODEL: {"main": SINGLE | OTHERS}}) as running:
        yield running


@pytest.fixture
def client(server, tmp_path):
    return Client(tmp_path / "home", server.url)


def content(result: dict) -> dict[str, bytes]:
    folder = Path(result["folder"])
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def leftovers(home: Path) -> list[Path]:
    return list(home.rglob("*.incomplete"))


# ---------------------------------------------------------------- which files


def test_importing_costs_no_client():
    code = "import sys, analysis.models.hub; sys.exit('huggingface_hub' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_a_single_file_comes_with_config_and_tokenizer_and_nothing_else(server, client):
    result = client.download()
    assert content(result) == SINGLE
    assert server.fetched() == sorted(SINGLE)
    assert result["commit"] == server.commit(MODEL)
    assert not result["said"]


def test_a_published_folder_has_its_own_names(tmp_path):
    (tmp_path / "onnx").mkdir()
    (tmp_path / "onnx/model.onnx").write_bytes(b"1")
    with hub_server({MODEL: {"main": tmp_path}}) as server:
        assert server.commit(MODEL) == server.publish(MODEL, "v1", {"onnx/model.onnx": b"1"})


def test_shards_are_those_that_the_index_names_and_preferred_to_bin(server, client):
    files = sharded(*SHARDS, SHARDS[0])
    stray = {"model-00001-of-00003.safetensors": b"of an earlier split"}
    server.publish(MODEL, "main", files | stray | {"pytorch_model.bin": b"the same, pickled"})
    assert content(client.download()) == files


def test_bin_is_taken_where_there_is_nothing_else(server, client):
    whole = COMMON | {"pytorch_model.bin": b"pickled"}
    shards = {"pytorch_model.bin.index.json": index("a-1.bin", "a-2.bin")}
    shards |= COMMON | {"a-1.bin": b"1", "a-2.bin": b"2"}
    server.publish("org/whole", "main", whole | OTHERS)
    server.publish("org/shards", "main", shards | OTHERS)
    results = client.download_each(("org/whole", None), ("org/shards", None))
    assert [content(result) for result in results] == [whole, shards]


# ---------------------------------------------------------------- revisions


def test_branch_tag_and_commit_are_pinned(server, client):
    tagged = SINGLE | {"model.safetensors": b"tagged"}
    server.publish(MODEL, "feature/x", SINGLE | {"model.safetensors": b"feature"})
    commit = server.publish(MODEL, "v1.0", tagged)
    calls = [(MODEL, "v1.0"), (MODEL, commit), (MODEL, "feature/x")]
    *same, feature = client.download_each(*calls)
    for result in same:
        assert result["commit"] == commit
        assert content(result) == tagged
    assert content(feature)["model.safetensors"] == b"feature"
    revisions = {path.split("/")[4] for _, path, _ in server.requests if "/resolve/" in path}
    assert revisions == {commit, server.commit(MODEL, "feature/x")}


def test_a_second_call_fetches_nothing(server, client):
    first = client.download()
    server.requests.clear()
    assert client.download() == first
    assert [request.path for request in server.requests] == [f"/api/models/{MODEL}/revision/main"]


def test_a_branch_that_moved_is_followed_and_what_stayed_is_not_fetched_again(server, client):
    old = client.download()
    server.requests.clear()
    server.publish(MODEL, "main", SINGLE | {"config.json": b"{new}"})
    new = client.download()
    assert content(new)["config.json"] == b"{new}"
    assert content(old)["config.json"] == b"{}"
    assert server.fetched() == ["config.json"]


# ---------------------------------------------------------------- without the server


def test_without_the_server_the_cache_does_and_says_so(server, client):
    commit = server.publish(MODEL, "v1", SINGLE | {"config.json": b"1"})
    calls = [(MODEL, None), (MODEL, "v1"), (MODEL, commit)]
    before = [content(result) for result in client.download_each(*calls)]
    server.faults.listings = 503
    for unreachable, why in [
        ({"HF_HUB_OFFLINE": "1"}, "HF_HUB_OFFLINE forbids"),
        ({"HF_ENDPOINT": "http://127.0.0.1:9"}, "cannot connect to 127.0.0.1:9;"),
        ({}, "answers 503"),
    ]:
        results = client.download_each(*calls, **unreachable)
        assert [content(result) for result in results] == before
        assert results[2]["commit"] == commit
        for line, result in zip(results[0]["said"].splitlines(), results, strict=True):
            assert why in line
            assert f"{MODEL} from the cache, commit {result['commit']}" in line


def test_what_another_program_cached_will_do(client):
    """File by file, the client keeps no list of what a complete snapshot has."""
    calls = [f"huggingface_hub.hf_hub_download({MODEL!r}, {name!r})" for name in SINGLE]
    code = "\n".join(["import huggingface_hub", *calls])
    env = environment(client.url, client.home)
    subprocess.run([sys.executable, "-c", code], env=env, check=True, capture_output=True)
    assert content(client.download(HF_HUB_OFFLINE="1")) == SINGLE


def test_offline_a_part_is_not_taken_for_the_whole(server, client):
    server.publish(MODEL, "main", sharded(*SHARDS))
    server.faults.files[SHARDS[1]] = 404
    assert "error" in client.download()
    client.refused("RunError", "not all of", "main", "HF_HUB_OFFLINE", HF_HUB_OFFLINE="1")


# ---------------------------------------------------------------- interruptions


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
    env = environment(client.url, client.home)
    child = subprocess.Popen(client.code((MODEL, None)), env=env, stdout=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 20
        while not (leftovers(client.home) and len(list(client.home.rglob("*.json"))) >= 4):
            assert time.monotonic() < deadline
            time.sleep(0.02)
        time.sleep(0.1)
    finally:
        child.kill()
        child.wait()
    assert leftovers(client.home)
    server.faults.held.clear()
    server.requests.clear()
    assert content(client.download()) == SINGLE
    assert server.fetched() == ["model.safetensors"]


# ---------------------------------------------------------------- requests that cannot be met


def test_repositories_that_lack_what_is_needed(server, client):
    server.publish("org/bare", "main", COMMON | OTHERS)
    server.publish("org/torn", "main", sharded(*SHARDS, present=SHARDS[:1]))
    lacking = [("org/none", None), (MODEL, "v9"), ("org/bare", None), ("org/torn", None)]
    (known,) = client.download_each(lacking[0], HF_TOKEN=TOKEN)
    model, revision, weights, shard = client.download_each(*lacking)
    for result in (known, model):  # the hub answers 404 or 401
        one_line(result, "RequestError", "no model org/none", "check the name", "hf auth login")
    one_line(revision, "RequestError", f"{MODEL} has no revision 'v9'", "branch", "tag", "commit")
    one_line(weights, "RequestError", "org/bare", "model.safetensors", "pytorch_model.bin")
    one_line(shard, "RequestError", "org/torn", repr(SHARDS[1]), "not there", "choose another")
    assert server.fetched() == ["model.safetensors.index.json"]


def test_malformed_names_and_revisions_are_not_sent(server, client):
    names = ["", "a/b/c", "org/tiny@main", "../tiny", "org/ti ny", "./tiny"]
    revisions = ["", "../../x", "a b", "/x"]
    calls = [(name, None) for name in names] + [(MODEL, revision) for revision in revisions]
    results = client.download_each(*calls)
    for name, result in zip(names, results, strict=False):
        one_line(result, "RequestError", repr(name), "organisation/name")
    for revision, result in zip(revisions, results[len(names) :], strict=True):
        one_line(result, "RequestError", repr(revision), "branch")
    assert not server.requests


def test_models_that_need_a_token(server, client):
    faults = ("gated", "private", "forbidden")
    for fault in faults:
        server.publish(f"org/{fault}", "main", SINGLE)
        getattr(server.faults, fault).add(f"org/{fault}")
    calls = [(f"org/{fault}", None) for fault in faults]
    for call, result in zip(calls, client.download_each(*calls, HF_TOKEN="hf_x"), strict=True):
        message = one_line(result, "RequestError", call[0], "hf auth login", "HF_TOKEN")
        assert "hf_x" not in message
    for result in client.download_each(*calls[:2], HF_TOKEN=TOKEN):
        assert content(result) == SINGLE


def test_a_token_with_stray_characters_is_not_shown(client):
    message = client.refused("RequestError", "HF_TOKEN", "stray", HF_TOKEN="hf_sécret")
    assert "cret" not in message


def test_an_index_cannot_name_files_outside(server, client):
    names = ["../../x", "/etc/x", "a/../../x", "..\\x", "C:x", "./x", "a//x", "*"]
    for number, name in enumerate(names):
        present = (SHARDS[0],) if name.startswith("/") else (SHARDS[0], name)
        server.publish(f"org/bad{number}", "main", sharded(SHARDS[0], name, present=present))
    results = client.download_each(*((f"org/bad{number}", None) for number in range(len(names))))
    for name, result in zip(names, results, strict=True):
        one_line(result, "RequestError", repr(name), "no file beside it")
    assert server.fetched() == ["model.safetensors.index.json"]


def test_an_index_that_is_none(server, client):
    contents = [b"{", b"\xff", b"[]", b'{"weight_map": 1}', b'{"weight_map": {"a": [1]}}']
    for number, index_file in enumerate(contents):
        files = COMMON | {"model.safetensors.index.json": index_file}
        server.publish(f"org/bad{number}", "main", files)
    for result in client.download_each(*((f"org/bad{n}", None) for n in range(len(contents)))):
        one_line(result, "RequestError", "does not say in which file", "choose another")


# ---------------------------------------------------------------- networks and disks that fail


def test_no_server_and_nothing_cached(client):
    refusing = "http://user:secret@127.0.0.1:9/hub"
    words = ("cannot connect to 127.0.0.1:9,", "not all of org/tiny", "cached")
    assert "secret" not in client.refused("RunError", *words, HF_ENDPOINT=refusing)


def test_a_server_that_does_not_answer(server, client):
    server.faults.silent = True
    client.refused("RunError", "not answer in time", "cached", HF_HUB_DOWNLOAD_TIMEOUT="1")


def test_a_listing_that_is_out_of_order(server, client):
    server.faults.listings = 503
    client.refused("RunError", "answers 503", "cached")


def test_a_file_that_is_out_of_order_after_retries(server, client):
    server.faults.files["model.safetensors"] = 503
    client.refused("RunError", "answers 503", "run this again")
    asked = [request for request in server.requests if "model.safetensors" in request.path]
    assert len(asked) > 5


def test_a_log_in_page_in_the_servers_place(server, client):
    server.faults.portal = True
    client.refused("RunError", "not answer as a hub does", "HF_ENDPOINT", "proxy")


def test_an_endpoint_that_is_no_url(client):
    client.refused("RequestError", "HF_ENDPOINT", HF_ENDPOINT="nowhere")


def test_a_file_that_arrives_short(server, client):
    server.faults.shortened.add("model.safetensors")
    client.refused("RunError", "did not arrive whole", "run this again")


def test_a_disk_without_room_is_found_before_downloading(server, client):
    before = "import shutil, types; shutil.disk_usage = lambda _: types.SimpleNamespace(free=600)"
    client.refused("RunError", "0.0 MB", "free", "HF_HOME", before=before)
    assert not server.fetched()
    client.download()
    server.publish(MODEL, "main", SINGLE | {"config.json": b"{3}"})  # 3 bytes more
    assert "folder" in client.download(before=before)


def test_a_disk_that_fills_up(client):
    full = """
import errno, huggingface_hub.file_download as module
def http_get(*_, **__): raise OSError(errno.ENOSPC, "No space left on device")
module.http_get = http_get
"""
    client.refused("RunError", "no room left", "HF_HOME", before=full)


def test_a_cache_that_cannot_be_written(client):
    client.home.write_text("a file, not a folder")
    client.refused("RunError", "cannot write", "HF_HOME")


def test_a_complete_cache_may_be_read_only(client):
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
