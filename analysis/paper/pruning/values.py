"""The methods, levels and scopes of the study."""

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
