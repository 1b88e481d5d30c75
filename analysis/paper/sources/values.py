"""The models, tasks and benchmarks of the study, as in a sentence."""

from collections.abc import Sequence

import pandas as pd

from analysis.paper import text
from analysis.paper.data import Data
from analysis.paper.sourced import Sourced, sourced
from analysis.paper.sources.measures import generated, real
from analysis.paper.text import escape

_FAMILIES = ("encoder-only", "decoder-only", "encoder-decoder")
_FOUND = ("hub", "local")


def model_count(data: Data) -> Sourced:
    """How many transformers are studied: "three transformers"."""
    return sourced(text.counted(len(data.models), "transformer"), "models", data["models"])


def model_list(data: Data) -> Sourced:
    """Each model with its family, as in a sentence."""
    known = data["models"].set_index("model")
    had = set(known.index[known["parameters"].notna()])
    listed = []
    for model in data.models:
        family = escape(known["family"].get(model, "of a family unknown"))
        lost = "" if model in had else "; it could not be had"
        listed.append(f"{escape(model)} ({family}{lost})")
    return sourced(text.listing(listed), "models", data["models"])


def family_counts(data: Data) -> Sourced:
    """How many models there are of each family: "one encoder-only model and …"."""
    counts = data["models"]["family"].value_counts()
    listed = [text.counted(int(counts.get(f, 0)), f"{f} model") for f in _FAMILIES]
    return sourced(text.listing(listed), "models", data["models"])


def builtin_parameters(data: Data) -> Sourced:
    """The range of the built-in models' parameters, in millions."""
    own = data["models"][data["models"]["source"] == "builtin"]
    return sourced(text.millions(own["parameters"]), "models", own)


def checkpoint_list(data: Data) -> Sourced:
    """The models that are published checkpoints or read from a folder."""
    own = data["models"][data["models"]["source"].isin(_FOUND)]
    return sourced(text.listing([escape(model) for model in own["model"]]), "models", own)


def tuned_list(data: Data) -> Sourced:
    """Those of them that were fine-tuned here before pruning, with the tasks: "bert (SST-2)"."""
    found = set(data["models"].loc[data["models"]["source"].isin(_FOUND), "model"])
    dense = data.variants[(data.variants["kind"] == "dense") & (data.variants["status"] == "ok")]
    dense = dense[dense["model"].isin(found) & dense["task"].notna()]
    dense = dense[dense["train_seconds"].fillna(0) > 0]
    listed = [
        f"{escape(model)} ({text.listing([escape(data.task_title(t)) for t in own['task']])})"
        for model, own in dense.groupby("model", sort=False)
    ]
    return sourced(text.listing(listed), "variants", dense)


def generated_tasks(data: Data) -> Sourced:
    """The tasks whose texts are of the generated language."""
    return _titles(data, generated(data))


def real_tasks(data: Data) -> Sourced:
    """The tasks whose texts are real."""
    return _titles(data, real(data))


def task_count(data: Data) -> Sourced:
    return sourced(
        text.counted(len(data.primary), "task"), "tasks", _primary(data, list(data.primary))
    )


def task_list(data: Data) -> Sourced:
    return _titles(data, list(data.primary))


def _titles(data: Data, tasks: Sequence[str]) -> Sourced:
    """These tasks, each by its first metric."""
    listed = text.listing([escape(data.task_title(task)) for task in tasks])
    return sourced(listed, "tasks", _primary(data, tasks))


def _primary(data: Data, tasks: Sequence[str]) -> pd.DataFrame:
    return data["tasks"][data["tasks"]["task"].isin(tasks)].drop_duplicates("task")


def benchmark_list(data: Data) -> Sourced:
    """Each model with the tasks it is put to."""
    listed = []
    for model in data.models:
        own = [escape(data.task_title(task)) for name, task in data.benchmarks if name == model]
        listed.append(f"{escape(model)} on {text.listing(own)}")
    dense = data.variants[data.variants["kind"] == "dense"]
    return sourced("; ".join(listed), "variants", dense)


def tokens_per_word(data: Data) -> Sourced:
    """The range over models of how many tokens a word of the benchmarks takes."""
    known = data.quality.dropna(subset=["tokens_per_word"])
    shown = text.between(known["tokens_per_word"], lambda n: f"{n:.2f}")
    return sourced(shown, "quality", known)
