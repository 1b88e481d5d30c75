"""Checkpoints from elsewhere: linked to, known by their content, and noticed if changed."""

import shutil

import families
import pytest
from clients import child, compute
from damage import flipped, hurt
from hub_server import environment, hub_server

import studies
from analysis import study
from analysis.checkpoints import digests
from analysis.checkpoints.checkpoint import open_checkpoint
from analysis.engine.memo import Memo
from analysis.experiments import checkpoints
from analysis.models.loading import load_model
from analysis.study import rehearsal

GPT2, BERT = "openai-community/gpt2-xl", "google-bert/bert-base-uncased"
WEIGHTS = "model.safetensors"
pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def saved(tmp_path):
    """A folder with a tiny GPT-2 of the test's own."""
    return shutil.copytree(families.folder(GPT2), tmp_path / "my model")


def chosen(**changes):
    """A study of one model, and the model."""
    own = {"name": "m", "family": "decoder-only", "tasks": ["wikitext2"]} | changes
    loaded = study.Study(**studies.tree(models=[own], examples={}), name="x")
    return loaded, loaded.models[0]


def call(path):
    return checkpoints.base(*chosen(source="local", path=str(path)), 0, {})


def take(memo, path):
    return memo.run(call(path)).record


def content(folder):
    return digests.content_sha256(open_checkpoint(folder))


def test_a_folder_is_linked_and_not_copied_and_its_record_says_what_it_holds(memo, saved):
    names = {path.name for path in saved.iterdir()}
    (saved / "runs").mkdir()
    (saved / "runs" / "log").write_text("much", encoding="utf-8")  # subfolders are left alone
    record = take(memo, saved)
    stored = memo.objects.open(record["checkpoint"]["object"])
    assert {path.name for path in stored.iterdir()} == names
    for path in stored.iterdir():
        assert (path.is_symlink(), path.resolve()) == (True, (saved / path.name).resolve())
    assert not (saved / WEIGHTS).is_symlink()
    opened, _ = load_model(saved, "causal", "cpu")
    said = {"source": "local", "identifier": "my model", "parameters": opened.num_parameters()}
    said |= {"weights_sha256": content(saved), "bytes": (saved / WEIGHTS).stat().st_size}
    said |= {"dtype": "float32", "train_seconds": 0}
    assert {key: record[key] for key in said} == said
    assert 0 < record["prunable_parameters"] < record["parameters"]


def test_key_and_digest_go_by_content_and_not_by_place(memo, saved, tmp_path):
    one, other = (take(memo, at) for at in (saved, shutil.copytree(saved, tmp_path / "copy")))
    for key in ("weights_sha256", "checkpoint"):
        assert one[key] == other[key]
    before = call(saved).key
    hurt(saved / WEIGHTS, lambda raw: flipped(raw, (len(raw) - 2) / len(raw), 0))
    assert call(saved).key != before
    assert take(memo, saved)["weights_sha256"] != one["weights_sha256"]


def test_a_folder_that_is_gone_is_not_remembered(memo, saved, tmp_path):
    asked = call(saved)
    record = memo.run(asked).record
    assert memo.lookup(asked)
    (saved / WEIGHTS).rename(tmp_path / "away")
    assert memo.lookup(asked) is None
    (tmp_path / "away").rename(saved / WEIGHTS)
    assert memo.run(asked).record == record


def test_a_tiny_replica_stands_in_for_a_model_of_the_hub(memo):
    loaded, _ = chosen(source="hub", id=BERT, family="encoder-only", tasks=["sst2"])
    tiny = rehearsal.rehearsed(loaded, "tiny")
    record = memo.run(checkpoints.base(tiny, tiny.models[0], 0, {})).record
    named = (record["source"], record["identifier"], record["revision"])
    assert named == ("replica", BERT, "tiny")
    model, _ = load_model(memo.objects.open(record["checkpoint"]["object"]), "masked", "cpu")
    own = record["parameters"]
    assert 0.9 * own < model.num_parameters() <= own < 2_000_000  # a head less


def test_true_and_tiny_replicas_and_the_model_itself_are_told_apart():
    loaded, _ = chosen(source="hub", id=GPT2)
    loaded = [loaded, *(rehearsal.rehearsed(loaded, kind) for kind in ("true", "tiny"))]
    assert len({checkpoints.base(own, own.models[0], 0, {}).key for own in loaded}) == 3


def from_hub(server, tmp_path):
    """How a model of the hub was had, and its record; in a child."""
    call = checkpoints.base(*chosen(source="hub", id="org/tiny"), 0, {})
    env = environment(server.url, tmp_path / "home")
    return child(compute, str(tmp_path / "cache"), call, env=env)[0]


def test_a_model_of_the_hub_is_downloaded_once_and_linked(tmp_path):
    with hub_server({"org/tiny": {"main": families.folder(GPT2)}}) as server:
        how, record = from_hub(server, tmp_path)
        asked = len(server.requests)
        again, same = from_hub(server, tmp_path)
        assert len(server.requests) == asked
        commit = server.commit("org/tiny")
    assert (how, again, record) == ("computed", "remembered", same)
    said = {"source": "hub", "identifier": "org/tiny", "revision": commit}
    said["weights_sha256"] = content(families.folder(GPT2))
    assert {key: record[key] for key in said} == said
    stored = Memo(tmp_path / "cache").objects.open(record["checkpoint"]["object"])
    assert (stored / WEIGHTS).is_symlink()
    assert (tmp_path / "home").resolve() in (stored / WEIGHTS).resolve().parents
