"""`python -m analysis profile`: what it writes and says, what it remembers, what it refuses."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest
import torch
from hub_server import environment, hub_server
from matplotlib.figure import Figure
from mini import REPOSITORY, analysis, one_line
from safetensors.numpy import load_file, save_file
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    GPT2Config,
    GPT2LMHeadModel,
    T5Config,
    T5ForConditionalGeneration,
)

from analysis import results
from analysis.commands import work
from analysis.commands.profile import profile
from analysis.display import Display
from analysis.errors import RequestError, RunError
from analysis.models import naming
from analysis.models.weights import FILE, read_weights, weights_sha256
from analysis.paper import weight_figures

BERT = BertConfig(
    vocab_size=60,
    hidden_size=16,
    num_hidden_layers=2,
    num_attention_heads=2,
    intermediate_size=32,
    max_position_embeddings=20,
)
GPT2 = GPT2Config(vocab_size=60, n_embd=16, n_layer=2, n_head=2, n_positions=20)
T5 = T5Config(vocab_size=60, d_model=16, d_kv=8, d_ff=32, num_layers=2, num_heads=2)
MODELS = {
    "bert": (BertForSequenceClassification, BERT, "encoder-only"),
    "gpt2": (GPT2LMHeadModel, GPT2, "decoder-only"),
    "t5": (T5ForConditionalGeneration, T5, "encoder-decoder"),
}
TABLES = {
    "profile": "model part layer kind",
    "profile_scopes": "model scope",
    "histogram": "variant scope scale left right count",
    "cdf": "variant scope scale left fraction",
}
STATISTICS = (
    "parameters zeros not_finite mean_abs std skew kurtosis q01 q05 q25 q50 q75 q95 q99"
    " below_1e-3 below_1e-2 below_1e-1 below_1"
)
FIGURES = {"weight_histogram", "magnitude_cdf", "histogram_after_pruning"}
OF_LAYERS = {"layer_cdfs", "layer_distances", "kind_heat_map", "encoder_and_decoder"}


def saved(name, folder):
    """A tiny model of random weights, and the folder that it was saved to."""
    made, config, _ = MODELS[name]
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = made(config)
    model.save_pretrained(folder)
    return model


def csvs(out):
    return {path.name: path.read_bytes() for path in out.glob("*.csv")}


def summary_of(out):
    return json.loads((out / "summary.json").read_text(encoding="utf-8"))


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A working directory without a cache; what is said goes where the test looks."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(work, "display", lambda: Display(sys.stdout))
    return tmp_path


@pytest.fixture(scope="module")
def bert(tmp_path_factory):
    """A folder with `bert`, profiled into `out` by the command line, and what that said."""
    folder = tmp_path_factory.mktemp("project")
    saved("bert", folder / "bert")
    return folder, analysis(folder, "profile", "bert", "--out", "out/bert")


# ---------------------------------------------------------------- what is written


def test_the_command_writes_tables_figures_and_a_summary(bert):
    folder, done = bert
    assert done.returncode == 0, done.stderr
    assert not done.stderr
    files = {path.name for path in (folder / "out" / "bert").iterdir()}
    figures = {f"{name}.{kind}" for name in FIGURES | OF_LAYERS for kind in ("svg", "png")}
    assert files == {f"{name}.csv" for name in TABLES} | figures | {"summary.json"}
    assert os.listdir(folder / "out") == ["bert"]
    for path in (folder / "out" / "bert").glob("*.svg"):
        assert ElementTree.parse(path).getroot().tag.endswith("svg")
    for path in (folder / "out" / "bert").glob("*.png"):
        assert path.read_bytes().startswith(b"\x89PNG")


def test_it_says_the_family_the_parameters_and_how_far_from_zero_they_are(bert):
    folder, done = bert
    parameters = summary_of(folder / "out" / "bert")["parameters"]
    lines = [line for line in done.stdout.splitlines() if not line.startswith("  ")]
    assert lines[0].startswith(f"bert: encoder-only, {parameters:,} parameters, ")
    assert lines[1].startswith("far from zero: ")
    assert lines[-1].startswith("profile in out/bert after ")
    assert "(counted in " in lines[-1]
    assert "warning" not in done.stdout


@pytest.mark.parametrize("table", TABLES)
def test_columns_begin_with_those_of_the_design_and_keys_are_unique(bert, table):
    read = pd.read_csv(bert[0] / "out" / "bert" / f"{table}.csv")
    first = TABLES[table].split()
    assert list(read.columns[: len(first)]) == first
    if table.startswith("profile"):
        rest = [c for c in read.columns if c not in first]
        own = ["part", "layer", "kind"] if table == "profile_scopes" else []
        assert rest[: len(own) + len(STATISTICS.split())] == [*own, *STATISTICS.split()]
    assert len(read)
    assert not read.duplicated(results.KEYS[table]).any()


def test_leaves_add_up_and_histograms_count_every_weight(bert):
    out = bert[0] / "out" / "bert"
    arrays = read_weights(bert[0] / "bert").values()
    total, zeros = sum(a.size for a in arrays), sum(int((a == 0).sum()) for a in arrays)
    leaves = pd.read_csv(out / "profile.csv")
    assert leaves["parameters"].sum() == total
    assert leaves["zeros"].sum() == zeros
    counts = pd.read_csv(out / "histogram.csv")
    dense = counts[(counts["variant"] == "bert/dense") & (counts["scope"] == "model")]
    assert dense.groupby("scale")["count"].sum().to_dict() == {
        "linear": total,
        "log10": total - zeros,
    }


def test_the_histogram_after_pruning_is_that_of_what_would_be_left(bert):
    summary = summary_of(bert[0] / "out" / "bert")
    counts = pd.read_csv(bert[0] / "out" / "bert" / "histogram.csv")
    pruned = counts[counts["variant"].str.contains("/magnitude/one-shot/")]
    left = pruned.groupby("variant")["count"].sum()
    nonzero = summary["parameters"] - summary["zeros"]
    for level in (0.1, 0.5, 0.9, 0.95, 0.99):
        removed = round(level * summary["prunable_parameters"]) - summary["zeros_of_prunable"]
        assert left[f"bert/magnitude/one-shot/{level:g}"] == nonzero - removed
    assert len(left) == 5


@pytest.fixture
def blank_figures(monkeypatch):
    """Figures are drawn and not written, which takes most of a profile's time."""
    monkeypatch.setattr(Figure, "savefig", lambda self, path, **_: path.touch())


def test_the_second_call_remembers_and_replaces_the_first(bert, here, capsys, blank_figures):
    shutil.copytree(bert[0], here, dirs_exist_ok=True)
    out = here / "out" / "bert"
    before = csvs(out), summary_of(out)
    (out / "cdf.csv").unlink()
    # a copy of the folder: its digest is of the content
    shutil.move("bert", "elsewhere/bert")
    profile("elsewhere/bert", None, out)
    assert "(counts remembered)" in capsys.readouterr().out
    assert (csvs(out), summary_of(out)) == before


def leaves_of(held):
    """The weights of each part, layer and kind together."""
    leaves = {}
    for name, what in naming.weights(held).items():
        leaves.setdefault((what.part, what.layer, what.kind), []).append(held[name].ravel())
    return [np.concatenate(arrays).astype(np.float64) for arrays in leaves.values()]


@pytest.mark.parametrize("name", ["gpt2", "t5"])
def test_summary_says_what_the_model_is(here, name, capsys, blank_figures):
    model = saved(name, here / name)
    profile(name, None, here / "out")
    summary = summary_of(here / "out")
    parameters = list(model.parameters())  # each tied one once
    total = sum(p.numel() for p in parameters)
    matrices = [
        p for n, p in model.named_parameters()
        if p.ndim == 2 and (".h." in n or ".block." in n) and "relative_attention_bias" not in n
    ]  # fmt: skip
    held = read_weights(here / name)
    flat = np.concatenate([p.detach().numpy().ravel() for p in parameters]).astype(np.float64)
    assert summary["model"] == name
    assert (summary["source"], summary["revision"]) == ("local", "")
    assert summary["weights_sha256"] == weights_sha256(held)
    assert summary["family"] == MODELS[name][2]
    assert summary["files"] == 1
    assert summary["bytes"] == sum(a.nbytes for a in held.values())
    assert summary["dtypes"] == {"float32": len(held)}
    assert summary["parameters"] == total
    assert summary["parameters_without_heads"] == total
    assert summary["prunable_parameters"] == sum(p.numel() for p in matrices)
    assert summary["zeros"] == (flat == 0).sum()
    assert summary["zeros_of_prunable"] == 0
    for key in ("tied", "not_finite"):
        assert summary[key] == {}
    for key in ("left_out", "not_understood", "sparse_already"):
        assert summary[key] == []
    far = summary["far_from_zero"]
    assert far["not exactly zero"] == pytest.approx(np.mean(flat != 0))
    for cut in (0.001, 0.01, 0.1):
        assert far[f"at least {cut}"] == pytest.approx(np.mean(np.abs(flat) >= cut), abs=1e-12)
    beyond = sum(int((np.abs(leaf) > leaf.std()).sum()) for leaf in leaves_of(held)) / total
    assert far["beyond its layer's standard deviation"] == pytest.approx(beyond, abs=1e-12)
    ordered = np.cumsum(np.sort(flat**2)[::-1])
    for share in (0.99, 0.9, 0.5):
        needed = np.searchsorted(ordered, share * ordered[-1]) / flat.size
        assert far[f"needed for {share:.0%} of the norm".replace("%", " %")] == pytest.approx(
            needed, abs=0.01
        )
    assert summary["differs_most"]["scope"].startswith("layer:")
    stacks = {"t5": ["encoder", "decoder"]}.get(name, ["decoder"])
    assert [(t["part"], t["blocks"]) for t in summary["differs_more_with_depth"]] == [
        (part, 2) for part in stacks
    ]
    assert f"{total:,} parameters" in capsys.readouterr().out


# ---------------------------------------------------------------- what is odd in a model


def test_sparse_spoilt_tied_and_integer_tensors_are_named(here, capsys):
    """GPT-2 with one layer pruned to 90 %, NaN in another, a saved tied head, an 8-bit matrix."""
    saved("gpt2", here / "gpt2")
    held = load_file(here / "gpt2" / FILE)
    first, second = "transformer.h.0.mlp.c_fc.weight", "transformer.h.1.mlp.c_fc.weight"
    flat = held[first].reshape(-1)
    flat[np.argsort(np.abs(flat))[: round(0.9 * flat.size)]] = 0
    held[second][0, :3] = [np.nan, np.inf, -np.inf]
    held["lm_head.weight"] = held["transformer.wte.weight"].copy()
    codes = "transformer.h.1.attn.c_attn.weight"
    held[codes] = np.ones(held[codes].shape, np.int8)
    save_file(held, here / "gpt2" / FILE)
    profile("gpt2", None, here / "out")
    said, summary = capsys.readouterr().out, summary_of(here / "out")
    assert summary["tied"] == {"lm_head.weight": "transformer.wte.weight"}
    assert summary["not_finite"] == {second: 3}
    assert summary["left_out"] == [{"name": codes, "dtype": "int8", "elements": held[codes].size}]
    (sparse,) = summary["sparse_already"]
    assert (sparse["part"], sparse["layer"], sparse["kind"]) == ("decoder", 0, "ffn in")
    assert sparse["share"] == pytest.approx(0.9, abs=0.002)
    assert summary["zeros_of_prunable"] == (held[first] == 0).sum()
    assert "sparse already: " in said
    assert "most of them in decoder 0, ffn in (90.0% of it)" in said
    assert f"warning: 3 weights are NaN or infinite, in {second}\n" in said
    assert f" {held[codes].size:,} beside the {summary['parameters']:,} profiled" in said
    assert f"in {codes} (int8)\n" in said
    leaves = pd.read_csv(here / "out" / "profile.csv")
    assert leaves["not_finite"].sum() == 3


def test_an_unknown_architecture_is_profiled_by_tensor_with_a_warning(here, capsys):
    generator = np.random.default_rng(0)
    names = ["foo.bar", "foo.baz", 'odd,"name"', "<b>x</b>.$y_{$", "z"]
    held = {name: generator.standard_normal((6, 5)).astype(np.float32) for name in names}
    (here / "model").mkdir()
    save_file(held, here / "model" / FILE)
    profile("model", None, here / "out")
    said, summary = capsys.readouterr().out, summary_of(here / "out")
    assert summary["family"] is None
    assert summary["parameters"] == 150
    assert summary["prunable_parameters"] == 0
    assert summary["not_understood"] == sorted(names)
    assert summary["differs_most"] is None
    assert "model: of no known family, 150 parameters" in said
    assert "warning: names not understood" in said
    assert "foo.bar, foo.baz and 2 more" in said
    leaves = pd.read_csv(here / "out" / "profile.csv")
    assert sorted(leaves["kind"]) == sorted(names)
    files = {path.stem for path in (here / "out").glob("*.svg")}
    assert files == FIGURES - {"histogram_after_pruning"}  # nothing is prunable


@pytest.mark.parametrize("value", [np.nan, 0, 3], ids=str)
def test_a_model_of_one_value_has_a_profile(here, value, capsys, blank_figures):
    """No deviation, no norm, or nothing at all to draw."""
    held = {f"h.{i}.mlp.c_fc.weight": np.full((3, 3), value, np.float32) for i in range(2)}
    put(here / "model", held)
    profile("model", None, here / "out")
    assert "decoder-only, 18 parameters, 18 of them prunable" in capsys.readouterr().out
    summary = summary_of(here / "out")
    assert len(summary["not_finite"]) == (2 if value != value else 0)
    assert summary["zeros"] == (0 if value else 18)


def test_a_block_of_nan_keeps_its_place_in_the_heat_map(here, monkeypatch, blank_figures):
    held = {f"h.{i}.mlp.c_fc.weight": np.eye(3, dtype=np.float32) * (i + 1) for i in range(4)}
    held["h.1.mlp.c_fc.weight"][:] = np.nan
    put(here / "model", held)
    shown = []
    draw = weight_figures.kind_heat_map

    def kind_heat_map(data):
        figure = draw(data)
        shown.append(figure.axes[0].images[0].get_array())
        return figure

    monkeypatch.setattr(weight_figures, "kind_heat_map", kind_heat_map)
    profile("model", None, here / "out")
    assert np.ma.getmaskarray(np.ma.masked_invalid(shown[0])).ravel().tolist() == [0, 1, 0, 0]


# ---------------------------------------------------------------- what is refused


def refused(error, *arguments):
    with pytest.raises(error) as caught:
        profile(*arguments)
    message = str(caught.value)
    assert "\n" not in message
    return message


def put(folder, held, name=FILE):
    folder.mkdir(parents=True)
    if name == FILE:
        save_file(held, folder / name)
    else:
        torch.save(held, folder / name)
    return folder


def test_a_folder_with_other_files_is_not_replaced(here):
    model = put(here / "model", {"foo": np.ones(2, np.float32)})
    (here / "out").mkdir()
    for name, text in (
        ("thesis.txt", "years of work"),
        ("summary.json", "{}"),
        ("summary.json", "not json"),
        ("summary.json", '["weights_sha256"]'),
    ):
        (here / "out" / name).write_text(text)
        assert "holds other files" in refused(RequestError, str(model), None, here / "out")
        assert (here / "out" / name).read_text() == text
    assert (here / "out" / "thesis.txt").read_text() == "years of work"
    assert not (here / "cache").exists()  # refused before anything was done


def test_a_file_is_no_place_for_a_profile(here):
    (here / "out").write_text("a file")
    assert "is a file" in refused(RequestError, "tiny-bert", None, here / "out")
    assert (here / "out").read_text() == "a file"


@pytest.mark.parametrize("out", [".", "cache", "sub/..", ".."])
def test_the_cache_is_not_replaced_even_before_it_is_there(here, monkeypatch, out):
    model = put(here / "models" / "foo", {"foo": np.ones(2, np.float32)})
    (here / "empty" / "project").mkdir(parents=True)
    monkeypatch.chdir(here / "empty" / "project")
    message = refused(RequestError, str(model), None, (here / "empty" / "project" / out))
    assert "the cache" in message


def test_a_cache_that_cannot_be_written_is_a_failed_run(read_only_folder, monkeypatch):
    monkeypatch.chdir(read_only_folder)
    monkeypatch.setattr(results, "require_writable", lambda _: None)  # that the results could be
    assert "cannot write to the cache" in refused(RunError, "tiny-bert", None, Path("out"))


def test_a_place_that_cannot_be_written_is_a_failed_run(here, blank_figures):
    put(here / "model", {"foo": np.ones(2, np.float32)})
    (here / "file").write_text("a file")
    message = refused(RunError, "model", None, here / "file" / "out")
    assert "cannot write" in message
    assert (here / "file").read_text() == "a file"


@pytest.mark.parametrize("model", ["model", "tiny-bert"])
def test_only_models_of_the_hub_have_revisions(here, model):
    put(here / "model", {"foo": np.ones(2, np.float32)})
    message = refused(RequestError, model, "main", here / "out")
    assert "--revision main" in message
    assert "leave it out" in message


@pytest.mark.parametrize(
    ("model", "said"),
    [
        ("tiny-brt", "tiny-bert"),
        ("no/such/folder", "no folder no/such/folder"),
        ("./missing", "no folder ./missing"),
        ("/missing", "no folder /missing"),
        ("../missing/x", "no folder ../missing/x"),
        ("", "no name of a model"),
        ("a b", "no folder a b"),
        ("model.safetensors", "is a file"),
        ("org\nname", "no folder org name"),
    ],
)
def test_a_model_that_is_not_there_is_refused(here, model, said):
    (here / "model.safetensors").mkdir() if not model else (here / "model.safetensors").touch()
    assert said in refused(RequestError, model, None, here / "out")
    assert not (here / "out").exists()


@pytest.mark.parametrize(
    ("name", "held"),
    [
        (FILE, {}),
        (FILE, {"a.weight": np.ones((3, 3), np.int8)}),
        ("pytorch_model.bin", {"weights": {"a.weight": torch.ones(3)}}),
    ],
    ids=["nothing", "integers", "nested"],
)
def test_a_model_without_floats_is_refused(here, name, held):
    put(here / "model", held, name)
    message = refused(RequestError, "model", None, here / "out")
    assert str(here / "model") in message
    assert "no tensor of floating numbers" in message
    assert not (here / "out").exists()


def test_a_folder_without_weights_is_one_line_and_exit_2(bert, tmp_path):
    (tmp_path / "model").mkdir()
    done = analysis(tmp_path, "profile", "model", "--out", "out")
    assert done.returncode == 2
    assert "holds no weights" in one_line(done.stderr)
    assert not (tmp_path / "out").exists()


# ---------------------------------------------------------------- from the hub


UNDRAWN = """
from matplotlib.figure import Figure
from analysis.cli import main
Figure.savefig = lambda self, path, **_: path.touch()
main()
"""


def test_a_model_of_the_hub_is_profiled_at_its_commit(bert, tmp_path):
    with hub_server({"org/tiny": {"main": bert[0] / "bert"}}) as server:
        commit = server.commit("org/tiny")
        done = subprocess.run(
            [sys.executable, "-c", UNDRAWN, "profile", "org/tiny", "--out", "out"],
            cwd=tmp_path,
            env=environment(server.url, tmp_path / "home", PYTHONPATH=str(REPOSITORY)),
            capture_output=True,
            text=True,
            timeout=120,
        )
    assert done.returncode == 0, done.stderr
    assert "org/tiny: encoder-only" in done.stdout
    summary, local = summary_of(tmp_path / "out"), summary_of(bert[0] / "out" / "bert")
    own = {"model": "org/tiny", "source": "hub", "revision": commit}
    assert summary == local | own
