"""What the trainings begin with."""

from analysis.paper.data import Data
from analysis.paper.sourced import Sourced, sourced
from analysis.paper.text import escape


def trained_before(data: Data) -> Sourced:
    """The method whose masks the trainings begin with."""
    last = data.trained[-1:]
    shown = escape(data.before(last[0])) if last else "none"
    return sourced(shown, "variants", data.variants[data.variants["series"].isin(last)])
