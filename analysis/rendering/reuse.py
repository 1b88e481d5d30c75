"""What of an earlier execution still holds: which parts of an edited document must be run again.

A part is run again if its own code changed, or if it shares a name with one that is run again and
sets or changes that name. Names are read from the code: what is assigned, what is assigned into
(`x.a = …`, `x[i] = …`), and what a call is made on, or given, whose value nobody takes
(`rows.append(1)`). Code that could do anything to any name (`exec`, a magic) cannot be told.
"""

import ast
import difflib
import functools
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from analysis.rendering.document import INLINE, Chunk, Prose

Part = Prose | Chunk
_UNTOLD = {"eval", "exec", "get_ipython", "globals", "locals", "vars"}
_ONLY_SHOW = {"display", "print"}  # calls for their effect, which leave what they are given alone
_INNER = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda, ast.ClassDef)
_NAMING = (*_INNER[:2], ast.ClassDef, ast.ExceptHandler, ast.MatchAs, ast.MatchStar)
_COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)


@dataclass(frozen=True)
class Done:
    """A part as it was run: what it gave, and whether it read the document itself."""

    part: Part
    result: Any = None
    finished: bool = False
    reads_document: bool = False


@dataclass(frozen=True)
class Plan:
    """What still holds, by the place of its part; and the names to forget before the rest runs."""

    kept: dict[int, Done]
    forgotten: frozenset[str]


@dataclass(frozen=True)
class _Names:
    """The names that a part takes from others, those that it sets or changes, and its imports."""

    reads: frozenset[str] = frozenset()
    writes: frozenset[str] = frozenset()
    imports: frozenset[tuple[str, str]] = frozenset()  # (name, what it is the name of)
    told: bool = True

    @property
    def touched(self) -> frozenset[str]:
        return self.reads | self.writes | {name for name, _ in self.imports}


def plan(before: Sequence[Done], parts: Sequence[Part]) -> Plan | None:
    """What of `before`, all that the kernel has run, still holds in a document of these parts.

    None if that cannot be told: then a fresh kernel has to run all of it.
    """
    kept, gone = _matched(before, parts)
    names = [_names(part) for part in parts]
    again = set(range(len(parts))) - kept.keys()
    if _code([done.part for done in before]) != _code(parts):
        again |= {index for index, done in kept.items() if done.reads_document}
    lost = [_names(done.part) for done in gone]
    changed = [*lost, *(names[index] for index in again)]
    forgotten = {name for one in changed for name in one.writes}
    before_imports = {pair for one in lost for pair in one.imports}
    new_imports = {pair for index in again for pair in names[index].imports}
    forgotten |= {name for name, _ in before_imports ^ new_imports}
    if not all(one.told for one in changed):
        return None
    _spread(names, again, forgotten)
    if forgotten and not all(one.told for one in names):
        return None
    return Plan({i: done for i, done in kept.items() if i not in again}, frozenset(forgotten))


def _matched(before: Sequence[Done], parts: Sequence[Part]) -> tuple[dict[int, Done], list[Done]]:
    """What was run and stands in the document as it was, by its place there; and the rest of it."""
    old: list[Hashable] = [_key(d.part) if d.finished else (i,) for i, d in enumerate(before)]
    matcher = difflib.SequenceMatcher(None, old, [_key(part) for part in parts], autojunk=False)
    kept = {
        block.b + offset: before[block.a + offset]
        for block in matcher.get_matching_blocks()
        for offset in range(block.size)
    }
    held = {id(done) for done in kept.values()}
    return kept, [done for done in before if id(done) not in held]


def _key(part: Part) -> Hashable:
    """What a part's result depends on: not on where it stands, nor on a figure's caption."""
    if isinstance(part, Chunk):
        return "chunk", part.code, _silent(part)
    return "prose", part.text


def _silent(chunk: Chunk) -> bool:
    return chunk.options.get("include") is False


def _code(parts: Sequence[Part]) -> list[str]:
    return [part.code for part in parts if isinstance(part, Chunk)]


def _spread(names: Sequence[_Names], again: set[int], forgotten: set[str]) -> None:
    """Add to both sets until no part that holds shares a forgotten name, and no part that is run
    again takes a name that a later part has changed since."""
    size = -1
    while size != len(again) + len(forgotten):
        size = len(again) + len(forgotten)
        for index, one in enumerate(names):
            if one.touched & forgotten:
                again.add(index)
        for index in again:
            later = frozenset().union(*(one.writes for one in names[index:]))
            forgotten |= names[index].writes | (names[index].reads & later)


def _names(part: Part) -> _Names:
    if isinstance(part, Chunk):
        return _of_code(part.code, _silent(part))
    found = [_of_code(match[2].strip(), False) for match in INLINE.finditer(part.text)]
    return _Names(
        frozenset().union(*(one.reads for one in found)),
        frozenset().union(*(one.writes for one in found)),
        told=all(one.told for one in found),
    )


@functools.lru_cache(maxsize=4096)
def _of_code(code: str, silent: bool) -> _Names:
    """The names in code; `silent` if its last value is not shown either."""
    try:
        tree = ast.parse(code)
    except (SyntaxError, ValueError):  # a magic, or a mistake
        return _Names(told=False)
    reads: set[str] = set()
    writes: set[str] = set()
    imports: set[tuple[str, str]] = set()
    for index, statement in enumerate(tree.body):
        shown = index == len(tree.body) - 1 and not silent
        here = _Statement(shown)
        here.visit(statement)
        own = writes | {name for name, _ in imports}
        reads |= here.loads - own
        writes |= here.stores
        imports |= here.imports
        if not here.told or here.loads & _UNTOLD - own:
            return _Names(told=False)
    return _Names(frozenset(reads), frozenset(writes), frozenset(imports))


class _Statement(ast.NodeVisitor):
    """The names in one statement of a chunk."""

    def __init__(self, shown: bool):
        self.loads: set[str] = set()
        self.stores: set[str] = set()
        self.imports: set[tuple[str, str]] = set()
        self.told = True
        self._shown = shown  # if it is an expression
        self._within = 0  # functions and comprehensions, whose own names are nobody else's

    def generic_visit(self, node: ast.AST) -> None:
        inner = isinstance(node, (*_INNER, *_COMPREHENSIONS))
        if isinstance(node, _NAMING) and node.name:
            self._store(node.name)
        elif isinstance(node, ast.Global):
            self.stores.update(node.names)
        self._within += inner
        super().generic_visit(node)
        self._within -= inner

    def _store(self, name: str) -> None:
        if not self._within:
            self.stores.add(name)

    def visit_Name(self, node: ast.Name) -> None:
        if isinstance(node.ctx, ast.Load):
            self.loads.add(node.id)
        else:
            self._store(node.id)

    def visit_AugAssign(self, node: ast.AugAssign) -> None:
        self._change(node.target)
        self.generic_visit(node)

    def visit_NamedExpr(self, node: ast.NamedExpr) -> None:
        self.stores.add(node.target.id)  # also out of a comprehension
        self.visit(node.value)

    def visit_Attribute(self, node: ast.Attribute) -> None:
        if not isinstance(node.ctx, ast.Load):
            self._change(node)
        self.generic_visit(node)

    def visit_Subscript(self, node: ast.Subscript) -> None:
        if not isinstance(node.ctx, ast.Load):
            self._change(node)
        self.generic_visit(node)

    def visit_Expr(self, node: ast.Expr) -> None:
        call = node.value.value if isinstance(node.value, ast.Await) else node.value
        called = call.func if isinstance(call, ast.Call) else None
        only_shows = isinstance(called, ast.Name) and called.id in _ONLY_SHOW
        if isinstance(call, ast.Call) and not self._shown and not only_shows:
            for one in (call.func, *call.args, *(keyword.value for keyword in call.keywords)):
                self._change(one)
        self._shown = False  # an expression within the statement is none that is shown
        self.generic_visit(node)

    def visit_Import(self, node: ast.Import) -> None:
        self._import((alias.asname or alias.name.split(".")[0], alias.name) for alias in node.names)

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        self.told &= all(alias.name != "*" for alias in node.names)
        self._import((a.asname or a.name, f"{node.module}.{a.name}") for a in node.names)

    def _import(self, pairs: Iterator[tuple[str, str]]) -> None:
        if not self._within:
            self.imports.update(pairs)

    def _change(self, node: ast.expr) -> None:
        """What the expression names may be another thing after this statement."""
        while isinstance(node, ast.Attribute | ast.Subscript | ast.Starred | ast.Call):
            node = node.func if isinstance(node, ast.Call) else node.value
        if isinstance(node, ast.Name):
            self.loads.add(node.id)
            self.stores.add(node.id)
