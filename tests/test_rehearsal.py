"""A rehearsal is the study itself on toys and little data: every step is there, and says so."""

import json
import re

import pytest
import rehearsals
from mini import analysis
from rehearsals import FIVE

import studies
from analysis import rehearsal, results, study
from analysis.errors import RequestError
from analysis.rehearsal import rehearsed

KINDS = ("true", "tiny")
OWN = {"name": "own", "family": "decoder-only", "source": "scratch", "tasks": ["wikitext2"]}


def changed(before, after, where=""):
    """The dotted names of all that differs between two sections."""
    found = set()
    for name in type(before).model_fields:
        one, other = getattr(before, name), getattr(after, name)
        if name == "models":
            for mine, its in zip(one, other, strict=True):
                found |= changed(mine, its, "models.")
        elif hasattr(type(one), "model_fields") and other is not None:
            found |= changed(one, other, f"{where}{name}.")
        elif one != other:
            found.add(f"{where}{name}")
    return found


LITTLE = {
    *("rehearsal", "examples", "fine_tuning.examples", "fine_tuning.epochs"),
    *("calibration.examples", "runtime.batches", "runtime.min_runs", "runtime.min_seconds"),
    *("runtime.warmup_runs", "runtime.warmup_seconds"),
    *("models.fine_tuning.examples", "models.fine_tuning.epochs"),
    *("recovery.training.examples", "recovery.training.epochs"),
    *("recovery.gradual.examples", "recovery.gradual.epochs"),
    *("sensitivity.examples", "alternatives.student.examples", "alternatives.student.epochs"),
}
SMALL = {"calibration.tokens", "runtime.tokens", "runtime.new_tokens", "runtime.max_seconds"}


# ---------------------------------------------------------------- what is changed


@pytest.mark.parametrize("name", [*FIVE, "tiny"])
def test_what_a_run_needs_of_memory_and_disk_stays_as_the_study_says(name):
    before = study.load(name, folder=studies.STUDIES)
    assert changed(before, rehearsed(before, "true")) <= LITTLE
    assert changed(before, rehearsed(before, "tiny")) <= LITTLE | SMALL | {"runtime.replica"}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", FIVE)
def test_every_model_task_method_level_and_format_is_rehearsed(name, kind):
    before = study.load(name, folder=studies.STUDIES)
    after = rehearsed(before, kind)
    assert after.rehearsal == kind
    assert [m.id for m in after.models] == [m.id for m in before.models]
    for key in ("tasks", "methods", "sparsities", "protocols", "formats", "seeds", "text", "name"):
        assert getattr(after, key) == getattr(before, key)
    assert set(after.examples) == set(before.tasks)
    assert max(after.examples.values()) <= 64
    for model in after.models:
        tuning = model.fine_tuning or after.fine_tuning
        assert tuning.examples == tuning.batch_size  # one step, of the true size


def test_no_rehearsal_is_the_study_itself():
    before = study.load("glue", folder=studies.STUDIES)
    assert rehearsed(before, "") is before


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("more", [{}, {"shape": {"layers": 30}, "pretraining": {"epochs": 500}}])
def test_a_model_from_scratch_learns_next_to_nothing(tmp_path, kind, more):
    path = studies.to_file(tmp_path, studies.tree(models=[OWN | more], examples={}))
    (own,) = rehearsed(study.load(path), kind).models
    assert own.pretraining.epochs <= 0.1
    if kind == "tiny":
        assert own.shape.layers <= 2
        assert own.shape.width <= 64
    else:
        assert (own.shape.layers if own.shape else None) == more.get("shape", {}).get("layers")


@pytest.mark.parametrize(
    ("value", "kind"), [("", ""), ("0", ""), ("1", "true"), ("true", "true"), ("tiny", "tiny")]
)
def test_the_environment_asks_for_one(monkeypatch, value, kind):
    monkeypatch.setenv(rehearsal.VARIABLE, value)
    assert rehearsal.chosen() == kind


def test_without_a_word_nothing_is_rehearsed(monkeypatch):
    monkeypatch.delenv(rehearsal.VARIABLE, raising=False)
    assert rehearsal.chosen() == ""


@pytest.mark.parametrize("value", ["yes", "Tiny", "2", " "])
def test_another_value_is_refused(monkeypatch, value):
    monkeypatch.setenv(rehearsal.VARIABLE, value)
    with pytest.raises(RequestError, match=f"{rehearsal.VARIABLE}: got {value!r}.*tiny"):
        rehearsal.chosen()


def test_a_study_cannot_call_itself_a_rehearsal(tmp_path):
    path = studies.to_file(tmp_path, studies.tree(rehearsal="tiny"))
    studies.refused_saying(path, ["rehearsal", "run --rehearse"])


# ---------------------------------------------------------------- a rehearsal from end to end


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A project whose cut-down glue study was rehearsed by the command, and what that printed."""
    folder = tmp_path_factory.mktemp("rehearsed")
    tree = rehearsals.cut("glue", sparsities=[0.5, 0.9])
    tree["models"] = tree["models"][:1]
    rehearsals.to_folder(folder, tree)
    # a lock of the test's own: timings wait for no other run of this machine
    done = analysis(folder, "run", "--study", "cut", "--tiny", TMPDIR=str(folder))
    assert done.returncode == 0, done.stdout + done.stderr
    return folder, done


def test_its_tables_are_whole_and_say_that_it_was_one(finished):
    folder, done = finished
    tables, environment = results.read(folder / "_output" / "cut" / "results")
    assert environment["rehearsal"] is True
    assert tables["failures"].empty
    assert set(tables["variants"]["status"]) == {"ok"}
    assert set(tables["variants"]["sparsity"]) == {0.0, 0.5, 0.9}
    assert set(tables["quality"]["task"]) == {"sst2", "mrpc"}
    (model,) = tables["models"].to_dict("records")
    assert (model["source"], model["revision"]) == ("replica", "tiny")
    assert set(tables["tasks"]["source"]) == {"stand-ins for a rehearsal"}
    for name in ("published", "recovery", "size", "runtime", "profile", "histogram", "cdf"):
        assert len(tables[name]), name
    assert "rehearsal: random weights, no result means anything" in done.stdout


def test_the_environment_variable_is_the_same_as_the_option(finished):
    folder, _ = finished
    again = analysis(folder, "run", SPARSITY_STUDY="cut", **{rehearsal.VARIABLE: "tiny"})
    assert again.returncode == 0, again.stderr
    assert re.search(r"^all\s+0\s+\d+\s+0\.0$", again.stdout, re.M), again.stdout


def test_it_needs_no_network(finished):
    folder, _ = finished
    steps = json.loads((folder / "_output/cut/results/environment.json").read_text())["steps"]
    assert "make_replica" in steps
    assert "stand_in_test" in steps
    assert not {"take_hub_model", "read_test", "read_training"} & set(steps)
