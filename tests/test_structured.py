"""Removing neurons and heads: a smaller model answers as one in which they are zeroed."""

import copy
import functools
import json
import re

import architectures
import numpy as np
import pytest
import torch
import transformers
from safetensors.numpy import load_file, save_file
from tokenizers import Tokenizer
from tokenizers.models import WordLevel

from analysis.errors import AnalysisError, RequestError, RunError
from analysis.models import naming
from analysis.models.loading import load_model, load_smaller
from analysis.pruning import units
from analysis.pruning.scope import stored_by_input
from analysis.pruning.structured import (
    KEPT,
    Moments,
    Unreachable,
    projections,
    remove_units,
    write_kept,
)

ALL = list(architectures.ARCHITECTURES)
# wider than the shared tiny ones: several heads, so that some go and some stay
HEADS = {"num_attention_heads": 4, "hidden_size": 32}
BOTH = {"encoder_attention_heads": 4, "decoder_attention_heads": 4, "d_model": 32}
WIDER = {
    **dict.fromkeys(["Bert", "Roberta"], HEADS),
    "DebertaV2": HEADS
    | {"relative_attention": True, "pos_att_type": ["c2p", "p2c"], "position_buckets": 8},
    "GPT2": {"n_head": 4, "n_embd": 32},
    "Llama": HEADS | {"num_key_value_heads": 2},
    **dict.fromkeys(["Bart", "Pegasus", "M2M100"], BOTH),
    "T5": {"num_heads": 4, "d_kv": 8, "d_model": 32},
}
EXTRA = {
    "T5 gated": ("T5", {"feed_forward_proj": "gated-gelu"}),
    "DeBERTa-v3": ("DebertaV2", {"share_att_key": True, "norm_rel_ebd": "layer_norm"}),
    "Llama with biases": ("Llama", {"attention_bias": True, "mlp_bias": True}),
    "Llama with wide heads": ("Llama", {"head_dim": 16, "num_key_value_heads": 4}),
    "GPT-2 that reads": ("GPT2", {"add_cross_attention": True}),
}
TYPES = {  # of other architectures that share the code of those above
    "XLMRoberta": ("XLMRobertaForMaskedLM", "Roberta"),
    "Mistral": ("MistralForCausalLM", "Llama"),
    "MBart": ("MBartForConditionalGeneration", "Bart"),
    "MT5": ("MT5ForConditionalGeneration", "T5"),
}

every_architecture = pytest.mark.parametrize("architecture", ALL)
every_model = pytest.mark.parametrize("architecture", [*ALL, *EXTRA, *TYPES])


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    """Models this small only wait for their threads."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def config_of(architecture):
    more, base = {}, architecture
    if architecture in EXTRA:
        base, more = EXTRA[architecture]
    kind = base
    if architecture in TYPES:
        kind, base = architecture, TYPES[architecture][1]
    small, sizes = architectures.SMALL, architectures.ARCHITECTURES[base][1]
    values = small | sizes | WIDER[base] | more | {"decoder_start_token_id": 2}
    return base, getattr(transformers, f"{kind}Config")(**values)


@functools.cache
def dense(architecture, kind=None):
    """A model with random weights of a size at which every one of them matters, biases too."""
    base, config = config_of(architecture)
    kind = kind or TYPES.get(architecture, architectures.ARCHITECTURES[base])[0]
    torch.manual_seed(0)
    model = getattr(transformers, kind)(config).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "norm" in name.lower() or "ln_" in name:
                parameter.add_(torch.randn_like(parameter) * 0.1)
            elif parameter.requires_grad:
                parameter.copy_(torch.randn_like(parameter) * 0.2)
    return model


def stored(model):
    """What `save_pretrained` writes of a model: what is tied once."""
    names = {name for name, _ in model.named_parameters()}
    return {n: t.numpy().copy() for n, t in model.state_dict().items() if n in names}


def config_json(model):
    return json.loads(model.config.to_json_string())


def moments(weights, seed=0):
    generator = np.random.default_rng(seed)
    named = naming.weights(weights)
    by_input = stored_by_input({name: weights[name].shape for name in named})
    sizes = {n: weights[n].shape[0 if n in by_input else 1] for n in projections(named)}
    return {n: Moments(generator.normal(size=s), generator.gamma(1, size=s) + 0.01)
            for n, s in sizes.items()}  # fmt: skip


def groups_of(model):
    weights = stored(model)
    shapes = {name: w.shape for name, w in weights.items()}
    return units.groups(naming.weights(weights), shapes, config_json(model))


def removal(architecture, sparsity=0.4, seed=0, kind=None):
    model = dense(architecture, kind)
    weights = stored(model)
    return model, remove_units(weights, config_json(model), moments(weights, seed), sparsity)


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
        for unit in lost(group, smaller):
            for cut in group.cuts:
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
    save_file(smaller.weights, folder / "model.safetensors")
    write_kept(folder, smaller.kept)
    words = Tokenizer(WordLevel({f"w{i}": i for i in range(60)}, unk_token="w3"))
    fast = transformers.PreTrainedTokenizerFast(tokenizer_object=words)
    fast.save_pretrained(folder)
    return folder


class Same:
    """An auto class for the very class of a model."""

    def __init__(self, model):
        self.kind = type(model)

    def from_config(self, config, dtype):
        return self.kind._from_config(config, dtype=dtype)


def inputs(model):
    torch.manual_seed(1)
    ids = torch.randint(3, 60, (3, 9))
    mask = torch.ones_like(ids)
    mask[1, 6:] = 0
    batch = {"input_ids": ids, "attention_mask": mask}
    if model.config.is_encoder_decoder:
        batch["decoder_input_ids"] = torch.randint(3, 60, (3, 5))
    if getattr(model.config, "add_cross_attention", False):
        batch["encoder_hidden_states"] = torch.randn(3, 7, 32)
    return batch


@torch.no_grad()
def logits(model):
    return model(**inputs(model)).logits


@every_model
@pytest.mark.parametrize("sparsity", [0.1, 0.4, 0.7])
def test_it_answers_as_the_whole_model_with_the_units_at_zero(tmp_path, architecture, sparsity):
    model, smaller = removal(architecture, sparsity)
    assert smaller.kept["neurons"] or smaller.kept["heads"]
    if sparsity > 0.4:
        assert all(smaller.kept.values())
    loaded = load_smaller(save(tmp_path, model, smaller), Same(model))
    torch.testing.assert_close(logits(loaded), logits(zeroed(model, smaller)), atol=1e-5, rtol=1e-5)
    assert (logits(loaded) - logits(model)).abs().max() > 1e-3
    whole = sum(p.numel() for p in model.parameters())
    assert sum(p.numel() for p in loaded.parameters()) <= whole - smaller.removed


@every_model
def test_every_layer_is_understood(architecture):
    """An attention and a feed-forward layer in each block; T5's heads in its stacks."""
    model = dense(architecture)
    found = groups_of(model)
    outputs = [cut.name for group in found for cut in group.outputs]
    assert sorted(outputs) == projections(naming.weights(stored(model)))
    prunable = {n for n, what in naming.weights(stored(model)).items() if what.prunable}
    assert prunable <= {cut.name for group in found for cut in group.cuts}
    touched = [cut.name for group in found for cut in group.cuts]
    assert len(touched) == len({*touched})


@every_model
@pytest.mark.parametrize("sparsity", [0.05, 0.3, 0.5, 0.7])
def test_as_much_goes_as_was_asked_for_and_a_unit_stays_everywhere(architecture, sparsity):
    model, smaller = removal(architecture, sparsity)
    weights = stored(model)
    prunable = [n for n, what in naming.weights(weights).items() if what.prunable]
    whole = sum(weights[n].size for n in prunable)
    left = sum(smaller.weights[n].size for n in prunable)
    assert smaller.scope_weights == whole
    assert smaller.removed == whole - left
    largest = max(
        sum(weights[cut.name].size for cut in g.cuts if cut.name in prunable) / g.count
        for g in groups_of(model)
    )
    assert abs(smaller.removed - sparsity * whole) <= largest
    for listed in smaller.kept.values():
        assert all(0 < len(entry["kept"]) < entry["of"] for entry in listed.values())
    for array in smaller.weights.values():
        assert array.size
        assert array.flags.c_contiguous


def test_key_value_heads_go_with_all_their_queries():
    _, smaller = removal("Llama", 0.6)
    block = "model.layers.0.self_attn."
    q, k = (smaller.weights[f"{block}{p}_proj.weight"].shape[0] for p in "qk")
    assert q == 2 * k
    assert all(entry["of"] == 2 for entry in smaller.kept["heads"].values())


@pytest.mark.parametrize("architecture", ["T5", "T5 gated"])
def test_a_stack_of_t5_loses_the_same_heads_in_every_block(architecture):
    model, smaller = removal(architecture, 0.6)
    dense_weights = stored(model)
    assert set(smaller.kept["heads"]) <= {
        "encoder.attention", "decoder.attention", "decoder.cross-attention"}  # fmt: skip
    assert smaller.kept["heads"]
    for key, entry in smaller.kept["heads"].items():
        part, which = key.split(".")
        own = "EncDecAttention" if which == "cross-attention" else "SelfAttention"
        rows = np.concatenate([np.arange(8 * h, 8 * h + 8) for h in entry["kept"]])
        for block in (0, 1):
            layer = 1 if which == "cross-attention" else 0
            path = f"{part}.block.{block}.layer.{layer}.{own}"
            for p in "qkv":
                np.testing.assert_array_equal(
                    smaller.weights[f"{path}.{p}.weight"], dense_weights[f"{path}.{p}.weight"][rows]
                )
            np.testing.assert_array_equal(
                smaller.weights[f"{path}.o.weight"], dense_weights[f"{path}.o.weight"][:, rows]
            )
        if which == "attention":
            bias = f"{part}.block.0.layer.0.SelfAttention.relative_attention_bias.weight"
            np.testing.assert_array_equal(
                smaller.weights[bias], dense_weights[bias][:, entry["kept"]]
            )


@every_model
def test_what_is_outside_the_blocks_and_every_norm_stays_as_it_is(architecture):
    model, smaller = removal(architecture, 0.6)
    weights = stored(model)
    assert smaller.weights.keys() == weights.keys()
    for name, what in naming.weights(weights).items():
        if what.layer is None or what.kind == "norm":
            assert smaller.weights[name].tobytes() == weights[name].tobytes()


@every_architecture
def test_it_is_deterministic_and_leaves_what_it_is_given(architecture):
    model = dense(architecture)
    weights, given = stored(model), moments(stored(model))
    for array in (*weights.values(), *(m.mean for m in given.values())):
        array.setflags(write=False)
    one, two = (remove_units(weights, config_json(model), given, 0.5) for _ in range(2))
    assert one.kept == two.kept
    assert all(one.weights[n].tobytes() == two.weights[n].tobytes() for n in weights)
    for name, array in stored(model).items():
        np.testing.assert_array_equal(weights[name], array)


@every_architecture
def test_a_higher_sparsity_removes_what_a_lower_one_does(architecture):
    model, lower = removal(architecture, 0.3)
    _, higher = removal(architecture, 0.6)
    for group in groups_of(model):
        assert {*lost(group, lower)} <= {*lost(group, higher)}


@pytest.mark.parametrize("architecture", [name for name in ALL if name != "T5"])  # it has none
def test_the_base_models_prefix_does_not_matter(tmp_path, architecture):
    model, smaller = removal(architecture)
    weights = stored(model)
    prefix = f"{model.base_model_prefix}."
    assert any(name.startswith(prefix) for name in weights)

    def bare(names):
        return {name.removeprefix(prefix): value for name, value in names.items()}

    again = remove_units(bare(weights), config_json(model), bare(moments(weights)), 0.4)
    assert again.kept == smaller.kept
    loaded = load_smaller(save(tmp_path, model, again), Same(model))
    torch.testing.assert_close(logits(loaded), logits(zeroed(model, smaller)), atol=1e-5, rtol=1e-5)


# scores and biases


@every_architecture
def test_each_group_loses_its_lowest_scores(architecture):
    model, smaller = removal(architecture, 0.5)
    weights, given = stored(model), moments(stored(model))
    for group in groups_of(model):
        if len(group.outputs) > 1:
            continue
        (cut,) = group.outputs
        matrix = weights[cut.name].astype(float)
        matrix = matrix.T if cut.axis == 0 else matrix
        channel = [given[cut.name].variance[j] * sum(matrix[:, j] ** 2)
                   for j in range(matrix.shape[1])]  # fmt: skip
        width = matrix.shape[1] // group.count
        score = [np.mean(channel[u * width : (u + 1) * width]) for u in range(group.count)]
        gone = lost(group, smaller)
        kept = {*range(group.count)} - {*gone}
        assert max((score[u] for u in gone), default=0) <= min(score[u] for u in kept)


@every_architecture
def test_biases_take_up_what_the_removed_channels_are_on_average(architecture):
    model, smaller = removal(architecture, 0.5)
    weights, given = stored(model), moments(stored(model))
    for group in groups_of(model):
        for cut in group.outputs:
            bias = cut.name.removesuffix("weight") + "bias"
            assert (bias in smaller.weights) == (bias in weights)
            if bias not in weights:
                continue
            matrix = weights[cut.name].astype(float)
            matrix = matrix.T if cut.axis == 0 else matrix
            width = matrix.shape[1] // group.count
            expected = weights[bias].astype(float)
            for unit in lost(group, smaller):
                for j in range(unit * width, (unit + 1) * width):
                    expected = expected + matrix[:, j] * given[cut.name].mean[j]
            np.testing.assert_allclose(smaller.weights[bias], expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("architecture", ["Bert", "Roberta", "DebertaV2", "GPT2", "Bart", "M2M100"])
def test_constant_neurons_go_first_and_change_nothing(tmp_path, architecture):
    """Neurons whose inputs are zero weights: only their biases speak."""
    model = copy.deepcopy(dense(architecture))
    state = model.state_dict()
    weights = stored(model)
    given = moments(weights)
    group = next(group for group in groups_of(model) if group.kind == "neurons")
    matrix, bias = group.inputs
    constant = [3, 5, 6, 20]
    for unit in constant:
        (state[matrix.name].T if matrix.axis else state[matrix.name])[unit] = 0
        state[bias.name][unit] = unit
    act = transformers.activations.ACT2FN[
        getattr(model.config, "hidden_act", None) or model.config.activation_function
    ]
    (cut,) = group.outputs
    given[cut.name].variance[constant] = 0
    given[cut.name].mean[constant] = act(state[bias.name][constant]).numpy()
    weights = stored(model)
    cost = 2 * 32 * len(constant)
    scope = sum(weights[n].size for n, w in naming.weights(weights).items() if w.prunable)
    smaller = remove_units(weights, config_json(model), given, cost / scope)
    assert lost(group, smaller) == constant
    assert smaller.removed == cost
    assert len(smaller.kept["neurons"]) == 1
    assert not smaller.kept["heads"]
    loaded = load_smaller(save(tmp_path, model, smaller), Same(model))
    torch.testing.assert_close(logits(loaded), logits(model), atol=1e-5, rtol=1e-5)


# from disk, and generation


@pytest.mark.parametrize("architecture", ["Bert", "Roberta", "DebertaV2", "GPT2", "Bart"])
def test_a_classifier_is_opened(tmp_path, architecture):
    kind = f"{architecture}ForSequenceClassification"
    model, smaller = removal(architecture, kind=kind)
    loaded, tokenizer = load_model(save(tmp_path, model, smaller), "classification", "cpu")
    assert type(loaded).__name__ == kind
    assert not loaded.training
    assert len(tokenizer) == 60
    torch.manual_seed(0)
    batch = {"input_ids": torch.randint(3, 60, (2, 8))}
    if architecture == "Bart":  # reads at the last end of a text
        batch["input_ids"][:, -1] = 1
    if architecture == "GPT2":
        batch = {"input_ids": batch["input_ids"][:1]}
    with torch.no_grad():
        expected = zeroed(model, smaller)(**batch).logits
        torch.testing.assert_close(loaded(**batch).logits, expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(
    "architecture", ["GPT2", "Llama", "Bart", "Pegasus", "M2M100", "T5", "T5 gated"]
)
@pytest.mark.parametrize("cache", [True, False])
@pytest.mark.parametrize("beams", [1, 3])
def test_it_generates_the_same_tokens(tmp_path, architecture, cache, beams):
    model, smaller = removal(architecture, 0.5)
    form = "text-to-text" if model.config.is_encoder_decoder else "causal"
    loaded, _ = load_model(save(tmp_path, model, smaller), form, "cpu")
    options = {"max_new_tokens": 8, "min_new_tokens": 8, "do_sample": False}
    options |= {"use_cache": cache, "num_beams": beams}
    ids = inputs(model)["input_ids"]
    mask = torch.ones_like(ids)
    expected = zeroed(model, smaller).generate(ids, attention_mask=mask, **options)
    assert loaded.generate(ids, attention_mask=mask, **options).tolist() == expected.tolist()


def test_a_whole_model_is_opened_as_ever(tmp_path):
    model, smaller = removal("GPT2")
    save(tmp_path, model, smaller)
    (tmp_path / KEPT).unlink()
    model.save_pretrained(tmp_path)
    loaded, _ = load_model(tmp_path, "causal", "cpu")
    torch.testing.assert_close(logits(loaded), logits(model))


@pytest.mark.parametrize("architecture", ["GPT2", "T5", "Bart"])
def test_what_was_tied_stays_so_unless_the_file_says_otherwise(tmp_path, architecture):
    model, smaller = removal(architecture)
    folder = save(tmp_path, model, smaller)
    loaded = load_smaller(folder, Same(model))
    assert loaded.get_output_embeddings().weight is loaded.get_input_embeddings().weight
    own = dict(smaller.weights)
    own["lm_head.weight"] = np.full((60, 32), 0.5, np.float32)
    save_file(own, folder / "model.safetensors")
    loaded = load_smaller(folder, Same(model))
    assert (loaded.lm_head.weight == 0.5).all()
    embedding = stored(model)[
        {"GPT2": "transformer.wte.weight", "T5": "shared.weight", "Bart": "model.shared.weight"}[
            architecture
        ]
    ]
    assert (loaded.get_input_embeddings().weight.detach().numpy() == embedding).all()


# what is refused


def one_line(caught):
    message = str(caught.value)
    assert "\n" not in message
    return message


@every_architecture
def test_too_much_names_the_most_that_can_go(architecture):
    with pytest.raises(Unreachable) as caught:
        removal(architecture, 0.99)
    assert issubclass(Unreachable, RequestError)
    most = float(re.search(r"most is (0\.\d+)", one_line(caught))[1])
    model, smaller = removal(architecture, most)
    assert smaller.removed / smaller.scope_weights == pytest.approx(most, abs=1e-3)
    with pytest.raises(Unreachable):
        removal(architecture, most + 0.001)
    assert all(len(lost(group, smaller)) >= group.count - 2 for group in groups_of(model))


@pytest.mark.parametrize("sparsity", [0, 1, -0.1, float("nan")])
def test_a_sparsity_is_a_fraction(sparsity):
    with pytest.raises(RequestError) as caught:
        removal("Bert", sparsity)
    assert "sparsity" in one_line(caught)


@pytest.mark.parametrize("what", ["mean", "variance"])
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_moments_that_are_not_finite_are_refused(what, bad):
    model = dense("Bert")
    given = moments(stored(model))
    name = sorted(given)[1]
    getattr(given[name], what)[3] = bad
    with pytest.raises(RunError) as caught:
        remove_units(stored(model), config_json(model), given, 0.5)
    assert name in one_line(caught)


def test_negative_variances_and_scores_that_overflow_are_refused():
    model = dense("Bert")
    for bad in (-1.0, 1e308):
        given = moments(stored(model))
        given[sorted(given)[0]].variance[:] = bad
        with pytest.raises(RunError) as caught:
            remove_units(stored(model), config_json(model), given, 0.5)
        one_line(caught)


def test_moments_that_are_missing_or_of_another_size_are_refused():
    model = dense("Bert")
    given = moments(stored(model))
    name = sorted(given)[0]
    for wrong in ({name: Moments(np.ones(3), np.ones(3))}, None):
        changed = given | wrong if wrong else {n: m for n, m in given.items() if n != name}
        with pytest.raises(RequestError) as caught:
            remove_units(stored(model), config_json(model), changed, 0.5)
        assert name in one_line(caught)


def test_weights_that_are_not_finite_are_refused():
    model = dense("Bert")
    weights = stored(model)
    name = projections(naming.weights(weights))[0]
    weights[name][0, 0] = np.nan
    with pytest.raises(RunError) as caught:
        remove_units(weights, config_json(model), moments(stored(model)), 0.5)
    assert name in one_line(caught)


@pytest.mark.parametrize("kind", ["falcon", None, ["bert"]])
def test_an_architecture_that_is_not_known_is_refused(kind):
    model = dense("Bert")
    weights = stored(model)
    with pytest.raises(RequestError) as caught:
        remove_units(weights, {"model_type": kind}, moments(weights), 0.5)
    assert "model_type" in one_line(caught)


def test_a_layer_that_is_not_understood_stays_whole():
    model = dense("Bert")
    weights = stored(model)
    odd = "bert.encoder.layer.1.intermediate.dense.weight"
    weights[odd] = weights[odd][:-1]
    smaller = remove_units(weights, config_json(model), moments(weights), 0.3)
    assert smaller.weights[odd] is weights[odd]
    assert "encoder.0.ffn" in smaller.kept["neurons"]
    assert "encoder.1.ffn" not in smaller.kept["neurons"]
    none = {n: w for n, w in weights.items() if "query" not in n and "intermediate" not in n}
    with pytest.raises(RequestError) as caught:
        remove_units(none, config_json(model), moments(none), 0.3)
    assert "no neurons or heads" in one_line(caught)


@pytest.fixture
def saved(tmp_path):
    model, smaller = removal("Bert", kind="BertForSequenceClassification")
    return save(tmp_path, model, smaller)


GOOD = {"of": 4, "kept": [0, 1]}
HOSTILE = {
    "no JSON": "{",
    "empty": "",
    "a list": "[]",
    "null": "null",
    "deep": "[" * 100_000,
    "no bytes of UTF-8": b"\xff\xfe",
    "without kinds": "{}",
    "kinds of another kind": {"heads": [], "neurons": {}},
    "an unknown kind": {"heads": {}, "neurons": {}, "layers": {"encoder.0.attention": GOOD}},
    "an unknown layer": {"heads": {"encoder.7.attention": GOOD}, "neurons": {}},
    "neurons as heads": {"heads": {"encoder.0.ffn": GOOD}, "neurons": {}},
    "another number": {"heads": {"encoder.0.attention": GOOD | {"of": 5}}, "neurons": {}},
    "none": {"heads": {"encoder.0.attention": GOOD | {"kept": []}}, "neurons": {}},
    "one too many": {"heads": {"encoder.0.attention": GOOD | {"kept": [0, 4]}}, "neurons": {}},
    "below zero": {"heads": {"encoder.0.attention": GOOD | {"kept": [-1, 0]}}, "neurons": {}},
    "twice": {"heads": {"encoder.0.attention": GOOD | {"kept": [1, 1]}}, "neurons": {}},
    "falling": {"heads": {"encoder.0.attention": GOOD | {"kept": [2, 1]}}, "neurons": {}},
    "words": {"heads": {"encoder.0.attention": GOOD | {"kept": ["0"]}}, "neurons": {}},
    "truths": {"heads": {"encoder.0.attention": GOOD | {"kept": [False, True]}}, "neurons": {}},
    "a number": {"heads": {"encoder.0.attention": GOOD | {"kept": 3}}, "neurons": {}},
    "no entry": {"heads": {"encoder.0.attention": None}, "neurons": {}},
    "no kept": {"heads": {"encoder.0.attention": {"of": 4}}, "neurons": {}},
    "too few layers": {"heads": {}, "neurons": {}},
    "another width": {"heads": {}, "neurons": {"encoder.0.ffn": {"of": 32, "kept": [0]}}},
}


@pytest.mark.parametrize("content", HOSTILE.values(), ids=HOSTILE)
def test_a_damaged_file_of_what_is_kept_is_named(saved, content):
    text = json.dumps(content) if isinstance(content, dict) else content
    (saved / KEPT).write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(AnalysisError) as caught:
        load_model(saved, "classification", "cpu")
    assert KEPT in one_line(caught)
    assert str(saved) in one_line(caught)


def test_a_tensor_that_is_missing_or_surplus_is_named(saved):
    path = saved / "model.safetensors"
    weights = load_file(path)
    name = "bert.encoder.layer.0.attention.self.query.bias"
    for wrong in (
        {n: w for n, w in weights.items() if n != name},
        weights | {"more": weights[name]},
    ):
        save_file(wrong, path)
        with pytest.raises(RequestError) as caught:
            load_model(saved, "classification", "cpu")
        assert str(path) in one_line(caught)
        assert (name if len(wrong) < len(weights) else "more") in one_line(caught)


@pytest.mark.parametrize(
    "content",
    ["{", '{"model_type": "bert", "num_attention_heads": 3}', "{}", "[]", '{"model_type": "t5"}'],
)
def test_a_damaged_config_is_named(saved, content):
    (saved / "config.json").write_text(content)
    with pytest.raises(RequestError) as caught:
        load_model(saved, "classification", "cpu")
    assert str(saved) in one_line(caught)


def test_a_damaged_generation_config_is_named(tmp_path):
    model, smaller = removal("GPT2")
    (save(tmp_path, model, smaller) / "generation_config.json").write_text("{")
    with pytest.raises(RequestError) as caught:
        load_model(tmp_path, "causal", "cpu")
    assert "generation_config.json" in one_line(caught)
    assert str(tmp_path) in one_line(caught)


def test_a_form_that_the_model_has_no_class_for_is_refused(saved):
    with pytest.raises(RequestError) as caught:
        load_model(saved, "text-to-text", "cpu")
    assert len(one_line(caught)) < 500


def test_half_precision_stays_so_and_is_opened_in_full(tmp_path):
    model = dense("GPT2")
    weights = {name: array.astype(np.float16) for name, array in stored(model).items()}
    smaller = remove_units(weights, config_json(model), moments(weights), 0.4)
    assert {array.dtype for array in smaller.weights.values()} == {np.dtype(np.float16)}
    loaded, _ = load_model(save(tmp_path, model, smaller), "causal", "cpu")
    assert {p.dtype for p in loaded.parameters()} == {torch.float32}


def test_buffers_of_old_files_are_passed_over(tmp_path):
    model = dense("GPT2")
    weights = stored(model) | {"transformer.h.0.attn.bias": np.ones((1, 1, 20, 20), np.float32)}
    smaller = remove_units(weights, config_json(model), moments(weights), 0.4)
    assert (smaller.weights["transformer.h.0.attn.bias"] == 1).all()
    loaded = load_smaller(save(tmp_path, model, smaller), Same(model))
    assert torch.isfinite(logits(loaded)).all()
