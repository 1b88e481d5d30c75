"""A digest of code: changes with what a program does, not with comments, docstrings or layout."""

import ast
import functools
import hashlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

PACKAGE = "analysis"
ROOT = Path(__file__).parents[2]

_Facts = tuple[str, tuple[str, ...]]


def digest(modules: Iterable[str], root: Path = ROOT) -> str:
    """Hex digest of the code of these modules and of all that they import inside the package: of
    each as it was when this process first asked, so that all its keys are of one code.

    Modules are dotted names. What a module loads by name at run time (a method, a task) is not
    seen here: name it beside the module that loads it.
    """
    return _combined(modules, lambda name: _facts(name, root))


def digest_now(modules: Iterable[str], root: Path = ROOT) -> str:
    """The same of the files as they are now; empty if one of them is no code."""
    try:
        return _combined(modules, lambda name: _facts_now(name, root))
    except (OSError, SyntaxError, ValueError):
        return ""


def _combined(modules: Iterable[str], facts: Callable[[str], _Facts]) -> str:
    found: dict[str, str] = {}
    pending = list(modules)
    while pending:
        name = pending.pop()
        if name not in found:
            found[name], imported = facts(name)
            pending.extend(imported)
    listing = [f"{name} {own}" for name, own in sorted(found.items())]
    return hashlib.sha256("\n".join(listing).encode()).hexdigest()


@functools.cache
def _facts(name: str, root: Path) -> _Facts:
    return _facts_now(name, root)


def _facts_now(name: str, root: Path) -> _Facts:
    path = _path(name, root)
    state = path.stat()
    return _parsed(path, root, (state.st_ino, state.st_size, state.st_mtime_ns, state.st_ctime_ns))


@functools.cache
def _parsed(path: Path, root: Path, state: tuple[int, ...]) -> _Facts:
    """A module's own digest, and the package's modules that it imports, in this state of its
    file."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    imported = tuple(sorted(set(_imports(tree, root))))
    for node in ast.walk(tree):
        _drop_docstring(node)
    return hashlib.sha256(ast.dump(tree).encode()).hexdigest(), imported


def _path(name: str, root: Path) -> Path:
    base = root.joinpath(*name.split("."))
    return base / "__init__.py" if base.is_dir() else base.with_suffix(".py")


def _imports(tree: ast.AST, root: Path) -> Iterator[str]:
    """The package's modules named in import statements, wherever these stand."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            named = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            # `from package import module` and `from module import name` look alike
            named = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        else:
            continue
        for name in named:
            if name.split(".")[0] == PACKAGE and _path(name, root).is_file():
                yield name


def _drop_docstring(node: ast.AST) -> None:
    if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
        first = node.body[0] if node.body else None
        text = first.value if isinstance(first, ast.Expr) else None
        if isinstance(text, ast.Constant) and isinstance(text.value, str):
            node.body = node.body[1:]
