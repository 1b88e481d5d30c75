"""The machine that a step runs on: what it is, its clock to itself, and the memory of a call."""

import contextlib
import ctypes
import fcntl
import functools
import gc
import multiprocessing
import os
import pickle
import platform
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil

from analysis.engine import files, gpus, limits, locks, processes

_LOCK = Path(tempfile.gettempdir()) / f"sparsification-machine-{os.getuid()}.lock"
_SECONDS_BETWEEN_SAMPLES = 0.001
_NO_ACCELERATOR = "no GPU"


def identity() -> dict[str, str | int]:
    """What makes a timing comparable: processor, cores, architecture and accelerator."""
    return {
        "processor": _processor(),
        "cores": limits.cores(),
        "architecture": platform.machine(),
        "accelerator": ", ".join(gpu.name for gpu in gpus.usable()) or _NO_ACCELERATOR,
    }


@functools.cache
def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or "unknown"


def has_accelerator() -> bool:
    """Whether there is a GPU that torch could use."""
    return bool(gpus.usable())


def has_bfloat16() -> bool:
    """Whether every such GPU multiplies in bfloat16 itself."""
    return all(gpu.has_bfloat16 for gpu in gpus.usable())


def gpu_memory_bytes() -> int:
    """Bytes of memory of the smallest such GPU; 0 without one."""
    return min((gpu.memory_bytes for gpu in gpus.usable()), default=0)


@functools.cache  # asked for every tensor that is read, and told in a dozen files
def memory_bytes() -> int:
    """Bytes of memory that this process may use."""
    return limits.memory_bytes()


def sweep() -> None:
    """Remove what killed runs of this host left where temporary files lie."""
    locks.sweep(_LOCK.parent, _LOCK.stem)
    files.sweep(Path(tempfile.gettempdir()), "analysis")


@contextlib.contextmanager
def _flock(kind: int, what: str, path: Path | None = None) -> Iterator[None]:
    lock = path or _LOCK
    with lock.open("a") as stream:
        with locks.awaited(lock, what):
            fcntl.flock(stream, kind)
        try:
            with locks.holding(lock):
                yield
        finally:
            fcntl.flock(stream, fcntl.LOCK_UN)


def alone(what: str = "a timing") -> contextlib.AbstractContextManager[None]:
    """Held while `what` is timed: waits until no other step of this user runs on the machine."""
    return _flock(fcntl.LOCK_EX, what)


def beside_others(what: str = "a step") -> contextlib.AbstractContextManager[None]:
    """Held by ordinary steps: they share the machine with each other, never with a timing."""
    return _flock(fcntl.LOCK_SH, what)


@contextlib.contextmanager
def alone_on_gpus(what: str = "a step on a GPU") -> Iterator[None]:
    """Held by steps on a GPU, which take as much of its memory as is free: they share the machine
    with others, and each GPU that they may use with none.

    A model may be spread over all that this process sees; `CUDA_VISIBLE_DEVICES` gives each of
    several runs one of its own.
    """
    with contextlib.ExitStack() as held:
        held.enter_context(beside_others(what))
        for address in sorted(gpu.address for gpu in gpus.usable()):
            own = _LOCK.with_name(f"{_LOCK.stem}-{address.replace(':', '.')}.lock")
            held.enter_context(_flock(fcntl.LOCK_EX, what, own))
        yield


def peak_of(
    function: Callable[..., Any], prepare: Callable[[], Any] | None = None
) -> tuple[Any, int]:
    """The function's result, and the bytes of anonymous memory that it added at its peak.

    If there is something to prepare, the function is given that: the memory that it holds counts,
    what it took to make it does not.

    It runs in a forked process, since a process's own high-water mark never falls; pages of mapped
    files do not count. The result has to be picklable. Call this before the process has started
    threads of its own that the function relies on (OpenMP's do not survive a fork).
    """
    context = multiprocessing.get_context("fork")
    receiver, sender = context.Pipe(duplex=False)
    child = context.Process(target=_measure, args=(function, prepare, sender, os.getpid()))
    child.start()
    sender.close()
    try:
        result, peak, error = receiver.recv()
    except EOFError:
        child.join()
        raise MemoryError(f"a measured step died with exit status {child.exitcode}") from None
    child.join()
    if error is not None:
        raise error
    return result, peak


def peak_here(
    function: Callable[..., Any], prepare: Callable[[], Any] | None = None
) -> tuple[Any, int]:
    """The same in this process, for a function that needs its threads.

    What earlier work has freed and the allocator kept is given back first; what it cannot give
    back may be used again, and then does not count.
    """
    give_back_freed_memory()
    start = anonymous_bytes()
    given = () if prepare is None else (prepare(),)
    give_back_freed_memory()
    peak = anonymous_bytes()
    done = threading.Event()

    def sample() -> None:
        nonlocal peak
        while not done.is_set():
            peak = max(peak, anonymous_bytes())
            time.sleep(_SECONDS_BETWEEN_SAMPLES)

    sampler = threading.Thread(target=sample, daemon=True)
    sampler.start()
    try:
        result = function(*given)
    finally:
        done.set()
        sampler.join()
    # memory that was used again can make a little one come out below what there was before
    return result, max(0, max(peak, anonymous_bytes()) - start)


def _measure(
    function: Callable[..., Any], prepare: Callable[[], Any] | None, sender: Any, parent: int
) -> None:
    processes.end_with(parent)
    gc.freeze()  # what was there before the fork is not gone through again
    error = None
    try:
        result, peak = peak_here(function, prepare)
    except Exception as caught:
        result, peak, error = None, 0, caught
    sender.send((result, peak, error) if _survives((result, error)) else _told(result, error))


def _survives(value: Any) -> bool:
    """Whether the other process will be able to read it."""
    try:
        pickle.loads(pickle.dumps(value))
    except Exception:
        return False
    return True


def _told(result: Any, error: Exception | None) -> tuple[None, int, RuntimeError]:
    """In place of what cannot be sent, an error that says what it was."""
    what = f"{type(error).__name__}: {error}" if error else f"{type(result)} cannot be pickled"
    return None, 0, RuntimeError(what)


def give_back_freed_memory() -> None:
    """Return freed memory to the system: reused, it would hide what is allocated from now on."""
    with contextlib.suppress(OSError, AttributeError):  # not glibc
        ctypes.CDLL(None).malloc_trim(0)


def anonymous_bytes() -> int:
    """What this process holds now; but for pages of files, where the system tells them apart."""
    held = psutil.Process().memory_info()
    return int(held.rss - getattr(held, "shared", 0))
