"""What goes into the call of each step, and so into its key; what is carried; what is neither."""

import functools
import importlib
import inspect
import itertools
import json
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from accelerators import MACHINES, put_in

from analysis.engine import code, machine, memo, project
from analysis.errors import RequestError
from analysis.experiments import (
    alternatives,
    checkpoints,
    examples,
    placement,
    profile,
    quality,
    sensitivity,
    sizes,
)
from analysis.experiments.examples import Data
from analysis.experiments.pruning import prune
from analysis.experiments.recovery import recover, recover_without_masks
from analysis.experiments.sensitivity import prune_allocated
from analysis.experiments.timing import replica, timings
from analysis.experiments.variant import Variant
from analysis.study import Study
from analysis.study.rehearsal import rehearsed
from studies import KEYS, ROOT, everything

TABLES = yaml.safe_load(Path(__file__).with_name("call_keys.yml").read_text(encoding="utf-8"))
UNCHECKED = {"methods", "patterns", "include", "exclude"}  # fit no study that has everything
OTHER_DRAW = 1000  # added to the seed where examples are neither those of training nor of testing


def chosen(**changes):
    """A study of models of every source with every kind of step, its sections changed by key."""
    whole = TABLES["whole"]
    models = [model | changes.pop(model["name"], {}) for model in whole["models"]]
    unchecked = {key: tuple(changes.pop(key)) for key in UNCHECKED & changes.keys()}
    merged = {key: whole[key] | changes.pop(key, {}) for key in ("examples", "runtime")}
    made = Study(**everything(models=models, **merged, **changes), name="x")
    return made.model_copy(update=unchecked)


def told(call):
    """The arguments of a call, those of its groups (course, calibration, place) beside the rest."""
    inside = (value for value in call.arguments.values() if isinstance(value, dict))
    return {**call.arguments, **dict(itertools.chain(*(group.items() for group in inside)))}


def every_call(
    asked=None, *, seed=0, weights="w", checkpoint="c", masks="m", test="t", training="r",
    task="sentiment", protocol="fine-tuned", level=0.5,
):  # fmt: skip
    """A call of each step, by its name, about models and data of these digests."""
    asked = asked or chosen()
    bert, gpt2, far, own = asked.models
    dense = Variant("dense", "tiny-bert", "sentiment", seed, checkpoint, weights, 9, 9, 1.0)
    pruned = replace(dense, kind="pruned", method="magnitude", protocol="one-shot")
    own_masks = [(s, f"{masks}{s}") for s in asked.sparsities]
    levels = [replace(pruned, name=f"{s}", sparsity=s, masks=of) for s, of in own_masks]
    read = {"training": {"object": training}, "data": {"object": training}, "labels": 2}
    known = {"data": {"object": test}}
    data = Data(task, known, read if training else None)
    found = [
        *(examples.test_examples(asked, name) for name in ("sentiment", "sst2")),
        examples.training_examples(asked, "sst2"),
        examples.validation(data, asked.sensitivity.examples),
        *(checkpoints.base(asked, model, seed, {"sst2": read}) for model in (bert, far, own)),
        checkpoints.fine_tune(asked, bert, dense, "sentiment", None),
        checkpoints.fine_tune(asked, far, dense, "sst2", read),
        profile.profile("x", weights, checkpoint, checkpoint),
        profile.histograms("x", levels),
        sensitivity.sensitivity(asked, dense, task, known),
        quality.evaluate(asked, levels[0], task, known),
        sizes.size(asked, levels[0]),
        *(prune(asked, dense, data, method)
          for method in ("magnitude", "wanda", "nm-wanda", "structured", "gradual")),
        recover(asked, levels[0], data, protocol),
        recover_without_masks(asked, levels[0], data),
        prune_allocated(dense, level, {"a": level}),
        *(alternatives.make(asked, dense, data, kind) for kind in ("int8", "student", "moe")),
        *timings(asked, gpt2, {"language-modelling": [dense, *levels]}),
        replica(asked),
    ]  # fmt: skip
    return {"nm-wanda" if "nm-wanda" in call.label else call.step: call for call in found}


@functools.cache
def keys_before():
    return {step: call.key for step, call in every_call().items()}


def changed(asked=None, **inputs):
    """The steps whose keys are other than before."""
    before = keys_before()
    return {step for step, c in every_call(asked, **inputs).items() if c.key != before[step]}


@pytest.fixture(autouse=True)
def without_gpu(monkeypatch):
    """Keys hold what `auto` comes to: here the processor, whatever this machine has."""
    put_in(monkeypatch, "none")


def steps(names):
    """The steps of a table's cell, groups written out."""
    groups = TABLES["groups"]
    return {step for name in names.split() for step in groups.get(name, name).split()}


@pytest.mark.parametrize("table", ["study", "inputs"])
def test_a_key_changes_with_what_the_step_uses_and_no_more(table):
    for change, names in TABLES[table]:
        found = changed(chosen(**change)) if table == "study" else changed(**change)
        assert found == steps(names), change


def test_a_key_changes_with_the_code_and_the_libraries_that_the_step_runs(monkeypatch):
    keys_before()
    facts, version = code._facts, memo._version
    own = (ROOT / "analysis" / "execution").glob("[a-z]*.py")
    running = {f"analysis.execution.{path.stem}": "timed measure_replica" for path in own}
    assert len(running) > 5  # how models run counts for timings alone
    for module, names in (TABLES["edits"] | running).items():

        def edited(name, root, module=module):  # as if the code of that module were another
            digest, imported = facts(name, root)
            return "edited " * (name == module) + digest, imported

        with monkeypatch.context() as patched:
            patched.setattr(code, "_facts", edited)
            assert changed() == steps(names), module
    for library, names in TABLES["libraries"].items():
        with monkeypatch.context() as patched:
            other = {library: "another"}
            patched.setattr(memo, "_version", lambda x, other=other: other.get(x) or version(x))
            assert changed() == steps(names), library


def test_every_step_can_be_called_with_what_goes_into_it():
    asked = rehearsed(chosen(), "true")
    of_data = examples.test_examples, examples.training_examples
    more = [checkpoints.base(asked, asked.models[2], 0, {}), *(f(asked, "sst2") for f in of_data)]
    assert [c.step for c in more] == ["make_replica", "stand_in_test", "stand_in_training"]
    for call in (*every_call().values(), *more):
        module, name = call.function.split(":")
        given = {**call.carried, **call.arguments}
        inspect.signature(getattr(importlib.import_module(module), name)).bind(None, **given)
        assert json.loads(json.dumps(given, allow_nan=False)) == given, call.step


def test_calibration_draws_other_examples_and_the_languages_are_made_by_the_step():
    found = {s: told(c)["seed"] for s, c in every_call(seed=3).items() if "seed" in told(c)}
    assert {s for s, seed in found.items() if seed == 3 + OTHER_DRAW} == steps("calibrated")
    assert {s for s, seed in found.items() if seed == 3} == steps("tuned trained prune_checkpoint")
    assert found["make_validation"] == OTHER_DRAW
    learning = {s for s, c in every_call(training=None).items()
                if told(c).get("training", 0) is None}  # fmt: skip
    assert learning == steps("calibrated trained make_validation")
    assert examples.training_examples(chosen(), "sentiment") is None


def test_timings_run_alone_on_this_machine_and_int8_on_the_cpu():
    found, timed = every_call(), steps("timed measure_replica")
    assert {step for step, call in found.items() if call.timing} == timed
    assert {s for s, call in found.items() if "machine" in json.loads(call.key)} == timed
    assert {s for s, call in found.items() if call.fresh} == {"measure_latency"}  # of memory, too
    asked = chosen(compute={"device": "cuda"})
    for kind, device in {"dense": "cuda", "int8": "cpu", "student": "cuda", "moe": "cuda"}.items():
        variant = Variant("x", "tiny-bert", "sentiment", 0, "c", "w", 9, 9, 1.0, kind=kind)
        call = quality.evaluate(asked, variant, "sentiment", {"data": {"object": "t"}})
        assert told(call)["device"] == device, kind


HALF = {"none": "float32", "hopper": "bfloat16", "turing": "float16", "both": "float16"}


def test_a_key_holds_the_device_and_the_type_that_are_used_never_auto(monkeypatch):
    found, placed = {}, steps("fine_tune_checkpoint scored calibrated trained timed")
    for name, type_of_answers in HALF.items():
        put_in(monkeypatch, name)
        device = "cuda" if MACHINES[name] else "cpu"
        auto = found[name] = every_call(chosen(compute={"dtype": "auto"}))
        said = every_call(chosen(compute={"device": device, "dtype": type_of_answers}))
        assert {s: call.key for s, call in auto.items()} == {s: c.key for s, c in said.items()}
        on = {step: told(c)["device"] for step, c in auto.items() if "device" in told(c)}
        assert on == dict.fromkeys(placed, device)
        on_gpu = {step for step, call in auto.items() if call.on_gpu}
        assert on_gpu == (placed if MACHINES[name] else set())
        # not in float16, which loses too much
        tuned = "bfloat16" if name == "hopper" else "float32"
        typed = {step: told(c)["dtype"] for step, c in auto.items() if "dtype" in told(c)}
        assert typed == {"evaluate_variant": type_of_answers, "fine_tune_checkpoint": tuned}
    for step, call in found["none"].items():
        same = found["hopper"][step].key == call.key
        assert same == (step not in placed and not call.timing), step


def test_a_gpu_that_is_not_there_is_refused_in_one_line(monkeypatch):
    with pytest.raises(RequestError, match=r"^compute.device: cuda, but [^\n]*use auto or cpu$"):
        placement.require_device("cuda", "compute.device: cuda")
    placement.require_device("auto", "")
    put_in(monkeypatch, "hopper")
    placement.require_device("cuda", "")


def test_memory_that_may_be_taken_and_where_things_lie_are_carried(monkeypatch, tmp_path):
    monkeypatch.setattr(machine, "memory_bytes", lambda: 8_000_000)
    monkeypatch.setattr(project, "CACHE", tmp_path)
    for compute, room in (({}, 6_000_000), ({"jobs": 2}, 3_000_000), ({"memory_gb": 2}, 2 * 10**9)):
        carried = {s: dict(c.carried) for s, c in every_call(chosen(compute=compute)).items()}
        expected = {step: {"memory_bytes": room} for step in steps("scored")}
        expected |= {step: {"memory_bytes": room * 3 // 4} for step in steps("timed")}
        expected["evaluate_variant"]["said"] = "tiny-bert on sentiment"
        for step in ("measure_latency", "measure_generation"):
            expected[step]["kernels"] = str(tmp_path / "kernels.json")
        expected["profile_weights"] = {"checkpoint": "c", "files": None}
        expected |= {step: {"path": "nyu-mll/glue"} for step in ("read_test", "read_training")}
        assert {step: found for step, found in carried.items() if found} == expected
    assert changed() == set()
    for name, whole in (("hopper", 140 * 10**9), ("both", 16 * 10**9)):  # a GPU has its own
        put_in(monkeypatch, name)
        found = every_call(chosen(compute={"jobs": 4}))
        assert found["evaluate_variant"].carried["memory_bytes"] == whole * 3 // 4


def test_how_texts_are_written_is_in_the_key_of_their_scores():
    written = Variant("dense", "tiny-bart", "headline", 0, "c", "w", 9, 9, 1.0)
    test = {"data": {"object": "t"}, "settings": {"tokenizers": {}}}
    for given, told in ((None, None), ({}, None), ({"num_beams": 4}, {"num_beams": 4})):
        asked = {} if given is None else {"generation": {"headline": given}}
        own = Study(**KEYS["bases"]["headlines"], **asked, name="x")
        settings = quality.evaluate(own, written, "headline", test).arguments["settings"]
        assert settings.get("generation") == told
        assert settings["tokenizers"] == {}
