"""Claims: sentences tied to a predicate over the results, printed with the verdict and numbers."""

from collections.abc import Callable
from dataclasses import dataclass

from analysis.errors import RequestError, unknown
from analysis.paper import findings, method_findings, saving_findings, text
from analysis.paper.data import Data
from analysis.paper.findings import Finding
from analysis.paper.text import Md, escape


@dataclass(frozen=True)
class Claim:
    """A sentence, the sentence to write if it does not hold, and what decides."""

    name: str
    sentence: str
    otherwise: str
    check: Callable[[Data], Finding]


@dataclass(frozen=True)
class Verdict:
    """A claim held against the results of one run."""

    claim: Claim
    supported: bool | None
    evidence: str

    @property
    def word(self) -> str:
        words = {True: "supported", False: "not supported", None: "cannot be checked"}
        return words[self.supported]

    @property
    def consequence(self) -> str:
        """The sentence that is true in this run; of a claim that cannot be checked, the claim."""
        return self.claim.otherwise if self.supported is False else self.claim.sentence


CLAIMS = {
    claim.name: claim
    for claim in (
        Claim(
            "dense-bytes",
            "Zeroing weights leaves the dense file as large as before.",
            "In this run some dense files changed their size when weights were zeroed.",
            saving_findings.dense_bytes,
        ),
        Claim(
            "compressor-finds-zeros",
            "A general compressor finds the zeros: from 90 % sparsity on it writes at most half"
            " of the dense file.",
            "A general compressor does not halve the file even at high sparsity.",
            saving_findings.zstd_finds_zeros,
        ),
        Claim(
            "sparse-files-shrink",
            "A sparse file is smaller than the dense one from the lowest level on, and from 50 % on"
            " comes within an eighth of the entropy bound.",
            "Not every sparse file is smaller than the dense one and, from 50 % on, within an"
            " eighth of the entropy bound.",
            saving_findings.sparse_files_shrink,
        ),
        Claim(
            "no-speed",
            "Zeros alone do not make dense kernels faster.",
            "Some pruned variant ran faster than the dense model on the same dense kernels, which"
            " calls for an explanation before it is believed.",
            saving_findings.no_speed,
        ),
        Claim(
            "sparse-kernels-pay",
            "At true size, a kernel that skips zeros makes a model faster from 90 % on, and three"
            " times as fast from 95 % on.",
            "At true size, kernels that skip zeros did not make the model faster from 90 % on and"
            " three times as fast from 95 % on.",
            saving_findings.sparse_kernels_pay,
        ),
        Claim(
            "small-models-gain-less",
            "From 90 % on, sparse kernels speed up the small models of this study, at their best,"
            " less than the model of true size.",
            "From 90 % on, sparse kernels sped up some small model as much as the model of true"
            " size.",
            saving_findings.small_models_gain_less,
        ),
        Claim(
            "eight-bits-win",
            "Eight bits keep more quality than any model pruned in one shot to a file as small.",
            "Eight bits did not always keep more quality, beyond chance, than every model pruned in"
            " one shot to a file as small.",
            saving_findings.eight_bits_win,
        ),
        Claim(
            "student-wins",
            "A distilled student of half the depth keeps more quality than any pruned model with a"
            " file as small, trained or not.",
            "A distilled student of half the depth did not always keep more quality, beyond chance,"
            " than every pruned model with a file as small.",
            saving_findings.student_wins,
        ),
        Claim(
            "routers-find-experts",
            "No oracle's choice of experts keeps more, beyond chance, than a small learned"
            " router's.",
            "Somewhere an oracle's choice of experts kept more than the learned router's, beyond"
            " chance.",
            saving_findings.experts_near_oracle,
        ),
        Claim(
            "cliff",
            "Quality falls off a cliff between 50 and 90 % on every task.",
            "The steepest fall of quality does not lie between 50 and 90 % on every task.",
            findings.cliff,
        ),
        Claim(
            "threshold",
            "The threshold depends on the task: at one and the same sparsity, one benchmark keeps"
            " more of its quality than another.",
            "No level separates the benchmarks: their quality is kept or lost together.",
            findings.threshold_differs,
        ),
        Claim(
            "lowest-level-free",
            "The lowest level costs nothing that these benchmarks can measure.",
            "Even the lowest level costs some benchmark a measurable part of its quality.",
            findings.lowest_level_is_free,
        ),
        Claim(
            "small-is-not-useless",
            "A weight near zero is not a useless weight.",
            "Removing the smaller half of the weights hurt no benchmark measurably.",
            findings.small_is_not_useless,
        ),
        Claim(
            "scope-matters",
            "At the same level, sparing embeddings, norms and heads keeps more quality than pruning"
            " all weights alike.",
            "Sparing embeddings, norms and heads did not keep more quality, beyond chance, than"
            " pruning all alike.",
            findings.scope_matters,
        ),
        Claim(
            "layers-differ",
            "How many weights lie near zero varies by a quarter or more between the blocks of every"
            " model.",
            "The blocks of at least one model differ by less than a quarter in how many weights lie"
            " near zero.",
            findings.layers_differ,
        ),
        Claim(
            "differs-with-depth",
            "In every stack of four blocks or more, weights differ more from the model as a whole"
            " the deeper they lie.",
            "Not in every stack of four blocks or more do weights differ more from the model as a"
            " whole the deeper they lie.",
            findings.differs_with_depth,
        ),
        Claim(
            "kinds-differ-more",
            "In every stack of four blocks or more, what a weight does tells more about its scale"
            " than how deep it lies.",
            "Not in every stack of four blocks or more does what a weight does tell more about its"
            " scale than how deep it lies.",
            findings.kinds_differ_more,
        ),
        Claim(
            "methods-in-order",
            "From 50 % on SparseGPT keeps on average no less than Wanda, Wanda no less than global"
            " magnitude, and that no less than random pruning.",
            "SparseGPT, Wanda, global magnitude and random pruning do not stand in this order at"
            " every level from 50 % on.",
            method_findings.methods_in_order,
        ),
        Claim(
            "inputs-help",
            "Looking at the inputs pays: from 50 % on Wanda keeps more than magnitude within the"
            " same rows.",
            "From 50 % on Wanda did not keep more, beyond chance, than magnitude within the same"
            " rows.",
            method_findings.inputs_help,
        ),
        Claim(
            "inputs-cut-off",
            "At high sparsity Wanda leaves more inputs unread by any weight than magnitude does"
            " within the same rows.",
            "Wanda did not, at each high level, leave more inputs unread by any weight than"
            " magnitude within the same rows.",
            method_findings.inputs_cut_off,
        ),
        Claim(
            "correction-helps",
            "Correcting the kept weights pays: from 50 % on SparseGPT keeps more than Wanda, which"
            " sees the same inputs.",
            "From 50 % on SparseGPT did not keep more, beyond chance, than Wanda, which sees the"
            " same inputs.",
            method_findings.correction_helps,
        ),
        Claim(
            "patterns-cost",
            "A pattern costs quality: bound to N of M neighbours, the same choice keeps less.",
            "Bound to N of M neighbours, the same choice did not keep less beyond chance.",
            method_findings.patterns_cost,
        ),
        Claim(
            "structure-costs",
            "Removing whole neurons and heads costs more quality than the leading method does at"
            " the same sparsity.",
            "Removing whole neurons and heads did not cost more quality, beyond chance, than the"
            " leading method at the same sparsity.",
            method_findings.structure_costs,
        ),
        Claim(
            "training-recovers",
            "Fine-tuning with the masks kept brings classifiers at 90 % back to nine tenths of"
            " their quality.",
            "Fine-tuning with the masks kept did not bring every classifier at 90 % back to nine"
            " tenths of its quality.",
            method_findings.training_recovers,
        ),
        Claim(
            "masks-needed",
            "Fine-tuning without masks destroys more than half of the sparsity that was to be"
            " tuned.",
            "Fine-tuning without masks left half or more of the zeros where they were.",
            method_findings.masks_needed,
        ),
        Claim(
            "distillation-helps",
            "Distilling from the dense model recovers more than the labels alone.",
            "Distilling from the dense model did not recover more, beyond chance, than the labels"
            " alone.",
            method_findings.distillation_helps,
        ),
        Claim(
            "layers-bear-differently",
            "Parts of a model bear pruning differently: on every benchmark tried, one can be pruned"
            " alone for little, another not.",
            "Not on every benchmark tried do the parts of a model bear pruning differently.",
            method_findings.layers_bear_differently,
        ),
        Claim(
            "allocation-helps",
            "Removing more where it costs less keeps more quality than removing as much"
            " everywhere.",
            "Removing more where it seemed to cost less did not keep more quality, beyond chance,"
            " than removing as much everywhere.",
            method_findings.allocation_helps,
        ),
        Claim(
            "one-answer",
            "A score at high sparsity can be that of a model that gives one answer to everything.",
            "No classifier at high sparsity gives one answer to everything.",
            findings.one_answer,
        ),
    )
}


def verdict(data: Data, name: str) -> Verdict:
    """The claim of that name, held against the results, if these mean anything. Raises RequestError
    if there is none."""
    if name not in CLAIMS:
        raise RequestError(unknown("claim", name, CLAIMS))
    if data.rehearsal:
        return Verdict(CLAIMS[name], None, "the weights of a rehearsal are random")
    return Verdict(CLAIMS[name], *CLAIMS[name].check(data))


def by_verdict(data: Data) -> dict[bool | None, list[str]]:
    """The names of the claims that are supported (True), contradicted, or beyond checking."""
    found: dict[bool | None, list[str]] = {True: [], False: [], None: []}
    for name in CLAIMS:
        found[verdict(data, name).supported].append(name)
    return found


def statement(data: Data, name: str) -> Md:
    """The claim as the paper prints it: the sentence that is true, the verdict, the numbers."""
    found = verdict(data, name)
    said, label = f"“{escape(found.claim.sentence)}”", f"Claim *{escape(name)}*"
    if found.supported is None:
        return Md(f"> {label} cannot be checked in this study ({found.evidence}): {said}")
    claimed = f" The claim was: {said}" if not found.supported else ""
    return Md(
        f"> **{escape(found.consequence)}** {label}: {found.word} by this run"
        f" ({found.evidence}).{claimed}"
    )


def overview(data: Data) -> Md:
    """All claims with their verdicts and numbers."""
    body = [
        [escape(v.claim.sentence), f"**{v.word}**" if v.supported is False else v.word, v.evidence]
        for v in (verdict(data, name) for name in CLAIMS)
    ]
    return text.table(["Claim", "This run", "Numbers"], body, "lll")
