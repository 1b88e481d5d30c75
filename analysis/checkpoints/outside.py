"""How much of the blocks' weights is outside the scope of pruning, and which."""

import math
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from analysis.checkpoints import naming
from analysis.checkpoints.naming import Weight

Shapes = Mapping[str, Sequence[int]]

WARNED = 0.05  # of the blocks' weights: more than routers and positions have
_NAMED = 5


def outside_facts(shapes: Shapes, scope: Collection[str]) -> dict[str, Any]:
    """What of the blocks' matrices, of these parameters, is not in scope.

    share     of their weights
    weights   how many
    largest   by glob, what is called alike in all blocks together; those that hold most weights
    """
    sizes = {
        name: math.prod(shape)
        for name, shape in shapes.items()
        if len(shape) > 1 and _is_numbered(name)
    }
    left = {name: size for name, size in sizes.items() if name not in scope}
    by_glob: Counter[str] = Counter()
    for name in sorted(left):
        by_glob[_glob(name)] += left[name]
    return {
        "share": sum(left.values()) / max(1, sum(sizes.values())),
        "weights": sum(left.values()),
        "largest": dict(by_glob.most_common(_NAMED)),
    }


def default_outside(named: Mapping[str, Weight], shapes: Shapes) -> dict[str, Any]:
    """The same of these parameters and the scope that most methods choose of their own."""
    return outside_facts(shapes, {name for name, what in named.items() if what.prunable})


def outside_line(facts: Mapping[str, Any]) -> str:
    """In a line what is outside; where that is more than a little, a sentence to be heeded."""
    share, globs = facts["share"], ", ".join(facts["largest"])
    if not share:
        return "all of the blocks' weights are in scope"
    if share < WARNED:
        return f"{share:.1%} of the blocks' weights are outside the scope: {globs}"
    return (
        f"{share:.0%} OF THE BLOCKS' WEIGHTS ARE OUTSIDE THE SCOPE and stay as they are: {globs};"
        " sparsities are those of the scope alone"
    )


def no_blocks(config: Mapping[str, Any], shapes: Shapes) -> str:
    """What is said of a checkpoint none of whose matrices is known to be a block's; `config` is its
    parsed config.json."""
    matrices = {
        name: math.prod(shape)
        for name, shape in shapes.items()
        if len(shape) == 2 and name.endswith(".weight")
    }
    by_glob: Counter[str] = Counter()
    for name in sorted(matrices):
        if "*" in (glob := _glob(name)):  # what is numbered is there once a block
            by_glob[glob] += matrices[name]
    named = " ".join(f"--include '{glob}'" for glob, _ in by_glob.most_common(_NAMED))
    instead = f", such as {named}" if named else ""
    return (
        f"of the architecture {config.get('model_type')!r} no blocks are understood, so no weights"
        f" are in scope; a method that looks at weights alone prunes what --include names{instead}"
    )


def _is_numbered(name: str) -> bool:
    """Whether it is there once a block, as far as a name tells, understood or not."""
    numbered = any(part.isdigit() for part in name.split("."))
    return numbered and naming.weight(name).part not in ("embedding", "head")


def _glob(name: str) -> str:
    """All tensors of that name but for its numbers."""
    return ".".join("*" if part.isdigit() else part for part in name.split("."))
