"""From a folder to its prunable weights: the same whatever type and file they are stored in."""

import functools
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.utils.prune
import transformers
from random_models import KINDS, dense, made, random_model, stored
from safetensors.torch import save_file
from torch.nn import utils
from transformers.pytorch_utils import Conv1D

from analysis import pruning
from analysis.checkpoints.axes import CONV1D, stored_by_input
from analysis.checkpoints.checkpoint import PICKLE, SAFETENSORS, open_checkpoint
from analysis.checkpoints.digests import content_sha256
from analysis.checkpoints.opened import opened
from analysis.checkpoints.tensors import BY_NAME, DTYPES
from analysis.errors import RequestError, RunError
from analysis.models.loading import load_model
from analysis.pruning.masks import read_pruned
from analysis.pruning.methods import magnitude, nm_magnitude
from analysis.pruning.patterns import Pattern
from analysis.pruning.prunable import prunable, scope_of
from analysis.pruning.scope import Scope
from analysis.pruning.selection import select
from analysis.steps.alternatives.int8 import quantise_checkpoint
from analysis.steps.alternatives.moe import moefy_checkpoint
from analysis.steps.alternatives.student import distil_student
from analysis.steps.examples.generated import make_examples
from analysis.steps.profile.histograms import histograms_of_masked
from analysis.steps.pruning.allocated import prune_allocated
from analysis.steps.pruning.calibrated import prune_calibrated
from analysis.steps.pruning.grown import grow_sparse
from analysis.steps.pruning.pruned import prune_checkpoint
from analysis.steps.pruning.shrunk import shrink_checkpoint
from analysis.steps.quality import evaluate_variant
from analysis.steps.recovery.recovered import recover, recover_without_masks
from analysis.steps.sensitivity import measure_sensitivity
from analysis.steps.sizes import measure_sizes
from analysis.storage import reading as storage
from benchmarks import architectures

pytestmark = pytest.mark.usefixtures("one_thread")
KINDS_TRIED = ("bert", "gpt2", "t5")
METHODS = [name for name in pruning.names() if pruning.kind(name) == "weights"]
TYPES = {"float64": 8, "float32": 4, "float16": 2, "bfloat16": 2}
HEADERS = 10_000  # at most so many bytes of a file
HOW = ("twice", "shared in a pickle", "without the prefix")


def rounded(kind):
    """The model of that kind with weights that all types hold exactly."""
    model = made(kind)
    with torch.no_grad():
        for parameter in model.parameters():
            least = torch.where(parameter < 0, -(2.0**-7), 2.0**-7)
            parameter.copy_(torch.where(parameter.abs() < 2.0**-7, least, parameter.bfloat16()))
    return model


def restored(kind, dtype, how):
    """Changes a folder to hold that model so."""

    def change(folder):
        model = rounded(kind).to(getattr(torch, dtype))
        model.save_pretrained(folder)
        held, prefix = model.state_dict(), f"{model.base_model_prefix}."
        if how.startswith("twice"):
            held = {name: tensor.clone() for name, tensor in held.items()}
        if how == "without the prefix":
            tensors = open_checkpoint(folder).tensors
            held = {name.removeprefix(prefix): held[name].contiguous() for name in tensors}
        if how.endswith("pickle"):
            (folder / SAFETENSORS).unlink()
            torch.save(held, folder / PICKLE)
        elif how != "once":
            save_file(held, folder / SAFETENSORS, {"format": "pt"})

    return change


@functools.cache
def pruned(objects, kind, dtype="float32", how="once"):
    """By method the facts, and the masks by the names without a prefix; the sizes of files."""
    given, found = stored(objects, kind, restored(kind, dtype, how)), {}
    # one model goes through all; they are handed the same, whatever the model
    for method in METHODS if kind == "gpt2" else ("magnitude", "magnitude-all"):
        levels = ["2:4"] if pruning.takes_patterns(method) else [0.3, 0.9]
        options = {"method": method, "levels": levels, "include": [], "exclude": [], "seed": 0}
        found[method] = []
        for level in prune_checkpoint(objects, **given, **options)["levels"]:
            masks = read_pruned(objects.open(masks_object := level["masks"]["object"])).masks
            timed = ("masks", "prune_seconds")
            facts = {key: value for key, value in level.items() if key not in timed}
            found[method].append((facts, dict(masks), masks_object))
    last = found["magnitude"][-1][2]
    sizes = measure_sizes(objects, **given, masks=last, formats=["dense"])
    drawn = histograms_of_masked(objects, **given, masks=[None, last])
    return given, found, sizes, drawn


@pytest.mark.parametrize("kind", KINDS_TRIED)
def test_scope_masks_and_histograms_are_those_of_float32_with_ties_stored_once(objects, kind):
    prefix = f"{made(kind).base_model_prefix}."
    _, expected, whole, drawn = pruned(objects, kind)
    cases = [(dtype, "once") for dtype in TYPES if dtype != "float32"]
    cases += [("float32", how) for how in HOW]
    for dtype, how in [*cases, ("bfloat16", "twice")]:
        if how == "without the prefix" and kind != "gpt2":
            continue  # a head has none either, and they are not told apart
        _, found, sizes, histograms = pruned(objects, kind, dtype, how)
        assert histograms == drawn, (dtype, how)
        for method, levels in found.items():
            if method == "random" and how == "without the prefix":
                continue  # draws by the names
            for (facts, masks, _), (told, keeps, _) in zip(levels, expected[method], strict=True):
                assert facts == told, (dtype, how, method)
                kept = {name.removeprefix(prefix): mask for name, mask in keeps.items()}
                assert [name.removeprefix(prefix) for name in masks] == list(kept)
                for name, mask in masks.items():
                    np.testing.assert_array_equal(mask, kept[name.removeprefix(prefix)])
        bytes_of = whole["bytes"]["dense"] * TYPES[dtype] / 4
        assert abs(sizes["bytes"]["dense"] - bytes_of) < HEADERS, (dtype, how)


HERE = {"threads": 1, "device": "cpu"}
TEXTS = {"training": None, "seed": 0} | HERE
LOOK = TEXTS | {"examples": 8, "tokens": 16}
TRAIN = TEXTS | {"examples": 8, "epochs": 1.0, "learning_rate": 1e-3, "batch_size": 4}


@pytest.mark.parametrize(("kind", "dtype", "how"), [
    ("bert", "float16", "shared in a pickle"), ("bert", "float64", "twice in a pickle"),
    ("gpt2", "bfloat16", "without the prefix"),
])  # fmt: skip
def test_every_step_takes_every_type_and_keeps_it(objects, kind, dtype, how):
    """New values are of that type in masks' files, in smaller models, in students and experts."""
    given = stored(objects, kind, restored(kind, dtype, how))
    task, name = KINDS[kind][4], BY_NAME[dtype].name
    dense_size = open_checkpoint(objects.open(given["checkpoint"])).bytes

    def types(level):
        with storage.opened(objects.open(level["masks"]["object"])) as held:
            values = [held.spec(n).dtype for n in held.names if n.endswith(":values")]
        return {DTYPES[code].name for code in values}

    plain = {"include": [], "exclude": [], "levels": [0.5]}
    look, course = {"calibration": LOOK | {"task": task}}, {"course": TRAIN | {"task": task}}
    for method, changed in (("wanda", set()), ("sparsegpt", {name})):
        record = prune_calibrated(objects, **given, **look, **plain, method=method)
        assert types(record["levels"][0]) == changed
        assert record["levels"][0]["achieved"] == pytest.approx(0.5, abs=1e-3)
    masks = record["levels"][0]["masks"]["object"]
    trained = given | course | {"masks": masks}
    recovered = recover(objects, **trained, protocol="fine-tuned")
    unmasked = recover_without_masks(objects, **trained)
    (grown,) = grow_sparse(objects, **given, **course, sparsities=[0.5])["levels"]
    assert types(recovered) == types(grown) == {name}
    size = recovered["scope_weights"]
    assert recovered["removed"] == unmasked["removed"] == round(0.5 * size)
    assert unmasked["sparsity_before"] >= 0.5 > unmasked["sparsity_after"]
    sizes = measure_sizes(objects, **given, masks=recovered["masks"]["object"], formats=["dense"])
    assert abs(sizes["bytes"]["dense"] - dense_size) < HEADERS
    made_of = [
        shrink_checkpoint(objects, **given, **look, levels=[0.4])["levels"][0],
        distil_student(objects, **given, **course),
        moefy_checkpoint(objects, **given, **look, experts=4, run=[2])["levels"][0],
        quantise_checkpoint(objects, **given),
    ]
    examples = make_examples(objects, task_name=task, count=4, seed=7)["data"]["object"]
    asked = {"task_name": task, "data": examples, "batch_size": 4, "place": HERE}
    for record in made_of:
        folder = objects.open(record["checkpoint"]["object"])
        held = open_checkpoint(folder)
        assert content_sha256(held) == record["weights_sha256"]
        floats = [tensor for tensor in held.tensors.values() if tensor.dtype.floating]
        own = [t for t in floats if "router" not in t.name and not t.name.endswith("_scale")]
        assert {t.dtype.name for t in own} == {name}
        evaluate_variant(objects, checkpoint=record["checkpoint"]["object"], masks=None, **asked)
    answers = evaluate_variant(objects, checkpoint=given["checkpoint"], masks=masks, **asked)
    assert answers["examples"] == 4
    asked |= {"checkpoint": given["checkpoint"], "memory_bytes": 10**9}
    found = measure_sensitivity(objects, **asked, by="kind", sparsities=[0.5])
    own = {n: 0.5 for cell in found["cells"] for n in cell["tensors"]}
    given |= {"sparsity": 0.5, "sparsities": own}
    assert prune_allocated(objects, **given)["achieved"] == pytest.approx(0.5, abs=1e-3)


def test_float64_is_ranked_by_its_own_magnitudes():
    weights = {n: np.random.default_rng(i).normal(size=(30, 20)) for i, n in enumerate("ab")}
    weights["a"] = 1 + weights["a"] * 1e-12  # one float32
    order = np.argsort(np.abs(np.concatenate([w.ravel() for w in weights.values()])), kind="stable")
    for selection in select(magnitude, Scope(weights), [0.1, 0.7]):
        gone = np.concatenate([~selection.masks[name].ravel() for name in weights])
        count = round(selection.sparsity * 1200)
        assert set(np.flatnonzero(gone)) == set(order[:count])
        flat = np.concatenate([w.ravel() for w in weights.values()])
        assert selection.threshold == abs(flat[order[count - 1]])


def text_models():
    """Models with GPT-2's Conv1D, with linear layers of its names, and with both."""
    known = {}
    for name in ("gpt2", "openai-gpt", "gpt_neo", "gpt_bigcode", "bert"):
        known[name] = architectures.config_of(name, architectures.tokenizer_of(name))
        yield transformers.AutoModel.from_config(known[name])
    cross = transformers.GPT2Config(**known["gpt2"].to_dict() | {"add_cross_attention": True})
    of_both = transformers.EncoderDecoderConfig.from_encoder_decoder_configs
    yield transformers.EncoderDecoderModel(of_both(known["bert"], cross))


def test_the_architecture_says_which_matrices_are_stored_by_input():
    for model in text_models():
        shapes = {name: tuple(p.shape) for name, p in model.named_parameters()}
        modules = {f"{n}.weight" for n, m in model.named_modules() if isinstance(m, Conv1D)}
        config = json.loads(model.config.to_json_string())
        assert stored_by_input(shapes, config) == modules, type(model)
    folder, with_it = Path(transformers.__file__).parent / "models", set()
    for code in folder.glob("*/modeling_*.py"):
        if " Conv1D(" in (text := code.read_text(encoding="utf-8")) and "pytorch_utils" in text:
            with_it.add(code.parent.name)
    named = {name.removesuffix("_decoder").replace("openai-gpt", "openai") for name in CONV1D}
    assert named == with_it


def test_patterns_and_rows_go_along_the_inputs_of_a_narrow_gpt2(objects):
    def narrow(folder):
        random_model("GPT2", n_inner=8, n_positions=32).save_pretrained(folder)

    given = stored(objects, "gpt2", narrow)
    for method, level in (("nm-magnitude", "2:4"), ("magnitude-row", 0.5)):
        options = {"method": method, "levels": [level], "include": [], "exclude": [], "seed": 0}
        (found,) = prune_checkpoint(objects, **given, **options)["levels"]
        for mask in read_pruned(objects.open(found["masks"]["object"])).masks.values():
            size = 4 if method == "nm-magnitude" else mask.shape[0]  # of [in, out]
            assert (mask.T.reshape(-1, size).sum(axis=1) == size // 2).all()


def test_experts_in_one_tensor_are_pruned_along_their_inputs(tmp_path):
    sizes = {"vocab_size": 60, "hidden_size": 16, "intermediate_size": 24, "num_local_experts": 3}
    sizes |= {"num_hidden_layers": 1, "num_attention_heads": 2, "num_key_value_heads": 2}
    for kind, along in (("GptOss", 1), ("GraniteMoe", 2)):
        config = getattr(transformers, f"{kind}Config")(**sizes)
        made = getattr(transformers, f"{kind}ForCausalLM")(config)
        made.save_pretrained(tmp_path / kind)
        with scope_of(tmp_path / kind, prunable) as found:
            (selection,) = select(nm_magnitude, found.read(0), [Pattern(2, 4)])
        experts = {n: mask for n, mask in selection.masks.items() if mask.ndim == 3}
        assert len(experts) == 2
        for mask in experts.values():
            assert mask.shape[along] in (16, 24)  # the inputs
            assert (np.moveaxis(mask, along, -1).reshape(-1, 4).sum(axis=1) == 2).all()


def test_what_is_tied_is_found_however_it_is_spelled_and_accidents_are_not(tmp_path):
    wide = {"vocab_size": 60, "d_model": 16, "n_layer": 1, "n_head": 2, "d_inner": 32}
    odd = {"vocab_size": 60, "n_embd": 16, "n_layer": 1, "n_head": 2}
    tried = [
        transformers.XLNetLMHeadModel(transformers.XLNetConfig(**wide)),
        transformers.OpenAIGPTLMHeadModel(transformers.OpenAIGPTConfig(**odd)),
        random_model("Pegasus"), random_model("T5"), random_model("Bert"), random_model("Roberta"),
    ]  # fmt: skip
    for i, model in enumerate(tried):
        model.save_pretrained(folder := tmp_path / str(i))
        held = {n: t.clone().contiguous() for n, t in model.state_dict().items()}
        save_file(held, folder / SAFETENSORS)
        with opened(folder) as found:
            tied = found.parameters.weights.keys() - found.named
            assert tied == {n for n in model.all_tied_weights_keys if n in held}, type(model)
            assert sum(found.sizes.values()) == model.num_parameters()
            source = {name: found.parameters.weights[name].tied_to for name in tied}
        for name, first in source.items():
            assert torch.equal(held[name], held[first])
            assert first not in source


def test_two_models_that_begin_alike_are_not_tied(tmp_path):
    random_model("Bert").save_pretrained(tmp_path / "one")
    both = transformers.EncoderDecoderModel.from_encoder_decoder_pretrained(
        *[tmp_path / "one"] * 2, decoder_is_decoder=True, decoder_add_cross_attention=True
    )
    both.save_pretrained(tmp_path / "both")
    with opened(tmp_path / "both") as found:
        assert sum(found.sizes.values()) == both.num_parameters()


def test_what_training_told_apart_is_not_lost(objects):
    def untied(folder):
        model = made("gpt2")
        model.config.tie_word_embeddings = False
        model.lm_head.weight = torch.nn.Parameter(model.transformer.wte.weight.clone())
        model.save_pretrained(folder)

    given = stored(objects, "gpt2", untied)
    options = {"method": "magnitude", "levels": [0.5], "include": [], "exclude": [], "seed": 0}
    (level,) = prune_checkpoint(objects, **given, **options)["levels"]
    asked = {"masks": level["masks"]["object"], "course": TRAIN | {"task": KINDS["gpt2"][4]}}
    with pytest.raises(RunError, match="not tied in its model, so training made them differ"):
        recover(objects, **given, **asked, protocol="fine-tuned")


def test_nothing_else_is_prunable_and_what_stays_outside_is_named(objects):
    folder = objects.open(dense(objects, "gpt2")["checkpoint"])
    with scope_of(folder, prunable, exclude=["*.0.mlp.*"]) as found:
        globs = dict.fromkeys((f"transformer.h.*.mlp.{n}.weight" for n in ("c_fc", "c_proj")), 1024)
        assert (found.outside["largest"], found.outside["weights"]) == (globs, 2 * 16 * 64)
        whole = sum(found.opened.sizes[name] for name in found.names) + 2 * 16 * 64
        assert found.outside["share"] == 2 * 16 * 64 / whole


@pytest.mark.parametrize("wrapper", ["_orig_mod.", "module.", "module._orig_mod."])
def test_a_wrappers_word_before_all_names_changes_nothing(objects, tmp_path, wrapper):
    folder = shutil.copytree(objects.open(dense(objects, "bert")["checkpoint"]), tmp_path / "model")
    held, digest = made("bert").state_dict(), content_sha256(open_checkpoint(folder))
    save_file({wrapper + n: t.contiguous() for n, t in held.items()}, folder / SAFETENSORS)
    assert content_sha256(open_checkpoint(folder)) == digest
    loaded = load_model(folder, "classification", "cpu")[0].state_dict()
    assert all(torch.equal(loaded[name], tensor) for name, tensor in held.items())


ANEW = {  # what torch makes a weight anew from, and the call that stores it
    r"prune\.remove": lambda module: utils.prune.l1_unstructured(module, "weight", 0.5),
    "remove_spectral_norm": utils.spectral_norm,
    "remove_weight_norm": utils.weight_norm,
    "remove_parametrizations": utils.parametrizations.spectral_norm,
    "remove_parametrizations ": utils.parametrizations.weight_norm,
}


@pytest.mark.filterwarnings("ignore:.*weight_norm")
@pytest.mark.parametrize("call", ANEW)
def test_weights_that_torch_makes_anew_are_refused_with_the_call_that_stores_them(tmp_path, call):
    model = made("bert")
    model.save_pretrained(tmp_path)
    ANEW[call](model.bert.encoder.layer[0].output.dense)
    save_file({n: t.contiguous() for n, t in model.state_dict().items()}, tmp_path / SAFETENSORS)
    with pytest.raises(RequestError, match=call.strip()), opened(tmp_path):
        pass
