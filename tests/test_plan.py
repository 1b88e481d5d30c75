"""A plan counts the steps that a run then takes, says what they need, and computes none of them."""

import io
import re

import pytest
import rehearsals
from rehearsals import FIVE, ROOT

import studies
from analysis import machine, project, study
from analysis.commands import plan as command
from analysis.errors import RequestError
from analysis.memo import Memo
from analysis.planning import models, walk

GIGABYTE = 10**9


@pytest.fixture
def here(tmp_path, monkeypatch):
    """An empty project, without a network to ask whether data can be had."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(command, "missing", lambda chosen, memo: [])
    return tmp_path


def planned(name, **rehearse):
    """The lines of the plan of a study of this repository."""
    command.plan(str(ROOT / "studies" / f"{name}.yml"), **rehearse)


def entries(folder):
    """What is remembered or stored in a cache."""
    return sorted(p for p in folder.rglob("*") if p.name == "output.pkl" or "objects" in p.parts)


# ---------------------------------------------------------------- steps


@pytest.fixture(scope="module")
def rehearsed(tmp_path_factory):
    """A cut-down study, what was planned before its run, after it, and its runner."""
    folder = tmp_path_factory.mktemp("planned")
    tree = rehearsals.cut("glue", sparsities=[0.5], formats=["dense", "auto"])
    tree["models"] = tree["models"][:1]
    chosen = rehearsals.loaded(folder, tree)
    with rehearsals.started(folder / "cache", io.StringIO()) as worker:
        before = walk.steps(chosen, worker.memo)
        kept = entries(folder)
        rehearsals.run(chosen, worker)
    assert not worker.failures
    return before, walk.steps(chosen, Memo(folder / "cache")), worker, kept


def test_the_steps_of_the_plan_are_those_of_the_run(rehearsed):
    before, after, worker, _ = rehearsed
    assert not any(step.is_remembered for step in before)
    assert all(step.is_remembered for step in after)
    for steps in (before, after):
        counted = {}
        for step in steps:
            counted[step.call.step] = counted.get(step.call.step, 0) + 1
        assert counted == {
            name: tally.computed + tally.remembered for name, tally in worker.tallies.items()
        }


def test_labels_are_those_of_the_run_and_no_step_stands_twice(rehearsed):
    before, after, _, _ = rehearsed
    assert sorted(s.call.label for s in before) == sorted(s.call.label for s in after)
    assert len({step.call.key for step in after}) == len(after)


def test_what_steps_took_is_known_afterwards(rehearsed):
    _, after, worker, _ = rehearsed
    took = sum(tally.seconds for tally in worker.tallies.values())
    assert sum(step.seconds for step in after) == pytest.approx(took, abs=0.1)


def test_planning_computes_nothing(rehearsed):
    assert rehearsed[3] == []


@pytest.mark.parametrize("name", [*FIVE, "tiny"])
def test_every_step_of_the_studies_can_be_foreseen(tmp_path, name):
    chosen = study.load(name, folder=studies.STUDIES)
    found = walk.steps(chosen, Memo(tmp_path / "cache"))
    labels = [step.call.label for step in found]
    for model in chosen.models:
        for task in model.tasks:
            scored = [v for v in labels if re.match(rf"{model.name}/.*: evaluate$", v)]
            assert len(scored) > len(chosen.sparsities) * 3, (model.name, task)
    assert entries(tmp_path) == []


# ---------------------------------------------------------------- what is printed


def test_the_plan_of_a_study_names_its_models_and_writes_nothing(here, capsys):
    planned("classic")
    said = capsys.readouterr().out
    for part in ("bert-base", "109,", "gpt2", "124,439,808", "pegasus-cnn", "examples"):
        assert part in said
    assert re.search(r"^[\d,]+ steps to compute, 0 remembered; 1 at a time$", said, re.M)
    for line in ("download: about", "disk: about", "memory: this machine has", "time: about"):
        assert re.search(f"^{line}", said, re.M)
    assert entries(here) == []
    assert not (here / "_output").exists()


@pytest.mark.parametrize(("memory", "enough"), [(24 * GIGABYTE, False), (2000 * GIGABYTE, True)])
def test_a_machine_that_is_too_small_is_said_before_it_is_paid_for(
    here, capsys, monkeypatch, memory, enough
):
    monkeypatch.setattr(machine, "memory_bytes", lambda: memory)
    planned("xl")
    lines = capsys.readouterr().out.splitlines()
    short = [line for line in lines if line.startswith("memory: t5-xl NEEDS MORE than the 24.0 GB")]
    assert bool(short) != enough
    if short:
        needed = float(re.search(r": ([\d.]+) GB for '(t5-xl[^']*)'", short[0])[1])
        assert needed > 16 * 2.85  # weights, gradients and two moments of 2.85 billion
        assert "fine-tune" in short[0]
    assert not [line for line in lines if "bert-large NEEDS MORE" in line]


def test_a_model_of_which_nothing_is_known_is_not_counted(here, capsys):
    model = {"name": "new", "family": "decoder-only", "source": "hub", "id": "org/unheard-of"}
    tree = studies.tree(models=[model | {"tasks": ["lambada"]}], examples={})
    command.plan(studies.to_file(here, tree))
    said = capsys.readouterr().out
    assert "unknown" in said
    assert "nothing is known of new before it is there" in said
    assert "download" not in said


def test_what_cannot_be_had_is_listed(here, capsys, monkeypatch):
    monkeypatch.setattr(command, "missing", lambda chosen, memo: ["org/data: fetch it first"])
    planned("glue")
    assert "missing: org/data: fetch it first" in capsys.readouterr().out


def test_files_that_are_not_there_are_all_listed(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    own = {
        "sst2": {"test": "a.jsonl", "train": "b.jsonl"},
        "mrpc": {"test": "c.jsonl", "train": "b.jsonl"},
    }
    model = {"name": "own", "family": "encoder-only", "source": "scratch", "fine_tune": ["sst2"]}
    tree = studies.tree(models=[model | {"tasks": ["sst2", "mrpc"]}], data=own, examples={})
    with pytest.raises(RequestError, match="missing, listed above"):
        command.plan(studies.to_file(tmp_path, tree))
    said = capsys.readouterr().out
    for name in ("a.jsonl", "b.jsonl", "c.jsonl"):
        assert re.search(rf"^missing: .*{name}", said, re.M)
    assert entries(tmp_path) == []


def test_a_rehearsal_downloads_nothing(here, capsys):
    planned("billion", rehearse="true")
    said = capsys.readouterr().out
    assert "rehearsal" in said
    assert "download" not in said


# ---------------------------------------------------------------- sizes


def test_sizes_are_known_before_a_model_is_there(tmp_path):
    chosen = study.load("billion", folder=studies.STUDIES)
    memo = Memo(tmp_path / project.CACHE)
    sizes = {model.name: models.size(chosen, model, memo) for model in chosen.models}
    assert sizes["gpt2-xl"].parameters == 1_557_611_200
    assert (sizes["gpt2-xl"].layers, sizes["gpt2-xl"].width, sizes["gpt2-xl"].heads) == (
        48,
        1600,
        25,
    )
    assert sizes["m2m100"].layers == 48  # of both stacks
    assert sizes["m2m100"].vocabulary == 128_112


@pytest.mark.parametrize("family", ["encoder-only", "decoder-only", "encoder-decoder"])
def test_a_model_from_scratch_is_about_as_large_as_it_becomes(tmp_path, family):
    import torch
    from transformers import AutoModel, BartConfig, BertConfig, GPT2Config

    shape = {"layers": 3, "width": 256, "heads": 4, "vocabulary": 5000, "positions": 64}
    task = {"encoder-only": "sst2", "decoder-only": "wikitext2", "encoder-decoder": "xsum"}[family]
    own = {"name": "own", "family": family, "source": "scratch", "tasks": [task], "shape": shape}
    chosen = study.Study(**studies.tree(models=[own], examples={}), name="x")
    found = models.size(chosen, chosen.models[0], Memo(tmp_path))
    config = {
        "encoder-only": lambda: BertConfig(
            vocab_size=5000, hidden_size=256, num_hidden_layers=3, num_attention_heads=4,
            intermediate_size=1024, max_position_embeddings=64,
        ),
        "decoder-only": lambda: GPT2Config(
            vocab_size=5000, n_embd=256, n_layer=3, n_head=4, n_positions=64
        ),
        "encoder-decoder": lambda: BartConfig(
            vocab_size=5000, d_model=256, encoder_layers=3, decoder_layers=3,
            encoder_attention_heads=4, decoder_attention_heads=4, encoder_ffn_dim=1024,
            decoder_ffn_dim=1024, max_position_embeddings=64,
        ),
    }[family]()  # fmt: skip
    with torch.device("meta"):
        real = AutoModel.from_config(config).num_parameters()
    assert found.parameters == pytest.approx(real, rel=0.2)
