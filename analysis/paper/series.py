"""What a curve or a row of the paper is called: a method, and what its name does not say."""

import json
from typing import Any

from analysis.paper.text import is_missing

ALLOCATED = ", by sensitivity"
ORACLE = ", oracle"
_TRAIN = ("gradual", "student")  # methods that train by themselves


def name(method: str, protocol: Any, settings: Any) -> str:
    """The series of a variant: `wanda`, `nm-wanda 2:4`, `magnitude, fine-tuned`, `moe 4 of 16`.

    A method that trains by itself has but one protocol, which is not said.
    """
    chosen = {} if is_missing(settings) else json.loads(settings)
    if "router" in chosen:
        routed = ORACLE if chosen["router"] == "oracle" else ""
        return f"{method} {chosen['run']} of {chosen['experts']}{routed}"
    pattern = f" {chosen['pattern']}" if "pattern" in chosen else ""
    allocated = ALLOCATED if "allocation" in chosen else ""
    alone = is_missing(protocol) or protocol == "one-shot" or method in _TRAIN
    return f"{method}{pattern}{allocated}{'' if alone else f', {protocol}'}"


def untrained(series: str) -> str:
    """The series that training began with; a method that trains by itself is its own."""
    return series.split(", ")[0]


def is_trained(series: str) -> bool:
    """Whether a pruned series was trained after pruning, or while it was pruned."""
    return series == "gradual" or series.endswith((", fine-tuned", ", distilled"))
