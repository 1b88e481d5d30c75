"""Which tensors a method may prune: its own choice, or what a person asks for by globs."""

import fnmatch
from collections.abc import Callable, Iterable, Mapping, Sequence

from analysis.checkpoints.naming import Weight
from analysis.errors import RequestError


def in_scope(
    weights: Mapping[str, Weight],
    chosen: Callable[[Weight], bool],
    include: Sequence[str],
    exclude: Sequence[str],
) -> list[str]:
    """The names of the tensors to prune, of these parameters, each tied one once.

    With `include`, the tensors that its globs match are in scope in place of the method's own
    choice; what `exclude` matches is left out. Raises RequestError if nothing is left.
    """
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


_NONE: Mapping[str, str] = {}


def require_matches(
    globs: Sequence[str], names: Iterable[str], tied: Mapping[str, str] = _NONE
) -> None:
    """Raise RequestError if a glob matches no tensor: of one model, that is a mistake.

    tied   by name, the tensors that repeat one of `names`, and that one, in whose place they are
           pruned
    """
    listed = list(names)
    for glob in globs:
        if not fnmatch.filter(listed, glob):
            if repeated := fnmatch.filter(tied, glob):
                raise RequestError(
                    f"{repeated[0]} is tied to {tied[repeated[0]]} and is pruned as that is; name"
                    f" {tied[repeated[0]]} in place of {glob!r}"
                )
            raise RequestError(
                f"{glob!r} matches no tensor of the model; its tensors are called like"
                f" {', '.join(listed[:3])}"
            )


def _matches(name: str, globs: Sequence[str]) -> bool:
    return any(fnmatch.fnmatchcase(name, glob) for glob in globs)


def excluding(names: Sequence[str]) -> str:
    """The options of `prune` that leave out these tensors: one alone by name, several by globs."""
    globs = names if len(names) == 1 else dict.fromkeys(map(_glob, names))
    return " ".join(f"--exclude '{glob}'" for glob in globs)


def _glob(name: str) -> str:
    """All tensors that are called so, in whatever block; all experts."""
    return "*.experts.*" if ".experts." in name else f"*.{'.'.join(name.split('.')[-2:])}"
