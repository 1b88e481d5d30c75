"""Makes a whole model answer from its non-zeros, and back."""

from collections import Counter
from collections.abc import Callable, Collection, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from analysis.errors import RequestError
from analysis.execution.choice import Choose
from analysis.execution.csr import Csr
from analysis.execution.layers import SparseLinear
from analysis.execution.names import DENSE

LEAST_SPARSITY = 0.3  # no kernel gains by leaving out less
TOKENS = (1, 16, 128, 1024)  # of one call of a layer: from generating a word to a batch of texts


def sparsify(
    model: nn.Module,
    choose: Choose,
    tokens: Sequence[int] = TOKENS,
    layers: Collection[str] | None = None,
    matrix_of: Callable[[Tensor], Csr] = Csr.of,
) -> list[str]:
    """Replace linear layers in place by sparse ones where that is faster; returns their names.

    For each layer and number of tokens `choose` names a kernel; a layer for which that is always
    the dense one stays as it is. So do layers with few zeros, and those whose weight another module
    shares (an output layer tied to the embeddings). The model then answers, generates and scores
    as before, within float rounding; it cannot be trained, moved or saved until `densify`.

    layers      the names of those to look at, among the `replaceable`; all of these if None
    matrix_of   the non-zeros of a weight [out, in]

    Raises RequestError if tokens are none or below 1.
    """
    if not tokens or min(tokens) < 1:
        raise RequestError("tokens must be one or more numbers of tokens, each at least 1")
    changed = []
    for name in replaceable(model) if layers is None else layers:
        module: Any = model.get_submodule(name)
        weight = module.weight.detach()
        if weight.numel() - int(weight.count_nonzero()) < LEAST_SPARSITY * weight.numel():
            continue
        turned = type(module) is Conv1D
        matrix = matrix_of(weight.t() if turned else weight)
        bias = None if module.bias is None else module.bias.detach()
        plan = {count: choose(matrix, bias, count) for count in tokens}
        if set(plan.values()) != {DENSE}:
            made = SparseLinear(matrix, bias, plan, turned, module.weight.requires_grad)
            _replace(model, name, made.train(module.training))
            changed.append(name)
    return changed


def replaceable(model: nn.Module) -> list[str]:
    """The names of the linear layers that could be sparse, by what the model is."""
    left = _left_alone(model)
    return [
        name
        for name, module in model.named_modules()
        if type(module) in (nn.Linear, Conv1D) and id(module) not in left
    ]


def _left_alone(model: nn.Module) -> set[int]:
    """The modules (by id) that have to stay what they are."""
    shared = _times_held(model)
    places = Counter(id(module) for _, module in model.named_modules(remove_duplicate=False))
    # torch's own encoder layer hands its layers' weights, not their answers, to one fast kernel
    fast = [m for m in model.modules() if isinstance(m, nn.TransformerEncoderLayer)]
    inside = {id(module) for layer in fast for module in layer.modules()}
    return {
        id(module)
        for module in model.modules()
        # not 1: tied to another's, or made anew at each call from tensors of other names
        if module is model
        or shared[id(getattr(module, "weight", None))] != 1
        or places[id(module)] > 1
    } | inside


def densify(model: nn.Module) -> None:
    """Undo `sparsify`, in place: the layers have the weights that they had (−0.0 is 0.0)."""
    for name, module in list(model.named_modules()):
        if isinstance(module, SparseLinear):
            _replace(model, name, _dense(module))


def kernels_of(model: nn.Module, tokens: int) -> dict[str, int]:
    """How many linear layers answer an input of so many tokens by each kernel."""
    found = Counter(
        module.kernel(tokens) if isinstance(module, SparseLinear) else DENSE
        for module in model.modules()
        if isinstance(module, SparseLinear | nn.Linear | Conv1D)
    )
    return dict(sorted(found.items()))


def _times_held(model: nn.Module) -> Counter[int]:
    """How many modules have each parameter (by id) for their own."""
    return Counter(id(p) for m in model.modules() for p in m.parameters(recurse=False))


def linear_bytes(model: nn.Module) -> int:
    """Bytes of the weights of all linear layers, sparse or dense, those tied to others left out."""
    shared = _times_held(model)
    total = 0
    for module in model.modules():
        if isinstance(module, SparseLinear):
            total += module.bytes
        elif isinstance(module, nn.Linear | Conv1D) and shared[id(module.weight)] == 1:
            total += module.weight.nbytes
    return total


def extra_bytes(model: nn.Module) -> int:
    """Bytes of the dense forms that sparse layers hold beside their non-zeros."""
    sparse = [module for module in model.modules() if isinstance(module, SparseLinear)]
    return sum(module.bytes - module.matrix.bytes for module in sparse)


def _dense(module: SparseLinear) -> nn.Module:
    rows, columns = module.matrix.shape
    weight, bias = module.matrix.dense(), module.bias
    with torch.device("meta"):
        made: Any = Conv1D(rows, columns) if module.turned else nn.Linear(columns, rows)
    asks = module.trainable
    made.weight = nn.Parameter(weight.t().contiguous() if module.turned else weight, asks)
    made.bias = None if bias is None else nn.Parameter(bias, asks)
    return made.train(module.training)


def _replace(model: nn.Module, name: str, module: nn.Module) -> None:
    path, _, own = name.rpartition(".")
    setattr(model.get_submodule(path), own, module)
