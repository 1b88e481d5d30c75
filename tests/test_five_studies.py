"""The five study files of the homework: the models, tasks and protocol of each, and its profile."""

import re
from pathlib import Path

import pytest
import yaml
from rehearsals import FIVE, ROOT, text

import studies
from analysis import study, tasks
from analysis.study.model_fits import is_tuned

HOMEWORK = yaml.safe_load((ROOT / "tests" / "five_studies.yml").read_text(encoding="utf-8"))
MOST = {"lambada": 5153, "xsum": 11334, "cnn-dailymail": 11490, "sst2": 872, "mrpc": 408}
WMT = 3003


def load(name):
    return study.load(name, folder=studies.STUDIES)


def described(models):
    """Of each model by its id its family, its tasks, whether it is fine-tuned for all of them."""
    found = {}
    for model in models:
        (tuned,) = {is_tuned(model, task) for task in model.tasks}
        found[model.id] = [model.family, list(model.tasks), tuned]
    return found


@pytest.mark.parametrize("name", FIVE)
def test_a_study_has_the_models_benchmarks_and_levels_of_the_homework(name):
    loaded = load(name)
    assert described(loaded.models) == HOMEWORK["models"][name]
    assert loaded.sparsities == (0.10, 0.50, 0.90, 0.95, 0.99)
    assert loaded.methods[0] == "magnitude"
    assert {"magnitude", "magnitude-all"} <= set(loaded.methods)
    for task, count in loaded.examples.items():  # no more than the data sets have
        assert count <= MOST.get(task, WMT)
    for model in loaded.models:
        assert (model.source, model.remote_code) == ("hub", False)
        tuning = model.fine_tuning or loaded.fine_tuning
        assert 1e-6 <= tuning.learning_rate <= 2e-4  # such models bear no more
        assert (tuning.epochs, tuning.examples) == (3, "all")


def test_a_model_of_two_studies_is_the_same_commit_in_both():
    pinned = {}
    for name in FIVE:
        for model in load(name).models:
            assert pinned.setdefault(model.id, model.revision) == model.revision
            assert model.revision == "main" or re.fullmatch(r"[0-9a-f]{40}", model.revision)
    assert sum(revision != "main" for revision in pinned.values()) >= len(pinned) - 4


def test_only_the_glue_study_trains_at_each_level_with_the_masks_kept():
    assert [name for name in FIVE if load(name).recovery is not None] == ["glue"]
    glue = load("glue")
    assert glue.protocols == ("one-shot", "fine-tuned")
    assert glue.recovery.tasks == ("sst2", "mrpc")
    assert glue.recovery.sparsities == glue.sparsities
    assert (glue.recovery.training.epochs, glue.recovery.training.examples) == (3, "all")
    assert glue.recovery.unmasked_at in glue.sparsities


def test_published_scores_are_the_ones_that_were_read():
    for model, scores in HOMEWORK["published"].items():
        for task, metrics in scores.items():
            found = tasks.task(task).published[model]
            assert {metric: found[metric].value for metric in metrics} == metrics, (model, task)
            assert all(found[metric].source for metric in metrics)
    assert "google/t5-v1_1-xl" not in tasks.task("sst2-text").published


def test_an_optional_model_is_off_and_turned_on_by_what_stands_there(tmp_path):
    """Code of a repository's own needs a pinned commit: that stands in the error."""
    for name, model in HOMEWORK["optional"].items():
        off = f"  - name: {name}\n    enabled: false"
        assert text("medium").count(off) == 1
        path = studies.to_file(tmp_path, text("medium").replace(off, off.replace("false", "true")))
        if name == "pangu-2.6b":
            studies.refused_saying(path, ["remote_code", "40 digits", "revision"])
            before = Path(path).read_text(encoding="utf-8")
            pinned = f"revision: {'1a' * 20}  # pinned"
            assert before.count("revision: main      # pin it") == 1
            studies.to_file(tmp_path, before.replace("revision: main      # pin it", pinned))
        loaded = study.load(path)
        assert described(loaded.models) == HOMEWORK["models"]["medium"] | model
        assert loaded.models[-1].remote_code == (name == "pangu-2.6b")


def test_every_profile_and_environment_belongs_to_a_study_and_names_it():
    known = {path.stem for path in studies.STUDIES.glob("*.yml")}
    texts = {p.name: p.read_text(encoding="utf-8") for p in ROOT.glob("_*-*") if p.is_file()}
    profiles = {n[8:-4]: yaml.safe_load(text) for n, text in texts.items() if n[:8] == "_quarto-"}
    chosen = {n[13:]: text.strip() for n, text in texts.items() if n[:13] == "_environment-"}
    assert set(FIVE) <= profiles.keys() == chosen.keys() <= known
    assert chosen == {name: f"{study.VARIABLE}={name}" for name in chosen}
    for name, profile in profiles.items():
        assert profile["project"]["output-dir"] == f"_output/{name}"
