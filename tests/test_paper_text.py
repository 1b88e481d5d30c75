"""Strings of strangers stay strings in the paper, and numbers read as readers write them."""

import html
import json
import re
import unicodedata
from pathlib import Path

import pypandoc
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from paper_changes import plain

from analysis.paper import text

HOSTILE = json.loads(Path(__file__).with_name("hostile.json").read_text(encoding="utf-8"))
MARKS = st.sampled_from("*_`#$@<>[]{}()|\\:-+.=~^\"'&!%1a \n")


def cleaned(string):
    """What a reader should see: no control or invisible characters, white space as one blank."""
    visible = "".join(" " if unicodedata.category(c)[0] in "CZ" else c for c in string)
    return " ".join(visible.split())


def to_html(markdown):
    """What pandoc makes of it, with Quarto's extensions as pandoc has them by default."""
    return pypandoc.convert_text(markdown, "html", format="markdown", extra_args=["--wrap=none"])


def visible_text(page):
    """The text of an HTML fragment as a reader sees it, with what is there to break lines gone."""
    bare = html.unescape(re.sub(r"<[^>]*>", "", page))
    return " ".join(bare.replace("\u2060", "").replace("\u200b", "").split())


def require_plain_paragraphs(strings):
    pages = to_html("\n\n".join(text.escape(s) for s in strings)).strip().split("\n")
    assert [visible_text(page) for page in pages] == [cleaned(s) for s in strings]
    for page in pages:
        assert re.fullmatch(r'<p>(<span class="data">)?[^<>]*(</span>)?</p>', page)


def test_a_hostile_string_stays_in_its_place_in_paragraphs_tables_and_lists():
    require_plain_paragraphs([*HOSTILE, *(f"before {s} after" for s in HOSTILE)])
    seen = [cleaned(s) for s in HOSTILE]
    body = [[text.escape(s), str(i)] for i, s in enumerate(HOSTILE)]
    page = to_html(str(text.table(["string", "number"], body, "lr")))
    cells = re.findall(r"<td[^>]*>(.*?)</td>", page, re.DOTALL)
    assert [visible_text(cell) for cell in cells[0::2]] == seen
    assert cells[1::2] == [str(i) for i in range(len(HOSTILE))]
    tags = {"table", "colgroup", "col", "thead", "tbody", "tr", "th", "td", "span"}
    assert set(re.findall(r"<(\w+)", page)) <= tags
    page = to_html("\n".join(f"- {text.escape(s)}" for s in HOSTILE))
    items = re.findall(r"<li>(.*?)</li>", page, re.DOTALL)
    assert [visible_text(item) for item in items] == seen
    assert set(re.findall(r"<(\w+)", page)) == {"ul", "li", "span"}


@settings(max_examples=8)
@given(st.lists(st.text(MARKS | st.characters()).filter(cleaned), min_size=20, max_size=20))
def test_any_string_is_plain_text(strings):
    require_plain_paragraphs(strings)


@given(st.text())
def test_no_ascii_punctuation_and_no_invisible_character_is_left_bare(string):
    escaped = re.sub(r"^\[(.*)\]\{\.data\}$", r"\1", text.escape(string))
    assert not re.search(r"[!-/:-@\[-`{-~]", re.sub(r"&#\d+;", "", escaped))
    assert all(c.isprintable() for c in escaped)


def test_what_is_long_breaks_or_is_cut_and_what_is_nothing_is_missing():
    for nothing in ("", " ", "\n\t", "\x00", "\u200b"):
        assert text.escape(nothing) == text.MISSING
    assert "&#8203;" not in text.escape("short words only, here and there " + "x" * 24)
    assert [len(run) for run in text.escape("a" * 50).split("&#8203;")] == [24, 12, 12, 2]
    for limit in (1, 5, 20):  # before escaping
        assert plain(text.escape("*" * 100, limit=limit)) == "*" * (limit - 1) + "…"
    assert plain(text.escape("12345", limit=5)) == "12345"
    assert [text.escape(other) for other in (None, 0.5)] == ["[None]{.data}", "0&#46;5"]


def test_an_empty_cell_is_a_dash_in_every_format():
    formats = [text.count, text.number, text.percent, text.megabytes, text.times]
    formats += [text.fixed, lambda x: text.score(x, "%"), lambda x: text.score(x, ""),
                lambda x: text.signed(x, "%")]  # fmt: skip
    for missing in (None, float("nan"), ""):
        assert text.is_missing(missing)
        assert {shown(missing) for shown in formats} == {text.MISSING}
        assert text.computed(missing, "%") == "infinite"
    for value in (0, 0.0, False, "x", -1):
        assert not text.is_missing(value)


def test_numbers_and_lists_are_as_readers_write_them():
    read = Path(__file__).with_name("shown.yml").read_text(encoding="utf-8")
    for name, besides, expected in yaml.safe_load(read):
        besides = [text.percent if given == "percent" else given for given in besides]
        found = [plain(getattr(text, name)(value, *besides)) for value, _ in expected]
        assert found == [shown for _, shown in expected], name


@given(st.floats(-1e300, 1e300))
def test_a_number_is_shown_to_its_digits(value):
    shown = text.number(value)
    assert "-" not in shown
    back = float(shown.replace("−", "-").replace(",", ""))
    assert back == pytest.approx(value, rel=0.00501, abs=1e-320)
    assert ("e" in shown) is (value != 0 and not 1e-4 <= abs(value) < 1e6)


def test_a_table_is_a_pipe_table_with_its_alignment_and_widths():
    table = text.table(["a", "b"], [["x", "1"], ["y", "2"]], "lr")
    assert str(table).splitlines() == ["| a | b |", "|:-----|-----:|", "| x | 1 |", "| y | 2 |"]
    assert table._repr_markdown_() == str(table)
    assert str(text.table(["a", "b"], [], "lr")).splitlines()[2] == "| *none in this study* | – |"
    for cells in (["x"], ["x", "1", "2"], []):
        with pytest.raises(ValueError, match="cells in a table of 2 columns"):
            text.table(["a", "b"], [cells], "lr")
    # dashes by what a reader sees of the longest cell; bold ones are wider
    wide = [["x" * 10, text.escape("-" * 10), "**bold***"], ["y", "z" * 100, "1"]]
    rule = str(text.table(["a", "b", "c"], wide, "lrr")).splitlines()[1]
    assert [column.count("-") for column in rule.strip("|").split("|")] == [10, 60, 6]
