"""What a study may say of its models and their data, and the one line for what it may not."""

import functools

import pytest

import studies
from analysis import study
from studies import refused, refused_saying, tree

COMMIT = "0123456789abcdef0123456789abcdef01234567"
HUB = {"name": "bert", "source": "hub", "id": "org/bert", "tasks": ["sst2"]}


@pytest.fixture
def write(tmp_path):
    """Writes a tree to a study file and gives its path."""
    return functools.partial(studies.to_file, tmp_path)


@pytest.fixture
def saved(tmp_path):
    """A folder that looks like a saved model."""
    folder = tmp_path / "saved model"
    folder.mkdir()
    (folder / "config.json").write_text("{}", encoding="utf-8")
    return str(folder)


def of(*models, **changes):
    """A study of these models, encoder-only if nothing else is said."""
    return tree(models=[{"family": "encoder-only"} | m for m in models], examples={}) | changes


def files(**changes):
    """A study of one hub model whose task has files."""
    return of(HUB, data={"sst2": {"test": "test.jsonl", "train": "train.jsonl"} | changes})


# ---------------------------------------------------------------- what is right


def test_one_study_may_have_models_of_every_source(write, saved):
    models = [
        HUB | {"revision": COMMIT, "fine_tune": ["sst2"]},
        HUB | {"name": "gpt", "family": "decoder-only", "tasks": ["wikitext2", "lambada"]},
        {"name": "mine", "source": "local", "path": saved, "tasks": ["mrpc"]},
        {"name": "own", "source": "scratch", "tasks": ["sst2"], "shape": {"layers": 1}},
        {"name": "tiny-bert", "tasks": ["sentiment"]},
    ]
    loaded = study.load(write(of(*models, examples={"sentiment": 8, "lambada": 5})))
    assert [m.source for m in loaded.models] == ["hub", "hub", "local", "scratch", "builtin"]
    assert loaded.tasks == ("sst2", "wikitext2", "lambada", "mrpc", "sentiment")
    assert loaded.models[0].fine_tune == ("sst2",)
    assert loaded.models[0].revision == COMMIT
    assert loaded.models[1].revision == "main"
    assert loaded.models[3].shape.width == 128


def test_a_model_that_is_off_is_left_out_and_may_be_half_written(write):
    off = {"name": "later", "source": "hub", "tasks": ["tnews"], "enabled": False}
    loaded = study.load(write(of(HUB, off)))
    assert [model.name for model in loaded.models] == ["bert"]
    assert loaded.tasks == ("sst2",)


def test_files_take_the_place_of_a_tasks_own_data(write):
    changes = {"columns": {"sentence": "text"}, "format": "json", "title": "Mine"}
    loaded = study.load(write(files(**changes) | {"data_folder": "~/data"}))
    assert loaded.data["sst2"].columns == {"sentence": "text"}
    assert loaded.data["sst2"].licence == "not stated"
    assert loaded.data_folder == "~/data"


@pytest.mark.parametrize("parts", [([0.0, 0.5], [0.5, 1.0]), ([0.9, 1.0], [0.1, 0.3])])
def test_parts_of_one_file_may_meet_and_not_overlap(write, parts):
    test, train = parts
    loaded = study.load(
        write(files(test="all.csv", train="all.csv", test_part=test, train_part=train))
    )
    assert loaded.data["sst2"].test_part == tuple(test)


def test_a_files_task_may_go_without_training_if_nothing_is_learnt(write):
    assert study.load(write(files(train=None))).data["sst2"].train is None


def test_examples_need_not_be_counted_for_real_tasks(write):
    loaded = study.load(write(of(HUB | {"tasks": ["sst2", "mrpc"]}, examples={"mrpc": 10})))
    assert loaded.examples == {"mrpc": 10}


def test_a_models_own_fine_tuning_stands_beside_the_studys(write):
    own = HUB | {"fine_tune": ["sst2"], "fine_tuning": {"epochs": 1, "examples": 100}}
    loaded = study.load(write(of(own, fine_tuning={"learning_rate": 1e-5})))
    assert loaded.models[0].fine_tuning.examples == 100
    assert loaded.fine_tuning.examples == "all"
    assert loaded.fine_tuning.learning_rate == 1e-5


# ---------------------------------------------------------------- keys of a source


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"source": "builtin"}, ["models.0.id", "source: hub"]),
        ({"source": "scratch"}, ["models.0.id", "source: scratch"]),
        ({"path": "here"}, ["models.0.path", "source: local"]),
        ({"shape": {"layers": 2}}, ["models.0.shape", "source: scratch"]),
        ({"pretraining": {"epochs": 1}}, ["models.0.pretraining", "source: scratch"]),
        ({"source": "huggingface"}, ["models.0.source", "'huggingface'", "'hub'"]),
        ({"ids": "org/bert"}, ["models.0", "'ids'", "Did you mean 'id'?"]),
        ({"id": ""}, ["models.0.id"]),
        ({"id": ["org/bert"]}, ["models.0.id"]),
        ({"family": "encoder"}, ["models.0.family", "encoder-only"]),
        ({"name": "a b"}, ["models.0.name", "'a b'"]),
        ({"name": "../x"}, ["models.0.name", "'../x'"]),
        ({"enabled": "perhaps"}, ["models.0.enabled", "'perhaps'"]),
        ({"remote_code": True}, ["models.0.remote_code", "commit", "40 digits"]),
        ({"remote_code": True, "revision": "v1"}, ["models.0.remote_code", "40 digits"]),
        ({"remote_code": True, "revision": COMMIT[:39]}, ["models.0.remote_code"]),
        ({"remote_code": True, "revision": COMMIT.upper()}, ["models.0.remote_code"]),
        ({"remote_code": True, "revision": f"{COMMIT}\n"}, ["models.0.remote_code"]),
    ],
)
def test_keys_that_do_not_fit_the_source(write, changes, says):
    refused_saying(write(of(HUB | changes)), says)


@pytest.mark.parametrize(("source", "key"), [("hub", "id"), ("local", "path")])
def test_what_a_source_needs(write, source, key):
    model = {"name": "m", "source": source, "tasks": ["sst2"]}
    refused_saying(write(of(model)), [f"models.0.{key}", "is missing", f"source: {source}"])


def test_code_of_a_repository_runs_at_a_pinned_commit(write):
    asked = HUB | {"remote_code": True, "revision": COMMIT}
    assert study.load(write(of(asked))).models[0].remote_code


def test_a_folder_without_a_model(write, tmp_path, saved):
    for path in (str(tmp_path / "none"), str(tmp_path), f"{saved}/config.json", "\0"):
        model = {"name": "m", "source": "local", "path": path, "tasks": ["sst2"]}
        refused_saying(write(of(model)), ["models.0.path"])


@pytest.mark.parametrize(
    ("shape", "says"),
    [
        ({"width": 100, "heads": 3}, ["models.0.shape", "100", "3 heads"]),
        ({"layers": 0}, ["models.0.shape.layers"]),
        ({"layers": 1.5}, ["models.0.shape.layers"]),
        ({"depth": 2}, ["models.0.shape", "'depth'"]),
        ({"dropout": 1.0}, ["models.0.shape.dropout"]),
        ({"vocabulary": 10}, ["models.0.shape.vocabulary"]),
    ],
)
def test_shapes_that_are_none(write, shape, says):
    model = {"name": "own", "source": "scratch", "tasks": ["sst2"], "shape": shape}
    refused_saying(write(of(model)), says)


def test_texts_longer_than_a_scratch_model_takes(write):
    model = {"name": "own", "source": "scratch", "tasks": ["sst2"], "shape": {"positions": 16}}
    says = ["runtime.tokens", "17", "own takes 16"]
    refused_saying(write(of(model, runtime={"tokens": 17})), says)


def test_builtin_models_train_by_themselves(write):
    for key, value in (("fine_tune", ["sentiment"]), ("fine_tuning", {"epochs": 1})):
        path = write(tree(models=studies.model(**{key: value})))
        refused_saying(path, [f"models.0.{key}", "by themselves"])


def test_all_models_off(write):
    refused_saying(write(of(HUB | {"enabled": False})), ["models", "switched off", "enabled: true"])


def test_two_models_of_one_name(write):
    refused_saying(write(of(HUB, HUB | {"id": "org/other"})), ["models", "'bert'", "twice"])


# ---------------------------------------------------------------- models and tasks


@pytest.mark.parametrize(
    ("family", "task", "form"),
    [
        ("encoder-only", "wikitext2", "causal"),
        ("encoder-only", "lambada", "cloze"),
        ("encoder-only", "xsum", "text-to-text"),
        ("decoder-only", "xsum", "text-to-text"),
        ("decoder-only", "wikitext2-masked", "masked"),
        ("encoder-decoder", "wikitext2", "causal"),
        ("encoder-decoder", "lambada", "cloze"),
    ],
)
def test_a_task_that_the_family_cannot_answer(write, family, task, form):
    path = write(of(HUB | {"family": family, "tasks": [task]}))
    refused_saying(path, ["models.0.tasks", task, form, "bert", family])


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"tasks": ["sst-2"]}, ["models.0.tasks", "'sst-2'", "Did you mean 'sst2'?"]),
        ({"tasks": []}, ["models.0.tasks"]),
        ({"tasks": ["sst2", "sst2"]}, ["models.0.tasks", "'sst2'", "twice"]),
        ({"fine_tune": ["mrpc"]}, ["models.0.fine_tune", "'mrpc'", "sst2"]),
        ({"fine_tuning": {"epochs": 0}}, ["models.0.fine_tuning.epochs"]),
        ({"fine_tuning": {"examples": "most"}}, ["models.0.fine_tuning.examples"]),
        ({"fine_tuning": {"tokens": 0}}, ["models.0.fine_tuning.tokens"]),
        ({"fine_tuning": {"lr": 1}}, ["models.0.fine_tuning", "'lr'"]),
    ],
)
def test_tasks_and_trainings_that_do_not_fit(write, changes, says):
    refused_saying(write(of(HUB | changes)), says)


@pytest.mark.parametrize(
    ("family", "task"), [("decoder-only", "lambada"), ("encoder-only", "wikitext2-masked")]
)
def test_what_asks_the_checkpoint_as_it_is_cannot_be_tuned_for(write, family, task):
    model = HUB | {"family": family, "tasks": [task], "fine_tune": [task]}
    refused_saying(write(of(model)), ["models.0.fine_tune", task, "as it is"])


def test_recovery_is_of_what_was_fine_tuned(write):
    recovery = {"tasks": ["sst2"], "sparsities": [0.5]}
    path = write(of(HUB, recovery=recovery, protocols=["one-shot", "fine-tuned"]))
    refused_saying(path, ["recovery.tasks", "bert is not fine-tuned for sst2"])


# ---------------------------------------------------------------- data


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"test": None}, ["data.sst2.test"]),
        ({"tests": "x"}, ["data.sst2", "'tests'"]),
        ({"format": "xml"}, ["data.sst2.format", "'xml'", "'json'"]),
        ({"columns": {"text": "sentence"}}, ["data.sst2.columns", "'text'", "sentence"]),
        ({"columns": {"sentence": 3}}, ["data.sst2.columns.sentence"]),
        ({"test_part": [0.5, 0.5]}, ["data.sst2.test_part", "[0.5, 0.5]", "[0.8, 1.0]"]),
        ({"train_part": [1.0, 0.2]}, ["data.sst2.train_part", "[1.0, 0.2]"]),
        ({"test_part": [0.5, 1.5]}, ["data.sst2.test_part", "1.5"]),
        ({"test_part": [0.5]}, ["data.sst2.test_part"]),
        ({"test_part": 0.5}, ["data.sst2.test_part"]),
        ({"train": "test.jsonl"}, ["data.sst2", "one file", "train_part", "test_part"]),
        ({"train": "./test.jsonl"}, ["data.sst2", "one file"]),
        ({"train": "test.jsonl", "test_part": [0.0, 0.5]}, ["data.sst2", "one file"]),
        (
            {"train": "test.jsonl", "test_part": [0.0, 0.5], "train_part": [0.4, 1.0]},
            ["data.sst2", "overlap"],
        ),
        (
            {"train": "test.jsonl", "test_part": [0.0, 1.0], "train_part": [0.2, 0.3]},
            ["data.sst2", "overlap"],
        ),
    ],
)
def test_data_that_do_not_fit_the_task(write, changes, says):
    refused_saying(write(files(**changes)), says)


def test_data_of_no_task_and_examples_that_nobody_answers(write):
    refused_saying(write(files() | {"data": {"sst3": {"test": "x"}}}), ["data", "'sst3'"])
    says = ["examples", "'mrpc'", "remove it"]
    refused_saying(write(of(HUB, examples={"mrpc": 3})), says)


def test_a_task_without_a_data_set_of_its_own_needs_files(write):
    path = write(of(HUB | {"tasks": ["text-classification"]}))
    refused_saying(path, ["data", "'text-classification'", "train.jsonl"])


@pytest.mark.parametrize(
    "model",
    [
        HUB | {"fine_tune": ["sst2"]},
        {"name": "own", "source": "scratch", "tasks": ["sst2"]},
        {"name": "own", "source": "scratch", "tasks": ["sst2"], "shape": {"layers": 1}},
    ],
)
def test_a_file_for_training_where_something_is_learnt(write, model):
    path = write(of(model, data={"sst2": {"test": "test.jsonl"}}))
    refused_saying(path, ["data.sst2.train", "is missing", model["name"]])


@pytest.mark.parametrize(
    ("model", "examples"),
    [
        (HUB | {"tasks": ["sentiment"], "fine_tune": ["sentiment"]}, {"sentiment": 8}),
        ({"name": "own", "source": "scratch", "tasks": ["sentiment"]}, {"sentiment": 8}),
        (
            {"name": "own", "source": "scratch", "family": "decoder-only", "tasks": ["lambada"]},
            {},
        ),
    ],
)
def test_tasks_without_training_texts_teach_no_model_but_built_in_ones(write, model, examples):
    """The generated language is made for them alone, and LAMBADA has no training part."""
    task = model["tasks"][0]
    path = write(of(model, examples=examples))
    refused_saying(path, [f"data.{task}.train", "is missing", model["name"]])


def test_a_hub_model_answers_the_generated_language_as_it_is(write):
    model = HUB | {"family": "decoder-only", "tasks": ["language-modelling"]}
    says = ["examples", "'language-modelling'", "add it"]
    refused_saying(write(of(model)), says)
    assert study.load(write(of(model, examples={"language-modelling": 4}))).tasks


def test_no_message_is_long(write):
    """However hostile the value, the line stays one that can be read."""
    message = refused(write(of(HUB | {"revision": "x" * 100_000})))
    assert len(message) < 500
