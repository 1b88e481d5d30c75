"""Tables of latencies, of writing and training, and of a model of true size."""

from analysis.execution.names import AUTO, DENSE
from analysis.paper import cells, text
from analysis.paper.data import Data
from analysis.paper.text import Md, escape


def latencies(data: Data) -> Md:
    """Latency of each level and batch size, on the default kernel and on each layer's fastest."""
    table = data.latency[data.latency["kernel"].isin([DENSE, AUTO])]
    order = table["model"].map(data.models.index)
    keys = ["order", "batch", "kernel", "sparsity"]
    body = [
        [
            escape(row["model"]),
            text.count(row["batch"]),
            "dense" if row["sparsity"] == 0 else text.level(row["sparsity"]),
            escape(row["kernel"]),
            text.number(row["p50_ms"]),
            text.number(row["p95_ms"]),
            text.count(row["iterations"]),
            text.times(row["speedup"]),
            text.megabytes(row["peak_bytes"]),
        ]
        for _, row in table.assign(order=order).sort_values(keys).iterrows()
    ]
    lost = [m for m in data.models if m not in set(table["model"])] if len(table) else []
    rest = [text.MISSING] * 7
    body += [[escape(m), text.MISSING, cells.word(cells.untimed(data, m)), *rest[1:]] for m in lost]
    header = ["Model", "Batch", "Level", "Kernel", "p50 (ms)", "p95 (ms)", "Runs", "Speed-up",
              "Peak memory"]  # fmt: skip
    return text.table(header, body, "lrrlrrrrr")


def operations(data: Data) -> Md:
    """Writing and training: the dense model beside the levels of the method that was timed."""
    table = data.runtime[data.runtime["operation"] != "forward"]
    order = table["model"].map(data.models.index)
    chosen = table["kernel"] != DENSE
    body = [
        [
            escape(row["model"]),
            {"generate": "generate", "train_step": "training step"}[row["operation"]],
            "dense" if row["sparsity"] == 0 else text.level(row["sparsity"]),
            escape(row["kernel"]),
            text.number(row["p50_ms"]),
            text.number(row["tokens_per_second"]),
            text.times(row["speedup"]),
        ]
        for _, row in table.assign(order=order, chosen=chosen)
        .sort_values(["operation", "order", "chosen", "sparsity"])
        .iterrows()
    ]
    header = ["Model", "Operation", "Level", "Kernel", "p50 (ms)", "Tokens/s", "Speed-up"]
    return text.table(header, body, "llrlrrr")


def replicas(data: Data) -> Md:
    """Latency at true size by level and kernel."""
    body = [
        [
            escape(row["architecture"]),
            text.level(row["sparsity"]),
            escape(row["kernel"]),
            text.number(row["p50_ms"]),
            text.number(row["p95_ms"]),
            text.count(row["iterations"]),
            text.times(row["speedup"]),
            text.megabytes(row["linear_bytes"]),
        ]
        for _, row in data["replicas"].sort_values(["sparsity", "kernel"]).iterrows()
    ]
    header = ["Model", "Level", "Kernel", "p50 (ms)", "p95 (ms)", "Runs", "Speed-up",
              "Linear layers"]  # fmt: skip
    return text.table(header, body, "lrlrrrrr")
