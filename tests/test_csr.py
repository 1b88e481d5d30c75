"""A matrix in CSR is the matrix, and which kernels it can be multiplied by."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis.errors import RequestError
from analysis.execution import products, semi_structured
from analysis.execution.csr import Csr


def pruned(rows, columns, density, seed):
    """A matrix of which about that share is not zero."""
    generator = np.random.default_rng(seed)
    dense = generator.standard_normal((rows, columns), dtype=np.float32)
    dense[generator.random((rows, columns)) >= density] = 0
    return torch.from_numpy(dense)


# ---------------------------------------------------------------- the matrix


@given(rows=st.integers(0, 9), columns=st.integers(0, 9), seed=st.integers(0, 99))
def test_csr_keeps_the_matrix(rows, columns, seed):
    dense = pruned(rows, columns, 0.4, seed)
    matrix = Csr.of(dense)
    assert torch.equal(matrix.dense(), dense)
    assert matrix.values.numel() == int((dense != 0).sum())
    assert matrix.density == matrix.values.numel() / max(1, rows * columns)
    assert matrix.bytes == 4 * (rows + 1) + 8 * matrix.values.numel()
    for row in range(rows):
        own = matrix.columns[matrix.pointers[row] : matrix.pointers[row + 1]]
        assert own.tolist() == dense[row].nonzero().flatten().tolist()


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16])
def test_csr_keeps_the_type(dtype):
    dense = torch.eye(3, 5, dtype=dtype)
    assert Csr.of(dense).values.dtype == dtype
    assert torch.equal(Csr.of(dense).dense(), dense)


def test_more_non_zeros_than_32_bits_count_are_refused_in_one_line(monkeypatch):
    monkeypatch.setattr("analysis.execution.csr._MOST", 5)
    Csr.of(torch.ones(1, 5))
    with pytest.raises(
        RequestError, match=r"2 x 3 has over 5 non-zeros.* leave it dense"
    ) as caught:
        Csr.of(torch.ones(2, 3))
    assert "\n" not in str(caught.value)


# ---------------------------------------------------------------- what is possible


@pytest.mark.parametrize(
    ("dtype", "kernels_of_it"),
    [
        (torch.float32, [products.DENSE, products.TORCH_CSR, products.TILED_CSR]),
        (torch.float64, [products.DENSE, products.TORCH_CSR]),
        (torch.bfloat16, [products.DENSE]),
        (torch.float16, [products.DENSE]),
    ],
)
def test_which_kernels_a_cpu_has_for_a_type(dtype, kernels_of_it):
    assert products.possible(Csr.of(torch.eye(64, 64, dtype=dtype))) == kernels_of_it


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_no_cpu_has_cores_for_2_of_4(dtype):
    matrix = Csr.of(torch.tensor([1.0, 1, 0, 0], dtype=dtype).repeat(64, 16))
    assert semi_structured.follows_pattern(matrix)
    assert not semi_structured.possible(matrix)


@settings(max_examples=300)
@given(
    rows=st.integers(0, 4),
    columns=st.integers(0, 13),
    density=st.sampled_from([0.0, 0.2, 0.45, 0.7, 1.0]),
    seed=st.integers(0, 2**16),
)
def test_a_pattern_is_followed_if_no_four_neighbours_keep_three(rows, columns, density, seed):
    dense = pruned(rows, columns, density, seed)
    fours = [row[start : start + 4] for row in dense.tolist() for start in range(0, columns, 4)]
    expected = all(np.count_nonzero(four) <= 2 for four in fours)
    assert semi_structured.follows_pattern(Csr.of(dense)) is expected
