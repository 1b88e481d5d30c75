"""The models, tasks and benchmarks of the study, as in a sentence."""

from analysis.paper import text
from analysis.paper.data import Data
from analysis.paper.text import escape


def model_count(data: Data) -> str:
    """How many transformers are studied: "three transformers"."""
    return text.counted(len(data.models), "transformer")


def model_list(data: Data) -> str:
    """Each model with its family, as in a sentence."""
    known = data["models"].set_index("model")
    had = set(known.index[known["parameters"].notna()])
    listed = []
    for model in data.models:
        family = escape(known["family"].get(model, "of a family unknown"))
        lost = "" if model in had else "; it could not be had"
        listed.append(f"{escape(model)} ({family}{lost})")
    return text.listing(listed)


def parameters(data: Data) -> str:
    """The range of the models' parameters, in millions."""
    return text.millions(data["models"]["parameters"])


def task_count(data: Data) -> str:
    return text.counted(len(data.primary), "task")


def task_list(data: Data) -> str:
    return text.listing([escape(data.task_title(task)) for task in data.primary])


def benchmark_list(data: Data) -> str:
    """Each model with the tasks it is put to."""
    listed = []
    for model in data.models:
        own = [escape(data.task_title(task)) for name, task in data.benchmarks if name == model]
        listed.append(f"{escape(model)} on {text.listing(own)}")
    return "; ".join(listed)


def tokens_per_word(data: Data) -> str:
    """The range over models of how many tokens a word of the benchmarks takes."""
    return text.between(data.quality["tokens_per_word"], lambda n: f"{n:.2f}")
