"""Profiles one model: tables, a summary and figures in a folder, replaced as a whole."""

import json
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from analysis import calls, files, processes, progress, project, results, rows, sources
from analysis.display import Display, display
from analysis.errors import RequestError, RunError
from analysis.memo import Memo, Record
from analysis.models import digests
from analysis.models.checkpoint import Checkpoint, open_checkpoint
from analysis.sources import Located

_TABLES = ("profile", "profile_scopes", "histogram", "cdf")
_SUMMARY = "summary.json"
_LEVELS = (0.10, 0.50, 0.90, 0.95, 0.99)
_METHOD = "magnitude"
_NAMES_SHOWN = 3


def profile(model: str, revision: str | None, out: Path) -> None:
    """Write the profile of a model (built-in name, folder or hub id) to the folder `out`.

    Raises RequestError if there is no such model, it is not readable, or `out` holds other things.
    """
    _require_free(out)
    processes.quiet_libraries()
    memo = Memo(project.CACHE)
    memo.prepare()
    start = time.perf_counter()
    with display() as shown:
        located = _tracked(shown, model, lambda: sources.locate(model, revision, memo))
        checkpoint = open_checkpoint(located.folder)
        digest = _tracked(
            shown,
            located.name,
            lambda: digests.weights_sha256(checkpoint, project.CACHE / "digests"),
        )
        call = calls.profile(located.name, digest, str(located.folder.resolve()))
        outcome = _tracked(shown, located.name, lambda: memo.run(call))
        if not outcome.record["leaves"]:
            raise RequestError(
                f"{located.folder} holds no tensor of floating numbers by name, so there are no"
                " weights to profile; give the folder of a model saved in floats"
            )
        summary = _write(out, located, checkpoint, digest, outcome.record)
        for line in _lines(summary):
            shown.say(line)
        how = "remembered" if outcome.how == "remembered" else f"read in {outcome.seconds:.1f} s"
        shown.say(f"profile in {out} after {time.perf_counter() - start:.1f} s ({how})")


def _tracked(shown: Display, label: str, work: Any) -> Any:
    """The work's result, its progress shown meanwhile."""
    progress.send_to(lambda what, done, total: shown.advanced(label, what, done, total))
    try:
        return work()
    finally:
        progress.send_to(None)
        shown.cleared(label)


def _require_free(out: Path) -> None:
    """`out` may be absent, empty, or an earlier profile, and not where the cache will lie."""
    cache = project.CACHE.resolve()
    if out.resolve() in (cache, *cache.parents):
        raise RequestError(
            f"--out {out} is the cache or holds it, and a profile would replace it; name a new"
            " folder"
        )
    if out.exists() and not out.is_dir():
        raise RequestError(f"--out {out} is a file; name a folder")
    if out.is_dir() and any(out.iterdir()) and not _is_profile(out):
        raise RequestError(
            f"--out {out} holds other files, which a profile would replace; name a new folder"
        )


def _is_profile(folder: Path) -> bool:
    try:
        summary = json.loads((folder / _SUMMARY).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(summary, dict) and "weights_sha256" in summary


def _write(
    out: Path, located: Located, checkpoint: Checkpoint, digest: str, record: Record
) -> dict[str, Any]:
    """Write tables, figures and summary; returns the summary."""
    from analysis.paper import style, weight_figures
    from analysis.paper.data import Data

    tables = results.build(_rows(located.name, record))
    data = Data({name: results.as_read(table) for name, table in tables.items()}, {"seeds": [0]})
    summary = _summary(located, checkpoint, digest, record, data)
    style.use()
    figures = [
        weight_figures.weight_histogram,
        weight_figures.magnitude_cdf,
        weight_figures.histogram_after_pruning,
    ]
    if record["family"] is not None:
        figures += [
            weight_figures.layer_cdfs,
            weight_figures.layer_distances,
            weight_figures.kind_heat_map,
            weight_figures.encoder_and_decoder,
        ]
    try:
        with files.replaced_folder(out) as folder:
            for name in _TABLES:
                results.write_csv(tables[name], folder / f"{name}.csv")
            for draw in figures:
                figure = draw(data)
                figure.savefig(folder / f"{draw.__name__}.svg", transparent=False, facecolor="w")
                figure.savefig(folder / f"{draw.__name__}.png", dpi=200, facecolor="w")
            text = json.dumps(summary, indent=2, ensure_ascii=False)
            (folder / _SUMMARY).write_text(text + "\n", encoding="utf-8")
    except OSError as error:
        raise RunError(
            f"cannot write the profile to {out}: {error.strerror or error}; make room or give"
            " this user the right to write there"
        ) from error
    return summary


def _rows(model: str, record: Record) -> rows.Rows:
    """Rows of the result tables: the profile's, the dense variant, and what pruning would leave."""
    dense = f"{model}/dense"
    listed = rows.profile_rows(model, dense, record)
    listed["models"] = [{"model": model}]
    described = {"model": model, "task": "", "protocol": "", "seed": 0, "status": "ok"}
    listed["variants"] = [
        {**described, "variant": dense, "kind": "dense", "method": "dense", "sparsity": 0.0}
    ]
    for level in _LEVELS:
        name = f"{model}/{_METHOD}/one-shot/{level:g}"
        listed["variants"].append(
            {**described, "variant": name, "kind": "pruned", "method": _METHOD, "sparsity": level}
        )
        listed["histogram"] += [
            {"variant": name, "scope": "model", **row} for row in _after_pruning(record, level)
        ]
    return listed


def _after_pruning(record: Record, sparsity: float) -> list[rows.Row]:
    """The model's histogram of |w| once the smallest prunable weights are removed.

    Exact, since the prunable weights are counted in the same bins.
    """
    model = [r for r in record["scopes"]["model"]["histogram"] if r["scale"] == "log10"]
    if "prunable" not in record["scopes"]:
        return model
    prunable = record["scopes"]["prunable"]
    own = [r["count"] for r in prunable["histogram"] if r["scale"] == "log10"]
    counted = prunable["statistics"]
    removed = round(sparsity * counted["parameters"]) - counted["zeros"]
    kept = []
    for row, count in zip(model, own or [0] * len(model), strict=True):
        here = min(max(0, removed), count)
        removed -= here
        kept.append(row | {"count": row["count"] - here})
    return kept


def _summary(
    located: Located, checkpoint: Checkpoint, digest: str, record: Record, data: Any
) -> dict[str, Any]:
    """What the profile comes to."""
    from analysis.paper import weights

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
    return value.item() if hasattr(value, "item") else value


def _lines(summary: Mapping[str, Any]) -> Iterable[str]:
    """What a person should know of it, a line each."""
    family = summary["family"] or "of no known family"
    yield (
        f"{summary['model']}: {family}, {summary['parameters']:,} parameters,"
        f" {summary['prunable_parameters']:,} of them prunable, {summary['zeros']:,} exactly zero"
    )
    far = summary["far_from_zero"]
    if far["at least 0.01"] is not None:
        yield "far from zero: " + "; ".join(
            f"{far[name]:.1%} {name}"
            for name in ("at least 0.01", "at least 0.1", "beyond one standard deviation")
        )
    if summary["sparse_already"]:
        first = summary["sparse_already"][0]
        share = summary["zeros_of_prunable"] / summary["prunable_parameters"]
        yield (
            f"sparse already: {share:.1%} of the prunable weights are exactly zero, most in"
            f" {first['part']} block {first['layer']:g}, {first['kind']} ({first['share']:.1%})"
        )
    if summary["not_finite"]:
        number = sum(summary["not_finite"].values())
        yield f"warning: {number:,} weights are NaN or infinite, in {_some(summary['not_finite'])}"
    if summary["left_out"]:
        named = [f"{t['name']} ({t['dtype']})" for t in summary["left_out"]]
        yield f"warning: left out, since they hold integers: {_some(named)}"
    if summary["not_understood"]:
        yield (
            "warning: names not understood, profiled by tensor and not as layers:"
            f" {_some(summary['not_understood'])}"
        )


def _some(names: Iterable[str]) -> str:
    """The first names, and how many more there are."""
    listed = list(names)
    more = len(listed) - _NAMES_SHOWN
    return ", ".join(listed[:_NAMES_SHOWN]) + (f" and {more} more" if more > 0 else "")
