"""A study file is right, or one line says what is wrong with it."""

import functools
import subprocess
import sys

import pytest
import yaml

import studies
from analysis import pruning, study, tasks
from analysis.models.catalogue import BUILTIN
from studies import ROOT, STUDIES, everything, masked_only, refused, tree


@pytest.fixture
def write(tmp_path):
    """Writes text or a tree to a study file and gives its path."""
    return functools.partial(studies.to_file, tmp_path)


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
    assert loaded.alternatives is None
    assert loaded.runtime.operations == ("forward",)
    assert loaded.runtime.replica is None
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
        assert set(model.tasks) & set(tiny.alternatives.tasks)
        assert tiny.runtime.task in model.tasks
    assert set(tiny.alternatives.kinds) == {"int8", "student", "moe"}
    assert set(tiny.runtime.operations) == {"forward", "generate", "train_step"}
    assert tiny.runtime.replica
    assert {name.removesuffix("+zstd") for name in tiny.formats} >= {"dense", "bitmask", "auto"}


PLANNED = """
import sys
from analysis import alternative_calls, calls, pipeline, pruning_calls
from analysis import study, timing_calls, variants
from analysis.data_calls import Data
tiny = study.load("tiny")
record = dict(checkpoint={"object": "x"}, weights_sha256="x", parameters=1,
              prunable_parameters=1, train_seconds=0.0)
for model in tiny.models:
    dense = variants.base_variant(tiny, model, 0, record)
    for task in model.tasks:
        test = {"data": {"object": "x"}}
        data = Data(task, test, None)
        asked = [pruning_calls.prune(tiny, dense, data, m) for m in tiny.methods]
        asked += [pruning_calls.recover(tiny, dense, data, p) for p in tiny.protocols]
        asked += [alternative_calls.make(tiny, dense, data, k) for k in tiny.alternatives.kinds]
        asked += [calls.evaluate(tiny, dense, task, test), calls.size(tiny, dense)]
        assert len({(call.function, call.label) for call in asked}) == len(asked)
    timed = timing_calls.timings(tiny, model, {task: [dense] for task in model.tasks})
    assert len(timed) == len(tiny.runtime.operations) - (model.name == "tiny-bert")
    assert all(call.key for call in timed)
assert timing_calls.replica(tiny).key
heavy = {"torch", "transformers", "datasets", "evaluate", "numba", "sklearn"}
print(sorted(heavy & set(sys.modules)))
"""


def test_reading_a_study_and_planning_its_grid_imports_nothing_that_computes():
    done = subprocess.run(
        [sys.executable, "-c", PLANNED], capture_output=True, text=True, timeout=60, cwd=ROOT
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
