"""The paper of every study that the project is made for: all of it is there, nothing is a hole."""

import inspect
import json
import re
import shutil
from pathlib import Path
from types import SimpleNamespace

import fake
import matplotlib as mpl
import numpy as np
import pytest
import yaml
from paper_changes import MADE, after, cells, change_of, checked, plain, verdict

from analysis import paper, results, study
from analysis.errors import RequestError, RunError
from analysis.paper import data as paper_data
from analysis.paper import style
from analysis.paper.claims import document
from analysis.paper.data import Data
from analysis.paper.profile import figures as profile_figures
from analysis.paper.profile import measures as weights
from analysis.paper.verdicts import Verdict

mpl.use("agg")
REPORT = (Path(__file__).parents[1] / "report.qmd").read_text(encoding="utf-8")
NAMED = set(re.findall(r'paper\.(figure|table|value)\("([^"]+)"\)', REPORT))
NAMED |= {("claim", name) for name in re.findall(r'paper\.claim\(\s*"([^"]+)"', REPORT)}
EVERY = ["tiny", *fake.STUDIES, *fake.REAL]
DRAWN = ("medium", "mixed")  # drawing takes longest
HOLES = r"\b(?:NaN|nan|None|inf|undefined)\b|<NA>|np\.float|unknown number"
BARE = r"^–|[ (]–[ .,;)]"  # a dash in a sentence that wants a number


def asked(what):
    return sorted(name for kind, name in NAMED if kind == what)


VALUES = [f for f in MADE["value"].values() if len(inspect.signature(f).parameters) == 1]


@pytest.fixture(autouse=True)
def look():
    style.use()


@pytest.fixture
def of(monkeypatch):
    """The paper of these results, or of the study with that name."""

    def chosen(found):
        found = fake.data(found) if isinstance(found, str) else found
        monkeypatch.setattr(paper, "load", lambda: found)
        return found

    return chosen


def shown(what, name):
    return str(claim(name) if what == "claim" else getattr(paper, what)(name))


def claim(name):
    return paper.claim(name, "", otherwise="", undecided="", holds="")  # read from the document


def rows(name):
    return cells(paper.table(name))


def require_words(data, but=()):
    """Every sentence, value, table and claim is there, and no table has a hole."""
    for make in VALUES:
        said = make(data)
        assert said > "", make  # a string, and not empty
        assert not re.search(rf"{HOLES}|\d{{6}}", said), (make, said)
    for name in {*asked("table")} - {*but}:
        require_table(name, shown("table", name))
    verdicts = {name: verdict(data, name) for name in asked("claim")}
    found = document.by_verdict(data)
    assert {name: key for key, names in found.items() for name in names} == verdicts
    overview, claimed = str(paper.table("claims")), len(document.claims())
    assert (re.search(HOLES, overview), len(cells(overview))) == (None, claimed)
    line = f"claims: {len(found[Verdict.SUPPORTED])} of {claimed} supported"
    for one in (Verdict.CONTRADICTED, Verdict.UNDECIDED):
        line += f"; {one}: {', '.join(found[one])}" if found[one] else ""
    beyond = len(found[Verdict.UNCHECKED])
    line += f"; {beyond} cannot be checked" if beyond else ""
    assert paper.claims_line() == line


def require_table(name, said):
    assert not re.search(HOLES, said), (name, said)
    lines = [line for line in said.splitlines() if line.startswith("|")]
    assert len({line.count("|") for line in lines}) == 1, name
    found = cells(said)
    assert found, name
    for row in found if name not in ("tasks", "parts") else ():
        heads_a_group = row[0].startswith("**") and not any(row[1:])
        assert heads_a_group or all(row), (name, row)


def require_figure(name, figure, draw):
    """It fits a page; no panel is empty; drawn, nothing sticks out of its sides."""
    assert figure.get_figwidth() <= style.FULL_WIDTH
    assert figure.get_figheight() <= style.FULL_HEIGHT + 0.3
    panels = [axis for axis in figure.axes if axis.get_visible()]
    assert panels, name  # without, a notebook shows no picture
    assert all(a.lines or a.collections or a.images or a.texts for a in panels), name
    if draw:
        figure.draw_without_rendering()
        width, boxes = figure.get_figwidth() * figure.dpi, [axis.get_tightbbox() for axis in panels]
        boxes += [legend.get_window_extent() for legend in figure.legends]
        for box in boxes:
            assert box is None or (box.x0 > -2 and box.x1 < width + 2), (name, box, width)


@pytest.mark.parametrize("chosen", EVERY)
def test_the_paper_of_any_study_is_whole(of, chosen):
    require_words(of(chosen))
    for name in asked("figure"):
        require_figure(name, paper.chart(name), chosen in DRAWN)


LACKING = yaml.safe_load(Path(__file__).with_name("lacking.yml").read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", LACKING)
def test_the_paper_of_results_that_lack_something_is_whole(of, name):
    data = of(after(fake.data("tiny"), *map(change_of, LACKING[name])))
    # what a method is, is asked of the project
    require_words(data, but=["method_costs"] if name == "known names" else [])
    for name, make in MADE["figure"].items():
        if make.__module__ != profile_figures.__name__:
            require_figure(name, make(data), draw=False)


def test_the_report_names_all_that_there_is():
    assert {what for what, _ in NAMED} == {"figure", "table", "value", "claim"}
    known = {"claim": document.claims(), "figure": MADE["figure"], "table": MADE["table"]}
    assert {what: asked(what) for what in known} == {what: sorted(known[what]) for what in known}


SHORT = r" $\frac$|**b**"
HOSTILE = r"_x$\frac$ | **b** <i> `c` {{< d >}}"
FROM_OUTSIDE = {
    "models": ["identifier", "training"], "published": ["source"], "failures": ["step", "reason"],
    "tasks": ["title", "measures", "licence", "source", "metric_title"],
}  # fmt: skip


def hostile(data):
    """Results in which all that strangers write is hostile."""
    found = {table: frame.copy() for table, frame in data.tables.items()}
    for frame in found.values():
        if "model" in frame:
            frame["model"] = frame["model"].replace(data.models[1], HOSTILE)
    for table, columns in FROM_OUTSIDE.items():
        found[table][columns] = HOSTILE
    found["tasks"]["sample"] = json.dumps({HOSTILE: HOSTILE})
    found["replicas"]["architecture"] = HOSTILE
    found["sensitivity"]["group"] = found["sensitivity"]["group"] + SHORT
    found["sensitivity"]["part"] = HOSTILE
    settings, quoted = found["variants"]["settings"], json.dumps("decoder 0" + SHORT)
    found["variants"]["settings"] = settings.str.replace('"decoder 0"', quoted, regex=False)
    more = {"title": HOSTILE, "study": HOSTILE, "notes": [HOSTILE], "versions": {HOSTILE: HOSTILE}}
    return Data(found, data.environment | more)


@pytest.mark.parametrize("chosen", ["tiny", "xl"])
def test_a_hostile_name_stays_a_name(of, chosen):
    data = of(hostile(fake.data(chosen)))
    for what, name in sorted(NAMED):
        said = shown(what, name) if what != "figure" else ""
        assert not re.search(r"\$\\frac|\*\*b\*\*|<i>|`c`|\{\{<", said), name
        if what == "table":
            require_table(name, said)
    assert plain(paper.value("title")) == HOSTILE
    assert f"{HOSTILE}, decoder" in plain(claim("differs-with-depth"))
    for name in asked("figure") if chosen == "tiny" else ():
        figure = paper.chart(name)
        figure.draw_without_rendering()  # a name is no formula, and stays in the legend
        assert any(axis.get_xlabel() or axis.images for axis in figure.axes)
        assert any(axis.get_ylabel() for axis in figure.axes)
    assert HOSTILE in data.models


def test_failed_cells_are_named_in_every_table_of_quality(of):
    of("xl")
    for name in ("quality", "baseline", "winners"):
        lost = ["*failed*" in row for row in rows(name) if row[0] == "t5-xl"]
        assert lost == [True, True], name
    assert {row[3] for row in rows("failures")} == {"out of memory", "no time"}
    of("glue")
    row = next(c for c in rows("quality") if "MRPC" in c[1] and "roberta" in c[0])
    assert [cell == "*failed*" for cell in row[4:]] == [False, False, True, False, False]
    row = next(c for c in rows("means") if c[0] == "magnitude")
    assert ["‡" in cell for cell in row[1:]] == [False, False, True, False, False]
    assert rows("failures")[0][1:] == ["roberta-base", "mrpc", "the disk is full"]


def test_void_benchmarks_are_said_to_be_and_left_out_of_means(of):
    data, cell = of("classic"), ("pegasus-cnn", "cnn-dailymail")
    assert data.void == {cell}
    assert cell not in data.retained("magnitude", 0.5)
    row = next(row for row in rows("winners") if row[0] == "pegasus-cnn")
    assert set(row[2:]) == {"*void*"}
    assert "‡" in next(row for row in rows("baseline") if row[0] == "pegasus-cnn")[3]
    for name in ("cliff", "threshold", "lowest-level-free"):
        assert "pegasus-cnn" not in plain(checked(data, name).evidence)
    # published scores stand beside measured ones
    found = {(row[0].split(":")[0], row[1]): row[3] for row in rows("published")}
    known = ("gpt2", "perplexity per word"), ("gpt2", "accuracy"), ("pegasus-xsum", "ROUGE-1")
    assert [found[key] for key in known] == ["29.4", "46.0", "47.2"]


def test_a_rehearsal_is_marked_everywhere(of):
    assert of("rehearsed").rehearsal
    for name in asked("table"):
        assert shown("table", name).startswith(f"**{paper.MARK}**\n\n|"), name
    assert str(paper.table("claims")).startswith(f"**{paper.MARK}**\n\n|")
    assert paper.chart("speedups").get_suptitle() == paper.MARK
    for part in ("{=html}", paper.MARK, "<rehearsal>"):
        assert part in str(paper.banner())
    of("classic")
    assert (str(paper.banner()), paper.chart("speedups").get_suptitle()) == ("", "")
    assert "REHEARSAL" not in shown("table", "models")


def test_unknown_names_are_refused_with_the_nearest(of):
    data = of("one")
    with pytest.raises(RequestError, match="Did you mean 'baseline'"):
        paper.table("basline")
    with pytest.raises(RequestError, match="Did you mean 'cliff'"):
        paper.claim("clif", "", otherwise="", undecided="", holds="cliff")
    with pytest.raises(RequestError, match=r"no row with .*tiny-bert.*0\.42"):
        data.at("tiny-bert", "sentiment", "magnitude", 0.42)


def test_a_study_file_is_shown_whatever_fences_it_has(of):
    data = fake.data("one")
    of(Data(data.tables, data.environment | {"study_text": "a: ````b\n```"}))
    assert str(paper.study_text()) == '````` {.yaml shortcodes="false"}\na: ````b\n```\n`````\n'


def test_missing_results_are_computed_by_a_child_process(tmp_path, monkeypatch):
    shutil.copytree(study.FOLDER, tmp_path / "studies")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SPARSITY_STUDY", raising=False)
    started, status = [], [0]
    data, file = fake.data("tiny"), tmp_path / "studies" / "tiny.yml"

    def run(command, **options):
        started.append((command[1:], options["env"]["SPARSITY_STUDY"]))
        read = data.environment | {"study_text": file.read_text(encoding="utf-8")}
        results.write(data.tables, read, tmp_path / "_output/results")
        return SimpleNamespace(returncode=status[0])

    def load():
        paper_data.load.cache_clear()
        return paper_data.load()

    monkeypatch.setattr(paper_data.subprocess, "run", run)
    try:
        assert load().models[0] == load().models[0] == "tiny-bert"
        assert started == [(["-m", "analysis", "run"], "tiny")]
        file.write_text(file.read_text(encoding="utf-8") + "# edited\n", encoding="utf-8")
        load()
        assert len(started) == 2
        status[0] = 3
        shutil.rmtree(tmp_path / "_output")
        with pytest.raises(RunError, match=r"'tiny' could not be computed \(exit status 3\)"):
            load()
    finally:
        paper_data.load.cache_clear()


def test_what_is_left_after_pruning_shrinks_with_the_level():
    data = fake.data("tiny")
    shown = weights.leading_variants(data, "tiny-bert")[["method", "sparsity"]].to_numpy().tolist()
    assert shown == [["dense", 0], *(["magnitude", level] for level in data.levels)]
    for axis in profile_figures.histogram_after_pruning(data).axes:
        areas = [np.nansum(line.get_ydata()) for line in axis.lines]
        assert (len(areas), areas) == (1 + len(data.levels), sorted(areas, reverse=True))
        assert areas[-1] < areas[0] / 2
