"""The GPUs that torch could use, as NVIDIA's driver names them: torch is not loaded for that."""

import ctypes
import functools
import importlib.util
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

_DRIVER = "libcuda.so.1"  # where it is not, torch finds no GPU either
_MAJOR, _MINOR = 75, 76  # of the compute capability: CUdevice_attribute in cuda.h
_ROOM = 256  # bytes for a name
_FIRST_WITH_BFLOAT16 = (8, 0)


@dataclass(frozen=True)
class Gpu:
    """A GPU that this process may use.

    address     its place on the PCI bus, which no other one of this machine has
    capability  its generation: (9, 0) is Hopper
    """

    name: str
    address: str
    capability: tuple[int, int]
    memory_bytes: int

    @property
    def has_bfloat16(self) -> bool:
        """Whether it multiplies in that type itself."""
        return self.capability >= _FIRST_WITH_BFLOAT16


@functools.cache
def usable() -> tuple[Gpu, ...]:
    """The GPUs in torch's order; none where torch was built without CUDA, the driver is missing or
    older than it, or `CUDA_VISIBLE_DEVICES` (which the driver heeds) hides them all."""
    try:
        driver = ctypes.CDLL(_DRIVER)
    except OSError:
        return ()
    needed = _cuda_of_torch()
    if needed is None or driver.cuInit(0) or _number(driver.cuDriverGetVersion) // 1000 < needed:
        return ()
    return tuple(_gpu(driver, i) for i in range(_number(driver.cuDeviceGetCount)))


def _gpu(driver: ctypes.CDLL, ordinal: int) -> Gpu:
    device = _number(driver.cuDeviceGet, ordinal)
    memory = ctypes.c_size_t()
    driver.cuDeviceTotalMem_v2(ctypes.byref(memory), device)
    return Gpu(
        _text(driver.cuDeviceGetName, device),
        _text(driver.cuDeviceGetPCIBusId, device),
        (
            _number(driver.cuDeviceGetAttribute, _MAJOR, device),
            _number(driver.cuDeviceGetAttribute, _MINOR, device),
        ),
        memory.value,
    )


def _number(function: Callable[..., int], *arguments: int) -> int:
    """What the driver's function writes into its first argument."""
    found = ctypes.c_int()
    function(ctypes.byref(found), *arguments)
    return found.value


def _text(function: Callable[..., int], device: int) -> str:
    found = ctypes.create_string_buffer(_ROOM)
    function(found, _ROOM, device)
    return found.value.decode(errors="replace")


def _cuda_of_torch() -> int | None:
    """The major version of CUDA that torch was built for, as it notes that beside its code."""
    spec = importlib.util.find_spec("torch")
    if spec is None or spec.origin is None:
        return None
    try:
        noted = Path(spec.origin).with_name("version.py").read_text(encoding="utf-8")
    except OSError:
        return None
    found = re.search(r"^cuda\b[^=\n]*=\s*['\"](\d+)", noted, re.MULTILINE)
    return int(found[1]) if found else None
