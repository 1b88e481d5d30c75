"""Which kernel is chosen, from seconds that the tests hand out: margin, memory and its keys."""

import json

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from analysis.execution import choice
from analysis.execution.choice import MARGIN, Chooser, always
from analysis.execution.csr import Csr
from analysis.execution.products import DENSE, SEMI_STRUCTURED, TILED_CSR, TORCH_CSR

MATRIX = Csr.of(torch.eye(8, 16))
FAST = {DENSE: 2.0, TORCH_CSR: 3.0, TILED_CSR: 1.0}


@pytest.fixture
def measured(monkeypatch):
    """What is measured (seconds by kernel, to be set), and of what: `calls`."""

    class Measured:
        def __init__(self):
            self.seconds, self.calls = FAST, []

        def __call__(self, matrix, bias, tokens):
            self.calls.append((matrix, bias, tokens))
            return dict(self.seconds)

    fake = Measured()
    monkeypatch.setattr(choice, "_measured", fake)
    return fake


# ---------------------------------------------------------------- the fastest, by a margin


@pytest.mark.parametrize(
    ("seconds", "chosen"),
    [
        (FAST, TILED_CSR),
        ({**FAST, TORCH_CSR: 0.5}, TORCH_CSR),
        ({DENSE: 1.0, TORCH_CSR: 2.0, TILED_CSR: 3.0}, DENSE),
        ({DENSE: 1.0, TILED_CSR: MARGIN - 0.01}, TILED_CSR),
        ({DENSE: 1.0, TILED_CSR: MARGIN}, DENSE),
        ({DENSE: 1.0, TILED_CSR: 0.99, TORCH_CSR: 0.98}, DENSE),
        ({DENSE: 1.0, TILED_CSR: 1.0}, DENSE),
        ({DENSE: 1.0}, DENSE),
        ({DENSE: 0.0, TILED_CSR: 0.0}, DENSE),
    ],
)
def test_the_fastest_is_chosen_unless_dense_is_hardly_slower(measured, seconds, chosen):
    measured.seconds = seconds
    assert Chooser()(MATRIX, None, 4) == chosen


@given(
    dense=st.floats(1e-6, 10),
    others=st.dictionaries(st.sampled_from([TORCH_CSR, TILED_CSR]), st.floats(1e-6, 10)),
)
def test_what_is_chosen_is_never_slower_than_dense(dense, others):
    seconds = {DENSE: dense, **others}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(choice, "_measured", lambda matrix, bias, tokens: seconds)
        chosen = Chooser()(MATRIX, None, 4)
    assert seconds[chosen] <= dense
    assert chosen == DENSE or seconds[chosen] == min(seconds.values()) < MARGIN * dense


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("bias", [None, torch.ones(8)])
def test_every_kernel_that_is_possible_is_really_measured(dtype, bias):
    matrix = Csr.of(torch.eye(8, 16, dtype=dtype))
    seconds = Chooser().seconds(matrix, None if bias is None else bias.to(dtype), 3)
    assert list(seconds) == choice.possible(matrix)
    assert all(taken > 0 for taken in seconds.values())


# ---------------------------------------------------------------- what is one measurement


def test_alike_matrices_are_measured_once(measured):
    chooser = Chooser()
    other = Csr.of(torch.eye(8, 16).flip(0))
    for matrix in (MATRIX, MATRIX, other):
        assert chooser(matrix, None, 4) == TILED_CSR
    assert measured.calls == [(MATRIX, None, 4)]


def test_densities_within_a_step_are_one_and_others_are_not(measured):
    chooser = Chooser()
    for kept in (512, 500, 256, 250, 181, 180, 128):  # of 1,024
        weight = torch.zeros(1024)
        weight[:kept] = 1
        chooser(Csr.of(weight.reshape(32, 32)), None, 4)
    assert [matrix.values.numel() for matrix, *_ in measured.calls] == [512, 256, 181, 128]


@pytest.mark.parametrize(
    ("matrix", "bias", "tokens"),
    [
        (MATRIX, None, 5),
        (MATRIX, torch.ones(8), 4),
        (Csr.of(torch.eye(16, 8)), None, 4),
        (Csr.of(torch.ones(8, 16)), None, 4),
        (Csr.of(torch.zeros(8, 16)), None, 4),
        (Csr.of(torch.eye(8, 16, dtype=torch.float64)), None, 4),
    ],
    ids=["tokens", "bias", "shape", "density", "nothing", "type"],
)
def test_what_decides_the_time_is_another_measurement(measured, matrix, bias, tokens):
    chooser = Chooser()
    chooser(MATRIX, None, 4)
    chooser(matrix, bias, tokens)
    assert len(measured.calls) == 2


@pytest.mark.parametrize("changed", ["threads", "machine", "torch", "code"])
def test_other_conditions_are_another_measurement(measured, monkeypatch, changed):
    chooser = Chooser()
    chooser(MATRIX, None, 4)
    if changed == "threads":
        threads = torch.get_num_threads()
        monkeypatch.setattr(torch, "get_num_threads", lambda: threads + 1)
    elif changed == "machine":
        monkeypatch.setattr(choice.machine, "identity", lambda: {"processor": "another"})
    elif changed == "torch":
        monkeypatch.setattr(torch, "__version__", "0.0")
    else:
        monkeypatch.setattr(choice.code, "digest", lambda modules: "another")
    choice._code.cache_clear()
    chooser(MATRIX, None, 4)
    choice._code.cache_clear()
    assert len(measured.calls) == 2


# ---------------------------------------------------------------- the memory


def test_what_was_measured_is_remembered_beyond_the_process(measured, tmp_path):
    memory = tmp_path / "new" / "folder" / "kernels.json"
    assert Chooser(memory)(MATRIX, None, 4) == TILED_CSR
    measured.seconds = {DENSE: 1.0}
    assert Chooser(memory)(MATRIX, None, 4) == TILED_CSR
    assert Chooser(memory).seconds(MATRIX, None, 4) == FAST
    assert len(measured.calls) == 1
    assert list(memory.parent.iterdir()) == [memory]


def test_without_a_memory_another_chooser_measures_again(measured):
    for _ in range(2):
        Chooser()(MATRIX, None, 4)
    assert len(measured.calls) == 2


def test_two_choosers_of_one_memory_keep_each_others_measurements(measured, tmp_path):
    memory = tmp_path / "kernels.json"
    one, other = Chooser(memory), Chooser(memory)
    one(MATRIX, None, 4)
    other(MATRIX, None, 5)
    later = Chooser(memory)
    for tokens in (4, 5):
        later(MATRIX, None, tokens)
    assert len(measured.calls) == 2


@pytest.mark.parametrize(
    "content",
    [
        *(b"", b"{", b"null", b"[]", b"3", b'"text"', b"\xff\xfe\x00", b"\0" * 100),
        b"[" * 100_000,
    ],
    ids=lambda content: repr(content[:8]),
)
def test_a_damaged_memory_is_ignored_and_replaced(measured, tmp_path, content):
    memory = tmp_path / "kernels.json"
    memory.write_bytes(content)
    assert Chooser(memory)(MATRIX, None, 4) == TILED_CSR
    assert len(measured.calls) == 1
    assert Chooser(memory)(MATRIX, None, 4) == TILED_CSR
    assert len(measured.calls) == 1


@pytest.mark.parametrize(
    "seconds",
    [
        *(None, 3, "fast", [], {}, {TILED_CSR: 1.0}, {DENSE: None}, {DENSE: "1"}),
        {DENSE: 2.0, "a kernel of tomorrow": 1.0},
        {DENSE: 2.0, TILED_CSR: float("nan")},
        {DENSE: 2.0, TILED_CSR: float("-inf")},
        {DENSE: 2.0, TILED_CSR: -1.0},
        {DENSE: 2.0, TILED_CSR: {}},
    ],
    ids=str,
)
def test_a_damaged_entry_is_measured_again(measured, tmp_path, seconds):
    memory = tmp_path / "kernels.json"
    Chooser(memory)(MATRIX, None, 4)
    (key,) = json.loads(memory.read_text())
    memory.write_text(json.dumps({key: seconds, "another": FAST}))
    assert Chooser(memory)(MATRIX, None, 4) == TILED_CSR
    assert len(measured.calls) == 2
    assert json.loads(memory.read_text()) == {key: FAST, "another": FAST}


def test_a_memory_that_cannot_be_written_or_read_is_done_without(measured, tmp_path):
    (tmp_path / "file").write_text("")
    for memory in (tmp_path, tmp_path / "file" / "kernels.json"):
        chooser = Chooser(memory)
        for _ in range(2):
            assert chooser(MATRIX, None, 4) == TILED_CSR
    assert len(measured.calls) == 2


# ---------------------------------------------------------------- always


@pytest.mark.parametrize("kernel", [DENSE, TORCH_CSR, TILED_CSR])
def test_always_is_that_kernel(kernel):
    assert always(kernel)(MATRIX, None, 4) == kernel


@pytest.mark.parametrize(
    ("kernel", "dtype"),
    [
        (SEMI_STRUCTURED, torch.float32),
        (SEMI_STRUCTURED, torch.float16),
        (TILED_CSR, torch.float64),
        (TORCH_CSR, torch.bfloat16),
        ("no kernel", torch.float32),
    ],
)
def test_always_is_dense_where_that_kernel_is_impossible(kernel, dtype):
    assert always(kernel)(Csr.of(torch.eye(64, 64, dtype=dtype)), None, 4) == DENSE
