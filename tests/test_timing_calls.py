"""What is timed, with which kernels, and what enters the keys of timings and of nothing else."""

import ast

import fake
import pytest
from test_alternative_calls import RECORDS

from analysis import (
    alternative_calls,
    calls,
    code,
    pruning,
    pruning_calls,
    study,
    timing_calls,
    variants,
)
from analysis.data_calls import Data
from studies import ROOT, everything

EACH = ["torch dense", "torch csr", "tiled csr", "auto"]
MODELS = [
    {"name": "tiny-bert", "family": "encoder-only", "tasks": ["sentiment", "paraphrase"]},
    {"name": "tiny-gpt2", "family": "decoder-only", "tasks": ["language-modelling", "sentiment"]},
    {"name": "tiny-bart", "family": "encoder-decoder", "tasks": ["headline", "sentiment"]},
]
TASKS = {"sentiment": 8, "paraphrase": 8, "language-modelling": 8, "headline": 8}
TIMED = {
    "operations": ["forward", "generate", "train_step"],
    "task": None,
    "masked_at": 0.9,
    "batches": [1, 4],
}


def chosen(**changes):
    """A study of all families with every kind of variant, everything timed."""
    changes = {"runtime": TIMED | changes.pop("runtime", {})} | changes
    return study.Study(**everything(models=MODELS, examples=TASKS, **changes), name="mine")


def group(asked, model, task):
    """The variants of a model on a task, the dense one first, as a run has them."""
    record = fake.checkpoint(model.family, f"{model.name}-{task}")
    dense = variants.dense_variant(asked, model, task, 0, record)
    found = [dense]
    for method in asked.methods:
        protocol = "fine-tuned" if pruning.kind(method) == "trained" else "one-shot"
        made = fake.pruned(model.family, method, asked)
        found += [
            variants.pruned_variant(asked, dense, method, protocol, made, level)
            for level in made["levels"]
        ]
    if task in asked.recovery.tasks:
        starts = [v for v in found if v.method == "magnitude" and v.sparsity == 0.9]
        for protocol in ("fine-tuned", "distilled"):
            trained = fake.recovered(starts[0], True)
            found.append(variants.recovered_variant(starts[0], protocol, trained))
        level = next(v for v in found if v.method == "magnitude-layer").level
        found.append(variants.allocated_variant(asked, dense, {"encoder 0": 0.5}, level))
        for kind in asked.alternatives.kinds:
            found += alternative_calls.found(asked, dense, kind, RECORDS[kind])
    return found


def timings(asked, name):
    """The timings of the model of that name, by step."""
    model = next(model for model in asked.models if model.name == name)
    groups = {task: group(asked, model, task) for task in model.tasks}
    return {call.step: call for call in timing_calls.timings(asked, model, groups)}


def entries(call):
    return {entry["name"]: entry for entry in call.arguments["variants"]}


@pytest.fixture(scope="module")
def forward():
    """The entries of the latency of one model, without its name and the task's."""
    call = timings(chosen(sparsities=[0.5, 0.9, 0.95]), "tiny-bert")["measure_latency"]
    stem = "tiny-bert/sentiment/"
    return {name.removeprefix(stem): entry for name, entry in entries(call).items()}


# ---------------------------------------------------------------- which variants, which kernels


def test_the_dense_model_comes_first_and_runs_dense():
    for name in ("tiny-bert", "tiny-gpt2", "tiny-bart"):
        for call in timings(chosen(), name).values():
            first = call.arguments["variants"][0]
            assert first["name"].endswith("/dense")
            assert first["kernels"] == ["torch dense"]
            assert first["masks"] is None


def test_every_level_of_the_timed_method_runs_with_each_kernel(forward):
    timed = {name for name, entry in forward.items() if entry["kernels"] == EACH}
    assert timed == {f"magnitude/one-shot/{level}" for level in ("0.5", "0.9", "0.95")}


def test_another_method_can_be_the_timed_one():
    call = timings(chosen(runtime={"method": "wanda"}), "tiny-bert")["measure_latency"]
    timed = [name for name, entry in entries(call).items() if entry["kernels"] == EACH]
    assert [name.split("/")[2] for name in timed] == ["wanda"] * 2


@pytest.mark.parametrize(
    "name",
    [
        "magnitude/fine-tuned/0.9",
        "magnitude/distilled/0.9",
        "gradual/fine-tuned/0.5",
        "wanda/one-shot/0.9",
        "magnitude-layer/one-shot/0.5/allocated",
        "nm-wanda/one-shot/4:8",
    ],
)
def test_other_masked_variants_run_with_what_is_fastest(forward, name):
    assert forward[name]["kernels"] == ["auto"]
    assert forward[name]["masks"]
    assert not forward[name]["measured"]


@pytest.mark.parametrize(
    ("name", "kernel"),
    [
        ("int8", "torch int8"),
        ("student", "torch dense"),
        ("moe/4-of-8/learned", "experts"),
        ("moe/2-of-8/learned", "experts"),
        ("structured/one-shot/0.5", "torch dense"),
        ("structured/one-shot/0.9", "torch dense"),
    ],
)
def test_models_of_their_own_run_as_they_are(forward, name, kernel):
    assert forward[name]["kernels"] == [kernel]
    assert forward[name]["masks"] is None


def test_an_oracles_routers_are_never_timed():
    for name in ("tiny-bert", "tiny-gpt2", "tiny-bart"):
        for call in timings(chosen(), name).values():
            assert not any("oracle" in name for name in entries(call))


def test_what_cannot_be_reached_is_never_timed(forward):
    asked = chosen(sparsities=[0.5, 0.9, 0.95])
    assert not all(v.reached for v in group(asked, asked.models[0], "sentiment"))
    assert "structured/one-shot/0.95" not in forward


def test_memory_is_measured_of_the_timed_method_and_of_models_of_their_own(forward):
    measured = {name for name, entry in forward.items() if entry["measured"]}
    levels = ("0.5", "0.9", "0.95")
    assert measured == {
        "dense",
        "int8",
        "student",
        *(f"magnitude/one-shot/{level}" for level in levels),
        *(f"structured/one-shot/{level}" for level in levels[:2]),
        *(f"moe/{run}-of-8/learned" for run in (4, 2)),
    }


# ---------------------------------------------------------------- which task, which operation


def test_forward_passes_are_of_the_task_that_is_named_or_of_the_first():
    def task(name, **runtime):
        call = timings(chosen(runtime=runtime), name)["measure_latency"]
        return call.arguments["variants"][0]["name"].split("/")[1], call.arguments["form"]

    assert task("tiny-bart", task="sentiment") == ("sentiment", "classification")
    assert task("tiny-bart") == ("headline", "text-to-text")
    assert task("tiny-bart", task="paraphrase") == ("headline", "text-to-text")
    assert task("tiny-gpt2", task="sentiment") == ("sentiment", "classification")
    assert task("tiny-gpt2", task=None) == ("language-modelling", "causal")


def test_models_that_write_generate_by_the_variants_of_that_task():
    asked = chosen(runtime={"task": "sentiment"})
    assert "measure_generation" not in timings(asked, "tiny-bert")
    for name, task in (("tiny-gpt2", "language-modelling"), ("tiny-bart", "headline")):
        found = entries(timings(asked, name)["measure_generation"])
        stem = f"{name}/{task}"
        assert {n: entry["kernels"] for n, entry in found.items()} == {
            f"{stem}/dense": ["torch dense"],
            f"{stem}/magnitude/one-shot/0.5": ["torch dense", "auto"],
            f"{stem}/magnitude/one-shot/0.9": ["torch dense", "auto"],
        }


def test_training_steps_are_of_the_dense_model_and_the_masked_one():
    for level in (0.5, 0.9):
        call = timings(chosen(runtime={"masked_at": level}), "tiny-bert")["measure_training"]
        assert list(entries(call)) == [
            "tiny-bert/sentiment/dense",
            f"tiny-bert/sentiment/magnitude/one-shot/{level}",
        ]
        assert call.arguments["batch"] == 4


def test_only_the_operations_that_are_asked_for_are_timed():
    for operations, steps in (
        (["forward"], {"measure_latency"}),
        (["generate"], {"measure_generation"}),
        (["generate", "forward"], {"measure_latency", "measure_generation"}),
    ):
        asked = chosen(runtime={"operations": operations, "masked_at": None})
        assert set(timings(asked, "tiny-gpt2")) == steps


def test_timings_run_alone_and_the_replica_at_the_studys_levels():
    asked = chosen(runtime={"replica": "bert-base"})
    replica = timing_calls.replica(asked)
    assert replica.arguments["sparsities"] == [0.5, 0.9]
    assert replica.arguments["architecture"] == "bert-base"
    for call in [*timings(asked, "tiny-gpt2").values(), replica]:
        assert call.timing
        assert "machine" in call.key
    assert {step for step, call in timings(asked, "tiny-gpt2").items() if call.fresh} == {
        "measure_latency"  # it measures memory, too
    }


# ---------------------------------------------------------------- keys


def every_key(asked):
    """The keys of timings, and those of all else that is done with the same variants."""
    model = asked.models[0]
    listed = group(asked, model, "sentiment")
    test = {"data": {"object": "x"}}
    data = Data("sentiment", test, None)
    timed = [*timings(asked, "tiny-gpt2").values(), timing_calls.replica(asked)]
    other = [calls.evaluate(asked, v, "sentiment", test) for v in listed]
    other += [calls.size(asked, v) for v in listed]
    other += [pruning_calls.prune(asked, listed[0], data, m) for m in asked.methods]
    other += [pruning_calls.recover(asked, listed[1], data, "fine-tuned")]
    other += [alternative_calls.make(asked, listed[0], data, k)
              for k in asked.alternatives.kinds]  # fmt: skip
    return {call.step: call.key for call in timed}, {(c.step, c.label): c.key for c in other}


@pytest.mark.parametrize(
    ("changed", "steps"),
    [
        *(
            ({name: value}, {"measure_latency", "measure_generation", "measure_training",
                             "measure_replica"})
            for name, value in (
                *(("min_runs", 4), ("min_seconds", 2.0), ("warmup_runs", 3)),
                *(("warmup_seconds", 0.5), ("max_seconds", 9.0), ("threads", 1)),
            )
        ),
        ({"tokens": 9}, {"measure_latency", "measure_generation", "measure_training"}),
        ({"new_tokens": 9}, {"measure_generation"}),
        ({"batches": [4]}, {"measure_latency"}),
        ({"batches": [1, 8]}, {"measure_latency", "measure_training"}),
        ({"masked_at": 0.5}, {"measure_training"}),
        ({"task": "sentiment"}, {"measure_latency", "measure_training"}),
        ({"method": "wanda"}, {"measure_latency", "measure_generation", "measure_training"}),
    ],
)  # fmt: skip
def test_what_is_timed_and_how_long_is_in_the_keys_of_timings_alone(changed, steps):
    replica = {"replica": "bert-base"}
    before, others = every_key(chosen(runtime=replica))
    after, others_after = every_key(chosen(runtime=replica | changed))
    assert {step for step in before if before[step] != after[step]} == steps
    assert others_after == others


def test_where_kernels_are_remembered_is_in_no_key(monkeypatch, tmp_path):
    before, _ = every_key(chosen())
    call = timings(chosen(), "tiny-bert")["measure_latency"]
    monkeypatch.setattr(timing_calls.project, "CACHE", tmp_path / "elsewhere")
    moved = timings(chosen(), "tiny-bert")["measure_latency"]
    assert moved.carried["kernels"] == str(tmp_path / "elsewhere" / "kernels.json")
    assert moved.carried != call.carried
    assert moved.key == call.key
    assert every_key(chosen())[0] == before


def test_how_much_memory_may_be_taken_is_in_no_key():
    little = chosen(compute={"memory_gb": 1.5})
    assert every_key(little) == every_key(chosen())
    for call in timings(little, "tiny-gpt2").values():
        assert call.carried["memory_bytes"] == 1.5e9 * 3 // 4


def edited(monkeypatch, module):
    """As if the code of that module were another."""
    facts = code._facts

    def changed(name, root):
        digest, imported = facts(name, root)
        return (f"edited {digest}" if name == module else digest), imported

    monkeypatch.setattr(code, "_facts", changed)


FILES = (ROOT / "analysis" / "execution").glob("*.py")
EXECUTION = sorted(f"analysis.execution.{path.stem}" for path in FILES if path.stem != "__init__")


@pytest.mark.parametrize("module", EXECUTION)
def test_an_edit_to_how_models_run_leaves_all_but_timings_remembered(monkeypatch, module):
    asked = chosen(runtime={"replica": "bert-base"})
    before, others = every_key(asked)
    edited(monkeypatch, module)
    after, others_after = every_key(asked)
    assert all(before[step] != after[step] for step in before)
    assert others_after == others


def test_an_edit_to_how_models_are_loaded_times_and_evaluates_again(monkeypatch):
    asked = chosen()
    before, others = every_key(asked)
    edited(monkeypatch, "analysis.models.loading")
    after, others_after = every_key(asked)
    changed = {step for step in before if before[step] != after[step]}
    assert changed >= {"measure_latency", "measure_generation", "measure_training"}
    changed = {step for (step, label), key in others.items() if others_after[step, label] != key}
    assert "evaluate_variant" in changed
    assert not changed & {"measure_sizes", "prune_checkpoint", "quantise_checkpoint"}


def test_steps_that_compute_no_time_import_nothing_that_runs_models_fast():
    timing = {"latency", "generation", "train_time", "replica", "sharing"}
    for path in (ROOT / "analysis/steps").glob("*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        imported = {n.module for n in ast.walk(tree) if isinstance(n, ast.ImportFrom)}
        uses = any(name.startswith("analysis.execution") for name in imported if name)
        assert uses == (path.stem in timing), path.stem
