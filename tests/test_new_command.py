"""`python -m analysis new`: a study that runs as it is, or one line and nothing left behind."""

import json
import shutil

import families
import pytest
import yaml
from commandline import one_line, request
from mini import analysis
from rehearsals import FIVE

from analysis import study, tasks
from analysis.commands.new import new
from analysis.replicas.replica import shapes
from analysis.study.model_fits import is_tuned
from studies import STUDIES

BERT, GPT2 = "google-bert/bert-base-uncased", "openai-community/gpt2"


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def saved(here):
    """A folder with a tiny GPT-2, whose name is no name of a model in a study."""
    return shutil.copytree(families.folder("openai-community/gpt2-xl"), here / "my model!")


def moved(saved, *parts, **config):
    """A copy of the saved model in that folder, its config changed."""
    folder = shutil.copytree(saved, saved.parent.joinpath(*parts))
    old = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(old | config))
    return str(folder)


def made(*models):
    """The models of a new study, as they are loaded; nothing is left of it."""
    paths = new("made", models)
    loaded = study.load("made").models
    for path in paths:
        path.unlink()
    return loaded


def files(folder):
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())


def refused(here, says, name, *models):
    """Fails unless the command refuses in one line with these words, and writes nothing."""
    before = files(here)
    asked = [option for model in models for option in ("--model", model)]
    done = request("new", *asked, "--", name, folder=here)
    assert done.returncode == 2, (name, models)
    for part in says:
        assert part in one_line(done.stderr)
    assert files(here) == before


def test_a_study_of_a_built_in_a_saved_and_a_published_model_is_written_and_not_again(here, saved):
    done = analysis(here, "new", "mine", "--model", "tiny-bert", "--model", str(saved), "-m", BERT)
    assert done.returncode == 0, done.stderr
    wrote = "wrote studies/mine.yml\nwrote _quarto-mine.yml\nwrote _environment-mine\n"
    assert done.stdout == wrote + "see what it takes: python -m analysis plan --study mine\n"
    loaded = study.load("mine")
    tiny, local, hub = loaded.models
    assert (tiny.name, tiny.source, tiny.family) == ("tiny-bert", "builtin", "encoder-only")
    assert (local.name, local.source, local.family) == ("my-model", "local", "decoder-only")
    assert (hub.name, hub.source, hub.family) == ("bert-base-uncased", "hub", "encoder-only")
    assert (local.path, local.tasks) == (str(saved), ("wikitext2", "lambada"))
    assert local.fine_tune is None
    assert (hub.id, hub.tasks, hub.fine_tune) == (BERT, ("mrpc", "sst2"), ("mrpc", "sst2"))
    assert loaded.methods[0] == "magnitude"
    assert loaded.sparsities == (0.10, 0.50, 0.90, 0.95, 0.99)
    profile = yaml.safe_load((here / "_quarto-mine.yml").read_text(encoding="utf-8"))
    assert profile == {"project": {"output-dir": "_output/mine"}}
    assert (here / "_environment-mine").read_text() == f"{study.VARIABLE}=mine\n"
    for part in ("plan --study mine", "--list-methods", "--list-tasks", "# data:", "fraction"):
        assert part in loaded.text
    assert max(len(line) for line in loaded.text.splitlines()) <= 100
    assert "the others" not in loaded.text  # BERT is tuned for both of its tasks
    refused(here, ["studies/mine.yml is there already"], "mine", "tiny-bert")


def test_every_published_model_is_put_to_what_the_homework_puts_it_to(here):
    homework = {
        model.id: (model.family, set(model.tasks))
        for name in FIVE
        for model in study.load(name, folder=STUDIES).models
        if (model.id, name) != (GPT2, "glue")  # tuned there, zero-shot where nobody says so
    }
    assert homework.keys() <= set(shapes())
    for wanted in shapes():
        (model,) = made(wanted)
        assert model.id == wanted
        assert homework.get(wanted) in (None, (model.family, set(model.tasks))), wanted
        for task in model.tasks:
            assert is_tuned(model, task) == tasks.task(task).is_classification, (wanted, task)


def test_models_of_one_name_are_told_apart(here, saved):
    last = moved(saved, "last", "checkpoint-2")
    runs = [moved(saved, run, "checkpoint") for run in ("a", "b", "c")]
    models = made(*runs, last, moved(saved, "d", "tiny-bert"), "tiny-bert")
    assert [model.path for model in models[:4]] == [*runs, last]
    assert [(model.name, model.source) for model in models] == [
        *(("checkpoint", "local"), ("checkpoint-3", "local"), ("checkpoint-4", "local")),
        *(("checkpoint-2", "local"), ("tiny-bert-2", "local"), ("tiny-bert", "builtin")),
    ]


def test_names_that_yaml_would_read_as_something_else(here, saved):
    for name in ("2024", "on", "null", "1e5", "0x1F", "2024-01-01", "1.0", "no"):
        assert [model.name for model in made(moved(saved, "own", name))] == [name]
    odd = moved(saved, 'a: "b" #c')
    assert made(odd)[0].path == odd


def test_a_model_goes_by_what_its_config_says(here, saved):
    for kind in ("gpt2", "gpt_neo", "llama", "opt", "gpt_neox", "qwen2", "bloom"):
        labelled = {"architectures": ["AnyForSequenceClassification"], "model_type": kind}
        (model,) = made(moved(saved, "labels", kind, **labelled))
        assert model.family == "decoder-only", kind
        assert model.tasks == model.fine_tune == ("sst2", "mrpc"), kind
    odd = {"architectures": ["SomethingForMaskedLM"], "model_type": "something"}
    assert made(moved(saved, "odd", **odd))[0].family == "encoder-only"


def test_a_name_that_is_none_or_taken(here):
    for name in ("", "a b", "../x", ".hidden", "a/b", "results", "x\n", "ä"):
        refused(here, ["no name of a study"], name, "tiny-bert")
    refused(here, ["name"], "x" * 81, "tiny-bert")  # found by loading what was written
    for taken in ("studies/mine.yml", "_quarto-mine.yml", "_environment-mine"):
        (here / taken).parent.mkdir(exist_ok=True)
        (here / taken).write_text("mine", encoding="utf-8")
        refused(here, [taken, "there already"], "mine", "tiny-bert")
        assert (here / taken).read_text(encoding="utf-8") == "mine"
        (here / taken).unlink()


def test_models_that_make_no_study(here):
    (here / "broken").mkdir()
    refused(here, ["config.json"], "mine", "broken")
    (here / "broken" / "config.json").write_text("[]", encoding="utf-8")
    refused(here, ["config.json"], "mine", "broken")
    refused(here, ["--model"], "mine")
    refused(here, ["two models", "the same", "'tiny-bert'"], "mine", "tiny-bert", "tiny-bert")
    refused(here, ["two models", "'bert-base-uncased'"], "mine", BERT, "tiny-bert", BERT)
    refused(here, ["no such model"], "mine", "no such model")


def test_a_project_that_cannot_be_written_is_said_and_left_as_it_was(public_folder, unprivileged):
    (public_folder / "studies").mkdir(mode=0o777)
    (public_folder / "studies").chmod(0o777)  # the study's file can be written, its profile not
    public_folder.chmod(0o555)
    with unprivileged():
        done = request("new", "--model", "tiny-bert", "--", "mine", folder=public_folder)
    assert done.returncode == 1
    assert f"cannot write the study's files to {public_folder}" in one_line(done.stderr)
    assert files(public_folder) == []
