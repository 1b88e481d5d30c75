"""Experts: neurons put together by co-activation, and the routers that foresee them."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis.alternatives.experts import contiguous, split
from analysis.alternatives.feedforward import FeedForward, require_divisor, require_run
from analysis.alternatives.routers import Router, choice, fit, hits, masses
from analysis.errors import RequestError, RunError
from analysis.pruning.units import NEURONS, Cut, Group


def layer(neurons):
    cuts = (Cut("in", 0),), (Cut("out", 1),)
    return FeedForward(Group("encoder.0.ffn", NEURONS, neurons, *cuts), "in", "out")


def products(activations):
    size = np.abs(np.asarray(activations, np.float64))
    return size.T @ size


def planted(experts, size, tokens=400, noise=0.05, seed=0):
    """Activations (tokens, neurons), which neurons belong together, and inputs that tell which run.

    At each token one or two groups of neurons are active, by the largest of some projections of
    the input.
    """
    rng = np.random.default_rng(seed)
    truth = rng.permutation(np.repeat(np.arange(experts), size))
    x = rng.normal(size=(tokens, 12))
    strength = x @ rng.normal(size=(12, experts))
    on = strength >= np.sort(strength, axis=1)[:, -2:-1]
    levels = rng.uniform(0.5, 2, size=truth.size)
    h = on[:, truth] * np.exp(0.3 * strength)[:, truth] * levels
    return h + noise * rng.normal(size=h.shape), truth, x


def same_groups(labels, truth):
    return len({*zip(labels.tolist(), truth.tolist(), strict=True)}) == len({*truth.tolist()})


@settings(max_examples=40, deadline=None)
@given(
    experts=st.integers(2, 6),
    size=st.integers(1, 5),
    tokens=st.integers(1, 20),
    dead=st.floats(0, 1),
    seed=st.integers(0, 2**31),
)
def test_every_expert_gets_equally_many_neurons(experts, size, tokens, dead, seed):
    rng = np.random.default_rng(seed)
    h = rng.normal(size=(tokens, experts * size)) * (rng.random(experts * size) >= dead)
    labels = split(products(h), experts, seed)
    assert np.bincount(labels, minlength=experts).tolist() == [size] * experts
    np.testing.assert_array_equal(labels, split(products(h), experts, seed))
    order = contiguous(labels)
    assert sorted(order.tolist()) == list(range(experts * size))
    np.testing.assert_array_equal(labels[order], np.repeat(np.arange(experts), size))


@pytest.mark.parametrize("scale", [1e-18, 1.0, 1e18])
def test_neurons_that_are_active_together_land_together(scale):
    h, truth, _ = planted(experts=6, size=5)
    assert same_groups(split(products(h * scale), 6, seed=1), truth)


def test_how_strong_a_neuron_is_does_not_tell_where_it_belongs():
    h, truth, _ = planted(experts=4, size=6)
    weak = h * np.where(np.arange(h.shape[1]) % 2, 1e-3, 1.0)
    assert same_groups(split(products(weak), 4, seed=0), truth)


def test_neurons_that_never_run_or_are_all_alike_are_still_divided():
    for h in (np.zeros((3, 12)), np.ones((3, 12))):
        assert np.bincount(split(products(h), 4, seed=0)).tolist() == [3, 3, 3, 3]


def test_coactivations_that_are_not_finite_are_refused():
    with pytest.raises(RunError, match="not finite"):
        split(np.full((4, 4), np.nan), 2, seed=0)


@pytest.mark.parametrize("experts", [0, 1, -2, 3, 5, 24, 16, 2.0, True, None, "4", [4]])
def test_a_number_of_experts_that_does_not_divide_every_layer_is_refused(experts):
    layers = {"encoder.0.ffn": layer(12), "encoder.1.ffn": layer(8)}
    with pytest.raises(RequestError, match=r"8, 12 neurons.* allowed: 2, 4\Z"):
        require_divisor(experts, layers)


def test_allowed_numbers_divide_every_layer():
    require_divisor(4, {"encoder.0.ffn": layer(12), "encoder.1.ffn": layer(8)})
    with pytest.raises(RequestError, match="allowed: none"):
        require_divisor(2, {"encoder.0.ffn": layer(9), "encoder.1.ffn": layer(8)})


@pytest.mark.parametrize("run", [0, 5, -1, 1.0, True, None, "2"])
def test_no_more_experts_run_than_there_are(run):
    with pytest.raises(RequestError, match="allowed are 1 to 4"):
        require_run(run, 4)


# ---------------------------------------------------------------- routers


def test_masses_are_sums_over_the_neurons_of_each_expert():
    h = torch.tensor([[1.0, -2.0, 3.0, 0.0], [0.0, 0.0, -1.0, 1.0]])
    norms = torch.tensor([1.0, 10.0, 2.0, 5.0])
    assert masses(h, norms, 2).tolist() == [[21.0, 6.0], [0.0, 7.0]]
    assert masses(h[None], norms, 4).shape == (1, 2, 4)


@settings(max_examples=30, deadline=None)
@given(tokens=st.integers(0, 5), experts=st.integers(1, 6), data=st.data())
def test_as_many_experts_are_chosen_as_run_and_none_scores_higher(tokens, experts, data):
    run = data.draw(st.integers(1, experts))
    scores = torch.randn(tokens, experts, generator=torch.Generator().manual_seed(tokens))
    chosen = choice(scores, run)
    assert (chosen.sum(dim=1) == run).all()
    least = scores.masked_fill(~chosen, torch.inf).amin(dim=1)
    assert (scores.masked_fill(chosen, -torch.inf).amax(dim=1) <= least).all()


def test_a_router_finds_the_planted_experts_of_tokens_it_never_saw():
    experts, size, run = 8, 4, 2
    h, _, x = planted(experts, size, tokens=1200)
    order = contiguous(split(products(h[:800]), experts, seed=0))
    norms = torch.ones(experts * size)
    mass = masses(torch.from_numpy(h[:, order]).float(), norms, experts)
    inputs = torch.from_numpy(x).float()
    router = fit(inputs[:800], mass[:800])
    assert (router.weight.shape, router.bias.shape) == ((experts, 12), (experts,))
    assert {router.weight.dtype, router.bias.dtype} == {torch.float32}
    share = hits(router.scores(inputs[800:]), mass[800:], run) / (400 * run)
    mean = mass[:800].mean(dim=0).expand(400, -1)  # knows the experts, but not the token
    assert share > 0.7 > 2 * hits(mean, mass[800:], run) / (400 * run)
    assert hits(mass, mass, run) == 1200 * run


def test_a_router_is_the_ridge_regression_of_log_masses():
    """Against numpy's least squares, the ridge written as rows of data."""
    rng = np.random.default_rng(0)
    x, mass = rng.normal(3, 2, size=(50, 5)), rng.uniform(0.5, 9, size=(50, 3))
    standard = (x - x.mean(axis=0)) / x.std(axis=0)
    rows = np.vstack([standard, np.sqrt(0.03 * 50) * np.eye(5)])
    log = np.log(mass)
    wanted = np.vstack([log - log.mean(axis=0), np.zeros((5, 3))])
    solved = np.linalg.lstsq(rows, wanted, rcond=None)[0]
    router = fit(torch.from_numpy(x), torch.from_numpy(mass))
    scores = router.scores(torch.from_numpy(x).float())
    np.testing.assert_allclose(scores, standard @ solved + log.mean(axis=0), atol=1e-4)


@pytest.mark.parametrize("mass", [torch.zeros(6, 3), torch.eye(6)[:, :3]])
def test_masses_of_zero_and_constant_inputs_leave_a_router_finite(mass):
    router = fit(torch.ones(6, 4), mass)
    assert router.scores(torch.ones(2, 4)).isfinite().all()
    assert isinstance(router, Router)


def test_a_router_of_what_is_not_finite_is_refused():
    with pytest.raises(RunError, match="not finite"):
        fit(torch.full((4, 2), torch.nan), torch.ones(4, 3))
