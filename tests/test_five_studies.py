"""The five study files of the homework: the models, tasks and protocol of each, and its profile."""

import re

import pytest
import yaml
from rehearsals import FIVE, ROOT, text

import studies
from analysis import study, tasks
from analysis.model_grid import is_tuned

GLUE, LANGUAGE = ("sst2", "mrpc"), ("wikitext2", "lambada")
# study: model's hub id -> family, tasks, whether it is fine-tuned for them first
TABLE = {
    "classic": {
        "google-bert/bert-base-uncased": ("encoder-only", GLUE, True),
        "openai-community/gpt2": ("decoder-only", LANGUAGE, False),
        "google/pegasus-xsum": ("encoder-decoder", ("xsum",), False),
        "google/pegasus-cnn_dailymail": ("encoder-decoder", ("cnn-dailymail",), False),
    },
    "xl": {
        "google-bert/bert-large-uncased": ("encoder-only", GLUE, True),
        "openai-community/gpt2-xl": ("decoder-only", LANGUAGE, False),
        "google/t5-v1_1-xl": ("encoder-decoder", ("sst2-text", "mrpc-text"), True),
    },
    "medium": {
        "openai-community/gpt2-medium": ("decoder-only", LANGUAGE, False),
        "facebook/bart-large": ("encoder-decoder", GLUE, True),
        "facebook/bart-large-cnn": ("encoder-decoder", ("cnn-dailymail",), False),
        "google-bert/bert-large-uncased": ("encoder-only", GLUE, True),
    },
    "glue": {
        "FacebookAI/roberta-base": ("encoder-only", GLUE, True),
        "openai-community/gpt2": ("decoder-only", GLUE, True),
        "facebook/bart-base": ("encoder-decoder", GLUE, True),
    },
    "billion": {
        "microsoft/deberta-v2-xxlarge": ("encoder-only", GLUE, True),
        "openai-community/gpt2-xl": ("decoder-only", LANGUAGE, False),
        "facebook/m2m100_1.2B": ("encoder-decoder", ("wmt14-en-fr", "wmt14-en-de"), False),
    },
}
OPTIONAL = {  # of the study medium
    "IDEA-CCNL/Erlangshen-MegatronBert-1.3B": ("encoder-only", ("afqmc", "tnews"), True),
    "imone/pangu_2_6B": ("decoder-only", ("clue-text",), False),
}
# fractions, as metrics are; perplexities as they are
PUBLISHED = {
    ("openai-community/gpt2", "wikitext2", "perplexity"): 29.41,
    ("openai-community/gpt2", "lambada", "accuracy"): 0.4599,
    ("openai-community/gpt2-medium", "wikitext2", "perplexity"): 22.76,
    ("openai-community/gpt2-medium", "lambada", "accuracy"): 0.5548,
    ("openai-community/gpt2-xl", "wikitext2", "perplexity"): 18.34,
    ("openai-community/gpt2-xl", "lambada", "accuracy"): 0.6324,
    ("google/pegasus-xsum", "xsum", "rouge1"): 0.4721,
    ("google/pegasus-xsum", "xsum", "rouge2"): 0.2456,
    ("google/pegasus-xsum", "xsum", "rougeL"): 0.3925,
    ("google/pegasus-cnn_dailymail", "cnn-dailymail", "rouge1"): 0.4417,
    ("google/pegasus-cnn_dailymail", "cnn-dailymail", "rouge2"): 0.2147,
    ("google/pegasus-cnn_dailymail", "cnn-dailymail", "rougeLsum"): 0.4111,
    ("facebook/bart-large-cnn", "cnn-dailymail", "rouge1"): 0.4416,
    ("facebook/bart-large-cnn", "cnn-dailymail", "rouge2"): 0.2128,
    ("facebook/bart-large-cnn", "cnn-dailymail", "rougeLsum"): 0.4090,
    ("google-bert/bert-large-uncased", "sst2", "accuracy"): 0.932,
    ("google-bert/bert-large-uncased", "mrpc", "accuracy"): 0.880,
    ("FacebookAI/roberta-base", "sst2", "accuracy"): 0.948,
    ("FacebookAI/roberta-base", "mrpc", "accuracy"): 0.902,
    ("facebook/bart-large", "sst2", "accuracy"): 0.966,
    ("facebook/bart-large", "mrpc", "accuracy"): 0.904,
    ("microsoft/deberta-v2-xxlarge", "sst2", "accuracy"): 0.972,
    ("microsoft/deberta-v2-xxlarge", "mrpc", "accuracy"): 0.931,
    ("microsoft/deberta-v2-xxlarge", "mrpc", "f1"): 0.949,
}
every_study = pytest.mark.parametrize("name", FIVE)


def load(name):
    return study.load(name, folder=studies.STUDIES)


def described(model):
    tuned = {is_tuned(model, task) for task in model.tasks}
    assert len(tuned) == 1, model.name
    return model.family, model.tasks, tuned.pop()


def enabled(name):
    """The text of the study with the model of that name switched on."""
    changed, count = re.subn(
        rf"(  - name: {re.escape(name)}\n    enabled: )false\b", r"\g<1>true", text("medium")
    )
    assert count == 1
    return changed


# ---------------------------------------------------------------- models and tasks


@every_study
def test_a_study_has_the_models_and_benchmarks_of_the_homework(name):
    found = {model.id: described(model) for model in load(name).models}
    assert found == TABLE[name]


@every_study
def test_every_model_is_of_the_hub_and_runs_no_code_of_its_own(name):
    for model in load(name).models:
        assert model.source == "hub"
        assert not model.remote_code
        assert model.revision == "main" or re.fullmatch(r"[0-9a-f]{40}", model.revision)


def test_a_model_of_two_studies_is_the_same_commit_in_both():
    pinned = {}
    for name in FIVE:
        for model in load(name).models:
            assert pinned.setdefault(model.id, model.revision) == model.revision
    assert sum(revision != "main" for revision in pinned.values()) >= len(pinned) - 4


@every_study
def test_levels_and_methods_are_those_of_the_assignment(name):
    loaded = load(name)
    assert loaded.sparsities == (0.10, 0.50, 0.90, 0.95, 0.99)
    assert loaded.methods[0] == "magnitude"
    assert {"magnitude", "magnitude-all"} <= set(loaded.methods)


@every_study
def test_examples_are_no_more_than_the_data_sets_have(name):
    most = {"lambada": 5153, "xsum": 11334, "cnn-dailymail": 11490, "sst2": 872, "mrpc": 408}
    for task, count in load(name).examples.items():
        assert count <= most.get(task, 3003)  # WMT 14


def test_only_the_glue_study_trains_at_each_level_with_the_masks_kept():
    for name in FIVE:
        loaded = load(name)
        assert (loaded.recovery is not None) == (name == "glue")
    glue = load("glue")
    assert glue.protocols == ("one-shot", "fine-tuned")
    assert glue.recovery.tasks == GLUE
    assert glue.recovery.sparsities == glue.sparsities
    assert glue.recovery.training.epochs == 3
    assert glue.recovery.training.examples == "all"
    assert glue.recovery.unmasked_at in glue.sparsities


@every_study
def test_training_is_of_the_sizes_that_such_models_bear(name):
    loaded = load(name)
    for model in loaded.models:
        tuning = model.fine_tuning or loaded.fine_tuning
        assert 1e-6 <= tuning.learning_rate <= 2e-4
        assert tuning.epochs == 3
        assert tuning.examples == "all"


def test_published_scores_are_the_ones_that_were_read():
    for (model, task, metric), value in PUBLISHED.items():
        found = tasks.task(task).published[model][metric]
        assert found.value == value, (model, task, metric)
        assert found.source
    assert "google/t5-v1_1-xl" not in tasks.task("sst2-text").published


# ---------------------------------------------------------------- optional models


COMMIT = "1a" * 20
OFF = {"erlangshen-1.3b": (), "pangu-2.6b": ("    revision: main      # pin it", COMMIT)}


@pytest.mark.parametrize(("name", "model"), list(zip(OFF, OPTIONAL, strict=True)))
def test_an_optional_model_is_off_and_turned_on_by_what_stands_there(tmp_path, name, model):
    assert model not in {m.id for m in load("medium").models}
    asked = enabled(name)
    if OFF[name]:
        line, commit = OFF[name]
        assert asked.count(line) == 1
        asked = asked.replace(line, f"    revision: {commit}  # pinned")
    loaded = study.load(studies.to_file(tmp_path, asked, "medium.yml"))
    found = {m.id: described(m) for m in loaded.models}
    assert found == TABLE["medium"] | {model: OPTIONAL[model]}
    assert loaded.models[-1].remote_code == bool(OFF[name])


def test_code_of_its_own_needs_a_pinned_commit(tmp_path):
    """What is asked for stands in the error of the one line that turns the model on."""
    path = studies.to_file(tmp_path, enabled("pangu-2.6b"))
    studies.refused_saying(path, ["remote_code", "40 digits", "revision"])


# ---------------------------------------------------------------- profiles


@every_study
def test_profile_and_environment_name_the_study(name):
    profile = yaml.safe_load((ROOT / f"_quarto-{name}.yml").read_text(encoding="utf-8"))
    assert profile["project"]["output-dir"] == f"_output/{name}"
    environment = (ROOT / f"_environment-{name}").read_text(encoding="utf-8")
    assert environment.strip() == f"{study.VARIABLE}={name}"


def test_every_profile_belongs_to_a_study():
    for path in (*ROOT.glob("_quarto-*.yml"), *ROOT.glob("_environment-*")):
        name = path.name.removesuffix(".yml").split("-", 1)[1]
        assert (studies.STUDIES / f"{name}.yml").is_file(), path
