"""Batches for tiny models of any architecture, what goes into their matrices; cases, refusals."""

import contextlib
import copy
import functools
from pathlib import Path

import architectures
import numpy as np
import pytest
import torch
import yaml

from analysis.calibration.inputs import Sums
from analysis.calibration.matrices import matrices
from analysis.calibration.texts import Texts
from analysis.checkpoints import naming

CASES = yaml.safe_load(Path(__file__).with_name("pruning.yml").read_text(encoding="utf-8"))
# of batches: how many texts, and the lengths of the longest and of what is decoded from it
SIZES = [(2, 10, 7), (3, 9, 12), (4, 6, 5)]


def model(architecture):
    """A tiny dense model, the same each time."""
    return copy.deepcopy(_model(architecture))


@functools.cache
def _model(architecture):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return architectures.model(architecture).eval()


def texts(form, examples, tokens, count=None, seed=0):
    """These examples, all of them if no count is given, as calibration reads them."""
    return Texts(form, lambda wanted: examples[:wanted], count or len(examples), tokens, seed)


def batches(of, sizes=SIZES):
    """Batches of these many texts, of these lengths at most; padded on the right, but for one."""
    generator = torch.Generator().manual_seed(0)
    made = []
    for rows, length, decoded in sizes:
        batch = _padded(rows, length, generator)
        if of.config.is_encoder_decoder:
            target = _padded(rows, decoded, generator)
            batch |= {f"decoder_{name}": tensor for name, tensor in target.items()}
        made.append(batch)
    return made


def _padded(rows, length, generator):
    ids = torch.randint(3, 60, (rows, length), generator=generator)
    ends = torch.randint(3, length, (rows, 1), generator=generator)
    ends[0] = length
    mask = (torch.arange(length) < ends).long()
    return {"input_ids": ids.masked_fill(mask == 0, 0), "attention_mask": mask}


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


def inputs_alone(of, run_on, names):
    """Each matrix's inputs (tokens, in), float64, where the plain model runs each text for itself,
    without padding; where it pads to its own windows, those of the tokens."""
    entered = {name: [] for name in names}
    tokens = []
    of.config.use_cache = False  # with a cache FSMT's decoder sees the tokens to come

    def note(rows, x):
        x = x.reshape(-1, x.shape[-1])
        windowed = hasattr(of.config, "attention_window")
        rows.append(x[: tokens[-1]].double() if windowed else x.double())

    with contextlib.ExitStack() as hooks, torch.no_grad():
        for name, rows in entered.items():
            hook = of.get_submodule(name.removesuffix(".weight")).register_forward_pre_hook(
                lambda _, args, rows=rows: note(rows, args[0])
            )
            hooks.callback(hook.remove)
        for batch in run_on:
            masks = {n: mask.bool() for n, mask in batch.items() if n.endswith("attention_mask")}
            for row in range(len(batch["input_ids"])):
                sides = {n: ("decoder_" if n[0] == "d" else "") + "attention_mask" for n in batch}
                alone = {n: t[row][masks[sides[n]][row]][None] for n, t in batch.items()}
                tokens.append(alone["input_ids"].numel())
                of.base_model(**alone)
    return {name: torch.cat(rows).numpy() for name, rows in entered.items()}


def check(given, x, products=True):
    """Hold the sums of inputs against the inputs X (tokens, in) themselves."""
    assert given.tokens == len(x)
    np.testing.assert_allclose(given.sums, x.sum(0), rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(given.squares, (x**2).sum(0), rtol=1e-5, atol=1e-9)
    if products:
        norms = np.sqrt((x**2).sum(0))
        assert (
            np.abs(given.products.numpy() - x.T @ x) <= 1e-5 * np.outer(norms, norms) + 1e-9
        ).all()
    else:
        assert given.products is None


def refused(error, call, *given):
    """What is said, in one line, where a call is refused."""
    with pytest.raises(error) as caught:
        call(*given)
    assert "\n" not in str(caught.value)
    return str(caught.value)
