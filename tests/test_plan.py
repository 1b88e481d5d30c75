"""A plan says which steps a run would take and what they need, and computes none of them."""

import re
import shutil
from collections import Counter
from pathlib import Path
from unittest.mock import Mock

import mini
import pytest
from commandline import one_line, request
from rehearsals import FIVE

import studies
from analysis import study
from analysis.commands import plan as command
from analysis.engine import machine
from analysis.engine.memo import Call, Memo
from analysis.experiments import costs
from analysis.experiments.costs import Setting
from analysis.models import families
from analysis.planning import counts, models, walk
from analysis.planning.estimates import estimate
from analysis.study import rehearsal

GIGABYTE = 10**9


@pytest.fixture
def here(tmp_path, monkeypatch):
    """An empty project, no network to ask whether data can be had, a slow machine of its own."""
    monkeypatch.setattr(command, "missing", lambda chosen, memo: [])
    monkeypatch.setattr(command, "measured_speed", lambda: 1e9)
    monkeypatch.setattr(machine, "memory_bytes", lambda: 24 * GIGABYTE)
    return tmp_path


def planned(folder, study_file, *more):
    done = request("plan", "--study", study_file, *more, folder=folder)
    assert done.returncode == 0, done.stderr
    return done.stdout


def is_empty(folder):
    return not any(p.name == "output.pkl" or "objects" in p.parts for p in folder.rglob("*"))


def test_every_step_of_the_studies_can_be_foreseen_and_told_apart_by_its_label(tmp_path):
    """Failures are: of seeds, levels, parts of the data, rehearsed or not."""
    every = [study.load(name, folder=studies.STUDIES) for name in (*FIVE, "tiny")]
    every.append(rehearsal.rehearsed(study.load("glue", folder=studies.STUDIES), "tiny"))
    for one in every:
        chosen = one.model_copy(update={"seeds": (0, 1)})
        found = walk.steps(chosen, Memo(tmp_path / "cache"))
        labels = [step.call.label for step in found]
        assert len({step.call.key for step in found}) == len(found)
        assert [label for label, count in Counter(labels).items() if count > 1] == [], one.name
        for model in chosen.models:
            for task in model.tasks:
                pattern = rf"{model.name}/.*: evaluate( for {task})?$"
                scored = [v for v in labels if re.match(pattern, v)]
                assert len(scored) > len(chosen.sparsities) * 3, (model.name, task)
    assert is_empty(tmp_path)


def test_the_plan_of_a_study_names_its_models_and_writes_nothing(here):
    said = planned(here, studies.STUDIES / "classic.yml")
    for part in ("bert-base", "109,", "gpt2", "124,439,808", "pegasus-cnn", "examples"):
        assert part in said
    assert re.search(r"^[\d,]+ steps to compute, 0 remembered; 1 at a time$", said, re.M)
    for line in ("download: about", "disk: about", "time: about"):
        assert re.search(f"^{line}", said, re.M)
    assert "memory: this machine has 24.0 GB" in said
    assert is_empty(here)
    assert not (here / "_output").exists()


def test_a_rehearsal_is_planned_without_a_download(tmp_path):
    path = str(studies.STUDIES / "billion.yml")
    done = mini.analysis(tmp_path, "plan", "--study", path, "--rehearse")
    words = ("study billion, rehearsal", "gpt2-xl", "download")
    assert [word in done.stdout for word in words] == [True, True, False], done


def test_a_machine_that_is_too_small_is_said_before_it_is_paid_for(here, monkeypatch):
    monkeypatch.setattr(command.shutil, "disk_usage", lambda folder: Mock(free=GIGABYTE))
    said = planned(here, studies.STUDIES / "xl.yml")
    short = r"^memory: t5-xl NEEDS MORE than the 24.0 GB here: ([\d.]+) GB for 't5-xl[^']*fine-tune"
    (needed,) = re.findall(short, said, re.M)
    assert float(needed) > 16 * 2.85  # weights, gradients and two moments of 2.85 billion
    assert "bert-large NEEDS MORE" not in said
    assert re.search(r"^disk: about [\d.]+ GB; 1.0 GB are free: NOT ENOUGH$", said, re.M)
    monkeypatch.setattr(machine, "memory_bytes", lambda: 2000 * GIGABYTE)
    monkeypatch.setattr(command.shutil, "disk_usage", lambda folder: Mock(free=10**16))
    assert not re.search("NEEDS MORE|NOT ENOUGH", planned(here, studies.STUDIES / "xl.yml"))


def test_steps_side_by_side_take_a_part_of_the_time(here):
    hours = {}
    for jobs in (1, 4):
        said = planned(here, studies.to_file(here, studies.tree(compute={"jobs": jobs})))
        hours[jobs] = float(re.search(r"^time: about ([\d.]+) (?:min|s) on", said, re.M)[1])
        assert f"0 remembered; {jobs} at a time" in said
    assert hours[1] == pytest.approx(4 * hours[4], rel=0.1)


def test_a_model_of_which_nothing_is_known_is_not_counted(here):
    said = planned(here, studies.to_file(here, studies.of(studies.HUB)))
    words = ("unknown", "nothing is known of bert before it is there", "download")
    assert [word in said for word in words] == [True, True, False], said


def test_all_that_cannot_be_had_is_listed(here, monkeypatch):
    monkeypatch.setattr(command, "missing", lambda chosen, memo: ["org/data: fetch it first"])
    assert "missing: org/data: fetch it first" in planned(here, studies.STUDIES / "glue.yml")
    monkeypatch.undo()
    own = {"sst2": {"test": "a.jsonl", "train": "b.jsonl"}}
    own["mrpc"] = {"test": "c.jsonl", "train": "b.jsonl"}
    tree = studies.of(studies.OWN | {"fine_tune": ["sst2"], "tasks": ["sst2", "mrpc"]}, data=own)
    done = request("plan", "--study", studies.to_file(here, tree), folder=here)
    assert (done.returncode, done.stdout) == (2, "")
    said = one_line(done.stderr)
    assert all(said.count(name) == 1 for name in ("a.jsonl", "b.jsonl", "c.jsonl")), said
    own["mrpc"]["test"] = "c.unknown"
    (here / "c.unknown").write_text("")
    (here / "README.md").write_text("where a.jsonl and b.jsonl come from")
    tree = studies.of(tree["models"][0], data=own)
    done = request("plan", "--study", studies.to_file(here, tree), folder=here)
    assert "2 things are missing, listed above" in one_line(done.stderr)
    assert re.search(r"^missing: .*a.jsonl, b.jsonl; README.md says how", done.stdout, re.M)
    assert re.search(r"^missing: c.unknown: ", done.stdout, re.M)


def test_the_files_of_local_are_looked_for_in_the_project_where_a_page_tells_of_each(
    here, monkeypatch
):
    """And only what is not there is named."""
    monkeypatch.delenv("SPARSITY_DATA", raising=False)
    page = Path(studies.STUDIES.parent, "data/README.md")
    (here / "data").mkdir()
    shutil.copy(page, here / "data")
    run = ("run", "--study", studies.STUDIES / "local.yml")
    done = request(*run, folder=here)
    assert done.returncode == 2
    named = re.findall(r"\w+/\w+\.(?:jsonl|txt)", one_line(done.stderr))
    assert len(named) == 7
    assert all(name in page.read_text() for name in named)
    (here / "data" / named[0]).parent.mkdir()
    (here / "data" / named[0]).write_text('{"sentence": "", "label": 0}')
    assert named[0] not in one_line(request(*run, folder=here).stderr)


def test_sizes_are_known_before_a_model_is_there(tmp_path):
    chosen = study.load("billion", folder=studies.STUDIES)
    sizes = {m.name: models.size(chosen, m, Memo(tmp_path)) for m in chosen.models}
    assert sizes["gpt2-xl"] == costs.Size(1_557_611_200, 48, 1600, 25, 50257, 1024)
    assert (sizes["m2m100"].layers, sizes["m2m100"].vocabulary) == (48, 128_112)  # of both stacks


def test_a_model_from_scratch_is_about_as_large_as_it_becomes(tmp_path):
    shape = {"layers": 3, "width": 256, "heads": 4, "positions": 64}
    for family, (task, words) in {
        "encoder-only": ("sst2", "Bert"),
        "decoder-only": ("wikitext2", "GPT2"),
        "encoder-decoder": ("xsum", "Bart"),
    }.items():
        real, tokenizer = families.Shape(**shape), mini.tokenizer(words)
        own = shape | {"vocabulary": 300}
        own = studies.OWN | {"family": family, "tasks": [task], "shape": own}
        chosen = study.Study(**studies.of(own), name="x")
        found = models.size(chosen, chosen.models[0], Memo(tmp_path))
        made = families.build(family, real, tokenizer)
        assert found.parameters == pytest.approx(made.num_parameters(), rel=0.2), family
        assert found.layers == (6 if family == "encoder-decoder" else 3)


TIMING = {"variants": [{"kernels": ["dense", "csr"]}], "batches": [1, 8], "tokens": 10}
SCHEDULE = {"min_runs": 10, "warmup_runs": 2, "max_seconds": 1e9}
LOOK = {"levels": [0.5], "calibration": {"examples": 3, "tokens": 10}}
FORWARD = 2 * 1000 * 10  # seconds of an example's forward pass, at one operation a second
# step, its arguments; forward passes of an example that it takes, bytes that it leaves
ESTIMATES = [
    ("evaluate_variant", {}, 6, 0),
    ("measure_sensitivity", {"by": "layer", "sparsities": [0.5, 0.9]}, 6 * (1 + 2 * 2), 0),
    ("fine_tune_checkpoint", {"course": {"examples": 5, "epochs": 2}}, 3 * 5 * 2, 4000),
    ("grow_sparse", {"course": {"examples": "all"}, "sparsities": [0.1, 0.5]}, 3 * 6 * 2, 8000),
    ("prune_checkpoint", {"levels": [0.1, 0.5, 0.9]}, 0, 375),
    ("prune_calibrated", LOOK | {"method": "wanda"}, 2 * 3, 125),
    ("prune_calibrated", LOOK | {"method": "sparsegpt"}, 2 * 3, 4125),
    ("take_hub_model", {}, 0, 4000),
    ("make_replica", {}, 0, 4000),
    ("measure_sizes", {"formats": ["dense"]}, 0, 0),
    ("measure_latency", TIMING | {"schedule": SCHEDULE}, 2 * 2 * 12, 0),
    ("measure_latency", TIMING | {"schedule": SCHEDULE | {"max_seconds": FORWARD}}, 2 * 2, 0),
    ("take_folder", {}, 0, 0),
]


def test_all_training_examples_are_counted_where_a_plan_can_know_them(tmp_path):
    """SST-2 has 67,349 of them and 872 test examples; a file has its lines."""
    (tmp_path / "train.jsonl").write_text("{}\n" * 50, encoding="utf-8")
    own = {"test": "test.jsonl", "train": "train.jsonl", "train_part": [0.2, 1.0]}
    hub = {"name": "m", "family": "encoder-only", "source": "hub", "id": "o/m"}
    hub |= {"tasks": ["sst2", "mrpc", "text-classification"]}
    data = {"text-classification": own, "mrpc": own | {"train": "train.parquet"}}
    tree = studies.of(hub, data=data, data_folder=str(tmp_path))
    chosen = study.Study(**tree, name="x")
    (tmp_path / "test.jsonl").write_text(f"{'x' * 79}\n" * 7, encoding="utf-8")
    found = [counts.counted(chosen, task, "train").examples for task in chosen.tasks]
    assert found == [67_349, None, 40]
    found = [counts.counted(chosen, task, "test") for task in chosen.tasks]
    assert found == [counts.Counted(872), counts.Counted(7, 20), counts.Counted(7, 20)]
    size, call = costs.Size(1000), Call("x:fine_tune_checkpoint", {"course": {"examples": None}})
    known, unknown = (Setting(size, "classification", 10, 872, 2.0, n) for n in (67_349, None))
    ratio = estimate(call, known).seconds / estimate(call, unknown).seconds
    assert ratio == pytest.approx(67_349 / 872)


def test_estimates_follow_weights_tokens_and_examples():
    """2·P·T operations forward, 6·P·T in training, at half the speed of one large product."""
    size = costs.Size(1000, layers=2, width=8, heads=2, vocabulary=50)

    def of(step, size=size, form="classification", **arguments):
        setting = Setting(size, form, tokens=10, examples=6, speed=2.0)
        return estimate(Call(f"x:{step}", arguments), setting)

    for step, arguments, passes, disk in ESTIMATES:
        found = of(step, **arguments)
        assert found.seconds == pytest.approx(passes * FORWARD, abs=1e-3), step
        assert found.disk_bytes == disk, step
        assert found.memory_bytes > 4000 or step == "take_folder", step
    text = of("evaluate_variant", form="masked").seconds
    assert text == pytest.approx(10 * 6 * FORWARD, rel=1e-3)  # once for each of ten tokens
    assert of("measure_sizes", formats=["dense", "auto"]).seconds > 0
    few, many = (of("recover", course={"batch_size": n}).memory_bytes - 16_000 for n in (4, 8))
    assert many == 2 * few > 0  # beside weights, gradients and two moments
    logits = of("recover", form="causal", course={"batch_size": 4}).memory_bytes - 16_000 - few
    assert logits == 6 * 4 * 4 * 10 * 50  # six copies in float32
    assert of("evaluate_variant", costs.Size(None)).seconds == of("measure_replica").seconds == 0
