"""Sparse products against float64: in any shape, on any threads, within their arrays."""

import contextlib
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import mini
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis.execution import kernels, pool, products
from analysis.execution.csr import Csr

SPARSE = [products.TORCH_CSR, products.TILED_CSR]
TOKENS = [*range(1, 4), 15, 16, 17, 31, 32, 33, 63, 64, 65, 127, 128, 129, 255, 257, 300]
EPSILON = 2.0**-24  # half the distance of float32 to 1's next


@contextlib.contextmanager
def threads(count):
    """torch on so many threads, then on as many as before."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def weights(rows, columns, density, generator):
    """A matrix of which about that share is not zero; all, or nothing, at 1 and 0."""
    dense = generator.standard_normal((rows, columns), dtype=np.float32)
    dense[generator.random((rows, columns)) >= density] = 0
    return dense


def assert_right(out, dense, bias, x):
    """out is x Wᵀ + bias but for the rounding that float32 sums of that many terms may have."""
    dense, x = dense.astype(np.float64), x.astype(np.float64)
    bias = np.zeros(len(dense)) if bias is None else bias.astype(np.float64)
    terms = (dense != 0).sum(axis=1) + 2
    bound = terms * EPSILON * (np.abs(x) @ np.abs(dense).T + np.abs(bias))
    assert out.shape == bound.shape
    assert out.dtype == np.float32
    assert (np.abs(out - (x @ dense.T + bias)) <= bound).all()


def check(kernel, dense, bias, x):
    made = None if bias is None else torch.from_numpy(bias)
    product = products.SPARSE[kernel](Csr.of(torch.from_numpy(dense)), made)
    assert_right(product(torch.from_numpy(x)).numpy(), dense, bias, x)


# ---------------------------------------------------------------- against float64


@pytest.mark.parametrize("kernel", SPARSE)
@settings(max_examples=150)
@given(
    tokens=st.one_of(st.sampled_from(TOKENS), st.integers(1, 300)),
    rows=st.one_of(st.sampled_from([1, 15, 16, 17, 64, 128, 129, 200]), st.integers(1, 260)),
    columns=st.one_of(st.sampled_from([1, 15, 16, 17, 32, 33]), st.integers(1, 150)),
    density=st.sampled_from([0.0, 0.01, 0.1, 0.5, 1.0]),
    empty=st.sampled_from(["none", "first", "last", "every other"]),
    biased=st.booleans(),
    count=st.sampled_from([1, 2]),
    seed=st.integers(0, 2**32 - 1),
)
def test_any_shape_is_as_in_float64(
    kernel, tokens, rows, columns, density, empty, biased, count, seed
):
    generator = np.random.default_rng(seed)
    dense = weights(rows, columns, density, generator)
    dense[{"none": [], "first": 0, "last": -1, "every other": slice(None, None, 2)}[empty]] = 0
    bias = generator.standard_normal(rows, dtype=np.float32) if biased else None
    x = generator.standard_normal((tokens, columns), dtype=np.float32)
    with threads(count):
        check(kernel, dense, bias, x)


@pytest.mark.parametrize("kernel", SPARSE)
@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize("tokens", [1, 17, 129])
def test_a_layer_of_true_width_is_as_in_float64(kernel, count, tokens):
    generator = np.random.default_rng(tokens)
    dense = weights(768, 3072, 0.1, generator)
    x = generator.standard_normal((tokens, 3072), dtype=np.float32)
    with threads(count):
        check(kernel, dense, generator.standard_normal(768, dtype=np.float32), x)


@pytest.mark.parametrize("width", [1600, 4096, 13_000, 210_000])
def test_a_tile_is_narrower_where_a_row_is_too_long_for_the_cache(width):
    generator = np.random.default_rng(0)
    dense = weights(17, width, 0.01, generator)
    x = generator.standard_normal((40, width), dtype=np.float32)
    check(products.TILED_CSR, dense, None, x)


@pytest.mark.parametrize("kernel", SPARSE)
@pytest.mark.parametrize(
    "number", [np.inf, -np.inf, np.nan, np.float32(3e38), np.float32(1e-45), -0.0]
)
def test_numbers_at_the_edges_go_where_their_column_is_kept_and_nowhere_else(kernel, number):
    x = np.ones((20, 5), np.float32)
    x[3, 2] = number
    dense = np.eye(5, dtype=np.float32)
    product = products.SPARSE[kernel](Csr.of(torch.from_numpy(dense)), None)
    np.testing.assert_array_equal(product(torch.from_numpy(x)).numpy(), x)


@pytest.mark.parametrize("number", [np.inf, np.nan])
def test_what_is_no_number_among_the_weights_is_kept(number):
    dense = torch.zeros(3, 4)
    dense[1, 2] = number
    out = products.SPARSE[products.TILED_CSR](Csr.of(dense), None)(torch.ones(2, 4)).numpy()
    np.testing.assert_array_equal(out, [[0, number, 0]] * 2)


@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize("shape", [(0, 5, 4), (3, 0, 4), (3, 5, 0)], ids=["tokens", "rows", "cols"])
def test_a_side_of_nothing_gives_the_bias_or_nothing(count, shape):
    tokens, rows, columns = shape
    product = products.SPARSE[products.TILED_CSR](
        Csr.of(torch.ones(rows, columns)), torch.ones(rows)
    )
    with threads(count):
        out = product(torch.ones(tokens, columns))
    assert torch.equal(out, torch.full((tokens, rows), 1.0 + columns))


def test_the_result_is_the_same_on_any_number_of_threads():
    generator = np.random.default_rng(0)
    matrix = Csr.of(torch.from_numpy(weights(333, 222, 0.1, generator)))
    product = products.SPARSE[products.TILED_CSR](matrix, None)
    x = torch.randn(300, 222, generator=torch.Generator().manual_seed(0))
    with threads(1):
        alone = product(x)
    for count in (2, 3, 8):
        with threads(count):
            assert torch.equal(product(x), alone)


# ---------------------------------------------------------------- memory


def _strided(x):
    """x in memory of several orders, none of them [token, column] row by row."""
    tokens, columns = x.shape
    wide = torch.full((tokens, 3 * columns), torch.nan)
    wide[:, 1::3] = x
    late = torch.full((tokens + 1, columns + 5), torch.nan)
    late[1:, 5:] = x
    return {"turned": x.t().contiguous().t(), "every third": wide[:, 1::3], "inner": late[1:, 5:]}


@pytest.mark.parametrize("kernel", SPARSE)
@pytest.mark.parametrize("order", ["turned", "every third", "inner"])
def test_x_may_lie_in_any_order(kernel, order):
    generator = np.random.default_rng(0)
    dense = weights(40, 30, 0.2, generator)
    x = torch.from_numpy(generator.standard_normal((33, 30), dtype=np.float32))
    given_x = _strided(x)[order]
    assert not given_x.is_contiguous()
    product = products.SPARSE[kernel](Csr.of(torch.from_numpy(dense)), None)
    assert_right(product(given_x).numpy(), dense, None, x.numpy())


def test_the_same_token_again_and_again_takes_no_memory_and_is_right():
    dense = weights(40, 30, 0.2, np.random.default_rng(0))
    x = torch.arange(30.0).expand(70, 30)
    out = products.SPARSE[products.TILED_CSR](Csr.of(torch.from_numpy(dense)), None)(x)
    assert_right(out.numpy(), dense, None, x.numpy())


def test_a_bias_may_lie_in_any_order():
    bias = torch.arange(12.0)[::3]
    out = products.SPARSE[products.TILED_CSR](Csr.of(torch.eye(4)), bias)(torch.zeros(2, 4))
    assert torch.equal(out, bias.expand(2, 4))


def test_the_default_type_of_new_tensors_does_not_matter():
    matrix = Csr.of(torch.eye(20))
    x = torch.rand(20, 20)
    torch.set_default_dtype(torch.float16)
    try:
        out = products.SPARSE[products.TILED_CSR](matrix, None)(x)
    finally:
        torch.set_default_dtype(torch.float32)
    assert out.dtype == torch.float32
    assert torch.equal(out, x)


_BETWEEN_GUARDS = """
import ctypes, mmap, sys
import numpy as np
import torch
from analysis.execution import kernels

PAGE, libc, kept = mmap.PAGESIZE, ctypes.CDLL(None, use_errno=True), []

def guarded(array, at_end):
    # a copy that touches the end or the start of its pages; those before and after are forbidden
    array = np.ascontiguousarray(array)
    pages = -(-max(1, array.nbytes) // PAGE)
    block = mmap.mmap(-1, (pages + 2) * PAGE)
    kept.append(block)
    raw = np.frombuffer(block, np.uint8)
    kept.append(raw)
    for page in (0, pages + 1):
        place = ctypes.c_void_p(raw.ctypes.data + page * PAGE)
        assert libc.mprotect(place, ctypes.c_size_t(PAGE), 0) == 0
    start = PAGE + (pages * PAGE - array.nbytes if at_end else 0)
    copy = raw[start : start + array.nbytes].view(array.dtype).reshape(array.shape)
    copy[...] = array
    return copy

generator = np.random.default_rng(0)
for count in (1, 2):
    torch.set_num_threads(count)
    for tokens in (1, 15, 16, 17, 40, 127, 128, 129):
        for rows, columns in ((1, 1), (16, 16), (17, 15), (130, 33)):
            for at_end in (False, True):
                dense = generator.standard_normal((rows, columns)).astype(np.float32)
                dense[generator.random(dense.shape) < 0.5] = 0
                dense[-1, -1] = 1
                pointers = np.r_[0, (dense != 0).sum(axis=1).cumsum()].astype(np.int32)
                x = generator.standard_normal((tokens, columns)).astype(np.float32)
                arrays = [
                    guarded(each, at_end)
                    for each in (
                        pointers, np.nonzero(dense)[1].astype(np.int32), dense[dense != 0],
                        np.ones(rows, np.float32), x, np.zeros((tokens, rows), np.float32),
                    )
                ]
                before = [array.copy() for array in arrays[:-1]]
                kernels.multiply(*arrays, count)
                np.testing.assert_allclose(arrays[-1], x @ dense.T + 1, atol=1e-4)
                for array, was in zip(arrays, before):
                    np.testing.assert_array_equal(array, was)
print("whole")
"""


@pytest.mark.skipif(sys.platform != "linux", reason="forbids pages by mprotect")
def test_nothing_outside_the_arrays_is_read_or_written():
    ran = subprocess.run(
        [sys.executable, "-c", _BETWEEN_GUARDS],
        env=mini.environment_for(), capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert (ran.returncode, ran.stdout) == (0, "whole\n"), ran.stderr


@settings(max_examples=60)
@given(
    tokens=st.sampled_from(TOKENS),
    rows=st.integers(1, 150),
    columns=st.integers(1, 40),
    before=st.integers(0, 40),
    after=st.integers(1, 40),
    count=st.sampled_from([1, 2]),
)
def test_elements_around_out_stay(tokens, rows, columns, before, after, count):
    matrix = Csr.of(torch.ones(rows, columns))
    around = np.full(before + tokens * rows + after, np.float32(7))
    out = around[before : before + tokens * rows].reshape(tokens, rows)
    with threads(count):
        kernels.multiply(
            matrix.pointers.numpy(), matrix.columns.numpy(), matrix.values.numpy(),
            np.zeros(rows, np.float32), np.ones((tokens, columns), np.float32), out, count,
        )  # fmt: skip
    assert (out == columns).all()
    assert (around[:before] == 7).all()
    assert (around[before + out.size :] == 7).all()


# ---------------------------------------------------------------- threads


def _calls_at_once(callers, rounds):
    """So many Python threads, each with a matrix and an input of its own, all at once."""
    start = threading.Barrier(callers)

    def call(caller):
        generator = np.random.default_rng(caller)
        dense = weights(200 + caller, 100, 0.2, generator)
        product = products.SPARSE[products.TILED_CSR](Csr.of(torch.from_numpy(dense)), None)
        start.wait(timeout=60)
        for i in range(rounds):
            x = generator.standard_normal((1 + 37 * i % 140, 100), dtype=np.float32)
            assert_right(product(torch.from_numpy(x)).numpy(), dense, None, x)

    with ThreadPoolExecutor(callers) as executor:
        list(executor.map(call, range(callers)))


@pytest.mark.parametrize("count", [1, 2])
def test_calls_from_several_python_threads_are_right(count):
    with threads(count):
        _calls_at_once(callers=2, rounds=30)


@pytest.fixture
def own_threads(monkeypatch):
    """The pool as it is where torch's threads are not GNU's."""
    monkeypatch.setattr(pool, "_gnu_openmp", lambda: None)
    pool._parallel.cache_clear()
    yield
    pool._parallel.cache_clear()


@pytest.mark.parametrize("count", [1, 2, 5])
def test_without_gnu_openmp_threads_of_ours_do_the_work(own_threads, count):
    generator = np.random.default_rng(0)
    dense = weights(300, 50, 0.3, generator)
    with threads(count):
        for tokens in (1, 16, 129):
            x = generator.standard_normal((tokens, 50), dtype=np.float32)
            check(products.TILED_CSR, dense, None, x)
        _calls_at_once(callers=3, rounds=10)
        assert (pool._parallel() is pool._on_own_threads) is True


def test_where_a_process_cannot_be_asked_for_its_libraries_there_is_no_gnu_openmp(monkeypatch):
    def refuse(self, encoding):
        raise FileNotFoundError(self)

    monkeypatch.setattr(pool.Path, "read_text", refuse)
    assert pool._gnu_openmp() is None
