"""`python -m analysis prune`: what is written opens in transformers, and holds what it says."""

import functools
import json
import os
import re
import resource
import shutil
import tempfile
from pathlib import Path

import architectures
import mini
import pytest
import torch
import transformers
import yaml
from commandline import one_line, request
from safetensors.torch import load_file, save_file

from analysis import pruning
from analysis.checkpoints.beside import beside
from analysis.commands.prune import Request, prune
from analysis.errors import RequestError, RunError
from analysis.models.loading import open_model
from analysis.models.units import KEPT

MODELS = ("Bert", "GPT2", "Bart", "T5")
METHODS = [n for n in pruning.names() if pruning.kind(n) in ("weights", "calibrated")]
TEXTS = """the food was not bad at all\na slow film , and the end of it never came\n
nobody here would call the room clean\nthe service was good and the staff was kind\n"""
FOLDERS = tempfile.TemporaryDirectory()
OLD = {"pytorch_model.bin", "model.safetensors.index.json"}  # weights that nobody reads
FFN, HEAD = "bert.encoder.layer.0.output.dense.weight", "lm_head.weight"


@pytest.fixture
def here(tmp_path, monkeypatch, one_thread):
    """An empty folder with a file of calibration texts, and the command in it."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "texts.txt").write_text(TEXTS)
    return tmp_path


@functools.cache
def model(name, dtype=torch.float32):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return architectures.model(name).to(dtype)


@functools.cache
def saved(name, dtype=torch.float32):
    """The folder of such a model and its tokenizer, which no test changes."""
    folder = Path(FOLDERS.name) / f"{name}-{dtype}"
    model(name, dtype).save_pretrained(folder)
    mini.tokenizer(name).save_pretrained(folder)
    (folder / "below").mkdir()
    for file in ("README.md", *OLD):
        (folder / file).write_bytes(b"old")
    return folder


def refilled(folder, source, tensors):
    """The folder of a copy with other tensors."""
    shutil.copytree(source, folder)
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    return folder


def pruned(folder, out, method, sparsity=0.7, pattern="2:4", **more):
    """What pruning.json says of the model, its weights, and the weights as they were."""
    level = {"pattern": pattern} if pruning.takes_patterns(method) else {"sparsity": sparsity}
    texts = {} if pruning.kind(method) == "weights" else {"calibration": "texts.txt"}
    prune(str(folder), None, Request(method, **(level | texts | more)), out)
    after, before = (load_file(path / "model.safetensors") for path in (out, folder))
    return json.loads((out / "pruning.json").read_text()), after, before


def same_bits(one, other):
    raw = [tensor.contiguous().view(torch.uint8) for tensor in (one, other)]
    return one.dtype == other.dtype and torch.equal(*raw)


@pytest.mark.parametrize("name", MODELS)
def test_the_pruned_model_opens_and_is_as_sparse_as_it_says(here, name):
    for method in METHODS:
        out, patterned = here / method, pruning.takes_patterns(method)
        said, after, before = pruned(saved(name), out, method, pattern="1:4")
        model_class, level = type(model(name)), 0.75 if patterned else 0.7
        found, loading = model_class.from_pretrained(out, output_loading_info=True)
        assert not any(loading.values())
        assert all(same_bits(found.state_dict()[tensor], value) for tensor, value in after.items())
        for tensor, counted in said["tensors"].items():
            kept = after[tensor] != 0
            if "sparsegpt" not in method:  # which makes up for the removed by the kept
                assert torch.equal(after[tensor], torch.where(kept, before[tensor], 0)), tensor
            assert counted == {"weights": kept.numel(), "zeros": int((~kept).sum())}
        size, zeros = (sum(t[k] for t in said["tensors"].values()) for k in ("weights", "zeros"))
        whole = sum(int((p == 0).sum()) for p in found.parameters())  # each tied one once
        facts = {
            "method": method, "pattern": "1:4" if patterned else None, "sparsity": level, "seed": 0,
            "scope_weights": size, "achieved": round(level * size) / size,
            "parameters": found.num_parameters(), "whole_model": whole / found.num_parameters(),
        }  # fmt: skip
        assert ({key: said[key] for key in facts}, zeros) == (facts, round(level * size))
        there = {path.name for path in saved(name).iterdir() if path.is_file()} - OLD
        assert {path.name for path in out.iterdir()} == there | {"pruning.json"}
        for tensor, value in before.items():
            assert tensor in said["tensors"] or same_bits(after[tensor], value), (method, tensor)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_values_in_half_precision_are_the_single_ones_narrowed(here, dtype):
    for name in ("GPT2", "T5"):
        half = saved(name, dtype)
        stored = load_file(half / "model.safetensors")
        single = refilled(here / name, half, {n: value.float() for n, value in stored.items()})
        for method in ("magnitude", "nm-wanda", "sparsegpt", "nm-sparsegpt"):
            _, after, _ = pruned(half, here / f"{name}-{method}", method, 0.5)
            _, whole, _ = pruned(single, here / f"{name}-{method}-single", method, 0.5)
            assert all(same_bits(after[tensor], whole[tensor].to(dtype)) for tensor in whole)


def test_what_is_tied_is_pruned_once_and_stays_tied(here):
    """A file may hold both names; pruning everything prunes them alike."""
    dense = model("GPT2")
    both = {name: value.clone() for name, value in dense.state_dict().items()}
    tied = refilled(here / "tied", saved("GPT2"), both)
    for method in ("magnitude-all", "wanda", "sparsegpt"):
        said, after, before = pruned(tied, here / method, method, 0.5)
        assert torch.equal(after[HEAD], after["transformer.wte.weight"])
        assert torch.equal(after[HEAD], before[HEAD]) is (method != "magnitude-all")
        assert said["tied"] == {HEAD: "transformer.wte.weight"}
        assert HEAD not in said["tensors"]
    said, _, _ = pruned(tied, here / "out", "structured", 0.3)
    left = open_model(here / "out", type(model("GPT2"))).num_parameters() / dense.num_parameters()
    assert (said["parameters"], said["now"]) == (dense.num_parameters(), "gone")
    assert said["whole_model"] == pytest.approx(1 - left)


def test_all_that_lies_beside_the_weights_is_kept_and_links_out_are_not_followed(here):
    """As in a sentence-transformers model; whatever the method, and with `out` in the folder."""
    model, elsewhere = shutil.copytree(saved("Bert"), here / "model"), here / "elsewhere"
    kept = ["modules.json", "1_Pooling/config.json", "2_Dense/model.safetensors",
            "2_Dense/pytorch_model.bin", "original/a/b.txt", "chat_template.jinja"]  # fmt: skip
    for name in (*kept, ".git/objects"):
        (model / name).parent.mkdir(parents=True, exist_ok=True)
        (model / name).write_text(name)
    elsewhere.mkdir()
    (elsewhere / "secret").write_text("secret")
    (model / "folder").symlink_to(elsewhere)
    (model / "secret").symlink_to(elsewhere / "secret")
    (model / "original" / "up").symlink_to(model)
    (model / "same.json").symlink_to("modules.json")
    files = {path.name for path in saved("Bert").iterdir() if path.is_file()} - OLD
    expected = {*files, *kept, "same.json", "pruning.json"}
    for method in ("magnitude", "structured"):
        out = model / f"pruned-{method}"
        words = "--method", method, "--sparsity", "0.3", "--out", out
        texts = ("--calibration", "texts.txt") if method == "structured" else ()
        done = request("prune", model, *words, *texts)
        expected |= {"kept.json"} if texts else set()
        assert {p.relative_to(out).as_posix() for p in out.rglob("*") if p.is_file()} == expected
        assert all((out / name).read_text() == name for name in kept)
        assert not any(path.is_symlink() for path in out.rglob("*"))
        for name in ("pytorch_model.bin", "folder, original/up, secret (links", ".git (hidden"):
            assert name in done.stdout
        shutil.rmtree(out)
    # a snapshot in the hub's cache is made of links to what lies beside it
    snapshot, blob = here / "snapshots" / "commit", here / "blobs" / "1"
    for path in (snapshot / "config.json", blob):
        path.parent.mkdir(parents=True)
    blob.write_text("{}")
    (snapshot / "config.json").symlink_to(blob)
    assert [path.name for path in beside(snapshot).files] == ["config.json"]
    (model / "config.json").rename(elsewhere / "config.json")
    (model / "config.json").symlink_to(elsewhere / "config.json")
    refused(RequestError, "config.json is a link out of the folder", model, "magnitude")


def test_random_weights_and_a_tasks_texts_go_by_the_seed(here):
    for method, texts in (("random", None), ("wanda", "sentiment"), ("sparsegpt", "sentiment")):
        (said, a, _), (_, b, _), (_, c, _) = (
            pruned(saved("Bert"), here / f"{method}{i}", method, seed=seed, calibration=texts)
            for i, seed in enumerate((1, 1, 2))
        )
        assert all(same_bits(a[name], b[name]) for name in a)
        assert any(not torch.equal(a[name], c[name]) for name in a)
        assert (said["calibration"], said["seed"]) == (texts, 1)


def test_how_calibration_texts_were_read_is_said(here, capsys):
    """A causal model's packed in windows of its positions, a task of another form too."""
    long = [f"the food was good and the room {i} was not" for i in range(400)]
    (here / "long.txt").write_text("\n".join(long), encoding="utf-8")
    for architecture, method, texts in (
        ("GPT2", "wanda", "long.txt"), ("GPT2", "wanda", "sentiment"),
        ("Bert", "wanda", "long.txt"), ("GPT2", "structured", "long.txt"),
    ):  # fmt: skip
        out = here / f"{architecture}-{method}-{texts}"
        model = saved(architecture)
        said = pruned(model, out, method, sparsity=0.3, calibration=texts)[0]["calibrated_on"]
        shown = "".join(capsys.readouterr())
        assert f"calibrated on {texts}: " in shown
        assert f", {said['tokens']:,} tokens" in shown
        if architecture == "GPT2":
            positions = json.loads((out / "config.json").read_text())["n_positions"]
            assert said["packed"]
            assert said["tokens"] == said["windows"] * min(positions, 512) > 0
        else:
            assert (said["packed"], said["texts"]) == (False, 128)


def test_what_of_the_blocks_is_outside_the_scope_is_always_said(here):
    """Also why a method cannot look at experts, or knows no blocks; what then works is named."""
    models = {
        "xlm": transformers.XLMWithLMHeadModel(transformers.XLMConfig(
            vocab_size=60, emb_dim=16, n_layers=2, n_heads=2)),
        "mixtral": transformers.MixtralForCausalLM(transformers.MixtralConfig(
            vocab_size=60, hidden_size=16, intermediate_size=32, num_hidden_layers=2,
            num_attention_heads=2, num_key_value_heads=2, num_local_experts=3)),
        "bert": model("Bert"),
    }  # fmt: skip
    for name, of in models.items():
        of.save_pretrained(here / name)
        mini.tokenizer("GPT2").save_pretrained(here / name)
    wanda = ("--method", "wanda", "--sparsity", "0.5", "--calibration", "texts.txt")
    magnitude = ("--method", "magnitude", "--sparsity", "0.5")

    def said(name, *words):
        done = request("prune", name, *words, "--out", f"out-{len([*here.iterdir()])}")
        return done.stdout + done.stderr

    assert "all of the blocks' weights are in scope" in said("bert", *magnitude)
    # attention has half of a block's weights
    half = said("bert", *magnitude, "--exclude", "*attention*")
    assert "50% OF THE BLOCKS' WEIGHTS ARE OUTSIDE THE SCOPE and stay as they are" in half
    assert "bert.encoder.layer.*.attention.self.query.weight" in half
    facts = json.loads(next(here.glob("out-*/pruning.json")).read_text())["outside_weights"]
    assert sorted(facts) == ["largest", "share", "weights"]
    # routers are outside, experts are pruned by what looks at weights alone
    assert "0.8% of the blocks' weights are outside the scope: " in said("mixtral", *magnitude)
    refusal = said("mixtral", *wanda)
    assert "the experts of a mixture are run as one tensor" in refusal
    assert refusal.count("--exclude") == refusal.count("--exclude '*.experts.*'") == 1
    assert "OUTSIDE THE SCOPE" in said("mixtral", *wanda, "--exclude", "*.experts.*")
    refusal = said("xlm", *magnitude)
    assert "of the architecture 'xlm' no blocks are understood" in refusal
    globs = re.findall(r"--include '([^']+)'", refusal)
    assert "transformer.ffns.*.lin1.weight" in globs
    assert "in scope" in said("xlm", *magnitude, *(w for g in globs for w in ("--include", g)))


@pytest.mark.parametrize("name", MODELS)
def test_a_smaller_model_opens_and_is_as_small_as_it_says(here, name):
    said, now, was = pruned(saved(name), here / "out", "structured", 0.3)
    dense, smaller = model(name), open_model(here / "out", type(model(name)))
    ids = torch.tensor([[5, 6, 7, 8]])
    given = {"decoder_input_ids": ids} if dense.config.is_encoder_decoder else {}
    assert smaller(input_ids=ids, **given).logits.isfinite().all()
    gone = dense.num_parameters() - smaller.num_parameters()
    assert (said["sparsity"], said["parameters"]) == (0.3, dense.num_parameters())
    assert said["whole_model"] == pytest.approx(gone / dense.num_parameters())
    matrices = [n for n in was if was[n].shape != now[n].shape and was[n].ndim == 2]
    fewer = sum(was[n].numel() - now[n].numel() for n in matrices if "bias" not in n)
    assert said["achieved"] == fewer / said["scope_weights"]
    assert said["achieved"] == pytest.approx(0.3, abs=0.07)  # half of the largest unit, a head
    assert json.loads((here / "out" / KEPT).read_text())


def test_a_smaller_model_keeps_half_precision_and_is_pruned_further_by_weights_alone(here):
    _, now, _ = pruned(saved("GPT2", torch.float16), here / "half", "structured", 0.3)
    assert {tensor.dtype for tensor in now.values()} == {torch.float16}
    assert open_model(here / "half", type(model("GPT2"))).dtype == torch.float32
    pruned(saved("Bert"), here / "small", "structured", 0.3)
    said, after, _ = pruned(here / "small", here / "out", "magnitude", 0.5)
    assert said["achieved"] == 0.5
    assert torch.equal(open_model(here / "out", type(model("Bert"))).state_dict()[FFN], after[FFN])
    with pytest.raises(RequestError, match="has lost neurons and heads already"):
        pruned(here / "small", here / "smaller", "structured", 0.3)
    assert not (here / "smaller").exists()


def test_a_mistake_is_one_line_and_writes_nothing(here):
    for name, content in {
        "empty.txt": b"\n  \n", "bad.jsonl": b'{"text": "good"}\n\n{"text": "not closed"\n',
        "list.jsonl": b'["text"]\n', "bytes.txt": b"\xff\xfe", "deep.jsonl": b"[" * 9**5,
        "taken/thesis.txt": b"",
    }.items():  # fmt: skip
        (here / name).parent.mkdir(exist_ok=True)
        (here / name).write_bytes(content)
    before = sorted(here.rglob("*"))
    for words, said in yaml.safe_load(Path(__file__).with_name("prune_mistakes.yml").read_text()):
        done = request("prune", saved("Bert"), "--out", "out", *words.split())
        assert (said in one_line(done.stderr), done.returncode) == (True, 2), words
        shutil.rmtree("cache", ignore_errors=True)
        assert sorted(here.rglob("*")) == before, words


def refused(error, words, folder, method):
    """The method is refused in these words, and nothing is written."""
    before = {*os.listdir(), "cache"}
    with pytest.raises(error, match=words) as caught:
        pruned(folder, Path("out"), method, 0.3)
    assert "\n" not in str(caught.value)
    assert {*os.listdir(), "cache"} == before


def test_a_folder_that_cannot_be_run_is_refused(here, monkeypatch):
    """Without a tokenizer, transformers would make one up that knows no words."""
    for name in MODELS:
        model(name).save_pretrained(here / name)
        for method in ("wanda", "structured"):
            refused(RequestError, "has no tokenizer", here / name, method)
    for damaged in ("tokenizer.json", "config.json"):
        folder = shutil.copytree(saved("Bert"), here / damaged)
        (folder / damaged).write_text("{}")
        refused(RequestError, f"{damaged}.*cannot be opened", folder, "wanda")
    # of an architecture whose units are not known: refused before calibration
    monkeypatch.setattr("analysis.pruning.moments.moments_of", None)
    architectures.model("OPT").save_pretrained(here / "OPT")
    mini.tokenizer("GPT2").save_pretrained(here / "OPT")
    words = "of which no neurons and heads can be removed; allowed: bart, "
    refused(RequestError, words, here / "OPT", "structured")


def test_weights_that_are_nan_and_a_full_disk_are_failed_runs(here):
    wrong = {name: value.clone() for name, value in model("Bert").state_dict().items()}
    wrong[FFN][0, 0] = torch.nan
    spoilt, good = refilled(here / "model", saved("Bert"), wrong), saved("Bert")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    for method in ("magnitude", "sparsegpt", "structured"):
        refused(RunError, FFN, spoilt, method)
        resource.setrlimit(resource.RLIMIT_FSIZE, (12_000, limits[1]))  # less than the weights take
        try:
            refused(RunError, "cannot write the model to .*: .*make room", good, method)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def test_the_command_line_prunes_and_lists_methods(here):
    done = mini.analysis(here, "prune", str(saved("Bert")), "--sparsity", "0.9", "--out", "out")
    assert (done.returncode, done.stderr) == (0, "")
    said = json.loads((here / "out" / "pruning.json").read_text())
    parts = f"{said['achieved']:.2%} of {said['scope_weights']:,} weights in scope,"
    whole = f"{said['whole_model']:.2%} of {said['parameters']:,} in all, are zero"
    assert f"pruned by magnitude: {parts} {whole}\n" in done.stdout
    listed = request("prune", "--list-methods").stdout.splitlines()
    assert sorted(line.split()[0] for line in listed) == pruning.names()
    needed = {line.split()[0]: line.partition(" [")[2] for line in listed}
    assert (needed["magnitude"], needed["nm-wanda"]) == ("", "--pattern, --calibration]")
    assert (needed["structured"], needed["gradual"]) == ("--calibration]", "in studies only]")
