"""What a step takes: seconds, memory and disk, from the number of weights and tokens.

Orders of magnitude, to know before a GPU is paid for whether it will do: a forward pass of T tokens
through P weights is 2·P·T operations, a training step 6·P·T (Kaplan et al. 2020); AdamW in float32
holds weights, gradients and two moments, 16 bytes a weight.
"""

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from analysis.memo import Call
from analysis.models.memory import training_bytes
from analysis.planning.models import Size

BYTES = 4  # of a weight in float32
_USED = 0.5  # of the processor's speed at one large product, what a whole model comes to
_READ = 1e9  # bytes a second, of what streams through weights
_STATISTICS = 1e8
_PACKED = 2e8
_DRAWN = 1.5e8  # bytes a second of random weights
_MASK = 1 / 8
_KINDS = 6  # of matrices in a block


@dataclass(frozen=True)
class Estimate:
    """Of one step: seconds on this machine, bytes of memory at its peak, bytes left on disk."""

    seconds: float
    memory_bytes: float
    disk_bytes: float


@dataclass(frozen=True)
class Setting:
    """What an estimate goes by.

    size        of the model
    form, tokens   of the task, and of one of its examples
    written     tokens that are written of one, over all beams
    examples    of the task, for steps that do not say how many
    speed       floating-point operations a second
    learnt      training examples of the task; None if that is not known
    """

    size: Size
    form: str
    tokens: int
    examples: int
    speed: float
    learnt: int | None = None
    written: int = 0

    @property
    def parameters(self) -> int:
        """Of a model of which nothing is known, none."""
        return self.size.parameters or 0


def estimate(call: Call, setting: Setting) -> Estimate:
    """What a step takes; nothing for those that are quick and small."""
    make = _ESTIMATES.get(call.step)
    return make(call.arguments, setting) if make else Estimate(0.0, 0.0, 0.0)


def measured_speed() -> float:
    """Floating-point operations a second of this machine's processor, at one large product."""
    one = np.ones((1024, 1024), np.float32)
    one @ one
    end, best = time.perf_counter() + 0.3, math.inf
    while (start := time.perf_counter()) < end:
        one @ one
        best = min(best, time.perf_counter() - start)  # what runs beside it does not count
    return 2 * 1024**3 / best


def _forward(setting: Setting, examples: float) -> float:
    tokens = examples * setting.tokens
    return 2 * setting.parameters * tokens / (_USED * setting.speed)


def _answers(setting: Setting) -> float:
    """Seconds to answer all examples: reading and writing; a masked model reads a text once for
    each of its tokens."""
    if setting.form == "masked":
        return _forward(setting, setting.examples * setting.tokens)
    read_and_written = replace(setting, tokens=setting.tokens + setting.written)
    return _forward(read_and_written, setting.examples)


def _kept(setting: Setting) -> float:
    return BYTES * setting.parameters


def _download(arguments: Mapping[str, Any], setting: Setting) -> Estimate:
    return Estimate(_kept(setting) / _READ, 0.1e9, _kept(setting))


def _replica(arguments: Mapping[str, Any], setting: Setting) -> Estimate:
    return Estimate(_kept(setting) / _DRAWN, 1e9, _kept(setting))


def _training(arguments: Mapping[str, Any], setting: Setting) -> Estimate:
    given = arguments.get("examples") or arguments.get("training", {})
    there = setting.examples if setting.learnt is None else setting.learnt
    examples = min(given, setting.learnt or given) if isinstance(given, int) else there
    levels = len(arguments.get("sparsities", ())) or 1
    seconds = 3 * _forward(setting, examples * float(arguments.get("epochs", 1))) * levels
    memory = training_bytes(
        setting.parameters,
        batch_size=int(arguments.get("batch_size", 32)),
        tokens=setting.tokens,
        layers=setting.size.layers,
        width=setting.size.width,
        heads=setting.size.heads,
        vocabulary=0 if setting.form == "classification" else setting.size.vocabulary,
    )
    return Estimate(seconds, memory, levels * _kept(setting))


def _by_weights(arguments: Mapping[str, Any], setting: Setting) -> Estimate:
    levels = len(arguments["levels"])
    seconds = levels * _kept(setting) / _READ
    return Estimate(seconds, 0.3e9 + _kept(setting) / 8, levels * _MASK * setting.parameters)


def _calibrated(arguments: Mapping[str, Any], setting: Setting) -> Estimate:
    levels = len(arguments["levels"])
    longest = setting.size.positions if setting.form in ("causal", "cloze") else setting.tokens
    read = replace(setting, tokens=min(longest, arguments.get("tokens", longest)))
    seconds = levels * 2 * _forward(read, arguments["examples"]) + _kept(setting) / _READ
    values = BYTES if arguments.get("method") != "wanda" else 0
    disk = levels * (_MASK + values) * setting.parameters
    return Estimate(seconds, 1.6 * _kept(setting), disk)


def _evaluation(arguments: Mapping[str, Any], setting: Setting) -> Estimate:
    rows = arguments.get("batch_size")
    activations = BYTES * (rows if isinstance(rows, int) else 1) * setting.tokens * 1e4
    seconds = _answers(setting) + _kept(setting) / _READ
    return Estimate(seconds, 1.1 * _kept(setting) + activations, 0.0)


def _sensitivity(arguments: Mapping[str, Any], setting: Setting) -> Estimate:
    groups = setting.size.layers if arguments["by"] == "layer" else _KINDS
    one = _evaluation(arguments, setting)
    times = 1 + groups * len(arguments["sparsities"])
    return replace(one, seconds=one.seconds * times)


def _sizes(arguments: Mapping[str, Any], setting: Setting) -> Estimate:
    packed = sum(name != "dense" for name in arguments["formats"])
    return Estimate(packed * _kept(setting) / _PACKED, 0.5e9, 0.0)


def _profile(arguments: Mapping[str, Any], setting: Setting) -> Estimate:
    return Estimate(_kept(setting) / _STATISTICS, 0.5e9, 0.0)


def _timing(arguments: Mapping[str, Any], setting: Setting) -> Estimate:
    cells = sum(len(variant["kernels"]) for variant in arguments.get("variants", ()))
    batches = len(arguments.get("batches", (1,)))
    schedule = arguments["schedule"]
    rounds = max(schedule["min_runs"], 1) + schedule["warmup_runs"]
    once = 2 * setting.parameters * arguments.get("tokens", 128) / (_USED * setting.speed)
    seconds = cells * batches * min(schedule["max_seconds"], once * rounds)
    return Estimate(seconds, 2.2 * _kept(setting), 0.0)


_ESTIMATES: dict[str, Callable[[Mapping[str, Any], Setting], Estimate]] = {
    "take_hub_model": _download,
    "make_replica": _replica,
    "pretrain_scratch": _training,
    "fine_tune": _training,
    "fine_tune_checkpoint": _training,
    "distil_student": _training,
    "recover": _training,
    "recover_without_masks": _training,
    "grow_sparse": _training,
    "prune_checkpoint": _by_weights,
    "prune_calibrated": _calibrated,
    "shrink_checkpoint": _calibrated,
    "evaluate_variant": _evaluation,
    "measure_sensitivity": _sensitivity,
    "measure_sizes": _sizes,
    "profile_weights": _profile,
    "histograms_of_masked": _profile,
    "measure_latency": _timing,
    "measure_generation": _timing,
    "measure_training": _timing,
}
