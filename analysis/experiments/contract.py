"""What all experiments share: libraries whose versions stand in keys, and what is known of a step.

A call says what goes into a step, and so into its key: it is the one place that decides what a
remembered result depends on.
"""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from analysis.engine.memo import Call, Record
from analysis.experiments import placement
from analysis.experiments.costs import Estimate, Setting
from analysis.study import Study

NUMPY = ("numpy", "safetensors")
TORCH = (*NUMPY, "torch", "transformers", "tokenizers")
HUB = (*NUMPY, "huggingface_hub")
DATA = ("pyarrow",)
SCORES = ("evaluate", "scikit-learn", "sacrebleu", "rouge-score")
_SHARE = 0.75  # of the memory that there is
OTHER_EXAMPLES = 1_000  # added to seeds, for other draws than those of training and testing


@dataclass(frozen=True)
class Step:
    """What is known of a step before it has run.

    foreseen   what it would give, as far as later steps depend on that; None where none does and
               it is a timing
    leads_on   whether a later step depends on what it gives
    estimate   what it takes, from its arguments; None for what is quick and small
    """

    foreseen: Callable[[Call], Record] | None = None
    leads_on: bool = True
    estimate: Callable[[Mapping[str, Any], Setting], Estimate] | None = None


def foreseen_object(call: Call, part: object = "") -> dict[str, str]:
    """An object of a step that has not run: a digest of its own, which leads nowhere."""
    return {"object": hashlib.sha256(f"{call.key}{part}".encode()).hexdigest()}


def foreseen_checkpoint(call: Call) -> Record:
    """The record of a checkpoint that is not there yet."""
    digest = foreseen_object(call)
    return {
        "checkpoint": digest,
        "weights_sha256": digest["object"],
        "parameters": None,
        "prunable_parameters": 0,
        "dtype": "",
        "bytes": 0,
        "train_seconds": 0.0,
        "quantised_weights": 0,
        "layers": {},
        "flush_denormal": True,
    }


def memory(study: Study, where: str) -> dict[str, int]:
    """The bytes that a step on that device may take: more or less of it changes no result."""
    given = study.compute.memory_gb
    here = _SHARE * placement.memory_bytes(study.compute, where)
    return {"memory_bytes": int(given * 1e9 if given else here)}
