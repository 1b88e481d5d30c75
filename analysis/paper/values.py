"""The numbers and names in the paper's running text, each ready to be read.

None of them names a model, a task or a level of its own: they hold for any study.
"""

import pandas as pd

from analysis.execution.names import AUTO, DENSE
from analysis.paper import claims, text, weights
from analysis.paper.data import Data
from analysis.paper.saving_findings import FASTER
from analysis.paper.text import escape


def title(data: Data) -> str:
    return escape(data.environment["title"])


def model_count(data: Data) -> str:
    """How many transformers are studied: "three transformers"."""
    return text.counted(len(data.models), "transformer")


def model_list(data: Data) -> str:
    """Each model with its family, as in a sentence."""
    rows = data["models"].to_dict("records")
    return text.listing([f"{escape(r['model'])} ({escape(r['family'])})" for r in rows])


def parameters(data: Data) -> str:
    """The range of the models' parameters, in millions."""
    return text.between(data["models"]["parameters"], lambda n: f"{n / 1e6:.1f}") + "\u00a0million"


def leading_method(data: Data) -> str:
    """The method that figures and claims lead with."""
    return f"**{escape(data.methods[0])}**"


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
        own = [escape(data.task_title(task)) for name, task in data.cells() if name == model]
        listed.append(f"{escape(model)} on {text.listing(own)}")
    return "; ".join(listed)


def levels(data: Data) -> str:
    return text.listing([f"{100 * level:g}" for level in data.levels]) + "\u00a0%"


def lowest_level(data: Data) -> str:
    return text.level(data.levels[0])


def highest_level(data: Data) -> str:
    return text.level(data.levels[-1])


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
    for model in data.models:
        row = data.one(data["profile_scopes"], model=model, scope="model")
        shares = [share(row) for share in weights.FAR_FROM_ZERO.values()]
        ranges.append((max(shares) - min(shares), shares))
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
    values = (data.at(*cell, data.methods[0], level)["retained"] for cell in data.cells())
    return text.percent(data.mean_retained(values), 0)


def mean_retained_lowest(data: Data) -> str:
    return mean_retained(data, data.levels[0])


def mean_retained_highest(data: Data) -> str:
    return mean_retained(data, data.levels[-1])


def mean_retained_list(data: Data) -> str:
    """The mean at every level, as in a sentence."""
    return text.listing([f"{mean_retained(data, lv)} at {text.level(lv)}" for lv in data.levels])


def safe_level(data: Data) -> str:
    """The highest level at which every benchmark retains nine tenths, for sure or not."""
    safe = [
        level
        for level in data.levels
        if all(data.at(*c, data.methods[0], level)["retained"] >= 0.9 for c in data.cells())
    ]
    return text.level(max(safe)) if safe else "none of the levels"


def stored_share(data: Data) -> str:
    """The sparse file at the highest level, as a share of the dense file, over models."""
    return _size(data, "auto", "ratio")


def compressed_share(data: Data) -> str:
    """The dense file, compressed, at the highest level, as a share of it, over models."""
    return _size(data, "dense+zstd", "ratio")


def bound_share(data: Data) -> str:
    """The entropy bound at the highest level, as a share of the dense file, over models."""
    rows = [data.sizes_of(model) for model in data.models]
    found = []
    for part in rows:
        dense = part.loc[(part["format"] == "dense") & (part["sparsity"] == 0), "bytes"].iloc[0]
        top = part[(part["format"] == "dense") & (part["sparsity"] == data.levels[-1])]
        found.append(top["bound_bytes"].iloc[0] / dense)
    return text.between(found, text.percent)


def _size(data: Data, name: str, column: str) -> str:
    rows = pd.concat([data.sizes_of(model) for model in data.models])
    chosen = rows[(rows["format"] == name) & (rows["sparsity"] == data.levels[-1])]
    return text.between(chosen[column], text.percent)


def speedup_range(data: Data) -> str:
    """The range of the speed-ups over dense that zeros alone bring."""
    table = data.latency
    pruned = table[(table["sparsity"] > 0) & (table["kernel"] == DENSE)]
    return text.between(pruned["speedup"], text.times)


def replica_speedup(data: Data) -> str:
    """The speed-up at true size at the highest level, by the fastest sparse kernel."""
    found = _fastest_replica(data)
    return text.times(found["speedup"]) if found is not None else "an unknown number of times"


def _fastest_replica(data: Data) -> pd.Series | None:
    """The row of the fastest sparse kernel at the highest level; None if none was measured."""
    table = data["replicas"]
    sparse = table[(table["kernel"] != DENSE) & (table["sparsity"] == table["sparsity"].max())]
    return None if sparse.empty else sparse.loc[sparse["speedup"].idxmax()]


def crossover(data: Data) -> str:
    """Where sparse kernels begin to gain at true size: "gains from 80 % on"."""
    table = data["replicas"]
    best = table[table["kernel"] != DENSE].groupby("sparsity")["speedup"].max()
    slow = best[best < FASTER].index
    gaining = best[best.index > (max(slow) if len(slow) else 0)].index
    return f"gains from {text.level(min(gaining))} on" if len(gaining) else "gains at no level"


def replica_memory(data: Data) -> str:
    """What its linear layers take in memory with that kernel, as a share of the dense ones."""
    found, table = _fastest_replica(data), data["replicas"]
    if found is None:
        return text.MISSING
    dense = table.loc[table["kernel"] == DENSE, "linear_bytes"].max()
    return text.percent(found["linear_bytes"] / dense)


def masked_step(data: Data) -> str:
    """How the time of a training step with masks kept compares with the dense model's."""
    table = data.runtime
    steps = table[(table["operation"] == "train_step") & (table["sparsity"] > 0)]
    return text.between(1 / steps["speedup"], text.times)


def generation_speedup(data: Data) -> str:
    """The speed-up of writing at the highest level, by the kernel chosen for each layer."""
    table = data.runtime
    rows = table[(table["operation"] == "generate") & (table["kernel"] == AUTO)]
    return text.between(rows.loc[rows["sparsity"] == rows["sparsity"].max(), "speedup"], text.times)


def runtime_settings(data: Data) -> str:
    """Threads, tokens, type and device of the timings, and how often each was repeated."""
    if data.latency.empty:
        return "no forward pass was timed"
    row = data.latency.iloc[0]
    runs = text.between(data.latency["iterations"], text.count)
    return escape(
        f"{row['tokens']} tokens, {row['dtype']}, {row['threads']} threads, {row['device']},"
        f" {runs} runs each"
    )


def claim_count(data: Data) -> str:
    return text.spelled(len(claims.CLAIMS))


def supported_count(data: Data) -> str:
    return text.spelled(len(claims.CLAIMS) - len(claims.unsupported(data)))


def unsupported_list(data: Data) -> str:
    """The claims that this run does not support, by name."""
    return text.listing([f"*{escape(name)}*" for name in claims.unsupported(data)])


def processor(data: Data) -> str:
    hardware = data.environment["hardware"]
    return escape(f"{hardware['processor']}, {hardware['cores']} cores")


def study_name(data: Data) -> str:
    return escape(data.environment["study"])
