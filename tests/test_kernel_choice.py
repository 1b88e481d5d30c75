"""Which kernel is chosen, from seconds that the tests hand out: margin, memory and its keys."""

import functools
import json
import random
from types import SimpleNamespace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from analysis.execution import choice
from analysis.execution.choice import Chooser, always, unsettled
from analysis.execution.contest import Times, decide, measure
from analysis.execution.csr import Csr
from analysis.execution.products import DENSE, SEMI_STRUCTURED, TILED_CSR, TORCH_CSR, possible

pytestmark = pytest.mark.filterwarnings("ignore:Sparse CSR tensor support")

MATRIX = Csr.of(torch.eye(8, 16))
FAST = {DENSE: 2.0, TORCH_CSR: 3.0, TILED_CSR: 1.0}


@pytest.fixture
def measured(monkeypatch):
    """What is measured (`seconds` by kernel, to be set), and of what: `calls`."""
    found = SimpleNamespace(seconds=FAST, calls=[])

    def measure(*call):
        found.calls.append(call)
        return {name: Times(seconds, seconds) for name, seconds in found.seconds.items()}

    monkeypatch.setattr(choice, "_measured", measure)
    return found


def test_the_fastest_is_chosen_unless_dense_is_hardly_slower(measured):
    for seconds, chosen in (
        (FAST, TILED_CSR), ({**FAST, TORCH_CSR: 0.5}, TORCH_CSR),
        ({DENSE: 1.0, TORCH_CSR: 2.0, TILED_CSR: 3.0}, DENSE),
        ({DENSE: 1.0, TILED_CSR: 0.79}, TILED_CSR), ({DENSE: 1.0, TILED_CSR: 0.8}, DENSE),
        ({DENSE: 1.0, TILED_CSR: 0.99, TORCH_CSR: 0.98}, DENSE),
        ({DENSE: 1.0}, DENSE), ({DENSE: 0.0, TILED_CSR: 0.0}, DENSE),
        ({DENSE: 1.0, TORCH_CSR: 0.5, TILED_CSR: 0.46}, TORCH_CSR),  # as good as the first of them
        ({DENSE: 1.0, TORCH_CSR: 0.5, TILED_CSR: 0.44}, TILED_CSR),
    ):  # fmt: skip
        measured.seconds = seconds
        assert Chooser()(MATRIX, None, 4) == chosen, seconds


def test_every_kernel_that_is_possible_is_really_measured_and_may_always_be_chosen():
    for dtype in (torch.float32, torch.float64, torch.bfloat16):
        matrix = Csr.of(torch.eye(8, 16, dtype=dtype))
        for bias in (None, torch.ones(8, dtype=dtype)):
            seconds = Chooser().seconds(matrix, bias, 3)
            assert list(seconds) == possible(matrix)
            assert all(taken > 0 for taken in seconds.values())
        for kernel in (DENSE, TORCH_CSR, TILED_CSR, SEMI_STRUCTURED, "no kernel"):
            chosen = kernel if kernel in possible(matrix) else DENSE
            assert always(kernel)(matrix, None, 4) == chosen


TIMES = st.lists(st.floats(0.1, 9), min_size=2, max_size=2).map(sorted)


@given(st.lists(TIMES, min_size=2, max_size=4))
def test_no_kernel_is_chosen_whose_times_overlap_the_dense_ones(found):
    times = {str(i): Times(*pair) for i, pair in enumerate(found)}
    best, settled = decide(times)
    dense = times["0"]
    assert best == "0" or times[best].high < 0.8 * dense.low
    if best == "0" and settled:
        assert all(times[name].low >= 0.8 * dense.high for name in times if name != "0")


def run_beside(noise, seed, true):
    """What is chosen of these seconds where so many of the runs take three times as long."""
    chance, now = random.Random(seed), [0.0]

    def run(name):
        now[0] += true[name] * (3 if chance.random() < noise else 1 + 0.02 * chance.random())

    runs = {name: functools.partial(run, name) for name in true}
    return decide(measure(runs, clock=lambda: now[0])), now[0]


def test_beside_noise_the_choice_is_the_same_or_left_open():
    slow = {DENSE: 2e-3, TORCH_CSR: 3e-3, TILED_CSR: 2.1e-3}
    for true, best in ((slow, DENSE), ({**slow, TILED_CSR: 1e-3}, TILED_CSR)):
        quiet = run_beside(0, 0, true)[1]
        assert quiet <= 8.2 * sum(true.values())
        for noise in (0.0, 0.1, 0.3, 0.5):
            for seed in range(60):
                assert run_beside(noise, seed, true)[0] == (best, True), (noise, seed)
        open_ = [run_beside(0.9, seed, true)[0] for seed in range(60)]
        assert {name for name, settled in open_ if settled} <= {best}
    tight = {DENSE: 1e-3, TILED_CSR: 0.8e-3}  # on the very margin
    assert {run_beside(0, seed, tight)[0][0] for seed in range(9)} == {DENSE}


def test_what_is_not_settled_is_left_dense_named_and_not_remembered(monkeypatch, tmp_path):
    memory, wide = tmp_path / "kernels.json", Times(0.5, 3.0)
    monkeypatch.setattr(choice, "_measured", lambda *_: {DENSE: Times(1.0, 3.0), TILED_CSR: wide})
    chooser = Chooser(memory)
    assert chooser(MATRIX, None, 4) == chooser(MATRIX, None, 4) == DENSE
    assert (unsettled(chooser), memory.exists()) == (["8 x 16, 0.062 dense, 4 tokens"], False)
    assert unsettled(always(DENSE)) == []


def test_alike_matrices_are_measured_once_and_so_are_densities_within_a_step(measured):
    chooser = Chooser()
    for matrix in (MATRIX, MATRIX, Csr.of(torch.eye(8, 16).flip(0))):
        assert chooser(matrix, None, 4) == TILED_CSR
    assert measured.calls == [(MATRIX, None, 4)]
    measured.calls.clear()
    for kept in (512, 500, 256, 250, 181, 180, 128):  # of 1,024
        weight = torch.zeros(1024)
        weight[:kept] = 1
        chooser(Csr.of(weight.reshape(32, 32)), None, 4)
    assert [matrix.values.numel() for matrix, *_ in measured.calls] == [512, 256, 181, 128]


def test_what_decides_the_time_is_another_measurement(measured, monkeypatch):
    chooser, matrices = Chooser(), [torch.eye(8, 16), torch.eye(16, 8), torch.ones(8, 16)]
    matrices += [torch.zeros(8, 16), torch.eye(8, 16, dtype=torch.float64)]
    asked = [(Csr.of(matrix), None, 4) for matrix in matrices]
    asked += [(MATRIX, None, 5), (MATRIX, torch.ones(8), 4)]
    for call in asked * 2:
        chooser(*call)
    assert len(measured.calls) == len(asked)
    threads = torch.get_num_threads()
    for place, name, value in (
        *((module, "__version__", "0.0") for module in (torch, choice.numba, choice.llvmlite)),
        (torch, "get_num_threads", lambda: threads + 1),
        (choice.pool, "kind", lambda: "others"),
        (choice.machine, "identity", lambda: {"processor": "another"}),
        (choice.code, "digest", lambda modules: "another"),
    ):
        measured.calls.clear()
        choice._code.cache_clear()
        with monkeypatch.context() as patch:
            patch.setattr(place, name, value)
            chooser(MATRIX, None, 4)
        choice._code.cache_clear()
        chooser(MATRIX, None, 4)
        assert len(measured.calls) == 1, name


def test_what_was_measured_is_remembered_beyond_the_process(measured, tmp_path):
    memory = tmp_path / "new" / "folder" / "kernels.json"
    one, other = Chooser(memory), Chooser(memory)
    assert one(MATRIX, None, 4) == other(MATRIX, None, 5) == TILED_CSR
    measured.seconds = {DENSE: 1.0}
    later = Chooser(memory)  # knows what both have measured
    assert later(MATRIX, None, 4) == later(MATRIX, None, 5) == TILED_CSR
    assert later.seconds(MATRIX, None, 4) == FAST
    assert len(measured.calls) == 2
    assert list(memory.parent.iterdir()) == [memory]
    assert Chooser()(MATRIX, None, 4) == DENSE  # without a memory
    assert len(measured.calls) == 3


def test_a_damaged_memory_is_replaced_and_one_that_cannot_be_written_done_without(
    measured, tmp_path
):
    memory, odd = tmp_path / "kernels.json", (b"\xff\xfe\x00", b"\0" * 100, b"[" * 100_000)
    for content in (b"", b"{", b"null", b"[]", b"3", b'"text"', *odd):
        memory.write_bytes(content)
        measured.calls.clear()
        assert [Chooser(memory)(MATRIX, None, 4) for _ in range(2)] == [TILED_CSR] * 2
        assert len(measured.calls) == 1, content[:8]
    for place in (tmp_path, memory / "kernels.json"):  # a folder, and in no folder
        chooser = Chooser(place)
        assert chooser(MATRIX, None, 4) == chooser(MATRIX, None, 4) == TILED_CSR
    assert len(measured.calls) == 3
    # and a damaged entry is measured again
    (key,) = json.loads(memory.read_text())
    for seconds in (
        *(None, 3, "fast", [], {}, {TILED_CSR: 1.0}, {DENSE: None}, {DENSE: "1"}),
        *({DENSE: 2.0, "a kernel of tomorrow": 1.0}, {DENSE: 2.0, TILED_CSR: {}}),
        *({DENSE: 2.0, TILED_CSR: wrong} for wrong in (float("nan"), float("inf"), -1.0)),
    ):
        memory.write_text(json.dumps({key: seconds, "another": FAST}))
        measured.calls.clear()
        assert Chooser(memory)(MATRIX, None, 4) == TILED_CSR
        assert len(measured.calls) == 1, seconds
        assert json.loads(memory.read_text()) == {key: FAST, "another": FAST}
