"""The claims of report.qmd, read from its source before any of it is rendered.

The abstract counts them and a table lists them, so what decides a claim stands in the claim's own
chunk: imports, definitions and claims, and nothing else.
"""

import ast
import builtins
import dis
import functools
import importlib
from collections.abc import Iterator
from pathlib import Path
from types import CodeType
from typing import Any

from analysis.errors import RequestError, unknown
from analysis.paper.claims import Checked, Claim, Holds, check, finding
from analysis.paper.data import Data
from analysis.paper.verdicts import Verdict
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
            f"{unknown('claim', name, claims())} A claim is read from the document if it stands at"
            " the left margin of its chunk."
        )
    return claims()[name]


@functools.lru_cache(maxsize=4)
def _claims(text: str) -> dict[str, Claim]:
    found: dict[str, Claim] = {}
    for chunk in document.parsed(DOCUMENT, text).chunks:
        if "paper.claim(" not in chunk.code:
            continue
        for claim in _of_chunk(chunk):
            if claim.name in found:
                raise RequestError(
                    f"{claim.place}: the claim {claim.name!r} stands on line"
                    f" {found[claim.name].place.line} already: rename one"
                )
            found[claim.name] = claim
    return found


def _of_chunk(chunk: document.Chunk) -> Iterator[Claim]:
    """The claims of one chunk; what else it holds is run for them."""
    above = Place(chunk.place.file, chunk.code_line - 1)
    try:
        tree = ast.parse(chunk.code)
    except SyntaxError as error:
        raise RequestError(f"{above.down(error.lineno or 1)}: no Python: {error.msg}") from None
    made: list[ast.Call] = []
    for statement in tree.body:
        if call := _claim(statement):
            made.append(call)
        elif not isinstance(statement, _ALLOWED):
            raise RequestError(
                f"{above.down(statement.lineno)}: a chunk with a claim holds imports, definitions"
                " and claims alone, so that it can be read by itself: give the rest a chunk of its"
                " own"
            )
    names = _namespace(tree, above)
    for call in made:
        place = above.down(call.lineno)
        taking = ast.Expression(ast.Call(_TAKEN, call.args, call.keywords))
        code = compile(ast.fix_missing_locations(taking), str(place), "eval")
        _refuse_undefined(code, names, place)
        taken = functools.partial(_taken, place)
        yield _run(lambda code=code, taken=taken: eval(code, names | {_TAKEN.id: taken}), place)


_TAKEN = ast.Name("_taken_as_a_claim", ast.Load())


def _claim(statement: ast.stmt) -> ast.Call | None:
    """The call of `paper.claim` that the statement is, if it is one."""
    call = statement.value if isinstance(statement, ast.Expr) else None
    return call if isinstance(call, ast.Call) and ast.unparse(call.func) == "paper.claim" else None


def _namespace(tree: ast.Module, above: Place) -> dict[str, Any]:
    """What the chunk imports and defines, and the paper."""
    names: dict[str, Any] = {"paper": importlib.import_module("analysis.paper")}
    for statement in tree.body:
        if isinstance(statement, _ALLOWED):
            place = above.down(statement.lineno)
            code = compile(ast.Module([statement], []), str(place), "exec")
            if isinstance(statement, ast.Assign | ast.AnnAssign):
                _refuse_undefined(code, names, place)
            _run(lambda code=code: exec(code, names), place)
    for statement in tree.body:  # a function may use one that is defined below it
        if isinstance(statement, ast.FunctionDef):
            _refuse_undefined(names[statement.name].__code__, names, above.down(statement.lineno))
    return names


def _refuse_undefined(code: CodeType, names: dict[str, Any], place: Place) -> None:
    for name in _globals(code):
        if name not in names and not hasattr(builtins, name) and name != _TAKEN.id:
            raise RequestError(
                f"{place}: a claim is read before the document is run, and {name!r} is not defined"
                " in its chunk: define or import it there"
            )


def _globals(code: CodeType) -> Iterator[str]:
    """The names that code takes from around it."""
    for step in dis.get_instructions(code):
        if step.opname in ("LOAD_GLOBAL", "LOAD_NAME"):
            yield step.argval
    for inner in code.co_consts:
        if isinstance(inner, CodeType):
            yield from _globals(inner)


def _run(made: Any, place: Place) -> Any:
    try:
        return made()
    except RequestError as error:
        raise RequestError(f"{place}: {error}") from None
    except Exception as error:
        raise RequestError(f"{place}: {type(error).__name__}: {error}") from error


def _taken(
    place: Place, name: str, sentence: str, *, otherwise: str, undecided: str, holds: Holds
) -> Claim:
    """The claim that these arguments of `paper.claim` make."""
    if isinstance(holds, str):
        holds = finding(holds)
    return Claim(place, name, sentence, otherwise, undecided, holds)
