"""Wanda and SparseGPT at GPT-2's true shape, beside the papers' loops written out plainly.

Random weights, 32 calibration texts of 256 random tokens, 50 %. Each runs in a process of its own.
"""

import multiprocessing
import time
from collections.abc import Callable, Iterator

import torch
from torch import Tensor
from transformers import GPT2Config, GPT2LMHeadModel

from analysis import pruning
from analysis.calibration.batches import BATCH_TOKENS
from analysis.calibration.matrices import matrices
from analysis.checkpoints import naming
from analysis.engine.machine import peak_here
from analysis.pruning.calibrated import prune_in_place

_TEXTS, _TOKENS = 32, 256
_ROWS = BATCH_TOKENS // _TOKENS
_SPARSITY = 0.5
_BLOCK = 128


def measure() -> Iterator[dict]:
    """Seconds, and the memory at the peak, the model included."""
    for method in ("wanda", "sparsegpt"):
        ours, own_peak = _apart(_ours, method)
        peer, peer_peak = _apart(_plain, method)
        yield {"name": f"prune-{method}", "ours": ours, "peer": peer, "unit": "s"}
        yield {
            "name": f"prune-{method}-memory",
            "ours": own_peak / 1e6,
            "peer": peer_peak / 1e6,
            "unit": "MB with the model's 498",
        }


def _apart(run: Callable[[GPT2LMHeadModel, Tensor, str], None], method: str) -> tuple[float, int]:
    context = multiprocessing.get_context("spawn")
    with context.Pool(1) as pool:
        return pool.apply(_timed, (run, method))


def _timed(run: Callable[[GPT2LMHeadModel, Tensor, str], None], method: str) -> tuple[float, int]:
    """Seconds and peak bytes with the model; every matrix of the blocks has to be half zero."""
    torch.manual_seed(0)
    model = GPT2LMHeadModel(GPT2Config()).eval().requires_grad_(False)
    ids = torch.randint(50257, (_TEXTS, _TOKENS))
    run(GPT2LMHeadModel(GPT2Config(n_layer=1)).eval(), ids[:_ROWS], method)  # compile first
    size = sum(parameter.numel() * 4 for parameter in model.parameters())
    start = time.perf_counter()
    _, peak = peak_here(lambda: run(model, ids, method))
    seconds = time.perf_counter() - start
    for name, weight in model.named_parameters():
        if naming.weight(name).prunable:
            share = float((weight == 0).float().mean())
            if abs(share - _SPARSITY) > 1e-3:
                raise AssertionError(f"{name} is {share:.2%} zero")
    return seconds, size + peak


def _ours(model: GPT2LMHeadModel, ids: Tensor, method: str) -> None:
    named = naming.weights(name for name, _ in model.named_parameters())
    found = matrices(model, [name for name, what in named.items() if what.prunable])
    batches = [
        {"input_ids": rows, "attention_mask": torch.ones_like(rows)} for rows in ids.split(_ROWS)
    ]
    prune_in_place(pruning.method(method), model, batches, found, _SPARSITY)


@torch.no_grad()
def _plain(model: GPT2LMHeadModel, ids: Tensor, method: str) -> None:
    """As the papers' code goes: text by text, layer by layer, row or column by column in torch."""
    transformer = model.transformer
    positions = transformer.wpe(torch.arange(ids.shape[1]))
    states = [transformer.wte(row[None]) + positions for row in ids]
    for block in transformer.h:
        layers = [block.attn.c_attn, block.attn.c_proj, block.mlp.c_fc, block.mlp.c_proj]
        sums = [torch.zeros(layer.weight.shape[0]) for layer in layers]
        if method == "sparsegpt":
            sums = [torch.zeros(layer.weight.shape[0], layer.weight.shape[0]) for layer in layers]

        def add(i: int, x: Tensor, sums: list[Tensor] = sums) -> None:
            x = x.reshape(-1, x.shape[-1])
            sums[i] += x.T @ x if method == "sparsegpt" else x.square().sum(0)

        hooks = [
            layer.register_forward_pre_hook(lambda _, args, i=i: add(i, args[0]))
            for i, layer in enumerate(layers)
        ]
        for state in states:
            block(state)
        for hook in hooks:
            hook.remove()
        for layer, total in zip(layers, sums, strict=True):
            weight = layer.weight.data.T.clone()
            prune = _plain_sparsegpt if method == "sparsegpt" else _plain_wanda
            layer.weight.data = prune(weight, total / ids.numel()).T.contiguous()
        states = [_first(block(state)) for state in states]


def _first(output: Tensor | tuple[Tensor, ...]) -> Tensor:
    return output if isinstance(output, Tensor) else output[0]


def _plain_wanda(weight: Tensor, squares: Tensor) -> Tensor:
    order = torch.sort(weight.abs() * squares.sqrt(), dim=1, stable=True).indices
    return weight.scatter(1, order[:, : int(weight.shape[1] * _SPARSITY)], 0)


def _plain_sparsegpt(weight: Tensor, products: Tensor) -> Tensor:
    hessian = 2 * products
    hessian.diagonal().add_(0.01 * hessian.diagonal().mean())
    inverse = torch.cholesky_inverse(torch.linalg.cholesky(hessian))
    upper = torch.linalg.cholesky(inverse, upper=True)
    columns = weight.shape[1]
    for start in range(0, columns, _BLOCK):
        stop = min(start + _BLOCK, columns)
        part = weight[:, start:stop].clone()
        own = upper[start:stop, start:stop]
        errors = torch.zeros_like(part)
        scores = part**2 / own.diagonal() ** 2
        limit = torch.sort(scores.flatten()).values[int(scores.numel() * _SPARSITY)]
        removed = scores < limit
        for i in range(stop - start):
            kept = part[:, i].clone()
            kept[removed[:, i]] = 0
            error = (part[:, i] - kept) / own[i, i]
            part[:, i:] -= error[:, None] @ own[i : i + 1, i:]
            part[:, i] = kept
            errors[:, i] = error
        weight[:, start:stop] = part
        weight[:, stop:] -= errors @ upper[start:stop, stop:]
    return weight
