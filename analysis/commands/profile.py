"""Profiles one model: tables, a summary and figures in a folder, replaced as a whole."""

import time
import warnings
from collections.abc import Iterable
from pathlib import Path

from analysis import results
from analysis.checkpoints import digests
from analysis.checkpoints.checkpoint import open_checkpoint
from analysis.checkpoints.tensors import Checkpoint
from analysis.commands import locate
from analysis.commands.locate import Located
from analysis.commands.work import at_work
from analysis.engine import files, machine, progress, project
from analysis.engine.memo import Record
from analysis.errors import RequestError, RunError
from analysis.experiments import profile as weights
from analysis.results import Row, Rows

_TABLES = ("profile", "profile_scopes", "histogram", "cdf")
_SUMMARY = "summary.json"
_FIGURES: tuple[str, ...] = ("weight_histogram", "magnitude_cdf")
_FIGURES_OF_LAYERS = ("layer_cdfs", "layer_distances", "kind_heat_map", "encoder_and_decoder")
_FIGURES_OF_PRUNING = ("histogram_after_pruning",)
_LEVELS = (0.10, 0.50, 0.90, 0.95, 0.99)
_METHOD = "magnitude"


def profile(model: str, revision: str | None, out: Path) -> None:
    """Write the profile of a model (built-in name, folder or hub id) to the folder `out`.

    Raises RequestError if there is no such model, it is not readable, or `out` holds other things.
    """
    _require_free(out)
    start = time.perf_counter()
    with at_work(model) as (memo, shown):
        located = locate.locate(model, revision, memo)
        checkpoint = open_checkpoint(located.folder)
        stamp = digests.stamp(checkpoint)
        with machine.beside_others():
            digest = digests.weights_sha256(checkpoint, project.CACHE / "digests")
        config = digests.config_sha256(located.folder)
        call = weights.profile(located.name, digest, config, str(located.folder.resolve()), stamp)
        outcome = memo.run(call)
        if not outcome.record["leaves"]:
            raise RequestError(
                f"{located.folder} holds no tensor of floating numbers by name, so there are no"
                " weights to profile; give the folder of a model saved in floats"
            )
        lines = _write(out, located, checkpoint, digest, outcome.record)
        for line in lines:
            shown.say(line)
        how = (
            "counts remembered"
            if outcome.how == "remembered"
            else f"counted in {outcome.seconds:.1f} s"
        )
        shown.say(f"profile in {out} after {time.perf_counter() - start:.1f} s ({how})")


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
    if out.is_dir() and (others := [path.name for path in out.iterdir() if not _is_ours(path)]):
        raise RequestError(
            f"--out {out} holds other files ({sorted(others)[0]}), which a profile would replace;"
            " name a new folder"
        )
    results.require_writable(out)


def _is_ours(path: Path) -> bool:
    """Whether an earlier profile may have written the file."""
    return path.name in {_SUMMARY, *(f"{table}.csv" for table in _TABLES)} or (
        path.stem in (*_FIGURES, *_FIGURES_OF_LAYERS, *_FIGURES_OF_PRUNING)
        and path.suffix in (".svg", ".png")
    )


def _write(
    out: Path, located: Located, checkpoint: Checkpoint, digest: str, record: Record
) -> Iterable[str]:
    """Write tables, figures and summary; returns what a person should know of them, in lines."""
    from analysis.commands import profile_summary
    from analysis.paper import style
    from analysis.paper.data import Data
    from analysis.paper.profile import figures as profile_figures

    tables = results.build(_rows(located.name, record))
    data = Data({name: results.as_read(table) for name, table in tables.items()}, {"seeds": [0]})
    summary = profile_summary.summary(located, checkpoint, digest, record, data)
    style.use()
    figures = _FIGURES
    if record["family"] is not None:
        figures = (*figures, *_FIGURES_OF_LAYERS)
    if "prunable" in record["scopes"]:
        figures = (*figures, *_FIGURES_OF_PRUNING)
    try:
        with files.replaced_folder(out) as folder, warnings.catch_warnings():
            for name in _TABLES:
                results.write_csv(tables[name], folder / f"{name}.csv")
            warnings.simplefilter("ignore", UserWarning)  # letters that a font lacks, empty axes
            for name in progress.track(figures, "figures drawn:"):
                figure = getattr(profile_figures, name)(data)
                figure.savefig(folder / f"{name}.svg", facecolor="w")
                figure.savefig(folder / f"{name}.png", facecolor="w", dpi=200)
            text = files.json_text(summary)
            (folder / _SUMMARY).write_text(text + "\n", encoding="utf-8")
    except OSError as error:
        why = files.why_unwritable(out, error)
        raise RunError(f"cannot write the profile to {out}: {why}") from error
    return profile_summary.lines(summary)


def _rows(model: str, record: Record) -> Rows:
    """Rows of the result tables: the profile's, the dense variant, and what pruning would leave."""
    dense = f"{model}/dense"
    listed = weights.profile_rows(model, dense, record)
    listed["models"] = [{"model": model}]
    described = {"model": model, "task": "", "settings": "{}", "seed": 0, "status": "ok"}
    listed["variants"] = [
        {**described, "variant": dense, "kind": "dense", "method": "dense", "sparsity": 0.0}
    ]
    for level in _LEVELS:
        name = f"{model}/{_METHOD}/one-shot/{level:g}"
        pruned = {"kind": "pruned", "method": _METHOD, "protocol": "one-shot", "sparsity": level}
        listed["variants"].append({**described, "variant": name, **pruned})
        listed["histogram"] += [
            {"variant": name, "scope": "model", **row} for row in _after_pruning(record, level)
        ]
    return listed


def _after_pruning(record: Record, sparsity: float) -> list[Row]:
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
