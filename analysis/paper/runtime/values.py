"""Speed-ups and how they were timed, as in a sentence."""

import pandas as pd

from analysis.execution.names import AUTO, DENSE, TILED_CSR, TORCH_CSR
from analysis.paper import text
from analysis.paper.data import Data
from analysis.paper.runtime.measures import FASTER, fastest_at_true_size
from analysis.paper.sourced import Sourced, sourced
from analysis.paper.text import escape


def speedup_range(data: Data) -> Sourced:
    """The range of the speed-ups over dense that zeros alone bring."""
    table = data.latency
    pruned = table[(table["sparsity"] > 0) & (table["kernel"] == DENSE)]
    return sourced(text.between(pruned["speedup"], text.times), "runtime", pruned)


def replica_speedup(data: Data) -> Sourced:
    """The speed-up at true size at the highest level, by the fastest sparse kernel."""
    found = _fastest_replica(data)
    return sourced(text.between(found["speedup"], text.times), "replicas", found)


def _fastest_replica(data: Data) -> pd.DataFrame:
    """The row of the fastest sparse kernel at the highest level; none if none was measured."""
    table = data["replicas"]
    sparse = table[(table["kernel"] != DENSE) & (table["sparsity"] == table["sparsity"].max())]
    return sparse if sparse.empty else sparse.loc[[sparse["speedup"].idxmax()]]


def replica_level(data: Data) -> Sourced:
    """The level of that number."""
    found = _fastest_replica(data)
    return sourced(text.between(found["sparsity"], text.level), "replicas", found)


def replica_input(data: Data) -> Sourced:
    """What a pass at true size is given: "one text of 128 tokens"."""
    table = data["replicas"]
    if table.empty:
        return sourced(text.MISSING, "replicas", [])
    row = table.iloc[0]
    shown = f"{text.counted(int(row['batch']), 'text')} of {text.count(row['tokens'])} tokens"
    return sourced(shown, "replicas", [row])


def crossover(data: Data) -> Sourced:
    """Where sparse kernels surely begin to gain at true size: "gains from 80 % on"."""
    found = fastest_at_true_size(data)
    slow = [level for level, speed in found.items() if not speed.low >= FASTER]
    gaining = [level for level in found if level > max(slow, default=0.0)]
    shown = f"gains from {text.level(min(gaining))} on" if gaining else "surely gains at no level"
    table = data["replicas"]
    return sourced(shown, "replicas", table[table["kernel"] != DENSE])


def replica_memory(data: Data) -> Sourced:
    """What its linear layers take in memory with that kernel, as a share of the dense ones."""
    found, table = _fastest_replica(data), data["replicas"]
    dense = table[table["kernel"] == DENSE].sort_values("linear_bytes").tail(1)
    shown = text.between(found["linear_bytes"] / dense["linear_bytes"].max(), text.percent)
    return sourced(shown, "replicas", pd.concat([found, dense]))


def masked_step(data: Data) -> Sourced:
    """How the time of a training step with masks kept compares with the dense model's."""
    found = _masked_steps(data)
    return sourced(text.between(1 / found["speedup"], text.times), "runtime", found)


def masked_level(data: Data) -> Sourced:
    """The levels of that number."""
    found = _masked_steps(data)
    return sourced(text.between(found["sparsity"], text.level), "runtime", found)


def _masked_steps(data: Data) -> pd.DataFrame:
    table = data.runtime
    return table[(table["operation"] == "train_step") & (table["sparsity"] > 0)]


def generation_speedup(data: Data) -> Sourced:
    """The speed-up of writing at the highest level, by the kernel chosen for each layer."""
    found = _written(data)
    return sourced(text.between(found["speedup"], text.times), "runtime", found)


def generation_level(data: Data) -> Sourced:
    """That level."""
    found = _written(data)
    return sourced(text.between(found["sparsity"], text.level), "runtime", found)


def _written(data: Data) -> pd.DataFrame:
    table = data.runtime
    rows = table[(table["operation"] == "generate") & (table["kernel"] == AUTO)]
    return rows[rows["sparsity"] == rows["sparsity"].max()]


def runtime_settings(data: Data) -> Sourced:
    """Threads, tokens, type and device of the timings, and how often each was repeated."""
    if data.latency.empty:
        return sourced("no forward pass was timed", "runtime", [])
    row = data.latency.iloc[0]
    runs = text.between(data.latency["iterations"], text.count)
    shown = escape(
        f"{row['tokens']} tokens, {row['dtype']}, {row['threads']} threads, {row['device']},"
        f" {runs} runs each"
    )
    return sourced(shown, "runtime", data.latency)


def kernel_list(data: Data) -> Sourced:
    """The kernels that were timed."""
    timed, replicas = data.latency, data["replicas"]
    known = set(timed["kernel"]) | set(replicas["kernel"])
    listed = [name for name in (DENSE, TORCH_CSR, TILED_CSR, AUTO) if name in known]
    shown = text.listing([f"**{escape(name)}**" for name in listed])
    return sourced(shown, *(("runtime", timed) if len(timed) else ("replicas", replicas)))
