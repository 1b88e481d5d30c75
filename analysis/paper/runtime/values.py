"""Speed-ups and how they were timed, as in a sentence."""

import pandas as pd

from analysis.execution.names import AUTO, DENSE, TILED_CSR, TORCH_CSR
from analysis.paper import text
from analysis.paper.data import Data
from analysis.paper.runtime.measures import FASTER, fastest_at_true_size
from analysis.paper.text import escape


def speedup_range(data: Data) -> str:
    """The range of the speed-ups over dense that zeros alone bring."""
    table = data.latency
    pruned = table[(table["sparsity"] > 0) & (table["kernel"] == DENSE)]
    return text.between(pruned["speedup"], text.times)


def replica_speedup(data: Data) -> str:
    """The speed-up at true size at the highest level, by the fastest sparse kernel."""
    found = _fastest_replica(data)
    return text.times(found["speedup"]) if found is not None else text.MISSING


def _fastest_replica(data: Data) -> pd.Series | None:
    """The row of the fastest sparse kernel at the highest level; None if none was measured."""
    table = data["replicas"]
    sparse = table[(table["kernel"] != DENSE) & (table["sparsity"] == table["sparsity"].max())]
    return None if sparse.empty else sparse.loc[sparse["speedup"].idxmax()]


def replica_level(data: Data) -> str:
    """The level of that number."""
    found = _fastest_replica(data)
    return text.level(found["sparsity"]) if found is not None else text.MISSING


def replica_input(data: Data) -> str:
    """What a pass at true size is given: "one text of 128 tokens"."""
    table = data["replicas"]
    if table.empty:
        return text.MISSING
    row = table.iloc[0]
    return f"{text.counted(int(row['batch']), 'text')} of {text.count(row['tokens'])} tokens"


def crossover(data: Data) -> str:
    """Where sparse kernels surely begin to gain at true size: "gains from 80 % on"."""
    found = fastest_at_true_size(data)
    slow = [level for level, speed in found.items() if not speed.low >= FASTER]
    gaining = [level for level in found if level > max(slow, default=0.0)]
    return f"gains from {text.level(min(gaining))} on" if gaining else "surely gains at no level"


def replica_memory(data: Data) -> str:
    """What its linear layers take in memory with that kernel, as a share of the dense ones."""
    found, table = _fastest_replica(data), data["replicas"]
    if found is None:
        return text.MISSING
    dense = table.loc[table["kernel"] == DENSE, "linear_bytes"].max()
    return text.percent(found["linear_bytes"] / dense)


def masked_step(data: Data) -> str:
    """How the time of a training step with masks kept compares with the dense model's."""
    return text.between(1 / _masked_steps(data)["speedup"], text.times)


def masked_level(data: Data) -> str:
    """The levels of that number."""
    return text.between(_masked_steps(data)["sparsity"], text.level)


def _masked_steps(data: Data) -> pd.DataFrame:
    table = data.runtime
    return table[(table["operation"] == "train_step") & (table["sparsity"] > 0)]


def generation_speedup(data: Data) -> str:
    """The speed-up of writing at the highest level, by the kernel chosen for each layer."""
    return text.between(_written(data)["speedup"], text.times)


def generation_level(data: Data) -> str:
    """That level."""
    return text.between(_written(data)["sparsity"], text.level)


def _written(data: Data) -> pd.DataFrame:
    table = data.runtime
    rows = table[(table["operation"] == "generate") & (table["kernel"] == AUTO)]
    return rows[rows["sparsity"] == rows["sparsity"].max()]


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


def kernel_list(data: Data) -> str:
    """The kernels that were timed."""
    known = set(data.latency["kernel"]) | set(data["replicas"]["kernel"])
    listed = [name for name in (DENSE, TORCH_CSR, TILED_CSR, AUTO) if name in known]
    return text.listing([f"**{escape(name)}**" for name in listed])
