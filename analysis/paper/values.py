"""The numbers and names in the paper's running text, each ready to be read.

None of them names a model, a task or a level of its own: they hold for any study.
"""

from analysis.paper import text, weights
from analysis.paper.data import Data
from analysis.paper.text import escape
from analysis.paper.verdicts import retained

_SAFE = 0.9  # of the dense quality


def title(data: Data) -> str:
    return escape(data.environment["title"])


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


def leading_method(data: Data) -> str:
    """The method that figures and claims lead with."""
    return f"**{escape(data.leading)}**" if data.leading else "none, since nothing was pruned"


def trained_before(data: Data) -> str:
    """The method whose masks the trainings begin with."""
    found = [data.before(name) for name in data.trained]
    return escape(found[-1]) if found else "none"


def method_count(data: Data) -> str:
    """How many methods prune in one shot, patterns of one method together."""
    return text.counted(data.one_shot["method"].nunique(), "method")


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


def levels(data: Data) -> str:
    if not data.levels:
        return "no level of"
    return text.listing([f"{100 * level:g}" for level in data.levels]) + "\u00a0%"


def highest_level(data: Data) -> str:
    return text.level(data.levels[-1]) if data.levels else "no"


def tokens_per_word(data: Data) -> str:
    """The range over models of how many tokens a word of the benchmarks takes."""
    return text.between(data.quality["tokens_per_word"], lambda n: f"{n:.2f}")


def confidence(data: Data) -> str:
    return text.level(data.environment["bootstrap"]["confidence"])


def resamples(data: Data) -> str:
    return text.count(data.environment["bootstrap"]["resamples"])


def far_range(data: Data) -> str:
    """The widest range over definitions of the share of one model's weights far from zero."""
    ranges = []
    for model in data.profiled:
        row = data.one(data["profile_scopes"], model=model, scope="model")
        shares = [share(row) for share in weights.FAR_FROM_ZERO.values()]
        ranges.append((max(shares) - min(shares), shares))
    if not ranges:
        return "anything from sparse to"
    _, shares = max(ranges, key=lambda found: found[0])
    return f"{text.percent(min(shares), 0)} or {text.percent(max(shares), 0)}"


def most_different(data: Data) -> str:
    """For each model the block that differs most from the whole, as sentences would have it."""
    said = []
    for model in data.models:
        row = weights.most_different(data, model)
        if row is not None:
            where = f"{row['part']} block {row['layer']:g}"
            said.append(f"{escape(model)}'s {where} ({text.number(row['ks_distance'])})")
    if not said:
        return "No block of a model was compared with the whole"
    return "Farthest from their model as a whole are " + text.listing(said)


def exact_zeros(data: Data) -> str:
    """How many weights of all models are exactly zero: "no weight is", "1,234 weights are"."""
    whole = data["profile_scopes"]
    zeros = int(whole.loc[whole["scope"] == "model", "zeros"].sum())
    return {0: "no weight is", 1: "one weight is"}.get(zeros, f"{text.count(zeros)} weights are")


def prunable_share(data: Data) -> str:
    """The range over models of what is prunable of all parameters."""
    models = data["models"]
    return text.between(models["prunable_parameters"] / models["parameters"], text.percent)


def mean_retained(data: Data, level: float) -> str:
    """Retained quality at a level under the leading method, averaged over benchmarks.

    A benchmark below chance counts as nothing retained.
    """
    return text.percent(data.mean_retained(data.retained(data.leading, level).values()), 0)


def mean_retained_list(data: Data) -> str:
    """The mean at every level that was scored, as in a sentence."""
    found = [(mean_retained(data, level), level) for level in data.levels]
    return text.listing([f"{m} at {text.level(lv)}" for m, lv in found if m != text.MISSING])


def safe_level(data: Data) -> str:
    """The level up to which every benchmark surely retains nine tenths."""
    level = _safe(data)
    return "none of the levels" if level is None else text.level(level)


def safe_sentence(data: Data) -> str:
    """The same as a sentence."""
    level = _safe(data)
    if level is None:
        return "At none of the levels does each of them surely retain nine tenths."
    return (
        "By the lower ends of their intervals, each of them retains nine tenths up to"
        f" {text.level(level)}."
    )


def _safe(data: Data) -> float | None:
    """That level; None if the lowest is none. A benchmark that failed at a level is not safe."""
    safe = None
    for level in data.levels:
        rows = [data.find(*cell, data.leading, level) for cell in data.sound()]
        if not rows or any(row is None or not retained(row).low >= _SAFE for row in rows):
            break
        safe = level
    return safe


def processor(data: Data) -> str:
    hardware = data.environment["hardware"]
    return escape(f"{hardware['processor']}, {hardware['cores']} cores")


def study_name(data: Data) -> str:
    return escape(data.environment["study"])
