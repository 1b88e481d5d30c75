"""Batches for tiny models of any architecture, and what goes into their matrices, found plainly."""

import contextlib
import copy
import functools
from dataclasses import dataclass

import architectures
import numpy as np
import torch

from analysis.calibration.inputs import Inputs, Sums
from analysis.calibration.matrices import matrices
from analysis.models import naming

PADDING = 0  # the token of the tiny models
_LENGTHS = [(10, 7), (9, 12), (6, 5)]  # of the batches' texts, and of what is decoded from them


def model(architecture):
    """A tiny dense model, the same each time."""
    return copy.deepcopy(_model(architecture))


@functools.cache
def _model(architecture):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return architectures.model(architecture).eval()


def batches(of, seed=0):
    """Batches of different lengths, padded on the right, no two lengths in one batch the same."""
    generator = torch.Generator().manual_seed(seed)
    made = []
    for rows, (length, decoded) in enumerate(_LENGTHS, start=2):
        ids, mask = _padded(rows, length, generator)
        batch = {"input_ids": ids, "attention_mask": mask}
        if of.config.is_encoder_decoder:
            ids, mask = _padded(rows, decoded, generator)
            batch |= {"decoder_input_ids": ids, "decoder_attention_mask": mask}
        made.append(batch)
    return made


def _padded(rows, length, generator):
    ids = torch.randint(3, 60, (rows, length), generator=generator)
    ends = torch.randint(2, length, (rows, 1), generator=generator)
    ends[0] = length
    mask = (torch.arange(length) < ends).long()
    return ids.masked_fill(mask == 0, PADDING), mask


def in_scope(of):
    """Names of the matrices that calibrated methods prune, sorted."""
    named = naming.weights(name for name, _ in of.named_parameters())
    return [name for name, weight in named.items() if weight.prunable]


def found(of):
    """The same as matrices."""
    return matrices(of, in_scope(of))


def inputs(x):
    """What is known of inputs X (tokens, in)."""
    sums = Sums(with_products=True)
    sums.add(torch.as_tensor(np.asarray(x, np.float32)))
    return sums.total()


@dataclass
class Plain:
    """The inputs of a matrix, every token of them, float64 (tokens, in)."""

    x: np.ndarray

    def check(self, given: Inputs, products: bool = True):
        """Hold the sums of these inputs against those given."""
        assert given.tokens == len(self.x)
        np.testing.assert_allclose(given.sums, self.x.sum(0), rtol=1e-5, atol=1e-5)
        np.testing.assert_allclose(given.squares, (self.x**2).sum(0), rtol=1e-5, atol=1e-9)
        if products:
            size = np.sqrt(np.outer(*[(self.x**2).sum(0)] * 2))
            assert (np.abs(given.products.numpy() - self.x.T @ self.x) <= 1e-5 * size + 1e-9).all()
        else:
            assert given.products is None


def plain_inputs(of, run_on, names):
    """Each matrix's inputs on a plain forward pass of the whole model, padding dropped by hand.

    Which tokens go in is told by how many: those decoded are never as many as those encoded.
    """
    entered = {name: [] for name in names}
    modules = dict(of.named_modules())
    for batch in run_on:
        masks = [mask.bool() for name, mask in batch.items() if name.endswith("attention_mask")]
        of_length = {mask.shape[1]: mask for mask in masks}
        assert len(of_length) == len(masks)

        def keep(name, x, of_length=of_length):
            real = of_length[x.shape[1]]
            rows = [x[i, j] for i in range(len(x)) for j in range(x.shape[1]) if real[i, j]]
            entered[name] += [row.double().numpy() for row in rows]

        with contextlib.ExitStack() as hooks, torch.no_grad():
            for name in names:
                module = modules[name.removesuffix(".weight")]
                hook = module.register_forward_pre_hook(
                    lambda _, args, name=name, keep=keep: keep(name, args[0])
                )
                hooks.callback(hook.remove)
            of(**batch)
    return {name: Plain(np.array(rows)) for name, rows in entered.items()}
