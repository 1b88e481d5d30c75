"""A step that fails costs what hangs on it and no more; a machine that fails ends the run."""

import asyncio
import io
import re
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import rehearsals

import studies
from analysis import pipeline, results, study, tasks
from analysis.display import Display
from analysis.errors import MachineError, RequestError, RunError
from analysis.memo import Call, Memo, Outcome
from analysis.planning.records import stand_in
from analysis.runner import Runner, complete
from analysis.scoring.statistics import METRICS

REASON = "the loss is NaN; lower the learning rate"


@dataclass
class Scripted(Runner):
    """A runner that computes nothing: calls whose label matches fail, others have made-up records.

    No timing has a record; those fail without a word.
    """

    script: dict[str, Exception] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    async def _outcome(self, call):
        self.asked.append(call.label)
        await asyncio.sleep(0)
        for pattern, error in self.script.items():
            if re.search(pattern, call.label):
                raise error
        return Outcome(record(call), "computed", 0.0)

    async def attempt(self, call):
        return (None, "not timed") if call.timing else await super().attempt(call)


def record(call):
    """As `stand_in`, and answers that get worse with sparsity."""
    if call.step == "evaluate_variant":
        task, sparse = call.label.split("/")[1], re.search(r"/(0\.\d+): ", call.label)
        return answered(tasks.task(task).metrics, float(sparse[1]) if sparse else 0.0)
    found = stand_in(call)
    return found | {"parameters": 10} if "parameters" in found else found


def answered(metrics, level):
    """An evaluation in which so many of 100 answers are wrong as the level says."""
    right = (np.arange(100) >= 50 * level).astype(float)
    known = {"correct": right, "true_positive": right, "false_positive": 1 - right}
    scores = {}
    for name in metrics:
        columns = METRICS[name].columns
        rows = np.stack([known.get(column, np.ones(100)) for column in columns], axis=1)
        value = float(METRICS[name].value(rows.sum(axis=0)))
        scores[name] = {"value": value, "rows": rows.tolist()}
    more = {"collapsed": False, "tokens_per_word": None, "sample": ["1"]}
    return {"metrics": scores, "examples": 100} | more


def chosen(**changes):
    """RoBERTa, GPT-2 and BART on two tasks, two methods at two levels, one of them trained."""
    asked = {"methods": ["magnitude", "random", "wanda"], "sparsities": [0.5, 0.9]}
    tree = rehearsals.cut("glue", **(asked | changes))
    return study.Study(**tree, name="cut")


def ran(script=None, **changes):
    """The tables of a run in which what is in the script fails, and its runner."""
    errors = {p: RunError(REASON) if e is None else e for p, e in (script or {}).items()}
    worker = Scripted(Memo(Path("nowhere")), 1, Display(io.StringIO()), script=errors)
    rows = asyncio.run(pipeline.run_study(chosen(**changes), worker))
    return {name: t.set_index(t.columns[0]) for name, t in results.build(rows).items()}, worker


@pytest.fixture(scope="module")
def whole():
    """The tables if nothing fails."""
    return ran()[0]


def lost(whole, tables):
    """The variants that are failed now; all others are as they were, in every table."""
    variants = tables["variants"]
    failed = list(variants.index[variants["status"] == "failed"])
    assert list(variants.index) == list(whole["variants"].index)
    for name in ("variants", "quality", "size"):
        before, after = (t[name].drop(failed, errors="ignore") for t in (whole, tables))
        assert before.equals(after), name
    assert not set(failed) & set(tables["quality"].index) & set(tables["size"].index)
    assert (variants.loc[failed, "reason"] == REASON).all()
    return set(failed)


# ---------------------------------------------------------------- what is lost


def test_without_a_failure_all_cells_are_there(whole):
    assert set(whole["variants"]["status"]) == {"ok"}
    assert len(whole["failures"]) == 0
    assert len(whole["variants"]) == 3 + 3 * 2 * (1 + 3 * 2 + 1)
    tasks = whole["quality"].groupby(level=0)["task"].nunique()
    assert (tasks == 1).all()


@pytest.mark.parametrize(
    ("fails", "model", "task", "variants"),
    [
        (
            "gpt2/mrpc/random/one-shot/0.9: evaluate",
            "gpt2",
            "mrpc",
            {"gpt2/mrpc/random/one-shot/0.9"},
        ),
        (
            "gpt2/mrpc/random/one-shot/0.9: store",
            "gpt2",
            "mrpc",
            {"gpt2/mrpc/random/one-shot/0.9"},
        ),
        (
            "bart-base/sst2/dense: prune by wanda",
            "bart-base",
            "sst2",
            {f"bart-base/sst2/wanda/one-shot/{level}" for level in (0.5, 0.9)},
        ),
        (
            "bart-base/sst2/dense: prune by magnitude",
            "bart-base",
            "sst2",
            {f"bart-base/sst2/magnitude/one-shot/{level}" for level in (0.5, 0.9)}
            | {"bart-base/sst2/magnitude/fine-tuned/0.5"},
        ),
        (
            "roberta-base/mrpc/magnitude/one-shot/0.5: fine-tuned",
            "roberta-base",
            "mrpc",
            {"roberta-base/mrpc/magnitude/fine-tuned/0.5"},
        ),
    ],
)
def test_a_failed_step_costs_its_own_variants(whole, fails, model, task, variants):
    tables, _ = ran({f"^{re.escape(fails)}$": None})
    assert lost(whole, tables) == variants
    (failure,) = tables["failures"].reset_index().to_dict("records")
    assert failure == {"step": fails, "model": model, "task": task, "reason": REASON}


def test_without_the_dense_model_of_a_task_its_other_tasks_are_whole(whole):
    tables, worker = ran({"^gpt2: fine-tune for mrpc$": None})
    dense = tables["variants"].loc["gpt2/mrpc/dense"]
    assert (dense["status"], dense["reason"]) == ("failed", REASON)
    assert dense["parameters"] is None
    assert not [label for label in worker.asked if label.startswith("gpt2/mrpc")]
    gone = [name for name in whole["variants"].index if name.startswith("gpt2/mrpc/")]
    for name in ("quality", "size"):
        assert tables[name].equals(whole[name].drop(gone))
    assert list(tables["variants"].index.difference(whole["variants"].index)) == []
    (failure,) = tables["failures"].reset_index().to_dict("records")
    assert (failure["model"], failure["task"]) == ("gpt2", "mrpc")


def test_a_dense_model_that_could_not_be_scored_leaves_nothing_to_compare_with(whole):
    tables, _ = ran({"^gpt2/mrpc/dense: evaluate$": None})
    assert tables["variants"].loc["gpt2/mrpc/dense", "status"] == "failed"
    assert not [name for name in tables["quality"].index if name.startswith("gpt2/mrpc/")]
    others = [name for name in whole["quality"].index if not name.startswith("gpt2/mrpc/")]
    assert list(tables["quality"].index) == others
    assert not [name for name in tables["contests"].index if name.startswith("gpt2/mrpc/")]


def test_a_model_that_cannot_be_had_is_named_and_the_others_are_whole(whole):
    tables, worker = ran({"^gpt2: download$": RequestError("no such model")})
    assert not [label for label in worker.asked if label.startswith("gpt2/")]
    models, variants = tables["models"], tables["variants"]
    assert list(models.index) == ["roberta-base", "gpt2", "bart-base"]
    assert pd.isna(models.loc["gpt2", "weights_sha256"])
    assert models.loc["gpt2", "identifier"] == "openai-community/gpt2"
    mine = variants[variants["model"] == "gpt2"]
    assert set(mine.index) == {"gpt2/sst2/dense", "gpt2/mrpc/dense"}
    assert set(mine["reason"]) == {"no such model"}
    gone = [name for name in whole["variants"].index if name.startswith("gpt2/")]
    assert variants.drop(mine.index).equals(whole["variants"].drop(gone))
    (failure,) = tables["failures"].reset_index().to_dict("records")
    assert failure["step"] == "gpt2: download"
    assert failure["model"] == "gpt2"
    assert failure["task"] is None


def test_weights_that_could_not_be_profiled_cost_the_profile(whole):
    tables, _ = ran({": profile$": None, ": histograms after pruning$": None})
    assert lost(whole, tables) == set()
    assert len(tables["failures"]) == 6
    assert set(tables["failures"]["model"]) == {"roberta-base", "gpt2", "bart-base"}


def test_several_failures_are_all_there(whole):
    tables, _ = ran({"magnitude/one-shot/0.9: evaluate": None, "dense: prune by random": None})
    assert len(lost(whole, tables)) == 6 + 12
    assert len(tables["failures"]) == 6 + 6


@pytest.mark.parametrize(
    ("pattern", "error"),
    [
        ("gpt2/mrpc/dense: evaluate", MachineError("cannot write to the cache")),
        ("gpt2: download", MachineError("no room left")),
        ("^mrpc: examples$", RunError("no network")),
        ("^sst2: training examples$", RequestError("no such file")),
    ],
)
def test_without_a_machine_or_examples_there_is_no_study(pattern, error):
    with pytest.raises(type(error), match=str(error)):
        ran({pattern: error})


# ---------------------------------------------------------------- on real workers


def call(step, label, **arguments):
    return Call(f"tests.failing_steps:{step}", arguments, label=label)


@pytest.fixture
def attempt(tmp_path, monkeypatch):
    """Attempts calls one after the other on a new runner; gives the outcomes, and the runner."""
    monkeypatch.syspath_prepend(str(studies.ROOT))
    monkeypatch.setenv("PYTHONPATH", str(studies.ROOT))

    def attempt(*asked, jobs=1):
        kept = Memo(tmp_path / "cache")
        kept.prepare()
        worker = Runner(kept, jobs, Display(io.StringIO()))

        async def each():
            return [await worker.attempt(one) for one in asked]

        return complete(worker, each()), worker

    return attempt


def test_a_worker_that_fails_or_dies_does_the_next_call_all_the_same(attempt):
    works = [call("works", f"works {number}", number=number) for number in range(3)]
    asked = [works[0], call("breaks", "breaks"), call("refuses", "refuses"), works[1]]
    found, worker = attempt(*asked, call("dies", "dies"), works[2])
    assert [found[i] for i in (0, 3, 5)] == [({"twice": 2 * n}, None) for n in range(3)]
    assert found[1] == (None, "breaks: unexpected ValueError: this cannot be divided")
    assert found[2] == (None, REASON)
    assert "'dies'" in found[4][1]
    assert "memory" in found[4][1]
    assert list(worker.failures) == ["breaks", "refuses", "dies"]
    assert worker.failures["refuses"] == REASON
    assert worker.tallies["works"].computed == 3
    assert all("\n" not in reason for reason in worker.failures.values())


def test_a_failed_call_is_tried_again_by_the_next_run(attempt):
    _, worker = attempt(call("breaks", "breaks"))
    assert not worker.memo.has_entry(call("breaks", "breaks"))
    assert attempt(call("breaks", "breaks"))[1].failures


@pytest.mark.parametrize("step", ["finds_no_room", "dies"])
def test_a_machine_that_fails_ends_the_run(attempt, step):
    """Of several workers nobody knows which one died, or what of."""
    with pytest.raises(MachineError) as caught:
        attempt(call(step, step), call("works", "works", number=1), jobs=2)
    assert step in str(caught.value)
    assert "\n" not in str(caught.value)
