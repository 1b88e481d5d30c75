"""`python -m analysis prune`: what is written opens in transformers, and holds what it says."""

import json
import shutil

import architectures
import numpy as np
import pytest
import torch
from mini import analysis, one_line
from safetensors.torch import load_file, save_file

from analysis import pruning
from analysis.commands.prune import Request, prune
from analysis.errors import RequestError, RunError

MODELS = {"bert": "Bert", "gpt2": "GPT2", "t5": "T5"}


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def saved(name, folder, dtype=torch.float32):
    """A tiny model of random weights, saved to the folder."""
    torch.manual_seed(0)
    model = architectures.model(MODELS[name]).to(dtype)
    model.save_pretrained(folder)
    return model


def facts(folder):
    return json.loads((folder / "pruning.json").read_text())


def weights(folder):
    return load_file(folder / "model.safetensors")


@pytest.mark.parametrize("method", pruning.names())
@pytest.mark.parametrize("name", MODELS)
def test_the_pruned_model_opens_and_is_as_sparse_as_it_says(here, name, method):
    dense = saved(name, here / "model")
    prune("model", None, Request(method, 0.7), here / "out")
    pruned = type(dense).from_pretrained(here / "out").state_dict()
    said, zeros = facts(here / "out"), 0
    for tensor, counted in said["tensors"].items():
        before, after = dense.state_dict()[tensor], pruned[tensor]
        kept = after != 0
        torch.testing.assert_close(after[kept], before[kept], rtol=0, atol=0)
        assert int((~kept).sum()) == counted["zeros"]
        zeros += counted["zeros"]
    assert zeros == round(0.7 * said["scope_weights"])
    assert said["achieved"] == zeros / said["scope_weights"]
    assert said["parameters"] == dense.num_parameters()
    for tensor, before in weights(here / "model").items():
        if tensor not in said["tensors"]:
            torch.testing.assert_close(weights(here / "out")[tensor], before, rtol=0, atol=0)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_the_type_is_kept_and_the_count_exact(here, dtype):
    saved("gpt2", here / "model", dtype)
    prune("model", None, Request("magnitude", 0.5), here / "out")
    for tensor, before in weights(here / "model").items():
        after = weights(here / "out")[tensor]
        assert after.dtype == before.dtype == dtype
    said = facts(here / "out")
    assert sum(t["zeros"] for t in said["tensors"].values()) == round(0.5 * said["scope_weights"])


def test_what_is_tied_is_pruned_once_and_stays_tied(here):
    """A file may hold both names; pruning everything prunes them alike."""
    model = saved("gpt2", here / "model")
    held = {name: value.clone() for name, value in model.state_dict().items()}
    save_file(held, here / "model" / "model.safetensors", {"format": "pt"})
    prune("model", None, Request("magnitude-all", 0.5), here / "out")
    after = weights(here / "out")
    assert torch.equal(after["lm_head.weight"], after["transformer.wte.weight"])
    assert (after["lm_head.weight"] == 0).any()
    assert facts(here / "out")["tied"] == {"lm_head.weight": "transformer.wte.weight"}
    assert "lm_head.weight" not in facts(here / "out")["tensors"]


def test_include_and_exclude_choose_the_tensors(here):
    saved("bert", here / "model")
    prune("model", None, Request("magnitude", 0.5, exclude=("*.layer.0.*",)), here / "a")
    assert all(".layer.1." in name for name in facts(here / "a")["tensors"])
    only = Request("magnitude", 0.5, include=("*word_embeddings.weight",))
    prune("model", None, only, here / "b")
    assert list(facts(here / "b")["tensors"]) == ["bert.embeddings.word_embeddings.weight"]


def test_other_files_come_along_and_old_weights_do_not(here):
    saved("bert", here / "model")
    (here / "model" / "tokenizer.json").write_text("{}")
    (here / "model" / "pytorch_model.bin").write_bytes(b"old")
    prune("model", None, Request("magnitude", 0.5), here / "out")
    found = {path.name for path in (here / "out").iterdir()}
    assert {"config.json", "tokenizer.json", "model.safetensors", "pruning.json"} <= found
    assert "pytorch_model.bin" not in found


def test_random_goes_by_the_seed(here):
    saved("bert", here / "model")
    for out, seed in (("a", 1), ("b", 1), ("c", 2)):
        prune("model", None, Request("random", 0.5, seed=seed), here / out)
    a, b, c = (weights(here / out) for out in "abc")
    assert all(torch.equal(a[name], b[name]) for name in a)
    assert any(not torch.equal(a[name], c[name]) for name in a)


@pytest.mark.parametrize(
    ("request_", "said"),
    [
        (Request("magnitud", 0.5), "Did you mean 'magnitude'"),
        (Request("magnitude", 0.0), "above 0 and below 1"),
        (Request("magnitude", 50.0), "for 50 % write 0.5"),
        (Request("magnitude", 0.5, include=("nothing*",)), "matches no tensor"),
        (Request("magnitude", 0.5, exclude=("*",)), "no weights are in scope"),
    ],
)
def test_a_wrong_request_is_one_line_and_writes_nothing(here, request_, said):
    saved("bert", here / "model")
    with pytest.raises(RequestError) as caught:
        prune("model", None, request_, here / "out")
    assert said in str(caught.value)
    assert not (here / "out").exists()


def test_a_folder_that_is_there_is_not_written_to(here):
    saved("bert", here / "model")
    with pytest.raises(RequestError, match="there already"):
        prune("model", None, Request("magnitude", 0.5), here / "model")


def test_nan_stops_it_with_the_tensors_name(here):
    model = saved("bert", here / "model")
    held = {name: value.clone() for name, value in model.state_dict().items()}
    name = "bert.encoder.layer.0.intermediate.dense.weight"
    held[name][0, 0] = np.nan
    shutil.rmtree(here / "model")
    (here / "model").mkdir()
    save_file(held, here / "model" / "model.safetensors", {"format": "pt"})
    with pytest.raises(RunError, match=name):
        prune("model", None, Request("magnitude", 0.5), here / "out")
    assert not (here / "out").exists()


def test_the_command_line_prunes_and_lists_methods(tmp_path):
    saved("bert", tmp_path / "model")
    done = analysis(tmp_path, "prune", "model", "--sparsity", "0.9", "--out", "out")
    assert done.returncode == 0, done.stderr
    assert "89.99% of" in done.stdout
    listed = analysis(tmp_path, "prune", "--list-methods").stdout.splitlines()
    assert [line.split()[0] for line in listed] == pruning.names()
    assert all(len(line.split()) > 3 for line in listed)
    missing = analysis(tmp_path, "prune", "model", "--out", "elsewhere")
    assert missing.returncode == 2
    assert "--sparsity" in one_line(missing.stderr)
