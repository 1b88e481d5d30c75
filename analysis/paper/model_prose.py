"""Paragraphs on where models and data come from, a paragraph for each source that a study has."""

import pandas as pd

from analysis.paper import text
from analysis.paper.data import Data
from analysis.paper.text import escape

FAMILIES = ("encoder-only", "decoder-only", "encoder-decoder")
_OFTEN = 4  # so many names are listed in a sentence; more are counted


def families(data: Data) -> str:
    """How many models of each family there are."""
    counts = data["models"]["family"].value_counts()
    if all(counts.get(family, 0) == 1 for family in FAMILIES) and len(data.models) == 3:
        return "It has one model of each family."
    found = [text.counted(int(counts.get(f, 0)), f"{f} model") for f in FAMILIES]
    return f"It has {text.listing(found)}."


def models(data: Data) -> str:
    """Where the models come from and what was done to them before: a paragraph for each source."""
    table = data["models"].dropna(subset=["parameters"])
    parts = []
    for source, write in _SOURCES.items():
        own = table[table["source"] == source]
        if len(own):
            parts.append(write(data, own))
    lost = [model for model in data.models if model not in set(table["model"])]
    if lost:
        parts.append(f"What could not be had (@tbl-failures says why): {_names(lost)}.")
    tuned = _tuned(data)
    if tuned:
        parts.append(tuned)
    parts.append(_language(data))
    return "\n\n".join(parts)


def _names(listed: list[str]) -> str:
    return text.listing([escape(name) for name in listed])


def _are(listed: list[str], one: str, many: str) -> str:
    """Names as the subject of a sentence, with its verb."""
    return f"{_names(listed)} {one if len(listed) == 1 else many}"


def _builtin(data: Data, own: pd.DataFrame) -> str:
    said = (
        "Models whose source is *builtin* have exactly these three architectures at a small size,"
        f" with {text.millions(own['parameters'])} parameters, and are trained from scratch by the"
        " study itself: first on their family's own objective (masked words, next words,"
        " denoising), then, where a benchmark needs it, fine-tuned for that benchmark."
    )
    if "encoder-only" in set(own["family"]):
        said += (
            " One thing about them is not usual: the first two encoder layers start with equal"
            " query and key weights, so that words attend to their like from the first step"
            " [@trockman2023mimetic]; without it, models of this size take far longer to compare"
            " two sentences."
        )
    return said


def _hub(data: Data, own: pd.DataFrame) -> str:
    listed = list(own["model"])
    return (
        f"{_are(listed, 'is a published checkpoint', 'are published checkpoints')}, taken from the"
        " hub at the revision that @tbl-origins gives and changed in nothing but what the tables"
        " say."
    )


def _local(data: Data, own: pd.DataFrame) -> str:
    listed = list(own["model"])
    return (
        f"{_are(listed, 'was', 'were')} read from folders on the machine that ran the study; the"
        " digests in the results tell which content they had."
    )


def _scratch(data: Data, own: pd.DataFrame) -> str:
    listed = list(own["model"])
    known = own["parameters"].dropna()
    size = f", with {text.millions(known)} parameters" if len(known) else ""
    return (
        f"{_are(listed, 'has', 'have')} its family's architecture at a size that the study file"
        f" sets{size}, and learnt all it knows here: @tbl-origins says from what. Of such models"
        " the mechanisms carry over to large ones, the levels do not."
        if len(listed) == 1
        else f"{_names(listed)} have their families' architectures at sizes that the study file"
        f" sets{size}, and learnt all they know here: @tbl-origins says from what. Of such models"
        " the mechanisms carry over to large ones, the levels do not."
    )


def _replica(data: Data, own: pd.DataFrame) -> str:
    listed = list(own["model"])
    return (
        f"{_are(listed, 'has', 'have')} the published shape and random weights: bytes and"
        " milliseconds are those of the real model, scores mean nothing."
    )


_SOURCES = {
    "builtin": _builtin,
    "hub": _hub,
    "local": _local,
    "scratch": _scratch,
    "replica": _replica,
}


def _tuned(data: Data) -> str:
    """Which models were fine-tuned for which tasks before pruning, and which were taken as are."""
    built = set(data["models"].loc[data["models"]["source"] == "builtin", "model"])
    dense = data.variants[(data.variants["kind"] == "dense") & (data.variants["status"] == "ok")]
    dense = dense[~dense["model"].isin(built) & dense["task"].notna()]
    dense = dense[dense["train_seconds"].fillna(0) > 0]
    found = [
        f"{escape(model)} ({text.listing([escape(data.task_title(t)) for t in own['task']])})"
        for model, own in dense.groupby("model", sort=False)
    ]
    if not found:
        return ""
    pairs = set(zip(dense["model"], dense["task"], strict=True))
    others = [cell for cell in data.cells() if cell not in pairs and cell[0] not in built]
    rest = " On all other benchmarks models answer as they are." if others else ""
    return (
        f"Fine-tuned here for their benchmarks, before anything was pruned: {text.listing(found)}."
        f"{rest}"
    )


def _language(data: Data) -> str:
    """What the texts are, and how far results carry."""
    generated = _generated(data)
    real = [task for task in data.primary if task not in generated]
    said = []
    if generated:
        whose = "Their training text is"
        if real:
            whose = f"The texts of {_titles(data, generated)} are"
        said.append(
            f"{whose} a generated language with a lexicon of several hundred words, topics, tense,"
            " agreement and subordinate clauses. It has two virtues: a study needs no network, and"
            " the best score that *any* model could reach is known, even for perplexity, because"
            " the grammar gives each text its exact probability. Its limits are those of any toy."
            " Absolute levels found here do not transfer to large models, while the mechanisms"
            " (what a zero saves, how an interval is read) do."
        )
    if real:
        titles = _titles(data, real)
        said.append(
            f"{titles[:1].upper()}{titles[1:]} {'is' if len(real) == 1 else 'are'} of real text"
            " (@tbl-datasets). Nobody knows how near the end of its scale a model can come there,"
            " since labels and references hold errors and taste; and some of the test examples may"
            " have stood in what a published checkpoint was trained on."
        )
    return "\n\n".join(said) or "No data of this study could be had."


def _generated(data: Data) -> list[str]:
    rows = data["tasks"].drop_duplicates("task")
    found = rows["source"].isna() | rows["source"].isin(["", "generated"])
    return list(rows.loc[found, "task"])


def _titles(data: Data, listed: list[str]) -> str:
    if len(listed) > _OFTEN:
        return text.counted(len(listed), "task")
    return text.listing([escape(data.task_title(task)) for task in listed])
