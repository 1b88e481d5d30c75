"""The methods, levels and scopes of the study."""

import json
from typing import Any

from analysis.paper import text
from analysis.paper.data import Data
from analysis.paper.text import escape


def leading_method(data: Data) -> str:
    """The method that figures and claims lead with."""
    return f"**{escape(data.leading)}**" if data.leading else "none, since nothing was pruned"


def method_count(data: Data) -> str:
    """How many methods prune in one shot, patterns of one method together."""
    return text.counted(data.one_shot["method"].nunique(), "method")


def levels(data: Data) -> str:
    if not data.levels:
        return "no level of"
    return text.listing([f"{100 * level:g}" for level in data.levels]) + "\u00a0%"


def highest_level(data: Data) -> str:
    return text.level(data.levels[-1]) if data.levels else "no"


def prunable_share(data: Data) -> str:
    """The range over models of what is prunable of all parameters."""
    models = data["models"]
    return text.between(models["prunable_parameters"] / models["parameters"], text.percent)


def lowest_level(data: Data) -> str:
    return text.level(data.levels[0]) if data.levels else "no"


def calibration(data: Data) -> str:
    """What calibrated methods read: "64 windows, 8,192 tokens of causal models; 64 texts, …"."""
    settings = data.variants["settings"].dropna()
    found = [seen for s in settings if (seen := json.loads(s).get("calibrated_on"))]
    packed = [seen for seen in found if seen["packed"]]
    by_text = [seen for seen in found if not seen["packed"]]
    said = [_amount(packed, "windows")] if packed else []
    said += [_amount(by_text, "single texts")] if by_text else []
    return "; ".join(said) or "nothing"


def _amount(found: list[dict[str, Any]], unit: str) -> str:
    counts = text.between([seen[unit.split()[-1]] for seen in found], text.count)
    return f"{counts} {unit} ({text.between([s['tokens'] for s in found], text.count)} tokens)"
