"""Prunes one model: a checkpoint that `from_pretrained` opens, and pruning.json beside it.

Only the method `structured` writes a smaller model, which the project's own loader opens.
"""

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from analysis import pruning
from analysis.checkpoints import naming
from analysis.checkpoints.choice import require_matches
from analysis.checkpoints.opened import opened
from analysis.checkpoints.outside import outside_line
from analysis.commands import locate
from analysis.commands.locate import Located
from analysis.commands.prune_files import (
    Content,
    left_out,
    pruned_content,
    write_content,
    write_model,
    zeros,
)
from analysis.commands.work import at_work
from analysis.errors import RequestError
from analysis.models.units import KEPT
from analysis.pruning.masks import Pruned
from analysis.pruning.patterns import Pattern, parse
from analysis.pruning.prunable import Prunable, scope_in, scope_of
from analysis.pruning.selection import Selection, select


@dataclass(frozen=True)
class Request:
    """What is asked for: `include` and `exclude` are globs over the tensors' stored names.

    With `include`, the tensors that it matches are in scope in place of the method's own choice;
    what `exclude` matches is left out. `calibration` is a built-in task or a file of texts.
    """

    method: str
    sparsity: float | None = None
    pattern: str | None = None
    calibration: str | None = None
    include: Sequence[str] = ()
    exclude: Sequence[str] = ()
    seed: int = 0


def prune(model: str, revision: str | None, request: Request, out: Path) -> None:
    """Write the pruned model to the folder `out`.

    Raises RequestError if there is no such model, method or tensor, if the method needs what was
    not given, or `out` is not empty; RunError if weights are not finite or the disk refuses.
    """
    module = pruning.method(request.method)
    level = _level(request)
    _check_calibration(request)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise RequestError(f"--out {out} is there already; name a new folder")
    start = time.perf_counter()
    with at_work(model) as (memo, shown):
        located = locate.locate(model, revision, memo)
        write = _shrink if module.KIND == "structured" else _remove
        facts = write(module, located, request, level, out, start)
        shown.say(
            f"{located.name} pruned by {request.method}: {facts['achieved']:.2%} of"
            f" {facts['scope_weights']:,} weights in scope, {facts['whole_model']:.2%} of"
            f" {facts['parameters']:,} in all, are {facts['now']}"
        )
        shown.say(outside_line(facts["outside_weights"]))
        if facts["calibrated_on"]:
            shown.say(_calibration_said(facts))
        if left := left_out(located.folder, out):
            shown.say(f"left out: {left}")
        shown.say(f"written to {out} after {time.perf_counter() - start:.1f} s")


def _level(request: Request) -> float | Pattern:
    """What is to be reached, in the terms of the method."""
    if pruning.takes_patterns(request.method):
        if request.pattern is None or request.sparsity is not None:
            raise RequestError(
                f"{request.method} takes --pattern, such as 2:4, in place of --sparsity"
            )
        return parse(request.pattern)
    if request.pattern is not None:
        patterned = [name for name in pruning.names() if pruning.takes_patterns(name)]
        raise RequestError(
            f"{request.method} takes no --pattern; methods that do: {', '.join(patterned)}"
        )
    if request.sparsity is None:
        raise RequestError(f"{request.method} takes --sparsity, such as 0.5 for 50 %")
    if not 0 < request.sparsity < 1:
        raise RequestError(
            f"--sparsity {request.sparsity:g} is not above 0 and below 1; it is the fraction"
            " removed: for 50 % write 0.5"
        )
    return request.sparsity


def _check_calibration(request: Request) -> None:
    kind = pruning.kind(request.method)
    if kind == "trained":
        raise RequestError(
            f"{request.method} trains while it prunes, so it takes a study; name it in `methods` of"
            " a study file, with `recovery`"
        )
    if kind == "weights" and request.calibration is not None:
        raise RequestError(f"{request.method} looks at weights alone; leave --calibration out")
    if kind != "weights" and request.calibration is None:
        raise RequestError(
            f"{request.method} looks at what goes into each layer; give --calibration TASK (such as"
            " sentiment), or a file with a text in each line"
        )
    if kind == "structured" and (request.include or request.exclude):
        raise RequestError(
            f"{request.method} removes whole neurons and heads; leave --include and --exclude out"
        )
    if request.calibration is not None:
        from analysis.calibration.texts import require

        require(request.calibration)


def _remove(
    module: ModuleType,
    located: Located,
    request: Request,
    level: float | Pattern,
    out: Path,
    start: float,
) -> dict[str, Any]:
    """Write the checkpoint with the removed weights zero; returns the facts."""
    with opened(located.folder) as whole:
        globs = (*request.include, *request.exclude)
        require_matches(globs, whole.named, whole.parameters.tied)
        model = scope_in(whole, module.in_scope, request.include, request.exclude)
        if request.calibration is None:
            selections: Iterable[Selection] = select(module, model.read(request.seed), [level])
        else:
            selections = _calibrated(module, located, model, level, request)
        (selection,) = selections
        values = whole.as_stored(selection.values)
        content = pruned_content(whole, Pruned(selection.masks, values))
    facts = _facts(located, request, model, content, selection, start)
    write_content(out, located.folder, content, facts)
    return facts


def _calibrated(
    module: ModuleType,
    located: Located,
    model: Prunable,
    level: float | Pattern,
    request: Request,
) -> Iterable[Selection]:
    from analysis.pruning import calibrated
    from analysis.pruning.loaded import calibration_of

    family = naming.family(model.named.values()) or "decoder-only"
    texts = str(request.calibration)
    return calibrated.select(
        module, model.names, [level], calibration_of(located.folder, family, texts, request.seed)
    )


def _facts(
    located: Located,
    request: Request,
    model: Prunable,
    content: Content,
    selection: Selection,
    start: float,
) -> dict[str, Any]:
    names, sizes = model.names, model.opened.sizes
    gone = {name: zeros(*content[name]) for name in model.named}
    inside, whole = sum(sizes[name] for name in names), sum(sizes.values())
    return {
        **_asked(located, request),
        "sparsity": selection.sparsity,
        "include": list(request.include),
        "exclude": list(request.exclude),
        "threshold": selection.threshold,
        "scope_weights": inside,
        "achieved": sum(gone[name] for name in names) / inside,
        "parameters": whole,
        "whole_model": sum(gone.values()) / whole,
        "now": "zero",
        "notes": dict(selection.notes),
        "calibrated_on": dict(selection.calibrated_on),
        "tensors": {name: {"weights": sizes[name], "zeros": gone[name]} for name in names},
        "outside_weights": model.outside,
        "tied": model.opened.parameters.tied,
        "seconds": round(time.perf_counter() - start, 2),
    }


def _asked(located: Located, request: Request) -> dict[str, Any]:
    return {
        "model": located.name,
        "source": located.source,
        "revision": located.revision,
        "method": request.method,
        "pattern": request.pattern,
        "calibration": request.calibration,
        "seed": request.seed,
    }


def _shrink(
    module: ModuleType,
    located: Located,
    request: Request,
    level: float | Pattern,
    out: Path,
    start: float,
) -> dict[str, Any]:
    """Write a smaller model; returns the facts."""
    from analysis.checkpoints.weights import FILE, write_like
    from analysis.models import units
    from analysis.pruning.loaded import calibration_of
    from analysis.pruning.moments import moments_of
    from analysis.pruning.structured import projections, remove_units, write_kept

    assert isinstance(level, float)  # it takes no patterns
    if (located.folder / KEPT).exists():
        raise RequestError(
            f"{located.name} has lost neurons and heads already; remove more from the whole model"
            " that it was made of"
        )
    with scope_of(located.folder, module.in_scope) as model:
        named, weights = model.named, dict(model.opened.tensors)
        checkpoint, config = model.opened.checkpoint, model.opened.config
        outside = model.outside
    family = naming.family(named.values()) or "decoder-only"
    loaded = calibration_of(located.folder, family, str(request.calibration), request.seed)
    units.groups(named, {name: array.shape for name, array in weights.items()}, config)  # or refuse
    moments, calibrated_on = moments_of(loaded, projections(named))
    smaller = remove_units(weights, config, moments, level)
    whole = sum(weights[name].size for name in named)
    left = sum(smaller.weights[name].size for name in named)
    facts = {
        **_asked(located, request),
        "sparsity": level,
        "scope_weights": smaller.scope_weights,
        "achieved": smaller.removed / smaller.scope_weights,
        "parameters": whole,
        "whole_model": 1 - left / whole,
        "now": "gone",
        "outside_weights": outside,
        "calibrated_on": dict(calibrated_on),
        "seconds": round(time.perf_counter() - start, 2),
    }

    def write(folder: Path) -> None:
        write_like(checkpoint, folder / FILE, smaller.weights)
        write_kept(folder, smaller.kept)

    write_model(out, located.folder, write, facts)
    return facts


def _calibration_said(facts: Mapping[str, Any]) -> str:
    """What the method looked at, in a line."""
    seen = facts["calibrated_on"]
    how = (
        f"{seen['windows']:,} window{'s' * (seen['windows'] != 1)} of its texts, packed end to end"
        if seen["packed"]
        else f"{seen['texts']:,} of its texts, one by one"
    )
    return f"calibrated on {facts['calibration']}: {how}, {seen['tokens']:,} tokens"


def list_methods() -> list[str]:
    """A line for each method: its name, what it does, and what it has to be given."""
    in_order = sorted(pruning.names(), key=lambda name: (_KINDS.index(pruning.kind(name)), name))
    return [
        f"{name:<16} {(pruning.method(name).__doc__ or '').splitlines()[0]}{_needed(name)}"
        for name in in_order
    ]


_KINDS = ("weights", "calibrated", "structured", "trained")


def _needed(name: str) -> str:
    """What the method asks for beside --sparsity."""
    kind = pruning.kind(name)
    level = ["--pattern"] if pruning.takes_patterns(name) else []
    texts = ["--calibration"] if kind in ("calibrated", "structured") else []
    asked = [*level, *texts] or (["in studies only"] if kind == "trained" else [])
    return f" [{', '.join(asked)}]" if asked else ""
