"""What the steps of a study take on this machine."""

import math
import time

import numpy as np

from analysis.engine.memo import Call
from analysis.experiments import catalogue
from analysis.experiments.costs import Estimate, Setting


def estimate(call: Call, setting: Setting) -> Estimate:
    """What a step takes; nothing for those that are quick and small."""
    make = catalogue.steps()[call.step].estimate
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
