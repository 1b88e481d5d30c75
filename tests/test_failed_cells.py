"""A step that fails costs what hangs on it and no more; a machine that fails ends the run."""

import asyncio
import dataclasses
import io
import multiprocessing.spawn
import re
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd
import pytest
import rehearsals
import torch
import yaml
from fake_records import answers

import studies
from analysis import pipeline, results, study
from analysis.commands import run as command
from analysis.engine import workers
from analysis.engine.display import Display
from analysis.engine.memo import Call, Memo, Outcome
from analysis.engine.runner import Runner, complete
from analysis.errors import MachineError, RequestError, RunError
from analysis.experiments import catalogue

TABLES = yaml.safe_load(Path(__file__).with_name("tables.yml").read_text(encoding="utf-8"))
GLUE, REASON = ("sst2", "mrpc"), "the loss is NaN; lower the learning rate"


@dataclass
class Scripted(Runner):
    """A runner of made-up records: what the script matches fails, and timings without a word."""

    script: dict[str, Exception] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    async def _outcome(self, call):
        self.asked.append(call.label)
        await asyncio.sleep(0)
        for pattern, error in self.script.items():
            if re.search(pattern, call.label):
                raise error
        if call.step == "evaluate_variant":  # answers get worse with sparsity
            level = float(re.search(r"/(0\.\d+): |$", call.label)[1] or 0)
            return Outcome(answers(call.label.split("/")[1], level, 0), "computed", 0.0)
        found = catalogue.steps()[call.step].foreseen(call)
        return Outcome(found | dict.fromkeys(found.keys() & {"parameters"}, 10), "computed", 0.0)

    async def attempt(self, call):
        return (None, "not timed") if call.timing else await super().attempt(call)


def ran(script=None):
    """The tables of a run of three models on two tasks, three methods at two levels, in which what
    is in the script fails; and the labels of what was asked."""
    errors = {p: RunError(REASON) if e is None else e for p, e in (script or {}).items()}
    worker = Scripted(Memo(Path("nowhere")), 1, Display(io.StringIO()), script=errors)
    asked = {"methods": ["magnitude", "random", "wanda"], "sparsities": [0.5, 0.9]}
    chosen = study.Study(**rehearsals.cut("glue", **asked), name="cut")
    rows = asyncio.run(pipeline.run_study(chosen, worker))
    tables = {name: t.set_index(t.columns[0]) for name, t in results.build(rows).items()}
    return tables, worker.asked


@pytest.fixture(scope="module")
def whole():
    """The tables if nothing fails."""
    return ran()[0]


def lost(whole, tables):
    """The variants that are failed now; all others are as they were, in every table."""
    variants = tables["variants"]
    assert list(variants.index) == list(whole["variants"].index)
    failed = list(variants.index[variants["status"] == "failed"])
    for name in ("variants", "quality", "size"):
        before, after = (t[name].drop(failed, errors="ignore") for t in (whole, tables))
        assert before.equals(after), name
    assert not set(failed) & set(tables["quality"].index) & set(tables["size"].index)
    assert (variants.loc[failed, "reason"] == REASON).all()
    return set(failed)


def failures(tables):
    return [tuple(row) for row in tables["failures"].reset_index().to_numpy()]


def test_without_a_failure_all_cells_are_there(whole):
    assert (set(whole["variants"]["status"]), failures(whole)) == ({"ok"}, [])
    assert len(whole["variants"]) == 3 + 3 * 2 * (1 + 3 * 2 + 1)
    assert (whole["quality"].groupby(level=0)["task"].nunique() == 1).all()


def test_a_failed_step_costs_its_own_variants(whole):
    for stem, fails, variants in TABLES["lost"]:
        tables, _ = ran({f"^{re.escape(f'{stem}/{fails}')}$": None})
        assert lost(whole, tables) == {f"{stem}/{name}" for name in variants}
        assert failures(tables) == [(f"{stem}/{fails}", *stem.split("/"), REASON)]


def test_several_failures_are_all_there_and_a_lost_profile_costs_no_variant(whole):
    tables, _ = ran({"magnitude/one-shot/0.9: evaluate": None, "dense: prune by random": None})
    assert (len(lost(whole, tables)), len(failures(tables))) == (6 + 12, 6 + 6)
    tables, _ = ran({": profile$": None, ": histograms after pruning$": None})
    assert lost(whole, tables) == set()
    assert sorted(tables["failures"]["model"]) == sorted(["bart-base", "gpt2", "roberta-base"] * 2)


@pytest.mark.parametrize("label", ["gpt2: fine-tune for mrpc", "gpt2/mrpc/dense: evaluate"])
def test_without_a_scored_dense_model_of_a_task_the_other_tasks_are_whole(whole, label):
    tables, asked = ran({f"^{label}$": None})
    dense, names = tables["variants"].loc["gpt2/mrpc/dense"], whole["variants"].index
    assert (dense["status"], dense["reason"]) == ("failed", REASON)
    gone = [name for name in names if name.startswith("gpt2/mrpc/")]
    for name in ("quality", "contests"):
        assert tables[name].equals(whole[name].drop(gone, errors="ignore"))
    assert failures(tables) == [(label, "gpt2", "mrpc", REASON)]
    if "fine-tune" in label:  # there is none at all
        assert dense["parameters"] is None
        assert tables["size"].equals(whole["size"].drop(gone))
        assert not [other for other in asked if other.startswith("gpt2/mrpc")]
        assert list(names.difference(tables["variants"].index)) == sorted(gone[1:])


def test_a_model_that_cannot_be_had_is_named_and_the_others_are_whole(whole):
    tables, asked = ran({"^gpt2: download$": RequestError("no such model")})
    assert not [label for label in asked if label.startswith("gpt2/")]
    models, variants = tables["models"], tables["variants"]
    assert list(models.index) == ["roberta-base", "gpt2", "bart-base"]
    mine = models.loc["gpt2"]
    assert (mine["identifier"], pd.isna(mine["weights_sha256"])) == ("openai-community/gpt2", True)
    mine = variants[variants["model"] == "gpt2"]
    assert set(mine["reason"].items()) == {(f"gpt2/{t}/dense", "no such model") for t in GLUE}
    gone = [name for name in whole["variants"].index if name.startswith("gpt2/")]
    assert variants.drop(mine.index).equals(whole["variants"].drop(gone))
    assert failures(tables) == [("gpt2: download", "gpt2", None, "no such model")]


def test_without_a_machine_or_examples_there_is_no_study():
    for pattern, error in (
        ("gpt2/mrpc/dense: evaluate", MachineError("cannot write to the cache")),
        ("gpt2: download", MachineError("no room left")),
        ("^mrpc: examples$", RunError("no network")),
        ("^sst2: training examples$", RequestError("no such file")),
    ):
        with pytest.raises(type(error), match=str(error)):
            ran({pattern: error})


def call(step, **arguments):
    return Call(f"tests.failing_steps:{step}", arguments, label=step)


@pytest.fixture
def attempt(tmp_path, monkeypatch):
    """Attempts calls one after the other on a new runner; gives the outcomes, and the runner."""
    monkeypatch.syspath_prepend(str(studies.ROOT))
    monkeypatch.setenv("PYTHONPATH", str(studies.ROOT))

    async def each(worker, asked, beside):
        if beside:
            return await asyncio.gather(*map(worker.attempt, asked))
        return [await worker.attempt(one) for one in asked]

    def attempt(*asked, jobs=1, beside=False):
        kept = Memo(tmp_path / "cache")
        kept.prepare()
        worker = Runner(kept, jobs, Display(io.StringIO()))
        return complete(worker, each(worker, asked, beside)), worker

    return attempt


def test_a_worker_that_fails_or_dies_does_the_next_call_all_the_same(attempt):
    works = [call("works", number=number) for number in range(3)]
    asked = [works[0], call("breaks"), call("refuses"), works[1], call("misses"), works[2]]
    found, worker = attempt(*asked)
    assert [found[i] for i in (0, 3, 5)] == [({"twice": 2 * n}, None) for n in range(3)]
    broken, missed = "unexpected ValueError: this cannot be divided", found[4][1]
    assert found[1:3] == [(None, broken), (None, REASON)]
    assert "No such file" in missed
    assert worker.failures == {"breaks": broken, "refuses": REASON, "misses": missed}
    assert (worker.tallies["works"].computed, "\n" in missed) == (3, False)
    assert not worker.memo.has_entry(call("breaks"))  # the next run tries again


def test_one_of_several_workers_that_dies_costs_its_own_call_alone(attempt, tmp_path):
    """Once it is tried again; the second time nothing runs beside it."""
    fresh, once = (
        dataclasses.replace(call("dies"), label=n, fresh=n == "fresh") for n in ("fresh", "dies")
    )
    luck = call("dies_once", note=str(tmp_path / "note"))
    measured = call("measured_dies_once", note=str(tmp_path / "measured"))
    works = [call("works", number=number) for number in range(4)]
    asked = [works[0], fresh, works[1], once, luck, measured, *works[2:]]
    found, worker = attempt(*asked, jobs=3, beside=True)
    assert [record for record, _ in found if record] == [
        {"twice": 0}, {"twice": 2}, {"lived": True}, {"lived": True}, {"twice": 4}, {"twice": 6}
    ]  # fmt: skip
    assert set(worker.failures) == {"fresh", "dies"}
    for reason in worker.failures.values():
        assert re.search("its process was ended by SIGKILL: most often too little memory", reason)


def test_a_python_that_cannot_be_started_again_is_of_the_machine_not_of_memory(attempt):
    own = multiprocessing.spawn.get_executable()
    multiprocessing.spawn.set_executable("/bin/false")
    try:
        with pytest.raises(MachineError, match=r"^cannot start [^\n]*: /bin/false ended"):
            attempt(call("works", number=1))
    finally:
        multiprocessing.spawn.set_executable(own)
    (_, reason), *_ = attempt(call("exits"))[0]
    assert reason == "its process ended (exit status 3); and so the time before"


def test_what_no_other_step_would_bear_is_of_the_machine_and_else_of_the_step(tmp_path):
    own, other = tmp_path / "cache" / "objects" / "x", tmp_path / "weights.bin"
    rust = "Error while serializing: I/O error: No space left on device (os error 28)"
    for error, kind in [
        (OSError(28, "No space left on device"), MachineError),
        (OSError(30, "Read-only file system", str(other)), MachineError),
        (RuntimeError(rust), MachineError),
        (PermissionError(13, "Permission denied", str(own)), MachineError),
        (PermissionError(13, "Permission denied", str(other)), RunError),
        (FileNotFoundError(2, "No such file or directory", str(own)), RunError),
        (OSError("not a valid JSON file"), RunError),
        (torch.OutOfMemoryError("CUDA out of memory."), RunError),
        (KeyError("a"), RunError),
    ]:
        line = workers.explained(call("step"), error, tmp_path / "cache")
        assert type(line) is kind, error
        assert str(line).startswith("step: ") == (kind is MachineError), error
        assert ("unexpected" in str(line)) == isinstance(error, KeyError)


def test_what_the_first_method_loses_everywhere_fails_the_run(whole, monkeypatch):
    """Some failed cells do not."""
    chosen = study.Study(**rehearsals.cut("glue"), name="cut")

    def require(tables):
        flat = {name: table.reset_index() for name, table in tables.items()}
        command._require_worth(chosen, flat, {"a step": REASON})

    require(whole)
    require(ran({"gpt2/.*: prune by magnitude$": None})[0])
    with pytest.raises(RunError, match=f"magnitude, the study's first .*: a step: {REASON}"):
        require(ran({": prune by magnitude$": None})[0])
    with pytest.raises(RunError, match="nothing could be scored"):
        require(ran({": evaluate$": None})[0])
