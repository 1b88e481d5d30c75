"""The study's names and its machine."""

from analysis.paper.data import Data
from analysis.paper.text import escape


def title(data: Data) -> str:
    return escape(data.environment["title"])


def processor(data: Data) -> str:
    hardware = data.environment["hardware"]
    return escape(f"{hardware['processor']}, {hardware['cores']} cores")


def study_name(data: Data) -> str:
    return escape(data.environment["study"])
