"""The claims of report.qmd, read from its source before any of it is rendered.

The abstract counts them and a table lists them, so what decides a claim stands in the claim's own
chunk: above it imports and definitions, and nothing else.
"""

import ast
import builtins
import contextlib
import dis
import functools
import importlib
import inspect
from collections.abc import Callable, Iterator
from pathlib import Path
from types import CodeType
from typing import Any

from analysis.errors import RequestError, unknown
from analysis.paper.claims import Checked, Claim, Settled, check, finding, line_of, predicate
from analysis.paper.data import Data
from analysis.paper.verdicts import Finding, Verdict
from analysis.rendering import document
from analysis.rendering.subset import Place, text_of

DOCUMENT = Path("report.qmd")
_ALLOWED = (ast.Import, ast.ImportFrom, ast.FunctionDef, ast.Assign, ast.AnnAssign)


def claims() -> dict[str, Claim]:
    """All claims of the project's document, in its order. Raises RequestError, with the line, for
    one that cannot be read by itself."""
    return _claims(text_of(DOCUMENT))


def verdicts(data: Data) -> list[Checked]:
    """All of them, held against the results."""
    return [check(data, claim) for claim in claims().values()]


def by_verdict(data: Data) -> dict[Verdict, list[str]]:
    """The names of the claims of each verdict."""
    found: dict[Verdict, list[str]] = {one: [] for one in Verdict}
    for checked in verdicts(data):
        found[checked.verdict].append(checked.claim.name)
    return found


def named(name: str) -> Claim:
    """The claim of that name. Raises RequestError if the document, as it is read, has none."""
    if name not in claims():
        raise RequestError(
            f"{unknown('claim', name, claims())} A claim is read from the document where a chunk"
            " ends with paper.claim(…)."
        )
    return claims()[name]


@functools.lru_cache(maxsize=4)
def _claims(text: str) -> dict[str, Claim]:
    found: dict[str, Claim] = {}
    for chunk in document.parsed(DOCUMENT, text).chunks:
        claim = _of_chunk(chunk) if "paper.claim" in chunk.code else None
        if claim and claim.name in found:
            raise RequestError(
                f"{claim.place}: the claim {claim.name!r} stands on line"
                f" {found[claim.name].place.line} already: rename one"
            )
        if claim:
            found[claim.name] = claim
    return found


def _of_chunk(chunk: document.Chunk) -> Claim | None:
    """The claim that ends a chunk, if one does; what stands above it there is run for it."""
    file, above = chunk.place.file, chunk.code_line - 1
    try:
        tree = ast.parse(chunk.code)
    except SyntaxError as error:
        raise RequestError(f"{file}:{above + (error.lineno or 1)}: {error.msg}") from None
    ast.increment_lineno(tree, above)  # lines are those of the document
    calls = [n for n in ast.walk(tree) if isinstance(n, ast.Call) and _is_claim(n)]
    if not calls:  # its name stands in a comment
        return None
    _refuse_others(tree, calls, file)
    _refuse_undefined(tree, file)
    return _made(tree, Place(file, calls[0].lineno))


def _is_claim(call: ast.Call) -> bool:
    return ast.unparse(call.func) == "paper.claim"


def _refuse_others(tree: ast.Module, calls: list[ast.Call], file: str) -> None:
    """RequestError unless the chunk ends with its one claim and holds what it needs alone."""
    *before, last = tree.body
    if isinstance(last, ast.Expr) and last.value in calls:
        calls = [call for call in calls if call is not last.value]
    if calls:
        raise RequestError(
            f"{file}:{calls[0].lineno}: a claim stands at the left margin and ends its chunk, which"
            " shows its last line alone: give each claim a chunk of its own"
        )
    for statement in before:
        if not isinstance(statement, _ALLOWED):
            raise RequestError(
                f"{file}:{statement.lineno}: above its claim a chunk holds imports and definitions"
                " alone, so that it can be read by itself: give the rest a chunk of its own"
            )


def _refuse_undefined(tree: ast.Module, file: str) -> None:
    """RequestError for a name that the chunk takes from outside of it."""
    whole = compile(tree, file, "exec")
    bound = {step.argval for step in dis.get_instructions(whole) if step.opname == "STORE_NAME"}
    for name, line in _globals(whole):
        if name not in bound and name != "paper" and not hasattr(builtins, name):
            raise RequestError(
                f"{file}:{line}: a claim is read before the document is run, and {name!r} is not"
                " defined in its chunk: define or import it there"
            )


def _globals(code: CodeType) -> Iterator[tuple[str, int | None]]:
    """The names that code takes from around it, with their lines."""
    for step in dis.get_instructions(code):
        if step.opname in ("LOAD_GLOBAL", "LOAD_NAME"):
            yield step.argval, step.positions.lineno if step.positions else None
    for inner in code.co_consts:
        if isinstance(inner, CodeType):
            yield from _globals(inner)


def _made(tree: ast.Module, place: Place) -> Claim:
    """The claim, made by running its chunk with `_taken` in place of `paper.claim`."""
    *before, last = tree.body
    assert isinstance(last, ast.Expr)
    assert isinstance(last.value, ast.Call)
    last.value.func = ast.copy_location(ast.Name("_taken", ast.Load()), last.value.func)
    taken = functools.partial(_taken, place)
    names = {"paper": _paper(), "_taken": taken}
    try:
        exec(compile(ast.Module(before, []), place.file, "exec"), names)
        return eval(compile(ast.Expression(last.value), place.file, "eval"), names)
    except RequestError as error:
        raise RequestError(f"{line_of(error, place)}: {error}") from None
    except Exception as error:
        said = f"{type(error).__name__}: {error}"
        raise RequestError(f"{line_of(error, place)}: {said}") from error


def _taken(place: Place, *arguments: Any, **named: Any) -> Claim:
    """The claim that these arguments of `paper.claim` make."""
    try:
        given = inspect.signature(_paper().claim).bind(*arguments, **named).arguments
    except TypeError as error:
        raise RequestError(f"paper.claim: {error}") from None
    for key, written in given.items():
        if key != "holds" and not (isinstance(written, str) and written.strip()):
            raise RequestError(f"paper.claim: {key} is {written!r}; allowed: text")
    return Claim(place, **{**given, "holds": _deciding(given["holds"])})


def _paper() -> Any:
    return importlib.import_module("analysis.paper")  # which imports this module


def _deciding(holds: Any) -> Callable[[Data], Finding]:
    if isinstance(holds, str):
        holds = finding(holds)
    if isinstance(holds, Settled):
        return holds.decide
    with contextlib.suppress(TypeError):
        inspect.signature(holds).bind(None)
        return functools.partial(predicate.decide, holds)
    raise RequestError(
        f"holds is {' '.join(repr(holds).split())}; allowed: a finding by name,"
        " paper.finding(name, …) with its settings, a function of the results alone"
    )
