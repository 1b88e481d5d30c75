"""What the trainings begin with."""

from analysis.paper.data import Data
from analysis.paper.text import escape


def trained_before(data: Data) -> str:
    """The method whose masks the trainings begin with."""
    found = [data.before(name) for name in data.trained]
    return escape(found[-1]) if found else "none"
