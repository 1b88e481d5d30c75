"""Inputs that are a little wrong: JSON and YAML trees, tables and lines, changed in one place."""

import copy
import json
import random
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from damage import damages, hurt

_VALUES: list[Any] = [
    *(None, True, False, 0, 1, -1, 3, 10**30, 0.5, -0.0, 1e308, float("nan"), float("inf")),
    *("", " ", "x", "auto", "1", "x" * 100_000, "\ud800", "../..", "é\u202e", "{{< env HOME >}}"),
    *([], {}, [[]], [None], {"": ""}, ["a"] * 3, {"a": {"b": 1}}),
]
_CELLS = ["", '"', '"x', "\t", ",", "1.0", "+1", "nan", "é", "\x00", "\ud800", "x" * 70_000, "[]"]


def mutate(path: Path, chance: random.Random) -> str:
    """Change the file in one place; what was done."""
    tree = {".json": _json, ".yml": _yaml}.get(path.suffix)
    kinds = [_bytes, *([tree] * 3 if tree else [])]
    if path.suffix == ".safetensors":
        kinds.append(_header)
    if path.suffix in (".jsonl", ".csv", ".tsv", ".txt"):
        kinds += [_cell, _lines]
    return chance.choice(kinds)(path, chance)


def _bytes(path: Path, chance: random.Random) -> str:
    name, damage = chance.choice(list(damages(40, chance.randrange(2**31))))
    if not path.stat().st_size:
        return "nothing: the file is empty"
    hurt(path, damage)
    return name


def _json(path: Path, chance: random.Random) -> str:
    tree, what = changed(json.loads(path.read_text(encoding="utf-8")), chance)
    path.write_text(json.dumps(tree, indent=1), encoding="utf-8")
    return what


def _yaml(path: Path, chance: random.Random) -> str:
    tree, what = changed(yaml.safe_load(path.read_text(encoding="utf-8")), chance)
    text = yaml.safe_dump(tree, sort_keys=False, allow_unicode=True)
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    return what


def _header(path: Path, chance: random.Random) -> str:
    """Of a safetensors file: what it says of its tensors."""
    raw = path.read_bytes()
    (length,) = struct.unpack("<Q", raw[:8])
    tree, what = changed(json.loads(raw[8 : 8 + length]), chance)
    header = json.dumps(tree).encode()
    path.write_bytes(struct.pack("<Q", len(header)) + header + raw[8 + length :])
    return f"header: {what}"


def _cell(path: Path, chance: random.Random) -> str:
    """A piece between separators is another."""
    lines = path.read_text(encoding="utf-8").split("\n")
    row = chance.randrange(len(lines))
    separator = {".csv": ",", ".tsv": "\t", ".jsonl": ": "}.get(path.suffix, " ")
    cells = lines[row].split(separator)
    cells[chance.randrange(len(cells))] = put = chance.choice(_CELLS)
    lines[row] = separator.join(cells)
    path.write_bytes("\n".join(lines).encode("utf-8", "surrogatepass"))
    return f"line {row + 1}: {put[:20]!r}"


def _lines(path: Path, chance: random.Random) -> str:
    """Lines are gone, doubled, exchanged, or end in another way."""
    lines = path.read_text(encoding="utf-8").split("\n")
    kind = chance.choice(
        ["one line", "no line", "doubled", "header below", "\r\n", "\r", "BOM", "NUL"]
    )
    ending = kind if kind in ("\r\n", "\r") else "\n"
    if kind in ("one line", "no line"):
        lines = lines[: kind == "one line"]
    elif kind == "doubled":
        lines.insert(0, lines[0])
    elif kind == "header below":
        lines = lines[1:] + lines[:1]
    before = {"BOM": b"\xef\xbb\xbf", "NUL": b"\x00"}.get(kind, b"")
    path.write_bytes(before + ending.join(lines).encode())
    return f"lines: {kind!r}"


def changed(tree: Any, chance: random.Random) -> tuple[Any, str]:
    """The tree with one of its nodes another, gone or doubled; and what was done."""
    tree = copy.deepcopy(tree)
    places = list(_places(tree))
    if not places:
        return chance.choice(_VALUES), "another document"
    node, key, name = chance.choice(places)
    kind = chance.choice(["another", "another", "another", "gone", "renamed"])
    if kind == "another":
        node[key] = put = copy.deepcopy(chance.choice(_VALUES))
        return tree, f"{name} = {str(put)[:20]!r}"
    value = node.pop(key)
    if kind == "renamed" and isinstance(node, dict):
        node[f"{key}_"] = value
    return tree, f"{name} {kind}"


def _places(tree: Any, name: str = "") -> Iterator[tuple[Any, Any, str]]:
    """Every node but the root: its parent, its key there, and how it is reached."""
    items = (
        tree.items()
        if isinstance(tree, dict)
        else enumerate(tree)
        if isinstance(tree, list)
        else ()
    )
    for key, value in items:
        yield tree, key, f"{name}/{key}"
        yield from _places(value, f"{name}/{key}")
