"""Claims: sentences tied to a predicate over the results, printed with the verdict and numbers."""

from collections.abc import Callable
from dataclasses import dataclass

from analysis.errors import RequestError, unknown
from analysis.paper import text
from analysis.paper.data import Data
from analysis.paper.layers import findings as layers_findings
from analysis.paper.methods import findings as methods_findings
from analysis.paper.profile import findings as profile_findings
from analysis.paper.quality import findings as quality_findings
from analysis.paper.runtime import findings as runtime_findings
from analysis.paper.size import findings as size_findings
from analysis.paper.text import Md, escape
from analysis.paper.tradeoff import findings as tradeoff_findings
from analysis.paper.training import findings as training_findings
from analysis.paper.verdicts import Finding, Verdict


@dataclass(frozen=True)
class Claim:
    """A sentence, the sentence to write if it is contradicted, and what decides."""

    name: str
    sentence: str
    otherwise: str
    check: Callable[[Data], Finding]


@dataclass(frozen=True)
class Checked:
    """A claim held against the results of one run."""

    claim: Claim
    verdict: Verdict
    evidence: str


CLAIMS = {
    claim.name: claim
    for claim in (
        Claim(
            "dense-bytes",
            "Zeroing weights leaves the dense file as large as before.",
            "In this run some dense files changed their size when weights were zeroed.",
            size_findings.dense_bytes,
        ),
        Claim(
            "compressor-finds-zeros",
            "A general compressor finds the zeros: from 90 % sparsity on it writes at most half"
            " of the dense file.",
            "A general compressor does not halve every file, even at high sparsity.",
            size_findings.zstd_finds_zeros,
        ),
        Claim(
            "sparse-files-shrink",
            "A sparse file is smaller than the dense one from the lowest level on, and from 50 % on"
            " comes within an eighth of the entropy bound.",
            "Not every sparse file is smaller than the dense one and, from 50 % on, within an"
            " eighth of the entropy bound.",
            size_findings.sparse_files_shrink,
        ),
        Claim(
            "no-speed",
            "Zeros alone do not make dense kernels faster.",
            "Some pruned variant ran faster than the dense model on the same dense kernels, which"
            " calls for an explanation before it is believed.",
            runtime_findings.no_speed,
        ),
        Claim(
            "sparse-kernels-pay",
            "At true size, a kernel that skips zeros makes a model faster from 90 % on, and three"
            " times as fast from 95 % on.",
            "At true size, kernels that skip zeros did not make the model faster from 90 % on and"
            " three times as fast from 95 % on.",
            runtime_findings.sparse_kernels_pay,
        ),
        Claim(
            "small-models-gain-less",
            "From 90 % on, sparse kernels speed up the small models of this study, at their best,"
            " less than the model of true size.",
            "From 90 % on, sparse kernels sped up some small model more than the model of true"
            " size.",
            runtime_findings.small_models_gain_less,
        ),
        Claim(
            "eight-bits-win",
            "Eight bits keep more quality than any model pruned in one shot to a file as small.",
            "Some model pruned in one shot to a file as small kept more quality than eight bits.",
            tradeoff_findings.eight_bits_win,
        ),
        Claim(
            "student-wins",
            "A distilled student of half the depth keeps more quality than any pruned model with a"
            " file as small, trained or not.",
            "Some pruned model with a file as small kept more quality than a distilled student of"
            " half the depth.",
            tradeoff_findings.student_wins,
        ),
        Claim(
            "routers-find-experts",
            "A small learned router keeps no less than an oracle's choice of experts.",
            "Somewhere an oracle's choice of experts kept more than a small learned router's.",
            tradeoff_findings.experts_near_oracle,
        ),
        Claim(
            "cliff",
            "Quality falls off a cliff between 50 and 90 % on every task.",
            "On some task quality does not fall fastest between 50 and 90 %, or less than half of"
            " it falls there.",
            quality_findings.cliff,
        ),
        Claim(
            "threshold",
            "The threshold depends on the task: at one and the same sparsity, one benchmark keeps"
            " more of its quality than another.",
            "No level separates the benchmarks: their quality is kept or lost together.",
            quality_findings.threshold_differs,
        ),
        Claim(
            "lowest-level-free",
            "The lowest level costs nothing that these benchmarks can measure.",
            "Even the lowest level costs some benchmark a part of its quality.",
            quality_findings.lowest_level_is_free,
        ),
        Claim(
            "small-is-not-useless",
            "A weight near zero is not a useless weight.",
            "Removing the smaller half of the weights hurt no benchmark.",
            quality_findings.small_is_not_useless,
        ),
        Claim(
            "scope-matters",
            "With as many weights removed, sparing embeddings, norms and heads keeps more quality"
            " than pruning all weights alike.",
            "With as many weights removed, sparing embeddings, norms and heads kept less quality"
            " than pruning all weights alike.",
            methods_findings.scope_matters,
        ),
        Claim(
            "layers-differ",
            "In every model the weights of one block are spread wider than those of another by a"
            " quarter or more.",
            "In some model the weights of no block are spread wider than those of another by a"
            " quarter.",
            profile_findings.layers_differ,
        ),
        Claim(
            "differs-with-depth",
            "In every stack of four blocks or more, weights differ more from the model as a whole"
            " the deeper they lie.",
            "In some stack of four blocks or more, weights differ less from the model as a whole"
            " the deeper they lie.",
            profile_findings.differs_with_depth,
        ),
        Claim(
            "kinds-differ-more",
            "In every stack of four blocks or more, what a weight does tells more about its scale"
            " than how deep it lies.",
            "In some stack of four blocks or more, how deep a weight lies tells more about its"
            " scale than what it does.",
            profile_findings.kinds_differ_more,
        ),
        Claim(
            "methods-in-order",
            "From 50 % on SparseGPT keeps on average no less than Wanda, Wanda no less than global"
            " magnitude, and that no less than random pruning.",
            "From 50 % on SparseGPT, Wanda, global magnitude and random pruning do not stand in"
            " this order.",
            methods_findings.methods_in_order,
        ),
        Claim(
            "inputs-help",
            "Looking at the inputs pays: from 50 % on Wanda keeps more than magnitude within the"
            " same rows.",
            "From 50 % on Wanda kept less than magnitude within the same rows.",
            methods_findings.inputs_help,
        ),
        Claim(
            "inputs-cut-off",
            "At high sparsity Wanda leaves more inputs unread by any weight than magnitude does"
            " within the same rows.",
            "At some high level Wanda left fewer inputs unread by any weight than magnitude"
            " within the same rows.",
            methods_findings.inputs_cut_off,
        ),
        Claim(
            "correction-helps",
            "Correcting the kept weights pays: from 50 % on SparseGPT keeps more than Wanda, which"
            " sees the same inputs.",
            "From 50 % on SparseGPT kept less than Wanda, which sees the same inputs.",
            methods_findings.correction_helps,
        ),
        Claim(
            "patterns-cost",
            "A pattern costs quality: bound to N of M neighbours, the same choice keeps less.",
            "Bound to N of M neighbours, the same choice kept more.",
            methods_findings.patterns_cost,
        ),
        Claim(
            "structure-costs",
            "Removing whole neurons and heads costs more quality than the leading method does at"
            " the same sparsity.",
            "Removing whole neurons and heads cost less quality than the leading method at the"
            " same sparsity.",
            methods_findings.structure_costs,
        ),
        Claim(
            "training-recovers",
            "Fine-tuning with the masks kept brings classifiers at 90 % back to nine tenths of"
            " their quality.",
            "Fine-tuning with the masks kept left some classifier at 90 % below nine tenths of"
            " its quality.",
            training_findings.training_recovers,
        ),
        Claim(
            "masks-needed",
            "Fine-tuning without masks destroys more than half of the sparsity that was to be"
            " tuned.",
            "Fine-tuning without masks left half or more of the zeros where they were.",
            training_findings.masks_needed,
        ),
        Claim(
            "distillation-helps",
            "Distilling from the dense model recovers more than the labels alone.",
            "Distilling from the dense model recovered less than the labels alone.",
            training_findings.distillation_helps,
        ),
        Claim(
            "layers-bear-differently",
            "Parts of a model bear pruning differently: on every benchmark tried, one can be pruned"
            " alone for little, another not.",
            "On some benchmark tried, each part can be pruned alone for little, or none can.",
            layers_findings.layers_bear_differently,
        ),
        Claim(
            "allocation-helps",
            "Removing more where it costs less keeps more quality than removing as much"
            " everywhere.",
            "Removing more where it seemed to cost less kept less quality than removing as much"
            " everywhere.",
            layers_findings.allocation_helps,
        ),
        Claim(
            "one-answer",
            "A score at high sparsity can be that of a model that gives one answer to everything.",
            "No classifier at high sparsity gives one answer to everything.",
            quality_findings.one_answer,
        ),
    )
}


def verdict(data: Data, name: str) -> Checked:
    """The claim of that name, held against the results, if these mean anything. Raises RequestError
    if there is none."""
    if name not in CLAIMS:
        raise RequestError(unknown("claim", name, CLAIMS))
    if data.rehearsal:
        return Checked(CLAIMS[name], Verdict.UNCHECKED, "the weights of a rehearsal are random")
    return Checked(CLAIMS[name], *CLAIMS[name].check(data))


def by_verdict(data: Data) -> dict[Verdict, list[str]]:
    """The names of the claims of each verdict."""
    found: dict[Verdict, list[str]] = {one: [] for one in Verdict}
    for name in CLAIMS:
        found[verdict(data, name).verdict].append(name)
    return found


def statement(data: Data, name: str) -> Md:
    """The claim as the paper prints it: the sentence that is true, the verdict, the numbers."""
    found = verdict(data, name)
    said, label = f"“{escape(found.claim.sentence)}”", f"Claim *{escape(name)}*"
    match found.verdict:
        case Verdict.SUPPORTED:
            return Md(
                f"> **{escape(found.claim.sentence)}** {label}: supported by this run"
                f" ({found.evidence})."
            )
        case Verdict.CONTRADICTED:
            return Md(
                f"> **{escape(found.claim.otherwise)}** {label}: contradicted by this run"
                f" ({found.evidence}). The claim was: {said}"
            )
        case Verdict.UNDECIDED:
            return Md(f"> {label} is undecided by this run ({found.evidence}): {said}")
        case Verdict.UNCHECKED:
            return Md(f"> {label} cannot be checked in this study ({found.evidence}): {said}")


def overview(data: Data) -> Md:
    """All claims with their verdicts and numbers."""
    body = [
        [escape(v.claim.sentence), _word(v.verdict), v.evidence]
        for v in (verdict(data, name) for name in CLAIMS)
    ]
    return text.table(["Claim", "This run", "Numbers"], body, "lll")


def _word(found: Verdict) -> str:
    return f"**{found}**" if found is Verdict.CONTRADICTED else str(found)
