"""What the results say about claims on bytes and milliseconds."""

import pandas as pd

from analysis.execution.names import DENSE
from analysis.paper import series, text, tradeoff
from analysis.paper.data import Data
from analysis.paper.findings import Finding
from analysis.paper.text import escape

FASTER = 1.10  # a median at least this many times faster counts as faster
_SAME_BYTES = 0.001  # files within 0.1 % are as large: a header may differ by a few bytes
_NEAR_BOUND = 1.125
_MIDDLE = 0.5
_HIGH = 0.9
_VERY_HIGH = 0.95
_SMALL = 50e6  # parameters: below the smallest model that is in wide use


def dense_bytes(data: Data) -> Finding:
    """Of the models whose weights were zeroed; those that are smaller in shape are none."""
    variants = data["variants"]
    zeroed = variants[variants["kind"].isin(["dense", "pruned"])]
    zeroed = zeroed[~zeroed["settings"].str.contains('"kept"', regex=False)]
    sizes = data["size"]
    chosen = (sizes["format"] == "dense") & sizes["variant"].isin(zeroed["variant"])
    ratios = sizes.loc[chosen, "ratio"]
    if ratios.empty:
        return None, "no dense file was written"
    shown = text.between(ratios, lambda r: text.percent(r, 2))
    return bool((ratios.sub(1).abs() <= _SAME_BYTES).all()), (
        f"{len(ratios)} files, {shown} of the dense model's bytes; as large means within"
        f" {text.percent(_SAME_BYTES)}"
    )


def zstd_finds_zeros(data: Data) -> Finding:
    rows = _files(data, "dense+zstd", _HIGH)
    if rows.empty:
        return None, f"no file compressed by zstd from {text.level(_HIGH)} on"
    bounds = rows["bytes"] / rows["bound_bytes"]
    return bool((rows["ratio"] <= 0.5).all()), (
        f"from {text.level(_HIGH)} on, {text.between(rows['ratio'], text.percent)} of the dense"
        f" file, {text.between(bounds, text.times)} the entropy bound"
    )


def sparse_files_shrink(data: Data) -> Finding:
    """Whether every file is smaller than dense, and from the middle on near the bound."""
    rows = _files(data, "auto", 0.0)
    rows = rows[rows["sparsity"] > 0]
    if rows.empty:
        return None, "no sparse file was written"
    high = rows[rows["sparsity"] >= _MIDDLE]
    bounds = high["bytes"] / high["bound_bytes"]
    return bool((rows["ratio"] < 1).all() and (bounds <= _NEAR_BOUND).all()), (
        f"from {text.level(rows['sparsity'].min())} on, {text.between(rows['ratio'], text.percent)}"
        f" of the dense file; from {text.level(_MIDDLE)} on, {text.between(bounds, text.times)} the"
        f" entropy bound, where an eighth more is {text.times(_NEAR_BOUND)}"
    )


def _files(data: Data, name: str, least: float) -> pd.DataFrame:
    rows = pd.concat([data.sizes_of(model) for model in data.models])
    return rows[(rows["format"] == name) & (rows["sparsity"] >= least)]


def no_speed(data: Data) -> Finding:
    """Zeroed weights on torch's dense kernels."""
    table = data.latency
    pruned = table[(table["sparsity"] > 0) & (table["kernel"] == DENSE)]
    if pruned.empty:
        return None, "no pruned model was timed on a dense kernel"
    faster = pruned["speedup_low"] >= FASTER
    return not faster.any(), (
        f"{len(pruned)} medians, {text.between(pruned['speedup'], text.times)} the dense speed;"
        f" {int(faster.sum())} of them faster, which would be {text.times(FASTER)} at the lower end"
        " of the interval"
    )


def sparse_kernels_pay(data: Data) -> Finding:
    """At true size: faster from 90 % on, and three times as fast from 95 % on."""
    table = data["replicas"]
    best = table[table["kernel"] != DENSE].groupby("sparsity")["speedup"].max()
    if not (best.index >= _VERY_HIGH).any():
        return None, "no model of true size was timed at a high sparsity"
    high, very = best[best.index >= _HIGH], best[best.index >= _VERY_HIGH]
    shown = text.listing([f"{text.times(v)} at {text.level(level)}" for level, v in best.items()])
    return bool((high >= FASTER).all() and (very >= 3).all()), (
        f"{escape(table['architecture'].iloc[0])}, the fastest sparse kernel against torch's dense"
        f" one: {shown}"
    )


def small_models_gain_less(data: Data) -> Finding:
    """The best of kernels and batches at the size of the models studied, against true size."""
    table, true_size = data.latency, data["replicas"]
    large = true_size[true_size["kernel"] != DENSE].groupby("sparsity")["speedup"].max()
    known = data["models"].set_index("model")["parameters"].astype(float)
    little = table["model"].isin(known.index[known < _SMALL])
    small = table[little & (table["kernel"] != DENSE) & (table["sparsity"] > 0)]
    small = small.groupby("sparsity")["speedup"].max()
    both = pd.DataFrame({"small": small, "large": large}).dropna()
    both = both[both.index >= _HIGH]
    if both.empty:
        return None, "it takes small models and one of true size at the same level"
    shown = "; ".join(
        f"{text.level(level)}: {text.times(row['small'])} here, {text.times(row['large'])} there"
        for level, row in both.iterrows()
    )
    return bool(
        (both["small"] < both["large"]).all()
    ), f"the best of all models and batches: {shown}"


def eight_bits_win(data: Data) -> Finding:
    """Against every model that was pruned in one shot: neither was trained."""
    return _beats(data, "int8", ("one-shot", "N:M", "structured"))


def student_wins(data: Data) -> Finding:
    """Against every pruned model, trained or not."""
    return _beats(data, "student", ("one-shot", "N:M", "structured", "trained"))


def _beats(data: Data, kind: str, groups: tuple[str, ...]) -> Finding:
    """Whether an alternative's lower bound lies above each model of these groups whose file is as
    small."""
    variants = tradeoff.table(data)
    others, found = variants[variants["group"].isin(groups)], []
    for _, row in variants[variants["group"] == kind].iterrows():
        as_small = others[(others["model"] == row["model"]) & (others["bytes"] <= row["bytes"])]
        if len(as_small):
            best = as_small.loc[as_small["retained"].idxmax()]
            found.append((row["retained_low"] > best["retained"], row, best))
    if not found:
        return None, "it takes such a model, timed, and pruned ones that are as small"
    shown = "; ".join(
        f"{escape(row['model'])} {text.number(row['retained'])} (at least"
        f" {text.number(row['retained_low'])}) against {text.number(best['retained'])} by"
        f" {escape(best['series'])} at {text.level(best['sparsity'])}"
        for _, row, best in found
    )
    return all(won for won, _, _ in found), f"retained, the best of as small files: {shown}"


def experts_near_oracle(data: Data) -> Finding:
    """Whether no oracle's choice keeps more than the learned router's, paired, beyond chance."""
    routed = data.scores.loc[data.scores["kind"] == "moe", "series"]
    names = [name for name in dict.fromkeys(routed) if not name.endswith(series.ORACLE)]
    found = [data.contest(name, name + series.ORACLE) for name in names]
    rows = pd.concat(found).dropna(subset=["high"]) if found else pd.DataFrame()
    if rows.empty:
        return None, "no model was cut into experts, or all that were are void"
    worse = rows["high"] < 0
    return not worse.any(), (
        f"in {int(worse.sum())} of {len(rows)} cases it does; retained by the router less what the"
        f" oracle retains: {text.between(rows['difference'], lambda x: text.number(x, 2))}"
    )
