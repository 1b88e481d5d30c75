"""A model made sparse answers, scores and generates as before; made dense again it is as it was."""

import copy
import functools

import architectures
import pytest
import torch
from random_models import CLASSIFIER, answers, inputs, random_model
from torch import nn
from torch.nn.utils import parametrizations, prune
from transformers.pytorch_utils import Conv1D

from analysis.errors import RequestError, RunError
from analysis.execution.choice import always
from analysis.execution.convert import densify, kernels_of, linear_bytes, sparsify
from analysis.execution.layers import SparseLinear
from analysis.execution.products import DENSE, TILED_CSR, TORCH_CSR

pytestmark = pytest.mark.filterwarnings("ignore:Sparse CSR tensor support")

TOKENS = (2, 12, 60)
TILED = always(TILED_CSR)
close = functools.partial(torch.testing.assert_close, atol=1e-5, rtol=1e-4)


def prune_linears(of):
    """Zero nine tenths of each linear layer's weights, the smallest, those of tied ones too."""
    for module in of.modules():
        if isinstance(module, nn.Linear | Conv1D):
            sizes = module.weight.detach().abs().flatten()
            module.weight.data.view(-1)[sizes.argsort()[: round(0.9 * sizes.numel())]] = 0
    return of


def pruned(architecture, form=None, **changes):
    return prune_linears(random_model(architecture, form, **changes))


def linears(model):
    """The linear layers, by name, whose weight is theirs alone."""
    tied = model.get_output_embeddings() if model.config.tie_word_embeddings else None
    found = {n: m for n, m in model.named_modules() if type(m) in (nn.Linear, Conv1D)}
    return [name for name, module in found.items() if module is not tied]


def told(model):
    """All that has to come back: modules' kinds and modes, tensors' names, bits and gradients."""
    modules = [(name, type(m), m.training) for name, m in model.named_modules()]
    tensors = [(n, t.dtype, t.is_contiguous(), t.shape) for n, t in model.state_dict().items()]
    return modules, tensors, [(n, p.requires_grad) for n, p in model.named_parameters()]


def assert_is(model, before, facts):
    assert told(model) == facts
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor.nan_to_num(7), before[name].nan_to_num(7)), name


@pytest.mark.parametrize("architecture", architectures.ARCHITECTURES)
def test_every_architecture_answers_as_before_and_comes_back(architecture):
    """With its language model's head and, where there is one, a classifier's."""
    for form in (None, CLASSIFIER)[: 1 if architecture in ("Pegasus", "M2M100") else 2]:
        model = pruned(architecture, form)
        expected, before, facts = answers(model), copy.deepcopy(model.state_dict()), told(model)
        one = inputs(model, batch=1, length=4)
        single = answers(model, **one)
        head, replaced = model.get_output_embeddings(), linears(model)
        modules = [model.get_submodule(name) for name in replaced]
        dense = sum(4 * module.weight.numel() for module in modules)
        kept = sum(int(module.weight.count_nonzero()) for module in modules)
        rows = sum(m.nf if type(m) is Conv1D else m.out_features for m in modules)
        assert linear_bytes(model) == dense
        for kernel in (TILED_CSR, TORCH_CSR):
            assert sparsify(model, always(kernel), TOKENS) == replaced
            assert all(isinstance(model.get_submodule(name), SparseLinear) for name in replaced)
            close(answers(model), expected)
            close(answers(model, **one), single)
            assert linear_bytes(model) == 8 * kept + 4 * (rows + len(modules))
            if head is not None and model.config.tie_word_embeddings:
                assert model.get_output_embeddings() is head
                assert head.weight is model.get_input_embeddings().weight
            there = list(model.modules())
            assert sparsify(model, TILED) == []  # it is so already
            assert list(model.modules()) == there
            densify(model)
            assert_is(model, before, facts)
            assert torch.equal(answers(model), expected)
            assert linear_bytes(model) == dense


def test_a_layer_with_few_zeros_stays_and_an_untied_head_is_replaced():
    assert "lm_head" in sparsify(pruned("Llama", tie_word_embeddings=False), TILED)
    for zeros in (0, 299, 300, 301, 1000):  # of 1,000
        layer = nn.Linear(50, 20)
        nn.init.ones_(layer.weight).data.view(-1)[:zeros] = 0
        model = nn.Sequential(layer)
        assert sparsify(model, TILED) == (["0"] if zeros >= 300 else [])
        assert (model[0] is layer) is (zeros < 300)


def test_each_layer_has_the_plan_that_was_chosen_for_it():
    model = pruned("Bert")
    before = list(model.modules())
    assert sparsify(model, always(DENSE)) == []
    assert list(model.modules()) == before
    replaced = sparsify(model, by_size, TOKENS)
    assert replaced == [f"bert.encoder.layer.{n}.intermediate.dense" for n in range(2)]
    plan = model.get_submodule(replaced[0]).plan
    assert plan == {2: TORCH_CSR, 12: TILED_CSR, 60: TILED_CSR}


def by_size(matrix, bias, tokens):
    wide = matrix.shape[0] > matrix.shape[1] and bias is not None
    return DENSE if not wide else TORCH_CSR if tokens < 12 else TILED_CSR


def test_what_is_no_plain_linear_layer_of_one_place_is_left_alone():
    for layer in (
        type("Own", (nn.Linear,), {})(20, 20),  # some library's
        nn.modules.linear.NonDynamicallyQuantizableLinear(20, 20),  # attention's
        parametrizations.weight_norm(nn.Linear(20, 20)),
        prune.l1_unstructured(nn.Linear(20, 20), "weight", amount=0.9),
        nn.Bilinear(20, 20, 20),
    ):
        with torch.no_grad():
            for parameter in layer.parameters():
                parameter.zero_()
        model = nn.Sequential(layer)
        names = list(model.state_dict())
        assert sparsify(model, TILED) == []
        assert (model[0], list(model.state_dict())) == (layer, names)
    alone, shared = (prune_linears(nn.Linear(16, 16)) for _ in range(2))
    assert sparsify(alone, TILED) == []  # a whole model cannot be replaced within it
    assert not list(alone.children())
    model = nn.ModuleDict({"one": shared, "other": shared, "own": alone})
    assert sparsify(model, TILED) == ["own"]
    assert model["one"] is model["other"] is shared


def test_torchs_own_encoder_layer_stays_dense_and_kernels_are_counted():
    torch.manual_seed(0)
    layer = prune_linears(nn.TransformerEncoderLayer(32, 4, 64, batch_first=True)).eval()
    model = nn.ModuleDict({"layer": layer, "head": prune_linears(nn.Linear(32, 64))}).eval()
    x = torch.randn(2, 5, 32)
    with torch.inference_mode():
        before = layer(x)
        assert sparsify(model, by_size, (1, 64)) == ["head"]
        assert torch.equal(layer(x), before)
    assert kernels_of(model, 1) == {DENSE: 3, TORCH_CSR: 1}
    assert kernels_of(model, 64) == {DENSE: 3, TILED_CSR: 1}


def test_wrong_numbers_of_tokens_and_types_without_a_kernel_change_nothing():
    model = pruned("Bert")
    for tokens in ((), (0,), (1, -3)):
        with pytest.raises(RequestError, match=r"^tokens must be .* each at least 1$"):
            sparsify(model, TILED, tokens)
    assert sparsify(model.to(torch.bfloat16), TILED) == []
    assert len(linears(model)) == 13


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("architecture", ["Bert", "GPT2"])
def test_dense_again_it_has_its_bits_types_and_modes(architecture, dtype):
    model = pruned(architecture).to(dtype).train()
    first, second, *_ = (model.get_submodule(name) for name in linears(model))
    odd = torch.tensor([torch.nan, torch.inf, 1e-45, -3e38], dtype=dtype)
    first.weight.data.view(-1)[first.weight.view(-1).nonzero()[:4, 0]] = odd
    second.eval().requires_grad_(False)
    before, facts = copy.deepcopy(model.state_dict()), told(model)
    assert sparsify(model, always(TORCH_CSR))
    assert [m.training for _, m in model.named_modules()] == [mode for *_, mode in facts[0]]
    densify(model)
    assert_is(model, before, facts)


def test_dense_again_it_can_be_trained_moved_and_saved(tmp_path):
    model = pruned("Bert", CLASSIFIER, num_labels=3)
    before = list(model.modules())
    densify(model)
    assert list(model.modules()) == before
    assert sparsify(model, TILED)
    for save in (model.state_dict, lambda: model.save_pretrained(tmp_path)):
        with pytest.raises(RunError, match="cannot be saved; convert it back"):
            save()
    with pytest.raises(RunError, match="cannot be trained"):
        model(**inputs(model))
    densify(model)
    model.save_pretrained(tmp_path)
    assert (tmp_path / "model.safetensors").stat().st_size > 0
    model(**inputs(model), labels=torch.tensor([0, 1, 2])).loss.backward()
    assert all(p.grad is not None for name, p in model.named_parameters() if "query" in name)
    assert answers(model.to(torch.float64)).dtype == torch.float64
