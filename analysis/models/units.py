"""Whole neurons and attention heads: which entries of which tensors belong to each.

Everything here goes by names, shapes and the config alone. A group is what is chosen from
together: the neurons of a feed-forward layer, the heads of an attention, or with grouped queries
its key/value heads, each with all queries that read it. T5 adds one position bias, made by its
first block, in every block of a stack, and hands a bias of zeros along its cross-attention, so a
head of its is a head of the whole stack.

A layer whose tensors do not fit these rules has no groups, and so stays whole.
"""

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analysis.checkpoints import naming
from analysis.checkpoints.axes import stored_by_input
from analysis.checkpoints.naming import Weight
from analysis.errors import RequestError

KEPT = "kept.json"  # beside the weights: a config cannot give each layer a width of its own

HEADS, NEURONS = "heads", "neurons"
_GROUPED = {"llama", "mistral"}
_STACKED = {"t5", "mt5"}
_FUSED = {"gpt2"}
# others may normalise over all heads, mix them, or lay them out otherwise
KNOWN = sorted(
    {"bert", "megatron-bert", "roberta", "xlm-roberta", "deberta-v2"}
    | {"bart", "mbart", "pegasus", "m2m_100"}
    | _GROUPED
    | _STACKED
    | _FUSED
)

Shapes = Mapping[str, tuple[int, ...]]


@dataclass(frozen=True)
class Cut:
    """Where the units of a group lie in one tensor: along an axis, in `ranges` runs of all units.

    GPT-2's c_attn has three runs: queries, keys, values. Units are equally wide.
    """

    name: str
    axis: int
    ranges: int = 1


@dataclass(frozen=True)
class Group:
    """Units of one kind that are chosen from together.

    key       part, layer and kind in words: "encoder.3.attention"; the same with or without the
              base model's prefix
    kind      "heads" or "neurons"
    count     number of units, of which at least one stays
    inputs    the tensors that make a unit
    outputs   the projections [out, in], cut along in, that read it: several for a stack's heads
    modules   the attentions that count heads
    """

    key: str
    kind: str
    count: int
    inputs: tuple[Cut, ...]
    outputs: tuple[Cut, ...]
    modules: tuple[str, ...] = ()

    @property
    def cuts(self) -> tuple[Cut, ...]:
        """All tensors that lose entries with a unit."""
        return self.inputs + self.outputs

    def positions(self, cut: Cut, length: int, units: Sequence[int]) -> NDArray[np.intp]:
        """The places of these units along the axis of a cut, which is that long."""
        return np.arange(length).reshape(cut.ranges, self.count, -1)[:, units].reshape(-1)

    def shape(self, cut: Cut, whole: tuple[int, ...], kept: int) -> tuple[int, ...]:
        """The shape of a tensor of which that many units are left."""
        sizes = list(whole)
        sizes[cut.axis] = sizes[cut.axis] // self.count * kept
        return tuple(sizes)


def groups(named: Mapping[str, Weight], shapes: Shapes, config: Mapping[str, Any]) -> list[Group]:
    """The groups of a checkpoint by key, given its parameters and its parsed config.json.

    Raises RequestError for a type of model whose heads are not known here.
    """
    kind = config.get("model_type")
    if kind not in KNOWN:
        raise RequestError(
            f"config.json has the model_type {kind!r}, of which no neurons and heads can be"
            f" removed; allowed: {', '.join(KNOWN)}"
        )
    blocks: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for name, what in named.items():
        if what.prunable:
            blocks[naming.block_of(what.name) or ""][what.kind].append(name)
    found: list[Group] = []
    stacks: dict[str, list[Group | None]] = defaultdict(list)
    tensors = _Tensors(shapes, stored_by_input(shapes, config), config)
    for kinds in blocks.values():
        what = named[next(iter(kinds.values()))[0]]
        one = {kind: names[0] for kind, names in kinds.items() if len(names) == 1}
        found += filter(None, [tensors.neurons(f"{what.part}.{what.layer}.ffn", one)])
        for which in ("attention", "cross-attention"):
            if not any(kind.startswith(which) for kind in kinds):
                continue
            heads = tensors.heads(f"{what.part}.{what.layer}.{which}", what.part, which, one)
            if kind in _STACKED:
                stacks[f"{what.part}.{which}"].append(heads)
            else:
                found += filter(None, [heads])
    found += filter(None, (_stack(key, layers) for key, layers in stacks.items()))
    once = Counter(group.key for group in found)
    return sorted((g for g in found if once[g.key] == 1), key=lambda group: group.key)


def _stack(key: str, layers: Sequence[Group | None]) -> Group | None:
    """The heads of a whole stack; None if one of its layers is not understood."""
    there = [layer for layer in layers if layer is not None]
    if len({layer.count for layer in there}) != 1 or len(there) != len(layers):
        return None
    return Group(
        key,
        HEADS,
        there[0].count,
        tuple(cut for layer in there for cut in layer.inputs),
        tuple(cut for layer in there for cut in layer.outputs),
        tuple(module for layer in there for module in layer.modules),
    )


@dataclass(frozen=True)
class _Tensors:
    shapes: Shapes
    by_input: frozenset[str]
    config: Mapping[str, Any]

    def neurons(self, key: str, one: Mapping[str, str]) -> Group | None:
        """The neurons of a block's feed-forward layer, given its one tensor of each kind."""
        if not {"ffn in", "ffn out"} <= one.keys():
            return None
        out = self._reading(one["ffn out"])
        count = self.shapes[out.name][out.axis]
        inputs: list[Cut] = []
        for kind in ("ffn in", "ffn gate"):
            if kind in one:
                made = self._making(one[kind], count)
                if not made:
                    return None
                inputs += made
        return Group(key, NEURONS, count, tuple(inputs), (out,)) if count else None

    def heads(self, key: str, part: str, which: str, one: Mapping[str, str]) -> Group | None:
        """The heads of one attention of a block, given the block's one tensor of each kind."""
        if f"{which} output" not in one:
            return None
        out = self._reading(one[f"{which} output"])
        width = self.shapes[out.name][out.axis]
        count = _number(self.config, f"{part}_attention_heads", "num_attention_heads", "n_head",
                        "num_heads")  # fmt: skip
        pairs = count
        if self.config["model_type"] in _GROUPED:
            pairs = _number(self.config, "num_key_value_heads") or count
        if not count or not pairs or width % count or count % pairs:
            return None
        sizes = {"query": width, "key": width // count * pairs, "value": width // count * pairs}
        if self.config["model_type"] in _FUSED:
            sizes = {"query-key-value": 3 * width}
            if which == "cross-attention":
                sizes = {"query": width, "value": 2 * width}
        if any(f"{which} {role}" not in one for role in sizes):
            return None
        inputs: list[Cut] = []
        for role, size in sizes.items():
            made = self._making(one[f"{which} {role}"], size, max(1, size // width))
            if not made:
                return None
            inputs += made
        module = _parent(_parent(inputs[0].name))
        return Group(key, HEADS, pairs, (*inputs, *self._positions(module, width)), (out,),
                     (module,))  # fmt: skip

    def _reading(self, name: str) -> Cut:
        """An output projection, cut along its inputs."""
        return Cut(name, 0 if name in self.by_input else 1)

    def _making(self, name: str, size: int, ranges: int = 1) -> list[Cut]:
        """A matrix with so many outputs, cut along them, and its bias; none if it has others."""
        axis = 1 if name in self.by_input else 0
        if len(self.shapes[name]) != 2 or self.shapes[name][axis] != size:
            return []
        bias = bias_of(name)
        if bias not in self.shapes:
            return [Cut(name, axis, ranges)]
        whole = self.shapes[bias] == (size,)
        return [Cut(name, axis, ranges), Cut(bias, 0, ranges)] if whole else []

    def _positions(self, module: str, width: int) -> list[Cut]:
        """What an attention has per head for positions: DeBERTa's projections, T5's biases."""
        cuts: list[Cut] = []
        for projection in ("pos_key_proj", "pos_query_proj"):
            name = f"{module}.{projection}.weight"
            if name in self.shapes:
                cuts += self._making(name, width)
        bias = f"{module}.relative_attention_bias.weight"  # [buckets, heads]
        return [*cuts, Cut(bias, 1)] if bias in self.shapes else cuts


def bias_of(name: str) -> str:
    """The name of the bias beside a weight."""
    return f"{name.removesuffix('weight')}bias"


def _parent(path: str) -> str:
    return path.rpartition(".")[0]


def _number(config: Mapping[str, Any], *keys: str) -> int:
    """The first positive whole number that the config has under one of these keys, or 0."""
    values = (config.get(key) for key in keys)
    return next((v for v in values if isinstance(v, int) and v > 0), 0)


def read_kept(folder: Path, found: Iterable[Group]) -> dict[str, list[int]]:
    """What is kept of the whole model's groups, by key; groups that are not listed are whole.

    Raises RequestError if the file is damaged, or is of another model.
    """
    path = folder / KEPT
    by_key = {group.key: group for group in found}
    kept = {}
    try:
        listed = json.loads(path.read_text(encoding="utf-8"))
        for kind in listed.keys() | {HEADS, NEURONS}:
            for key, entry in listed[kind].items():
                group = by_key[key]
                if (group.kind, group.count) != (kind, entry["of"]):
                    raise ValueError(f"{key} has {group.count} {group.kind} by config.json")
                kept[key] = _checked(key, entry["kept"], group.count)
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        what = f"no {error}" if isinstance(error, KeyError) else str(error)
        raise RequestError(
            f"{path} does not say what is kept of this model: {what}; remove the units again"
        ) from error
    return kept


def _checked(key: str, units: Any, count: int) -> list[int]:
    """Numbers of units, rising. Raises ValueError if they are none."""
    numbers = isinstance(units, list) and all(type(unit) is int for unit in units)
    if (
        not numbers
        or not units
        or units != sorted({*units})
        or not 0 <= units[0] <= units[-1] < count
    ):
        raise ValueError(f"{key} keeps what are no rising numbers of 0 to {count - 1}")
    return list(units)
