"""The models, tasks and benchmarks of the study, as in a sentence."""

from analysis.paper import text
from analysis.paper.data import Data
from analysis.paper.sources.measures import generated, real
from analysis.paper.text import escape

_FAMILIES = ("encoder-only", "decoder-only", "encoder-decoder")
_FOUND = ("hub", "local")


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


def family_counts(data: Data) -> str:
    """How many models there are of each family: "one encoder-only model and …"."""
    counts = data["models"]["family"].value_counts()
    return text.listing([text.counted(int(counts.get(f, 0)), f"{f} model") for f in _FAMILIES])


def builtin_parameters(data: Data) -> str:
    """The range of the built-in models' parameters, in millions."""
    table = data["models"]
    return text.millions(table.loc[table["source"] == "builtin", "parameters"])


def checkpoint_list(data: Data) -> str:
    """The models that are published checkpoints or read from a folder."""
    table = data["models"]
    return text.listing([escape(m) for m in table.loc[table["source"].isin(_FOUND), "model"]])


def tuned_list(data: Data) -> str:
    """Those of them that were fine-tuned here before pruning, with the tasks: "bert (SST-2)"."""
    found = set(data["models"].loc[data["models"]["source"].isin(_FOUND), "model"])
    dense = data.variants[(data.variants["kind"] == "dense") & (data.variants["status"] == "ok")]
    dense = dense[dense["model"].isin(found) & dense["task"].notna()]
    dense = dense[dense["train_seconds"].fillna(0) > 0]
    return text.listing(
        [
            f"{escape(model)} ({text.listing([escape(data.task_title(t)) for t in own['task']])})"
            for model, own in dense.groupby("model", sort=False)
        ]
    )


def generated_tasks(data: Data) -> str:
    """The tasks whose texts are of the generated language."""
    return text.listing([escape(data.task_title(task)) for task in generated(data)])


def real_tasks(data: Data) -> str:
    """The tasks whose texts are real."""
    return text.listing([escape(data.task_title(task)) for task in real(data)])


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
