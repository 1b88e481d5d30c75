"""Which tensors a method may prune: its own choice, or what a person asks for by globs."""

import fnmatch
from collections.abc import Callable, Mapping, Sequence

from analysis.errors import RequestError
from analysis.models.naming import Weight


def in_scope(
    weights: Mapping[str, Weight],
    chosen: Callable[[Weight], bool],
    include: Sequence[str],
    exclude: Sequence[str],
) -> list[str]:
    """The names of the tensors to prune, of these parameters, each tied one once.

    With `include`, the tensors that its globs match are in scope in place of the method's own
    choice; what `exclude` matches is left out. Raises RequestError if a glob matches nothing, or
    nothing is left.
    """
    for glob in (*include, *exclude):
        if not fnmatch.filter(weights, glob):
            raise RequestError(
                f"{glob!r} matches no tensor of the model; its tensors are called like"
                f" {', '.join(list(weights)[:3])}"
            )
    names = [
        name
        for name, what in weights.items()
        if (_matches(name, include) if include else chosen(what)) and not _matches(name, exclude)
    ]
    if not names:
        raise RequestError(
            "no weights are in scope: the method's own are the matrices of the blocks, and none is"
            " left; widen --include, or narrow --exclude"
        )
    return names


def _matches(name: str, globs: Sequence[str]) -> bool:
    return any(fnmatch.fnmatchcase(name, glob) for glob in globs)
