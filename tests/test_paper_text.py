"""Strings of strangers stay strings in the paper, and numbers read as readers write them."""

import html
import re
import unicodedata

import pypandoc
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis.paper import text

# what the escape may add, and no reader sees: word joiner, zero-width space
INVISIBLE = {0x2060: None, 0x200B: None}

HOSTILE = [
    "plain words",
    "*emphasis* and **strong** and ***both***",
    "_emphasis_ and __strong__",
    "`code` and ``more ` code``",
    "```\ncode block\n```",
    "~~~ {.python}\nx\n~~~",
    "```{python}\nimport os\n```",
    "~~struck~~ H~2~O x^2^",
    "# Heading",
    "### Heading {#sec-x}",
    "Heading\n=======",
    "Heading\n---",
    "- item",
    "* item",
    "+ item",
    "1. item",
    "12) item",
    "(1) item",
    "a. item",
    "iv) item",
    "#. item",
    "(@) example and (@good) another",
    "> quotation",
    "| line\n| block",
    "| a | b |\n|---|---|\n| 1 | 2 |",
    "a | b || c",
    "Table: caption",
    ": definition",
    "Term\n:   definition",
    "::: {.callout-note}\ninside\n:::",
    ":::: columns",
    "text ::: text",
    "---",
    "***",
    "___",
    "---\ntitle: x\n---",
    "% title\n% author",
    "a -- b --- c",
    "wait ... and ....",
    "\"quoted\" and 'quoted' it's",
    "$x^2$ and $$y$$ and \\(z\\) and \\[w\\]",
    "costs $5 and $6",
    "\\alpha \\textbf{x} \\\\ end\\",
    "\\begin{equation}x\\end{equation}",
    "@knuth84 and [@knuth84; -@other] and user@example.org",
    "[link](https://example.org) and [ref][1] and [1]: https://example.org",
    "![image](file:///etc/passwd)",
    "[span]{.class} and [^1] and ^[note]",
    "<https://example.org> https://example.org www.example.org",
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "<!-- comment -->",
    "</td></tr></table>",
    "&amp; &lt; &#60; &nbsp; &copy &#x3c;",
    "{{< include secret.txt >}}",
    "{{< meta title >}} {{% x %}} {{{< y >}}}",
    "{python} 1 + 1",
    "`{python} 1 + 1` `r 1`",
    "`x`{=html} ```{=typst}",
    "#import \"x.typ\" #eval(\"1\") $ #x $",
    "= Typst heading",
    "/ term: description",
    "<label> @label #label",
    ":smile: :+1:",
    "a\\*b \\# \\",
    "tab\there\r\nand\vlines\x0b\x0c",
    "bell \x07 escape \x1b[31mred\x1b[0m nul \x00",
    "right\u202eto left\u202c \u2066isolated\u2069 \u200f",
    "zero\u200bwidth\u200djoiner\ufeff soft\u00adhyphen no\u00a0break",
    "line\u2028and paragraph\u2029separators\u0085next",
    "unassigned \U000e0001 private \ue000 surrogate \ud800 end",
    "üñï ¿ß? Ω 漢字 العربية עברית 🙂 e\u0301",
    "“curly” ‘quotes’ – dash … ellipsis",
    "a" * 100,
    "https://example.org/" + "x" * 80,
    "-" * 60,
    "." * 60,
    ":" * 60,
    "a-b--c---d----e",
    "nan", "None", "0", "-1", "+1", "1.5", "1.", "10. Mai", "2) x",
]  # fmt: skip


def cleaned(string):
    """What a reader should see: no control or invisible characters, white space as one blank."""
    visible = "".join(" " if unicodedata.category(c)[0] in "CZ" else c for c in string)
    return " ".join(visible.split())


def to_html(markdown):
    """What pandoc makes of it, with Quarto's extensions as pandoc has them by default."""
    return pypandoc.convert_text(markdown, "html", format="markdown", extra_args=["--wrap=none"])


def visible_text(page):
    """The text of an HTML fragment as a reader sees it, with what is there to break lines gone."""
    bare = html.unescape(re.sub(r"<[^>]*>", "", page)).translate(INVISIBLE)
    return " ".join(bare.split())


@pytest.fixture(scope="module")
def rendered():
    """Every hostile string on a line of its own, through pandoc once: paragraph by paragraph."""
    pages = to_html("\n\n".join(text.escape(s) for s in HOSTILE)).strip().split("\n")
    assert len(pages) == len(HOSTILE)
    return dict(zip(HOSTILE, pages, strict=True))


@pytest.mark.parametrize("string", HOSTILE, ids=range(len(HOSTILE)))
def test_a_hostile_string_is_one_plain_paragraph_of_its_own_words(rendered, string):
    page = rendered[string]
    assert re.fullmatch(r"<p>[^<>]*</p>", page)
    assert visible_text(page) == cleaned(string)


def test_a_hostile_string_stays_in_its_cell_of_a_table():
    rows = [[text.escape(s), str(i)] for i, s in enumerate(HOSTILE)]
    page = to_html(str(text.table(["string", "number"], rows, "lr")))
    cells = re.findall(r"<td[^>]*>(.*?)</td>", page, re.DOTALL)
    assert [visible_text(cell) for cell in cells[0::2]] == [cleaned(s) for s in HOSTILE]
    assert cells[1::2] == [str(i) for i in range(len(HOSTILE))]
    assert set(re.findall(r"<(\w+)", page)) <= {
        "table", "colgroup", "col", "thead", "tbody", "tr", "th", "td"
    }  # fmt: skip


def test_a_hostile_string_stays_within_a_sentence():
    page = to_html("\n\n".join(f"before {text.escape(s)} after" for s in HOSTILE))
    lines = page.strip().split("\n")
    assert [visible_text(line) for line in lines] == [f"before {cleaned(s)} after" for s in HOSTILE]
    assert set(re.findall(r"<(\w+)", page)) == {"p"}


def test_a_hostile_string_stays_an_item_of_a_list():
    page = to_html("\n".join(f"- {text.escape(s)}" for s in HOSTILE))
    items = re.findall(r"<li>(.*?)</li>", page, re.DOTALL)
    assert [visible_text(item) for item in items] == [cleaned(s) for s in HOSTILE]
    assert set(re.findall(r"<(\w+)", page)) == {"ul", "li"}


@settings(max_examples=15)
@given(
    strings=st.lists(
        st.text(
            st.one_of(st.sampled_from("*_`#$@<>[]{}()|\\:-+.=~^\"'&!%1a \n"), st.characters())
        ).filter(cleaned),
        min_size=10,
        max_size=10,
    )
)
def test_any_string_is_plain_text(strings):
    page = to_html("\n\n".join(text.escape(s) for s in strings)).strip().split("\n")
    assert [visible_text(line) for line in page] == [cleaned(s) for s in strings]
    assert all(re.fullmatch(r"<p>[^<>]*</p>", line) for line in page)


@given(st.text())
def test_no_ascii_punctuation_is_left_bare(string):
    bare = re.sub(r"&#\d+;", "", text.escape(string))
    assert not re.search(r"[!-/:-@\[-`{-~]", bare)
    assert "\n" not in bare


@given(st.text())
def test_no_invisible_character_gets_through(string):
    assert all(c.isprintable() for c in text.escape(string))


@pytest.mark.parametrize("nothing", ["", " ", "\n\t", "\x00", "\u200b"])
def test_nothing_is_shown_as_missing(nothing):
    assert text.escape(nothing) == text.MISSING


def test_a_long_run_may_break_and_a_short_one_may_not():
    assert "&#8203;" not in text.escape("short words only, here and there")
    assert "&#8203;" in text.escape("a" * 50)


@pytest.mark.parametrize("limit", [1, 5, 20])
def test_a_limit_cuts_before_escaping_and_says_so(limit):
    shown = visible_text(text.escape("*" * 100, limit=limit))
    assert shown == "*" * (limit - 1) + "…"


def test_what_is_within_the_limit_is_not_cut():
    assert visible_text(text.escape("12345", limit=5)) == "12345"


def test_other_things_than_strings_are_shown_as_their_words():
    assert visible_text(text.escape(None)) == "None"
    assert visible_text(text.escape(0.5)) == "0.5"


# ---------------------------------------------------------------- numbers

MISSING_VALUES = [None, float("nan"), ""]


@pytest.mark.parametrize("missing", MISSING_VALUES)
def test_an_empty_cell_is_a_dash_in_every_format(missing):
    assert text.is_missing(missing)
    formats = [text.count, text.number, text.percent, text.megabytes, text.milliseconds, text.times]
    assert {shown(missing) for shown in formats} == {text.MISSING}
    assert text.score(missing, "%") == text.score(missing, "") == text.MISSING
    assert text.signed(missing, "%") == text.MISSING


@pytest.mark.parametrize("value", [0, 0.0, False, "x", -1])
def test_zero_and_false_are_not_missing(value):
    assert not text.is_missing(value)


@pytest.mark.parametrize(
    ("value", "shown"),
    [(0, "0"), (7, "7"), (1234567, "1,234,567"), (1e6, "1,000,000")],
)
def test_counts_have_their_thousands_apart(value, shown):
    assert text.count(value) == shown


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (0, "0"),
        (-0.0, "0"),
        (1, "1"),
        (0.5, "0.5"),
        (3.14159, "3.14"),
        (0.00012345, "0.000123"),
        (12.345, "12.3"),
        (999.6, "1,000"),
        (1234, "1,230"),
        (123456, "123,000"),
        (999999, "1,000,000"),
        (1e6, "1.00e+06"),
        (1.5e-9, "1.50e−09"),
        (-2.5, "−2.5"),
        (-0.00012345, "−0.000123"),
        (-123456, "−123,000"),
        (-1e9, "−1.00e+09"),
    ],
)
def test_numbers_have_three_digits_and_a_true_minus(value, shown):
    assert text.number(value) == shown


@given(st.floats(-1e300, 1e300))
def test_a_number_is_shown_to_its_digits(value):
    shown = text.number(value)
    assert "-" not in shown
    back = float(shown.replace("−", "-").replace(",", ""))
    assert back == pytest.approx(value, rel=0.00501, abs=1e-320)


@given(st.floats(1e-4, 1e6, exclude_max=True))
def test_ordinary_numbers_have_no_exponents(value):
    assert "e" not in text.number(value)
    assert "e" not in text.number(-value)


@pytest.mark.parametrize(
    ("value", "shown"),
    [(0.934, "93.4 %"), (1, "100.0 %"), (0, "0.0 %"), (-0.05, "−5.0 %"), (1.2346, "123.5 %")],
)
def test_a_fraction_is_shown_in_per_cent(value, shown):
    assert text.percent(value).replace("\u00a0", " ").replace("\u202f", " ") == shown


@pytest.mark.parametrize(
    ("sparsity", "shown"),
    [(0.1, "10 %"), (0.29, "29 %"), (0.57, "57 %"), (0.95, "95 %"), (0.995, "99.5 %"), (0, "0 %")],
)
def test_a_level_has_no_needless_digits(sparsity, shown):
    assert text.level(sparsity).replace("\u00a0", " ").replace("\u202f", " ") == shown


def plain(shown):
    return shown.replace("\u00a0", " ").replace("\u202f", " ")


def test_bytes_times_and_milliseconds_carry_their_units():
    assert plain(text.megabytes(1_500_000)) == "1.50 MB"
    assert plain(text.milliseconds(12.345)) == "12.3 ms"
    assert plain(text.times(1.0449)) == "1.04 ×"


@pytest.mark.parametrize(
    ("value", "unit", "shown"),
    [
        (0.934, "%", "+93.4"),
        (-0.05, "%", "−5.0"),
        (0.0, "%", "+0.0"),
        (2.5, "", "+2.5"),
        (-2.5, "", "−2.5"),
        (-123456, "", "−123,000"),
        (123456, "", "+123,000"),
    ],
)
def test_a_difference_has_its_sign(value, unit, shown):
    assert text.signed(value, unit) == shown


@pytest.mark.parametrize("value", [-1e-9, -0.0004, -0.0])
def test_what_rounds_to_zero_is_not_less_than_zero(value):
    assert text.score(value, "%") == "0.0"
    assert plain(text.percent(value)) == "0.0 %"


def test_small_whole_numbers_are_words():
    assert [text.spelled(n) for n in (0, 1, 3, 10)] == ["no", "one", "three", "ten"]
    assert text.spelled(11) == "11"
    assert text.spelled(1234) == "1,234"


@pytest.mark.parametrize(
    ("items", "shown"),
    [([], "none"), (["a"], "a"), (["a", "b"], "a and b"), (["a", "b", "c"], "a, b and c")],
)
def test_items_are_listed_as_in_a_sentence(items, shown):
    assert text.listing(items) == shown


@pytest.mark.parametrize(
    ("values", "shown"),
    [
        ([0.03, 0.09, 0.05], "3.0 % to 9.0 %"),
        ([0.031, 0.0312], "3.1 %"),
        ([None, 0.5], "50.0 %"),
        ([], text.MISSING),
        ([None, float("nan")], text.MISSING),
    ],
)
def test_a_range_is_one_value_where_both_ends_look_alike(values, shown):
    assert plain(text.between(values, text.percent)) == shown


# ---------------------------------------------------------------- tables


def test_a_table_is_a_pipe_table_with_its_alignment():
    table = text.table(["a", "b"], [["x", "1"], ["y", "2"]], "lr")
    assert str(table).splitlines() == ["| a | b |", "|:-----|-----:|", "| x | 1 |", "| y | 2 |"]
    assert table._repr_markdown_() == str(table)


@pytest.mark.parametrize("cells", [["x"], ["x", "1", "2"], []])
def test_a_row_of_another_width_is_refused(cells):
    with pytest.raises(ValueError, match="cells in a table of 2 columns"):
        text.table(["a", "b"], [cells], "lr")


def test_columns_get_dashes_by_what_a_reader_sees_of_their_longest_cell():
    table = text.table(["a", "b"], [["x" * 10, text.escape("-" * 10)], ["y", "z" * 100]], "lr")
    first, second = str(table).splitlines()[1].strip("|").split("|")
    assert first.count("-") == 10
    assert second.count("-") == 60
