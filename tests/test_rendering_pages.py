"""Where styles/paper.typ puts figures and tables: as Typst sets them, whichever renderer it is."""

import re
from pathlib import Path

import pytest
import typst
from pypdf import PdfReader

STYLE = (Path(__file__).parents[1] / "styles" / "paper.typ").read_text(encoding="utf-8")
PAGE = '#set document(title: "Pages")\n#set page(paper: "a4", margin: 2.5cm)\n'
FOOT = 70.9  # points below the text
QUARTER = (842 - 2 * FOOT) / 4


@pytest.fixture
def pages(tmp_path):
    def pages(*parts):
        (tmp_path / "pages.typ").write_text("\n\n".join((STYLE, PAGE, *parts)), encoding="utf-8")
        path = tmp_path / "pages.pdf"
        _, warnings = typst.compile_with_warnings(
            tmp_path / "pages.typ", output=path, ignore_system_fonts=True, pdf_standards=["ua-1"]
        )
        assert [warning.message for warning in warnings] == []
        return PdfReader(path).pages

    return pages


def words(count):
    return f"#lorem({count})"


def figure(name, height):
    return _float("fig", name, f'#rect(height: {height}cm, width: 100%)[], alt: "a"', "bottom")


def table(name, rows):
    cells = "".join(f"[row {row}], [{row} (−0.01 to 1.00)]," for row in range(rows))
    return _float("tbl", name, f"#table(columns: 2, table.header([what], [value]), {cells})", "top")


def _float(kind, name, content, place):
    body, _, alt = content.rpartition(", alt:") if "alt:" in content else (content, "", "")
    described = f"alt: {alt}," if alt else ""
    return (
        f"#figure([{body}], {described} caption: figure.caption(position: {place})[of {name}],"
        f' kind: "quarto-float-{kind}", supplement: "{kind}", numbering: "1") <{kind}-{name}>'
    )


def stands(pages, text):
    return [number for number, page in enumerate(pages, 1) if text in page.extract_text()]


def led_to(pages, number):
    """The pages that the links of a page lead to."""
    numbers = {page.indirect_reference.idnum: n for n, page in enumerate(pages, 1)}
    links = [link.get_object() for link in pages[number - 1].get("/Annots", [])]
    return [numbers[link["/Dest"][0].idnum] for link in links]


def lowest(page):
    """How far above the foot of the text its last line stands, in points."""
    heights = []

    def visit(text, cm, tm, *_):
        if text.strip():
            heights.append(cm[1] * tm[4] + cm[3] * tm[5] + cm[5])

    page.extract_text(visitor_text=visit)
    return min(height for height in heights if height > FOOT) - FOOT


def test_a_figure_floats_to_the_next_page_within_its_section_and_links_lead_there(pages):
    before = ["= One", words(330), "See #link(<fig-big>)[it] and @fig-big.", figure("big", 12)]
    made = pages(*before, words(250), "= Two", words(300))
    assert stands(made, "of big") == [2]
    assert lowest(made[0]) < QUARTER
    assert led_to(made, 1) == [2, 2]
    ended = pages(*before, "= Two", words(300))
    assert stands(ended, "of big") == stands(ended, "Two") == [2]


def test_short_tables_float_and_long_ones_break_with_their_header(pages):
    made = pages("= One", words(500), table("short", 12), words(300), "= Two", table("long", 90))
    assert (stands(made, "of short"), stands(made, "of long")) == ([2], [2])
    assert lowest(made[0]) < QUARTER
    assert stands(made, "row 89") == [4]
    assert stands(made, "what") == [2, 3, 4]


@pytest.mark.parametrize("heading", ["= One", "#heading(numbering: none)[Appendix A] <app-a>"])
def test_tables_stay_in_order_beside_a_long_one(pages, heading):
    made = pages(heading, *(table(f"T{n}", rows) for n, rows in enumerate((9, 40, 5, 60, 3))))
    said = "".join(page.extract_text() for page in made)
    assert re.findall(r"of T(\d)", said) == list("01234")


def test_intervals_and_units_stay_together_where_there_is_room(pages):
    narrow = (
        "#table(columns: (3cm, 1cm), [a long cell 0.50 (−0.01 to 1.00)], [0.50 (−0.01 to 1.00)])"
    )
    said = pages("= One", narrow, "#box(width: 2.2cm)[fifty or 50 %]")[0].extract_text()
    assert "(−0.01\xa0to\xa01.00)" in said
    assert "50\xa0%" in said


def test_nothing_runs_off_the_page(pages):
    long = "abcdefghij" * 30
    made = pages("= One", long, f"`{long}`", f"```py\nx = '{long}'\n```")
    said = made[0].extract_text()
    assert re.sub(r"\s|\u200b", "", said).count(long) == 3
    assert max(map(len, said.splitlines())) < 100
