"""Where a study's steps compute and in which type: what `auto` comes to on this machine.

Decided here alone, and before a key is made: what was computed on a CPU is not what a GPU would
have given. The driver is asked, so that a run that finds everything remembered loads no torch.
"""

from analysis.engine import machine
from analysis.errors import RequestError, unknown
from analysis.models.alternative import cpu_only
from analysis.study.sections import Compute

DEVICES = ("auto", "cpu", "cuda")


def device(compute: Compute) -> str:
    """ "cpu" or "cuda": "auto" is a GPU where there is one that torch can use."""
    if compute.device == "auto":
        return "cuda" if machine.has_accelerator() else "cpu"
    return compute.device


def answering(compute: Compute, kind: str) -> dict[str, str]:
    """The device and the type that models of that kind answer in: "auto" is float32 on the CPU, on
    a GPU bfloat16 or, if that has it not, float16."""
    if cpu_only(kind):  # has no kernels for another device, nor another type
        return {"device": "cpu", "dtype": "float32"}
    where = device(compute)
    if compute.dtype != "auto":
        return {"device": where, "dtype": compute.dtype}
    half = "bfloat16" if machine.has_bfloat16() else "float16"
    return {"device": where, "dtype": half if where == "cuda" else "float32"}


def fine_tuning(compute: Compute) -> dict[str, str]:
    """The device, and the type that matrices are multiplied in while a model is fine-tuned:
    bfloat16 on a GPU that has it. float16 would lose small gradients."""
    where = device(compute)
    half = where == "cuda" and machine.has_bfloat16()
    return {"device": where, "dtype": "bfloat16" if half else "float32"}


def memory_bytes(compute: Compute, where: str) -> int:
    """Bytes of memory that a step on that device has: a GPU's whole, which it has to itself; the
    machine's, which it shares with the steps beside it."""
    if where == "cuda":
        return machine.gpu_memory_bytes()
    return machine.memory_bytes() // compute.jobs


def require_device(asked: str, said: str) -> None:
    """Raise RequestError if the device that is asked for, as `said`, is none or not here."""
    if asked not in DEVICES:
        raise RequestError(unknown("device", asked, DEVICES))
    if asked == "cuda" and not machine.has_accelerator():
        raise RequestError(
            f"{said}, but torch can use no GPU here (none, no driver for this torch,"
            " or hidden by CUDA_VISIBLE_DEVICES); use auto or cpu"
        )
