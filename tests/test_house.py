"""The rules of the house: who may import whom, how large things may be (see CONTRIBUTING), and that
its documents name what there is."""

import ast
import functools
import re
import tomllib
from pathlib import Path

import typer
import yaml

from analysis.cli import app
from analysis.study.sections import Keys

ROOT = Path(__file__).parents[1]
# each room may import those before it
ROOMS = """
errors engine language hub tasks execution checkpoints data storage profile models scoring
calibration pruning training replicas alternatives steps study results experiments pipeline
planning rendering paper commands cli __main__
""".split()  # noqa: SIM905
FOREIGN = {"analysis.training.dropout._attention"}  # stands in for torch's, by its signature
NEVER = {
    "engine": set(ROOMS) - {"engine", "errors"},
    "study": {"engine.memo", "engine.runner", "steps", "results", "experiments"},
    "steps": {"study", "results", "experiments"},
    "experiments": {"steps", "pipeline"},
    "paper": {"steps", "experiments", "pipeline", "planning"},
}


@functools.cache
def modules():
    """Of each module of the package by its dotted name: its file and its tree."""
    found = {}
    for path in sorted((ROOT / "analysis").rglob("*.py")):
        dotted = ".".join(path.relative_to(ROOT).with_suffix("").parts)
        found[dotted.removesuffix(".__init__")] = path, ast.parse(path.read_text(encoding="utf-8"))
    return found


@functools.cache
def imports():
    """What each module imports of the package, wherever the statement stands."""
    found = {name: set() for name in modules()}
    for name, (_, tree) in modules().items():
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                found[name] |= {alias.name for alias in node.names} & set(modules())
            elif isinstance(node, ast.ImportFrom):
                for alias in node.names:
                    inner = f"{node.module}.{alias.name}"
                    found[name].add(inner if inner in modules() else node.module)
        found[name] = {other for other in found[name] & set(modules()) if other != name}
    return found


def room(module):
    return module.split(".")[1] if "." in module else module


def test_a_room_imports_only_rooms_before_it():
    assert {room(name) for name in modules()} <= {"analysis", *ROOMS}
    upwards = [
        f"{name} imports {other}"
        for name, others in imports().items()
        for other in others
        if ROOMS.index(room(other)) > ROOMS.index(room(name))
    ]
    assert upwards == []


def test_what_never_meets_does_not():
    met = [
        f"{name} imports {other}"
        for name, others in imports().items()
        for other in others
        for never in NEVER.get(room(name), ())
        if f"{other}.".startswith(f"analysis.{never}.")
    ]
    assert met == []


def test_no_files_import_each_other_in_a_circle():
    left = {name: set(others) for name, others in imports().items()}
    while free := [name for name, others in left.items() if not others & left.keys()]:
        for name in free:
            del left[name]
    assert left == {}


def test_a_private_module_or_name_is_used_in_its_own_room_alone():
    used = [
        f"{name} imports {node.module}.{alias.name}"
        for name, (_, tree) in modules().items()
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
        if any(part.startswith("_") for part in f"{node.module}.{alias.name}".split("."))
        and not (node.module or "").startswith(f"analysis.{room(name)}")
        and node.module != "__future__"
    ]
    assert used == []


def test_rooms_files_and_functions_are_small():
    assert len(list((ROOT / "analysis").glob("*.py"))) <= 10
    lengths = sorted(len(path.read_text().splitlines()) for path, _ in modules().values())
    assert lengths[len(lengths) // 2] <= 120
    assert lengths[int(0.95 * len(lengths))] <= 300
    large = [f"{name}: {f.name}" for name, f in functions() if lines_of(f) > 50]
    assert large == []
    wide = [
        f"{name}: {f.name}"
        for name, f in functions()
        if parameters(f) > (10 if room(name) == "steps" and not f.name.startswith("_") else 7)
        and f"{name}.{f.name}" not in FOREIGN
    ]
    assert wide == []


def test_documents_name_what_there_is():
    gone = []
    for path in (*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("data/*.md")):
        text = path.read_text(encoding="utf-8")
        paths = re.findall(r"(?<![\w/])(?:analysis|docs|tests|benchmarks)/[\w./*-]*\w", text)
        gone += [name for name in paths if not any(ROOT.glob(re.sub("[A-Z-]*NAME", "*", name)))]
        dotted = re.findall(r"\banalysis(?:\.\w+)+", text)
        gone += [n for n in dotted if not {n, n.rpartition(".")[0]} & modules().keys()]
        for link, anchor in re.findall(r"\]\((?!http|file\))([^)#]*)(?:#([^)]+))?\)", text):
            page = path.parent / link if link else path
            if not page.exists() or (anchor and anchor not in anchors(page)):
                gone.append(f"{path.name}: {link}#{anchor}")
    assert gone == []


def anchors(page):
    """What the headings of a page are called in links, as GitHub calls them."""
    titles = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}


def test_the_paper_is_cited_under_its_own_names():
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    package = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    paper = yaml.safe_load((ROOT / "report.qmd").read_text().split("---\n")[1])
    assert cited["authors"] == package["authors"] == paper["author"]
    assert cited["keywords"] == package["keywords"] == paper["keywords"]
    assert cited["title"].startswith(paper["title"])
    assert cited["version"] == package["version"]


def test_all_commands_options_and_keys_are_described():
    commands = re.split(r"^## ", (ROOT / "docs/commands.md").read_text(), flags=re.MULTILINE)
    described = {text.split()[0]: text for text in commands[1:]}
    for name, command in typer.main.get_command(app).commands.items():
        there = {o for p in command.params for o in (*p.opts, *p.secondary_opts) if o[0] == "-"}
        told = set(re.findall(r"`(--?[a-z-]+)`", described[name]))
        assert told == there - {"--help"}, name
    keys = (ROOT / "docs/studies.md").read_text().partition("## Every key")[2]
    for name in set(Keys.model_fields) - {"name", "text", "rehearsal"}:
        assert re.search(rf"^\|.*`{name}`.*\|.*\|", keys, re.MULTILINE), name


def functions():
    """All functions but those of the command line, whose parameters are its options."""
    for name, (_, tree) in modules().items():
        if room(name) != "cli":
            for node in ast.walk(tree):
                if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                    yield name, node


def lines_of(function):
    text = ast.get_docstring(function, clean=False)
    docstring = text.count("\n") + 1 if text else 0
    return function.end_lineno - function.lineno + 1 - docstring


def parameters(function):
    named = [a.arg for a in (*function.args.args, *function.args.kwonlyargs)]
    return len([name for name in named if name not in ("self", "cls", "typing")])  # numba's self


def test_each_mutation_has_its_place_in_the_code():
    mutants = yaml.safe_load((ROOT / "tests" / "mutants.yml").read_text(encoding="utf-8"))
    lost = [m for m in mutants if (ROOT / m["file"]).read_text().count(m["from"]) != 1]
    assert lost == []
