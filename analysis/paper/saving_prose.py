"""Sentences that depend on what a study did beside pruning in one shot, and on what it timed."""

from analysis.execution.names import AUTO, DENSE, TILED_CSR, TORCH_CSR
from analysis.paper import sentences, text
from analysis.paper.data import Data
from analysis.paper.pruning import values as pruning_values
from analysis.paper.quality import values as quality_values
from analysis.paper.runtime import values as runtime_values
from analysis.paper.size import values as size_values
from analysis.paper.text import escape
from analysis.paper.tradeoff import measures as tradeoff
from analysis.paper.training import values as training_values

_TRUE_SIZE = 50e6  # parameters from which a model is no small one


def abstract(data: Data) -> str:
    """What came out, as far as the study measured it, in the abstract's few sentences."""
    if data.rehearsal:
        return (
            "REHEARSAL: random weights. This run tries out that memory, disk and time suffice; no"
            " result in this document means anything."
        )
    said = [_abstract_quality(data), _abstract_bytes(data), _abstract_speed(data)]
    kinds = _alternatives(data)
    if kinds:
        listed = text.listing(kinds)
        listed = listed[:1].upper() + listed[1:]
        said.append(f"{listed} versions of the same models stand beside the pruned ones.")
    said.append(sentences.verdict_counts(data))
    return " ".join(part for part in said if part)


def _abstract_quality(data: Data) -> str:
    means = [
        (quality_values.mean_retained(data, level), text.level(level)) for level in data.levels
    ]
    known = [pair for pair in means if pair[0] != text.MISSING]
    if not known:
        return "No mean can be given of what the models retain: benchmarks failed or are void."
    (low, lowest), (high, highest) = known[0], known[-1]
    more = f" and {high} at {highest}" if len(known) > 1 else ""
    return (
        f"On average the models retain, under the leading method, {low} of what lifts them above"
        f" chance at {lowest} sparsity{more}."
    )


def _abstract_bytes(data: Data) -> str:
    share = size_values.stored_share(data)
    if share == text.MISSING:
        return ""
    return (
        f"Written as a sparse file, the models take {share} of the dense bytes at"
        f" {pruning_values.highest_level(data)}."
    )


def _abstract_speed(data: Data) -> str:
    zeros, skipped = runtime_values.speedup_range(data), runtime_values.replica_speedup(data)
    said = []
    if zeros != text.MISSING:
        said.append(f"On ordinary kernels zeros alone run at {zeros} the dense speed, at any level")
    if skipped != text.MISSING:
        said.append(
            f"kernels that skip them bring a model of true size to {skipped} at"
            f" {runtime_values.replica_level(data)}"
        )
    if not said:
        return "Nothing was timed."
    sentence = "; ".join(said) + "."
    return sentence[:1].upper() + sentence[1:]


def _alternatives(data: Data) -> list[str]:
    names = {"int8": "quantised", "student": "distilled", "moe": "MoEfied"}
    known = set(data.scores["kind"])
    return [shown for kind, shown in names.items() if kind in known]


def alternatives(data: Data) -> str:
    """Whether the study tries alternatives to pruning."""
    if not _alternatives(data):
        return "This study tries no alternative; of pruning, the table has what was timed."
    return (
        "It says what each came to on the models of this study; @sec-tradeoff sets them against"
        " each other model by model."
    )


def recovery(data: Data) -> str:
    """What was trained after pruning, from which masks."""
    if not data.trained:
        return "This study trains no pruned model, so both are empty."
    return (
        "*Fine-tuned* models begin with the masks of one method (here"
        f" {training_values.trained_before(data)}) and learn from the labels once more,"
        " *distilled* ones also from the answers of the dense model [@hinton2015distilling]."
        " They stand beside the"
        " one-shot model that they started from."
    )


def unmasked(data: Data) -> str:
    """Whether training without masks was shown."""
    free = ~data["recovery"]["masks_kept"].astype(bool)
    if not free.any():
        return "This study does not show what that does."
    return "What that does is shown once, on one model and level."


def sensitivity(data: Data) -> str:
    """Whether layers were pruned alone."""
    if data["sensitivity"].empty:
        return "This study prunes no layer alone, so the figure is empty."
    return (
        "It is measured on validation examples, none of which is among the test examples of the"
        " tables above, so that decisions may be based on it."
    )


def allocation(data: Data) -> str:
    """Whether sparsities were allotted by sensitivity."""
    if data.contest("magnitude-layer, by sensitivity", "magnitude-layer").empty:
        return "This study allots none, and the table is empty."
    return "Both columns remove equally many weights in all."


def sizes(data: Data) -> str:
    """The sparse file, the compressed one and the bound at the highest level."""
    shares = {
        "the sparse file takes {} of the dense one": size_values.stored_share(data),
        "a compressed dense file {}": size_values.compressed_share(data),
        "the bound is {}": size_values.bound_share(data),
    }
    known = [shown.format(share) for shown, share in shares.items() if share != text.MISSING]
    if not known:
        return "No file was written at the highest level."
    said = f"At {pruning_values.highest_level(data)} sparsity {text.listing(known)}."
    left = size_values.never_in_scope(data)
    if left != text.MISSING:
        said += (
            f" Of the weights that are left there, {left} were never in scope (embeddings, norms"
            " and heads), which weigh more in a small model than in a large one."
        )
    return said


def kernels(data: Data) -> str:
    """Which of the kernels were timed here."""
    known = set(data.latency["kernel"]) | set(data["replicas"]["kernel"])
    listed = [name for name in (DENSE, TORCH_CSR, TILED_CSR, AUTO) if name in known]
    if not listed:
        return "This study times none of them."
    return f"Timed here: {text.listing([f'**{escape(name)}**' for name in listed])}."


def speed(data: Data) -> str:
    """How forward passes were timed."""
    if data.latency.empty:
        return "No forward pass was timed, so that they are empty."
    return (
        "All variants of one model took turns after a warm-up, nothing else ran beside them, and"
        f" every raw sample is kept with the results ({runtime_values.runtime_settings(data)})."
    )


def true_size(data: Data) -> str:
    """Whether the models are small, and what a model of true size gained."""
    known = data["models"]["parameters"].dropna().astype(float)
    small = bool(len(known)) and bool((known < _TRUE_SIZE).all())
    said = []
    if small:
        said.append(
            "The models of this study are small, and much of a forward pass is spent between the"
            " products."
        )
    if data["replicas"].empty:
        said.append("No such model was timed in this study, so both are empty.")
        return " ".join(said)
    said.append(
        f"@fig-replica repeats the measurement at true size ({runtime_values.replica_input(data)}),"
        " with random weights in the published shape: how long a product takes depends on how many"
        " weights are zero and a little on where, not on what the others are. All its matrices are"
        " pruned equally far."
    )
    if runtime_values.replica_speedup(data) != text.MISSING:
        said.append(
            f"There the fastest sparse kernel {runtime_values.crossover(data)} and reaches"
            f" {runtime_values.replica_speedup(data)} the dense speed at"
            f" {runtime_values.replica_level(data)}, with {runtime_values.replica_memory(data)} of"
            " the memory for its linear layers."
        )
    return " ".join(said)


def operations(data: Data) -> str:
    """What writing and training gained."""
    written, trained = runtime_values.generation_speedup(data), runtime_values.masked_step(data)
    said = []
    if written != text.MISSING:
        said.append(
            "*Writing* a text, one token at a time, multiplies each matrix with a single column of"
            " activations; with the kernels chosen it runs, at"
            f" {runtime_values.generation_level(data)}, at {written} the dense speed."
        )
    if trained != text.MISSING:
        said.append(
            "A *training step* with the masks kept computes dense gradients all the same, and takes"
            f" {trained} the time of the dense one at {runtime_values.masked_level(data)}."
        )
    return " ".join(said) or "Neither writing nor training was timed with pruned models here."


def chosen(data: Data) -> str:
    """Whether any variant was both scored and timed."""
    if tradeoff.table(data).empty:
        return "No variant of this study was scored, stored and timed, so that nothing is shown."
    return (
        "Each mark is a variant that was scored, stored and timed: its quality, its smallest file,"
        " and its time with the kernel chosen for each layer."
    )


def practice(data: Data) -> str:
    """How far one may climb here."""
    if not data.sound() or not data.levels:
        return "no benchmark of this study could be followed."
    level = quality_values.safe_level(data)
    if level.startswith("none"):
        return (
            "under the leading method not every benchmark here retains nine tenths at the lowest"
            " level, by the lower end of its interval."
        )
    return (
        "under the leading method every benchmark here retains nine tenths up to"
        f" {level}, by the lower end of its interval."
    )
