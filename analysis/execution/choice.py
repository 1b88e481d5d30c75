"""Which kernel is fastest for a matrix and an input: measured, once per machine.

Two matrices of one shape and nearly one density take about as long: one stands for the other. A
sparse kernel has to take surely less than four fifths of the dense time (`contest.MARGIN`): a
matrix that is measured alone lies in the cache, as within a model it does not, and what is hardly
faster is not worth a second form. Where noise leaves that open, dense is taken, and nothing is
remembered.
"""

import contextlib
import functools
import hashlib
import json
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import llvmlite
import numba
import torch
from torch import Tensor

from analysis.engine import code, files, machine
from analysis.execution import pool
from analysis.execution.contest import Times, decide, measure
from analysis.execution.csr import Csr
from analysis.execution.names import DENSE
from analysis.execution.products import SPARSE, Dense, possible

Choose = Callable[[Csr, Tensor | None, int], str]

_STEPS = 2  # densities told apart, from one to its half


def always(kernel: str) -> Choose:
    """That kernel for every matrix for which it is possible, dense for the others."""

    def choose(matrix: Csr, bias: Tensor | None, tokens: int) -> str:
        return kernel if kernel in possible(matrix) else DENSE

    return choose


class Chooser:
    """Measures the kernels on inputs of so many tokens, and remembers which was fastest.

    memory is a file to remember in beyond this process; it is for this machine, this number of
    threads, these versions and this code. An order that is not settled is never written there.
    """

    def __init__(self, memory: Path | None = None):
        self._memory = memory
        self._known = {key: _exact(seconds) for key, seconds in self._read().items()}
        self.unsettled: list[str] = []  # what was measured in vain

    def __call__(self, matrix: Csr, bias: Tensor | None, tokens: int) -> str:
        return decide(self._times(matrix, bias, tokens))[0]

    def seconds(self, matrix: Csr, bias: Tensor | None, tokens: int) -> dict[str, float]:
        """The seconds of each possible kernel: the fastest of its runs, which taking turns with
        the others had the machine most to itself."""
        return _lowest(self._times(matrix, bias, tokens))

    def _times(self, matrix: Csr, bias: Tensor | None, tokens: int) -> dict[str, Times]:
        density = _rounded(matrix.density)
        key = json.dumps(
            [matrix.shape, density, tokens, bias is not None,
             possible(matrix), *_conditions(matrix)]
        )  # fmt: skip
        if key not in self._known:
            self._known[key] = found = _measured(matrix, bias, tokens)
            if decide(found)[1]:
                self._write(key, _lowest(found))
            else:
                rows, columns = matrix.shape
                self.unsettled.append(f"{rows} x {columns}, {density:.2g} dense, {tokens} tokens")
        return self._known[key]

    def _read(self) -> dict[str, dict[str, float]]:
        if self._memory is None or not self._memory.is_file():  # a pipe would be waited for in vain
            return {}
        try:
            found = json.loads(self._memory.read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError):
            return {}
        items = found.items() if isinstance(found, dict) else ()
        return {key: seconds for key, seconds in items if _plausible(seconds)}

    def _write(self, key: str, seconds: dict[str, float]) -> None:
        if self._memory:
            with contextlib.suppress(OSError):  # a full disk: it is measured again next time
                self._memory.parent.mkdir(parents=True, exist_ok=True)
                files.replace_text(self._memory, json.dumps(self._read() | {key: seconds}))


def unsettled(choose: Choose) -> list[str]:
    """The products for which it could not tell which kernel is fastest, and took the dense one
    unless a sparse one was surely faster."""
    return list(choose.unsettled) if isinstance(choose, Chooser) else []


def _exact(seconds: Mapping[str, float]) -> dict[str, Times]:
    """As they were when the order was settled: the fastest runs tell it alone."""
    return {
        name: Times(seconds[name], seconds[name]) for name in [DENSE, *SPARSE] if name in seconds
    }


def _lowest(times: Mapping[str, Times]) -> dict[str, float]:
    return {name: found.low for name, found in times.items()}


def _plausible(seconds: Any) -> bool:
    """Whether what a file says of a key can be what was written there."""
    return (
        isinstance(seconds, dict)
        and DENSE in seconds
        and seconds.keys() <= {DENSE, *SPARSE}
        and all(isinstance(s, float) and 0 <= s < math.inf for s in seconds.values())
    )


def _rounded(density: float) -> float:
    """In steps of half an octave; 0 is 0."""
    return 2 ** (round(_STEPS * math.log2(density)) / _STEPS) if density else 0.0


def _conditions(matrix: Csr) -> list[object]:
    values = matrix.values
    return [
        str(values.dtype),
        str(values.device),
        torch.get_num_threads(),
        pool.kind(),
        _code(),
    ]


@functools.cache
def _code() -> str:
    """What else decides how fast a kernel is."""
    own = code.digest(["analysis.execution.products", "analysis.execution.contest"])
    compilers = [torch.__version__, numba.__version__, llvmlite.__version__]
    text = json.dumps([own, compilers, machine.identity()], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


@torch.inference_mode()
def _measured(matrix: Csr, bias: Tensor | None, tokens: int) -> dict[str, Times]:
    values = matrix.values
    x = torch.randn(tokens, matrix.shape[1], dtype=values.dtype, device=values.device)
    products = {
        name: Dense(matrix.dense(), bias) if name == DENSE else SPARSE[name](matrix, bias)
        for name in possible(matrix)
    }

    def run(name: str) -> None:
        products[name](x)
        if values.device.type == "cuda":
            torch.cuda.synchronize()

    runs = {name: functools.partial(run, name) for name in products}
    return measure(runs)
