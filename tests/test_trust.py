"""Code that came with a checkpoint runs where a study named its commit, and nowhere else."""

import json
import shutil
from functools import partial

import families
import pytest
from calibrations import refused
from transformers import AutoModel

from analysis.checkpoints.trust import NOTE, allow, trusted
from analysis.engine.objects import Objects
from analysis.errors import RequestError
from analysis.models.classes import class_of
from analysis.models.loading import load_model
from analysis.pruning.loaded import calibration_of
from analysis.steps.checkpoints.sources import _linked, take_folder
from analysis.training.course import Course
from analysis.training.tuning import tune

CODE = """
import pathlib
from transformers import GPT2Config, GPT2LMHeadModel
pathlib.Path({ran!r}).touch()
class OwnConfig(GPT2Config):
    model_type = "own-gpt2"
class OwnModel(GPT2LMHeadModel):
    config_class = OwnConfig
"""


@pytest.fixture
def hostile(tmp_path, monkeypatch):
    """A checkpoint with code of its own, which brings the note that would let it run: it would
    make a file `ran`. Nobody answers a question at the terminal."""
    monkeypatch.setattr("builtins.input", lambda _: pytest.fail("a question was asked"))
    modules = str(tmp_path / "modules")
    monkeypatch.setattr("transformers.dynamic_module_utils.HF_MODULES_CACHE", modules)
    folder = shutil.copytree(families.folder("openai-community/gpt2-xl"), tmp_path / "hostile")
    (folder / "own.py").write_text(CODE.format(ran=str(tmp_path / "ran")), encoding="utf-8")
    classes = {"AutoConfig": "own.OwnConfig", "AutoModelForCausalLM": "own.OwnModel"}
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    config |= {"model_type": "own-gpt2", "auto_map": classes}
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    (folder / NOTE).write_text('{"commit": "0"}', encoding="utf-8")
    return folder


def test_a_folder_cannot_allow_its_own_code(hostile, tmp_path):
    store = Objects(tmp_path / "cache" / "objects")
    stored = store.open(take_folder(store, files=[], path=str(hostile))["checkpoint"]["object"])
    assert not (stored / NOTE).exists()
    (texts := tmp_path / "texts.txt").write_text("one line\nanother line\n", encoding="utf-8")
    examples = [{"text": "one"}]
    course = Course(form="causal", examples=examples, learning_rate=1e-3, batch_size=1, seed=0)
    for folder in (stored, hostile):
        assert trusted(folder) == {"trust_remote_code": False}
        for use in (
            partial(load_model, folder, "causal", "cpu"),
            partial(calibration_of, folder, "decoder-only", str(texts), 0),
            partial(tune, folder, course, labels=None, out=tmp_path / "out"),
        ):
            assert "remote_code: true" in refused(RequestError, use)
    assert not (tmp_path / "ran").exists()


def test_a_class_that_a_config_names_is_a_model_or_none():
    for name in ("pipeline", "AutoTokenizer", "logging", "BertConfig", "no such", "__name__", 5):
        assert class_of(name) is AutoModel
    for name in ("GPT2LMHeadModel", "AutoModelForCausalLM"):
        assert class_of(name).__name__ == name


def test_code_that_a_study_allowed_runs(hostile, tmp_path):
    store, theirs = Objects(tmp_path / "cache" / "objects"), (hostile / NOTE).read_bytes()
    stored = store.open(_linked(store, hostile, "c" * 40)["checkpoint"]["object"])
    assert json.loads((stored / NOTE).read_text(encoding="utf-8")) == {"commit": "c" * 40}
    assert (hostile / NOTE).read_bytes() == theirs
    model, _ = load_model(stored, "causal", "cpu")
    assert (type(model).__name__, (tmp_path / "ran").exists()) == ("OwnModel", True)
    with pytest.raises(RequestError, match="code of its own"):
        calibration_of(stored, "decoder-only", "wikitext2", 0)


def test_a_note_that_is_a_link_counts_for_nothing_and_is_not_written_through(tmp_path):
    folder, theirs = tmp_path / "objects" / "ab" / ("ab" + "0" * 62), tmp_path / "theirs.json"
    folder.mkdir(parents=True)
    theirs.write_text("mine", encoding="utf-8")
    (folder / NOTE).symlink_to(theirs)
    assert trusted(folder) == {"trust_remote_code": False}
    allow(folder, "c" * 40)
    assert theirs.read_text(encoding="utf-8") == "mine"
    assert trusted(folder) == {"trust_remote_code": True}
    folder.with_name("ab" + "1" * 62).symlink_to(folder)
    assert trusted(folder.with_name("ab" + "1" * 62)) == {"trust_remote_code": False}
