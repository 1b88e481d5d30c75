"""The feed-forward layers of a model, and into what experts they can be divided."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from analysis.checkpoints import naming
from analysis.errors import RequestError
from analysis.models import units
from analysis.models.units import NEURONS, Group


@dataclass(frozen=True)
class FeedForward:
    """A feed-forward layer V act(W x + b) + c: the group of its neurons, and its two matrices.

    into, out   the stored names of W and V
    """

    group: Group
    into: str
    out: str


def feed_forwards(
    shapes: Mapping[str, tuple[int, ...]], config: Mapping[str, Any]
) -> dict[str, FeedForward]:
    """The feed-forward layers by key ("encoder.3.ffn"), given tensors' shapes by stored name.

    Raises RequestError if there are none, or one is gated or not understood.
    """
    named = naming.weights(shapes)
    known = {name: shape for name, shape in shapes.items() if name in named}
    found = {}
    for group in units.groups(named, known, config):
        if group.kind == NEURONS:
            into = [cut.name for cut in group.inputs if named[cut.name].prunable]
            if len(into) > 1:
                raise RequestError(
                    f"{group.key} is gated ({', '.join(into)}), and only plain feed-forward layers"
                    " can be made into experts; take another model, such as BERT, GPT-2 or BART"
                )
            found[group.key] = FeedForward(group, into[0], group.outputs[0].name)
    covered = {name for layer in found.values() for name in (layer.into, layer.out)}
    missed = [n for n, what in named.items() if what.kind.startswith("ffn") and n not in covered]
    if missed or not found:
        which = f"{missed[0]} is in no" if missed else "this model has no"
        raise RequestError(f"{which} feed-forward layer of two plain matrices; take another model")
    return found


def require_divisor(experts: Any, layers: Mapping[str, FeedForward]) -> None:
    """Raise RequestError unless each layer's neurons divide into so many experts."""
    counts = sorted({layer.group.count for layer in layers.values()})
    allowed = [n for n in range(2, counts[0] + 1) if not any(count % n for count in counts)]
    if type(experts) is not int or experts not in allowed:
        raise RequestError(
            f"{experts!r} experts: layers of {', '.join(map(str, counts))} neurons cannot be"
            f" divided so; allowed: {', '.join(map(str, allowed)) or 'none'}"
        )


def require_run(run: Any, experts: int) -> None:
    """Raise RequestError unless that many of the experts can be run."""
    if type(run) is not int or not 1 <= run <= experts:
        raise RequestError(f"run {run!r} of {experts} experts: allowed are 1 to {experts}")
