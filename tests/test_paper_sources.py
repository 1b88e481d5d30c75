"""Where a number comes from: each value of the prose knows rows that there are, and says so."""

import base64
import csv
import html
import inspect
import io
import json
import re
from pathlib import Path

import fake
import lxml.html
import pypandoc
import pytest
from paper_changes import MADE

from analysis import paper
from analysis.paper import download, links, sourced, text
from analysis.paper.claims import document
from analysis.paper.sourced import Sourced
from analysis.results import KEYS

HOSTILE = json.loads(Path(__file__).with_name("hostile.json").read_text(encoding="utf-8"))
NOTHING = r"–|\b(no|none|nothing|unrecorded)\b"
OF_NO_RESULT = ["claim_margin"]
EVERY = ["tiny", *fake.STUDIES, *fake.REAL]


def values(data):
    """All values of the paper; those of a level at each."""
    for name, make in MADE["value"].items():
        each = data.levels if "level" in inspect.signature(make).parameters else [()]
        yield from ((name, make(data, *([own] if own != () else []))) for own in each)


def keys(data, table):
    """Those of all rows of a table, as text."""
    if table == sourced.ENTRIES:
        return {(entry,) for entry in data.environment}
    if table == sourced.CLAIMS:
        return {(name,) for name in document.claims()}
    return set(sourced.sourced("", table, data[table]).rows)


@pytest.mark.parametrize("chosen", EVERY)
def test_every_value_knows_rows_that_there_are(chosen):
    data = fake.data(chosen)
    known = {table: keys(data, table) for table in [*KEYS, sourced.ENTRIES, sourced.CLAIMS]}
    for name, value in values(data):
        assert isinstance(value, Sourced) != (name in OF_NO_RESULT), name
        if name in OF_NO_RESULT:
            continue
        assert set(value.rows) <= known[value.table], (name, value.rows)
        assert value.rows or re.search(NOTHING, value), (name, value)
        assert len(sourced.title(value)) <= 160


def test_a_mean_names_every_score_that_it_is_of():
    data = fake.data("tiny")
    named = MADE["value"]["mean_retained"](data, 0.5).rows
    assert {row[0] for row in named} == {
        data.find(*cell, data.leading, 0.5)["variant"] for cell in data.sound()
    }
    assert len(named) == len(data.sound()) > 3
    assert {row[1:] for row in named} == {(task, data.primary[task]) for _, task in data.sound()}


def spans(markdown):
    """What pandoc makes of a value in a sentence: its words, and its attributes by name."""
    page = pypandoc.convert_text(f"It is {markdown}, so.", "html", format="markdown",
                                 extra_args=["--wrap=none"])  # fmt: skip
    attributes, words = re.fullmatch(r"<p>It is <span(.*?)>(.*)</span>, so\.</p>\n?", page).groups()
    found = re.findall(r' ([\w-]+)="([^"]*)"', attributes)
    return words, {name: html.unescape(value) for name, value in found}


def test_the_page_says_table_and_rows_whatever_their_names():
    for name in HOSTILE:
        made = Sourced("0.93", "size", [(name, "auto"), ("b", "auto")])
        words, said = spans(sourced.marked(made))
        assert (words, said["data-table"], said["data-count"]) == ("0.93", "size", "2")
        assert said["title"].startswith("size.csv: format auto, 2 rows: ")
        assert json.loads(said["data-rows"]) == [[name, "auto"], ["b", "auto"]]
        assert set(said) == {"title", "data-table", "data-count", "data-rows"}
    assert sourced.marked("a plain word") == "a plain word"


def test_a_title_is_short_and_says_how_many_rows_it_leaves_out():
    def title(*rows):
        return sourced.title(Sourced("1", "size", rows))

    assert title() == "size.csv: 0 rows"
    assert title(("m/dense", "auto")) == "size.csv: variant m/dense, format auto"
    assert title(("a", "auto"), ("b", "csr16")) == "size.csv: 2 rows: a, auto; b, csr16"
    long = title(*((f"{'x' * 40}{i}", "auto") for i in range(30)))
    assert long.endswith(f"{'x' * 40}1 and 28 more")
    assert len(title(*(("x" * 300 + str(i), "y" * 300) for i in range(2000)))) <= 160
    assert sourced.title(sourced.told("Xeon", "hardware")) == "environment.json: entry hardware"


def test_a_value_is_a_string_like_any_other(monkeypatch):
    data = fake.data("tiny")
    monkeypatch.setattr(paper, "load", lambda: data)
    levels = MADE["value"]["levels"](data)
    assert levels == "10, 50, 90, 95 and 99\u00a0%"
    assert f"at {levels}" == "at " + levels == " ".join(["at", levels])
    assert str(paper.value("levels")).startswith(f'[{levels}]{{title="variants')


def links_of(markdown):
    page = pypandoc.convert_text(markdown, "html", format="markdown")
    assert set(re.findall(r"<(\w+)", page)) <= {"p", "a", "span"}
    return re.findall(r'<a\s+href="([^"]*)"', page)


def test_models_data_and_libraries_link_to_where_they_are():
    commit, hub = "f" * 40, "https://huggingface.co"
    assert links_of(links.model("gpt2", "main")) == [f"{hub}/gpt2"]
    assert links_of(links.model("org/bert_x.1-b", commit)) == [
        f"{hub}/org/bert_x.1-b/tree/{commit}"
    ]
    assert links_of(links.dataset("hub: nyu-mll/glue (sst2)", commit)) == [
        f"{hub}/datasets/nyu-mll/glue/tree/{commit}"
    ]
    for other in ("generated", "files", "stand-ins for a rehearsal"):
        assert links_of(links.dataset(other, "1")) == []
    assert links_of(links.library("scikit-learn")) == ["https://pypi.org/project/scikit-learn/"]


@pytest.mark.parametrize("chosen", ["medium", "mixed", "tiny"])
def test_own_folders_and_built_in_models_have_no_link(chosen):
    data = fake.data(chosen)
    on_hub = data["models"]["source"].isin(["hub", "replica"])
    of_hub = data["tasks"].drop_duplicates("task")["source"].str.startswith("hub: ")
    for name, expected in (("origins", on_hub), ("datasets", of_hub)):
        assert str(MADE["table"][name](data)).count("](https://") == int(expected.sum()), name


def test_no_hostile_name_becomes_a_link():
    for name in [*HOSTILE, "a/b/c", "../x", "a/../b", "javascript:alert(1)", "a b", "a)b", "a/b?c"]:
        for made in (links.model(name, name), links.dataset(name, name), links.library(name)):
            for address in links_of(made):
                assert re.fullmatch(r"https://(huggingface\.co|pypi\.org)(/[\w.-]+)+/?", address)
        if not re.fullmatch(r"[\w.-]+(/[\w.-]+)?", name):
            assert links_of(links.dataset(f"hub: {name}", name)) == []


def test_the_csv_of_a_table_says_what_the_table_shows():
    body = [[text.escape(name), "**1 %** [@han2015learning]"] for name in HOSTILE]
    body.append([links.model("org/bert", "main"), "*failed*"])
    made = download.as_csv(text.table(["Name", "What"], body, "lr"))
    found = list(csv.reader(io.StringIO(made)))
    assert found == [
        ["Name", "What"],
        *([text.cleaned(name), "1 % (han2015learning)"] for name in HOSTILE),
        ["org/bert", "failed"],
    ]


def test_every_table_has_its_csv_below_it(monkeypatch):
    monkeypatch.setattr(paper, "load", lambda: fake.data("tiny"))
    shown = {name: str(paper.table(name)) for name in MADE["table"]}
    full = {name: said for name, said in shown.items() if text.has_rows(text.Md(said))}
    assert not any("{=html}" in said for name, said in shown.items() if name not in full)
    page = lxml.html.fromstring(
        pypandoc.convert_text("\n\n".join(full.values()), "html", format="markdown-smart")
    )
    links_below = page.xpath("//a[@download]")
    for name, table, saved in zip(full, page.iter("table"), links_below, strict=True):
        assert saved.get("download") == f"{name}.csv"
        held = base64.b64decode(saved.get("href").split(",")[1]).decode()
        found = [cell for row in csv.reader(io.StringIO(held)) for cell in row]
        read = [visible(cell.text_content()) for cell in table.iter("th", "td")]
        assert found == [re.sub(r"\[@(\w+)\]", r"(\1)", cell) for cell in read], name


def visible(words):
    return " ".join(words.replace("\u200b", "").replace("\u2060", "").split())
