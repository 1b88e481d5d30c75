"""Models and data sets of the hub: the right files at one commit, and one line for what goes wrong.

A model and a data set have the same name here: what holds for one is asked of both.
"""

import json
import shlex
import time
from functools import partial
from itertools import chain, product

import pytest
from clients import Child, Client, calls, child, one_line, parquet, plain
from hub_server import TOKEN, hub_server

NAME = "org/tiny"
COMMON = {"config.json": b"{}", "generation_config.json": b"{1}", "tokenizer.json": b"{2}"}
SINGLE = COMMON | {"model.safetensors": b"weights" * 100}
WEIGHTS = ("model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors")
NOT_TAKEN = "README.md flax_model.msgpack tf_model.h5 model.gguf onnx/model.onnx onnx/config.json"
NOT_TAKEN += " original/tokenizer.model original/consolidated.00.pth model.fp16.safetensors"
OTHERS = dict.fromkeys(f"{NOT_TAKEN} modeling_tiny.py training_args.bin".split(), b"not wanted")
ROWS = [{"sentence": f"v{i}", "label": i % 2} for i in range(4)]
SHARDS = [f"sst2/validation-0000{i}-of-00002.parquet" for i in range(2)]
DATA = {SHARDS[0]: parquet(ROWS[:2]), SHARDS[1]: parquet(ROWS[2:])}
MORE = {"README.md": b"", "sst2/train-00000-of-00001.parquet": b"", "sst2/validation.txt": b""}
UNREACHABLE = [
    ({"HF_HUB_OFFLINE": "1"}, "HF_HUB_OFFLINE forbids"),
    ({"HF_ENDPOINT": "http://127.0.0.1:9"}, "cannot connect to 127.0.0.1:9"),
]
RUN, PLAN = ("download", "read"), ("missing_model", "missing_data")
HELD = [{name: content.decode() for name, content in SINGLE.items()}, ROWS]


def index(*files: str) -> bytes:
    tensors = {f"tensor{number}": file for number, file in enumerate(files)}
    return json.dumps({"metadata": {}, "weight_map": tensors}).encode()


def sharded(*files: str, present: tuple[str, ...] = WEIGHTS) -> dict[str, bytes]:
    """A model whose index names `files`, and which has those in `present`."""
    shards = {name: name.encode() * 50 for name in present}
    return COMMON | shards | {"model.safetensors.index.json": index(*files)}


def publish(server, name=NAME, revision="main", model=SINGLE, data=DATA) -> list[str]:
    """The commits of the model and of the data set of that name."""
    repositories = ((name, model | OTHERS), (f"datasets/{name}", data | MORE))
    return [server.publish(kind, revision, files) for kind, files in repositories]


def asked(name=NAME, *commits: str, revision="main", how=RUN) -> list:
    """Calls for the model and for the data set of that name."""
    model, data = commits or (revision, revision)
    where = {"kind": "hub", "path": name, "revision": data, "files": "sst2/validation-*.parquet"}
    fields = [("sentence", "label")] if how == RUN else []
    return [(how[0], (name, model)), (how[1], (where, *fields))]


def held(results) -> list:
    return [result.get("held", result) for result in results]


@pytest.fixture
def server():
    with hub_server({}) as running:
        publish(running)
        yield running


@pytest.fixture
def client(server, tmp_path):
    return Client(tmp_path / "home", server.url)


def refused(results, error: str, *words: str) -> list[str]:
    """The messages of calls that must fail, each in one line with these words."""
    assert not any(result["said"] for result in results)
    return [one_line(result, error, *words) for result in results]


def heavy(modules):
    """The libraries that importing these loads."""
    import importlib
    import sys

    for name in modules:
        importlib.import_module(name)
    return sorted({"datasets", "huggingface_hub", "transformers"} & {*sys.modules})


def test_importing_costs_no_client(client):
    modules = [
        "analysis.checkpoints.published",
        "analysis.data.hub",
        "analysis.planning.missing",
        "analysis.data.reading",
    ]
    assert child(heavy, modules, env=client.environment()) == ([], "")


def test_what_is_needed_comes_alone_and_once(server, client):
    first = client.each(*asked())
    assert (held(first), [result["said"] for result in first]) == (HELD, [""] * 2)
    assert server.fetched() == sorted([*SINGLE, *SHARDS])
    commits = [server.commit(NAME), server.commit(f"datasets/{NAME}")]
    assert [result["commit"] for result in first] == commits
    server.requests.clear()  # of a branch it is asked where it is; a commit stays what it is
    assert held(client.each(*asked(), *asked(NAME, *commits))) == HELD * 2
    paths = [request.path for request in server.requests]
    assert paths == [f"/api/{kind}/{NAME}/revision/main" for kind in ("models", "datasets")]


def test_shards_are_those_of_the_index_preferred_to_bin_which_is_taken_where_nothing_else_is(
    server, client
):
    stray = {"model-00001-of-00003.safetensors": b"of an earlier split"}
    split, whole = sharded(*WEIGHTS, WEIGHTS[0]), COMMON | {"pytorch_model.bin": b"pickled"}
    shards = {"pytorch_model.bin.index.json": index("a-1.bin", "a-2.bin")}
    shards |= COMMON | {"a-1.bin": b"1", "a-2.bin": b"2"}
    server.publish("org/split", "main", split | stray | {"pytorch_model.bin": b"the same"})
    server.publish("org/whole", "main", whole | OTHERS)
    server.publish("org/shards", "main", shards | OTHERS)
    names = ("org/split", "org/whole", "org/shards")
    results = held(client.each(*(("download", (name, None)) for name in names)))
    for result, files in zip(results, (split, whole, shards), strict=True):
        assert result == {name: content.decode() for name, content in files.items()}


def test_revisions_are_pinned_and_a_branch_that_moved_is_followed(server, client):
    tagged = publish(
        server,
        revision="v1.0",
        model=SINGLE | {"config.json": b"1"},
        data=DATA | {SHARDS[0]: parquet(ROWS[:1])},
    )
    publish(server, revision="feature/x", model=SINGLE | {"config.json": b"x"})
    wanted = [asked(revision="v1.0"), asked(NAME, *tagged), asked(revision="feature/x"), asked()]
    found = client.each(*chain(*wanted))
    assert [result["commit"] for result in found[:4]] == tagged * 2
    assert [result["held"]["config.json"] for result in found[::2]] == ["1", "1", "x", "{}"]
    assert [len(result["held"]) for result in found[1::2]] == [3, 3, 4, 4]
    server.requests.clear()
    new = SINGLE | {"config.json": b"new"}
    commits = publish(server, model=new, data=DATA | {SHARDS[1]: parquet(ROWS[3:])})
    model, data = client.each(*asked())
    assert ([model["commit"], data["commit"]], len(data["held"])) == (commits, 3)
    assert server.fetched() == ["config.json", SHARDS[1]]


def test_without_the_server_the_cache_does_and_says_so(server, client):
    first = client.each(*asked())
    commits = [result["commit"] for result in first]
    server.faults.listings = 503
    for unreachable, why in [*UNREACHABLE, ({}, "answers 503")]:
        results = client.each(*asked(), *asked(NAME, *commits), **unreachable)
        assert held(results) == HELD * 2
        said = results[0]["said"].splitlines()  # of the branches; a commit is not asked for
        for line, commit in zip(said, commits, strict=True):
            plain(line, why, f"{NAME} from the cache, commit {commit}")
        others = client.each(*asked(revision="v1"), **unreachable)  # not taken for another
        refused(others, "RunError", why, f"not all of {NAME} at revision v1", "hf download")


def test_what_another_program_cached_will_do_but_a_part_is_not_taken_for_the_whole(server, client):
    """File by file, the client keeps no list of what a complete snapshot has."""
    fetch = "import huggingface_hub\ndef get(*name, **kind):\n"
    fetch += f"    huggingface_hub.hf_hub_download({NAME!r}, *name, **kind)\n"
    some = [f"get({SHARDS[0]!r}, repo_type='dataset')", "get('config.json')"]
    more = [f"get({SHARDS[1]!r}, repo_type='dataset')", *(f"get({name!r})" for name in SINGLE)]
    offline = partial(client.each, HF_HUB_OFFLINE="1")
    client.execute(fetch + "\n".join(some))
    refused(offline(*asked()), "RunError", "not all of", "main", "HF_HUB_OFFLINE")
    client.execute(fetch + "\n".join(more))
    assert held(offline(*asked())) == HELD


def test_a_cut_is_continued_where_it_broke(server, client):
    server.faults.cuts["model.safetensors"] = 2
    small = "from huggingface_hub import constants; constants.DOWNLOAD_CHUNK_SIZE = 50"
    assert held(client.each(*asked(), before=small)) == HELD
    ranges = [r.range for r in server.requests if "model.safetensors" in r.path and r.range]
    assert ranges == ["bytes=350-", "bytes=500-"]  # whole chunks of 350 and of 525 bytes


def test_after_a_failure_whole_files_are_kept_and_the_old_commit_can_be_had(server, client):
    client.each(*asked())
    later = SINGLE | {"config.json": b"{later}", "model.safetensors": b"later" * 99}
    publish(server, model=later, data={SHARDS[0]: parquet(ROWS[1:]), SHARDS[1]: parquet(ROWS)})
    server.faults.cuts |= {"model.safetensors": 99, SHARDS[1]: 99}
    refused(client.each(*asked()), "RunError", "broke", "run this again")
    assert held(client.each(*asked(), HF_HUB_OFFLINE="1")) == HELD
    server.faults.cuts.clear()
    server.requests.clear()
    assert len(client.each(*asked())[1]["held"]) == 7
    assert server.fetched() == ["model.safetensors", SHARDS[1]]


def test_a_killed_download_is_completed(server, client):
    server.faults.held.add("model.safetensors")
    begun = Child(calls, (asked(), ""), client.environment())
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
    assert held(client.each(*asked())) == HELD
    assert server.fetched() == ["model.safetensors", *SHARDS]


ABSENT = [  # which, and what is said of it; {} is "model", then "data set"
    ({"name": "org/none"}, "no {} org/none, or a private one / check the name / hf auth login"),
    ({"revision": "v9"}, "org/tiny has no revision 'v9' / branch / tag / commit"),
    ({"name": "org/bare"}, "org/bare / safetensors"),
    ({"name": "org/gated"}, "org/gated is gated / ask for access / hf auth login / HF_TOKEN"),
    ({"name": "org/private"}, "no {} org/private, or a private one / hf auth login / HF_TOKEN"),
    ({"name": "org/forbidden"}, "access to org/forbidden (403) / hf auth login / HF_TOKEN"),
]


def test_what_there_is_not_or_may_not_be_read_is_said_in_a_run_and_before_it(server, client):
    publish(server, "org/bare", model=COMMON, data={"a.safetensors": b""})
    for fault in ("gated", "private", "forbidden"):
        publish(server, f"org/{fault}")
        getattr(server.faults, fault).update({f"org/{fault}", f"datasets/org/{fault}"})
    calls = [asked(**which, how=how) for which, _ in ABSENT for how in (RUN, PLAN)]
    results = iter(client.each(*chain(*calls), HF_TOKEN="hf_x"))
    for _, words in ABSENT:
        for error, what in product(("message", "missing"), ("model", "data set")):
            found = next(results)
            assert found.get("error", "RequestError") == "RequestError"
            assert "hf_x" not in plain(found[error], *words.format(what).split(" / "))
            assert ("hf download" in found[error]) == (error == "missing")
    assert not server.fetched()
    granted = [
        asked(f"org/{name}", how=how) for how in (RUN, PLAN) for name in ("gated", "private")
    ]
    results = client.each(*chain(*granted, asked("org/none")), HF_TOKEN=TOKEN)
    assert held(results[:4]) == HELD * 2
    assert [result["missing"] for result in results[4:8]] == [None] * 4
    one_line(results[8], "RequestError", "no model org/none")  # it answers 404, and not 401
    for message in refused(client.each(*asked(), HF_TOKEN="hf_sécret"), "RequestError", "stray"):
        assert "cret" not in message


def test_malformed_names_and_revisions_are_not_sent(server, client):
    names = ["", "a/b/c", "org/tiny@main", "../tiny", "org/ti ny", "./tiny"]
    cases = [(odd, asked(odd, revision=commit)) for odd in names for commit in ("main", "f" * 40)]
    cases += [(odd, asked(revision=odd)) for odd in ("../../x", "a b", "/x")]
    cases.append(("''", [("download", (NAME, ""))]))
    results = iter(client.each(*chain(*(calls for _, calls in cases))))
    for odd, given in cases:
        word = "organisation/name" if odd in names else "branch"
        refused([next(results) for _ in given], "RequestError", odd, word)
    assert not server.requests


def test_shards_that_are_not_there_or_lie_outside(server, client):
    publish(server, "org/torn", model=sharded(*WEIGHTS, present=WEIGHTS[:1]), data={SHARDS[0]: b""})
    model, data = client.each(*asked("org/torn"))
    one_line(model, "RequestError", "org/torn", repr(WEIGHTS[1]), "not there", "choose another")
    one_line(data, "RequestError", "org/torn has 1 of 2 files", "choose another")
    outside = ["../../x", "/etc/x", "a/../../x", "..\\x", "C:x", "./x", "a//x", "*"]
    broken = [b"{", b"\xff", b"[]", b'{"weight_map": 1}', b'{"weight_map": {"a": [1]}}']
    for number, name in enumerate(outside):
        present = (WEIGHTS[0],) if name.startswith("/") else (WEIGHTS[0], name)
        server.publish(f"org/bad{number}", "main", sharded(WEIGHTS[0], name, present=present))
    for number, text in enumerate(broken, len(outside)):
        server.publish(f"org/bad{number}", "main", COMMON | {"model.safetensors.index.json": text})
    words = [(repr(name), "no file beside it") for name in outside]
    words += [("does not say in which file", "choose another")] * len(broken)
    results = client.each(*(("download", (f"org/bad{number}", None)) for number in range(13)))
    for said, result in zip(words, results, strict=True):
        one_line(result, "RequestError", *said)
    assert server.fetched() == ["model.safetensors.index.json"]


SECRET = "http://user:secret@127.0.0.1:9/hub"
FULL = """
import errno, huggingface_hub.file_download as module
def http_get(*_, **__): raise OSError(errno.ENOSPC, "No space left on device")
module.http_get = http_get
"""
ROOM = "import shutil, types; shutil.disk_usage = lambda _: types.SimpleNamespace(free=600)"
LAST = ("model.safetensors", SHARDS[1])
FAILURES = [  # the server's faults, the client's environment and what ran before, words
    ({}, {"HF_ENDPOINT": SECRET}, "cannot connect to 127.0.0.1:9, / not all of org/tiny / cached"),
    ({"silent": True}, {"HF_HUB_DOWNLOAD_TIMEOUT": "1"}, "not answer in time / cached"),
    ({"listings": 500}, {}, "answers 500 / cached / hf download org/tiny --revision main"),
    ({"listings": 418}, {}, "answers 418 / org/tiny / HF_ENDPOINT"),
    ({"files": dict.fromkeys(LAST, 503)}, {}, "answers 503 / run this again"),
    ({"portal": True}, {}, "not answer as a hub does / HF_ENDPOINT / proxy"),
    ({"circle": True}, {}, "sends from one address to another / HF_ENDPOINT"),
    ({}, {"HF_ENDPOINT": "nowhere"}, "HF_ENDPOINT"),  # alone a wrong request
    ({"shortened": {*LAST}}, {}, "did not arrive whole / run this again"),
    ({}, {"before": FULL}, "no room left / HF_HOME"),
    ({}, {"before": ROOM}, "0.0 MB / free / HF_HOME"),
]


@pytest.mark.parametrize(("faults", "more", "words"), FAILURES)
def test_a_network_or_disk_that_fails_is_one_line(server, client, faults, more, words):
    for name, fault in faults.items():
        setattr(server.faults, name, fault)
    error = "RequestError" if "nowhere" in more.values() else "RunError"
    for message in refused(client.each(*asked(), **more), error, *words.split(" / ")):
        assert "secret" not in message
    if "files" in faults:  # after retries
        assert sum(LAST[0] in request.path for request in server.requests) > 5
    if ROOM in more.values():  # found before downloading; what is there needs none
        assert not server.fetched()
        client.each(*asked())
        publish(server, model=SINGLE | {"config.json": b"{3}"})  # 3 bytes more
        assert all("held" in result for result in client.each(*asked(), **more))


def test_a_cache_that_cannot_be_written_is_one_line_and_a_complete_one_may_be_read_only(client):
    before = """
from pathlib import Path
def refuse(*_, **__): raise PermissionError(13, "Permission denied")
Path.write_text = Path.mkdir = refuse
"""
    client.each(*asked())
    notes = list(client.home.rglob("refs/main"))
    for note in notes:
        note.unlink()
    folders = [client.home, *(path for path in client.home.rglob("*") if path.is_dir())]
    for folder in folders:
        folder.chmod(0o555)
    try:
        assert held(client.each(*asked(), before=before)) == HELD
    finally:
        for folder in folders:
            folder.chmod(0o755)
    assert [note.exists() for note in notes] == [False] * 2
    client.home.rename(client.home.with_name("old"))
    client.home.write_text("a file, not a folder")
    refused(client.each(*asked()), "RunError", "cannot write", "HF_HOME")


FETCH = [f"hf download {NAME} --revision main"]
FETCH.append(f"{FETCH[0]} --repo-type dataset --include 'sst2/validation-*.parquet'")


def missing(client, *given, **more) -> list:
    """Why the model and the data set cannot be had, if they cannot."""
    return [found["missing"] for found in client.each(*asked(*given, how=PLAN), **more)]


def test_what_the_server_has_or_what_is_cached_is_not_missing(server, client):
    assert missing(client) == [None, None]
    assert not server.fetched()
    client.each(*asked())
    server.requests.clear()
    assert missing(client) == missing(client, HF_HUB_OFFLINE="1") == [None] * 2
    assert not server.requests  # what is cached is not asked for


def test_what_cannot_be_asked_for_is_said_with_what_fetches_it(server, client):
    for unreachable, why in UNREACHABLE:
        for message, fetch in zip(missing(client, **unreachable), FETCH, strict=True):
            plain(message, f"{NAME} is not cached", why, fetch)
    for fetch in FETCH:  # as it stands, then no network
        run = f"import sys; sys.argv[:] = {shlex.split(fetch)!r}"
        run += "\ntry:\n    __import__('huggingface_hub.cli.hf', fromlist=['main']).main()"
        client.execute(run + "\nexcept SystemExit as ended: assert not ended.code")
    model, data = client.each(*asked(), HF_HUB_OFFLINE="1")
    assert (len(model["held"]) > len(SINGLE), data["held"]) == (True, ROWS)
    assert not {*MORE} & {*server.fetched()} - {"README.md"}
    server.faults.listings = 503
    for message in missing(client, "org/other"):
        plain(message, "org/other is not cached", "answers 503", "hf download org/other")
