"""What the built-in renderer makes of title blocks and settings, and what it refuses: one line
with the place and what to do; old files stay."""

import contextlib
import re
import shutil
import sys
from pathlib import Path

import pytest
import yaml
from lxml import html
from pypdf import PdfReader

from analysis import rendering
from analysis.errors import RequestError, RunError
from analysis.rendering import builtin, document, kernel, quarto

ROOT = Path(__file__).parents[1]
PAPER = ROOT / "tests" / "rendering"
REFUSED = yaml.safe_load((PAPER / "refused.yml").read_text(encoding="utf-8"))
PAGE = "<html><main><p>A page that is long enough to be one.</p></main></html>"
NONSENSE = "```{=typst}\n#nonsense()\n```"


@pytest.fixture
def project(tmp_path):
    """A folder with the project's own settings and styles, and a bibliography of one book."""
    shutil.copy(ROOT / "_quarto.yml", tmp_path)
    shutil.copytree(ROOT / "styles", tmp_path / "styles")
    for name in ("dot.svg", "minipaper.py"):
        shutil.copy(PAPER / "paper" / name, tmp_path)
    book = "@book{knuth84, title = {T}, author = {K}, year = 1984}"
    (tmp_path / "references.bib").write_text(book)
    return tmp_path


def write(project, body, front="title: T"):
    if isinstance(body, list):
        body = "\n".join(["```{python}", *body, "```"])
    (project / "report.qmd").write_text(f"---\n{front}\n---\n\n{body}\n")
    return project


def rendered(project, formats=("html",)):
    return builtin.render(project, project / "out", formats, progress=lambda line: None)


def refused(project, kind=RequestError):
    """The one line with which the render is refused."""
    message = "nothing was refused"
    try:
        rendered(project, ("html", "pdf"))
    except kind as error:
        message = str(error)
    assert "\n" not in message
    return message


@pytest.mark.parametrize(
    ("book", "says"),
    [
        ("@book{a, title = {T} author = {K}}", "references.bib:1: the bibliography cannot be read"),
        ("\n@book{a,\n title = {T,\n}\n", "references.bib:2: the bibliography cannot be read"),
        ("@book{a, title={T}}\n@misc{ a,\n}", "references.bib:2: the entry 'a' stands on line 1"),
        ("\n@book{a, title={\xe9}}", "references.bib:2: this is not UTF-8"),
    ],
)
def test_a_bibliography_that_cannot_be_read_is_named_with_its_line(project, book, says):
    (project / "references.bib").write_bytes(book.encode("latin-1"))
    assert refused(write(project, "As [@a] says")).startswith(says)


def require_refusals(project, name, kind=RequestError):
    for line, says, body in REFUSED[name]:
        message = refused(write(project, body), kind)
        assert message.startswith(f"report.qmd:{line}: "), (body, message)
        assert says in message, (body, message)


def replaced(project, old, new):
    settings = project / "_quarto.yml"
    before = settings.read_text()
    assert old in before
    settings.write_text(before.replace(old, new))
    return before


def read(project):
    """The page's tree and the PDF's text."""
    page, pdf = rendered(project, ("html", "pdf"))
    text = spaced("\n".join(p.extract_text() for p in PdfReader(pdf).pages))
    return html.parse(str(page)).getroot(), text


def test_values_as_they_stand_and_symbols_of_formulas_are_in_both_files(project):
    figure = "```{python}\nimport matplotlib.pyplot as plt\nplt.plot([1, 2]);\n```"
    assert "fig-alt" in refused(write(project, figure), RunError)
    body = "| a | b |\n|---|---|\n| `{python} '$p$|q @r <s>'` | last |\n\n`{python} ('*p*|q',)` "
    page, text = read(write(project, body + r"$A \odot B \cap C \otimes \text{sect 中}_{文}$"))
    assert "$p$|q @r <s>" in page.text_content()
    assert "*p*|q" in page.text_content()
    for words in ("$p$|q @r <s>", "*p*|q", "last", "⊙", "∩", "⊗"):
        assert words in text, words
    assert re.search(r"sect (中 ?文|\[U\+4E2D\] ?\[U\+6587\])", text), text  # as fonts are there


def spaced(text):
    return " ".join(text.replace("\xa0", " ").split())


def test_a_title_is_inert_and_references_come_in_other_words(project):
    front = r"""title: "A &#60;script&#62; \\#let \" title"
author: [One Name, {name: O'Neil "Q" _X_, affiliation: "Zeros, University"}]
date: 2026-01-02
keywords: ["a \"b\" c", "#d"]
abstract: |
  One `{python} ('v'
  * 2)`.

  Two, with $x^2$ and `code`."""
    figures = "\n\n".join(f"![{one}](dot.svg){{#fig-{one} fig-alt={one}}}" for one in "ab")
    replaced(project, "toc: false", "toc: true")  # keywords stand before the PDF's contents
    said = "See [-@fig-a], [@fig-a; @fig-b], [Fig. @fig-a] and Sections [-@sec-b]."
    page, text = read(write(project, f"{said}\n\n{figures}\n\n# B {{#sec-b}}", front))
    assert spaced(page.find_class("author")[0].text_content()) == "One Name"
    assert spaced(page.find_class("affiliation")[0].text_content()) == "Zeros, University"
    assert page.find_class("title")[0].text_content().startswith("A <script> #let")
    assert page.xpath("//main//script") == []
    assert len(page.xpath("//div[@class='abstract']/p")) == 2
    for shown in ("Zeros, University", "2 January 2026", "Keywords", "#d", "One vv. Two, with"):
        assert shown in text
    for read_in in (text, spaced(page.text_content())):
        assert "See 1, Figure 1, Figure 2, Fig. 1 and Sections 1." in read_in


def tags(page):
    return [(one.get("name"), one.get("content")) for one in page.xpath("//meta[@name]")]


def test_the_page_tells_search_engines_what_quarto_tells_them(project):
    """What Quarto 1.10.18 wrote for this front matter, in its order."""
    front = """title: "What *pruning* costs"
description: "How quality, bytes & milliseconds *answer* to sparsity."
author: {name: One Name}
date: 2026-01-02
lang: en-GB
keywords: [a, b & c]"""
    told = [
        ("author", "One Name"),
        ("dcterms.date", "2026-01-02"),
        ("keywords", "a, b & c"),
        ("description", "How quality, bytes & milliseconds answer to sparsity."),
    ]
    rendered(write(project, "Text.", front))
    page = html.parse(project / "out/report.html").getroot()
    assert [tag for tag in tags(page) if tag[0] not in ("viewport", "generator")] == told
    assert page.get("lang") == "en-GB"
    assert page.findtext(".//title") == "What pruning costs"
    assert spaced(page.find_class("description")[0].text_content()).endswith("answer to sparsity.")
    abstract = 'abstract: "We prune `{python} 1 + 2` models."\ngoogle-scholar: true'
    rendered(write(project, "Text.", f"{front}\n{abstract}"))
    page = html.parse(project / "out/report.html").getroot()
    assert [tag for tag in tags(page) if tag[0].startswith("citation_")] == [
        ("citation_title", "What *pruning* costs"),
        ("citation_abstract", "We prune 3 models."),
        ("citation_keywords", "a,b & c"),
        ("citation_author", "One Name"),
        *((f"citation_{kind}_date", "2026-01-02") for kind in ("publication", "cover")),
        ("citation_year", "2026"),
        ("citation_online_date", "2026-01-02"),
        ("citation_language", "en-GB"),
    ]


def test_a_title_is_enough_and_there_are_no_contents_where_not_wanted(project):
    replaced(project, "toc: true", "toc: false")
    page, text = read(write(project, "# One\n\n# Two", "title: Alone"))
    assert (text[:5], "Contents" in text) == ("Alone", False), text
    assert page.xpath("//nav") == page.find_class("author") == page.find_class("abstract") == []


def test_source_knows_its_lines(tmp_path):
    text = "---\ntitle: T\n---\n\none\n\n"
    text += "```{python}\n#| label: a\n#| classes: keep\n\nf()\n```\ntwo\n"
    (tmp_path / "report.qmd").write_text(text)
    read = document.read(tmp_path / "report.qmd")
    before, chunk, after = read.parts
    places = [str(part.place) for part in (read.front, before, chunk, after)]
    assert places == [f"report.qmd:{line}" for line in (2, 4, 7, 13)]
    assert (chunk.code_line, chunk.code, chunk.kind) == (11, "f()", "")
    assert after.text == "two"


def test_what_lies_outside_the_subset_is_refused_before_anything_runs(project, monkeypatch):
    monkeypatch.setattr(kernel, "running", None)
    require_refusals(project, "before anything runs")
    for says, front in REFUSED["front matter"]:
        message = refused(write(project, "text", front))
        assert message.startswith(f"report.qmd:{says}"), (front, message)


def test_settings_that_change_nothing_here_are_refused(project):
    write(project, "text")
    for says, old, new in REFUSED["settings"]:
        before = replaced(project, old, new)
        line, message = before[: before.index(old)].count("\n") + 1, refused(project)
        places = [f"_quarto.yml:{number}: {says}" for number in (line, line - 1)]  # or its key's
        assert message.startswith(tuple(places)), message
        (project / "_quarto.yml").write_text(before)


def test_missing_files_and_styles_that_do_not_compile_are_named(project, monkeypatch):
    assert "report.qmd is missing" in refused(project)
    write(project, "text")
    (project / "styles" / "light.scss").write_text("/*-- scss:defaults --*/\n$body-bg: $nothing;\n")
    assert "light theme do not compile" in refused(project)
    monkeypatch.setenv("QUARTO_PROFILE", "nope")
    assert "_quarto-nope.yml is missing" in refused(project)
    (project / "_quarto.yml").unlink()
    assert "_quarto.yml is missing" in refused(project)


def test_a_profile_changes_settings(project, monkeypatch):
    (project / "_quarto-big.yml").write_text("lang: en-US\nformat: {html: {toc: false}}\n")
    write(project, "# A")
    monkeypatch.setenv("QUARTO_PROFILE", "big")
    page = rendered(project)[0].read_text()
    assert ('<html lang="en-US">' in page, 'id="TOC"' in page) == (True, False)


def test_chunks_and_expressions_that_fail_are_named_by_their_line(project, monkeypatch):
    message = refused(write(project, ["import os", "os._exit(3)"]), RunError)
    assert message.startswith("report.qmd:5: Python ended here")
    with kernel.running(project, 6.3, 3.4) as python:  # for all that follow
        monkeypatch.setattr(kernel, "running", lambda *_: contextlib.nullcontext(python))
        write(project, ["late = 1"], "title: T\nabstract: '`{python} late`'")
        assert refused(project, RunError).startswith("report.qmd:3: ")  # before every chunk
        require_refusals(project, "in Python, where the chunk or expression failed", RunError)
        require_refusals(project, "in Python, where its result cannot be shown")


def test_the_kernel_is_this_interpreter_silent_and_knows_the_size_of_figures(
    project, monkeypatch, capfd
):
    spec = '{"argv": ["false"], "display_name": "x", "language": "python"}'
    startup = "ipython/profile_default/startup/00.py", "raise SystemExit('a user file ran')"
    for path, content in (("share/kernels/python3/kernel.json", spec), startup):
        (project / path).parent.mkdir(parents=True)
        (project / path).write_text(content)
    monkeypatch.setenv("JUPYTER_PATH", str(project / "share"))
    monkeypatch.setenv("IPYTHONDIR", str(project / "ipython"))
    replaced(project, "fig-width: 6.3", "fig-width: 4")
    code = ["#| echo: false", "import os, sys, matplotlib", "print(sys.executable, 'at work')"]
    code += ["print(os.environ['QUARTO_FIG_WIDTH'], matplotlib.rcParams['figure.figsize'])"]
    code += ["from ipykernel.connect import get_connection_file"]
    code += ["print(get_connection_file().startswith(os.environ['IPYTHONDIR']), 'to be swept')"]
    page = rendered(write(project, code))[0].read_text()
    for said in (f"{sys.executable} at work", "4 [4.0, 3.4]", "True to be swept"):
        assert said in page
    assert capfd.readouterr() == ("", "")


def test_after_an_error_the_old_files_stay_and_nothing_else(project):
    out, old = project / "out", {"report.html": "old page", "report.pdf": "old PDF"}
    out.mkdir()
    for name, content in old.items():
        (out / name).write_text(content)
    for body, says in (
        ("a\n\nIs it (knuth8?)", "report.qmd:7: report.html: '(knuth8?)' is a citation"),
        (NONSENSE, "report.qmd:6: Typst: unknown variable: nonsense"),  # the page was fine
    ):
        assert refused(write(project, body), RunError).startswith(says)
        assert {path.name: path.read_text() for path in out.iterdir()} == old


def test_code_comments_and_spans_may_show_what_is_refused_and_one_format_is_written_alone(project):
    old = project / "out" / "report.pdf"
    old.parent.mkdir()
    old.write_bytes(b"old pdf")
    body = """```markdown\n{{< include x.qmd >}}\n::: {.column-margin}\n```\n
<!-- {{< meta x >}} -->\n\nIn code `{{< env HOME >}}` and `{.column-page}`."""
    made = rendered(write(project, body))
    assert made == [project / "out" / "report.html"]
    assert ("include x.qmd" in made[0].read_text(), old.read_bytes()) == (True, b"old pdf")


def test_unknown_engines_and_formats_are_refused(project, monkeypatch):
    with pytest.raises(RequestError, match="unknown format 'docx'"):
        rendered(write(project, "x"), ["docx"])
    with pytest.raises(RequestError, match=r"unknown engine 'quatro'\. Did you mean 'quarto'"):
        rendering.render(project, project / "out", engine="quatro")
    monkeypatch.setenv("PATH", str(project))
    with pytest.raises(RequestError, match="quarto is not on PATH"):
        rendering.render(project, project / "out", engine="quarto")


@pytest.fixture
def fake_quarto(project, monkeypatch):
    """A stand-in for the program: what it prints and exits with is what is tested."""
    program = project / "bin" / "quarto"
    program.parent.mkdir()
    monkeypatch.setenv("PATH", f"{program.parent}:/usr/bin:/bin")

    def write(script):
        version = '[ "$1" = --version ] && echo 1.10.19 && exit'
        program.write_text(f"#!/bin/sh\n{version}\n{script}\n")
        program.chmod(0o755)

    return write


def test_auto_takes_quarto_where_it_is_and_says_where_to_write(project, fake_quarto, capfd):
    harmless = "echo 'WARNING | Kernel is running over TCP without encryption'"
    for folder, asked in (("_output", ""), ("_output/x", " --output-dir _output/x")):
        page = project / folder / "report.html"
        fake_quarto(f"{harmless}; echo args: $@.; mkdir -p {folder}; echo '{PAGE}' > {page}")
        assert rendering.render(project, project / folder, ["html"]) == [page]
        assert f"args: render --to html{asked}.\n" in capfd.readouterr().out


def test_what_quarto_only_warns_of_fails(project, fake_quarto):
    faulty = PAGE.replace("one", "?@fig-x")
    for script, says in (
        ("echo 'ERROR: chunk failed'; exit 1", "exit status 1: ERROR: chunk failed"),
        ("exit 3", "exit status 3"),
        ("printf '\\033[33mWARN: Unable to resolve @fig-x\\033[39m\\n'", "Unable to resolve"),
        ("true", "wrote no report.html"),
        (f"mkdir _output; echo '{faulty}' > _output/report.html", "?@fig-x"),
    ):
        fake_quarto(script)
        with pytest.raises(RunError, match=re.escape(says)):
            quarto.render(project, project / "_output", ["html"])


def test_rows_of_tables_have_headers_and_an_empty_one_belongs_to_the_one_above(project):
    body = "| A | B |\n|:--|--:|\n| x | 1 |\n|   | 2 |\n| y | 3 |\n\n: C {#tbl-x}\n\n@tbl-x"
    (path,) = rendered(write(project, body))
    page = html.fromstring(path.read_text())
    found = [(th.text, th.get("scope"), th.get("rowspan")) for th in page.iter("th")]
    heads = [("A", "col", None), ("B", "col", None)]
    assert found == [*heads, ("x", "row", "2"), ("y", "row", None)]
    assert [td.text for td in page.iter("td")] == ["1", "2", "3"]
    settings = project / "_quarto.yml"
    settings.write_text(settings.read_text().replace("styles/tables.lua", "none.lua"))
    assert refused(project).endswith("filters none.lua is missing: create it, or correct its name.")
