"""`python -m analysis profile`: what it writes and says, what it remembers, what it refuses."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import architectures
import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from checkpoints import weights_sha256
from commandline import one_line, request
from hub_server import environment, hub_server
from matplotlib.figure import Figure
from mini import REPOSITORY
from safetensors.numpy import load_file, save_file

from analysis import results
from analysis.checkpoints import naming
from analysis.checkpoints.weights import FILE, read_weights
from analysis.paper.profile import figures as profile_figures

FAMILIES = {"Bert": "encoder-only", "GPT2": "decoder-only", "T5": "encoder-decoder"}
TABLES = ("profile", "profile_scopes", "histogram", "cdf")
FIGURES = {"weight_histogram", "magnitude_cdf", "histogram_after_pruning"}
OF_LAYERS = {"layer_cdfs", "layer_distances", "kind_heat_map", "encoder_and_decoder"}


def saved(architecture, folder):
    torch.manual_seed(0)
    (model := architectures.model(architecture)).save_pretrained(folder)
    return model


def put(folder, held, name=FILE):
    folder.mkdir(parents=True)
    (save_file if name == FILE else torch.save)(held, folder / name)


def summary_of(folder):
    return json.loads((folder / "out" / "summary.json").read_text(encoding="utf-8"))


def profiled(folder, model="model"):
    done = request("profile", model, "--out", "out", folder=folder)
    assert done.returncode == 0, done.stderr
    return done.stdout, summary_of(folder)


@pytest.fixture(scope="module")
def of_hub(tmp_path_factory):
    """A folder in which a hub's model was profiled, the model's commit, and what was said."""
    folder = tmp_path_factory.mktemp("project")
    saved("Bert", folder / "Bert")
    with hub_server({"org/tiny": {"main": folder / "Bert"}}) as server:
        env = environment(server.url, folder / "home", PYTHONPATH=str(REPOSITORY))
        command = [sys.executable, "-m", "analysis", "profile", "org/tiny", "--out", "out"]
        done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True)
        return folder, server.commit("org/tiny"), done


@pytest.fixture
def coarse(monkeypatch):
    """Figures are drawn in few pixels and not written, which would take longest."""

    def draw(figure, path, **_):
        figure.set_dpi(10)
        figure.canvas.draw()
        path.touch()

    monkeypatch.setattr(Figure, "savefig", draw)


def test_the_command_writes_tables_figures_and_a_summary(of_hub):
    folder, commit, done = of_hub
    assert (done.returncode, done.stderr) == (0, "")
    figures = {f"{name}.{kind}" for name in FIGURES | OF_LAYERS for kind in ("svg", "png")}
    files = {path.name: path for path in (folder / "out").iterdir()}
    assert files.keys() == {f"{name}.csv" for name in TABLES} | figures | {"summary.json"}
    for path in files.values():
        if path.suffix == ".svg":
            assert ElementTree.parse(path).getroot().tag.endswith("svg")
        assert path.suffix != ".png" or path.read_bytes().startswith(b"\x89PNG")
    for table in TABLES:
        read = pd.read_csv(files[f"{table}.csv"])
        assert len(read) == len(read.drop_duplicates(results.KEYS[table])) > 0, table
    summary = summary_of(folder)
    assert (summary["source"], summary["revision"]) == ("hub", commit)
    first, far, *_, last = (li for li in done.stdout.splitlines() if not li.startswith("  "))
    assert first.startswith(f"org/tiny: encoder-only, {summary['parameters']:,} parameters, ")
    assert far.startswith("far from zero: ")
    assert re.fullmatch(r"profile in out after \S+ s \(counted in \S+ s\)", last)
    assert "warning" not in done.stdout


def test_the_same_weights_are_remembered_and_replace_the_earlier_profile(of_hub, tmp_path, coarse):
    shutil.copytree(of_hub[0], tmp_path, dirs_exist_ok=True)
    tables = {path.name: path.read_text() for path in (tmp_path / "out").glob("*.csv")}
    (tmp_path / "out" / "cdf.csv").unlink()
    shutil.move(tmp_path / "Bert", tmp_path / "elsewhere" / "Bert")  # its digest is of the content
    said, summary = profiled(tmp_path, "elsewhere/Bert")
    assert "(counts remembered)" in said
    own = {"model": "Bert", "source": "local", "revision": ""}
    assert summary == summary_of(of_hub[0]) | own
    for name, text in tables.items():
        assert (tmp_path / "out" / name).read_text() == text.replace("org/tiny", "Bert")


@pytest.mark.parametrize("name", FAMILIES)
def test_summary_and_tables_say_what_the_model_is(tmp_path, name, coarse):
    model = saved(name, tmp_path / name)
    said, summary = profiled(tmp_path, name)
    parameters = dict(model.named_parameters())  # each tied one once
    total = sum(p.numel() for p in parameters.values())
    heads = sum(p.numel() for n, p in parameters.items() if n.startswith("cls."))
    blocks = {n: p for n, p in parameters.items() if re.search(r"\.(h|block|layer)\.\d", n)}
    prunable = sum(p.numel() for n, p in blocks.items() if p.ndim == 2 and "relative" not in n)
    flat = np.concatenate([p.detach().double().numpy().ravel() for p in parameters.values()])
    zeros, held = int((flat == 0).sum()), read_weights(tmp_path / name)
    far, changing = summary.pop("far_from_zero"), summary.pop("differs_more_with_depth")
    assert summary.pop("differs_most")["scope"].startswith("layer:")
    assert summary == {
        "model": name, "source": "local", "revision": "", "weights_sha256": weights_sha256(held),
        "family": FAMILIES[name], "files": 1, "bytes": sum(a.nbytes for a in held.values()),
        "dtypes": {"float32": len(held)}, "parameters": total,
        "parameters_without_heads": total - heads, "prunable_parameters": prunable,
        "zeros": zeros, "zeros_of_prunable": 0, "tied": {}, "not_finite": {}, "left_out": [],
        "scaled": [], "not_understood": [], "sparse_already": [],
    }  # fmt: skip
    assert f"{FAMILIES[name]}, {total:,} parameters, {prunable:,} of them prunable" in said
    leaves = {}
    for stored, what in naming.weights(held).items():
        leaves.setdefault((what.part, what.layer, what.kind), []).append(held[stored].ravel())
    leaves = [np.concatenate(arrays).astype(np.float64) for arrays in leaves.values()]
    beyond = sum(int((np.abs(leaf) > leaf.std()).sum()) for leaf in leaves) / total
    shares = {f"at least {cut}": np.mean(np.abs(flat) >= cut) for cut in (0.001, 0.01, 0.1)}
    shares["not exactly zero"] = 1 - zeros / total
    shares["beyond its layer's standard deviation"] = beyond
    assert {key: far[key] for key in shares} == pytest.approx(shares, abs=1e-12)
    ordered = np.cumsum(np.sort(flat**2)[::-1])
    for percent in (99, 90, 50):
        needed = np.searchsorted(ordered, percent / 100 * ordered[-1]) / total
        assert far[f"needed for {percent} % of the norm"] == pytest.approx(needed, abs=0.01)
    stacks = {"T5": ["encoder", "decoder"], "Bert": ["encoder"]}.get(name, ["decoder"])
    assert [(t["part"], t["blocks"]) for t in changing] == [(part, 2) for part in stacks]
    counts = pd.read_csv(tmp_path / "out" / "histogram.csv").query("scope == 'model'")
    dense = counts[counts["variant"] == f"{name}/dense"].groupby("scale")["count"].sum()
    assert dense.to_dict() == {"linear": total, "log10": total - zeros}
    pruned = counts[counts["variant"] != f"{name}/dense"].groupby("variant")["count"].sum()
    levels = {f"{name}/magnitude/one-shot/{s:g}": s for s in (0.1, 0.5, 0.9, 0.95, 0.99)}
    left = {variant: total - zeros - round(s * prunable) for variant, s in levels.items()}
    assert pruned.to_dict() == left  # what would be left


def test_what_is_odd_in_a_model_is_said(tmp_path, coarse):
    """One layer pruned to 90 %, NaN in another, a saved tied head, 8-bit matrices, doubles."""
    saved("GPT2", tmp_path / "model")
    held = load_file(tmp_path / "model" / FILE)
    (tmp_path / "model" / FILE).unlink()
    first, second = "transformer.h.0.mlp.c_fc.weight", "transformer.h.1.mlp.c_fc.weight"
    codes, scaled = "transformer.h.1.attn.c_attn.weight", "transformer.h.1.mlp.c_proj.weight"
    flat = held[first].reshape(-1)
    flat[np.argsort(np.abs(flat))[: round(0.9 * flat.size)]] = 0
    held[second][0, :3] = [np.nan, np.inf, -np.inf]
    held[codes] = np.ones(held[codes].shape, np.int8)
    held["transformer.ln_f.weight"] = held["transformer.ln_f.weight"].astype(np.float64)
    held |= {"lm_head.weight": held["transformer.wte.weight"], f"{scaled}_scale": np.ones(1)}
    tensors = {name: torch.from_numpy(array) for name, array in held.items()}
    tensors[scaled] = (100 * tensors[scaled]).to(torch.float8_e4m3fn)
    torch.save(tensors, tmp_path / "model" / "pytorch_model.bin")
    said, summary = profiled(tmp_path)
    assert summary["tied"] == {"lm_head.weight": "transformer.wte.weight"}
    assert summary["left_out"] == [{"name": codes, "dtype": "int8", "elements": held[codes].size}]
    assert (summary["not_finite"], summary["scaled"]) == ({second: 3}, [scaled])
    (sparse,) = summary["sparse_already"]
    assert (sparse["part"], sparse["layer"], sparse["kind"]) == ("decoder", 0, "ffn in")
    assert sparse["share"] == pytest.approx(0.9, abs=0.002)
    assert summary["zeros_of_prunable"] - (held[first] == 0).sum() in range(5)  # some in 8 bits
    for words in (
        f"sparse already: {summary['zeros'] / summary['parameters']:.1%} of all weights",
        f"warning: 3 weights are NaN or infinite, in {second}\n",
        f" {held[codes].size:,} beside the {summary['parameters']:,} profiled, in {codes} (int8)\n",
        f"of the stored values: {scaled}\n", "warning: float64 weights are rounded to float32",
        "decoder 0, ffn in (90.0% of it)",
    ):  # fmt: skip
        assert words in said
    assert pd.read_csv(tmp_path / "out" / "profile.csv")["not_finite"].sum() == 3


def test_an_unknown_architecture_is_profiled_by_tensor_with_a_warning(tmp_path, coarse):
    generator = np.random.default_rng(0)
    names = ["foo.bar", "foo.baz", 'odd,"name"', "<b>x</b>.$y_{$", "z"]
    put(tmp_path / "model", {n: generator.standard_normal((6, 5)).astype("f4") for n in names})
    said, summary = profiled(tmp_path)
    assert (summary["parameters"], summary["prunable_parameters"]) == (150, 0)
    assert summary["family"] is summary["differs_most"] is None
    assert summary["not_understood"] == sorted(names)
    for words in ("model: of no known family, 150 ", "not understood", "foo.baz and 2 more"):
        assert words in said
    assert sorted(pd.read_csv(tmp_path / "out" / "profile.csv")["kind"]) == sorted(names)
    files = {path.stem for path in (tmp_path / "out").glob("*.svg")}
    assert files == FIGURES - {"histogram_after_pruning"}  # nothing is prunable


def test_a_model_of_one_value_or_with_a_block_of_nan_has_a_profile(tmp_path, coarse, monkeypatch):
    """No deviation, no norm, or nothing at all to draw."""
    names = [f"h.{i}.mlp.c_fc.weight" for i in range(4)]
    maps, draw = [], profile_figures.kind_heat_map
    kept = lambda data: maps.append(draw(data)) or maps[-1]  # noqa: E731
    monkeypatch.setattr(profile_figures, "kind_heat_map", kept)
    for value in (np.nan, 0, 3):
        put(tmp_path / str(value), {n: np.full((3, 3), value, np.float32) for n in names})
        said, summary = profiled(tmp_path, f"./{value}")
        assert "decoder-only, 36 parameters, 36 of them prunable" in said
        found = (len(summary["not_finite"]), summary["zeros"], "far from zero" in said)
        assert found == {0: (0, 36, True), 3: (0, 0, True)}.get(value, (4, 0, False))
    held = {name: np.eye(3, dtype=np.float32) * i for i, name in enumerate(names, 1)}
    put(tmp_path / "model", held | {names[1]: held[names[1]] * np.float32(np.nan)})
    profiled(tmp_path)  # the block of NaN keeps its place in the heat map
    values = np.ma.masked_invalid(maps[-1].axes[0].images[0].get_array())
    assert np.ma.getmaskarray(values).ravel().tolist() == [0, 1, 0, 0]


def refused(folder, said, *arguments, status=2):
    done = request("profile", "--out", "out", *arguments, folder=folder)
    assert (said in one_line(done.stderr), done.returncode) == (True, status), done


def test_a_place_that_holds_other_things_is_not_replaced(tmp_path, coarse):
    put(tmp_path / "model", {"foo": np.ones(2, np.float32)})
    (tmp_path / "out").mkdir()
    for name in ("summary.txt", "notes.svg", "thesis.csv", "cdf.png"):
        (tmp_path / "out" / name).write_text("years of work")
        refused(tmp_path, f"holds other files ({name}", "model")
        (tmp_path / "out" / name).rename(tmp_path / name)
    refused(tmp_path, "is a file", "tiny-bert", "--out", "cdf.png")
    for out in (".", "cache", "model/..", ".."):
        refused(tmp_path, "the cache", "model", "--out", out)
    assert not (tmp_path / "cache").exists()  # refused before anything was done
    refused(tmp_path, "cannot write", "model", "--out", "cdf.png/out", status=1)
    assert (tmp_path / "cdf.png").read_text() == "years of work"


def test_a_model_that_is_not_there_or_holds_no_floats_is_refused(tmp_path):
    (tmp_path / "model.safetensors").touch()
    (tmp_path / "empty").mkdir()
    put(tmp_path / "nothing", {})
    put(tmp_path / "integers", {"a.weight": np.ones((3, 3), np.int8)})
    put(tmp_path / "nested", {"weights": {"a.weight": torch.ones(3)}}, "pytorch_model.bin")
    cases = Path(__file__).with_name("profile_refusals.yml").read_text()
    for arguments, said in yaml.safe_load(cases):
        refused(tmp_path, said, *arguments)
    assert not (tmp_path / "out").exists()
