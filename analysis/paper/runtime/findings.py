"""Whether zeros save time, with which kernels, at which size."""

from analysis.execution.names import DENSE
from analysis.paper import text
from analysis.paper.data import Data
from analysis.paper.runtime.measures import FASTER, fastest, fastest_at_true_size, speedups
from analysis.paper.text import escape
from analysis.paper.verdicts import Cell, Finding, Verdict, everywhere, mean, unchecked


def no_speed(data: Data) -> Finding:
    """Zeroed weights on torch's dense kernels.

    Any one median may contradict it; else a model's levels and batches are averaged.
    """
    table = data.latency
    pruned = table[(table["sparsity"] > 0) & (table["kernel"] == DENSE)]
    if pruned.empty:
        return unchecked("no pruned model was timed on a dense kernel")
    slower = [-(cell - FASTER) for cell in speedups(pruned)]
    models = [mean(speedups(own)) for _, own in pruned.groupby("model", sort=False)]
    found = everywhere(slower, data.alpha)
    if found is not Verdict.CONTRADICTED:
        found = everywhere([-(cell - FASTER) for cell in models], data.alpha)
    faster = [cell.side(data.alpha, len(set(slower))) for cell in slower].count(-1)
    return found, (
        f"{text.numbered(len(slower), 'median')}, {text.between(pruned['speedup'], text.times)} the"
        f" dense speed; means of {text.numbered(len(models), 'model')}:"
        f" {text.listing([_times(cell) for cell in models])}; {faster} medians surely"
        f" {text.times(FASTER)} or more"
    )


def sparse_kernels_pay(
    data: Data, *, faster_from: float, times: float, times_from: float
) -> Finding:
    """At true size: faster from one level on, and so many times as fast from another on."""
    table = data["replicas"]
    found = fastest_at_true_size(data)
    if not any(level >= times_from for level in found):
        return unchecked(f"no model of true size timed from {text.level(times_from)} on")
    wanted = [cell - FASTER for level, cell in found.items() if level >= faster_from]
    wanted += [cell - times for level, cell in found.items() if level >= times_from]
    shown = text.listing([f"{_times(cell)} at {text.level(x)}" for x, cell in found.items()])
    return everywhere(wanted, data.alpha), (
        f"{escape(table['architecture'].iloc[0])}, fastest sparse kernel against torch's dense"
        f" one: {shown}; faster means {text.times(FASTER)}"
    )


def _times(cell: Cell) -> str:
    return f"{text.times(cell.value)} ({cell.low:.2f} to {cell.high:.2f})"


def small_models_gain_less(data: Data, *, from_level: float, parameters: float = 50e6) -> Finding:
    """The best of kernels and batches of models below so many parameters, against true size.

    The smallest model in wide use is larger than 50 million.
    """
    table, large = data.latency, fastest_at_true_size(data)
    known = data["models"].set_index("model")["parameters"].astype(float)
    little = table["model"].isin(known.index[known < parameters])
    timed = table[little & (table["kernel"] != DENSE) & (table["sparsity"] > 0)]
    small = fastest(timed, data.alpha)
    both = {x: (small[x], large[x]) for x in sorted(small) if x in large and x >= from_level}
    if not both:
        return unchecked(f"no level from {text.level(from_level)} on timed at both sizes")
    shown = "; ".join(
        f"{text.level(x)}: {_times(here)} here, {_times(there)} there"
        for x, (here, there) in both.items()
    )
    return everywhere([there - here for here, there in both.values()], data.alpha), (
        f"the best of {text.numbered(timed['model'].nunique(), 'small model')} and all batches:"
        f" {shown}"
    )
