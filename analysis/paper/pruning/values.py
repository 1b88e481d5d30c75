"""The methods, levels and scopes of the study."""

import json
from typing import Any

import pandas as pd

from analysis.paper import text
from analysis.paper.data import Data
from analysis.paper.sourced import Sourced, sourced
from analysis.paper.text import escape


def leading_method(data: Data) -> Sourced:
    """The method that figures and claims lead with."""
    shown = f"**{escape(data.leading)}**" if data.leading else "none, since nothing was pruned"
    return sourced(shown, "variants", _led(data))


def method_count(data: Data) -> Sourced:
    """How many methods prune in one shot, patterns of one method together."""
    shown = text.counted(data.one_shot["method"].nunique(), "method")
    return sourced(shown, "variants", data.one_shot)


def levels(data: Data) -> Sourced:
    listed = text.listing([f"{100 * level:g}" for level in data.levels]) + "\u00a0%"
    return sourced(listed if data.levels else "no level of", "variants", _led(data))


def highest_level(data: Data) -> Sourced:
    led = _led(data)
    if led.empty:
        return sourced("no", "variants", [])
    highest = data.levels[-1]
    return sourced(text.level(highest), "variants", led[led["sparsity"] == highest])


def _led(data: Data) -> pd.DataFrame:
    """The variants that say which levels there are."""
    return data.one_shot[data.one_shot["series"].isin(data.entrants[:1])]


def prunable_share(data: Data) -> Sourced:
    """The range over models of what is prunable of all parameters."""
    models = data["models"].dropna(subset=["parameters"])
    shown = text.between(models["prunable_parameters"] / models["parameters"], text.percent)
    return sourced(shown, "models", models)


def lowest_level(data: Data) -> Sourced:
    led = _led(data)
    if led.empty:
        return sourced("no", "variants", [])
    lowest = data.levels[0]
    return sourced(text.level(lowest), "variants", led[led["sparsity"] == lowest])


def calibration(data: Data) -> Sourced:
    """What calibrated methods read: "64 windows, 8,192 tokens of causal models; 64 texts, …"."""
    table = data.variants.dropna(subset=["settings"])
    seen = table["settings"].map(lambda settings: json.loads(settings).get("calibrated_on"))
    found = [one for one in seen if one]
    packed = [one for one in found if one["packed"]]
    by_text = [one for one in found if not one["packed"]]
    said = [_amount(packed, "windows")] if packed else []
    said += [_amount(by_text, "single texts")] if by_text else []
    return sourced("; ".join(said) or "nothing", "variants", table[seen.map(bool)])


def _amount(found: list[dict[str, Any]], unit: str) -> str:
    counts = text.between([seen[unit.split()[-1]] for seen in found], text.count)
    return f"{counts} {unit} ({text.between([s['tokens'] for s in found], text.count)} tokens)"
