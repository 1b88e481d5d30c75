"""Models with experts in them: how neurons are put together, what the step stores, and that it runs
as the whole layers with neurons masked."""

import contextlib
import copy
import functools

import architectures
import numpy as np
import pytest
import torch
from checkpoints import weights_sha256
from hypothesis import given, settings
from hypothesis import strategies as st
from random_models import FAMILIES, KINDS, answers, dense, stored
from safetensors.numpy import load_file, save_file

from analysis.alternatives.activations import held_out, observe
from analysis.alternatives.experts import contiguous, split
from analysis.alternatives.feedforward import feed_forwards
from analysis.alternatives.kinds import moe
from analysis.alternatives.routers import Router, choice, fit, masses
from analysis.calibration.matrices import matrices
from analysis.checkpoints import naming
from analysis.errors import RequestError, RunError
from analysis.models.alternative import read_alternative, write_alternative
from analysis.models.loading import load_model
from analysis.steps.alternatives.moe import moefy_checkpoint
from analysis.steps.pruning.calibrated import Look

pytestmark = pytest.mark.usefixtures("one_thread")

EXPERTS, RUN = 8, [8, 2]
PARTS = ("weight", "bias")
close = functools.partial(torch.testing.assert_close, rtol=1e-4, atol=1e-4)
TEXTS = {"training": None, "examples": 16, "tokens": 16, "seed": 3, "threads": 1, "device": "cpu"}
# of zero a sigmoid makes more, yet neurons that are not run add nothing
every_kind = pytest.mark.parametrize("kind", [*FAMILIES, "t5", "sigmoid"])


def products(activations):
    size = np.abs(np.asarray(activations, np.float64))
    return size.T @ size


def planted(experts, size):
    """Activations (tokens, neurons), and which neurons belong together: at each token the groups of
    the two largest of some projections of an input are active."""
    rng = np.random.default_rng(0)
    truth = rng.permutation(np.repeat(np.arange(experts), size))
    strength = rng.normal(size=(400, 12)) @ rng.normal(size=(12, experts))
    on = strength >= np.sort(strength, axis=1)[:, -2:-1]
    levels = rng.uniform(0.5, 2, size=truth.size)
    h = on[:, truth] * np.exp(0.3 * strength)[:, truth] * levels
    return h + 0.05 * rng.normal(size=h.shape), truth


@settings(max_examples=40)
@given(
    st.integers(2, 6), st.integers(1, 5), st.integers(1, 20), st.floats(0, 1), st.integers(0, 2**31)
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


def test_neurons_that_are_active_together_land_together_however_strong_they_are():
    for experts, size, scale in ((6, 5, 1e-18), (6, 5, 1.0), (6, 5, 1e18), (4, 6, None)):
        h, truth = planted(experts, size)
        scales = np.where(np.arange(h.shape[1]) % 2, 1e-3, 1.0) if scale is None else scale
        labels = split(products(h * scales), experts, seed=1)
        assert len({*zip(labels.tolist(), truth.tolist(), strict=True)}) == experts, scale
    for h in (np.zeros((3, 12)), np.ones((3, 12))):  # that never run, or are all alike
        assert np.bincount(split(products(h), 4, seed=0)).tolist() == [3, 3, 3, 3]
    with pytest.raises(RunError, match="not finite"):
        split(np.full((4, 4), np.nan), 2, seed=0)


@settings(max_examples=30)
@given(tokens=st.integers(0, 5), experts=st.integers(1, 6), data=st.data())
def test_as_many_experts_are_chosen_as_run_and_none_scores_higher(tokens, experts, data):
    run = data.draw(st.integers(1, experts))
    scores = torch.randn(tokens, experts, generator=torch.Generator().manual_seed(tokens))
    chosen = choice(scores, run)
    assert (chosen.sum(dim=1) == run).all()
    least = scores.masked_fill(~chosen, torch.inf).amin(dim=1)
    assert (scores.masked_fill(chosen, -torch.inf).amax(dim=1) <= least).all()


def test_masses_are_sums_over_the_neurons_of_each_expert_and_routers_finite():
    h = torch.tensor([[1.0, -2.0, 3.0, 0.0], [0.0, 0.0, -1.0, 1.0]])
    norms = torch.tensor([1.0, 10.0, 2.0, 5.0])
    assert masses(h, norms, 2).tolist() == [[21.0, 6.0], [0.0, 7.0]]
    assert masses(h[None], norms, 4).shape == (1, 2, 4)
    for mass in (torch.zeros(6, 3), torch.eye(6)[:, :3]):  # of constant inputs
        assert fit(torch.ones(6, 4), mass).scores(torch.ones(2, 4)).isfinite().all()
    with pytest.raises(RunError, match="not finite"):
        fit(torch.full((4, 2), torch.nan), torch.ones(4, 3))


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


def moefied(objects, kind, look=None, **more):
    look = TEXTS | {"task": KINDS[kind][4]} | (look or {})
    options = {"experts": EXPERTS, "run": RUN, "calibration": look, **more}
    return moefy_checkpoint(objects, **(dense(objects, kind) | options))


record_of = functools.cache(moefied)


@functools.cache
def batches_of(objects, kind):
    folder = objects.open(dense(objects, kind)["checkpoint"])
    loaded = Look(task=KINDS[kind][4], **TEXTS).at(objects, folder)
    model = loaded.load()
    return model, loaded.batches(model)


def layers_of(model):
    shapes = {name: tuple(p.shape) for name, p in model.named_parameters()}
    return feed_forwards(shapes, model.config.to_dict())


def stored_in(objects, level):
    """The tensors and facts of a level, and the model as any loader opens it."""
    folder = objects.open(level["checkpoint"]["object"])
    return load_file(folder / "model.safetensors"), read_alternative(folder), folder


def whole(model, tensors):
    """A model as that one with a file's weights, its experts no more than an order of neurons."""
    copied = copy.deepcopy(model)
    plain = {name: torch.from_numpy(array) for name, array in moe.plain(tensors, {}).items()}
    copied.load_state_dict(plain, strict=False)
    return copied


def router_of(layer, tensors):
    block = naming.block_of(layer.into)
    return Router(*(torch.from_numpy(tensors[f"{block}.router.{of}"]) for of in PARTS))


@contextlib.contextmanager
def masked(model, tensors, run, router):
    """The whole layers compute, and the neurons of all but the chosen experts become zero."""
    scores = {}
    with contextlib.ExitStack() as hooks:
        for key, layer in layers_of(model).items():
            into, out = matrices(model, [layer.into, layer.out])
            norms = out.outputs_first.norm(dim=0)

            def enter(_, args, key=key, layer=layer):
                scores[key] = router_of(layer, tensors).scores(args[0])

            def leave(_, args, key=key, norms=norms):
                h = args[0]
                by = scores[key] if router == "learned" else masses(h, norms, EXPERTS)
                kept = choice(by, run).repeat_interleave(len(norms) // EXPERTS, dim=-1)
                return (h * kept.view(h.shape),)

            if router == "learned":
                hooks.callback(into.module.register_forward_pre_hook(enter).remove)
            hooks.callback(out.module.register_forward_pre_hook(leave).remove)
        yield model


@every_kind
def test_each_level_is_a_checkpoint_that_runs_as_the_whole_layers_masked(objects, kind):
    record = record_of(objects, kind)
    levels = record["levels"]
    asked = [(level["run"], level["router"]) for level in levels]
    assert asked == [(run, router) for run in RUN for router in moe.ROUTERS]
    # one split and one set of routers serve all levels
    assert len({(level["router"], level["weights_sha256"]) for level in levels}) == 2
    assert len({level["checkpoint"]["object"] for level in levels}) == len(levels)
    model, batches = batches_of(objects, kind)
    blocks = {naming.block_of(layer.into) for layer in layers_of(model).values()}
    ids = torch.tensor([[7, 9, 3, 8], [4, 6, 5, 7]])
    alone = {name: ids[:1, :1] for name in batches[0] if name.endswith("input_ids")}
    plain = {}
    for level in levels:
        run, router = level["run"], level["router"]
        tensors, facts, folder = stored_in(objects, level)
        assert facts == {"kind": "moe", "experts": EXPERTS, "run": run, "router": router}
        assert level["weights_sha256"] == weights_sha256(tensors)
        opened, _ = load_model(folder, KINDS[kind][3], "cpu")
        assert level["parameters"] == sum(p.numel() for p in opened.parameters())
        reference = whole(model, tensors)
        for batch in [*batches, alone]:
            with masked(reference, tensors, run, router):
                expected = answers(reference, **batch)
            close(answers(opened, **batch), expected)
            dense_answers = answers(model, **batch)
            close(answers(reference, **batch), dense_answers)  # whatever the order of neurons
            same = torch.allclose(expected, dense_answers, rtol=1e-4, atol=1e-4)
            assert same == (run == EXPERTS) or batch is alone
        if opened.can_generate() and kind != "sigmoid":
            asked = {"input_ids": ids, "attention_mask": torch.ones_like(ids), "do_sample": False}
            asked |= {"max_new_tokens": 6, "min_new_tokens": 6}
            with masked(reference, tensors, run, router):
                expected = reference.generate(**asked)
            assert torch.equal(opened.generate(**asked), expected)
        routers = {name: array for name, array in tensors.items() if ".router." in name}
        names = {f"{block}.router.{of}" for block in blocks for of in PARTS}
        assert routers.keys() == (names if router == "learned" else set())
        matrix = [n for one in layers_of(model).values() for n in (one.into, one.out)]
        share = sum(a.size for a in routers.values()) / sum(tensors[n].size for n in matrix)
        assert (level["run_share"], level["router_share"]) == (run / EXPERTS, share)
        bare = moe.plain(tensors, {})
        assert bare.keys() == tensors.keys() - routers.keys()
        assert all((plain.setdefault(name, array) == array).all() for name, array in bare.items())
        chance = run / EXPERTS  # the hit of an arbitrary choice
        sure = router == "oracle" or run == EXPERTS
        assert level["hit"] == 1 if sure else chance < level["hit"] <= 1


def test_the_weights_of_experts_that_are_not_chosen_are_not_read(objects):
    tensors, facts, _ = stored_in(objects, record_of(objects, "gpt2")["levels"][2])
    model, batches = batches_of(objects, "gpt2")
    model = copy.deepcopy(model)
    always = np.array([0, 9e9, 0, 0, 9e9, 0, 0, 0], np.float32)
    routers = {name: array * 0 for name, array in tensors.items() if name.endswith("router.weight")}
    routers |= {name.replace("weight", "bias"): always for name in routers}
    moe.attach(model, tensors | routers, facts)
    expected = answers(model, **batches[0])
    for module in model.modules():
        if isinstance(module, moe.ExpertsIn | moe.ExpertsOut):
            module.weight.data[[0, 2, 3, 5, 6, 7]] = torch.nan
    assert torch.equal(answers(model, **batches[0]), expected)


def test_facts_and_models_that_have_no_such_experts_are_refused(objects):
    tensors, facts, _ = stored_in(objects, record_of(objects, "bert")["levels"][2])
    model = batches_of(objects, "bert")[0]
    not_experts = (0, 1, -2, 5, 64, 8.0, True, None, "8", [8])
    for other, wrong, says in (
        *((model, {"experts": n}, "32 neurons .* allowed: 2, 4, 8, 16, 32") for n in not_experts),
        *((model, {"run": n}, "allowed are 1 to 8") for n in (0, 9, -1, 2.0, True, None, "2")),
        (model, {"router": "Learned"}, "Did you mean 'learned'"),
        *((model, {"router": wrong}, "unknown router") for wrong in (["learned"], None)),
        (model, {"experts": 4, "run": 2}, r"takes a weight \(4, 16\)"),
        (architectures.model("Llama"), {}, "gated"),
        (architectures.model("OPT"), {}, "'opt'"),
    ):
        with pytest.raises(RequestError, match=rf"^[^\n]*{says}[^\n]*$"):
            moe.attach(other, tensors, facts | wrong)
    weight, bias = (f"bert.encoder.layer.0.router.{of}" for of in PARTS)
    for damage in (
        {weight: None, bias: None}, {weight: None}, {weight: tensors[weight].T},
        {"bert.encoder.layer.7.router.weight": tensors[weight]},
        {bias: tensors[bias] * np.nan}, {bias: None, "router.bias": np.zeros(8, np.float32)},
    ):  # fmt: skip
        damaged = {n: array for n, array in (tensors | damage).items() if array is not None}
        with pytest.raises(RequestError, match="router"):
            moe.attach(model, damaged, facts)
    with pytest.raises(RequestError):
        moe.attach(model, tensors, {"kind": "moe"})


def test_wrong_requests_and_models_that_are_no_longer_dense_are_refused(objects):
    def broken(folder):
        tensors = load_file(folder / "model.safetensors")
        tensors["bert.encoder.layer.1.output.dense.weight"][0, 0] = np.nan
        save_file(tensors, folder / "model.safetensors")

    with pytest.raises(RequestError, match=r"32, 48 neurons .* allowed: 2, 4, 8, 16$"):
        moefied(objects, "bart", experts=5)
    for wrong, says in (
        ({"run": [2, 9]}, "allowed are 1 to 8"), ({"run": []}, "of 1 to 8"),
        ({"look": {"examples": 3}}, "at least 4"), ({"look": {"task": "chess"}}, "unknown task"),
        (stored(objects, "bert", lambda f: (f / "kept.json").write_text("{}")), "kept.json"),
        (stored(objects, "bert", lambda f: write_alternative(f, "moe", {})), "alternative.json"),
    ):  # fmt: skip
        with pytest.raises(RequestError, match=says):
            moefied(objects, "bert", **wrong)
    with pytest.raises(RunError, match="NaN"):
        moefied(objects, "bert", **stored(objects, "bert", broken))


@every_kind
def test_what_is_observed_are_inputs_and_activations_without_padding_and_so_are_hits(objects, kind):
    model, batches = batches_of(objects, kind)

    gelu, layers = torch.nn.functional.gelu, layers_of(model)
    act = {"sigmoid": torch.sigmoid, "t5": torch.relu}.get(kind, gelu)
    act = functools.partial(gelu, approximate="tanh") if kind == "gpt2" else act
    seen = {key: [] for key in layers}
    observe(model, batches, layers, lambda key, x, h: seen[key].append((x, h)))
    for key, layer in layers.items():
        side = "decoder_attention_mask" if key.startswith("decoder") else "attention_mask"
        real = [batch.get(side, batch["attention_mask"]) for batch in batches]
        assert sum(len(x) for x, _ in seen[key]) == sum(int(mask.sum()) for mask in real)
        x, h = (torch.cat(parts) for parts in zip(*seen[key], strict=True))
        into = matrices(model, [layer.into])[0]
        bias = dict(into.module.named_parameters()).get("bias")
        close(act(torch.nn.functional.linear(x, into.outputs_first, bias)), h)
    with pytest.raises(RunError, match=rf"{next(iter(layers))} has no activations"):
        observe(model, batches[:0], layers, lambda *_: None)
    # the hit is that of the stored routers on held-out examples
    level, found = record_of(objects, kind)["levels"][2], []
    tensors, _, _ = stored_in(objects, level)
    model = whole(model, tensors)

    def count(key, x, h):
        norms = matrices(model, [layers[key].out])[0].outputs_first.norm(dim=0)
        scores = router_of(layers[key], tensors).scores(x)
        chosen = choice(scores, 2) & choice(masses(h, norms, EXPERTS), 2)
        found.extend(chosen.sum(dim=1).tolist())

    observe(model, held_out(batches)[1], layers, count)
    assert level["hit"] == pytest.approx(sum(found) / (2 * len(found)), abs=2 / len(found))
