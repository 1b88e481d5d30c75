"""The study's names and its machine."""

from analysis.paper.data import Data
from analysis.paper.sourced import Sourced, told
from analysis.paper.text import escape


def title(data: Data) -> Sourced:
    return told(escape(data.environment["title"]), "title")


def processor(data: Data) -> Sourced:
    hardware = data.environment["hardware"]
    return told(escape(f"{hardware['processor']}, {hardware['cores']} cores"), "hardware")


def study_name(data: Data) -> Sourced:
    return told(escape(data.environment["study"]), "study")
