"""A model made sparse answers, scores and generates as before; made dense again it is as it was."""

import architectures
import pytest
import torch
import transformers
from torch import nn
from torch.nn.utils import parametrizations, prune
from transformers.pytorch_utils import Conv1D

from analysis.errors import RequestError, RunError
from analysis.execution.choice import Chooser, always
from analysis.execution.convert import LEAST_SPARSITY, densify, linear_bytes, sparsify
from analysis.execution.layers import SparseLinear
from analysis.execution.products import DENSE, TILED_CSR, TORCH_CSR

CLASSIFIERS = ["Bert", "Roberta", "DebertaV2", "GPT2", "Llama", "Bart", "T5"]
GENERATORS = ["GPT2", "Llama", "Bart", "Pegasus", "M2M100", "T5"]
TOKENS = (2, 12, 60)
TILED = always(TILED_CSR)


def prune_linears(model, sparsity=0.9):
    """Zero the smallest of each linear layer's weights, those of tied ones too."""
    with torch.no_grad():
        for parameter in model.parameters():  # so large that answers differ from token to token
            parameter += 0.5 * torch.randn_like(parameter)
        for module in model.modules():
            if isinstance(module, nn.Linear | Conv1D):
                sizes = module.weight.abs().flatten()
                removed = round(sparsity * sizes.numel())
                module.weight.view(-1)[sizes.argsort()[:removed]] = 0
    return model


def pruned(architecture, auto=None, sparsity=0.9):
    """A tiny random model, nine tenths of its linear weights removed, ready to answer."""
    torch.manual_seed(0)
    model = architectures.model(architecture)
    if model.config.is_encoder_decoder:
        model.config.decoder_start_token_id = 0
    if auto is not None:
        model.config.num_labels = 3
        model = auto.from_config(model.config)
    return prune_linears(model, sparsity).eval()


def inputs(model, batch=3, length=9):
    """Token ids that end as texts do, some of them padded."""
    generator = torch.Generator().manual_seed(1)
    ids = torch.randint(3, 60, (batch, length), generator=generator)
    ids[:, -1] = 1
    mask = torch.ones_like(ids)
    if batch > 1:
        ids[1, -2:], mask[1, -2:], ids[1, -3] = 0, 0, 1
    given = {"input_ids": ids, "attention_mask": mask}
    if model.config.is_encoder_decoder and "Classification" not in type(model).__name__:
        given["decoder_input_ids"] = ids[:, :5].clone()
    return given


def answers(model, **options):
    with torch.inference_mode():
        return model(**inputs(model, **options)).logits


def states(model):
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def linears(model):
    """The linear layers, by name, whose weight is theirs alone."""
    tied = model.get_output_embeddings() if model.config.tie_word_embeddings else None
    return [
        name
        for name, module in model.named_modules()
        if type(module) in (nn.Linear, Conv1D) and module is not tied
    ]


def assert_is(model, before, names):
    """The model has those tensors, to the bit, under those names, and no sparse layer."""
    after = model.state_dict()
    assert list(after) == names
    for name, tensor in after.items():
        assert tensor.dtype == before[name].dtype
        assert tensor.is_contiguous() == before[name].is_contiguous()
        assert torch.equal(tensor, before[name]), name
    assert not any(isinstance(module, SparseLinear) for module in model.modules())


# ---------------------------------------------------------------- as before


@pytest.mark.parametrize("kernel", [TILED_CSR, TORCH_CSR])
@pytest.mark.parametrize("architecture", architectures.ARCHITECTURES)
def test_every_architecture_answers_as_before_and_comes_back(architecture, kernel):
    model = pruned(architecture)
    expected, before, names = answers(model), states(model), list(model.state_dict())
    replaced = linears(model)
    assert sparsify(model, always(kernel), TOKENS) == replaced
    assert all(isinstance(model.get_submodule(name), SparseLinear) for name in replaced)
    torch.testing.assert_close(answers(model), expected, atol=1e-5, rtol=1e-4)
    single = answers(model, batch=1, length=4)
    densify(model)
    torch.testing.assert_close(answers(model, batch=1, length=4), single, atol=1e-5, rtol=1e-4)
    assert_is(model, before, names)
    assert torch.equal(answers(model), expected)


@pytest.mark.parametrize("architecture", CLASSIFIERS)
def test_classifiers_score_as_before(architecture):
    model = pruned(architecture, transformers.AutoModelForSequenceClassification)
    expected = answers(model)
    assert expected.shape == (3, 3)
    assert sparsify(model, TILED, TOKENS)
    torch.testing.assert_close(answers(model), expected, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("beams", [1, 3])
@pytest.mark.parametrize("architecture", GENERATORS)
def test_what_is_generated_is_the_same(architecture, beams):
    model = pruned(architecture)

    def generated():
        given = {k: v for k, v in inputs(model).items() if k != "decoder_input_ids"}
        if not model.config.is_encoder_decoder:  # padded on the left, where texts go on
            given = {name: ids.flip(1) for name, ids in given.items()}
        return model.generate(
            **given, do_sample=False, num_beams=beams, max_new_tokens=8, min_new_tokens=6,
            no_repeat_ngram_size=1,  # else these models say one word for ever
        ).tolist()  # fmt: skip

    expected = generated()
    assert len({token for row in expected for token in row}) > 8
    assert sparsify(model, TILED, TOKENS)
    assert generated() == expected


def test_a_measured_choice_answers_as_before():
    model = pruned("Bert")
    expected = answers(model)
    replaced = sparsify(model, Chooser(), TOKENS)
    assert [type(model.get_submodule(name)) for name in replaced] == [SparseLinear] * len(replaced)
    torch.testing.assert_close(answers(model), expected, atol=1e-5, rtol=1e-4)


# ---------------------------------------------------------------- what is replaced


@pytest.mark.parametrize("architecture", ["Bert", "GPT2", "Bart", "Pegasus", "M2M100", "T5"])
def test_a_head_tied_to_the_embeddings_stays(architecture):
    model = pruned(architecture)
    head = model.get_output_embeddings()
    assert head.weight is model.get_input_embeddings().weight
    sparsify(model, TILED)
    assert model.get_output_embeddings() is head
    assert head.weight is model.get_input_embeddings().weight


def test_an_untied_head_is_replaced():
    torch.manual_seed(0)
    config = architectures.model("Llama").config
    config.tie_word_embeddings = False
    model = prune_linears(transformers.LlamaForCausalLM(config)).eval()
    assert "lm_head" in sparsify(model, TILED)


@pytest.mark.parametrize(
    ("zeros", "replaced"), [(0, False), (299, False), (300, True), (301, True), (1000, True)]
)
def test_a_layer_with_few_zeros_stays(zeros, replaced):
    layer = nn.Linear(50, 20)
    nn.init.ones_(layer.weight)
    layer.weight.data.view(-1)[:zeros] = 0
    model = nn.Sequential(layer)
    assert LEAST_SPARSITY == 0.3
    assert sparsify(model, TILED) == (["0"] if replaced else [])
    assert (model[0] is layer) is not replaced


def test_a_layer_for_which_dense_is_always_fastest_stays():
    model = pruned("Bert")
    before = list(model.modules())
    assert sparsify(model, always(DENSE)) == []
    assert list(model.modules()) == before


def test_each_layer_has_the_plan_that_was_chosen_for_it():
    model, asked = pruned("Bert"), []

    def choose(matrix, bias, tokens):
        asked.append((matrix.shape, bias is not None, tokens))
        wide = matrix.shape[0] > matrix.shape[1]
        return DENSE if not wide else TORCH_CSR if tokens < 12 else TILED_CSR

    replaced = sparsify(model, choose, TOKENS)
    assert replaced == [f"bert.encoder.layer.{n}.intermediate.dense" for n in range(2)]
    assert ((32, 16), True, 60) in asked
    plan = model.get_submodule(replaced[0]).plan
    assert plan == {2: TORCH_CSR, 12: TILED_CSR, 60: TILED_CSR}


class Own(nn.Linear):
    """Some library's layer."""


def _masked(layer):
    return prune.l1_unstructured(layer, "weight", amount=0.9)


@pytest.mark.parametrize(
    "make",
    [
        lambda: Own(20, 20),
        lambda: nn.modules.linear.NonDynamicallyQuantizableLinear(20, 20),
        lambda: parametrizations.weight_norm(nn.Linear(20, 20)),
        lambda: _masked(nn.Linear(20, 20)),
        lambda: nn.Bilinear(20, 20, 20),
    ],
    ids=["subclass", "attention's", "parametrised", "masked", "bilinear"],
)
def test_what_is_no_plain_linear_layer_is_left_alone(make):
    layer = make()
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.zero_()
    model = nn.Sequential(layer)
    names = list(model.state_dict())
    assert sparsify(model, TILED) == []
    assert model[0] is layer
    assert list(model.state_dict()) == names


def test_a_layer_that_is_the_whole_model_cannot_be_replaced_within_it():
    layer = nn.Linear(20, 20)
    nn.init.zeros_(layer.weight)
    assert sparsify(layer, TILED) == []
    assert not list(layer.children())


@pytest.mark.parametrize("tokens", [(), (0,), (1, -3)])
def test_numbers_of_tokens_that_are_none_are_refused_in_one_line(tokens):
    model = pruned("Bert")
    with pytest.raises(RequestError, match="each at least 1") as caught:
        sparsify(model, TILED, tokens)
    assert "\n" not in str(caught.value)
    assert linears(model)


def test_a_model_of_a_type_that_no_kernel_is_for_stays():
    model = pruned("Bert").to(torch.bfloat16)
    assert sparsify(model, TILED) == []


# ---------------------------------------------------------------- and back


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("architecture", ["Bert", "GPT2"])
def test_dense_again_it_has_its_bits_types_and_modes(architecture, dtype):
    model = pruned(architecture).to(dtype)
    first = linears(model)[0]
    with torch.no_grad():
        weight = model.get_submodule(first).weight
        weight.view(-1)[weight.view(-1).nonzero()[:4, 0]] = torch.tensor(
            [torch.nan, torch.inf, 1e-45, -3e38], dtype=dtype
        )
    model.train()
    model.get_submodule(linears(model)[1]).eval()
    modes = {name: module.training for name, module in model.named_modules()}
    kinds = {name: type(module) for name, module in model.named_modules()}
    before, names = states(model), list(model.state_dict())
    assert sparsify(model, always(TORCH_CSR))
    assert {name: module.training for name, module in model.named_modules()} == modes
    densify(model)
    after = model.state_dict()
    assert list(after) == names
    for name, tensor in after.items():
        torch.testing.assert_close(tensor, before[name], rtol=0, atol=0, equal_nan=True)
    assert {name: module.training for name, module in model.named_modules()} == modes
    assert {name: type(module) for name, module in model.named_modules()} == kinds


def test_dense_again_it_can_be_trained_and_moved():
    model = pruned("Bert", transformers.AutoModelForSequenceClassification)
    sparsify(model, TILED)
    with pytest.raises(RunError, match="cannot be trained"):
        model(**inputs(model))
    densify(model)
    model(**inputs(model), labels=torch.tensor([0, 1, 2])).loss.backward()
    assert all(p.grad is not None for name, p in model.named_parameters() if "query" in name)
    assert answers(model.to(torch.float64)).dtype == torch.float64


def test_what_is_dense_stays_as_it_is():
    model = pruned("Bert")
    before = list(model.modules())
    densify(model)
    assert list(model.modules()) == before


def test_sparse_again_it_stays_as_it_is():
    model = pruned("GPT2")
    assert sparsify(model, TILED)
    before = list(model.modules())
    assert sparsify(model, TILED) == []
    assert list(model.modules()) == before


def test_a_minus_zero_comes_back_as_zero():
    model = nn.Sequential(nn.Linear(4, 4))
    with torch.no_grad():
        model[0].weight.copy_(-torch.zeros(4, 4))
    sparsify(model, TILED)
    densify(model)
    assert not model[0].weight.signbit().any()


# ---------------------------------------------------------------- bytes


@pytest.mark.parametrize("architecture", ["Bert", "GPT2", "T5"])
def test_bytes_are_those_of_linear_layers_that_are_not_tied(architecture):
    model = pruned(architecture)
    modules = [model.get_submodule(name) for name in linears(model)]
    assert linear_bytes(model) == sum(4 * module.weight.numel() for module in modules)
    kept = sum(int(module.weight.count_nonzero()) for module in modules)
    rows = sum(module.nf if type(module) is Conv1D else module.out_features for module in modules)
    sparsify(model, TILED)
    assert linear_bytes(model) == 8 * kept + 4 * (rows + len(modules))
    densify(model)
    assert linear_bytes(model) == sum(4 * module.weight.numel() for module in modules)
