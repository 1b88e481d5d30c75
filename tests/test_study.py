"""A study file is right, or one line says which key is wrong, what is allowed and what is near."""

import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from analysis import pruning, study, tasks
from analysis.errors import AnalysisError, RequestError, RunError, unknown
from analysis.models.catalogue import BUILTIN

ROOT = Path(__file__).parents[1]
STUDIES = ROOT / "studies"


def tree(**changes):
    """The content of a small valid study, changed at the top level."""
    small = {
        "title": "A study",
        "models": [{"name": "tiny-bert", "family": "encoder-only", "tasks": ["sentiment"]}],
        "examples": {"sentiment": 8},
        "methods": ["magnitude"],
        "sparsities": [0.5],
    }
    return small | changes


def model(**changes):
    """One changed model, as a list of models."""
    return [{"name": "tiny-bert", "family": "encoder-only", "tasks": ["sentiment"]} | changes]


EVERYTHING = {
    "methods": ["magnitude", "magnitude-layer", "wanda", "structured", "nm-wanda", "gradual"],
    "sparsities": [0.5, 0.9],
    "patterns": ["2:4", "4:8"],
    "protocols": ["one-shot", "fine-tuned", "distilled"],
    "calibration": {"examples": 4, "tokens": 8},
    "recovery": {"tasks": ["sentiment"], "sparsities": [0.9], "unmasked_at": 0.5},
    "sensitivity": {"tasks": ["sentiment"], "by": "kind", "allocate": [0.5]},
}
LANGUAGE = {
    "models": [
        {"name": "tiny-gpt2", "family": "decoder-only", "tasks": ["language-modelling"]},
        {"name": "tiny-bert", "family": "encoder-only", "tasks": ["sentiment"]},
    ],
    "examples": {"sentiment": 8, "language-modelling": 8},
}


def everything(**changes):
    """A study with everything, its sections changed key by key; None takes a key away."""
    changed = tree(**EVERYTHING)
    for key, value in changes.items():
        both = isinstance(value, dict) and isinstance(changed.get(key), dict)
        changed[key] = changed[key] | value if both else value
        if both:
            changed[key] = {k: v for k, v in changed[key].items() if v is not None}
    return {key: value for key, value in changed.items() if value is not None}


def masked_only(**changes):
    """A study whose methods all take a scope of the study's own."""
    return tree(methods=["magnitude", "wanda", "nm-wanda"]) | changes


@pytest.fixture
def write(tmp_path):
    """Writes text or a tree to a study file and gives its path."""

    def to_file(content, name="mine.yml"):
        path = tmp_path / name
        if isinstance(content, bytes):
            path.write_bytes(content)
        else:
            text = content if isinstance(content, str) else yaml.safe_dump(content)
            path.write_text(text, encoding="utf-8")
        return str(path)

    return to_file


def refused(path: str, **options) -> str:
    """The one line with which the study is refused."""
    with pytest.raises(RequestError) as caught:
        study.load(path, **options)
    message = str(caught.value)
    assert len(message.splitlines()) == 1
    assert caught.value.exit_status == 2
    return message


# ---------------------------------------------------------------- what is right


def test_every_study_of_the_project_loads():
    files = sorted(STUDIES.glob("*.yml"))
    assert files
    for path in files:
        loaded = study.load(str(path))
        assert loaded.name == path.stem
        assert loaded.text == path.read_text(encoding="utf-8")


def test_tiny_has_the_levels_methods_and_families_of_the_assignment():
    tiny = study.load("tiny", folder=STUDIES)
    assert tiny.sparsities == (0.10, 0.50, 0.90, 0.95, 0.99)
    assert {"magnitude", "magnitude-all"} <= set(tiny.methods)
    assert {m.family for m in tiny.models} == {"encoder-only", "decoder-only", "encoder-decoder"}
    assert len(tiny.models) == 3


def test_a_name_and_a_path_load_the_same_study(write, tmp_path):
    path = write(tree())
    assert study.load(path) == study.load("mine", folder=tmp_path)


def test_defaults_fill_what_is_left_out(write):
    loaded = study.load(write(tree()))
    assert loaded.seeds == (0,)
    assert loaded.protocols == ("one-shot",)
    assert "dense" in loaded.formats
    assert loaded.compute.device == "auto"


def test_new_sections_are_off_unless_they_are_given(write):
    loaded = study.load(write(tree()))
    assert loaded.recovery is None
    assert loaded.sensitivity is None
    assert loaded.patterns == ("2:4",)
    assert loaded.include == loaded.exclude == ()
    assert loaded.calibration.examples == 128


def test_a_study_with_everything_loads(write):
    loaded = study.load(write(everything()))
    assert loaded.protocols == ("one-shot", "fine-tuned", "distilled")
    assert loaded.patterns == ("2:4", "4:8")
    assert loaded.calibration.tokens == 8
    assert loaded.recovery.method == "magnitude"
    assert loaded.recovery.unmasked_at == 0.5
    assert loaded.recovery.training.examples > 0
    assert loaded.sensitivity.by == "kind"
    assert loaded.sensitivity.allocate == (0.5,)


@pytest.mark.parametrize(
    "changes",
    [
        {"protocols": ["one-shot", "distilled"]},
        {"protocols": ["one-shot"]},  # gradual trains
        {"methods": ["magnitude", "magnitude-layer"]},  # fine-tuned trains
        {"recovery": {"unmasked_at": None}},
        {"recovery": {"method": "wanda"}},
        {"recovery": {"training": {"examples": 10, "epochs": 0.5}, "gradual": {"epochs": 3}}},
        {"recovery": {"gradual": {"learning_rate": 1, "batch_size": 1}}},
        {"sensitivity": {"allocate": []}},
        {"sensitivity": {"sparsities": [0.3]}},  # of the groups, not of the study
        {"methods": ["wanda", "magnitude", "magnitude-layer"]},
        {"patterns": ["1:2", "16:32"]},
        {"sparsities": [0.5, 0.9, 0.979], "sensitivity": {"allocate": [0.979]}},
        {"methods": ["magnitude", "magnitude-layer", "gradual"], "patterns": ["1:8"]},  # not used
    ],
)
def test_parts_of_everything_may_be_left_out_or_changed(write, changes):
    study.load(write(everything(**changes)))


def test_a_scope_of_the_studys_own_is_for_methods_that_have_masks(write):
    loaded = study.load(write(masked_only(include=["encoder"], exclude=["head", "layer 0"])))
    assert loaded.include == ("encoder",)
    assert loaded.exclude == ("head", "layer 0")


def test_tiny_has_a_method_of_every_kind_and_every_new_part():
    tiny = study.load("tiny", folder=STUDIES)
    kinds = {pruning.kind(method) for method in tiny.methods}
    assert kinds == {"weights", "calibrated", "structured", "trained"}
    assert any(map(pruning.takes_patterns, tiny.methods))
    assert set(tiny.protocols) == {"one-shot", "fine-tuned", "distilled"}
    assert tiny.recovery.unmasked_at in tiny.sparsities
    assert tiny.sensitivity.allocate
    for model in tiny.models:
        assert set(model.tasks) & set(tiny.recovery.tasks)
        assert set(model.tasks) & set(tiny.sensitivity.tasks)


def test_reading_a_study_and_planning_its_grid_imports_nothing_that_computes():
    program = (
        "import sys; from analysis import calls, pruning_calls, pipeline, study, variants\n"
        "tiny = study.load('tiny')\n"
        "for model in tiny.models:\n"
        "    record = dict(checkpoint={'object': 'x'}, weights_sha256='x', parameters=1,\n"
        "                  prunable_parameters=1, train_seconds=0.0)\n"
        "    dense = variants.base_variant(tiny, model, 0, record)\n"
        "    for task in model.tasks:\n"
        "        test = {'data': {'object': 'x'}}\n"
        "        asked = {pruning_calls.prune(tiny, dense, task, m).label for m in tiny.methods}\n"
        "        asked |= {calls.validation(tiny, task, test, 8).label}\n"
        "        for p in tiny.protocols:\n"
        "            asked.add(pruning_calls.recover(tiny, dense, task, p).label)\n"
        "        assert len(asked) == len(tiny.methods) + 1 + len(tiny.protocols)\n"
        "heavy = {'torch', 'transformers', 'datasets', 'evaluate', 'numba', 'sklearn'}\n"
        "print(sorted(heavy & set(sys.modules)))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, cwd=ROOT
    )
    assert done.stdout.strip() == "[]", done.stdout + done.stderr[-500:]


def test_a_loaded_study_cannot_be_changed(write):
    loaded = study.load(write(tree()))
    with pytest.raises(ValueError, match="frozen"):
        loaded.title = "another"


def test_the_study_is_chosen_by_one_variable(monkeypatch):
    monkeypatch.delenv(study.VARIABLE, raising=False)
    assert study.chosen() == "tiny"
    monkeypatch.setenv(study.VARIABLE, "")
    assert study.chosen() == "tiny"
    monkeypatch.setenv(study.VARIABLE, "some/where.yml")
    assert study.chosen() == "some/where.yml"


def test_the_catalogue_knows_only_tasks_that_exist():
    for known in BUILTIN.values():
        assert set(known.pretrained) <= set(known.tasks) <= set(tasks.names())


def test_text_of_a_study_is_kept_with_its_comments(write):
    text = "# why\n" + yaml.safe_dump(tree())
    assert study.load(write(text)).text == text


# ---------------------------------------------------------------- which key is wrong

WRONG = {
    "unknown key": (tree(sparsity=[0.5]), ["unknown key 'sparsity'", "Did you mean 'sparsities'?"]),
    "required key mistyped": (
        {("method" if k == "methods" else k): v for k, v in tree().items()},
        ["unknown key 'method'", "Did you mean 'methods'?"],
    ),
    "unknown key of runtime": (
        tree(runtime={"batchs": [1]}),
        ["runtime", "unknown key 'batchs'", "Did you mean 'batches'?"],
    ),
    "unknown key of bootstrap": (
        tree(bootstrap={"resample": 500}),
        ["bootstrap", "'resample'", "Did you mean 'resamples'?"],
    ),
    "unknown key of compute": (tree(compute={"gpu": 1}), ["compute", "'gpu'", "device, jobs"]),
    "unknown key of a model": (
        tree(models=model(task=["sentiment"])),
        ["models.0", "'task'", "Did you mean 'tasks'?", "name"],
    ),
    "name given in the file": (tree(name="x"), ["name", "remove it"]),
    "text given in the file": (tree(text="x"), ["text", "remove it"]),
    "missing": ({k: v for k, v in tree().items() if k != "title"}, ["title", "is missing"]),
    "missing in a model": (tree(models=[{"name": "tiny-bert"}]), ["models.0.", "is missing"]),
    "percent": (tree(sparsities=[0.1, 50]), ["sparsities.1", "got 50", "write 0.5"]),
    "level 0": (tree(sparsities=[0]), ["sparsities.0", "got 0", "above 0"]),
    "level 1": (tree(sparsities=[1.0]), ["sparsities.0", "below 1"]),
    "negative level": (tree(sparsities=[-0.5]), ["sparsities.0", "got -0.5"]),
    "level is no number": (tree(sparsities=["half"]), ["sparsities.0", "'half'", "fraction"]),
    "level is NaN": (tree(sparsities=[float("nan")]), ["sparsities.0", "nan"]),
    "level is infinite": (tree(sparsities=[float("inf")]), ["sparsities.0", "inf"]),
    "no level": (tree(sparsities=[]), ["sparsities"]),
    "level twice": (tree(sparsities=[0.5, 0.9, 0.50]), ["sparsities", "0.5 stands twice"]),
    "unknown task": (
        tree(models=model(tasks=["sentimnt"])),
        ["models.0.tasks", "'sentimnt'", "Did you mean 'sentiment'?", "headline"],
    ),
    "task of another family": (
        tree(models=model(tasks=["headline"]), examples={"headline": 8}),
        ["models.0.tasks", "'headline'", "Allowed: sentiment, paraphrase."],
    ),
    "no task": (tree(models=model(tasks=[])), ["models.0.tasks"]),
    "task twice": (
        tree(models=model(tasks=["sentiment", "sentiment"])),
        ["models.0.tasks", "'sentiment' stands twice"],
    ),
    "examples of an unknown task": (
        tree(examples={"sentiment": 8, "paraphase": 8}),
        ["examples", "'paraphase'", "Did you mean 'paraphrase'?"],
    ),
    "task without examples": (tree(examples={}), ["examples", "'sentiment'", "add it"]),
    "no examples": (tree(examples={"sentiment": 0}), ["examples.sentiment", "got 0"]),
    "unknown method": (
        tree(methods=["magnitud"]),
        ["methods", "'magnitud'", "Did you mean 'magnitude'?", "magnitude-all"],
    ),
    "method by its file's name": (
        tree(methods=["magnitude_all"]),
        ["methods", "Did you mean 'magnitude-all'?"],
    ),
    "method twice": (tree(methods=["magnitude", "magnitude"]), ["methods", "stands twice"]),
    "timed method not among the methods": (
        tree(runtime={"method": "magnitude-all"}),
        ["runtime.method", "'magnitude-all'", "Allowed: magnitude."],
    ),
    "unknown model": (
        tree(models=model(name="tiny-brt")),
        ["models.0.name", "'tiny-brt'", "Did you mean 'tiny-bert'?", "tiny-gpt2"],
    ),
    "model twice": (tree(models=model() * 2), ["models", "'tiny-bert' stands twice"]),
    "model's name is a path": (tree(models=model(name="../x")), ["models.0.name", "'../x'"]),
    "no model": (tree(models=[]), ["models"]),
    "model is a string": (tree(models=["tiny-bert"]), ["models.0", "'tiny-bert'"]),
    "wrong family": (
        tree(models=model(family="decoder-only")),
        ["models.0.family", "tiny-bert is encoder-only, not decoder-only"],
    ),
    "unknown family": (
        tree(models=model(family="encoder")),
        ["models.0.family", "'encoder'", "encoder-only", "decoder-only", "encoder-decoder"],
    ),
    "unknown format": (tree(formats=["dense", "gzip"]), ["formats.1", "'gzip'", "dense+zstd"]),
    "formats without dense": (tree(formats=["dense+zstd"]), ["formats", "'dense'"]),
    "protocol twice": (
        tree(protocols=["one-shot", "one-shot"]),
        ["protocols", "'one-shot' stands twice"],
    ),
    "batch twice": (tree(runtime={"batches": [1, 1]}), ["runtime.batches", "1 stands twice"]),
    "batch 0": (tree(runtime={"batches": [0]}), ["runtime.batches.0", "got 0"]),
    "too few runs": (tree(runtime={"min_runs": 2}), ["runtime.min_runs", "got 2", "3"]),
    "endless measuring": (
        tree(runtime={"max_seconds": float("inf")}),
        ["runtime.max_seconds", "inf"],
    ),
    "confidence in per cent": (
        tree(bootstrap={"confidence": 95}),
        ["bootstrap.confidence", "got 95", "less than 1"],
    ),
    "unknown device": (tree(compute={"device": "gpu"}), ["compute.device", "'gpu'", "'cuda'"]),
    "section is a list": (tree(compute=[1]), ["compute"]),
    # methods
    **{
        f"{method} leads": (
            everything(methods=[method, "magnitude", "magnitude-layer"]),
            ["methods:", f"{method} cannot lead", "magnitude first"],
        )
        for method in ("structured", "gradual", "nm-wanda", "nm-magnitude")
    },
    "structured is timed": (
        everything(runtime={"method": "structured"}),
        ["runtime.method:", "structured cannot lead"],
    ),
    **{
        f"{key} beside {method}": (
            masked_only(methods=["magnitude", method], **{key: ["head"]}, **more),
            ["include, exclude:", method],
        )
        for key in ("include", "exclude")
        for method, more in (
            ("structured", {}),
            ("gradual", {"recovery": {"tasks": ["sentiment"], "sparsities": [0.5]}}),
        )
    },
    "empty rule": (masked_only(exclude=[""]), ["exclude.0", "got ''"]),
    "endless rule": (masked_only(include=["x" * 301]), ["include.0", "300"]),
    "rule is a number": (masked_only(include=[3]), ["include.0", "got 3"]),
    "rules are a word": (masked_only(include="head"), ["include", "'head'"]),
    # patterns
    **{
        f"pattern {pattern!r}": (tree(patterns=[pattern]), ["patterns:", "is not N:M", "2:4"])
        for pattern in (
            *("", "2", "2:", ":4", "2:4:8", "4:4", "5:4", "0:4", "2:0", "-2:4", "2.0:4", " 2:4"),
            *("2:4 ", "2:33", "1:999", "2/4", "half", "2:4\n", "٢:٤", "²:4", "x" * 300),
        )
    },
    "pattern of no level": (
        masked_only(patterns=["1:8"]),
        ["patterns: 1:8 removes 0.875", "add it"],
    ),
    **{
        f"{key} at the most that a layer can lose": (
            everything(sensitivity={key: [0.98]}, sparsities=[0.5, 0.9, 0.98]),
            [f"sensitivity.{key}: below 0.98"],
        )
        for key in ("sparsities", "allocate")
    },
    "pattern is a number": (tree(patterns=[0.5]), ["patterns.0", "got 0.5"]),
    "pattern as YAML reads 2:4 in base 60": (tree(patterns=[124]), ["patterns.0", "got 124"]),
    "no pattern": (tree(patterns=[]), ["patterns"]),
    "pattern twice": (tree(patterns=["2:4", "2:4"]), ["patterns", "'2:4' stands twice"]),
    # calibration
    "unknown key of calibration": (
        tree(calibration={"example": 3}),
        ["calibration", "'example'", "Did you mean 'examples'?"],
    ),
    "calibration without examples": (
        tree(calibration={"examples": 0}),
        ["calibration.examples", "got 0"],
    ),
    "half an example": (tree(calibration={"examples": 1.5}), ["calibration.examples", "1.5"]),
    "calibration with one token": (tree(calibration={"tokens": 1}), ["calibration.tokens", "1"]),
    "more tokens than models have": (
        tree(calibration={"tokens": 10**6}),
        ["calibration.tokens", "got 1000000"],
    ),
    "calibration is nothing": (tree(calibration=None), ["calibration"]),
    # protocols and recovery
    "unknown protocol": (
        everything(protocols=["one-shot", "finetuned"]),
        ["protocols.1", "'finetuned'", "'fine-tuned'"],
    ),
    "no one-shot": (everything(protocols=["fine-tuned"]), ["protocols:", "'one-shot'"]),
    "no protocol": (everything(protocols=[]), ["protocols"]),
    "trained protocol without recovery": (
        tree(protocols=["one-shot", "fine-tuned"]),
        ["recovery:", "is missing", "fine-tuned trains"],
    ),
    "gradual without recovery": (
        tree(methods=["magnitude", "gradual"]),
        ["recovery:", "is missing", "gradual trains"],
    ),
    "recovery that trains nothing": (
        tree(recovery={"tasks": ["sentiment"], "sparsities": [0.5]}),
        ["recovery:", "trains nothing", "fine-tuned"],
    ),
    "unknown key of recovery": (
        everything(recovery={"task": ["sentiment"]}),
        ["recovery", "'task'", "Did you mean 'tasks'?"],
    ),
    "recovery without tasks": (everything(recovery={"tasks": None}), ["recovery.tasks", "missing"]),
    "recovery without levels": (
        everything(recovery={"sparsities": None}),
        ["recovery.sparsities", "missing"],
    ),
    "recovery of no task": (everything(recovery={"tasks": []}), ["recovery.tasks"]),
    "recovery of an unknown task": (
        everything(recovery={"tasks": ["sentimnt"]}),
        ["recovery.tasks", "'sentimnt'", "Did you mean 'sentiment'?"],
    ),
    "recovery of a task of no model": (
        everything(recovery={"tasks": ["paraphrase"]}),
        ["recovery.tasks", "'paraphrase'", "Allowed: sentiment."],
    ),
    "recovery of a task twice": (
        everything(recovery={"tasks": ["sentiment"] * 2}),
        ["recovery.tasks", "stands twice"],
    ),
    "recovery of what is not fine-tuned": (
        everything(**LANGUAGE, recovery={"tasks": ["language-modelling"]}),
        ["recovery.tasks", "tiny-gpt2 is not fine-tuned for language-modelling"],
    ),
    "recovery at another level": (
        everything(recovery={"sparsities": [0.8]}),
        ["recovery.sparsities", "0.8 is not among", "add it"],
    ),
    "recovery at a level in per cent": (
        everything(recovery={"sparsities": [90]}),
        ["recovery.sparsities.0", "got 90"],
    ),
    "recovery at a level twice": (
        everything(recovery={"sparsities": [0.9, 0.9]}),
        ["recovery.sparsities", "stands twice"],
    ),
    "unmasked at another level": (
        everything(recovery={"unmasked_at": 0.8}),
        ["recovery.unmasked_at", "0.8 is not among"],
    ),
    "unmasked at level 0": (
        everything(recovery={"unmasked_at": 0.0}),
        ["recovery.unmasked_at", "got 0.0"],
    ),
    "recovery by a method that is not run": (
        everything(recovery={"method": "random"}),
        ["recovery.method", "'random'", "Allowed"],
    ),
    **{
        f"recovery by {method}": (
            everything(recovery={"method": method}),
            ["recovery.method:", f"{method} leaves no mask"],
        )
        for method in ("structured", "gradual", "nm-wanda")
    },
    **{
        f"{section} of {key} {value}": (
            everything(recovery={section: {key: value}}),
            [f"recovery.{section}.{key}", f"got {value}"],
        )
        for section in ("training", "gradual")
        for key, value in (
            *(("examples", 0), ("epochs", 0), ("epochs", 101), ("epochs", float("inf"))),
            *(("learning_rate", 0), ("learning_rate", 2), ("learning_rate", float("nan"))),
            *(("batch_size", 0), ("batch_size", 1.5)),
        )
    },
    # sensitivity
    "unknown key of sensitivity": (
        everything(sensitivity={"alocate": [0.5]}),
        ["sensitivity", "'alocate'", "Did you mean 'allocate'?"],
    ),
    "sensitivity without tasks": (
        everything(sensitivity={"tasks": None}),
        ["sensitivity.tasks", "missing"],
    ),
    "sensitivity of an unknown task": (
        everything(sensitivity={"tasks": ["news"]}),
        ["sensitivity.tasks", "'news'", "Allowed: sentiment."],
    ),
    "sensitivity of a task twice": (
        everything(sensitivity={"tasks": ["sentiment"] * 2}),
        ["sensitivity.tasks", "stands twice"],
    ),
    "sensitivity by tensor": (
        everything(sensitivity={"by": "tensor"}),
        ["sensitivity.by", "'tensor'", "'layer'", "'kind'"],
    ),
    "sensitivity at level 1": (
        everything(sensitivity={"sparsities": [1.0]}),
        ["sensitivity.sparsities.0", "got 1.0"],
    ),
    "sensitivity at a level twice": (
        everything(sensitivity={"sparsities": [0.5, 0.5]}),
        ["sensitivity.sparsities", "stands twice"],
    ),
    "sensitivity on no examples": (
        everything(sensitivity={"examples": 0}),
        ["sensitivity.examples", "got 0"],
    ),
    "allocation at another level": (
        everything(sensitivity={"allocate": [0.7]}),
        ["sensitivity.allocate", "0.7 is not among"],
    ),
    "allocation twice": (
        everything(sensitivity={"allocate": [0.5, 0.5]}),
        ["sensitivity.allocate", "stands twice"],
    ),
    "allocation without what it is compared with": (
        everything(methods=["magnitude", "gradual"]),
        ["sensitivity.allocate", "'magnitude-layer'"],
    ),
    "sensitivity is a word": (everything(sensitivity="layer"), ["sensitivity", "'layer'"]),
    "seed twice": (tree(seeds=[1, 1]), ["seeds", "1 stands twice"]),
    "negative seed": (tree(seeds=[-1]), ["seeds.0", "got -1"]),
    "empty title": (tree(title=""), ["title"]),
    "title is a number": (tree(title=5), ["title", "got 5"]),
    "key is a number": (tree() | {1: "x"}, ["unknown key '1'"]),
    "key is yes": ("yes: 1\n" + yaml.safe_dump(tree()), ["unknown key 'True'"]),
}


@pytest.mark.parametrize(("content", "says"), WRONG.values(), ids=WRONG.keys())
def test_a_wrong_key_is_named_in_one_line(write, content, says):
    path = write(content)
    message = refused(path)
    assert path in message
    for part in says:
        assert part in message


def test_a_key_that_stands_twice_in_the_file_is_refused(write):
    message = refused(write(yaml.safe_dump(tree()) + "methods: [magnitude-all]\n"))
    assert "methods" in message


def test_levels_that_would_share_a_variants_name_are_refused(write):
    message = refused(write(tree(sparsities=[0.12345678, 0.12345679])))
    assert "sparsities" in message


@given(level=st.one_of(st.floats(max_value=0), st.floats(min_value=1), st.just(float("nan"))))
def test_every_level_outside_the_open_unit_interval_is_refused(level):
    with pytest.raises(ValueError, match="sparsities"):
        study.Study(**tree(sparsities=[level]), name="x")


@given(level=st.floats(min_value=0, max_value=1, exclude_min=True, exclude_max=True))
def test_every_level_inside_the_open_unit_interval_is_allowed(level):
    assert study.Study(**tree(sparsities=[level]), name="x").sparsities == (level,)


# ---------------------------------------------------------------- which file


def test_a_mistyped_name_suggests_the_nearest_study():
    message = refused("tinny", folder=STUDIES)
    assert "unknown study 'tinny'" in message
    assert "Did you mean 'tiny'?" in message


def test_a_folder_without_studies_is_said_so(tmp_path):
    assert "no studies in" in refused("tiny", folder=tmp_path)


@pytest.mark.parametrize("path", ["nowhere/mine.yml", "mine.yaml", "no/such"])
def test_a_path_to_nothing_is_named(path):
    message = refused(path)
    assert path in message


@pytest.mark.parametrize("name", ["..", "a" * 5000, "a\0b", "ti\nny", "tiny.yml/"])
def test_a_hostile_name_is_a_wrong_request(name):
    refused(name, folder=STUDIES)


def test_a_folder_in_place_of_a_file_is_refused(tmp_path):
    (tmp_path / "dir.yml").mkdir()
    assert "dir.yml" in refused(str(tmp_path / "dir.yml"))


def test_a_file_with_a_name_no_folder_could_have_is_refused(write):
    message = refused(write(tree(), name="my study!.yml"))
    assert "name" in message


@pytest.mark.parametrize(
    "content",
    [
        b"\x00\x01\x02",
        b"\xff\xfe\x00study",
        b"title: \xe9t\xe9",
        b"PK\x03\x04" + bytes(range(256)),
        "title: [unclosed",
        "title: 'x\nmodels: -\n",
        "a: b: c",
        "\ttitle: x",
        "title: !!python/object/apply:os.system ['touch {marker}']",
        "title: !!python/name:os.system",
        "!!python/object/new:subprocess.Popen [['touch', '{marker}']]",
        "? [a]\n: b",
        "--- {}\n--- {}",
        "title: *nowhere",
    ],
)
def test_a_file_that_is_no_safe_yaml_is_refused_and_inert(write, tmp_path, content):
    marker = tmp_path / "marker"
    if isinstance(content, str):
        content = content.replace("{marker}", str(marker))
    path = write(content)
    assert path in refused(path)
    assert not marker.exists()


@pytest.mark.parametrize("content", ["", "# nothing", "- a\n- b", "just words", "42", "null"])
def test_a_file_that_is_no_mapping_is_refused(write, content):
    assert "mapping" in refused(write(content))


def test_an_unreadable_file_is_refused(public_folder, unprivileged):
    path = public_folder / "mine.yml"
    path.write_text("title: x")
    path.chmod(0)
    with unprivileged():
        assert str(path) in refused(str(path))


def test_a_file_in_a_folder_that_may_not_be_entered_is_refused(public_folder, unprivileged):
    closed = public_folder / "closed"
    closed.mkdir(mode=0o700)
    (closed / "mine.yml").write_text(yaml.safe_dump(tree()))
    closed.chmod(0)
    with unprivileged():
        assert "mine.yml" in refused(str(closed / "mine.yml"))


def test_deep_nesting_is_refused(write):
    refused(write("title: " + "[" * 5000 + "]" * 5000))


def bomb(key: str) -> str:
    """A study whose `key` is a list of 9⁹ words in a few hundred bytes."""
    lists = ["&a [" + ", ".join("x" * 9) + "]"]
    for inner, outer in zip("abcdefgh", "bcdefghi", strict=True):
        lists.append(f"&{outer} [" + ", ".join([f"*{inner}"] * 9) + "]")
    rest = {k: v for k, v in tree().items() if k != key}
    return f"{key}: [{', '.join(lists)}]\n" + yaml.safe_dump(rest)


def test_a_yaml_bomb_is_refused_at_once_in_little_memory(write):
    program = (
        "import resource, sys\n"
        "resource.setrlimit(resource.RLIMIT_AS, (2 << 30, 2 << 30))\n"
        "from analysis import study\n"
        "from analysis.errors import RequestError\n"
        "try: study.load(sys.argv[1])\n"
        "except RequestError as error: print(len(str(error)))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, write(bomb("title"))],
        capture_output=True,
        text=True,
        timeout=10,
        cwd=ROOT,
    )
    assert done.returncode == 0, done.stderr[-300:]
    assert int(done.stdout) < 2000


def test_a_long_wrong_value_is_cut_short_in_the_message(write):
    assert len(refused(write(tree(sparsities=["x" * 100_000])))) < 2000


# ---------------------------------------------------------------- errors


def test_an_error_is_one_line_whatever_its_words():
    assert str(AnalysisError("a\n  b\tc\r\nd")) == "a b c d"


def test_a_wrong_request_and_a_failed_run_have_their_own_exit_status():
    assert RequestError("x").exit_status == 2
    assert RunError("x").exit_status == 1


def test_an_unknown_name_lists_what_is_allowed_in_order():
    assert unknown("fruit", "aple", ["pear", "apple"]) == (
        "unknown fruit 'aple'. Did you mean 'apple'? Allowed: apple, pear."
    )


def test_an_unknown_name_far_from_all_gets_no_suggestion():
    assert unknown("fruit", "zzz", ["pear"]) == "unknown fruit 'zzz'. Allowed: pear."
    assert unknown("fruit", "zzz", []) == "unknown fruit 'zzz'. Allowed: none."


@given(st.sampled_from(sorted(pruning.names())), st.integers(0, 100))
def test_one_letter_missing_suggests_the_method(name, position):
    cut = position % len(name)
    typo = name[:cut] + name[cut + 1 :]
    if typo not in pruning.names():
        assert "Did you mean" in unknown("method", typo, pruning.names())
