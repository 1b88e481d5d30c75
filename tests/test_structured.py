"""Removing neurons and heads: a smaller model answers as one in which they are zeroed."""

import copy
import functools
import itertools
import json
import re

import architectures
import calibrations
import mini
import numpy as np
import pytest
import safetensors.numpy
import torch
import transformers
from calibrations import CASES, refused

from analysis.checkpoints import naming
from analysis.checkpoints.axes import stored_by_input
from analysis.errors import AnalysisError, RequestError, RunError
from analysis.models import units
from analysis.models.loading import load_model, load_smaller
from analysis.pruning import structured
from analysis.pruning.structured import KEPT, Moments, Unreachable, projections, remove_units

pytestmark = pytest.mark.usefixtures("one_thread")
ALL = list(architectures.ARCHITECTURES)
every_model = pytest.mark.parametrize("architecture", sorted({*ALL, *CASES["architectures"]}))
TIED = {"GPT2": "transformer.wte.weight", "T5": "shared.weight", "Bart": "model.shared.weight"}


@functools.cache
def dense(architecture):
    """A model with random weights of a size at which every one of them matters, biases too.

    Wider than the shared tiny ones: several heads, so that some go and some stay.
    """
    own = CASES["architectures"].get(architecture, {"like": architecture})
    base, more = own["like"], own.get("with", {})
    usual, sizes = architectures.ARCHITECTURES[base]
    named = getattr(transformers, f"{architecture if 'class' in own else base}Config")
    config = named(**architectures.SMALL | sizes | more, decoder_start_token_id=2)
    wider = {"hidden_size": 32, "num_attention_heads": 4, "decoder_attention_heads": 4}
    wider |= {"num_key_value_heads": 2} | more
    config.update({name: value for name, value in wider.items() if hasattr(config, name)})
    torch.manual_seed(0)
    model = getattr(transformers, own.get("class", usual))(config).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "norm" in name.lower() or "ln_" in name:
                parameter.add_(torch.randn_like(parameter) * 0.1)
            elif parameter.requires_grad:
                parameter.copy_(torch.randn_like(parameter) * 0.2)
    return model


def parts(model):
    """Weights as `save_pretrained` writes them, what is tied once; config.json; and moments."""
    names = {name for name, _ in model.named_parameters()}
    weights = {n: t.numpy().copy() for n, t in model.state_dict().items() if n in names}
    generator, moments = np.random.default_rng(0), {}
    config = json.loads(model.config.to_json_string())
    by_input = stored_by_input({name: array.shape for name, array in weights.items()}, config)
    for name in projections(naming.weights(weights)):
        size = weights[name].shape[0 if name in by_input else 1]
        moments[name] = Moments(generator.normal(size=size), generator.gamma(1, size=size) + 0.01)
    return weights, config, moments


def groups_of(model):
    weights, config, _ = parts(model)
    shapes = {name: array.shape for name, array in weights.items()}
    return units.groups(naming.weights(weights), shapes, config)


@functools.cache
def removal(architecture, sparsity=0.4):
    """A model and what is left of it; both are only looked at."""
    model = dense(architecture)
    return model, remove_units(*parts(model), sparsity)


def lost(group, smaller):
    listed = smaller.kept[group.kind].get(group.key)
    return sorted({*range(group.count)} - {*listed["kept"]}) if listed else []


def zeroed(model, smaller):
    """The whole model with the removed units at zero, by loops, and the compensated biases."""
    model = copy.deepcopy(model)
    state = model.state_dict()
    for name, array in smaller.weights.items():
        if state[name].shape == array.shape:
            state[name].copy_(torch.from_numpy(array))
    for group in groups_of(model):
        for unit, cut in itertools.product(lost(group, smaller), group.cuts):
            tensor = state[cut.name].transpose(0, cut.axis) if cut.axis else state[cut.name]
            run = tensor.shape[0] // cut.ranges
            width = run // group.count
            for start in range(unit * width, tensor.shape[0], run):
                tensor[start : start + width] = 0
    return model


def save(folder, model, smaller):
    folder.mkdir(exist_ok=True)
    model.config.save_pretrained(folder)
    if model.can_generate():
        model.generation_config.save_pretrained(folder)
    safetensors.numpy.save_file(smaller.weights, folder / "model.safetensors")
    structured.write_kept(folder, smaller.kept)
    mini.tokenizer("GPT2").save_pretrained(folder)
    return folder


def reopened(folder, model, smaller):
    return load_smaller(save(folder, model, smaller), type(model))


def inputs(model):
    reads = getattr(model.config, "add_cross_attention", False)
    heard = torch.randn(2, 7, 32, generator=torch.Generator().manual_seed(0))
    return calibrations.batches(model)[0] | ({"encoder_hidden_states": heard} if reads else {})


@torch.no_grad()
def logits(model):
    return model(**inputs(model)).logits


def assert_answers_alike(one, other):
    torch.testing.assert_close(logits(one), logits(other), atol=1e-5, rtol=1e-5)


@every_model
def test_it_answers_as_the_whole_model_with_the_units_at_zero(tmp_path, architecture):
    for sparsity in (0.1, 0.4, 0.7):
        model, smaller = removal(architecture, sparsity)
        assert smaller.kept["neurons"] or smaller.kept["heads"]
        assert all(smaller.kept.values()) or sparsity < 0.7
        loaded = reopened(tmp_path, model, smaller)
        assert_answers_alike(loaded, zeroed(model, smaller))
        assert (logits(loaded) - logits(model)).abs().max() > 1e-3
        whole, left = (sum(p.numel() for p in one.parameters()) for one in (model, loaded))
        assert left <= whole - smaller.removed


@every_model
def test_as_much_goes_as_was_asked_for_from_every_layer_and_a_unit_stays_everywhere(architecture):
    """Heads and neurons of each block, or of T5's stacks; what is beside them stays."""
    groups, weights = groups_of(dense(architecture)), parts(dense(architecture))[0]
    names = [name for name, what in naming.weights(weights).items() if what.prunable]
    outputs = sorted(cut.name for group in groups for cut in group.outputs)
    assert outputs == projections(naming.weights(weights))
    touched = [cut.name for group in groups for cut in group.cuts]
    assert ({*names} - {*touched}, len(touched)) == (set(), len({*touched}))
    whole = sum(weights[n].size for n in names)
    sizes = [sum(weights[c.name].size for c in g.cuts if c.name in names) / g.count for g in groups]
    before = {}
    for sparsity in (0.05, 0.1, 0.4, 0.7):
        smaller = removal(architecture, sparsity)[1]
        assert smaller.scope_weights == whole
        assert smaller.removed == whole - sum(smaller.weights[n].size for n in names)
        assert abs(smaller.removed - sparsity * whole) <= max(sizes) / 2 + 1
        for listed in smaller.kept.values():
            assert all(0 < len(entry["kept"]) < entry["of"] for entry in listed.values())
        gone = {group.key: {*lost(group, smaller)} for group in groups}
        assert all(gone[key] >= before.get(key, set()) for key in gone)
        before = gone
        assert smaller.weights.keys() == weights.keys()
        for name, what in naming.weights(weights).items():
            array = smaller.weights[name]
            assert (array.size > 0, array.flags.c_contiguous) == (True, True)
            if what.layer is None or what.kind == "norm":
                assert array.tobytes() == weights[name].tobytes()


def standardised(scores):
    mean, spread = (of(scores, axis=-1, keepdims=True) for of in (np.mean, np.std))
    return (scores - mean) / np.where(spread, spread, 1)


@pytest.mark.parametrize("architecture", ALL)
def test_the_lowest_scores_go_and_biases_take_up_what_they_are_on_average(architecture):
    """What does not vary goes first. Weights and moments are left as they are given."""
    model = dense(architecture)
    weights, config, given = parts(model)
    for moment in given.values():
        moment.variance[: len(moment.variance) // 4] = 0
        moment.mean.setflags(write=False)
    given[min(given)].variance[:] = 0
    for array in weights.values():
        array.setflags(write=False)
    smaller = remove_units(weights, config, given, 0.5)
    all_gone, all_kept = [], []
    for group in groups_of(model):
        gone, raw = lost(group, smaller), []
        for cut in group.outputs:
            matrix = np.moveaxis(weights[cut.name], cut.axis, -1).astype(float)
            channel = given[cut.name].variance * (matrix**2).sum(axis=0)
            raw.append(channel.reshape(group.count, -1).mean(axis=1))
            bias = cut.name.removesuffix("weight") + "bias"
            assert (bias in smaller.weights) == (bias in weights)
            if bias in weights:
                means = (matrix * given[cut.name].mean).reshape(len(matrix), group.count, -1)
                expected = weights[bias] + means[:, gone].sum(axis=(1, 2))
                np.testing.assert_allclose(smaller.weights[bias], expected, rtol=1e-5, atol=1e-5)
        score = standardised(standardised(np.array(raw)).mean(axis=0))
        ranked = sorted((np.any(raw, axis=0)[u], score[u], u) for u in range(group.count))
        assert gone == sorted(unit for *_, unit in ranked[: len(gone)])
        all_gone += [rank[:2] for rank in ranked[: len(gone)]]
        all_kept += [rank[:2] for rank in ranked[len(gone) : -1]]  # the best stays anyway
    assert max(all_gone) <= min(all_kept)


@pytest.mark.parametrize("architecture", ["GPT2", "Llama", "Bart", "T5"])
def test_it_generates_the_same_tokens(tmp_path, architecture):
    model, smaller = removal(architecture, 0.5)
    form = "text-to-text" if model.config.is_encoder_decoder else "causal"
    loaded, _ = load_model(save(tmp_path, model, smaller), form, "cpu")
    ids = inputs(model)["input_ids"]
    options = {"max_new_tokens": 8, "min_new_tokens": 8, "do_sample": False}
    for cache, beams in [(True, 1), (False, 1), (True, 3)]:
        options |= {"use_cache": cache, "num_beams": beams, "attention_mask": torch.ones_like(ids)}
        made = [one.generate(ids, **options).tolist() for one in (loaded, zeroed(model, smaller))]
        assert made[0] == made[1]


@pytest.mark.parametrize(("architecture", "embedding"), TIED.items())
def test_what_was_tied_stays_so_unless_the_file_says_otherwise(tmp_path, architecture, embedding):
    model, smaller = removal(architecture)
    loaded = reopened(tmp_path, model, smaller)
    assert loaded.get_output_embeddings().weight is loaded.get_input_embeddings().weight
    own = smaller.weights | {"lm_head.weight": np.full((60, 32), 0.5, np.float32)}
    safetensors.numpy.save_file(own, tmp_path / "model.safetensors")
    loaded = load_smaller(tmp_path, type(model))
    assert (loaded.lm_head.weight == 0.5).all()
    found = loaded.get_input_embeddings().weight.detach()
    np.testing.assert_array_equal(found, parts(model)[0][embedding])


def test_half_precision_and_buffers_of_old_files_are_kept_and_opened_in_full(tmp_path):
    model, buffer = dense("GPT2"), "transformer.h.0.attn.bias"
    weights, config, moments = parts(model)
    weights[buffer] = np.ones((1, 1, 20, 20))
    weights = {name: array.astype(np.float16) for name, array in weights.items()}
    smaller = remove_units(weights, config, moments, 0.4)
    assert {array.dtype for array in smaller.weights.values()} == {np.dtype(np.float16)}
    assert (smaller.weights[buffer] == 1).all()
    loaded, _ = load_model(save(tmp_path, model, smaller), "causal", "cpu")
    assert {p.dtype for p in loaded.parameters()} == {torch.float32}
    assert torch.isfinite(logits(loaded)).all()


@pytest.mark.parametrize("architecture", ["Bert", "Llama", "T5"])
def test_too_much_names_the_most_that_can_go_and_a_sparsity_is_a_fraction(architecture):
    assert issubclass(Unreachable, RequestError)
    refusal = refused(Unreachable, removal, architecture, 0.99)
    most = float(re.search(r"most is (0\.\d+)", refusal)[1])
    model, smaller = removal(architecture, most)
    assert smaller.removed / smaller.scope_weights == pytest.approx(most, abs=1e-3)
    refused(Unreachable, removal, architecture, most + 0.001)
    assert all(len(lost(group, smaller)) >= group.count - 2 for group in groups_of(model))
    for wrong in (0, 1, -0.1, float("nan")):
        refusal = refused(RequestError, removal, architecture, wrong)
        assert "allowed are fractions above 0" in refusal


ODD = "bert.encoder.layer.0.output.dense.weight"
UNFIT = [  # what is done to weights, config and moments: the error, and what it says
    (lambda w, c, m: m[ODD].mean.put(3, np.nan), RunError, f"{ODD}: the mean"),
    (lambda w, c, m: m[ODD].mean.put(3, -np.inf), RunError, f"{ODD}: the mean"),
    (lambda w, c, m: m[ODD].variance.put(3, np.inf), RunError, f"{ODD}: the variance"),
    (lambda w, c, m: m[ODD].variance.put(3, -1), RunError, f"{ODD}: the variance"),
    (lambda w, c, m: m[ODD].variance.fill(1e308), RunError, "encoder.0.ffn: scores overflow"),
    (lambda w, c, m: m.update({ODD: Moments(np.ones(3), np.ones(3))}), RequestError, ODD),
    (lambda w, c, m: m.pop(ODD), RequestError, f"{ODD}: its inputs' moments"),
    (lambda w, c, m: w[ODD].put(0, np.nan), RunError, ODD),
    (lambda w, c, m: [w.pop(name) for name in [*w] if "query" in name or "intermediate" in name],
     RequestError, "no neurons or heads"),
    *((lambda w, c, m, kind=kind: c.update(model_type=kind), RequestError, f"model_type {kind!r}")
      for kind in ("falcon", None, ["bert"])),
]  # fmt: skip


@pytest.mark.parametrize(("change", "error", "said"), UNFIT)
def test_what_does_not_fit_or_is_not_finite_is_refused_in_one_line(change, error, said):
    given = parts(dense("Bert"))
    change(*given)
    assert said in refused(error, remove_units, *given, 0.5)


def test_a_layer_that_is_not_understood_stays_whole():
    weights, config, moments = parts(dense("Bert"))
    odd = "bert.encoder.layer.1.intermediate.dense.weight"
    weights[odd] = weights[odd][:-1]
    smaller = remove_units(weights, config, moments, 0.3)
    assert smaller.weights[odd] is weights[odd]
    assert {key for key in smaller.kept["neurons"] if key.endswith("ffn")} == {"encoder.0.ffn"}
    weights, config, moments = parts(dense("T5"))
    config.pop("num_heads")
    smaller = remove_units(weights, config, moments, 0.2)
    assert (bool(smaller.kept["neurons"]), smaller.kept["heads"]) == (True, {})


def test_damaged_files_are_named_in_one_line(tmp_path):
    model, smaller = removal("GPT2")
    save(tmp_path, model, smaller)
    bias = "transformer.h.0.attn.c_attn.bias"
    without = {name: array for name, array in smaller.weights.items() if name != bias}
    entries = [{"heads": {"decoder.0.attention": one}, "neurons": {}} for one in CASES["entries"]]
    kept = [*CASES["kept"], *map(json.dumps, entries), "[" * 100_000, b"\xff\xfe"]
    damages = [
        *((KEPT, content, KEPT) for content in kept),
        *(("config.json", content, "config.json") for content in CASES["configs"]),
        ("generation_config.json", "{", "generation_config.json"),
        ("model.safetensors", safetensors.numpy.save(without), bias),
        ("model.safetensors", safetensors.numpy.save(without | {bias: np.ones(1)}), bias),
        ("model.safetensors", safetensors.numpy.save(smaller.weights | {"x": np.ones(1)}), "has x"),
    ]
    for name, content, said in damages:
        whole = (tmp_path / name).read_bytes()
        (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
        refusal = refused(AnalysisError, load_model, tmp_path, "causal", "cpu")
        assert [s for s in (str(tmp_path), said) if s not in refusal] == [], content
        (tmp_path / name).write_bytes(whole)
    refusal = refused(RequestError, load_model, tmp_path, "text-to-text", "cpu")
    assert len(refusal) < 500  # there is no class for this form
    load_model(tmp_path, "causal", "cpu")
