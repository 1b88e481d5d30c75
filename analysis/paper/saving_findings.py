"""What the results say about claims on bytes and milliseconds."""

import pandas as pd

from analysis.execution.names import DENSE
from analysis.paper import series, text, tradeoff
from analysis.paper.data import Data
from analysis.paper.text import escape
from analysis.paper.verdicts import (
    MARGIN,
    Cell,
    Finding,
    Verdict,
    best,
    everywhere,
    holds,
    mean,
    unchecked,
)

FASTER = 1.10  # the dense speed that many times counts as faster
_SAME_BYTES = 0.001  # files within 0.1 % are as large: a header may differ by a few bytes
_HALVED = 0.5
_NEAR_BOUND = 1.125
_MIDDLE = 0.5
_HIGH = 0.9
_VERY_HIGH = 0.95
_THREE_TIMES = 3.0
_SMALL = 50e6  # parameters: below the smallest model that is in wide use


def dense_bytes(data: Data) -> Finding:
    """Of the models whose weights were zeroed; those that are smaller in shape are none."""
    variants = data["variants"]
    zeroed = variants[variants["kind"].isin(["dense", "pruned"])]
    zeroed = zeroed[~zeroed["settings"].str.contains('"kept"', regex=False)]
    sizes = data["size"]
    chosen = (sizes["format"] == "dense") & sizes["variant"].isin(zeroed["variant"])
    ratios = sizes.loc[chosen, "ratio"]
    if not zeroed.loc[zeroed["variant"].isin(sizes["variant"][chosen]), "kind"].eq("pruned").any():
        return unchecked("no dense file of a pruned model was written")
    shown = text.between(ratios, lambda r: text.percent(r, 2))
    same = ratios.sub(1).abs() <= _SAME_BYTES
    return everywhere([holds(found) for found in same], data.alpha), (
        f"{text.numbered(len(ratios), 'file')}, {shown} of the dense model's bytes; as large means"
        f" within {text.percent(_SAME_BYTES)}"
    )


def zstd_finds_zeros(data: Data) -> Finding:
    rows = _files(data, "dense+zstd", _HIGH)
    if rows.empty:
        return unchecked(f"no file compressed by zstd from {text.level(_HIGH)} on")
    bounds = rows["bytes"] / rows["bound_bytes"]
    return everywhere([holds(ratio <= _HALVED) for ratio in rows["ratio"]], data.alpha), (
        f"from {text.level(_HIGH)} on, {text.between(rows['ratio'], text.percent)} of the dense"
        f" file, {text.between(bounds, text.times)} the entropy bound"
    )


def sparse_files_shrink(data: Data) -> Finding:
    """Whether every file is smaller than dense, and from the middle on near the bound."""
    rows = _files(data, "auto", 0.0)
    rows = rows[rows["sparsity"] > 0]
    high = rows[rows["sparsity"] >= _MIDDLE]
    if high.empty:
        return unchecked(f"no sparse file was written from {text.level(_MIDDLE)} on")
    bounds = high["bytes"] / high["bound_bytes"]
    found = [*(ratio < 1 for ratio in rows["ratio"]), *(x <= _NEAR_BOUND for x in bounds)]
    return everywhere([holds(one) for one in found], data.alpha), (
        f"from {text.level(rows['sparsity'].min())} on, {text.between(rows['ratio'], text.percent)}"
        f" of the dense file; from {text.level(_MIDDLE)} on, {text.between(bounds, _thousandths)}"
        f" the entropy bound, where an eighth more is {_thousandths(_NEAR_BOUND)}"
    )


def _thousandths(ratio: float) -> str:
    return f"{text.fixed(ratio, 3)}\u00a0×"


def _files(data: Data, name: str, least: float) -> pd.DataFrame:
    rows = pd.concat([data.sizes_of(model) for model in data.models])
    return rows[(rows["format"] == name) & (rows["sparsity"] >= least)]


def _speedup(row: pd.Series) -> Cell:
    """How many times as fast as dense it is; an unknown end is no bound."""
    low, high = row["speedup_low"], row["speedup_high"]
    return Cell(
        float(row["speedup"]),
        0.0 if pd.isna(low) else float(low),
        float("inf") if pd.isna(high) else float(high),
    )


def _speedups(table: pd.DataFrame) -> list[Cell]:
    return [_speedup(row) for _, row in table.iterrows()]


def no_speed(data: Data) -> Finding:
    """Zeroed weights on torch's dense kernels.

    Any one median may contradict it; else a model's levels and batches are averaged.
    """
    table = data.latency
    pruned = table[(table["sparsity"] > 0) & (table["kernel"] == DENSE)]
    if pruned.empty:
        return unchecked("no pruned model was timed on a dense kernel")
    slower = [-(cell - FASTER) for cell in _speedups(pruned)]
    models = [mean(_speedups(own)) for _, own in pruned.groupby("model", sort=False)]
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


def sparse_kernels_pay(data: Data) -> Finding:
    """At true size: faster from 90 % on, and three times as fast from 95 % on."""
    table = data["replicas"]
    found = fastest_at_true_size(data)
    if not any(level >= _VERY_HIGH for level in found):
        return unchecked("no model of true size was timed at a high sparsity")
    wanted = [cell - FASTER for level, cell in found.items() if level >= _HIGH]
    wanted += [cell - _THREE_TIMES for level, cell in found.items() if level >= _VERY_HIGH]
    shown = text.listing([f"{_times(cell)} at {text.level(x)}" for x, cell in found.items()])
    return everywhere(wanted, data.alpha), (
        f"{escape(table['architecture'].iloc[0])}, the fastest sparse kernel against torch's dense"
        f" one: {shown}; faster means {text.times(FASTER)}"
    )


def fastest_at_true_size(data: Data) -> dict[float, Cell]:
    """How many times as fast as dense the fastest sparse kernel is, level by level."""
    table = data["replicas"]
    return _fastest(table[table["kernel"] != DENSE], data.alpha)


def _fastest(table: pd.DataFrame, alpha: float) -> dict[float, Cell]:
    return {float(level): best(_speedups(rows), alpha) for level, rows in table.groupby("sparsity")}


def _times(cell: Cell) -> str:
    return f"{text.times(cell.value)} ({cell.low:.2f} to {cell.high:.2f})"


def small_models_gain_less(data: Data) -> Finding:
    """The best of kernels and batches at the size of the models studied, against true size."""
    table, large = data.latency, fastest_at_true_size(data)
    known = data["models"].set_index("model")["parameters"].astype(float)
    little = table["model"].isin(known.index[known < _SMALL])
    timed = table[little & (table["kernel"] != DENSE) & (table["sparsity"] > 0)]
    small = _fastest(timed, data.alpha)
    both = {x: (small[x], large[x]) for x in sorted(small) if x in large and x >= _HIGH}
    if not both:
        return unchecked("it takes small models and one of true size at the same high level")
    shown = "; ".join(
        f"{text.level(x)}: {_times(here)} here, {_times(there)} there"
        for x, (here, there) in both.items()
    )
    return everywhere([there - here for here, there in both.values()], data.alpha), (
        f"the best of {text.numbered(timed['model'].nunique(), 'small model')} and all batches:"
        f" {shown}"
    )


def eight_bits_win(data: Data) -> Finding:
    """Against every model that was pruned in one shot: neither was trained."""
    return _beats(data, "int8", ("one-shot", "N:M", "structured"))


def student_wins(data: Data) -> Finding:
    """Against every pruned model, trained or not."""
    return _beats(data, "student", ("one-shot", "N:M", "structured", "trained"))


def _beats(data: Data, kind: str, groups: tuple[str, ...]) -> Finding:
    """Whether an alternative keeps more, paired, than each model of these groups with a file as
    small."""
    stored = tradeoff.stored(data).set_index("variant")
    others = stored.index[stored["group"].isin(groups)]
    met = data.contests[data.contests["variant"].isin(stored.index[stored["group"] == kind])]
    met = met[met["other"].isin(others)].dropna(subset=["difference", "low", "high"])
    sizes = stored["bytes"]
    met = met[met["other"].map(sizes).to_numpy() <= met["variant"].map(sizes).to_numpy()]
    if met.empty:
        return unchecked("it takes such a model, scored and stored, and pruned ones as small")
    shown = []
    for (model, task), rows in met.groupby(["model", "task"], sort=False):
        row = rows.loc[rows["difference"].idxmin()]
        rival = stored.loc[row["other"]]
        shown.append(
            f"{escape(model)} on {escape(data.task_title(task))}"
            f" {Cell(row['difference'], row['low'], row['high']).shown()} more than"
            f" {escape(rival['series'])} at {text.level(rival['sparsity'])}"
        )
    cells = [Cell(*ends) for ends in met[["difference", "low", "high"]].itertuples(index=False)]
    return everywhere(cells, data.alpha), (
        f"retained, against the best of {text.count(len(cells))} pruned variants with as small"
        " files, by the interval of each:"
        f" {'; '.join(shown)}"
    )


def experts_near_oracle(data: Data) -> Finding:
    """Whether no oracle's choice keeps more than the learned router's by the margin, paired."""
    routed = data.scores.loc[data.scores["kind"] == "moe", "series"]
    names = [name for name in dict.fromkeys(routed) if not name.endswith(series.ORACLE)]
    found = [data.contest(name, name + series.ORACLE) for name in names]
    rows = pd.concat(found).dropna(subset=["low", "high"]) if found else pd.DataFrame()
    if rows.empty:
        return unchecked("no model was cut into experts, or all that were are void")
    ends = rows[["difference", "low", "high"]].itertuples(index=False)
    near = [Cell(*own) - -MARGIN for own in ends]
    sides = [cell.side(data.alpha, len(set(near))) for cell in near]
    return everywhere(near, data.alpha), (
        "retained by the router less what the oracle retains:"
        f" {text.between(rows['difference'], lambda x: text.fixed(x, 3))}; surely no more than"
        f" {text.percent(MARGIN, 0)} less in {sides.count(1)}, surely more in {sides.count(-1)} of"
        f" {text.numbered(len(near), 'choice')}, of"
        f" {text.numbered(rows['model'].nunique(), 'model')}"
    )
