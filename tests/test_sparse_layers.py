"""A sparse layer stands in for a linear one: any batch shape, a plan, refusals, copies, bytes."""

import copy
import math
import pickle

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from transformers.pytorch_utils import Conv1D

from analysis.errors import RunError
from analysis.execution.csr import Csr
from analysis.execution.layers import SparseLinear
from analysis.execution.products import DENSE, TILED_CSR, TORCH_CSR

KERNELS = [DENSE, TORCH_CSR, TILED_CSR]
IN, OUT = 20, 33


def pruned(kind=nn.Linear, bias=True, dtype=torch.float32):
    """A layer of 20 features to 33, a tenth of its weights kept."""
    torch.manual_seed(0)
    layer = Conv1D(OUT, IN) if kind is Conv1D else nn.Linear(IN, OUT, bias=bias)
    with torch.no_grad():
        layer.weight.normal_()
        layer.weight[torch.rand(layer.weight.shape) > 0.1] = 0
        if bias:
            layer.bias.normal_()
    return layer.to(dtype).requires_grad_(False)


def sparse(layer, plan):
    turned = type(layer) is Conv1D
    weight = layer.weight.t() if turned else layer.weight
    return SparseLinear(Csr.of(weight), layer.bias, plan, turned)


# ---------------------------------------------------------------- answers


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("kind", [nn.Linear, Conv1D])
@pytest.mark.parametrize(
    "batch", [(), (1,), (17,), (2, 3), (4, 1, 5), (0,), (2, 0), (0, 7, 3)], ids=str
)
def test_any_batch_shape_gives_what_the_dense_layer_gives(kernel, kind, batch):
    layer = pruned(kind)
    x = torch.randn(*batch, IN)
    out, expected = sparse(layer, {1: kernel})(x), layer(x)
    assert (out.shape, out.dtype) == (expected.shape, expected.dtype)
    torch.testing.assert_close(out, expected)


@pytest.mark.parametrize("kernel", KERNELS)
def test_a_layer_may_have_no_bias(kernel):
    layer = pruned(bias=False)
    made = sparse(layer, {1: kernel})
    assert made.bias is None
    x = torch.randn(5, IN)
    torch.testing.assert_close(made(x), layer(x))


@pytest.mark.parametrize("kernel", [DENSE, TORCH_CSR])
def test_a_layer_may_be_of_doubles(kernel):
    layer = pruned(dtype=torch.float64)
    x = torch.randn(5, IN, dtype=torch.float64)
    torch.testing.assert_close(sparse(layer, {1: kernel})(x), layer(x))


@pytest.mark.parametrize("kernel", KERNELS)
def test_x_stays_as_it_was(kernel):
    x = torch.randn(3, 4, IN)
    before = x.clone()
    sparse(pruned(), {1: kernel})(x)
    assert torch.equal(x, before)


@pytest.mark.parametrize("context", [torch.no_grad, torch.inference_mode])
def test_it_answers_where_gradients_are_off(context):
    layer = pruned()
    x = torch.randn(5, IN, requires_grad=True)
    with context():
        torch.testing.assert_close(sparse(layer, {1: TILED_CSR})(x), layer(x))


def test_it_says_what_architectures_ask_a_layer():
    layer, turned = sparse(pruned(), {1: TILED_CSR}), sparse(pruned(Conv1D), {1: TILED_CSR})
    for each in (layer, turned):
        assert (each.in_features, each.out_features, each.nx, each.nf) == (IN, OUT, IN, OUT)
        assert (each.weight.dtype, each.weight.device.type) == (torch.float32, "cpu")
    assert "20 to 33" in repr(layer)


# ---------------------------------------------------------------- the plan


@pytest.mark.parametrize(
    ("tokens", "kernel"),
    [
        *((1, DENSE), (3, DENSE), (5, TORCH_CSR), (16, TORCH_CSR), (44, TORCH_CSR)),
        *((46, TILED_CSR), (128, TILED_CSR), (10**9, TILED_CSR)),
    ],
)
def test_a_number_of_tokens_goes_by_the_nearest_in_proportion(tokens, kernel):
    assert sparse(pruned(), {1: DENSE, 16: TORCH_CSR, 128: TILED_CSR}).kernel(tokens) == kernel


@given(
    plan=st.dictionaries(st.integers(1, 5000), st.sampled_from(KERNELS), min_size=1, max_size=5),
    tokens=st.integers(1, 5000),
)
def test_no_planned_number_is_nearer_than_the_one_it_goes_by(plan, tokens):
    kernel = sparse(pruned(), plan).kernel(tokens)
    off = {count: max(count / tokens, tokens / count) for count in plan}
    least = min(off.values())
    assert kernel in {plan[count] for count in plan if math.isclose(off[count], least)}


def test_all_leading_axes_together_are_the_tokens():
    layer = sparse(pruned(), {1: TORCH_CSR, 64: TILED_CSR})
    asked = []
    layer.kernel = lambda tokens: asked.append(tokens) or TILED_CSR
    for batch in ((), (8, 8), (8, 8), (2, 3, 4)):
        layer(torch.randn(*batch, IN))
    assert asked == [1, 64, 24]


def test_the_plan_is_the_layers_own():
    plan = {1: TILED_CSR}
    layer = sparse(pruned(), plan)
    plan.clear()
    assert layer.kernel(4) == TILED_CSR


# ---------------------------------------------------------------- refusals


def refused(call):
    """The one line with which a call is refused."""
    with pytest.raises(RunError) as caught:
        call()
    message = str(caught.value)
    assert "\n" not in message
    return message


@pytest.mark.parametrize("kernel", KERNELS)
def test_training_is_refused(kernel):
    layer = sparse(pruned(), {1: kernel})
    x = torch.randn(5, IN, requires_grad=True)
    message = refused(lambda: layer(x))
    assert "cannot be trained; call the model within torch.inference_mode()" in message


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16, torch.int32])
def test_an_input_of_another_type_is_refused(kernel, dtype):
    layer = sparse(pruned(), {1: kernel})
    message = refused(lambda: layer(torch.ones(5, IN).to(dtype)))
    assert "takes torch.float32 of width 20" in message
    assert f"not {dtype}" in message


@pytest.mark.parametrize("shape", [(19,), (40,), (3, 21), (20, 10), (4, 0), (0, 19)], ids=str)
def test_an_input_of_another_width_is_refused(shape):
    layer = sparse(pruned(), {1: TILED_CSR})
    assert f"of width {shape[-1]}" in refused(lambda: layer(torch.ones(shape)))


@pytest.mark.parametrize(
    "move",
    [
        lambda model: model.to(torch.float16),
        lambda model: model.double(),
        lambda model: model.bfloat16(),
        lambda model: model.to("meta"),
    ],
)
def test_another_type_or_device_is_refused(move):
    layer = sparse(pruned(), {1: TILED_CSR})
    x = torch.randn(5, IN)
    before = layer(x)
    assert "convert it back, move it" in refused(lambda: move(nn.Sequential(layer)))
    assert torch.equal(layer(x), before)


def test_to_where_it_is_already_is_no_move():
    model = nn.Sequential(sparse(pruned(), {1: TILED_CSR}))
    x = torch.randn(5, IN)
    before = model(x)
    assert torch.equal(model.to("cpu").float().to(torch.float32).cpu()(x), before)


# ---------------------------------------------------------------- copies and bytes

COPIES = {
    "deepcopy": copy.deepcopy,
    "pickle": lambda layer: pickle.loads(pickle.dumps(layer)),
}


@pytest.mark.parametrize("way", COPIES)
@pytest.mark.parametrize("kind", [nn.Linear, Conv1D])
def test_a_copy_answers_alike_from_memory_of_its_own(way, kind):
    layer = sparse(pruned(kind), {1: TILED_CSR, 8: TORCH_CSR, 64: DENSE})
    inputs = [torch.randn(count, IN) for count in (1, 8, 64)]
    before = [layer(x) for x in inputs]
    copied = COPIES[way](layer)
    assert (copied.plan, copied.turned, copied.bytes) == (layer.plan, layer.turned, layer.bytes)
    layer.matrix.values.zero_()
    for x, expected in zip(inputs, before, strict=True):
        assert torch.equal(copied(x), expected)


@pytest.mark.parametrize("plan", [{1: TILED_CSR}, {1: TORCH_CSR}, {1: TILED_CSR, 9: TORCH_CSR}])
def test_bytes_are_those_of_csr(plan):
    layer = pruned()
    kept = int(layer.weight.count_nonzero())
    assert sparse(layer, plan).bytes == 4 * (OUT + 1) + (4 + 4) * kept


def test_bytes_are_those_of_both_forms_where_both_are_held():
    layer = pruned()
    alone = sparse(layer, {1: TILED_CSR}).bytes
    assert sparse(layer, {1: TILED_CSR, 9: DENSE}).bytes == alone + layer.weight.nbytes
