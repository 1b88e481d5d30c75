"""`python -m analysis prune`: what is written opens in transformers, and holds what it says."""

import functools
import json
import resource
import shutil
import sys

import architectures
import mini
import numpy as np
import pytest
import torch
import transformers
from mini import analysis, one_line
from safetensors.torch import load_file, save_file

from analysis import cli, pruning
from analysis.commands.prune import Request, prune
from analysis.errors import RequestError, RunError
from analysis.models.loading import open_model
from analysis.pruning.units import KEPT

MODELS = {"bert": "Bert", "gpt2": "GPT2", "bart": "Bart", "t5": "T5"}
AUTO = {  # what opens a smaller model
    "bert": transformers.AutoModelForMaskedLM,
    "gpt2": transformers.AutoModelForCausalLM,
    "bart": transformers.AutoModelForSeq2SeqLM,
    "t5": transformers.AutoModelForSeq2SeqLM,
}
METHODS = [n for n in pruning.names() if pruning.kind(n) in ("weights", "calibrated")]
PATTERNED = [name for name in METHODS if pruning.takes_patterns(name)]
CALIBRATED = [name for name in METHODS if pruning.kind(name) == "calibrated"]
TEXTS = """\
the food was not bad at all
a slow film , and the end of it never came

nobody here would call the room clean
the service was good and the staff was kind
"""
every_model = pytest.mark.parametrize("name", MODELS)


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    """Models this small only wait for their threads."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def here(tmp_path, monkeypatch):
    """An empty folder with a file of calibration texts, and the command in it."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "texts.txt").write_text(TEXTS)
    return tmp_path


@functools.cache
def tokenizer(architecture):
    return mini.tokenizer(architecture)


def saved(name, folder, dtype=torch.float32):
    """A tiny model of random weights, saved to the folder with its tokenizer."""
    torch.manual_seed(0)
    model = architectures.model(MODELS[name]).to(dtype)
    model.save_pretrained(folder)
    tokenizer(MODELS[name]).save_pretrained(folder)
    return model


def asked(method, sparsity=0.7, pattern="2:4", **more):
    """What the method takes, and no more."""
    level = {"pattern": pattern} if pruning.takes_patterns(method) else {"sparsity": sparsity}
    if pruning.kind(method) != "weights":
        level["calibration"] = "texts.txt"
    return Request(method, **(level | more))


def facts(folder):
    return json.loads((folder / "pruning.json").read_text())


def weights(folder):
    return load_file(folder / "model.safetensors")


def same_bits(one, other):
    return one.dtype == other.dtype and torch.equal(
        one.contiguous().view(torch.uint8), other.contiguous().view(torch.uint8)
    )


def outputs_first(model, name):
    """The stored matrix as [out, in]."""
    module = model.get_submodule(name.removesuffix(".weight"))
    weight = module.weight.detach()
    return weight.T if isinstance(module, transformers.pytorch_utils.Conv1D) else weight


@pytest.mark.parametrize("method", METHODS)
@every_model
def test_the_pruned_model_opens_and_is_as_sparse_as_it_says(here, name, method):
    dense = saved(name, here / "model")
    prune("model", None, asked(method), here / "out")
    opened, loading = type(dense).from_pretrained(here / "out", output_loading_info=True)
    assert not any(loading.values())
    before, after = dense.state_dict(), opened.state_dict()
    said, zeros = facts(here / "out"), 0
    for tensor, counted in said["tensors"].items():
        kept = after[tensor] != 0
        if "sparsegpt" not in method:  # which makes up for the removed by the kept
            torch.testing.assert_close(after[tensor][kept], before[tensor][kept], rtol=0, atol=0)
        assert int((~kept).sum()) == counted["zeros"]
        assert kept.numel() == counted["weights"]
        zeros += counted["zeros"]
    level = 0.5 if pruning.takes_patterns(method) else 0.7
    assert said["sparsity"] == level
    assert zeros == round(level * said["scope_weights"])
    assert said["achieved"] == zeros / said["scope_weights"]
    assert said["parameters"] == dense.num_parameters()
    for tensor, stored in weights(here / "model").items():
        if tensor not in said["tensors"]:
            assert same_bits(weights(here / "out")[tensor], stored), tensor


@pytest.mark.parametrize("method", PATTERNED)
@every_model
def test_a_pattern_holds_in_every_group_of_an_outputs_inputs(here, name, method):
    dense = saved(name, here / "model")
    prune("model", None, asked(method, pattern="1:4"), here / "out")
    pruned = type(dense).from_pretrained(here / "out")
    along = across = 0
    for tensor in facts(here / "out")["tensors"]:
        kept = outputs_first(pruned, tensor) != 0
        along += int((kept.reshape(-1, 4).sum(1) != 1).sum())
        across += int((kept.T.reshape(-1, 4).sum(1) != 1).sum())
    assert along == 0
    assert across  # the other axis has no pattern: the test can tell the two apart
    assert facts(here / "out")["pattern"] == "1:4"


@pytest.mark.parametrize("method", ["magnitude", "wanda", "nm-wanda"])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_the_type_is_kept_and_the_count_exact(here, dtype, method):
    saved("gpt2", here / "model", dtype)
    prune("model", None, asked(method, 0.5), here / "out")
    for tensor, before in weights(here / "model").items():
        after = weights(here / "out")[tensor]
        assert after.dtype == before.dtype == dtype
        assert torch.equal(after, torch.where(after == 0, 0, before))
    said = facts(here / "out")
    assert sum(t["zeros"] for t in said["tensors"].values()) == round(0.5 * said["scope_weights"])


@pytest.mark.parametrize("method", ["sparsegpt", "nm-sparsegpt"])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("name", ["gpt2", "t5"])
def test_values_in_half_precision_are_the_single_ones_narrowed(here, name, dtype, method):
    model = saved(name, here / "half", dtype)
    model.float().save_pretrained(here / "single")
    tokenizer(MODELS[name]).save_pretrained(here / "single")
    for folder in ("half", "single"):
        prune(folder, None, asked(method), here / f"{folder}-out")
    half, single = weights(here / "half-out"), weights(here / "single-out")
    assert all(same_bits(half[tensor], single[tensor].to(dtype)) for tensor in single)
    changed = weights(here / "half")
    for tensor in facts(here / "half-out")["tensors"]:
        assert ((half[tensor] != 0) & (half[tensor] != changed[tensor])).any()


@pytest.mark.parametrize("method", ["magnitude-all", "wanda", "sparsegpt"])
def test_what_is_tied_is_pruned_once_and_stays_tied(here, method):
    """A file may hold both names; pruning everything prunes them alike."""
    model = saved("gpt2", here / "model")
    held = {name: value.clone() for name, value in model.state_dict().items()}
    save_file(held, here / "model" / "model.safetensors", {"format": "pt"})
    prune("model", None, asked(method, 0.5), here / "out")
    after = weights(here / "out")
    assert torch.equal(after["lm_head.weight"], after["transformer.wte.weight"])
    in_scope = method == "magnitude-all"
    assert torch.equal(after["lm_head.weight"], held["lm_head.weight"]) is not in_scope
    assert facts(here / "out")["tied"] == {"lm_head.weight": "transformer.wte.weight"}
    assert "lm_head.weight" not in facts(here / "out")["tensors"]


@pytest.mark.parametrize("method", CALIBRATED)
def test_calibration_by_a_task_repeats_and_goes_by_the_seed(here, method):
    saved("bert", here / "model")
    for out, seed in (("a", 1), ("b", 1), ("c", 2)):
        prune("model", None, asked(method, calibration="sentiment", seed=seed), here / out)
    a, b, c = (weights(here / out) for out in "abc")
    assert all(same_bits(a[name], b[name]) for name in a)
    assert any(not torch.equal(a[name], c[name]) for name in a)
    assert facts(here / "a")["calibration"] == "sentiment"


def test_a_calibrated_methods_scope_can_be_chosen(here):
    saved("bart", here / "model")
    chosen = asked("wanda", include=("*.fc1.weight", "*.fc2.weight"), exclude=("*.decoder.*",))
    prune("model", None, chosen, here / "out")
    names = facts(here / "out")["tensors"]
    assert len(names) == 4
    assert all(".encoder." in name and ".fc" in name for name in names)


# ---------------------------------------------------------------- structured


@every_model
def test_a_smaller_model_opens_and_is_as_small_as_it_says(here, name):
    dense = saved(name, here / "model")
    prune("model", None, asked("structured", 0.3), here / "out")
    said = facts(here / "out")
    smaller = open_model(here / "out", AUTO[name])
    ids = torch.tensor([[5, 6, 7, 8]])
    given = {"decoder_input_ids": ids} if dense.config.is_encoder_decoder else {}
    assert smaller(input_ids=ids, **given).logits.isfinite().all()
    gone = dense.num_parameters() - smaller.num_parameters()
    assert said["parameters"] == dense.num_parameters()
    assert said["whole_model"] == pytest.approx(gone / dense.num_parameters())
    assert said["achieved"] == pytest.approx(0.3, abs=0.07)  # half of the largest unit, a head
    was, now = weights(here / "model"), weights(here / "out")
    matrices = [n for n in was if was[n].shape != now[n].shape and was[n].ndim == 2]
    fewer = sum(was[n].numel() - now[n].numel() for n in matrices if "bias" not in n)
    assert said["achieved"] == fewer / said["scope_weights"]
    assert json.loads((here / "out" / KEPT).read_text())


def test_a_smaller_model_keeps_half_precision(here):
    saved("gpt2", here / "model", torch.float16)
    prune("model", None, asked("structured", 0.3), here / "out")
    assert {tensor.dtype for tensor in weights(here / "out").values()} == {torch.float16}
    assert open_model(here / "out", AUTO["gpt2"]).dtype == torch.float32


def test_a_smaller_model_whose_file_holds_both_tied_names_is_counted_once(here):
    model = saved("gpt2", here / "model")
    held = {name: value.clone() for name, value in model.state_dict().items()}
    save_file(held, here / "model" / "model.safetensors", {"format": "pt"})
    prune("model", None, asked("structured", 0.3), here / "out")
    smaller = open_model(here / "out", AUTO["gpt2"])
    said = facts(here / "out")
    assert said["parameters"] == model.num_parameters()
    left = smaller.num_parameters() / model.num_parameters()
    assert said["whole_model"] == pytest.approx(1 - left)


def test_a_smaller_model_is_pruned_further_by_weights_alone(here):
    saved("bert", here / "model")
    prune("model", None, asked("structured", 0.3), here / "small")
    prune("small", None, asked("magnitude", 0.5), here / "out")
    assert facts(here / "out")["achieved"] == 0.5
    opened = open_model(here / "out", AUTO["bert"])
    name = "bert.encoder.layer.0.output.dense.weight"
    assert torch.equal(opened.state_dict()[name], weights(here / "out")[name])
    with pytest.raises(RequestError, match="has lost neurons and heads already"):
        prune("small", None, asked("structured", 0.3), here / "smaller")
    assert not (here / "smaller").exists()


# ---------------------------------------------------------------- what is chosen, what comes along


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


# ---------------------------------------------------------------- mistakes


def called(monkeypatch, capsys, *arguments):
    """The exit status of `python -m analysis prune …`, and what it wrote on stderr."""
    monkeypatch.setattr(sys, "argv", ["analysis", "prune", *arguments])
    with pytest.raises(SystemExit) as caught:
        cli.main()
    return caught.value.code, capsys.readouterr().err


TEXT = ("--calibration", "texts.txt")
HALF = ("--sparsity", "0.5")
MISTAKES = {
    "a method misspelt": (["magnitud", *HALF], "Did you mean 'magnitude'"),
    "nothing removed": (["magnitude", "--sparsity", "0"], "above 0 and below 1"),
    "per cent": (["magnitude", "--sparsity", "50"], "for 50 % write 0.5"),
    "more than all": (["wanda", "--sparsity", "1.5", *TEXT], "not above 0 and below 1"),
    "no number": (["magnitude", "--sparsity", "nan"], "not above 0 and below 1"),
    "include nothing": (["magnitude", *HALF, "--include", "no*"], "matches no tensor"),
    "exclude all": (["magnitude", *HALF, "--exclude", "*"], "no weights are in scope"),
    "no calibration": (["wanda", *HALF], "give --calibration TASK"),
    "none for units": (["structured", *HALF], "give --calibration TASK"),
    "calibration in vain": (["magnitude", *HALF, *TEXT], "leave --calibration out"),
    "a pattern in vain": (["magnitude", "--pattern", "2:4"], "takes no --pattern"),
    "both levels": (["wanda", *HALF, "--pattern", "2:4", *TEXT], "takes no --pattern"),
    "no pattern": (["nm-magnitude", *HALF], "takes --pattern, such as 2:4"),
    "both for a pattern": (
        ["nm-wanda", *HALF, "--pattern", "2:4", *TEXT], "in place of --sparsity"
    ),
    "a pattern upside down": (["nm-magnitude", "--pattern", "4:2"], "'4:2' is not N:M"),
    "no such pattern": (["nm-magnitude", "--pattern", "half"], "'half' is not N:M"),
    "a task misspelt": (["wanda", *HALF, "--calibration", "sentimant"], "mean 'sentiment'"),
    "a missing file": (["wanda", *HALF, "--calibration", "none.txt"], "No such file"),
    "a missing path": (["wanda", *HALF, "--calibration", "data/none"], "No such file"),
    "an empty file": (["wanda", *HALF, "--calibration", "empty.txt"], "holds no calibration texts"),
    "a broken line": (["wanda", *HALF, "--calibration", "bad.jsonl"], "bad.jsonl, line 3: "),
    "another line": (["wanda", *HALF, "--calibration", "list.jsonl"], "list.jsonl, line 1: "),
    "bytes": (["wanda", *HALF, "--calibration", "bytes.txt"], "bytes.txt: 'utf-8' codec"),
    "globs for units": (["structured", *HALF, *TEXT, "--include", "*"], "leave --include and"),
    "too many units": (
        ["structured", "--sparsity", "0.99", *TEXT], "cannot be reached by removing neurons"
    ),
    "training": (["gradual", *HALF], "trains while it prunes, so it takes a study"),
    "no inputs": (
        ["wanda", *HALF, *TEXT, "--include", "*word_embeddings.weight"], "no linear layer"
    ),
}  # fmt: skip


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_one_line_and_writes_nothing(here, monkeypatch, capsys, mistake):
    (method, *arguments), said = MISTAKES[mistake]
    saved("bert", here / "model")
    (here / "empty.txt").write_text("\n  \n")
    (here / "bad.jsonl").write_text('{"text": "good"}\n\n{"text": "not closed"\n')
    (here / "list.jsonl").write_text('["text"]\n')
    (here / "bytes.txt").write_bytes(b"\xff\xfe")
    before = {path.name for path in here.iterdir()}
    capsys.readouterr()
    status, stderr = called(
        monkeypatch, capsys, "model", "--method", method, *arguments, "--out", "out"
    )
    assert said in one_line(stderr)
    assert status == 2
    assert {path.name for path in here.iterdir()} - {"cache"} == before


@pytest.mark.parametrize("method", ["wanda", "structured"])
@every_model
def test_a_folder_without_a_tokenizer_is_refused(here, name, method):
    """transformers would make one up that knows no words."""
    architectures.model(MODELS[name]).save_pretrained(here / "model")
    with pytest.raises(RequestError, match="has no tokenizer"):
        prune("model", None, asked(method, 0.3), here / "out")
    assert not (here / "out").exists()


@pytest.mark.parametrize("architecture", ["OPT", "GPTNeo"])
def test_units_of_an_architecture_that_is_not_known_are_refused_before_calibration(
    here, monkeypatch, capsys, architecture
):
    small = {"vocab_size": 60, "hidden_size": 16, "max_position_embeddings": 20}
    small |= {"num_attention_heads": 2, "ffn_dim": 32, "word_embed_proj_dim": 16}
    small |= {"num_hidden_layers": 2, "num_heads": 2, "num_layers": 2, "intermediate_size": 32}
    if architecture == "GPTNeo":
        small |= {"attention_types": [[["global"], 2]]}
    config = getattr(transformers, f"{architecture}Config")(**small)
    getattr(transformers, f"{architecture}ForCausalLM")(config).save_pretrained(here / "model")
    tokenizer("GPT2").save_pretrained(here / "model")
    ran = []
    monkeypatch.setattr("analysis.calibration.moments.moments_of", lambda *_: ran.append(1))
    capsys.readouterr()
    asked = ["--method", "structured", *HALF, *TEXT, "--out", "out"]
    status, stderr = called(monkeypatch, capsys, "model", *asked)
    assert "of which no neurons and heads can be removed; allowed: bart, " in one_line(stderr)
    assert (status, ran) == (2, [])
    assert not (here / "out").exists()


@pytest.mark.parametrize("damaged", ["tokenizer.json", "config.json"])
def test_a_damaged_file_is_named(here, damaged):
    saved("bert", here / "model")
    (here / "model" / damaged).write_text("{}")
    with pytest.raises(RequestError, match="cannot be run on calibration texts") as caught:
        prune("model", None, asked("wanda"), here / "out")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("method", ["magnitude", "sparsegpt", "structured"])
def test_a_disk_that_is_full_is_one_line_and_leaves_nothing(here, method):
    saved("bert", here / "model")
    (here / "cache").mkdir()
    before = {path.name for path in here.iterdir()}
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (12_000, limits[1]))  # less than the weights take
    try:
        with pytest.raises(RunError, match=r"cannot write the model to .*: .*make room"):
            prune("model", None, asked(method, 0.3), here / "out")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert {path.name for path in here.iterdir()} == before


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
    assert sorted(line.split()[0] for line in listed) == pruning.names()
    assert all(len(line.split()) > 3 for line in listed)
    missing = analysis(tmp_path, "prune", "model", "--out", "elsewhere")
    assert missing.returncode == 2
    assert "--sparsity" in one_line(missing.stderr)
