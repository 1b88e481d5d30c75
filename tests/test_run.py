"""A whole run, as a user starts it: results, remembering, killing, damage, bad input."""

import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import forks
import numpy as np
import pandas as pd
import pytest
from commandline import one_line, request
from mini import STUDY, analysis, environment_for, tables
from safetensors.numpy import load_file, save_file

from analysis import study
from analysis.checkpoints.weights import FILE
from analysis.engine.memo import Memo
from analysis.experiments import checkpoints
from analysis.planning import walk
from analysis.steps.checkpoints.builtin import checkpoint_record

VOLATILE = {
    "runtime": ["iterations", "p50_ms", "p95_ms", "tokens_per_second", "speedup", "peak_bytes"],
    "variants": ["prune_seconds", "train_seconds", "peak_bytes"],
    "recovery": ["train_seconds"],
}
# where a run is killed
COMPUTED_AGAIN = ["prune_calibrated", "shrink_checkpoint", "grow_sparse", "recover",
                  "measure_sensitivity", "evaluate_variant"]  # fmt: skip
ONCE = ["prune_checkpoint", "prune_allocated", "quantise_checkpoint", "distil_student",
        "moefy_checkpoint", "measure_latency", "measure_generation",
        "measure_training"]  # fmt: skip


def test_run_says_what_it_computed_and_how_long_that_took(finished):
    _, done = finished
    for step in (*COMPUTED_AGAIN, *ONCE):
        assert re.search(rf"^{step}\s+[1-9]\d*\s+\d+\s+[\d.]+$", done.stdout, re.M), done.stdout


def python(folder, code):
    """What a process of its own prints that runs this, and which heavy libraries that loaded."""
    heavy = "{'torch', 'transformers', 'datasets', 'evaluate', 'numba'}"
    code = f"import sys; {code}; print('HEAVY', sorted({heavy} & {{*sys.modules}}))"
    command, env = [sys.executable, "-c", code], environment_for()
    done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True)
    assert "HEAVY []" in done.stdout, done.stdout + done.stderr
    return done.stdout


def times(folder):
    """All that lies there, and when it was written."""
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*")}


def test_second_run_computes_nothing_imports_nothing_heavy_and_gives_the_same_tables(finished):
    folder, _ = finished
    before, cache = tables(folder), times(folder / "cache")
    said = python(folder, "from analysis.commands.run import run; run('mini')")
    assert re.search(r"^all\s+0\s+\d+\s+0\.0$", said, re.M), said
    assert times(folder / "cache") == cache
    for name, table in tables(folder).items():
        pd.testing.assert_frame_equal(table, before[name])


def test_the_paper_imports_nothing_heavy(finished):
    shutil.copy(Path(__file__).parents[1] / "report.qmd", finished[0])  # whose claims are read
    code = "from analysis import paper; paper.start(); paper.figure('retained_curves'); "
    code += "paper.table('differences'); paper.value('levels'); paper.table('claims')"
    assert python(finished[0], code) == "HEAVY []\n"


def test_cache_status_counts_the_steps_and_changes_nothing(finished):
    folder, _ = finished
    before = times(folder / "cache")
    done = analysis(folder, "cache", "status")
    assert done.returncode == 0
    for step in ("evaluate_variant", "prune_calibrated"):
        assert re.search(rf"{step}\D+{len(entries_of(folder, step))}\b", done.stdout), done.stdout
    assert times(folder / "cache") == before


def test_a_plan_can_be_made_with_any_one_result_missing(finished, monkeypatch):
    """As after Ctrl-C; what is damaged or another key's counts as missing."""
    folder, _ = finished
    chosen, memo = study.load("mini", folder / "studies"), Memo(folder / "cache")
    planned = walk.steps(chosen, memo)
    found = {step.call.key: memo.lookup(step.call) for step in planned}
    assert all(found.values())
    named = ("tiny-bert", "paraphrase")  # a model with steps of all kinds, and its task
    for missing in (step for step in planned if step.call.label.startswith(named)):
        known = found | {missing.call.key: None}
        monkeypatch.setattr(memo, "lookup", lambda call, known=known: known.get(call.key))
        left = {step.call.key: step for step in walk.steps(chosen, memo)}
        assert not left[missing.call.key].is_remembered, missing.call.label
        labels = {step.call.label for step in left.values()}
        assert labels >= {step.call.label for step in planned}, missing.call.label


@pytest.fixture
def copied(finished, tmp_path):
    """A copy of the finished project, to be damaged."""
    shutil.copytree(finished[0], tmp_path / "project", symlinks=True)
    return tmp_path / "project"


def entries_of(folder, step):
    """The remembered results of a step."""
    found = sorted((folder / "cache" / "joblib").rglob("output.pkl"))
    return [p for p in found if f"'{step}'" in p.with_name("metadata.json").read_text("utf-8")]


def forget(folder, step, most=None):
    for entry in entries_of(folder, step)[:most]:
        shutil.rmtree(entry.parent)


def test_a_killed_run_goes_on_and_ends_with_the_same_tables(finished, copied):
    shutil.rmtree(copied / "_output")
    for step in COMPUTED_AGAIN:
        forget(copied, step, most=3)
    left = len(list((copied / "cache").rglob("output.pkl")))
    command, own = [sys.executable, "-m", "analysis", "run"], {"env": environment_for()}
    run = subprocess.Popen(command, cwd=copied, stdout=subprocess.DEVNULL, **own)
    deadline = time.monotonic() + 120
    while len(list((copied / "cache").rglob("output.pkl"))) < left + 3:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    run.kill()
    run.wait()
    assert not (copied / "_output" / "mini" / "results").exists()
    done = analysis(copied, "run")
    assert done.returncode == 0, done.stderr
    assert int(re.search(r"^all\s+\d+\s+(\d+)", done.stdout, re.M)[1]) >= left + 3
    original = tables(finished[0])
    for name, table in tables(copied).items():
        kept = [c for c in table.columns if c not in VOLATILE.get(name, [])]
        pd.testing.assert_frame_equal(table[kept], original[name][kept])


def test_a_run_whose_output_nobody_takes_writes_its_results_all_the_same(finished):
    folder, _ = finished
    written = folder / "_output" / "mini" / "results" / "environment.json"
    reader, pipe = os.pipe()
    os.close(reader)
    with Path("/dev/full").open("w", encoding="utf-8") as full:
        for stdout in (pipe, full, None):
            before = written.stat().st_mtime_ns
            done = subprocess.run(
                [sys.executable, "-m", "analysis", "run"], cwd=folder, env=environment_for(),
                stdout=stdout, stderr=subprocess.PIPE, text=True,
                preexec_fn=None if stdout else lambda: os.close(1),
            )  # fmt: skip
            assert (done.returncode, done.stderr) == (0, "")
            assert written.stat().st_mtime_ns > before
    os.close(pipe)


def test_wrong_requests_are_one_line_and_exit_2(finished, tmp_path):
    for folder, arguments, said in [
        (finished[0], ["run", "--study", "nowhere/x.yml"], "no study file at nowhere/x.yml"),
        (finished[0], ["render", "--engine", "quart"], "Did you mean 'quarto'?"),
        (tmp_path, ["run"], "run this in the project's folder"),
    ]:
        done = request(*arguments, folder=folder)
        assert (done.returncode, said in one_line(done.stderr)) == (2, True), done


def test_an_output_folder_that_cannot_be_made_is_said_before_anything_is_computed(copied):
    shutil.rmtree(copied / "_output")
    (copied / "_output").write_text("a file where the folder should be", encoding="utf-8")
    forget(copied, "evaluate_variant")
    done = request("run", folder=copied)
    assert done.returncode == 1
    assert "cannot write the results" in one_line(done.stderr)
    assert not entries_of(copied, "evaluate_variant")


def with_nan_in_a_checkpoint(project, model):
    """Give a model of the project's study a weight that is NaN; the tensor's name."""
    memo, chosen = Memo(project / "cache"), study.load("mini", project / "studies")
    call = checkpoints.pretrain(model, 0, chosen.compute.threads)
    record = memo.lookup(call).record
    with memo.objects.scratch() as scratch:
        copy = scratch / "checkpoint"
        shutil.copytree(memo.objects.open(record["checkpoint"]["object"]), copy)
        weights = load_file(copy / FILE)
        name = next(n for n in weights if n.endswith("c_fc.weight"))
        weights[name] = weights[name].copy()
        weights[name].flat[7] = np.nan
        save_file(weights, copy / FILE, {"format": "pt"})
        made = checkpoint_record(memo.objects, copy, 1.0, {})
    memo.store(call, made, 1.0)
    return name


def test_what_fails_is_a_row_with_the_reason_and_costs_nothing_else(finished, copied):
    name = with_nan_in_a_checkpoint(copied, "tiny-gpt2")
    text = re.sub(r"operations: .*", "operations: [train_step]", STUDY)  # times are not asked about
    (copied / "studies" / "mini.yml").write_text(text, encoding="utf-8")
    done = forks.command(copied, "run")
    assert done.returncode == 0, done.stderr
    assert "tiny-gpt2/dense: prune by magnitude: " in done.stdout
    assert re.search(
        r"^\d+ steps failed: listed above and in _output/mini/results/failures.csv",
        done.stdout.splitlines()[-1],
    ), done.stdout
    original, found = tables(finished[0]), tables(copied)
    variants = found["variants"]
    failed = variants[variants["status"] == "failed"]
    pruned = variants[(variants["model"] == "tiny-gpt2") & (variants["kind"] == "pruned")]
    assert list(failed["variant"]) == list(pruned["variant"])
    assert set(failed["variant"]) >= {"tiny-gpt2/wanda/one-shot/0.5"}
    assert failed["reason"].str.contains(f"{re.escape(name)}: 1 of .* NaN or infinite").all()
    assert set(found["failures"]["model"]) == {"tiny-gpt2"}
    for table in ("variants", "quality", "size", "contests", "recovery"):
        both = (t[table].drop(columns=VOLATILE.get(table, [])) for t in (found, original))
        rest, whole = (t[~t["variant"].str.startswith("tiny-gpt2")] for t in both)
        pd.testing.assert_frame_equal(rest.reset_index(drop=True), whole.reset_index(drop=True))
