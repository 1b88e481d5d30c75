"""Facts: what is true of the study that is rendered, so that report.qmd says what holds for it.

In the document, `::: {.content-visible when-meta="facts.trained"}` shows what follows to studies
that trained pruned models, `.content-hidden` the reverse. The front matter names the file of facts,
which is written before Quarto reads it: `python -m analysis facts`, as its pre-render hook does.
"""

from collections.abc import Callable
from pathlib import Path

import yaml

from analysis.engine import files
from analysis.paper import text
from analysis.paper.data import Data, load
from analysis.paper.runtime.values import replica_speedup, speedup_range
from analysis.paper.size.values import stored_share
from analysis.paper.sources.measures import generated
from analysis.paper.sources.values import tokens_per_word
from analysis.paper.tradeoff import measures as tradeoff

FILE = "_facts.yml"


def _has(data: Data, source: tuple[str, ...]) -> bool:
    return bool(data["models"]["source"].isin(source).any())


# name → what it says, as docs/writing.md tells authors, and whether it is so
FACTS: dict[str, tuple[str, Callable[[Data], bool]]] = {
    "rehearsal": ("the weights are random, and no result means anything", lambda d: d.rehearsal),
    "profiled": ("the weights of some model were looked at", lambda d: bool(d.profiled)),
    "sound": (
        "some benchmark's dense model is above chance, and pruned models were put to it",
        lambda d: bool(d.sound() and d.levels),
    ),
    "stored": ("sparse files were written", lambda d: stored_share(d) != text.MISSING),
    "perplexity": ("some score is a perplexity", lambda d: tokens_per_word(d) != text.MISSING),
    "failed": (
        "some step failed",
        lambda d: bool(len(d["failures"]) or (d.variants["status"] == "failed").any()),
    ),
    "published": ("published scores are known", lambda d: not d["published"].empty),
    "several_seeds": ("the study was run with more than one seed", lambda d: len(d.seeds) > 1),
    "trained": ("pruned models were trained", lambda d: bool(d.trained and d.sound())),
    "sensitivity": ("layers were pruned alone", lambda d: not d["sensitivity"].empty),
    "allocated": (
        "sparsities were allotted by what layers bear",
        lambda d: not d.contest("magnitude-layer, by sensitivity", "magnitude-layer").empty,
    ),
    "timed": ("forward passes were timed", lambda d: speedup_range(d) != text.MISSING),
    "true_size": (
        "a model of true size was timed with sparse kernels",
        lambda d: replica_speedup(d) != text.MISSING,
    ),
    "operations": (
        "writing or training was timed",
        lambda d: bool((d.runtime["operation"] != "forward").any()),
    ),
    "tradeoff": (
        "some variants were scored, stored and timed",
        lambda d: not tradeoff.table(d).empty,
    ),
    "alternatives": (
        "quantised, distilled or MoEfied models were scored",
        lambda d: bool(d.scores["kind"].isin(("int8", "student", "moe")).any()),
    ),
    "builtin": ("some model is built in", lambda d: _has(d, ("builtin",))),
    "checkpoints": (
        "some model is a published checkpoint or a folder's",
        lambda d: _has(d, ("hub", "local")),
    ),
    "generated": ("some texts are of the generated language", lambda d: bool(generated(d))),
    "real": ("some texts are real", lambda d: set(d.primary) > set(generated(d))),
}


def facts(data: Data) -> dict[str, bool]:
    """Each fact, and whether it is so."""
    return {name: so(data) for name, (_, so) in FACTS.items()}


def metadata(data: Data) -> dict[str, dict[str, bool]]:
    """What the file of facts says."""
    return {"facts": facts(data)}


def write() -> None:
    """Write the facts of the study that SPARSITY_STUDY names to the project's folder."""
    written = "# written anew by each render, for the study that is rendered\n"
    written += yaml.safe_dump(metadata(load()), sort_keys=False)
    files.replace_text(Path(FILE), written)
