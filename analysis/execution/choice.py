"""Which kernel is fastest for a matrix and an input: measured, once per machine.

Two matrices of one shape and nearly one density take about as long: one stands for the other.
"""

import contextlib
import functools
import hashlib
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import llvmlite
import numba
import torch
from torch import Tensor

from analysis import code, files, machine
from analysis.execution import pool
from analysis.execution.csr import Csr
from analysis.execution.names import DENSE
from analysis.execution.products import SPARSE, Dense, possible
from analysis.execution.timing import Schedule, interleaved_samples

Choose = Callable[[Csr, Tensor | None, int], str]

# of the dense time: a matrix that is measured alone lies in the cache, as within a model it does
# not, and what is hardly faster is not worth a second form
MARGIN = 0.8
_SCHEDULE = Schedule(warmup_runs=2, min_runs=5, min_seconds=0.003, max_seconds=1.0)
_STEPS = 2  # densities told apart, from one to its half


def always(kernel: str) -> Choose:
    """That kernel for every matrix for which it is possible, dense for the others."""

    def choose(matrix: Csr, bias: Tensor | None, tokens: int) -> str:
        return kernel if kernel in possible(matrix) else DENSE

    return choose


class Chooser:
    """Measures the kernels on inputs of so many tokens, and remembers which was fastest.

    memory is a file to remember in beyond this process; it is for this machine, this number of
    threads, these versions and this code.
    """

    def __init__(self, memory: Path | None = None):
        self._memory = memory
        self._known: dict[str, dict[str, float]] = self._read()

    def __call__(self, matrix: Csr, bias: Tensor | None, tokens: int) -> str:
        seconds = self.seconds(matrix, bias, tokens)
        fastest = min(seconds, key=lambda name: seconds[name])
        return fastest if seconds[fastest] < MARGIN * seconds[DENSE] else DENSE

    def seconds(self, matrix: Csr, bias: Tensor | None, tokens: int) -> dict[str, float]:
        """The seconds of each possible kernel: the fastest of its runs, which taking turns with
        the others had the machine most to itself."""
        key = json.dumps(
            [matrix.shape, _rounded(matrix.density), tokens, bias is not None,
             possible(matrix), *_conditions(matrix)]
        )  # fmt: skip
        if key not in self._known:
            self._known[key] = _measured(matrix, bias, tokens)
            self._write()
        return self._known[key]

    def _read(self) -> dict[str, dict[str, float]]:
        try:
            found = json.loads(self._memory.read_text(encoding="utf-8")) if self._memory else {}
        except (OSError, ValueError, RecursionError):
            return {}
        items = found.items() if isinstance(found, dict) else ()
        return {key: seconds for key, seconds in items if _plausible(seconds)}

    def _write(self) -> None:
        if self._memory:
            with contextlib.suppress(OSError):  # a full disk: it is measured again next time
                self._memory.parent.mkdir(parents=True, exist_ok=True)
                files.replace_text(self._memory, json.dumps(self._read() | self._known))


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
    own = code.digest(["analysis.execution.products"])
    compilers = [torch.__version__, numba.__version__, llvmlite.__version__]
    text = json.dumps([own, compilers, machine.identity()], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


@torch.inference_mode()
def _measured(matrix: Csr, bias: Tensor | None, tokens: int) -> dict[str, float]:
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
    return {name: min(found) for name, found in interleaved_samples(runs, _SCHEDULE).items()}
