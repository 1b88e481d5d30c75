"""`python -m analysis new`: a study that runs as it is, or one line and nothing left behind."""

import json
import shutil

import families
import pytest
import yaml
from mini import analysis, one_line
from rehearsals import FIVE

from analysis import study, tasks
from analysis.commands import new as command
from analysis.commands.new import new
from analysis.errors import RequestError
from analysis.model_grid import is_tuned
from analysis.models.replicas import shapes

BERT, GPT2 = "google-bert/bert-base-uncased", "openai-community/gpt2"


@pytest.fixture
def here(tmp_path, monkeypatch):
    """An empty project."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def saved(here):
    """A folder with a tiny GPT-2, whose name is no name of a model in a study."""
    return shutil.copytree(families.folder("openai-community/gpt2-xl"), here / "my model!")


def files(folder):
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())


def refused(says, name, models):
    with pytest.raises(RequestError) as caught:
        new(name, models)
    message = str(caught.value)
    assert "\n" not in message
    for part in says:
        assert part in message


# ---------------------------------------------------------------- what is written


def test_a_study_of_a_built_in_a_saved_and_a_published_model(here, saved):
    paths = new("mine", ["tiny-bert", str(saved), BERT])
    assert [path.as_posix() for path in paths] == [
        "studies/mine.yml",
        "_quarto-mine.yml",
        "_environment-mine",
    ]
    assert all(path.is_file() for path in paths)
    loaded = study.load("mine")
    builtin, local, hub = loaded.models
    assert (builtin.name, builtin.source, builtin.family) == (
        "tiny-bert",
        "builtin",
        "encoder-only",
    )
    assert (local.name, local.source, local.family) == ("my-model", "local", "decoder-only")
    assert local.path == str(saved)
    assert (hub.name, hub.source, hub.id) == ("bert-base-uncased", "hub", BERT)
    assert hub.tasks == hub.fine_tune == ("mrpc", "sst2")
    assert local.tasks == ("wikitext2", "lambada")
    assert loaded.methods[0] == "magnitude"
    assert loaded.sparsities == (0.10, 0.50, 0.90, 0.95, 0.99)


def test_profile_and_environment_choose_the_study(here):
    new("mine", ["tiny-bert"])
    profile = yaml.safe_load((here / "_quarto-mine.yml").read_text(encoding="utf-8"))
    assert profile == {"project": {"output-dir": "_output/mine"}}
    assert (here / "_environment-mine").read_text() == f"{study.VARIABLE}=mine\n"


def test_the_file_explains_itself(here):
    new("mine", ["tiny-gpt2"])
    text = (here / "studies" / "mine.yml").read_text(encoding="utf-8")
    for part in ("plan --study mine", "--list-methods", "--list-tasks", "# data:", "fraction"):
        assert part in text
    assert max(len(line) for line in text.splitlines()) <= 100


@pytest.mark.parametrize("model", shapes())
def test_every_published_model_of_the_studies_makes_a_study(here, model):
    new("mine", [model])
    (made,) = study.load("mine").models
    assert made.id == model
    for task in made.tasks:
        described = tasks.task(task)
        assert is_tuned(made, task) == described.is_classification


def test_models_of_the_homework_are_put_to_what_the_homework_puts_them_to(here):
    from studies import STUDIES

    for name in FIVE:
        for wanted in study.load(name, folder=STUDIES).models:
            made = f"{name}-{wanted.name}"
            if (wanted.id, name) == (GPT2, "glue"):
                continue  # fine-tuned there, zero-shot where nobody says so
            new(made, [wanted.id])
            (found,) = study.load(made).models
            assert found.family == wanted.family
            assert set(found.tasks) == set(wanted.tasks), wanted.id


def test_a_folder_with_quotes_and_colons_in_its_name(here, saved):
    odd = saved.rename(here / 'a: "b" #c')
    new("odd", [str(odd)])
    assert study.load("odd").models[0].path == str(odd)


def moved(saved, *parts, **config):
    """A copy of the saved model in that folder, its config changed."""
    folder = shutil.copytree(saved, saved.parent.joinpath(*parts))
    old = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(old | config))
    return str(folder)


def test_models_of_one_name_are_told_apart(here, saved):
    last = moved(saved, "last", "checkpoint-2")
    runs = [moved(saved, run, "checkpoint") for run in ("a", "b", "c")]
    new("mine", [*runs, last, moved(saved, "d", "tiny-bert"), "tiny-bert"])
    loaded = study.load("mine").models
    assert [(m.name, m.path) for m in loaded[:4]] == [
        ("checkpoint", runs[0]),
        ("checkpoint-3", runs[1]),
        ("checkpoint-4", runs[2]),
        ("checkpoint-2", last),
    ]
    assert [(m.name, m.source) for m in loaded[4:]] == [
        ("tiny-bert-2", "local"),
        ("tiny-bert", "builtin"),
    ]


@pytest.mark.parametrize("name", ["2024", "on", "null", "1e5", "0x1F", "2024-01-01", "1.0", "no"])
def test_names_that_yaml_would_read_as_something_else(here, saved, name):
    new("odd", [moved(saved, "own", name)])
    assert study.load("odd").models[0].name == name


@pytest.mark.parametrize("kind", ["gpt2", "gpt_neo", "llama", "opt", "gpt_neox", "qwen2", "bloom"])
def test_decoders_with_a_head_for_labels_are_decoders(here, saved, kind):
    labelled = {"architectures": ["AnyForSequenceClassification"], "model_type": kind}
    new("mine", [moved(saved, "labels", **labelled)])
    (made,) = study.load("mine").models
    assert made.family == "decoder-only"
    assert made.tasks == made.fine_tune == ("sst2", "mrpc")


def test_that_others_are_answered_as_it_comes_is_said_where_there_are_others(here):
    new("mine", [BERT])
    assert "the others" not in (here / "studies" / "mine.yml").read_text()


# ---------------------------------------------------------------- what is refused


@pytest.mark.parametrize("name", ["", "a b", "../x", ".hidden", "a/b", "results", "x\n", "ä"])
def test_a_name_that_is_none(here, name):
    refused(["no name of a study"], name, ["tiny-bert"])
    assert files(here) == []


@pytest.mark.parametrize("taken", ["studies/mine.yml", "_quarto-mine.yml", "_environment-mine"])
def test_nothing_is_overwritten(here, taken):
    (here / taken).parent.mkdir(exist_ok=True)
    (here / taken).write_text("mine", encoding="utf-8")
    refused([taken, "there already"], "mine", ["tiny-bert"])
    assert files(here) == [taken]
    assert (here / taken).read_text(encoding="utf-8") == "mine"


@pytest.mark.parametrize(
    ("models", "says"),
    [
        ([], ["--model"]),
        (["tiny-bert", "tiny-bert"], ["two models", "the same", "'tiny-bert'"]),
        ([BERT, f"other/{BERT.split('/')[1]}"], ["two models"]),
        (["empty"], ["config.json"]),
        (["broken"], ["config.json"]),
    ],
)
def test_models_that_make_no_study(here, monkeypatch, models, says):
    (here / "empty").mkdir()
    (here / "broken").mkdir()
    (here / "broken" / "config.json").write_text("[]", encoding="utf-8")
    before = files(here)
    real = command.described
    monkeypatch.setattr(  # a hub that knows every model
        command,
        "described",
        lambda model: real(BERT) if model.startswith("other/") else real(model),
    )
    refused(says, "mine", models)
    assert files(here) == before


def test_a_study_that_would_not_load_is_not_left_behind(here, monkeypatch):
    monkeypatch.setattr(command, "_TEMPLATE", command._TEMPLATE.replace("seeds: [0]", "seeds: []"))
    refused(["seeds"], "mine", ["tiny-bert"])
    assert files(here) == []


def test_a_config_of_an_unusual_model_goes_by_what_it_says(here, saved):
    config = json.loads((saved / "config.json").read_text())
    config |= {"architectures": ["SomethingForMaskedLM"], "model_type": "something"}
    (saved / "config.json").write_text(json.dumps(config))
    new("mine", [str(saved)])
    assert study.load("mine").models[0].family == "encoder-only"


# ---------------------------------------------------------------- through the command line


def test_the_command_writes_a_study_that_can_be_planned(here, saved):
    done = analysis(here, "new", "mine", "--model", "tiny-bert", "--model", str(saved), "-m", BERT)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("wrote ") == 3
    assert "python -m analysis plan --study mine" in done.stdout
    again = analysis(here, "new", "mine", "--model", "tiny-bert")
    assert again.returncode == 2
    assert "there already" in one_line(again.stderr)


def test_a_model_that_nobody_knows_is_one_line(here):
    done = analysis(here, "new", "mine", "--model", "no such model", HF_HUB_OFFLINE="1")
    assert done.returncode in (1, 2)
    assert "no such model" in one_line(done.stderr)
    assert files(here) == []
