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


@pytest.fixture(scope="session")
def lines() -> list[str]:
    """Progress as it was reported."""
    return []


@pytest.fixture(scope="session")
def files(tmp_path_factory: pytest.TempPathFactory, lines: list[str]) -> list[Path]:
    project = tmp_path_factory.mktemp("paper")
    shutil.copytree(PAPER, project, dirs_exist_ok=True)
    shutil.copytree(ROOT / "styles", project / "styles")
    shutil.copy(ROOT / "_quarto.yml", project)
    return builtin.render(project, project / "_output", progress=lines.append)


@pytest.fixture(scope="session")
def page(files):
    return html.parse(str(files[0]), html.HTMLParser(encoding="utf-8", huge_tree=True)).getroot()


@pytest.fixture(scope="session")
def pdf(files) -> PdfReader:
    return PdfReader(files[1])


@pytest.fixture(scope="session")
def pdf_text(pdf) -> str:
    return INVISIBLE.sub("", "\n".join(p.extract_text() for p in pdf.pages))


def words(element) -> str:
    return INVISIBLE.sub("", " ".join(element.text_content().split()))


def squeezed(text: str) -> str:
    return INVISIBLE.sub("", "".join(text.split()))


# ---------------------------------------------------------------- the files


def test_both_files_lie_in_the_output_folder_and_nothing_else(files):
    assert [path.name for path in files] == ["report.html", "report.pdf"]
    assert sorted(path.name for path in files[0].parent.iterdir()) == ["report.html", "report.pdf"]


def test_progress_is_plain_lines_that_count_chunks(lines):
    assert any(re.fullmatch(r"render  executing chunk 2 of \d+ \(fig-curve\)", x) for x in lines)
    assert lines[-1] == "render  writing report.pdf"
    assert not any("\r" in x or "\x1b" in x for x in lines)


def test_the_finished_files_pass_their_check(files):
    assert [line for path in files for line in check.findings(path)] == []


# ---------------------------------------------------------------- title block


def test_title_block_of_the_page(page):
    head = page.get_element_by_id("title-block-header")
    assert (
        words(head.find_class("title")[0]) == "Sparse is enough: a mini paper that shows everything"
    )
    assert words(head.find_class("subtitle")[0]) == "What the renderer has to get right"
    assert [words(a) for a in head.find_class("author")] == ["Ada Lovelace", "Bob Roe"]
    assert [words(a) for a in head.find_class("affiliation")] == [
        "University of Somewhere",
        "Institute of Zeros",
        "Academy of Masks",
    ]
    assert words(head.find_class("date")[0]) == "2 January 2026"
    assert "pruning, sparsity, a & b" in words(head.find_class("keywords")[0])


def test_abstract_holds_values_computed_before_every_chunk(page, pdf_text):
    abstract = page.find_class("abstract")[0]
    assert "We prune three models, and find that 42 of their" in words(abstract)
    assert words(abstract.find(".//strong")) == "three"
    assert "Weprunethreemodels,andfindthat42oftheirweights" in squeezed(pdf_text)


def test_page_declares_language_and_title(page):
    assert page.get("lang") == "en-GB"
    assert page.findtext(".//title").startswith("Sparse is enough")


def test_pdf_declares_title_authors_keywords_and_language(pdf):
    assert pdf.metadata.title == "Sparse is enough: a mini paper that shows everything"
    assert "Ada Lovelace" in pdf.metadata.author
    assert "Bob Roe" in pdf.metadata.author
    assert "a & b" in pdf.metadata["/Keywords"]
    assert pdf.root_object["/Lang"].startswith("en")


# ---------------------------------------------------------------- numbers and references


def test_sections_are_numbered_and_unnumbered_ones_are_not(page):
    shown = [words(h) for h in page.xpath("//main//section/*[self::h1 or self::h2 or self::h3]")]
    assert shown == [
        "1 Introduction",
        "1.1 Methods",
        "1.1.1 Loss",
        "Unnumbered aside",
        "2 Results",
        "Appendix A: Environment",
        "References",
    ]


def test_references_name_their_targets(page):
    paragraph = words(page.xpath("//section[@id='sec-intro']/p")[0])
    assert "see Figure 1, Table 1, Equation 1 and Section 1.1" in paragraph
    assert "see also Appendix A, both panels Figure 2 (a) and Figure 2 (b), 1 alone" in paragraph
    assert "and Figs. 1." in paragraph


def test_every_reference_leads_to_its_target(page):
    ids = {e.get("id") for e in page.xpath("//*[@id]")}
    links = [a.get("href") for a in page.xpath("//main//a[starts-with(@href,'#')]")]
    assert {"#fig-curve", "#tbl-small", "#eq-loss", "#sec-methods", "#fig-two-2"} <= set(links)
    assert [link for link in links if link[1:] not in ids] == []


def test_figures_and_tables_are_numbered_in_order(page):
    captions = [words(c) for c in page.xpath("//figcaption[contains(@class,'quarto-float-fig')]")]
    assert [c.split(":")[0] for c in captions] == [f"Figure {n}" for n in range(1, 6)]
    tables = [words(c) for c in page.xpath("//figcaption[contains(@class,'quarto-float-tbl')]")]
    assert [c.split(":")[0] for c in tables] == [f"Table {n}" for n in range(1, 8)]
    assert captions[0].startswith(
        "Figure 1: What is retained as weights go, by method; see Table 1"
    )


def test_subfigures_are_lettered(page):
    captions = [words(c) for c in page.xpath("//figcaption[contains(@class,'quarto-subfloat')]")]
    assert captions == ["(a) The first panel", "(b) The second panel"]


def test_pdf_resolves_the_same_references(pdf_text):
    flat = " ".join(pdf_text.replace("\xa0", " ").split())
    assert "see Figure 1, Table 1, Equation 1 and Section 1.1" in flat
    assert "Figure 2 (a) and Figure 2 (b), 1 alone" in flat
    for caption in ("Figure 3: A heat map", "Table 6: A table longer", "Table 7: Wide again"):
        assert caption in flat
    assert "(a) The first panel" in flat
    assert "(1)" in flat


def test_citations_are_author_and_year_in_both(page, pdf_text):
    assert "(Knuth 1984, 7)" in words(page.get_element_by_id("sec-intro"))
    assert "Lamport (1994)" in words(page.get_element_by_id("sec-intro"))
    assert len(page.find_class("csl-entry")) == 2
    flat = " ".join(pdf_text.split())
    assert "(Knuth 1984, 7)" in flat
    assert flat.count("Addison-Wesley") == 2


def test_equation_is_mathml_with_its_number(page):
    equation = page.get_element_by_id("eq-loss")
    assert equation.find(".//math") is not None
    assert words(equation.find_class("eq-number")[0]) == "(1)"


# ---------------------------------------------------------------- chunks and values


def test_inline_values_are_shown_as_quarto_shows_them(page):
    text = words(page.xpath("//section[@id='sec-intro']/p")[1])
    assert text.startswith("The answer is 42, as a string 42.0 % of *all*, as Markdown <b>42</b>.")


def test_figures_are_embedded_svg_with_their_descriptions(page):
    images = page.xpath("//main//figure//img")
    assert images
    assert all(image.get("src").startswith("data:image/svg+xml;base64,") for image in images)
    assert all(image.get("alt") for image in images)
    assert images[0].get("alt") == (
        'Three falling curves, "sparsegpt" & co., the last one falls <latest>.'
    )
    assert [image.get("alt") for image in images[1:3]] == [
        "A falling curve",
        "Another falling curve",
    ]


def test_code_is_folded_in_html_and_absent_from_the_pdf(page, pdf_text):
    folded = page.xpath("//details[contains(@class,'code-fold')]")
    assert "minipaper.curve()" in folded[0].text_content()
    assert [words(s) for d in folded[:2] for s in d.iter("summary")] == [
        "Code",
        "How the panels are drawn",
    ]
    assert not any(d.get("open") is not None for d in folded)
    assert "minipaper.curve()" not in pdf_text


def test_code_fold_false_shows_and_echo_false_hides(page):
    assert page.xpath("//section//div[contains(@class,'wide')]//pre[not(ancestor::details)]")
    assert "minipaper.heat()" not in page.text_content()


def test_hidden_and_unevaluated_chunks(page, pdf_text):
    text = page.text_content()
    assert "import minipaper" not in text
    assert "never_run()" in text
    assert "kept to itself" not in page.xpath("string(//div[@class='cell-output'])")
    assert "plain output" in pdf_text
    assert "43" in pdf_text


def test_classes_of_a_chunk_reach_the_page(page):
    assert page.xpath("//div[contains(@class,'keep')]//figure[contains(@class,'quarto-float-fig')]")


def test_small_table_cell_by_cell(page):
    rows = page.xpath("//div[@id='tbl-small']//tr")
    assert [[words(c) for c in row] for row in rows] == [
        ["method", "kept", "bytes"],
        ["magnitude", "0.97", "1,024"],
        ["wanda", "–", "12"],
    ]
    assert [c.get("scope") for c in rows[0]] == ["col"] * 3


def test_column_widths_are_taken(page):
    columns = page.xpath("//div[@id='tbl-long']//col")
    assert [c.get("style").replace(" ", "").rstrip(";") for c in columns] == [
        "width:10%",
        "width:60%",
        "width:30%",
    ]


# ---------------------------------------------------------------- strings from data


@pytest.mark.parametrize("number", range(len(HOSTILE)))
def test_hostile_string_is_exact_in_table_and_text(page, number):
    wanted = " ".join(HOSTILE[number].split())
    cells = page.xpath("//div[@id='tbl-hostile']//tbody/tr")[number]
    assert words(cells[1]) == wanted
    assert wanted in [words(e) for e in page.xpath("//p/span[@class='data']")]


def test_hostile_strings_are_inert(page):
    assert page.xpath("//td//script | //td//img | //td//a | //td//math | //td//em") == []
    assert page.xpath("//*[@onerror] | //a[starts-with(@href,'javascript')]") == []
    assert len(page.xpath("//main//script")) == 0


@pytest.mark.parametrize("string", HOSTILE)
def test_hostile_string_is_exact_in_the_pdf(pdf_text, string):
    assert squeezed(pdf_text).count(squeezed(string)) >= 2


# ---------------------------------------------------------------- blocks


def test_callouts(page):
    note, warning, tip = page.xpath("//main//*[contains(@class,'callout-style-default')]")
    assert note.tag == "div"
    assert words(note.find_class("callout-title-container")[0]) == "A note with a title"
    assert warning.tag == "details"
    assert warning.get("open") is None
    assert words(warning.find_class("callout-title-container")[0]) == "Folded away"
    assert words(tip.find_class("callout-title-container")[0]) == "Tip"


def test_folded_callout_prints_open(pdf_text):
    assert "A warning that opens on demand" in " ".join(pdf_text.split())


def test_conditional_content(page, pdf_text):
    main = page.get_element_by_id("quarto-document-content").text_content()
    assert "Only in HTML." in main
    assert "Only in the PDF." not in main
    assert "Hidden from HTML." not in main
    assert "Raw HTML." in main
    assert "Raw Typst." not in main
    for shown in ("Only in the PDF.", "Hidden from HTML.", "Raw Typst."):
        assert shown in pdf_text
    assert "Only in HTML." not in pdf_text
    assert "Raw HTML." not in pdf_text


def test_tabset_names_are_no_headings(page):
    tabset = page.find_class("panel-tabset")[0]
    assert [words(t) for t in tabset.find_class("tab-title")] == ["First tab", "Second tab"]
    assert "First tab" not in words(page.get_element_by_id("TOC"))


def test_panels_of_a_layout(page):
    panels = page.find_class("quarto-layout-panel")
    assert [p.get("style") for p in panels] == ["--columns: 2"] * 2
    assert len(panels[0].find_class("quarto-layout-cell")) == 2


def test_footnotes_definitions_and_quotations(page, pdf_text):
    assert "A note with code" in words(page.find_class("footnotes")[0])
    assert [words(t) for t in page.iter("dt")] == ["Sparsity", "Density"]
    assert page.find(".//blockquote") is not None
    assert "The fraction of weights that is zero." in pdf_text


# ---------------------------------------------------------------- the page


def test_page_loads_nothing(page, files):
    loading = page.xpath("//script/@src | //link/@href | //img/@src | //iframe/@src")
    assert [x for x in loading if not x.startswith("data:")] == []
    styles = "".join(style.text or "" for style in page.iter("style"))
    assert "url(" not in styles
    assert "@import" not in styles


def test_table_of_contents(page):
    entries = [words(a) for a in page.get_element_by_id("TOC").iter("a")]
    assert entries[:3] == ["1 Introduction", "1.1 Methods", "1.1.1 Loss"]
    assert "Appendix A: Environment" in entries


def test_page_has_landmarks_and_a_skip_link(page):
    assert len(page.xpath("//main")) == 1
    assert page.xpath("//nav[@aria-label]")
    skip = page.find_class("skip-link")[0]
    assert page.get_element_by_id(skip.get("href")[1:]).tag == "main"


def test_both_schemes_are_there_and_follow_the_reader(page):
    light, dark = page.get_element_by_id("style-light"), page.get_element_by_id("style-dark")
    assert "prefers-color-scheme: light" in light.get("media")
    assert "prefers-color-scheme: dark" in dark.get("media")
    assert "#14171c" in dark.text
    assert "invert(1)" in dark.text
    assert ".quarto-dark" not in dark.text


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out_from_its_background(page, scheme):
    css = page.get_element_by_id(f"style-{scheme}").text
    body = re.search(r"body\{[^}]*background:(#\w+);color:(#\w+)", css)
    link = re.search(r"[};]a\{color:(#\w+)", css)
    assert contrast(body[1], body[2]) >= 7
    assert contrast(body[1], link[1]) >= 4.5


def contrast(one: str, other: str) -> float:
    """WCAG's contrast ratio of two hex colours."""
    bright, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (bright + 0.05) / (dark + 0.05)


def luminance(colour: str) -> float:
    digits = colour.lstrip("#")
    digits = "".join(2 * d for d in digits) if len(digits) == 3 else digits
    linear = []
    for start in (0, 2, 4):
        c = int(digits[start : start + 2], 16) / 255
        linear.append(c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4)
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


# ---------------------------------------------------------------- the PDF


def test_pages_are_a4_and_one_lies_on_its_side(pdf):
    sizes = [(round(p.mediabox.width), round(p.mediabox.height)) for p in pdf.pages]
    assert sizes[0] == (595, 842)
    assert sizes.count((842, 595)) == 1


def test_pages_are_numbered_and_carry_the_title_from_the_second_on(pdf):
    texts = [p.extract_text() for p in pdf.pages]
    assert texts[0].count("Sparse is enough") == 1
    assert all("Sparse is enough" in text for text in texts[1:])
    assert all(re.search(rf"\b{n}\b", text) for n, text in enumerate(texts, 1))


def test_pdf_has_contents_keywords_and_bookmarks(pdf, pdf_text):
    assert "Contents" in pdf_text
    assert "Keywords" in pdf_text
    titles = [entry["/Title"] for entry in pdf.outline if isinstance(entry, dict)]
    assert any("Introduction" in title for title in titles)


def test_long_table_breaks_and_repeats_its_header(pdf):
    held = [p for p in pdf.pages if re.search(r"layer\.\d+\.attention", p.extract_text())]
    assert len(held) >= 2
    assert all("mean" in p.extract_text() for p in held)


def test_pdf_is_tagged_for_accessibility(pdf):
    assert pdf.root_object["/MarkInfo"]["/Marked"]
    assert "pdfuaid:part" in pdf.root_object["/Metadata"].get_data().decode()


def test_pdf_uses_embedded_fonts_only(pdf):
    names = set()
    for page in pdf.pages:
        for font in page["/Resources"].get("/Font", {}).values():
            names.add(str(font.get_object()["/BaseFont"]))
    assert names
    assert all(re.match(r"/[A-Z]{6}\+(Libertinus|NewCM|DejaVu)", name) for name in names)


# ---------------------------------------------------------------- Quarto itself


@pytest.mark.quarto
@pytest.mark.skipif(not shutil.which("quarto"), reason="quarto is not on PATH")
def test_quarto_renders_the_same_paper(tmp_path):
    shutil.copytree(PAPER, tmp_path / "paper")
    shutil.copytree(ROOT / "styles", tmp_path / "paper" / "styles")
    settings = (ROOT / "_quarto.yml").read_text()
    settings = re.sub(
        r"  (pre|post)-render:.*\n", "", settings
    )  # the hooks have tests of their own
    (tmp_path / "paper" / "_quarto.yml").write_text(settings)
    made = rendering.render(tmp_path / "paper", tmp_path / "paper" / "_output", engine="quarto")
    tree = html.parse(str(made[0])).getroot()
    assert "see Figure 1, Table 1, Equation 1 and Section 1.1" in words(tree)
    assert "Table 7: Wide again" in " ".join(
        " ".join(p.extract_text() for p in PdfReader(made[1]).pages).replace("\xa0", " ").split()
    )


def test_importing_the_package_loads_no_engine():
    code = (
        "import sys, analysis.rendering\n"
        "print([m for m in ('nbclient', 'typst', 'sass', 'lxml', 'yaml') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout.strip() == "[]"
