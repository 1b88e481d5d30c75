"""The digest of code follows what a program does, through all that it imports, and no more."""

import textwrap
from pathlib import Path

import pytest

from analysis import code

ROOT = Path(__file__).parents[1]

STEP = '''
"""What the step does."""

from analysis import middle
from analysis.tools import helper


def step(x):
    """Docstring."""
    # a comment
    return middle.scale(x) + helper(x)
'''
MIDDLE = """
import analysis.deep as deep


def scale(x):
    return deep.FACTOR * x
"""


@pytest.fixture
def package(tmp_path):
    """A package `analysis`: step -> middle -> deep, step -> tools.helper; unrelated stands apart.

    Each call of the function writes the files, some changed, and gives the digest of the step.
    """
    code._facts.cache_clear()
    files = {
        "__init__": "",
        "step": STEP,
        "middle": MIDDLE,
        "deep": "FACTOR = 2\n",
        "tools": "def helper(x):\n    return x\n",
        "unrelated": "VALUE = 1\n",
    }

    def digest(**changed):
        for name, text in (files | changed).items():
            file = "tools/__init__.py" if name == "tools" else f"{name}.py"
            path = tmp_path / "analysis" / file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(textwrap.dedent(text), encoding="utf-8")
        code._facts.cache_clear()
        return code.digest(["analysis.step"], root=tmp_path)

    yield digest
    code._facts.cache_clear()


@pytest.mark.parametrize(
    "changed",
    [
        STEP.replace("+ helper", "- helper"),
        STEP.replace("def step(x)", "def step(x, y=1)"),
        STEP.replace("return", "yield"),
        STEP.replace("    return", "    x = -x\n    return"),
        STEP + "\nSEED = 1\n",
        STEP.replace("def step", "@staticmethod\ndef step"),
        STEP.replace("def step(x)", "async def step(x)"),
        STEP + "\nTEXT = 'a string that is no docstring'\n",
    ],
)
def test_another_program_has_another_digest(package, changed):
    assert package(step=changed) != package()


@pytest.mark.parametrize(
    "reworded",
    [
        STEP.replace("Docstring.", "Quite another docstring."),
        STEP.replace('    """Docstring."""\n', ""),
        STEP.replace('"""What the step does."""', '"""Something\n\nlonger."""'),
        STEP.replace('"""What the step does."""', ""),
        STEP.replace("# a comment", "# another"),
        STEP.replace("    # a comment\n", "\n\n\n"),
        STEP.replace("middle.scale(x) + helper(x)", "(\n        middle.scale( x )\n+helper(x,))"),
        STEP.replace("\n\n\n", "\n\n\n\n\n\n"),
        STEP + "\n# the end\n",
        "#!/usr/bin/env python\n# -*- coding: utf-8 -*-\n" + STEP,
    ],
)
def test_words_and_layout_change_nothing(package, reworded):
    assert package(step=reworded) == package()


def test_docstrings_of_classes_and_methods_change_nothing(package):
    text = 'class A:\n    """{}"""\n\n    async def f(self):\n        """{}"""\n        return 1\n'
    assert package(step=text.format("a", "b")) == package(step=text.format("c", "d"))


def test_a_string_after_the_first_statement_counts(package):
    text = 'def f():\n    x = 1\n    "{}"\n    return x\n'
    assert package(step=text.format("a")) != package(step=text.format("b"))


def test_an_imported_module_counts(package):
    assert package(middle=MIDDLE.replace("* x", "+ x")) != package()


def test_a_module_imported_by_an_imported_module_counts(package):
    assert package(deep="FACTOR = 3\n") != package()


def test_an_imported_packages_init_counts(package):
    assert package(tools="def helper(x):\n    return 2 * x\n") != package()


def test_a_comment_in_an_imported_module_changes_nothing(package):
    assert package(deep="# why\nFACTOR = 2  # because\n") == package()


def test_a_module_that_nobody_imports_changes_nothing(package):
    assert package(unrelated="VALUE = 2\n") == package()


@pytest.mark.parametrize(
    "importing",
    [
        "import analysis.unrelated",
        "import analysis.unrelated as u",
        "from analysis import unrelated",
        "from analysis.unrelated import VALUE",
        "from analysis.unrelated import *",
        "def f():\n    from analysis.unrelated import VALUE\n    return VALUE",
        "class A:\n    import analysis.unrelated",
        "try:\n    import analysis.unrelated\nexcept ImportError:\n    pass",
        "import os, analysis.unrelated",
        "if False:\n    from analysis import middle, unrelated",
    ],
)
def test_every_way_to_import_is_followed(package, importing):
    assert package(step=importing, unrelated="VALUE = 2") != package(step=importing)


@pytest.mark.parametrize(
    "importing",
    ["import numpy.linalg", "from collections import abc", "import analysis_of_others.unrelated"],
)
def test_other_packages_are_not_followed(package, importing):
    assert package(step=importing, unrelated="VALUE = 2") == package(step=importing)


def test_modules_that_import_each_other_end(package):
    circle = {"middle": "from analysis import deep\n", "deep": "from analysis import middle\n"}
    changed = circle | {"deep": "from analysis import middle\nX = 1\n"}
    assert package(**circle) != package(**changed)


def test_two_modules_that_swap_their_code_change_the_digest(package):
    texts = {"middle": "A = 1\n", "deep": "A = 2\n"}
    both = "from analysis import middle, deep\n"
    swapped = {"middle": texts["deep"], "deep": texts["middle"]}
    assert package(step=both, **texts) != package(step=both, **swapped)


def test_named_modules_count_in_any_order_and_once():
    modules = ["analysis.registry", "analysis.profile"]
    assert code.digest(modules) == code.digest([*reversed(modules), "analysis.registry"])
    assert code.digest(modules) != code.digest(modules[:1])


def test_every_module_of_the_project_has_a_digest():
    names = [
        ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        for path in (ROOT / "analysis").rglob("*.py")
    ]
    digests = {name: code.digest([name]) for name in names}
    assert all(len(digest) == 64 for digest in digests.values())


def test_a_method_does_not_see_another_and_the_registry_sees_none():
    files = set()

    def closure(name):
        if name not in files:
            files.add(name)
            for imported in code._facts(name, code.ROOT)[1]:
                closure(imported)

    closure("analysis.pruning.methods.magnitude")
    closure("analysis.registry")
    assert "analysis.pruning.methods.magnitude_all" not in files
    assert not any(name.startswith("analysis.paper") for name in files)
