"""Title blocks, dates and chunk options that the big fixture paper does not show."""

import datetime
import shutil
from pathlib import Path

import pytest
from lxml import html
from pypdf import PdfReader

from analysis.errors import RequestError
from analysis.rendering import builtin, dates, source

ROOT = Path(__file__).parents[1]


@pytest.fixture
def project(tmp_path):
    shutil.copy(ROOT / "_quarto.yml", tmp_path)
    shutil.copytree(ROOT / "styles", tmp_path / "styles")
    (tmp_path / "references.bib").write_text("")
    return tmp_path


def rendered(project: Path, front: str, body: str = "Text."):
    """The page's tree and the PDF's text."""
    (project / "report.qmd").write_text(f"---\n{front}\n---\n\n{body}\n")
    page, pdf = builtin.render(project, project / "out", progress=lambda line: None)
    text = "\n".join(p.extract_text() for p in PdfReader(pdf).pages)
    return html.parse(str(page)).getroot(), " ".join(text.replace("\xa0", " ").split())


def test_a_title_is_enough(project):
    page, text = rendered(project, "title: Alone")
    assert page.find_class("author") == []
    assert page.find_class("abstract") == []
    assert text.startswith("Alone")


def test_authors_in_every_form(project):
    front = """title: T
author:
  - One Name
  - name: {given: Two, family: Names}
    affiliations: [{ref: here}]
  - name: O'Neil "Q" _X_
    email: q@example.org
    orcid: 0000-0002-1825-0097
    affiliation: {name: Institute, city: Town, country: Land}
affiliations:
  - {id: here, name: University, department: Zeros}"""
    page, text = rendered(project, front)
    names = [" ".join(a.text_content().split()) for a in page.find_class("author")]
    assert names[:2] == ["One Name", "Two Names"]
    assert names[2].endswith("ORCID 0000-0002-1825-0097")
    assert [" ".join(a.text_content().split()) for a in page.find_class("affiliation")] == [
        "Zeros, University",
        "Institute, Town, Land",
    ]
    assert "Zeros, University" in text
    assert "q@example.org" in text


def test_an_affiliation_that_is_not_there(project):
    (project / "report.qmd").write_text(
        "---\ntitle: T\nauthor: {name: A, affiliation: {ref: x}}\n---\n"
    )
    with pytest.raises(RequestError, match="names no entry of `affiliations`"):
        builtin.render(project, project / "out", progress=lambda line: None)


def test_strings_in_the_title_block_are_inert(project):
    front = 'title: "A &#60;script&#62; \\\\#let \\" title"\nkeywords: ["a \\"b\\" c", "#d"]'
    page, text = rendered(project, front)
    assert page.find_class("title")[0].text_content().startswith("A <script> #let")
    assert page.xpath("//main//script") == []
    assert "Keywords" in text
    assert "#d" in text


def test_several_paragraphs_of_abstract_and_an_own_title(project):
    front = (
        "title: T\nabstract-title: Summary\nabstract: |\n  One.\n\n  Two, with $x^2$ and `code`."
    )
    page, text = rendered(project, front)
    assert len(page.xpath("//div[@class='abstract']/p")) == 2
    assert "Summary" in text
    assert "Two, with" in text


def test_no_table_of_contents_when_not_wanted(project):
    settings = project / "_quarto.yml"
    settings.write_text(settings.read_text().replace("toc: true", "toc: false"))
    page, text = rendered(project, "title: T", "# One\n\n# Two")
    assert page.xpath("//nav") == []
    assert "Contents" not in text


def test_other_figure_of_speech_for_references(project):
    (project / "dot.svg").write_text(
        '<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>'
    )
    body = (
        "See [-@fig-a], [@fig-a; @fig-b], [Fig. @fig-a] and Sections [-@sec-b].\n\n"
        "![A](dot.svg){#fig-a fig-alt=a}\n\n![B](dot.svg){#fig-b fig-alt=b}\n\n# B {#sec-b}"
    )
    page, text = rendered(project, "title: T", body)
    wanted = "See 1, Figure 1, Figure 2, Fig. 1 and Sections 1."
    assert wanted in " ".join(page.text_content().replace("\xa0", " ").split())
    assert wanted in text


@pytest.mark.parametrize(
    ("given", "style", "wanted"),
    [
        ("2026-01-02", None, "January 2, 2026"),
        (datetime.date(2026, 1, 2), "D MMMM YYYY", "2 January 2026"),
        ("today", "iso", "2026-11-22"),
        ("today", "dddd, Do MMM YY", "Sunday, 22nd Nov 26"),
        ("2026-03-13", "[on] MM/DD", "on 03/13"),
        ("2026-03-13", "Do", "13th"),
        ("spring 2026", "iso", "spring 2026"),
    ],
)
def test_dates(given, style, wanted):
    today = datetime.date(2026, 11, 22)
    assert dates.formatted(given, style, today, place="x:1") == wanted


def test_a_date_style_that_is_not_offered():
    with pytest.raises(RequestError, match=r"^x:1: date-format 'QQ': 'QQ' is not offered"):
        dates.formatted("today", "QQ", datetime.date(2026, 1, 1), place="x:1")


def test_source_knows_its_lines(tmp_path):
    text = "---\ntitle: T\n---\n\none\n\n"
    text += "```{python}\n#| label: a\n#| classes: [x, y]\n\nf()\n```\ntwo\n"
    (tmp_path / "report.qmd").write_text(text)
    document = source.read(tmp_path / "report.qmd")
    before, chunk, after = document.parts
    assert str(document.front.place) == "report.qmd:2"
    assert str(before.place) == "report.qmd:4"
    assert (str(chunk.place), chunk.code_line, chunk.code) == ("report.qmd:7", 11, "f()")
    assert chunk.classes == ["x", "y"]
    assert (after.text, str(after.place)) == ("two", "report.qmd:13")
