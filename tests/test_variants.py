"""Variants: named by what they are, they say where weights lie, fill a row, and some are timed."""

import json
from dataclasses import replace
from pathlib import Path

import fake
import pytest
import yaml

from analysis import pruning, results, study
from analysis.experiments import alternatives as experiment_alternatives
from analysis.experiments import recovery, sensitivity, timing
from analysis.experiments import variant as experiment_variant
from analysis.experiments.variant import variant_row
from studies import everything

STEM = "tiny-bert/sentiment"
KINDS, NM = ("int8", "student", "moe"), ("2:4", "4:8")
TIMED = yaml.safe_load(Path(__file__).with_name("timed.yml").read_text(encoding="utf-8"))
DENSE, BOTH = ["torch dense"], ["torch dense", "auto"]
EACH = ["torch dense", "torch csr", "tiled csr", "auto"]


@pytest.fixture
def tiny():
    return fake.load("tiny")


@pytest.fixture
def dense(tiny):
    return dense_of(tiny)


def dense_of(chosen, seed=0, model=None, task="sentiment"):
    model = model or chosen.models[0]
    record = fake.checkpoint(model.family, f"{model.name}-{task}")
    return experiment_variant.dense_variant(chosen, model, task, seed, record)


def pruned(chosen, dense, method, family="encoder-only"):
    protocol = "fine-tuned" if pruning.kind(method) == "trained" else "one-shot"
    record = fake.pruned(family, method, chosen)
    how = (chosen, dense, method, protocol, record)
    return [experiment_variant.pruned_variant(*how, level) for level in record["levels"]]


def alternatives(chosen, dense, kind):
    record = fake.alternative(kind, dense, chosen.alternatives)
    return experiment_alternatives.found(chosen, dense, kind, record)


def test_a_variant_is_named_by_all_that_tells_it_apart(tiny, dense):
    levels = ["0.1", "0.5", "0.9", "0.95", "0.99"]
    for method, names in (("magnitude", levels), ("nm-magnitude", NM), ("structured", levels)):
        found = [variant.name for variant in pruned(tiny, dense, method)]
        assert found == [f"{STEM}/{method}/one-shot/{name}" for name in names]
    gpt2 = tiny.models[1]  # a base checkpoint has no task in its name
    base = experiment_variant.base_variant(tiny, gpt2, 0, fake.checkpoint(gpt2.family, "weights"))
    assert (base.name, base.task) == ("tiny-gpt2/dense", "")
    assert pruned(tiny, base, "wanda")[0].name == "tiny-gpt2/wanda/one-shot/0.1"
    of, routers = tiny.alternatives.experts, ("learned", "oracle")
    moe = [f"moe/{run}-of-{of}/{router}" for run in tiny.alternatives.run for router in routers]
    found = [v.name for kind in KINDS for v in alternatives(tiny, dense, kind)]
    assert found == [f"{STEM}/{name}" for name in ("int8", "student", *moe)]
    two = tiny.model_copy(update={"seeds": (3, 4)})  # where there are several, it says which
    dense = dense_of(two, 4)
    start = pruned(two, dense, "magnitude")[2]
    trained = recovery.recovered_variant(start, "distilled", fake.recovered(start, True))
    named = [(dense, "dense"), (start, "magnitude/one-shot/0.9")]
    for kind in ("dense", "moe"):  # what failed is named as if it were there
        lost = experiment_variant.failed_dense(
            two, two.models[0], "sentiment", 4, "lost", kind=kind
        )
        named.append((lost, kind))
    for method, level in (("magnitude", 0.9), ("nm-wanda", "2:4")):
        lost = experiment_variant.failed_variant(two, dense, method, "one-shot", level, "lost")
        named.append((lost, f"{method}/one-shot/{level}"))
    named += [(trained, "magnitude/distilled/0.9"), (alternatives(two, dense, "int8")[0], "int8")]
    for variant, name in named:
        assert (variant.name, variant.seed) == (f"{STEM}/{name}/seed-4", 4)


def test_a_variant_that_was_trained_or_allotted_stands_beside_the_one_it_came_of(tiny, dense):
    start = pruned(tiny, dense, "magnitude")[2]
    record = fake.recovered(start, True) | {"achieved": 0.91, "flush_denormal": True}
    made = recovery.recovered_variant(start, "fine-tuned", record)
    assert (made.masks, made.checkpoint) == ("trained", start.checkpoint)
    told = {"variant": f"{STEM}/magnitude/fine-tuned/0.9", "protocol": "fine-tuned"}
    told |= {"sparsity": 0.9, "achieved": 0.91, "train_seconds": 1.25, "threshold": None}
    assert (told | {"settings": '{"flush_denormal": true}'}).items() <= variant_row(made).items()
    assert (start.protocol, start.level["threshold"] is None) == ("one-shot", False)  # as it was
    for model in ("one-shot", "fine-tuned"):  # a protocol in another part of a name stays
        named = replace(start, name=f"{model}/sentiment/magnitude/one-shot/0.9")
        made = recovery.recovered_variant(named, "distilled", record)
        assert made.name == f"{model}/sentiment/magnitude/distilled/0.9"
    uniform = pruned(tiny, dense, "magnitude-layer")[1]
    shares = {"encoder 0": 0.123456789, "encoder 1": 0.98}
    made = sensitivity.allocated_variant(tiny, dense, shares, uniform.level)
    assert made.name == f"{uniform.name}/allocated"
    assert (made.method, made.protocol, made.sparsity) == ("magnitude-layer", "one-shot", 0.5)
    assert made.settings == {"allocation": {"encoder 0": 0.1235, "encoder 1": 0.98}}
    base = experiment_variant.base_variant(
        tiny, tiny.models[1], 0, fake.checkpoint("decoder-only", "weights")
    )
    made = sensitivity.allocated_variant(tiny, base, shares, uniform.level, "wikitext2")
    assert made.name == "tiny-gpt2/magnitude-layer/one-shot/0.5/allocated/wikitext2"  # for a task


def test_every_kind_of_variant_has_a_row_in_the_table(tiny, dense):
    listed = [dense, *pruned(tiny, dense, "magnitude")]
    listed += [v for kind in KINDS for v in alternatives(tiny, dense, kind)]
    table = results.build({"variants": map(variant_row, listed)})["variants"]
    for column, each in (("variant", "name"), ("kind", "kind")):
        assert list(table[column]) == [getattr(v, each) for v in listed]
    assert [json.loads(text) for text in table["settings"]] == [v.settings for v in listed]
    assert set(table["status"]) == {"ok"}
    whole, magnitude = table[table["kind"] != "pruned"], table[table["kind"] == "pruned"]
    assert (whole["achieved"] == 0).all()  # nothing is removed of what could be
    assert list(whole["scope_weights"]) == [v.prunable for v in listed if v.kind != "pruned"]
    assert set(magnitude["peak_bytes"]) == {1 << 20}  # said once, of all levels
    for column in ("achieved", "scope_weights", "whole_model", "threshold", "prune_seconds"):
        assert list(magnitude[column]) == [v.level[column] for v in listed[1:6]], column


def timed_study(sparsities=(0.5, 0.9), **runtime):
    changed = {"sparsities": sparsities, "runtime": TIMED["study"]["runtime"] | runtime}
    return study.Study(**everything(**TIMED["study"] | changed), name="mine")


def groups(asked, name):
    """The model of that name and its variants by task, the dense one first, as a run has them."""
    model, found = next(m for m in asked.models if m.name == name), {}
    for task in model.tasks:
        dense = dense_of(asked, 0, model, task)
        by_method = {m: pruned(asked, dense, m, model.family) for m in asked.methods}
        found[task] = [dense, *(v for listed in by_method.values() for v in listed)]
        if task in asked.recovery.tasks:
            start, level = by_method["magnitude"][1], by_method["magnitude-layer"][0].level
            trained = fake.recovered(start, True)
            for protocol in ("fine-tuned", "distilled"):
                found[task].append(recovery.recovered_variant(start, protocol, trained))
            found[task].append(
                sensitivity.allocated_variant(asked, dense, {"encoder 0": 0.5}, level)
            )
            found[task] += [v for kind in KINDS for v in alternatives(asked, dense, kind)]
    return model, found


def timings(asked, name):
    """What is timed of the model of that name, by step."""
    found = timing.timings(asked, *groups(asked, name))
    return {call.step: call.arguments for call in found}


def kernels(arguments):
    return {entry["name"]: entry["kernels"] for entry in arguments["variants"]}


def test_every_variant_that_can_be_run_has_its_kernels_and_memory_is_measured_of_some():
    asked = timed_study([0.5, 0.9, 0.95])
    entries = timings(asked, "tiny-bert")["measure_latency"]["variants"]
    assert entries[0]["name"] == f"{STEM}/dense"
    assert {e["name"]: (", ".join(e["kernels"]), e["measured"]) for e in entries} == {
        f"{STEM}/{name}": (run, measured)
        for table, measured in (("measured", True), ("others", False))
        for run, names in TIMED[table].items()
        for name in names
    }
    named = {v.name: (v.checkpoint, v.masks) for v in groups(asked, "tiny-bert")[1]["sentiment"]}
    assert all((e["checkpoint"], e["masks"]) == named[e["name"]] for e in entries)
    assert f"{STEM}/structured/one-shot/0.95" in named  # out of reach


def test_the_timed_task_is_the_one_that_is_named_or_the_models_first():
    for name, task, timed, form in TIMED["tasks"]:
        found = timings(timed_study(task=task), name)
        for step in ("measure_latency", "measure_training"):
            assert found[step]["variants"][0]["name"] == f"{name}/{timed}/dense"
            assert found[step]["form"] == form


def test_only_what_is_asked_for_is_timed_and_only_beside_a_dense_model():
    for operations in (["forward"], ["generate"], ["generate", "forward"]):
        steps = {"forward": "measure_latency", "generate": "measure_generation"}
        asked = timed_study(operations=operations, masked_at=None)
        assert set(timings(asked, "tiny-gpt2")) == {steps[name] for name in operations}
    model, found = groups(timed_study(), "tiny-gpt2")
    found["language-modelling"] = found["language-modelling"][1:]  # the dense model failed
    latency, _ = timing.timings(timed_study(), model, found)  # nothing is left that writes
    assert latency.arguments["variants"][0]["name"] == "tiny-gpt2/sentiment/dense"
    assert timing.timings(timed_study(), model, {task: [] for task in found}) == []
