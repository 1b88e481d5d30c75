"""Whole models from their non-zeros, at BERT-base's true shape: beside torch's dense layers.

Every linear layer of the encoder is pruned by magnitude; both are the same model with the same
weights. int8 is torch's dynamic quantisation of the dense one, the usual way to run it faster.
"""

import copy
import functools
import warnings
from collections.abc import Iterator

import torch
from torch import nn
from transformers import BertConfig, BertModel

from analysis.execution.choice import Chooser
from analysis.execution.convert import linear_bytes, sparsify
from analysis.execution.timing import Schedule, interleaved_samples

_PERCENT = [50, 80, 90, 95, 99]
_INPUTS = {"": (8, 128), "-1x16": (1, 16)}  # texts and tokens of each, by the end of a row's name
_BESIDE_INT8 = 95
_THREADS = 2
_SCHEDULE = Schedule(warmup_runs=1, min_runs=9, min_seconds=0.5, max_seconds=9.0)


def measure() -> Iterator[dict]:
    """Seconds of a forward pass, the fastest of runs that take turns; and bytes of the weights."""
    before = torch.get_num_threads()
    torch.set_num_threads(_THREADS)
    try:
        yield from _measured()
    finally:
        torch.set_num_threads(before)


def _measured() -> Iterator[dict]:
    torch.manual_seed(0)
    dense, chooser = BertModel(BertConfig()).eval(), Chooser()
    for percent in _PERCENT:
        _prune(dense, percent / 100)
        for end, (texts, tokens) in _INPUTS.items():
            models = {"ours": copy.deepcopy(dense), "peer": dense}
            sparsify(models["ours"], chooser, (texts * tokens,))
            if percent == _BESIDE_INT8:
                models["int8"] = _int8(dense)
            name = f"sparse-bert-base-{percent}{end}"
            seconds = _seconds(models, torch.randint(0, 30_000, (texts, tokens)))
            yield {"name": name, "ours": seconds["ours"], "peer": seconds["peer"], "unit": "s"}
            if percent == _BESIDE_INT8:
                row = {"name": f"{name}-beside-int8", "ours": seconds["ours"]}
                yield {**row, "peer": seconds["int8"], "unit": "s"}
                if not end:
                    yield {
                        "name": f"sparse-bert-base-memory-{percent}",
                        "ours": linear_bytes(models["ours"]) / 1e6,
                        "peer": linear_bytes(dense) / 1e6,
                        "unit": "MB of linear weights",
                    }


@torch.no_grad()
def _prune(model: BertModel, sparsity: float) -> None:
    """Zero the smallest of each encoder layer's weights: over all levels, ever more of them."""
    for module in model.encoder.modules():
        if isinstance(module, nn.Linear):
            sizes = module.weight.abs().flatten()
            cut = sizes.kthvalue(round(sparsity * sizes.numel())).values
            module.weight[module.weight.abs() <= cut] = 0


def _int8(model: BertModel) -> nn.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch would rather have another package used
        return torch.ao.quantization.quantize_dynamic(copy.deepcopy(model), {nn.Linear})


@torch.inference_mode()
def _seconds(models: dict[str, nn.Module], ids: torch.Tensor) -> dict[str, float]:
    _require_alike(models, ids)
    runs = {name: functools.partial(model, ids) for name, model in models.items()}
    found = interleaved_samples(runs, _SCHEDULE)
    return {name: min(samples) for name, samples in found.items()}


def _require_alike(models: dict[str, nn.Module], ids: torch.Tensor) -> None:
    ours, peer = (models[name](ids).last_hidden_state for name in ("ours", "peer"))
    torch.testing.assert_close(ours, peer, atol=1e-3, rtol=1e-3)
