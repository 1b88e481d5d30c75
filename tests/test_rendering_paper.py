"""The built-in renderer, seen from its two files: what a reader of tests/rendering/paper finds."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from lxml import html
from pypdf import PdfReader

from analysis import rendering
from analysis.rendering import builtin, check

ROOT = Path(__file__).parents[1]
PAPER = Path(__file__).parent / "rendering" / "paper"
sys.path.insert(0, str(PAPER))

from minipaper import HOSTILE  # noqa: E402

INVISIBLE = re.compile("[\u200b\u2060]")
REFERENCES = "see Figure 1, Table 1, Equation 1 and Section 1.1"


def copied(project):
    shutil.copytree(PAPER, project, dirs_exist_ok=True)
    shutil.copytree(ROOT / "styles", project / "styles")
    settings = (ROOT / "_quarto.yml").read_text(encoding="utf-8")
    with_contents = settings.replace("toc: false", "toc: true")  # which the paper's PDF has not
    (project / "_quarto.yml").write_text(with_contents, encoding="utf-8")
    return project


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """The two files, and progress as it was reported."""
    project, lines = copied(tmp_path_factory.mktemp("paper")), []
    return rendered(project, lines.append), lines


def rendered(project, progress):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SOURCE_DATE_EPOCH", "1767312000")
        return builtin.render(project, project / "_output", progress=progress)


@pytest.fixture(scope="module")
def page(made):
    parser = html.HTMLParser(encoding="utf-8", huge_tree=True)
    return html.parse(str(made[0][0]), parser).getroot()


@pytest.fixture(scope="module")
def pdf(made):
    return PdfReader(made[0][1])


@pytest.fixture(scope="module")
def pages(pdf):
    return [INVISIBLE.sub("", page.extract_text()) for page in pdf.pages]


@pytest.fixture(scope="module")
def flat(pages):
    return " ".join("\n".join(pages).replace("\xa0", " ").split())


def words(element):
    return INVISIBLE.sub("", " ".join(element.text_content().split()))


def listed(elements):
    return [words(element) for element in elements]


def squeezed(text):
    return INVISIBLE.sub("", "".join(text.split()))


def test_two_files_that_pass_their_check_are_made_with_plain_progress(made):
    files, lines = made
    assert [path.name for path in files] == ["report.html", "report.pdf"]
    assert sorted(files[0].parent.iterdir()) == files
    assert [line for path in files for line in check.findings(path)] == []
    assert any(re.fullmatch(r"render  executing chunk 2 of \d+ \(fig-curve\)", x) for x in lines)
    assert lines[-1] == "render  writing report.pdf"
    assert not any("\r" in x or "\x1b" in x for x in lines)


def test_the_same_results_give_the_same_bytes(made):
    before = [path.read_bytes() for path in made[0]]
    rendered(made[0][0].parents[1], lambda line: None)
    assert [path.read_bytes() for path in made[0]] == before


def test_title_block(page, pdf, flat):
    head, title = page.get_element_by_id("title-block-header"), "Sparse is enough: a mini paper"
    for name, expected in {
        "title": [f"{title} that shows everything"],
        "subtitle": ["What the renderer has to get right"],
        "author": ["Ada Lovelace", "Bob Roe"],
        "affiliation": ["University of Somewhere", "Institute of Zeros", "Academy of Masks"],
        "date": ["2 January 2026"],
    }.items():
        assert listed(head.find_class(name)) == expected
    assert "pruning, sparsity, a & b" in words(head.find_class("keywords")[0])
    assert page.get("lang") == "en-GB"
    assert page.findtext(".//title").startswith(title)
    assert pdf.metadata.title == f"{title} that shows everything"
    assert re.search("Ada Lovelace.*Bob Roe", pdf.metadata.author)
    assert "a & b" in pdf.metadata["/Keywords"]
    assert pdf.root_object["/Lang"].startswith("en")
    # values are computed before every chunk
    abstract, says = page.find_class("abstract")[0], "We prune three models, and find that 42 of"
    assert says in words(abstract)
    assert words(abstract.find(".//strong")) == "three"
    assert squeezed(says) in squeezed(flat)


def test_sections_figures_tables_and_equations_are_numbered(page, flat):
    assert listed(page.xpath("//main//section/*[self::h1 or self::h2 or self::h3]")) == [
        "1 Introduction", "1.1 Methods", "1.1.1 Loss", "Unnumbered aside", "2 Results",
        "Appendix A: Environment", "References",
    ]  # fmt: skip
    for kind, what, count in (("fig", "Figure", 5), ("tbl", "Table", 6)):
        captions = page.xpath(f"//figcaption[contains(@class,'quarto-float-{kind}')]")
        numbers = [caption.split(":")[0] for caption in listed(captions)]
        assert numbers == [f"{what} {n}" for n in range(1, count + 1)]
    first = page.xpath("//figcaption[contains(@class,'quarto-float-fig')]")[0]
    assert words(first).startswith("Figure 1: What is retained as weights go, by method; see Table")
    panels = page.xpath("//figcaption[contains(@class,'quarto-subfloat')]")
    assert listed(panels) == ["(a) The first panel", "(b) The second panel"]
    equation = page.get_element_by_id("eq-loss")
    assert equation.find(".//math") is not None
    assert words(equation.find_class("eq-number")[0]) == "(1)"
    for caption in (
        "Figure 3: A heat map",
        "Table 6: A table longer",
        "(a) The first panel",
        "(1)",
    ):
        assert caption in flat
    rows = page.xpath("//div[@id='tbl-small']//tr")
    assert [listed(row) for row in rows] == [
        ["method", "kept", "bytes"], ["magnitude", "0.97", "1,024"], ["wanda", "–", "12"],
    ]  # fmt: skip
    assert [c.get("scope") for c in rows[0]] == ["col"] * 3
    styles = [c.get("style") for c in page.xpath("//div[@id='tbl-long']//col")]
    assert [re.sub(r"[ ;]", "", style) for style in styles] == [f"width:{n}%" for n in (10, 60, 30)]


def test_references_and_citations_name_their_targets_and_lead_to_them(page, flat):
    paragraph = words(page.xpath("//section[@id='sec-intro']/p")[0])
    panels = "both panels Figure 2 (a) and Figure 2 (b), 1 alone"
    for said in (REFERENCES, panels, "(Knuth 1984, 7)", "Lamport (1994)"):
        assert (said in paragraph, said in flat) == (True, True), said
    assert f"see also Appendix A, {panels}, and Figs. 1." in paragraph
    ids = {e.get("id") for e in page.xpath("//*[@id]")}
    links = {a.get("href") for a in page.xpath("//main//a[starts-with(@href,'#')]")}
    assert {"#fig-curve", "#tbl-small", "#eq-loss", "#sec-methods", "#fig-two-2"} <= links
    assert {link[1:] for link in links} <= ids
    assert len(page.find_class("csl-entry")) == flat.count("Addison-Wesley") == 2


def test_values_and_figures_are_shown_as_quarto_shows_them(page):
    text = words(page.xpath("//section[@id='sec-intro']/p")[1])
    assert text.startswith("The answer is 42, as a string 42.0 % of *all*, as Markdown <b>42</b>.")
    images = page.xpath("//main//figure//img")
    assert all(image.get("src").startswith("data:image/svg+xml;base64,") for image in images)
    described = [image.get("alt") for image in images]
    assert all(described)
    curve = 'Three falling curves, "sparsegpt" & co., the last one falls <latest>.'
    assert described[:3] == [curve, "A falling curve", "Another falling curve"]


def test_code_is_folded_shown_or_hidden_as_asked_and_absent_from_the_pdf(page, flat):
    folded = page.xpath("//details[contains(@class,'code-fold')]")
    assert "minipaper.curve()" in folded[0].text_content()
    assert listed(folded[0].iter("summary")) == ["Code"]
    assert not any(d.get("open") is not None for d in folded)
    assert page.xpath("//div[contains(@class,'keep')]//figure[contains(@class,'quarto-float-fig')]")
    text = page.text_content()
    for hidden in ("minipaper.heat()", "import minipaper"):
        assert hidden not in text
    assert "```\nplain output" in [
        e.text_content() for e in page.xpath("//div[@class='cell-output']/pre")
    ]
    assert "minipaper.curve()" not in flat
    for shown in ("plain output", "43"):
        assert shown in flat
    main = page.get_element_by_id("quarto-document-content").text_content()
    for shown in ("Trained as the facts say.", "Spans too."):
        assert (shown in main, shown in flat) == (True, True), shown
    for shown in ("Only in HTML.", "Raw HTML."):
        assert (shown in main, shown in flat) == (True, False), shown
    for shown in ("Only in the PDF.", "Hidden from HTML.", "Raw Typst."):
        assert (shown in main, shown in flat) == (False, True), shown


def test_hostile_strings_are_exact_and_inert(page, flat):
    rows = page.xpath("//div[@id='tbl-hostile']//tbody/tr")
    inline, compact = listed(page.xpath("//p/span[@class='data']")), squeezed(flat)
    for string, cells in zip(HOSTILE, rows, strict=True):
        wanted = " ".join(string.split())
        assert words(cells[1]) == wanted
        assert wanted in inline
        assert compact.count(squeezed(string)) >= 2, string
    assert page.xpath("//td//script | //td//img | //td//a | //td//math | //td//em") == []
    live = "//*[@onerror] | //a[starts-with(@href,'javascript')] | //main//script"
    assert page.xpath(live) == []


def test_panels_and_notes(page, flat):
    panels = page.find_class("quarto-layout-panel")
    assert [panel.get("style") for panel in panels] == ["--columns: 2"] * 2
    assert len(panels[0].find_class("quarto-layout-cell")) == 2
    assert "A note with code" in words(page.find_class("footnotes")[0])
    assert listed(page.iter("dt")) == ["Sparsity", "Density"]
    assert page.find(".//blockquote") is not None
    assert "The fraction of weights that is zero." in flat


def test_page_loads_nothing_and_can_be_found_one_s_way_in(page):
    loading = page.xpath("//script/@src | //link/@href | //img/@src | //iframe/@src")
    assert [x for x in loading if not x.startswith("data:")] == []
    styles = "".join(style.text or "" for style in page.iter("style"))
    assert not re.search(r"url\(|@import", styles)
    entries = listed(page.get_element_by_id("TOC").iter("a"))
    assert entries[:3] == ["1 Introduction", "1.1 Methods", "1.1.1 Loss"]
    assert "Appendix A: Environment" in entries
    assert len(page.xpath("//main")) == 1
    assert page.xpath("//nav[@aria-label]")
    skip = page.find_class("skip-link")[0]
    assert page.get_element_by_id(skip.get("href")[1:]).tag == "main"


def test_both_schemes_follow_the_reader_and_text_stands_out(page):
    sheets = {scheme: page.get_element_by_id(f"style-{scheme}") for scheme in ("light", "dark")}
    for scheme, sheet in sheets.items():
        assert f"prefers-color-scheme: {scheme}" in sheet.get("media")
        body = re.search(r"body\{[^}]*background:(#\w+);color:(#\w+)", sheet.text)
        link = re.search(r"[};]a\{color:(#\w+)", sheet.text)
        assert contrast(body[1], body[2]) >= 7
        assert contrast(body[1], link[1]) >= 4.5
    dark = sheets["dark"].text
    assert "#14171c" in dark
    assert "invert(1)" in dark
    assert ".quarto-dark" not in dark


def contrast(*colours):
    """WCAG's contrast ratio of two hex colours."""
    luminances = []
    for digits in (colour.lstrip("#") for colour in colours):
        pairs = [2 * d for d in digits] if len(digits) == 3 else re.findall("..", digits)
        shares = [int(pair, 16) / 255 for pair in pairs]
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in shares]
        luminances.append(0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2])
    return (max(luminances) + 0.05) / (min(luminances) + 0.05)


def test_the_pdf_has_contents_tags_and_embedded_fonts(pdf, pages, flat):
    sizes = [(round(p.mediabox.width), round(p.mediabox.height)) for p in pdf.pages]
    assert set(sizes) == {(595, 842)}
    assert pages[0].count("Sparse is enough") == 1
    assert all("Sparse is enough" in text for text in pages[1:])
    assert all(re.search(rf"\b{n}\b", text) for n, text in enumerate(pages, 1))
    held = [text for text in pages if re.search(r"layer\.\d+\.attention", text)]
    assert len(held) >= 2
    assert all("mean" in text for text in held)  # the header is repeated
    assert [word for word in ("Contents", "Keywords") if word not in flat] == []
    titles = [entry["/Title"] for entry in pdf.outline if isinstance(entry, dict)]
    assert any("Introduction" in title for title in titles)
    assert pdf.root_object["/MarkInfo"]["/Marked"]
    assert "pdfuaid:part" in pdf.root_object["/Metadata"].get_data().decode()
    fonts = [font for page in pdf.pages for font in page["/Resources"].get("/Font", {}).values()]
    names = {str(font.get_object()["/BaseFont"]) for font in fonts}
    assert names
    assert all(re.match(r"/[A-Z]{6}\+(Libertinus|NewCM|DejaVu)", name) for name in names)


@pytest.mark.quarto
@pytest.mark.skipif(not shutil.which("quarto"), reason="quarto is not on PATH")
def test_quarto_renders_the_same_paper(tmp_path, page):
    settings = copied(tmp_path) / "_quarto.yml"
    # the hooks have tests of their own
    settings.write_text(re.sub(r"  (pre|post)-render:.*\n", "", settings.read_text()))
    theirs, pdf = rendering.render(tmp_path, tmp_path / "_output", engine="quarto")
    their_page = html.parse(str(theirs), html.HTMLParser(encoding="utf-8")).getroot()
    assert REFERENCES in words(their_page)
    for shown in ("//main//figcaption", "//main//section/h1", "//div[@id='tbl-small']//td"):
        assert set(listed(page.xpath(shown))) <= set(listed(their_page.xpath(shown))), shown
    text = " ".join(p.extract_text() for p in PdfReader(pdf).pages).replace("\xa0", " ")
    assert "Table 6: A table longer" in " ".join(text.split())


def test_importing_the_package_loads_no_engine():
    code = "import sys, analysis.rendering; print([m for m in "
    code += "('nbclient', 'typst', 'sass', 'lxml', 'yaml') if m in sys.modules])"
    assert subprocess.check_output([sys.executable, "-c", code], cwd=ROOT, text=True) == "[]\n"
