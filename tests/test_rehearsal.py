"""A rehearsal is the study itself on toys and little data: every step is there, and says so."""

import itertools
import re
import threading
from unittest.mock import patch

import pytest
import rehearsals
from commandline import request
from rehearsals import FIVE

import studies
from analysis import results, study
from analysis.commands import run as command
from analysis.errors import RequestError
from analysis.study import rehearsal
from analysis.study.rehearsal import rehearsed


def flat(value, where=""):
    """All that a study says, by dotted names; those of its models are the same."""
    if isinstance(value, study.Section):
        parts = [(getattr(value, name), f"{where}.{name}") for name in type(value).model_fields]
    elif where == ".models":
        parts = [(model, where) for model in value]
    else:
        return [(where, value)]
    return [found for part in parts for found in flat(*part)]


LITTLE = {
    *("rehearsal", "examples", "calibration.examples", "sensitivity.examples", "runtime.batches"),
    *("fine_tuning.examples", "fine_tuning.epochs", "alternatives.student.examples"),
    *("models.fine_tuning.examples", "models.fine_tuning.epochs", "recovery.gradual.examples"),
    *("recovery.training.examples", "recovery.training.epochs", "runtime.min_runs"),
    *("runtime.min_seconds", "runtime.warmup_runs", "runtime.warmup_seconds"),
}
SMALL = {"calibration.tokens", "runtime.tokens", "runtime.new_tokens", "runtime.max_seconds"}


def test_all_of_a_study_is_rehearsed_on_little_and_what_it_needs_stays():
    changed = {"true": set(), "tiny": set()}
    for name, kind in itertools.product([*FIVE, "tiny"], changed):
        before = study.load(name, folder=studies.STUDIES)
        assert rehearsed(before, "") is before
        after = rehearsed(before, kind)
        pairs = zip(flat(before), flat(after), strict=True)
        changed[kind] |= {where[1:] for (where, old), (_, new) in pairs if old != new}
        assert (after.rehearsal, set(after.examples)) == (kind, set(before.tasks))
        assert max(after.examples.values()) <= 64
        trainings = [model.fine_tuning or after.fine_tuning for model in after.models]
        if after.recovery:
            trainings += [after.recovery.training, after.recovery.gradual]
        if after.alternatives:
            trainings.append(after.alternatives.student)
        for training in trainings:  # one step, of the true size
            assert (training.examples, training.epochs) == (training.batch_size, 1)
    assert changed == {"true": LITTLE, "tiny": LITTLE | SMALL | {"runtime.replica"}}


def test_a_model_from_scratch_learns_next_to_nothing():
    for more in ({}, {"shape": {"layers": 30}, "pretraining": {"epochs": 500}}):
        before = study.Study(**studies.of(studies.OWN | more), name="x")
        for kind in ("true", "tiny"):
            (own,) = rehearsed(before, kind).models
            assert own.pretraining.epochs <= 0.1
            small = own.shape and own.shape.layers <= 2 and own.shape.width <= 64
            assert small if kind == "tiny" else own.shape == before.models[0].shape


def test_the_environment_asks_for_one(monkeypatch):
    monkeypatch.delenv(rehearsal.VARIABLE, raising=False)
    assert rehearsal.chosen() == ""
    for value, kind in {"": "", "0": "", "1": "true", "true": "true", "tiny": "tiny"}.items():
        monkeypatch.setenv(rehearsal.VARIABLE, value)
        assert rehearsal.chosen() == kind
    for value in ("yes", "Tiny", "2", " "):
        monkeypatch.setenv(rehearsal.VARIABLE, value)
        with pytest.raises(RequestError, match=f"{rehearsal.VARIABLE}: got {value!r}.*tiny"):
            rehearsal.chosen()


def run(folder, *options, **environment):
    """What the command prints; its timings have a lock of their own, and no process."""
    with (
        patch.object(threading, "excepthook", threading.excepthook),  # which a run silences
        patch.object(command, "Runner", rehearsals.OnWorkers),
    ):
        done = request("run", *options, folder=folder, TMPDIR=str(folder), **environment)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """The folder of a cut-down glue study's rehearsal by the command, and what that printed."""
    folder = tmp_path_factory.mktemp("rehearsed")
    tree = rehearsals.cut("glue", formats=["dense", "auto"], examples={})
    tree["models"] = [tree["models"][0] | {"tasks": ["sst2"], "fine_tune": ["sst2"]}]
    tree["recovery"] |= {"tasks": ["sst2"]}
    tree["compute"] |= {"jobs": 1}
    rehearsals.to_folder(folder, tree)
    return folder, run(folder, "--study", "cut", "--tiny")


def test_its_tables_say_that_it_was_one(finished):
    folder, said = finished
    assert "rehearsal: random weights, no result means anything" in said
    tables, environment = results.read(folder / "_output" / "cut" / "results")
    assert (environment["rehearsal"], len(tables["failures"])) == (True, 0)
    (model,) = tables["models"].to_dict("records")
    assert (model["source"], model["revision"]) == ("replica", "tiny")
    assert set(tables["tasks"]["source"]) == {"stand-ins for a rehearsal"}
    assert not {"take_hub_model", "read_test", "read_training"} & set(environment["steps"])


def test_the_environment_variable_is_the_same_as_the_option(finished):
    folder, asked = finished[0], {"SPARSITY_STUDY": "cut", rehearsal.VARIABLE: "tiny"}
    assert re.search(r"^all\s+0\s+\d+\s+0\.0$", run(folder, **asked), re.M)
    plan = request("plan", folder=folder, **asked).stdout
    assert re.search(r"^0 steps to compute, \d\d remembered; 1 at a time$", plan, re.M), plan
    assert "everything is remembered" in plan
