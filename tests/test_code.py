"""The digest of code follows what a program does, through all that it imports, and no more."""

from pathlib import Path

import pytest

from analysis.engine import code

ROOT = Path(__file__).parents[1]

STEP = '''"""What the step does."""

from analysis import middle
from analysis.tools import helper


def step(x):
    """Docstring."""
    # a comment
    return middle.scale(x) + helper(x)
'''
MIDDLE = "import analysis.deep as deep\n\n\ndef scale(x):\n    return deep.FACTOR * x\n"
HELPER = "def helper(x):\n    return x\n"
FILES = {"__init__": "", "step": STEP, "middle": MIDDLE, "tools/__init__": HELPER}
FILES |= {"deep": "FACTOR = 2\n", "unrelated": "VALUE = 1\n"}
ANOTHER = [
    *(("+ helper", "- helper"), ("def step(x)", "def step(x, y=1)"), ("return", "yield")),
    *(("    return", "    x = -x\n    return"), ("def step", "@staticmethod\ndef step")),
    *(("def step(x)", "async def step(x)"), (STEP, STEP + "\nSEED = 1\n")),
    (STEP, STEP + "\nTEXT = 'a string that is no docstring'\n"),
    ("    return", "    'no docstring, as it is the second'\n    return"),
]
REWORDED = [
    *(("Docstring.", "Quite another docstring."), ('    """Docstring."""\n', "")),
    *(("What the step does.", "Something\n\nlonger."), ('"""What the step does."""', "")),
    *(("# a comment", "# another"), ("    # a comment\n", "\n\n\n"), ("\n\n\n", "\n\n\n\n\n\n")),
    ("middle.scale(x) + helper(x)", "(\n        middle.scale( x )\n+helper(x,))"),
    (STEP, f"#!/usr/bin/env python\n# -*- coding: utf-8 -*-\n{STEP}\n# the end\n"),
]
IMPORTS = """import analysis.unrelated
import analysis.unrelated as u
from analysis import unrelated
from analysis.unrelated import VALUE
from analysis.unrelated import *
def f(): from analysis.unrelated import VALUE
class A: import analysis.unrelated
import os, analysis.unrelated
if False: from analysis import middle, unrelated
import numpy.linalg
from collections import abc
import analysis_of_others.unrelated"""


@pytest.fixture
def digest(tmp_path_factory):
    """Writes a package, some files changed; digests step -> middle -> deep and tools.helper."""

    def write(**changed):
        root = tmp_path_factory.mktemp("package")
        for name, text in (FILES | changed).items():
            path = root / "analysis" / f"{name}.py"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        return code.digest(["analysis.step"], root=root)

    return write


def test_another_program_has_another_digest_and_other_words_have_not(digest):
    same = digest()
    for old, new in ANOTHER + REWORDED:
        assert STEP.replace(old, new) != STEP
        changes = digest(step=STEP.replace(old, new)) != same
        assert changes == ((old, new) in ANOTHER), new
    text = 'class A:\n    """{}"""\n\n    async def f(self):\n        """{}"""\n        return 1\n'
    assert digest(step=text.format("a", "b")) == digest(step=text.format("c", "d"))


def test_what_is_imported_counts_and_its_words_and_what_is_not_do_not(digest):
    same = digest()
    assert digest(middle=MIDDLE.replace("* x", "+ x")) != same
    assert digest(deep="FACTOR = 3\n") != same
    assert digest(**{"tools/__init__": HELPER.replace("x\n", "-x\n")}) != same
    assert digest(deep="# why\nFACTOR = 2  # because\n") == same
    assert digest(unrelated="VALUE = 2\n") == same


def test_every_way_to_import_is_followed_inside_the_package(digest):
    for number, line in enumerate(IMPORTS.splitlines()):
        followed = digest(step=line, unrelated="VALUE = 2") != digest(step=line)
        assert followed == (number < 9), line


def test_modules_that_import_each_other_or_swap_their_code_are_told_apart(digest):
    circle = {"middle": "from analysis import deep\n", "deep": "from analysis import middle\n"}
    assert digest(**circle) != digest(**circle | {"deep": circle["deep"] + "X = 1\n"})
    one = {"step": "from analysis import middle, deep\n", "middle": "A = 1\n", "deep": "A = 2\n"}
    assert digest(**one) != digest(**one | {"middle": one["deep"], "deep": one["middle"]})


def test_an_edit_is_seen_now_while_all_keys_of_a_process_are_of_one_code(tmp_path):
    (tmp_path / "analysis").mkdir()
    for name, text in {"step": "from analysis import deep\n", "deep": "FACTOR = 2\n"}.items():
        (tmp_path / "analysis" / f"{name}.py").write_text(text, encoding="utf-8")

    def both():
        given = ["analysis.step"], tmp_path
        return code.digest(*given), code.digest_now(*given)

    first, now = both()
    assert first == now
    for edit in ("FACTOR = 3\n", "FACTOR = (\n", "\0"):
        (tmp_path / "analysis" / "deep.py").write_text(edit, encoding="utf-8")
        kept, now = both()
        assert kept == first != now
    (tmp_path / "analysis" / "deep.py").write_text("FACTOR = 2  # again\n", encoding="utf-8")
    assert both() == (first, first)
