"""Sparse products and layers against float64: in any shape, on any threads, within their arrays."""

import copy
import ctypes
import itertools
import math
import mmap
import multiprocessing
import pickle
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from unittest.mock import Mock

import numpy as np
import pytest
import torch
from calibrations import refused
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from transformers.pytorch_utils import Conv1D

from analysis.errors import RequestError, RunError
from analysis.execution import kernels, pool, semi_structured
from analysis.execution.csr import Csr
from analysis.execution.layers import SparseLinear
from analysis.execution.products import DENSE, SPARSE, TILED_CSR, TORCH_CSR

# torch says so once a process, and pytest has put the filter of the code aside
SAID = "ignore:Sparse CSR tensor support"
pytestmark = [pytest.mark.usefixtures("one_thread"), pytest.mark.filterwarnings(SAID)]
KERNELS = [TORCH_CSR, TILED_CSR]
EVERY = [DENSE, *KERNELS]
EDGES = st.sampled_from([1, 2, *(n + d for n in (16, 32, 64, 128, 256) for d in (-1, 0, 1))])
SIZES = EDGES | st.integers(1, 300)
DENSITIES = st.sampled_from([0.0, 0.01, 0.1, 0.45, 0.7, 1.0])
EMPTY = {"none": [], "first": 0, "last": -1, "every other": slice(None, None, 2)}
IN, OUT = 20, 33  # features of a layer


def on_threads(*counts):
    """torch on so many threads, one count after another, and then on one."""
    for count in counts:
        torch.set_num_threads(count)
        yield count
    torch.set_num_threads(1)


def numbers(seed, *shape, density=1.0):
    """Random float32 of which about that share is not zero; all, or nothing, at 1 and 0."""
    generator = np.random.default_rng(seed)
    made = generator.standard_normal(shape, dtype=np.float32)
    made[generator.random(shape) >= density] = 0
    return made


def product(kernel, dense, bias=None):
    made = None if bias is None else torch.from_numpy(bias)
    return SPARSE[kernel](Csr.of(torch.from_numpy(dense)), made)


def assert_right(out, dense, bias, x):
    """out is x Wᵀ + bias but for the rounding that float32 sums of that many terms may have."""
    bias = np.zeros(len(dense)) if bias is None else bias
    dense, bias, x = (np.asarray(array, np.float64) for array in (dense, bias, x))
    terms, epsilon = (dense != 0).sum(axis=1) + 2, 2.0**-24
    bound = terms * epsilon * (np.abs(x) @ np.abs(dense).T + np.abs(bias))
    out = np.asarray(out)
    assert (out.shape, out.dtype) == (bound.shape, np.float32)
    assert (np.abs(out - (x @ dense.T + bias)) <= bound).all()


def check(kernel, dense, bias, x):
    x = torch.as_tensor(x)
    assert_right(product(kernel, dense, bias)(x), dense, bias, x)


@given(st.integers(0, 9), st.integers(0, 13), DENSITIES, st.integers(0, 2**16))
def test_csr_keeps_the_matrix_and_knows_whether_no_four_neighbours_keep_three(
    rows, columns, density, seed
):
    dense = numbers(seed, rows, columns, density=density)
    found = Csr.of(torch.from_numpy(dense))
    assert torch.equal(found.dense(), torch.from_numpy(dense))
    assert found.values.numel() == np.count_nonzero(dense)
    assert found.density == found.values.numel() / max(1, rows * columns)
    assert found.bytes == 4 * (rows + 1) + 8 * found.values.numel()
    for row in range(rows):
        own = found.columns[found.pointers[row] : found.pointers[row + 1]]
        assert own.tolist() == dense[row].nonzero()[0].tolist()
    fours = [row[start : start + 4] for row in dense for start in range(0, columns, 4)]
    expected = all(np.count_nonzero(four) <= 2 for four in fours)
    assert semi_structured.follows_pattern(found) is expected


def test_more_non_zeros_than_32_bits_count_are_refused(monkeypatch):
    monkeypatch.setattr("analysis.execution.csr._MOST", 5)
    Csr.of(torch.ones(1, 5))
    said = refused(RequestError, Csr.of, torch.ones(2, 3))
    assert said.startswith("a matrix of 2 x 3 has over 5 non-zeros")


@settings(max_examples=120)
@given(SIZES, SIZES, EDGES, DENSITIES, st.sampled_from([*EMPTY]), st.booleans(), st.integers(0))
def test_any_shape_is_as_in_float64(tokens, rows, columns, density, empty, biased, seed):
    dense = numbers(seed, rows, columns, density=density)
    dense[EMPTY[empty]] = 0
    bias = numbers([seed, 1], rows) if biased else None
    for _ in on_threads(1, 2):
        for kernel in KERNELS:
            check(kernel, dense, bias, numbers([seed, 2], tokens, columns))


def test_layers_of_true_width_are_as_in_float64():
    """The tile is the narrower the longer a row is, so that a cache holds it."""
    wide = [(17, width, 40) for width in (1600, 4096, 13_000)]
    for rows, width, tokens in [(768, 3072, 1), (768, 3072, 129), *wide]:
        dense, x = numbers(0, rows, width, density=0.1), numbers(1, tokens, width)
        for _ in on_threads(1, 2):
            for kernel in KERNELS:
                check(kernel, dense, numbers(2, rows), x)


def test_numbers_at_the_edges_go_where_their_column_is_kept_and_nowhere_else():
    edges = [np.inf, -np.inf, np.nan, np.float32(3e38), np.float32(1e-45), -0.0]
    for kernel, number in itertools.product(KERNELS, edges):
        x = np.ones((20, 5), np.float32)
        x[3, 2] = number
        out = product(kernel, np.eye(5, dtype=np.float32))(torch.from_numpy(x))
        np.testing.assert_array_equal(out, x, err_msg=f"{kernel}: {number}")
        dense = np.zeros((3, 4), np.float32)
        dense[1, 2] = number
        out = product(TILED_CSR, dense)(torch.ones(2, 4))
        np.testing.assert_array_equal(out, [[0, dense[1, 2], 0]] * 2)


def test_a_side_of_nothing_gives_the_bias_or_nothing():
    for tokens, rows, columns in [(0, 5, 4), (3, 0, 4), (3, 5, 0)]:
        made = product(TILED_CSR, np.ones((rows, columns), np.float32), np.ones(rows, np.float32))
        for _ in on_threads(1, 2):
            out = made(torch.ones(tokens, columns))
            assert torch.equal(out, torch.full((tokens, rows), 1.0 + columns))


def test_x_and_bias_may_lie_in_any_order_and_other_types_be_the_default():
    dense, x = numbers(0, 40, 30, density=0.2), torch.from_numpy(numbers(1, 33, 30))
    wide, late = torch.full((33, 90), torch.nan), torch.full((34, 35), torch.nan)
    wide[:, 1::3], late[1:, 5:] = x, x
    turned, one_again = x.t().contiguous().t(), torch.arange(30.0).expand(70, 30)
    torch.set_default_dtype(torch.float16)
    try:
        for lying in (turned, wide[:, 1::3], late[1:, 5:], one_again):
            assert not lying.is_contiguous()
            for kernel in KERNELS:
                check(kernel, dense, numbers(2, 120)[::3], lying)
    finally:
        torch.set_default_dtype(torch.float32)


def guarded(array, at_end):
    """A copy at the end or the start of its pages, while those before and after are forbidden."""
    page = mmap.PAGESIZE
    pages = -(-max(1, array.nbytes) // page)
    raw = np.frombuffer(mmap.mmap(-1, (pages + 2) * page), np.uint8)
    for number in (0, pages + 1):
        place = ctypes.c_void_p(raw.ctypes.data + number * page)
        assert ctypes.CDLL(None).mprotect(place, ctypes.c_size_t(page), 0) == 0
    start = page + (pages * page - array.nbytes if at_end else 0)
    copied = raw[start : start + array.nbytes].view(array.dtype).reshape(array.shape)
    copied[...] = array
    return copied


def multiply_between_guards():
    pool._gnu_openmp = lambda: None  # its threads do not survive the fork
    pool._parallel.cache_clear()
    sides, counts = [(1, 1), (16, 16), (17, 15), (130, 33)], (1, 15, 16, 17, 40, 127, 128, 129)
    for threads, tokens, (rows, columns), at_end in itertools.product(
        on_threads(1, 2), counts, sides, (False, True)
    ):
        dense = numbers(tokens, rows, columns, density=0.5)
        dense[-1, -1] = 1
        matrix, bias = Csr.of(torch.from_numpy(dense)), numbers(1, rows)
        x = numbers(2, tokens, columns)
        given = [matrix.pointers.numpy(), matrix.columns.numpy(), matrix.values.numpy(), bias, x]
        arrays = [guarded(a, at_end) for a in (*given, np.zeros((tokens, rows), np.float32))]
        kernels.multiply(*arrays, threads)
        assert_right(arrays[-1], dense, bias, x)
        for array, was in zip(arrays, given, strict=False):
            np.testing.assert_array_equal(array, was)


@pytest.mark.skipif(sys.platform != "linux", reason="forbids pages by mprotect")
def test_nothing_outside_the_arrays_is_read_or_written():
    child = multiprocessing.get_context("fork").Process(target=multiply_between_guards)
    child.start()
    child.join(timeout=300)
    child.kill()
    assert child.exitcode == 0


def calls_at_once(callers, rounds):
    """So many Python threads, each with a matrix and an input of its own, all at once."""
    start = threading.Barrier(callers)

    def call(caller):
        dense = numbers(caller, 200 + caller, 100, density=0.2)
        made = product(TILED_CSR, dense)
        start.wait(timeout=60)
        for i in range(rounds):
            x = numbers([caller, i], 1 + 37 * i % 140, 100)
            assert_right(made(torch.from_numpy(x)), dense, None, x)

    with ThreadPoolExecutor(callers) as executor:
        list(executor.map(call, range(callers)))


def test_any_number_of_threads_gives_the_same_and_python_may_have_several():
    made, x = product(TILED_CSR, numbers(0, 333, 222, density=0.1)), numbers(1, 300, 222)
    found = [made(torch.from_numpy(x)) for _ in on_threads(1, 2, 3, 8)]
    assert all(torch.equal(one, found[0]) for one in found)
    for _ in on_threads(1, 2):
        calls_at_once(callers=2, rounds=30)


def test_without_gnu_openmp_threads_of_ours_do_the_work(monkeypatch):
    """As where a process cannot be asked which libraries it has loaded."""
    monkeypatch.setattr(pool.Path, "read_text", Mock(side_effect=FileNotFoundError))
    pool._parallel.cache_clear()
    try:
        assert pool.kind() == "threads of its own"
        for _ in on_threads(1, 2, 5):
            for tokens in (1, 16, 129):
                check(TILED_CSR, numbers(0, 300, 50, density=0.3), None, numbers(1, tokens, 50))
            calls_at_once(callers=3, rounds=10)
    finally:
        pool._parallel.cache_clear()


def pruned(kind=nn.Linear, bias=True):
    """A layer of 20 features to 33, a tenth of its weights kept."""
    layer = Conv1D(OUT, IN) if kind is Conv1D else nn.Linear(IN, OUT, bias=bias)
    layer.weight.data = torch.from_numpy(numbers(0, *layer.weight.shape, density=0.1))
    if bias:
        layer.bias.data = torch.from_numpy(numbers(1, OUT))
    return layer.requires_grad_(False)


def sparse(layer, *kernel, plan=None):
    """The layer from its non-zeros, by that kernel for any number of tokens or by a plan."""
    turned = type(layer) is Conv1D
    weight = layer.weight.t() if turned else layer.weight
    return SparseLinear(Csr.of(weight), layer.bias, plan or {1: kernel[0]}, turned)


def test_any_batch_shape_gives_what_the_dense_layer_gives():
    shapes = [(), (1,), (17,), (2, 3), (4, 1, 5), (0,), (2, 0), (0, 7, 3)]
    layers = [pruned(), pruned(Conv1D), pruned(bias=False), pruned().double()]
    for layer, kernel, batch in itertools.product(layers, EVERY, shapes):
        if layer.weight.dtype == torch.float32 or kernel != TILED_CSR:
            x, made = torch.randn(*batch, IN, dtype=layer.weight.dtype), sparse(layer, kernel)
            out, expected, before = made(x), layer(x), x.clone()
            torch.testing.assert_close(out, expected)
            assert torch.equal(x, before)
            assert (made.bias is None) == (layer.bias is None)
            # what architectures ask a layer
            assert (made.in_features, made.out_features, made.nx, made.nf) == (IN, OUT, IN, OUT)
            assert (made.weight.dtype, made.weight.device.type) == (x.dtype, "cpu")
            assert "20 to 33" in repr(made)
            size, kept = x.itemsize, int(layer.weight.count_nonzero())
            dense = layer.weight.nbytes if kernel == DENSE else 0
            assert made.bytes == 4 * (OUT + 1) + (4 + size) * kept + dense


@given(
    st.dictionaries(st.integers(1, 5000), st.sampled_from(EVERY), min_size=1, max_size=5),
    st.integers(1, 5000),
)
def test_a_number_of_tokens_goes_by_the_nearest_in_proportion(plan, tokens):
    kernel = sparse(pruned(), plan=plan).kernel(tokens)
    off = {count: max(count / tokens, tokens / count) for count in plan}
    assert kernel in {plan[count] for count in plan if math.isclose(off[count], min(off.values()))}


def test_all_leading_axes_together_are_the_tokens():
    plan = {1: TORCH_CSR, 64: TILED_CSR}
    layer, asked = sparse(pruned(), plan=plan), []
    plan.clear()  # the layer has its own
    kernel = layer.kernel
    layer.kernel = lambda tokens: asked.append(tokens) or kernel(tokens)
    for batch in ((), (8, 8), (8, 8), (2, 3, 4)):
        layer(torch.randn(*batch, IN))
    assert asked == [1, 64, 24]


def test_training_other_types_widths_and_devices_are_refused():
    layer, trained = pruned(), torch.randn(5, IN, requires_grad=True)
    says = "cannot be trained; call the model within torch.inference_mode()"
    for made in (sparse(layer, kernel) for kernel in EVERY):
        assert says in refused(RunError, made, trained)
        for context in (torch.no_grad, torch.inference_mode):
            with context():
                torch.testing.assert_close(made(trained), layer(trained))
        for dtype in (torch.float64, torch.float16, torch.bfloat16, torch.int32):
            wrong = f"takes torch.float32 of width 20, not {dtype} of"
            assert wrong in refused(RunError, made, torch.ones(5, IN).to(dtype))
        for shape in ((19,), (40,), (3, 21), (20, 10), (4, 0), (0, 19)):
            assert f"of width {shape[-1]};" in refused(RunError, made, torch.ones(shape))
    model, x = nn.Sequential(sparse(layer, TILED_CSR)), torch.randn(5, IN)
    for place in (torch.float16, torch.float64, torch.bfloat16, "meta"):
        assert "convert it back, move it" in refused(RunError, model.to, place)
    there = model.to("cpu").float().to(torch.float32).cpu()  # is no move
    torch.testing.assert_close(there(x), layer(x))


def test_a_copy_answers_alike_from_memory_of_its_own():
    for way, kind in itertools.product((copy.deepcopy, pickle.dumps), (nn.Linear, Conv1D)):
        layer = sparse(pruned(kind), plan={1: TILED_CSR, 8: TORCH_CSR, 64: DENSE})
        inputs = [torch.randn(count, IN) for count in (1, 8, 64)]
        before, copied = [layer(x) for x in inputs], way(layer)
        copied = pickle.loads(copied) if isinstance(copied, bytes) else copied
        assert (copied.plan, copied.turned, copied.bytes) == (layer.plan, layer.turned, layer.bytes)
        assert layer.bytes == sparse(pruned(kind), DENSE).bytes  # each form is held once
        layer.matrix.values.zero_()
        for x, expected in zip(inputs, before, strict=True):
            assert torch.equal(copied(x), expected)
