"""Runs compiled work on the threads that torch already has.

A second pool beside torch's would fight it for the cores: threads of either spin for a while when
they have nothing to do. So the work is handed to the OpenMP runtime that torch itself has loaded;
where that is not GNU's, a few threads of ours are used.
"""

import ctypes
import functools
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import torch

_FUNCTION = ctypes.CFUNCTYPE(None, ctypes.c_void_p)


def run(function: Any, task: int) -> None:
    """Call function(task) at once on as many threads as torch uses, to the end of all.

    function is a numba cfunc of a pointer; the calls share the work among them. Python's lock is
    not held meanwhile.
    """
    threads = torch.get_num_threads()
    if threads == 1:
        _callable(function)(task)
    else:
        _parallel()(function, task, threads)


@functools.cache
def _callable(function: Any) -> Callable[[int], None]:
    return _FUNCTION(function.address)


@functools.cache
def _parallel() -> Callable[[Any, int, int], None]:
    library = _gnu_openmp()
    if library is None:
        return _on_own_threads
    parallel = library.GOMP_parallel
    parallel.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_uint, ctypes.c_uint]
    parallel.restype = None
    return lambda function, task, threads: parallel(function.address, task, threads, 0)


def _gnu_openmp() -> ctypes.CDLL | None:
    """torch's own GNU OpenMP runtime, of the several that a process may have loaded."""
    folder = str(Path(torch.__file__).resolve().parent)
    try:
        lines = Path("/proc/self/maps").read_text(encoding="utf-8").splitlines()
    except OSError:  # not Linux
        return None
    loaded = {line.split(maxsplit=5)[-1] for line in lines if "libgomp" in line}
    own = sorted(path for path in loaded if path.startswith(folder))
    return ctypes.CDLL(own[0]) if own else None


def _on_own_threads(function: Any, task: int, threads: int) -> None:
    call = _callable(function)
    others = [_helpers(threads - 1).submit(call, task) for _ in range(threads - 1)]
    call(task)
    for other in others:
        other.result()


def kind() -> str:
    """Which threads are used: what is measured on one says little about the other."""
    return "threads of its own" if _parallel() is _on_own_threads else "torch's OpenMP"


@functools.cache
def _helpers(count: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(count)


# a forked process has none of its parent's threads
os.register_at_fork(after_in_child=_helpers.cache_clear)
