"""Models with experts in them: what they compute, against the whole layers with neurons masked."""

import contextlib
import copy
import math

import architectures
import calibrations
import numpy as np
import pytest
import torch
import transformers
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis.alternatives import moe
from analysis.alternatives.feedforward import feed_forwards
from analysis.alternatives.learning import reordered
from analysis.alternatives.routers import Router, choice, masses
from analysis.calibration.matrices import matrices
from analysis.errors import RequestError

PLAIN = sorted(architectures.ARCHITECTURES.keys() - {"Llama"})  # Llama's layers are gated
EXPERTS = 8  # of 32 neurons, GPT-2's of 64
every_plain = pytest.mark.parametrize("architecture", PLAIN)
both = pytest.mark.parametrize("router", moe.ROUTERS)


def dense(architecture):
    """A tiny model whose biases tell too, and in which all experts matter."""
    model = calibrations.model(architecture)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.2 * torch.randn(parameter.shape, generator=generator))
    return model


def layers_of(model):
    shapes = {name: tuple(p.shape) for name, p in model.named_parameters()}
    return feed_forwards(shapes, model.config.to_dict())


def routers_of(model, seed=2):
    """Random routers by layers' keys."""
    generator = torch.Generator().manual_seed(seed)
    found = {}
    for key, layer in layers_of(model).items():
        width = matrices(model, [layer.into])[0].outputs_first.shape[1]
        weight = torch.randn(EXPERTS, width, generator=generator)
        found[key] = Router(weight, torch.randn(EXPERTS, generator=generator))
    return found


def file_of(model, routers):
    """The tensors of a file with the model's weights and these routers."""
    tensors = {name: p.detach().numpy() for name, p in model.named_parameters()}
    for key, layer in layers_of(model).items():
        tensors |= moe.router_tensors(layer.into, routers[key]) if key in routers else {}
    return tensors


def facts(run, router="learned", experts=EXPERTS):
    return {"kind": "moe", "experts": experts, "run": run, "router": router}


def attached(model, run, router="learned"):
    """A copy of the model with experts."""
    made = copy.deepcopy(model)
    routers = routers_of(model) if router == "learned" else {}
    moe.attach(made, file_of(model, routers), facts(run, router))
    return made


@contextlib.contextmanager
def masked(model, run, router):
    """The whole layers compute, and the neurons of all but the chosen experts become zero."""
    routers, scores = routers_of(model), {}
    with contextlib.ExitStack() as hooks:
        for key, layer in layers_of(model).items():
            into, out = matrices(model, [layer.into, layer.out])
            norms = out.outputs_first.norm(dim=0)

            def enter(_, args, key=key):
                scores[key] = routers[key].scores(args[0])

            def leave(_, args, key=key, norms=norms):
                h = args[0]
                by = scores[key] if router == "learned" else masses(h, norms, EXPERTS)
                kept = choice(by, run).repeat_interleave(len(norms) // EXPERTS, dim=-1)
                return (h * kept.view(h.shape),)

            hooks.callback(into.module.register_forward_pre_hook(enter).remove)
            hooks.callback(out.module.register_forward_pre_hook(leave).remove)
        yield model


def answers(model, batch):
    with torch.no_grad():
        return model(**batch).logits


def close(one, other):
    torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)


@every_plain
@both
@pytest.mark.parametrize("run", [1, 3, EXPERTS])
def test_what_runs_is_the_whole_layer_with_the_other_experts_masked(architecture, router, run):
    model = dense(architecture)
    made = attached(model, run, router)
    for batch in calibrations.batches(model):
        with masked(model, run, router):
            expected = answers(model, batch)
        close(answers(made, batch), expected)
        if run == EXPERTS:
            close(expected, answers(model, batch))
        else:
            assert not torch.allclose(expected, answers(model, batch), atol=1e-2)


@both
def test_what_an_activation_makes_of_zero_never_adds_up(router):
    """Neurons that are not run have no activations, so act(0) need not be 0."""
    kind, sizes = architectures.ARCHITECTURES["Bert"]
    config = transformers.BertConfig(**architectures.SMALL, **sizes, hidden_act="sigmoid")
    model = getattr(transformers, kind)(config).eval()
    batch = calibrations.batches(model)[0]
    with masked(model, 2, router):
        expected = answers(model, batch)
    close(answers(attached(model, 2, router), batch), expected)


@every_plain
def test_one_token_alone_runs_as_among_others(architecture):
    model = dense(architecture)
    made = attached(model, 3)
    ids = torch.tensor([[7]])
    batch = {"input_ids": ids}
    if model.config.is_encoder_decoder:
        batch |= {"decoder_input_ids": ids}
    with masked(model, 3, "learned"):
        expected = answers(model, batch)
    close(answers(made, batch), expected)


@every_plain
def test_the_order_of_neurons_changes_nothing_that_the_model_answers(architecture):
    model = dense(architecture)
    weights = file_of(model, {})
    rng = np.random.default_rng(0)
    orders = {key: rng.permutation(one.group.count) for key, one in layers_of(model).items()}
    mixed = copy.deepcopy(model)
    tensors = {
        n: torch.from_numpy(a) for n, a in reordered(weights, layers_of(model), orders).items()
    }
    mixed.load_state_dict(tensors, strict=False)
    assert any((tensors[name].numpy() != weights[name]).any() for name in weights)
    for batch in calibrations.batches(model):
        close(answers(mixed, batch), answers(model, batch))


@pytest.mark.parametrize("architecture", ["GPT2", "Bart", "T5"])
@both
def test_texts_are_generated_as_by_the_masked_model(architecture, router):
    model = dense(architecture)
    made = attached(model, 2, router)
    ids = torch.randint(3, 60, (3, 5), generator=torch.Generator().manual_seed(0))
    asked = {"input_ids": ids, "attention_mask": torch.ones_like(ids), "do_sample": False}
    asked |= {"max_new_tokens": 6, "min_new_tokens": 6}
    with masked(model, 2, router):
        expected = model.generate(**asked)
    assert torch.equal(made.generate(**asked), expected)


@settings(max_examples=25, deadline=None)
@given(shape=st.lists(st.integers(0, 4), min_size=0, max_size=3), run=st.integers(1, EXPERTS))
def test_inputs_of_any_shape_run(shape, run):
    model = dense("Bert")
    made = attached(model, run)
    x = torch.randn(*shape, 16, generator=torch.Generator().manual_seed(math.prod(shape)))
    block, experts = (m.get_submodule("bert.encoder.layer.1") for m in (model, made))
    with torch.no_grad():
        with masked(model, run, "learned"):
            expected = block.output.dense(block.intermediate(x))
        given = experts.output.dense(experts.intermediate(x))
    assert given.shape == expected.shape == x.shape
    close(given, expected)


def test_the_weights_of_experts_that_are_not_chosen_are_not_read():
    model = dense("GPT2")
    routers = routers_of(model)
    always = torch.tensor([0.0, 9e9, 0, 0, 9e9, 0, 0, 0])
    routers = {key: Router(one.weight * 0, always) for key, one in routers.items()}
    made = copy.deepcopy(model)
    moe.attach(made, file_of(model, routers), facts(2))
    batch = calibrations.batches(model)[0]
    expected = answers(made, batch)
    for module in made.modules():
        if isinstance(module, moe.ExpertsIn | moe.ExpertsOut):
            module.weight.data[[0, 2, 3, 5, 6, 7]] = torch.nan
    assert torch.equal(answers(made, batch), expected)


def test_parameters_counted_in_the_model_are_those_of_the_file():
    model = dense("GPT2")
    tensors = file_of(model, routers_of(model))
    made = attached(model, 2)
    assert sum(p.numel() for p in made.parameters()) == sum(a.size for a in tensors.values())
    assert moe.plain(tensors, facts(2)).keys() == file_of(model, {}).keys()


def test_a_model_that_trains_still_has_gradients():
    model = dense("Bert")
    made = attached(model, 2).train()
    made(**calibrations.batches(model)[0]).logits.sum().backward()
    assert made.bert.embeddings.word_embeddings.weight.grad.abs().sum() > 0


# ---------------------------------------------------------------- what is refused


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"experts": 5}, "allowed: 2, 4, 8, 16, 32"),
        ({"experts": "8"}, "experts"),
        ({"experts": None}, "experts"),
        ({"run": 9}, "allowed are 1 to 8"),
        ({"run": 0}, "allowed are 1 to 8"),
        ({"run": 2.0}, "allowed are 1 to 8"),
        ({"router": "Learned"}, "Did you mean 'learned'"),
        ({"router": ["learned"]}, "unknown router"),
        ({"router": None}, "unknown router"),
        ({"experts": 4, "run": 2}, r"takes a weight \(4, 16\)"),
    ],
)
def test_facts_that_are_none_of_this_model_are_refused(wrong, says):
    model = dense("Bert")
    tensors = file_of(model, routers_of(model))
    with pytest.raises(RequestError, match=says) as caught:
        moe.attach(model, tensors, facts(2) | wrong)
    assert "\n" not in str(caught.value)
    with pytest.raises(RequestError):
        moe.attach(model, tensors, {"kind": "moe"})


@pytest.mark.parametrize("damage", ["missing", "half", "surplus", "shape", "nan", "elsewhere"])
def test_damaged_routers_are_refused(damage):
    model = dense("Bert")
    tensors = file_of(model, routers_of(model))
    weight, bias = (f"bert.encoder.layer.0.router.{of}" for of in ("weight", "bias"))
    if damage in ("missing", "half"):
        del tensors[weight]
    if damage in ("missing", "elsewhere"):
        del tensors[bias]
    if damage == "surplus":
        tensors["bert.encoder.layer.7.router.weight"] = tensors[weight]
    if damage == "shape":
        tensors[weight] = tensors[weight].T
    if damage == "nan":
        tensors[bias] = tensors[bias] * np.nan
    if damage == "elsewhere":
        tensors["router.bias"] = np.zeros(8, np.float32)
    with pytest.raises(RequestError, match="router"):
        moe.attach(model, tensors, facts(2))


def test_gated_and_unknown_models_are_refused():
    with pytest.raises(RequestError, match="gated"):
        moe.attach(dense("Llama"), {}, facts(2))
    sizes = {"num_layers": 1, "hidden_size": 16, "num_attention_heads": 2, "ffn_dim": 32}
    model = transformers.OPTForCausalLM(
        transformers.OPTConfig(**architectures.SMALL, **sizes, word_embed_proj_dim=16)
    )
    with pytest.raises(RequestError, match="'opt'"):
        moe.attach(model, {}, facts(2))
