"""The paper's sentences stand in report.qmd, where its author finds them; Python has none."""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
TELLS_AUTHORS = {"facts.py"}  # what docs/writing.md says of each fact
ERRORS = {"RequestError", "RunError", "ValueError"}
MOST = 8  # words of a label, or of one of the phrases that name a finding's numbers


def text_of(node):
    """What is written in a string, its values as numbers; None of anything else."""
    if isinstance(node, ast.JoinedStr):
        return "".join(getattr(part, "value", 0) if isinstance(part, ast.Constant) else "0"
                       for part in node.values)  # fmt: skip
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else None


def strings(node):
    """The strings below a node, but for docstrings and what errors say."""
    if isinstance(node, ast.Raise) or (
        isinstance(node, ast.Call) and getattr(node.func, "id", "") in ERRORS
    ):
        return
    text = text_of(node)
    if text is not None and "{=html}" not in text:  # a mark of the page's own
        yield text
    for inner in () if isinstance(node, ast.Constant) else ast.iter_child_nodes(node):
        if isinstance(node, ast.JoinedStr) and isinstance(inner, ast.Constant):
            continue
        documents = isinstance(inner, ast.Expr) and isinstance(inner.value, ast.Constant)
        if not documents:
            yield from strings(inner)


def prose(source, stops=True):
    """The strings of a file with phrases as long as sentences, or that end as they do."""
    for text in strings(ast.parse(source)):
        for phrase in re.split(r"[;:()\n]", re.sub(r"<[^>]*>|`[^`]*`", "", text)):
            words = re.findall(r"[^\W\d_][\w’'-]+", phrase)
            ends = re.search(r"(^|[.!?] )[A-Z][^.!?]*[.!?]( |$)", phrase.strip())
            if len(words) > MOST or (stops and ends and len(words) > MOST // 2):
                yield text


def test_sentences_stand_in_the_document():
    files = sorted((ROOT / "analysis/paper").rglob("*.py"))
    found = {
        path: list(prose(path.read_text(encoding="utf-8"), stops=path.name != "figures.py"))
        for path in files  # what an empty figure says in its place is a label
    }
    assert [f"{path.name}: {text}" for path, texts in found.items() for text in texts
            if path.name not in TELLS_AUTHORS] == []  # fmt: skip


def test_a_sentence_is_told_from_a_label_a_phrase_and_an_error():
    said = 'f"The {model} keeps {share} of it at this level and loses {rest} at the next one"'
    assert list(prose(f"shown = {said}"))
    assert list(prose("shown = 'No model was trained again.'"))
    assert not list(prose(f"raise RequestError({said})"))
    assert not list(prose(f'"""Says {said[2:-1]}."""'))
    assert not list(prose("shown = f'retained {x} at {level}; at most {y} of {z} benchmarks'"))
