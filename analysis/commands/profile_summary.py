"""What a profile comes to: summary.json, and the lines that a person reads."""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from analysis.checkpoints.tensors import Checkpoint
from analysis.commands.locate import Located
from analysis.engine.memo import Record
from analysis.errors import printable
from analysis.paper.data import Data
from analysis.paper.profile import measures as weights

_NAMES_SHOWN = 3


def summary(
    located: Located, checkpoint: Checkpoint, digest: str, record: Record, data: Data
) -> dict[str, Any]:
    """What the profile comes to."""
    scopes = {name: content["statistics"] for name, content in record["scopes"].items()}
    whole = scopes["model"]
    heads = scopes.get("part:head", {"parameters": 0})["parameters"]
    prunable = scopes.get("prunable", {"parameters": 0, "zeros": 0})
    farthest = weights.most_different(data, located.name)
    return {
        "model": located.name,
        "source": located.source,
        "revision": located.revision,
        "weights_sha256": digest,
        "family": record["family"],
        "files": len(checkpoint.files),
        "bytes": checkpoint.bytes,
        "dtypes": dict(Counter(t.dtype.name for t in checkpoint.tensors.values())),
        "parameters": whole["parameters"],
        "parameters_without_heads": whole["parameters"] - heads,
        "prunable_parameters": prunable["parameters"],
        "tied": record["tied"],
        "zeros": whole["zeros"],
        "zeros_of_prunable": prunable["zeros"],
        "not_finite": record["not_finite"],
        "left_out": record["left_out"],
        "scaled": record["scaled"],
        "not_understood": record["not_understood"],
        "sparse_already": [
            {key: _plain(row[key]) for key in ("part", "layer", "kind", "share")}
            for _, row in weights.sparse_already(data, located.name).iterrows()
        ],
        "far_from_zero": {
            name: share(whole) if whole["parameters"] > whole["not_finite"] else None
            for name, share in weights.FAR_FROM_ZERO.items()
        },
        "differs_most": farthest
        if farthest is None
        else {key: _plain(farthest[key]) for key in ("scope", "ks_distance")},
        "differs_more_with_depth": [
            {"part": t.part, "blocks": t.blocks, "tau": t.tau, "p": t.p, "grows": t.grows}
            for t in weights.trends(data)
        ],
    }


def _plain(value: Any) -> Any:
    """The value for JSON: of Python's own types, None where it is missing."""
    plain = value.item() if hasattr(value, "item") else value
    return None if plain != plain else plain


def lines(summary: Mapping[str, Any]) -> Iterable[str]:
    """What a person should know of it, a line each."""
    family = summary["family"] or "of no known family"
    yield (
        f"{printable(summary['model'])}: {family}, {summary['parameters']:,} parameters,"
        f" {summary['prunable_parameters']:,} of them prunable; exactly zero are"
        f" {summary['zeros']:,}, {summary['zeros_of_prunable']:,} of them prunable"
    )
    far = summary["far_from_zero"]
    if far["at least 0.01"] is not None:
        yield "far from zero: " + "; ".join(
            f"{far[name]:.1%} {name}"
            for name in ("at least 0.01", "at least 0.1", "beyond its layer's standard deviation")
        )
    if summary["sparse_already"]:
        first = summary["sparse_already"][0]
        where = first["part"] if first["layer"] is None else f"{first['part']} {first['layer']:g}"
        yield (
            f"sparse already: {summary['zeros'] / summary['parameters']:.1%} of all weights are"
            f" exactly zero, most of them in {where}, {printable(first['kind'])}"
            f" ({first['share']:.1%} of it); summary.json lists"
            f" {len(summary['sparse_already'])} such groups"
        )
    if summary["not_finite"]:
        number = sum(summary["not_finite"].values())
        yield f"warning: {number:,} weights are NaN or infinite, in {_some(summary['not_finite'])}"
    if summary["scaled"]:
        yield (
            "warning: these hold 8-bit floats whose scales are not applied, so that statistics are"
            f" of the stored values: {_some(summary['scaled'])}"
        )
    if summary["left_out"]:
        named = [f"{t['name']} ({t['dtype']})" for t in summary["left_out"]]
        elements = sum(t["elements"] for t in summary["left_out"])
        yield (
            f"warning: left out, since they hold no floating numbers: {elements:,} beside the"
            f" {summary['parameters']:,} profiled, in {_some(named)}"
        )
    if "float64" in summary["dtypes"]:
        yield "warning: float64 weights are rounded to float32, the smallest of them to zero"
    if summary["not_understood"]:
        yield (
            "warning: names not understood, profiled by tensor, not as layers nor as prunable:"
            f" {_some(summary['not_understood'])}"
        )


def _some(names: Iterable[str]) -> str:
    """The first names, and how many more there are."""
    listed = [printable(name) for name in names]
    more = len(listed) - _NAMES_SHOWN
    return ", ".join(listed[:_NAMES_SHOWN]) + (f" and {more} more" if more > 0 else "")
