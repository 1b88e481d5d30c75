"""What stands behind a figure is what it draws, inert whatever its strings; on the page points
answer to the keyboard, the legend switches series off, the slider takes what is recommended."""

import base64
import html
import io
import json
import re
import shutil
import subprocess
from pathlib import Path

import fake
import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from matplotlib.collections import PathCollection
from matplotlib.image import AxesImage
from paper_changes import MADE

from analysis.paper import drawn, style
from analysis.paper.chart import Series
from analysis.paper.tradeoff import figures, measures

mpl.use("agg")
SCRIPT = Path(__file__).parents[1] / "styles" / "figures.html"
HOSTILE = "</script><!--```\n\"'&é{{< env HOME >}} nan"


@pytest.fixture(scope="module")
def data():
    return fake.data("tiny")


@pytest.fixture(autouse=True)
def look():
    style.use()


def places_in(artist):
    """The points that an artist shows, and the columns of numbers that they may come from."""
    if isinstance(artist, PathCollection):
        return np.asarray(artist.get_offsets(), dtype=float)
    if isinstance(artist, AxesImage):
        return None
    return artist.get_xydata()


def test_the_numbers_are_those_that_are_drawn(data):
    for name, make in MADE["figure"].items():
        chart = make(data)
        assert len(chart.numbers), name
        for one in chart.series:
            if not hasattr(one.artists[0], "get_xydata") and not len(one.at):
                continue  # a band, or rings around marks
            shown = places_in(one.artists[0])
            if shown is None:
                image = np.asarray(one.artists[0].get_array(), dtype=float)
                values = [image[int(y), int(x)] for x, y in one.at]
            else:
                values = shown[:, 1]
                if len(one.at):
                    assert np.allclose(shown, np.asarray(one.at, dtype=float), equal_nan=True)
            columns = one.rows.select_dtypes("number").to_numpy(float)
            fits = [np.allclose(np.clip(column, min(values), None), values, equal_nan=True)
                    or np.allclose(np.clip(column, 0, 1), values, equal_nan=True)
                    for column in columns.T if len(column) == len(values)]  # fmt: skip
            assert any(fits), (name, one.name)


def test_each_figure_has_its_file_and_what_the_script_is_told_is_in_the_picture(data, tmp_path):
    for name, make in MADE["figure"].items():
        chart = make(data)
        said = str(drawn.figure(name, chart, make, tmp_path))
        (held,) = re.findall(r"base64,([\w+/=]+)\"", said)
        read = (tmp_path / "figures" / f"{name}.csv").read_text(encoding="utf-8")
        assert base64.b64decode(held).decode() == read
        assert pd.read_csv(io.StringIO(read)).shape == chart.numbers.shape
        assert f"def {name}(data: Data)" in html.unescape(said)
        (picture,) = re.findall(r"svg\+xml;base64,([\w+/=]+)\)", said)
        ids = set(re.findall(r'\sid="([^"]+)"', base64.b64decode(picture).decode()))
        for told in re.findall(r'class="figure-marks">(.*?)</script>', said):
            marks = json.loads(told)
            assert ids >= {known for one in marks["series"] for known in one["ids"]}, name
            assert ids >= set(marks["keys"].values()), name


def hostile_chart():
    chart, (axis,) = style.panels(1, 2.0)
    lines = axis.plot([0, 1], [0.5, 1.0], label=style.name(HOSTILE))
    rows = pd.DataFrame({"model": HOSTILE, "value": [0.5, 1.0]})
    said = [(HOSTILE, "0.5", HOSTILE), ("b", "1.0", "")]
    name = " ".join(HOSTILE.split())
    chart.series.append(Series(axis, lines, name, rows, [(0, 0.5), (1, 1.0)], said))
    style.legend_below(chart, axis)
    return chart


def test_strings_of_strangers_are_inert(tmp_path):
    said = str(drawn.figure("hostile", hostile_chart(), hostile_chart, tmp_path))
    fence = said.split("\n\n", 1)[1].split("{", 1)[0]
    block = said.split("\n\n", 1)[1]
    assert block.count(fence) == 2
    assert block.count("</script>") == 1
    assert "{{<" not in block.split("<pre")[0] + block.rpartition("</pre>")[2]
    marks = json.loads(re.findall(r'class="figure-marks">(.*?)</script>', block)[0])
    assert marks["series"][0]["points"][0][2] == HOSTILE
    assert 'class="data"' not in block or "nan" in block


def test_the_slider_takes_what_is_recommended(data):
    variants = measures.table(data)
    chart = MADE["figure"]["tradeoff_map"](data)
    for model in data.models:
        own = variants[variants["model"] == model]
        picks = [pick for pick in chart.picks if pick.model == model]
        for loss in range(figures.MOST + 1):
            taken = [pick for pick in picks if pick.loss <= loss][-1]
            row = measures.recommended(own, loss / 100)
            assert taken.at[0][1] == row["bytes_share"]
            assert row["series"] in taken.sentence


DRIVER = """<script>
const holder = document.querySelector(".figure-live"), found = {};
const spots = [...holder.querySelectorAll("[role=option]")];
const tip = holder.querySelector(".figure-tip"), said = () => tip.hidden ? null : tip.textContent;
const press = (key) => document.activeElement.dispatchEvent(
  new KeyboardEvent("keydown", {key, bubbles: true}));
found.entered = spots.filter((s) => s.getAttribute("tabindex") === "0").length;
spots.find((s) => s.getAttribute("tabindex") === "0").focus();
found.first = said();
press("ArrowRight"); found.second = said();
press("ArrowDown"); found.below = said();
press("Escape"); found.left = said();
const button = holder.querySelector(".figure-keys button");
button.click();
found.pressed = button.getAttribute("aria-pressed");
found.hidden = holder.querySelectorAll("[data-off][id*=series]").length;
const range = holder.querySelector("input");
range.value = 10; range.dispatchEvent(new Event("input"));
found.told = holder.querySelector("[aria-live]").textContent;
found.rings = holder.querySelectorAll(".picked").length;
document.body.insertAdjacentHTML("beforeend", `<output id="found"></output>`);
document.getElementById("found").textContent = JSON.stringify(found);
</script>"""


@pytest.mark.skipif(not shutil.which("chromium"), reason="no Chromium to open the page with")
def test_the_page_answers(data, tmp_path):
    make = MADE["figure"]["tradeoff_map"]
    chart = make(data)
    picture = base64.b64encode(chart.svg().encode()).decode()
    behind = drawn.behind("map", chart, "a\n", make)
    page = tmp_path / "page.html"
    page.write_text(
        f'<!doctype html><figure><p><img alt="A map" src="data:image/svg+xml;base64,{picture}">'
        f"</p>{behind}</figure>{SCRIPT.read_text(encoding='utf-8')}{DRIVER}",
        encoding="utf-8",
    )
    asked = ["chromium", "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run",
             f"--user-data-dir={tmp_path / 'profile'}", "--disable-background-networking",
             "--dump-dom", page.as_uri()]  # fmt: skip
    dom = subprocess.run(asked, capture_output=True, text=True, timeout=120, check=True).stdout
    told = re.findall(r'<output id="found">(.*?)</output>', dom)[-1]  # the first is the script's
    found = json.loads(html.unescape(told))
    said = [one.said for one in chart.series if len(one.at)]
    assert found["entered"] == 1
    assert said[0][0][1] in found["first"]
    assert found["second"] in (None, found["first"]) or said[0][1][1] in found["second"]
    assert found["below"] not in (None, found["second"])
    assert found["left"] is None
    assert found["pressed"] == "false"
    assert found["hidden"] == len([one for one in chart.series if one.name == "dense"])
    for model in data.models:
        assert [p for p in chart.picks if p.model == model and p.loss <= 10][-1].sentence in found[
            "told"
        ]
    assert found["rings"] == 2 * len(data.models)
