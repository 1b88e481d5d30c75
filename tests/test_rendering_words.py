"""No word of the author's is lost between the document and its two files."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml
from lxml import html

from analysis.errors import AnalysisError
from analysis.rendering import builtin

ROOT = Path(__file__).parents[1]
HERE = ROOT / "tests" / "rendering"
WORDS = yaml.safe_load((HERE / "words.yml").read_text(encoding="utf-8"))
PLACES = {
    "a paragraph": "{}",
    "an item": "- before\n- {}",
    "a cell": "| before | b |\n|---|---|\n| {} | after |",
    "a heading": "## Before {} after",
    "between words": "before {} after",
    "bold": "before **{}**.x",
}
INVISIBLE = re.compile("[\u200b\u2060\u00ad]")
SAID_OTHERWISE = re.compile(r"&#?\w+;|<!--.*?-->|</?\w+>|\]\([^)]*\)|\{[^}]*\}|^\d+[.)] ")


@pytest.fixture
def project(tmp_path):
    """An empty paper in a folder whose name holds what a shell, Lua or pandoc may read."""
    folder = tmp_path / "a é;b?c<d> 'e' %41 #f"
    shutil.copytree(ROOT / "styles", folder / "styles")
    shutil.copy(HERE / "paper" / "dot.svg", folder)
    settings = (ROOT / "_quarto.yml").read_text(encoding="utf-8")
    (folder / "_quarto.yml").write_text(settings.replace("bibliography: references.bib\n", ""))
    return folder


def rendered(project, paragraphs):
    """The two files' texts of the paragraphs that are not refused, and the refused ones."""
    kept, lost = list(paragraphs), []
    while True:
        text = "\ufeff---\ntitle: Words\n---\n\n" + "\n\n".join(kept) + "\n"
        (project / "report.qmd").write_text(text, encoding="utf-8")
        try:
            page, pdf = builtin.render(project, project / "out", progress=lambda line: None)
            break
        except AnalysisError as error:
            line = int(re.match(r"report\.qmd:(\d+): ", str(error))[1])
            before = "\n".join(text.split("\n")[:line])
            lost.append(kept.pop(before.count("\n\n") - 1))
    tree = html.parse(str(page), html.HTMLParser(encoding="utf-8")).getroot()
    printed = subprocess.check_output(["pdftotext", "-layout", pdf, "-"], text=True)
    return kept, lost, shown(tree.text_content()), shown(printed)


def shown(text):
    return "".join(INVISIBLE.sub("", text).split()).replace("-", "")


def test_every_word_is_in_both_files_or_refused_with_its_line(project, monkeypatch):
    monkeypatch.setenv("LC_ALL", "C")
    places = list(PLACES.values())
    paragraphs = []
    for number, word in enumerate(WORDS):
        place = places[number % len(places)]
        paragraphs.append(place.format(word.replace("|", r"\|") if "|" in place else word))
    kept, lost, page, pdf = rendered(project, paragraphs)
    assert len(lost) < len(kept)
    for paragraph in kept:
        for word in re.findall(r"[^\W_]+", SAID_OTHERWISE.sub(" ", paragraph)):
            assert word in page, paragraph
            named = "".join(f"[U+{ord(letter):04X}]" for letter in word)  # without a font for it
            assert word in pdf or named in pdf, paragraph
