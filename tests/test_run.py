"""A whole run, as a user starts it: results, remembering, killing, damage, bad input."""

import itertools
import json
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest
from mini import analysis, environment_for, make_project, one_line

from analysis import results

VOLATILE = {
    "runtime": ["iterations", "p50_ms", "p95_ms", "tokens_per_second", "speedup", "peak_bytes"],
    "variants": ["prune_seconds", "train_seconds", "peak_bytes"],
    "recovery": ["train_seconds"],
}
# of each model; the others follow pruning, on the one task that is trained on and looked into
ONE_SHOT = """magnitude/one-shot/0.5 magnitude/one-shot/0.99 magnitude-all/one-shot/0.5
    magnitude-all/one-shot/0.99 magnitude-layer/one-shot/0.5 magnitude-layer/one-shot/0.99
    wanda/one-shot/0.5 wanda/one-shot/0.99 nm-sparsegpt/one-shot/2:4 structured/one-shot/0.5
    structured/one-shot/0.99"""
FURTHER = """gradual/fine-tuned/0.5 gradual/fine-tuned/0.99 wanda/fine-tuned/0.5
    wanda/distilled/0.5 magnitude-layer/one-shot/0.5/allocated"""
STEMS = {
    "tiny-bert/paraphrase": f"{ONE_SHOT} {FURTHER}",
    "tiny-gpt2": ONE_SHOT,
    "tiny-bart/headline": ONE_SHOT,
}
COMPUTED_AGAIN = [  # where a run is killed
    *("prune_calibrated", "shrink_checkpoint", "grow_sparse", "recover", "measure_sensitivity"),
    "evaluate_variant",
]


@pytest.fixture(scope="session")
def finished(tmp_path_factory):
    """A project whose mini study has been run once, and what that run printed."""
    folder = make_project(tmp_path_factory.mktemp("finished"))
    return folder, analysis(folder, "run")


def tables(folder: Path) -> dict[str, pd.DataFrame]:
    return results.read(folder / "_output" / "mini" / "results")[0]


def test_run_writes_every_table_with_unique_keys(finished):
    folder, done = finished
    assert done.returncode == 0, done.stderr
    found = tables(folder)
    for name, table in found.items():
        assert len(table), name
        assert not table.duplicated(results.KEYS[name]).any(), name
    expected = {f"{stem}/{name}" for stem, names in STEMS.items() for name in names.split()}
    expected |= {f"{stem}/dense" for stem in STEMS}
    expected |= {"tiny-bert/dense", "tiny-bart/dense"}  # two models have a base of their own
    assert set(found["variants"]["variant"]) == expected


def variants_of(finished, **columns):
    """The rows of table `variants` with these values, by name."""
    found = tables(finished[0])["variants"]
    for column, value in columns.items():
        found = found[found[column] == value]
    return found.set_index("variant")


def test_a_level_that_cannot_be_reached_is_a_row_that_says_why(finished):
    found = tables(finished[0])
    missed = variants_of(finished, status="unreachable")
    assert list(missed.index) == [f"{stem}/structured/one-shot/0.99" for stem in STEMS]
    assert missed["reason"].str.contains("the most is 0.").all()
    assert missed["achieved"].isna().all()
    for table in ("quality", "size", "runtime"):
        assert not set(found[table]["variant"]) & set(missed.index)
    scored = set(found["variants"]["variant"]) - set(missed.index)
    assert set(found["quality"]["variant"]) == scored - {"tiny-bert/dense", "tiny-bart/dense"}
    assert set(found["size"]["variant"]) == scored


def test_a_smaller_model_has_fewer_parameters_and_bytes(finished):
    size = tables(finished[0])["size"].set_index(["variant", "format"])
    dense = variants_of(finished, method="dense")
    smaller = variants_of(finished, method="structured", status="ok")
    assert len(smaller) == len(STEMS)
    for name, row in smaller.iterrows():
        whole = dense.loc[name.replace("structured/one-shot/0.5", "dense"), "parameters"]
        assert row["parameters"] == whole - round(row["whole_model"] * whole)
        assert row["achieved"] == pytest.approx(0.5, abs=0.02)
        assert size.loc[(name, "dense"), "ratio"] == pytest.approx(
            row["parameters"] / whole, abs=0.01
        )
        assert set(json.loads(row["settings"])["kept"]) == {"heads", "neurons"}


def test_a_pattern_is_at_its_sparsity_and_named(finished):
    found = variants_of(finished, method="nm-sparsegpt")
    assert len(found) == len(STEMS)
    assert (found["achieved"] == 0.5).all()
    assert (found["sparsity"] == 0.5).all()
    assert [json.loads(text)["pattern"] for text in found["settings"]] == ["2:4"] * 3


def test_trained_models_keep_their_masks_and_without_them_zeros_vanish(finished):
    recovery = tables(finished[0])["recovery"]
    kept = recovery[recovery["masks_kept"]]
    trained = [f"tiny-bert/paraphrase/wanda/{p}/0.5" for p in ("fine-tuned", "distilled")]
    assert sorted(zip(kept["variant"], kept["epoch"], strict=True)) == sorted(
        (name, epoch) for name in trained for epoch in (1, 2)
    )
    assert (kept["zeros"] == kept["removed"]).all()
    lost = recovery[~recovery["masks_kept"]]
    assert list(lost["epoch"]) == [1, 2]
    assert set(lost["variant"]) == {"tiny-bert/paraphrase/wanda/one-shot/0.5"}
    assert (lost["zeros"] < lost["removed"] / 10).all()
    seconds = variants_of(finished, model="tiny-bert", kind="pruned")["train_seconds"]
    assert {name for name, spent in seconds.items() if spent > 0} == {
        *trained,
        *(f"tiny-bert/paraphrase/gradual/fine-tuned/{level}" for level in (0.5, 0.99)),
    }


def test_every_layer_is_pruned_alone_and_given_a_share(finished):
    layers = tables(finished[0])["sensitivity"]
    assert list(layers["group"]) == [f"encoder {i}" for i in range(4)]
    prunable = tables(finished[0])["models"].set_index("model")["prunable_parameters"]
    assert layers["weights"].sum() == prunable["tiny-bert"]
    row = variants_of(finished).loc["tiny-bert/paraphrase/magnitude-layer/one-shot/0.5/allocated"]
    shares = json.loads(row["settings"])["allocation"]
    weighted = [shares[g] * n for g, n in zip(layers["group"], layers["weights"], strict=True)]
    assert sum(weighted) == pytest.approx(0.5 * prunable["tiny-bert"], rel=1e-3)


def test_each_two_variants_of_a_level_are_compared(finished):
    found = tables(finished[0])
    pairs = set(zip(found["contests"]["variant"], found["contests"]["other"], strict=True))
    reached = found["variants"][
        (found["variants"]["kind"] == "pruned") & (found["variants"]["status"] == "ok")
    ]
    expected = {
        frozenset(pair)
        for _, group in reached.groupby(["model", "task", "sparsity"], dropna=False)
        for pair in itertools.combinations(group["variant"], 2)
    }
    assert {frozenset(pair) for pair in pairs} == expected
    assert len(pairs) == len(expected)


def test_only_the_dense_model_and_the_method_that_is_timed_have_latencies(finished):
    timed = set(tables(finished[0])["runtime"]["variant"])
    levels = ("dense", "magnitude/one-shot/0.5", "magnitude/one-shot/0.99")
    assert timed == {f"{stem}/{level}" for stem in STEMS for level in levels}


def test_run_says_what_it_computed_and_how_long_that_took(finished):
    _, done = finished
    for step in (*COMPUTED_AGAIN, "prune_checkpoint", "prune_allocated", "measure_latency"):
        assert re.search(rf"^{step}\s+[1-9]\d*\s+\d+\s+[\d.]+$", done.stdout, re.M), done.stdout


def test_pruned_variants_have_exact_counts_and_the_sparsity_they_say(finished):
    variants = tables(finished[0])["variants"]
    pruned = variants[(variants["kind"] == "pruned") & (variants["method"] != "structured")]
    expected = [
        round(s * n) / n for s, n in zip(pruned["sparsity"], pruned["scope_weights"], strict=True)
    ]
    # biases and norms of an untrained model are zeros of their own outside magnitude's scope only
    assert pruned["achieved"].to_list() == pytest.approx(expected, abs=0)
    everything = pruned[pruned["method"] == "magnitude-all"]["scope_weights"].to_numpy()
    assert (pruned[pruned["method"] == "magnitude"]["scope_weights"].to_numpy() < everything).all()


def test_parameters_are_those_of_the_profile(finished):
    found = tables(finished[0])
    leaves = found["profile"].groupby("model")["parameters"].sum()
    models = found["models"].set_index("model")["parameters"]
    assert leaves.to_dict() == models.to_dict()
    whole = found["profile_scopes"]
    whole = whole[whole["scope"] == "model"].set_index("model")["parameters"]
    assert whole.to_dict() == models.to_dict()


def test_environment_records_versions_study_and_seeds(finished):
    text = (finished[0] / "_output/mini/results/environment.json").read_text(encoding="utf-8")
    environment = json.loads(text)
    assert environment["versions"]["torch"]
    assert "A study for tests" in environment["study_text"]
    assert environment["seeds"] == [0]


def test_second_run_computes_nothing_imports_nothing_heavy_and_gives_the_same_tables(finished):
    folder, _ = finished
    before = tables(folder)
    code = (
        "import sys; from analysis.commands.run import run; run('mini');"
        "heavy = {'torch', 'transformers', 'datasets', 'evaluate', 'numba'} & set(sys.modules);"
        "print('HEAVY', sorted(heavy))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=folder, env=environment_for(), capture_output=True, text=True,
    )  # fmt: skip
    assert "HEAVY []" in done.stdout, done.stdout + done.stderr
    assert re.search(r"^all\s+0\s+\d+\s+0\.0$", done.stdout, re.M), done.stdout
    for name, table in tables(folder).items():
        pd.testing.assert_frame_equal(table, before[name])


def test_the_paper_imports_nothing_heavy(finished):
    code = (
        "import sys; from analysis import paper; paper.start(); paper.figure('retained_curves');"
        "paper.table('differences'); paper.value('levels'); paper.claims_overview();"
        "print(sorted({'torch','transformers','datasets','evaluate','numba'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=finished[0], env=environment_for(), capture_output=True, text=True,
    )  # fmt: skip
    assert done.stdout.strip() == "[]", done.stdout + done.stderr


def test_cache_status_counts_the_steps_and_changes_nothing(finished):
    folder, _ = finished
    before = sorted((p, p.stat().st_mtime_ns) for p in (folder / "cache").rglob("*"))
    done = analysis(folder, "cache", "status")
    assert done.returncode == 0
    for step in ("evaluate_variant", "prune_calibrated"):
        assert re.search(rf"{step}\D+{len(entries_of(folder, step))}\b", done.stdout), done.stdout
    assert sorted((p, p.stat().st_mtime_ns) for p in (folder / "cache").rglob("*")) == before


@pytest.fixture
def copied(finished, tmp_path):
    """A copy of the finished project, to be damaged."""
    shutil.copytree(finished[0], tmp_path / "project", symlinks=True)
    return tmp_path / "project"


def entries_of(folder, step):
    """The remembered results of a step."""
    return [
        path
        for path in sorted((folder / "cache" / "joblib").rglob("output.pkl"))
        if f"'{step}'" in path.with_name("metadata.json").read_text(encoding="utf-8")
    ]


def forget(folder, step):
    """Remove what is remembered of a step."""
    for entry in entries_of(folder, step):
        shutil.rmtree(entry.parent)


def start_run(folder, **options):
    """A run in the background."""
    command = [sys.executable, "-m", "analysis", "run"]
    options |= {"stdout": subprocess.PIPE, "text": True}
    return subprocess.Popen(command, cwd=folder, env=environment_for(), **options)


def test_a_killed_run_goes_on_and_ends_with_the_same_tables(finished, copied):
    shutil.rmtree(copied / "_output")
    for step in COMPUTED_AGAIN:
        forget(copied, step)
    left = len(list((copied / "cache").rglob("output.pkl")))
    run = start_run(copied, start_new_session=True)
    deadline = time.monotonic() + 120
    while len(list((copied / "cache").rglob("output.pkl"))) < left + 3:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    subprocess.run(["kill", "-KILL", "--", f"-{run.pid}"], check=True)
    run.wait()
    assert not (copied / "_output" / "mini" / "results").exists()
    done = analysis(copied, "run")
    assert done.returncode == 0, done.stderr
    remembered = re.search(r"^all\s+\d+\s+(\d+)", done.stdout, re.M)
    assert int(remembered[1]) >= left + 3
    original = tables(finished[0])
    for name, table in tables(copied).items():
        kept = [c for c in table.columns if c not in VOLATILE.get(name, [])]
        pd.testing.assert_frame_equal(table[kept], original[name][kept])


def test_damaged_entries_are_reported_and_computed_again(copied):
    entry = entries_of(copied, "measure_sizes")[0]
    entry.write_bytes(entry.read_bytes()[:-20])
    done = analysis(copied, "run")
    assert done.returncode == 0, done.stderr
    assert "damaged in the cache, computing again" in done.stdout
    assert re.search(r"measure_sizes\s+1\s", done.stdout), done.stdout


def test_an_interrupted_run_stops_with_one_line(copied):
    forget(copied, "evaluate_variant")
    run = start_run(copied, stderr=subprocess.PIPE)
    assert "study mini" in run.stdout.readline()
    time.sleep(2)
    run.send_signal(signal.SIGINT)
    _, stderr = run.communicate(timeout=60)
    assert run.returncode == 130
    assert "Traceback" not in stderr
    assert "run again to go on" in stderr


@pytest.mark.parametrize(
    ("arguments", "environment", "said"),
    [
        (["run", "--study", "minni"], {}, "Did you mean 'mini'?"),
        (["run", "--study", "nowhere/x.yml"], {}, "no study file at nowhere/x.yml"),
        (["run"], {"SPARSITY_STUDY": "tinny"}, "unknown study 'tinny'"),
        (["render", "--engine", "quart"], {}, "Did you mean 'quarto'?"),
        (["render", "--to", "docx"], {}, "docx"),
    ],
)
def test_wrong_requests_are_one_line_and_exit_2(finished, arguments, environment, said):
    done = analysis(finished[0], *arguments, **environment)
    assert done.returncode == 2
    assert said in one_line(done.stderr)


def test_a_cache_that_cannot_be_made_is_one_line_and_exit_1(finished, tmp_path):
    shutil.copytree(finished[0] / "studies", tmp_path / "studies")
    (tmp_path / "cache").write_text("a file where the folder should be", encoding="utf-8")
    done = analysis(tmp_path, "run")
    assert done.returncode == 1
    assert "cannot write to the cache folder" in one_line(done.stderr)


def test_an_output_folder_that_cannot_be_made_is_said_before_anything_is_computed(copied):
    shutil.rmtree(copied / "_output")
    (copied / "_output").write_text("a file where the folder should be", encoding="utf-8")
    forget(copied, "evaluate_variant")
    done = analysis(copied, "run")
    assert done.returncode == 1
    assert "cannot write the results" in one_line(done.stderr)
    assert not entries_of(copied, "evaluate_variant")


def test_a_folder_without_studies_is_one_line_and_exit_2(tmp_path):
    done = analysis(tmp_path, "run")
    assert done.returncode == 2
    assert "run this in the project's folder" in one_line(done.stderr)


def test_nan_in_a_checkpoint_stops_the_run_with_the_tensors_name(copied):
    import numpy as np
    from mini import study
    from safetensors.numpy import load_file, save_file

    from analysis import calls, pruning_calls, variants
    from analysis.errors import RunError
    from analysis.memo import Memo
    from analysis.models.weights import FILE
    from analysis.steps.pruned import prune_checkpoint

    memo = Memo(copied / "cache")
    chosen = study.load("mini", copied / "studies")
    model = chosen.models[1]
    record = memo.lookup(calls.pretrain(model.name, 0, chosen.compute.threads)).record
    with memo.objects.scratch() as scratch:
        copy = scratch / "checkpoint"
        shutil.copytree(memo.objects.open(record["checkpoint"]["object"]), copy)
        weights = load_file(copy / FILE)
        name = next(n for n in weights if n.endswith("c_fc.weight"))
        weights[name] = weights[name].copy()
        weights[name].flat[7] = np.nan
        save_file(weights, copy / FILE)
        record["checkpoint"]["object"] = memo.objects.adopt(copy)
    dense = variants.base_variant(chosen, model, 0, record)
    call = pruning_calls.prune(chosen, dense, chosen.models[1].tasks[0], "magnitude")
    with pytest.raises(RunError, match=f"{re.escape(name)}: 1 of .* NaN or infinite"):
        prune_checkpoint(memo.objects, **call.arguments, **call.carried)
