"""Sentences of the paper that are true of some studies only: each is chosen by the results.

All that holds for any study stands in report.qmd; here is what depends on which models there are,
what was run, and what failed. `model_prose` and `saving_prose` go on with it.
"""

import json
from typing import Any

from analysis.paper import cells, text
from analysis.paper.claims import document
from analysis.paper.data import Data
from analysis.paper.profile import values as profile_values
from analysis.paper.quality import values as quality_values
from analysis.paper.sources import values as sources_values
from analysis.paper.text import escape
from analysis.paper.verdicts import MARGIN, Verdict


def zeros(data: Data) -> str:
    """How many weights are exactly zero before anything is pruned."""
    if not data.profiled:
        return "No model of this study could be profiled, and the figures below say so."
    whole = len(data.profiled) == len(data.models)
    some = "Over all models" if whole else "Over the models that could be profiled"
    return f"{some}, {profile_values.exact_zeros(data)} *exactly* zero."


def far(data: Data) -> str:
    """How much the definition of a weight near zero matters."""
    if not data.profiled:
        return "A statement such as “most weights are near zero” has to name its cutoff."
    return (
        f"One and the same model is {profile_values.far_range(data)} dense, depending on the"
        " definition, so a statement such as “most weights are near zero” says nothing"
        " until it names its cutoff."
    )


def depth(data: Data) -> str:
    """Which blocks differ most from their model."""
    return f"{profile_values.most_different(data)}."


def calibration(data: Data) -> str:
    """How calibration texts were read, and how much of them."""
    settings = data.variants["settings"].dropna()
    found = [seen for s in settings if (seen := json.loads(s).get("calibrated_on"))]
    packed = [seen for seen in found if seen["packed"]]
    by_text = [seen for seen in found if not seen["packed"]]
    said = []
    if packed:
        said.append(
            "Causal models read them packed, joined end to end and cut into full windows, as the"
            f" references of these methods do: {_amount(packed, 'windows')}."
        )
    if by_text:
        who = "All other models read them" if packed else "Models read them"
        said.append(f"{who} one by one: {_amount(by_text, 'texts')}.")
    return " ".join(said) or "This study calibrates no method."


def _amount(found: list[dict[str, Any]], unit: str) -> str:
    counts, tokens = ([seen[key] for seen in found] for key in (unit, "tokens"))
    return f"{text.between(counts, text.count)} {unit}, {text.between(tokens, text.count)} tokens"


def metrics(data: Data) -> str:
    """What the metrics are that need a word, and what a word takes in tokens."""
    names = set(data["tasks"]["metric"])
    said = []
    compared = [
        shown
        for start, shown in (
            ("rouge", "ROUGE [@lin2004rouge]"),
            ("bleu", "BLEU [@papineni2002bleu; @post2018call]"),
            ("chrf", "chrF, which counts characters,"),
        )
        if any(name.startswith(start) for name in names)
    ]
    if compared:
        verb = "compares" if len(compared) == 1 else "compare"
        said.append(f"{text.listing(compared)} {verb} what was written with what was expected.")
    if "combined" in names:
        said.append("The combined score is the mean of accuracy and F1.")
    if any("perplexity" in name for name in names):
        tokens = sources_values.tokens_per_word(data)
        words = "" if tokens == text.MISSING else f"; a word of these tasks takes {tokens} tokens"
        said.append(
            "Perplexity is *per word*, so that models with different tokenizers can be"
            f" compared{words}."
        )
    families = data["models"].set_index("model")["family"]
    if any(
        families.get(model) == "encoder-only" and "perplexity" in data.primary.get(task, "")
        for model, task in data.benchmarks
    ):
        said.append(
            "An encoder's is a *pseudo*-perplexity: each word is foreseen from all others, on both"
            " sides, so that it is no match for a decoder's."
        )
    return " ".join(said) or "All scores are shares of the examples that were answered rightly."


def sound(data: Data) -> str:
    """Which benchmarks are void and which failed: what means and claims leave out."""
    void = [cells.phrase(data, cell) for cell in data.cells() if cell in data.void]
    failed = [cells.phrase(data, cell) for cell in data.benchmarks if cell not in data.cells()]
    said = []
    if void:
        said.append(
            "*Void*, because the dense model is not above chance beyond its interval and so has"
            f" nothing to retain: {text.listing(void)}. What was never above chance cannot be shown"
            " to be robust."
        )
    if failed:
        said.append(f"*Failed* (@tbl-failures says why): {text.listing(failed)}.")
    part = data.variants[data.variants["status"] == "failed"]
    if len(part) and not failed:
        said.append("Some variants failed; @tbl-failures says why.")
    if void or failed:
        said.append("Means and claims leave these out.")
    return " ".join(said) or (
        "Every benchmark was answered, and every dense model lies above chance beyond its interval."
    )


def published(data: Data) -> str:
    """Whether there are published scores to hold the dense models against."""
    if data["published"].empty:
        return "No published score is known for these benchmarks."
    return (
        "@tbl-published sets published scores beside those measured here and says where they were"
        " read. Where both differ, look first at the protocol: another split, other cutting of"
        " texts or other words counted make another number of the same model."
    )


def means(data: Data) -> str:
    """What the leading method retains on average, and where nine tenths are still safe."""
    if not data.sound() or not data.levels:
        return (
            "No benchmark is left to average over: those of this study failed, or their dense"
            " models are not above chance."
        )
    listed = quality_values.mean_retained_list(data)
    if not listed:
        return "Under the leading method no benchmark could be scored."
    return (
        f"Averaged over {_all(data)}, the leading method retains {listed}."
        f" {quality_values.safe_sentence(data)}"
    )


def _all(data: Data) -> str:
    whole = len(data.sound()) == len(data.benchmarks)
    return "all benchmarks" if whole else "the benchmarks that are neither void nor failed"


def verdicts(data: Data) -> str:
    """How many claims are supported, and which are contradicted, undecided or beyond checking."""
    if data.rehearsal:
        return (
            "This is a rehearsal on random weights: no claim can be checked, and no result in this"
            " document means anything."
        )
    found = document.by_verdict(data)
    named = {key: text.listing([f"*{escape(n)}*" for n in names]) for key, names in found.items()}
    said = [f"{_supported(found[Verdict.SUPPORTED])}."]
    for one, words in (
        (Verdict.CONTRADICTED, "Contradicted by it"),
        (Verdict.UNDECIDED, "Left undecided"),
        (Verdict.UNCHECKED, "Beyond what this study can check"),
    ):
        said += [f"{words}: {named[one]}."] if found[one] else []
    return " ".join(said)


def rules(data: Data) -> str:
    """By which rules a claim is decided: those of `verdicts`."""
    return (
        "Each number of a claim is taken with its interval. What is claimed of an average is"
        " *supported* if the interval of the mean over benchmarks lies wholly on the claimed side"
        " and *contradicted* if wholly on the other, unless single benchmarks surely disagree with"
        " the mean; that interval goes from the mean of the lower ends to that of the upper ones."
        " What is claimed of every benchmark is supported if each interval lies on the claimed"
        " side, and contradicted if one lies on the other side even after widening for as many"
        " comparisons as the claim makes (Bonferroni), or if all do; what is claimed of some"
        " benchmark, the other way round; “surely” means beyond the interval so widened. All else"
        " is *undecided*. “No worse” and “free” allow a loss of"
        f" {text.percent(MARGIN, 0)} of the dense quality. Bytes and counts have no interval, and"
        " are decided by their value. What a study did not run *cannot be checked* in it."
    )


def verdict_counts(data: Data) -> str:
    """How many claims there are of each verdict, without names."""
    found = document.by_verdict(data)
    counts = [(found[one], f"{one}") for one in (Verdict.CONTRADICTED, Verdict.UNDECIDED)]
    said = [f"{text.spelled(len(names))} {word}" for names, word in counts]
    unknown = len(found[Verdict.UNCHECKED])
    said += [f"{text.spelled(unknown)} beyond what it can check"] if unknown else []
    return f"{_supported(found[Verdict.SUPPORTED])}, {text.listing(said)}."


def _supported(names: list[str]) -> str:
    return (
        f"Of {text.spelled(len(document.claims()))} claims about sparsification that the text"
        f" makes, {text.spelled(len(names))} {'is' if len(names) == 1 else 'are'} supported by this"
        " run"
    )


def failures(data: Data) -> str:
    """Whether any step failed."""
    lost = len(data["failures"]) or int((data.variants["status"] == "failed").sum())
    if not lost:
        return "No step failed."
    return "The steps that @tbl-failures lists failed; all others went on."


def seeds(data: Data) -> str:
    """What intervals cover, and what was done over seeds."""
    alone = (
        "Intervals cover the choice of test examples alone, not what another training, another"
        " draw of calibration texts or of masks would have given"
    )
    if len(data.seeds) == 1:
        return f"{alone}; the study was run with one seed, {data.seeds[0]}."
    listed = text.listing([str(seed) for seed in data.seeds])
    return (
        f"{alone}. The study was run with {text.counted(len(data.seeds), 'seed')}, {listed}:"
        f" figures, tables and claims are of the first, and @tbl-seeds gives what the leading"
        " method retains over all of them."
    )
