"""The paper's figures, tables, values and claims, over made-up results."""

import inspect
import json
import math
import re
import shutil
from pathlib import Path

import fake
import matplotlib as mpl
import numpy as np
import pytest
from fake import changed

from analysis import paper, results, study
from analysis.errors import RequestError
from analysis.paper import (
    claims,
    method_figures,
    method_tables,
    saving_figures,
    saving_tables,
    saving_values,
    source_tables,
    style,
    tables,
    values,
    weight_figures,
    weights,
)
from analysis.paper import data as paper_data
from analysis.paper.data import Data

mpl.use("agg")


def functions(module):
    return [
        f
        for name, f in inspect.getmembers(module, inspect.isfunction)
        if f.__module__ == module.__name__ and not name.startswith("_")
    ]


def named(function):
    return function.__name__


REPORT = (Path(__file__).parents[1] / "report.qmd").read_text(encoding="utf-8")
NAMED = re.findall(r'paper\.(figure|table|value|prose|claim)\("([^"]+)"\)', REPORT)
FIGURES = [f for m in (saving_figures, weight_figures, method_figures) for f in functions(m)]
TABLES = [f for m in (tables, method_tables, saving_tables, source_tables) for f in functions(m)]
VALUES = [
    f
    for m in (values, saving_values)
    for f in functions(m)
    if len(inspect.signature(f).parameters) == 1
]
STRAY = r"\bnan\b|np\.float|\bNone\b|\binf\b"


@pytest.fixture(scope="module")
def data():
    """Results that have been written and read back, as the paper gets them."""
    return fake.data("tiny")


@pytest.fixture(autouse=True)
def look():
    style.use()


@pytest.mark.parametrize("make", FIGURES, ids=named)
def test_every_figure_draws_and_has_labelled_axes(data, make):
    figure = make(data)
    figure.canvas.draw()
    shown = [axis for axis in figure.axes if axis.get_visible()]
    assert shown
    assert all(axis.lines or axis.collections or axis.images for axis in shown)
    assert any(axis.get_xlabel() or axis.images for axis in shown)  # a heat map names its columns
    assert any(axis.get_ylabel() for axis in shown)


@pytest.mark.parametrize("make", TABLES, ids=named)
def test_every_table_is_a_rectangle_of_filled_cells(data, make):
    lines = str(make(data)).strip().splitlines()
    cells = [re.findall(r"(?<=\|)[^|]*(?=\|)", line) for line in lines]
    assert len(lines) > 2
    assert len({len(row) for row in cells}) == 1
    assert not re.search(r"\bnan\b|np\.float|None", str(make(data)))


@pytest.mark.parametrize("make", VALUES, ids=named)
def test_every_value_is_a_filled_string(data, make):
    text = make(data)
    assert isinstance(text, str)
    assert text
    assert not re.search(r"\bnan\b|np\.float|None|\d{6}", text.replace(",", ""))


def test_the_report_names_every_kind_of_thing():
    assert {what for what, _ in NAMED} == {"figure", "table", "value", "prose", "claim"}
    assert {name for what, name in NAMED if what == "claim"} == set(claims.CLAIMS)
    assert {name for what, name in NAMED if what == "figure"} == {f.__name__ for f in FIGURES}
    assert {name for what, name in NAMED if what == "table"} == {f.__name__ for f in TABLES}


@pytest.mark.parametrize("chosen", fake.STUDIES)
@pytest.mark.parametrize(("what", "name"), sorted(set(NAMED)), ids=lambda part: part)
def test_all_that_the_report_names_works_for_any_study(monkeypatch, chosen, what, name):
    monkeypatch.setattr(paper, "load", lambda: fake.data(chosen))
    found = getattr(paper, what)(name)
    if what == "figure":
        found.canvas.draw()
        return
    assert str(found)
    assert not re.search(STRAY, str(found))
    if what == "table":
        lines = str(found).strip().splitlines()
        assert len(lines) > 2
        assert len({line.count("|") for line in lines}) == 1


@pytest.mark.parametrize("chosen", ["tiny", *fake.STUDIES])
def test_the_overview_has_every_claim_for_any_study(monkeypatch, chosen):
    monkeypatch.setattr(paper, "load", lambda: fake.data(chosen))
    lines = str(paper.claims_overview()).strip().splitlines()
    assert len(lines) == 2 + len(claims.CLAIMS)
    assert not re.search(STRAY, "".join(lines))
    assert re.fullmatch(r"claims: \d+ of \d+ supported(; .*)?", paper.claims_line())


def test_baseline_table_shows_the_values_of_the_results(data):
    row = data.one(data.quality, model="tiny-bert", task="sentiment", sparsity=0.0)
    line = next(x for x in str(tables.baseline(data)).splitlines() if "sentiment" in x)
    assert f"{100 * row['value']:.1f}" in line


def test_mean_retained_is_the_mean_over_benchmarks(data):
    scores = data.scores
    chosen = scores[(scores["method"] == "magnitude") & (scores["sparsity"] == 0.5)]
    assert (
        values.mean_retained(data, 0.5)
        == f"{100 * chosen['retained'].clip(lower=0).mean():.0f}\u00a0%"
    )


@pytest.mark.parametrize("name", claims.CLAIMS)
def test_every_claim_comes_to_a_verdict_with_numbers(data, name):
    verdict = claims.verdict(data, name)
    assert verdict.supported in (True, False)
    assert re.search(r"\d", verdict.evidence)
    assert verdict.consequence in (verdict.claim.sentence, verdict.claim.otherwise)


def set_retained(sparsity_to_value):
    def change(frame):
        for sparsity, value in sparsity_to_value.items():
            rows = frame["variant"].str.contains(f"/magnitude/one-shot/{sparsity:g}$")
            frame.loc[rows, ["retained", "retained_low", "retained_high"]] = value

    return change


@pytest.mark.parametrize(
    ("curve", "supported"),
    [
        ({0.1: 1.0, 0.5: 0.95, 0.9: 0.1, 0.95: 0.05, 0.99: 0.0}, True),
        ({0.1: 0.9, 0.5: 0.2, 0.9: 0.1, 0.95: 0.05, 0.99: 0.0}, False),
        ({0.1: 1.0, 0.5: 0.98, 0.9: 0.9, 0.95: 0.4, 0.99: 0.0}, False),
    ],
)
def test_cliff_lies_where_the_steepest_fall_is(data, curve, supported):
    found = claims.verdict(changed(data, "quality", set_retained(curve)), "cliff")
    assert found.supported is supported


def test_threshold_claim_needs_two_benchmarks_apart_beyond_their_intervals(data):
    same = changed(data, "quality", set_retained(dict.fromkeys(data.levels, 0.5)))
    assert not claims.verdict(same, "threshold").supported

    def one_kept(frame):
        set_retained(dict.fromkeys(data.levels, 0.5))(frame)
        row = frame["variant"] == "tiny-bert/sentiment/magnitude/one-shot/0.5"
        frame.loc[row, ["retained", "retained_low", "retained_high"]] = 0.99

    assert claims.verdict(changed(data, "quality", one_kept), "threshold").supported


def test_lowest_level_claim_flips_when_an_interval_leaves_zero(data):
    assert claims.verdict(data, "lowest-level-free").supported

    def hurt(frame):
        row = frame["variant"] == "tiny-bert/sentiment/magnitude/one-shot/0.1"
        frame.loc[row, ["retained", "retained_low", "retained_high"]] = [0.8, 0.7, 0.9]

    assert not claims.verdict(changed(data, "quality", hurt), "lowest-level-free").supported


def test_small_weights_are_not_tested_where_the_leading_method_removes_others():
    assert claims.verdict(fake.data("tiny"), "small-is-not-useless").supported is not None
    assert claims.verdict(fake.data("other"), "small-is-not-useless").supported is None


def test_an_unsupported_claim_prints_the_other_sentence_and_the_claim(data):
    def shrink(frame):
        frame.loc[frame["format"] == "dense", "ratio"] = 0.5

    text = str(claims.statement(changed(data, "size", shrink), "dense-bytes"))
    assert "not supported by this run" in text
    assert "changed their size" in text
    assert "The claim was" in text


def test_a_claim_that_the_study_cannot_test_is_neither_supported_nor_denied(data):
    one = data["variants"]["method"] != "magnitude-all"
    fewer = Data({**data.tables, "variants": data["variants"][one]}, data.environment)
    fewer.tables["quality"] = data["quality"][
        data["quality"]["variant"].isin(fewer["variants"]["variant"])
    ]
    assert claims.verdict(fewer, "scope-matters").supported is None
    assert "cannot be checked in this study" in str(claims.statement(fewer, "scope-matters"))
    assert "scope-matters" in claims.by_verdict(fewer)[None]


def test_unknown_names_are_refused_with_the_nearest(data, monkeypatch):
    monkeypatch.setattr(paper, "load", lambda: data)
    with pytest.raises(RequestError, match="Did you mean 'baseline'"):
        paper.table("basline")
    with pytest.raises(RequestError, match="Did you mean 'cliff'"):
        paper.claim("clif")


def test_a_missing_result_is_named(data):
    with pytest.raises(RequestError, match=r"no row with .*tiny-bert.*0\.42"):
        data.at("tiny-bert", "sentiment", "magnitude", 0.42)


def test_missing_results_are_computed_by_a_child_process(tmp_path, monkeypatch):
    shutil.copytree(study.FOLDER, tmp_path / "studies")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SPARSITY_STUDY", raising=False)
    started = []
    chosen = study.load("tiny")
    environment = fake.environment(chosen)

    def run(command, **options):
        started.append((command[1:], options["env"]["SPARSITY_STUDY"]))
        results.write(fake.tables(chosen), environment, tmp_path / "_output/results")
        return type("Done", (), {"returncode": 0})()

    monkeypatch.setattr(paper_data.subprocess, "run", run)
    paper_data.load.cache_clear()
    try:
        assert paper_data.load().models[0] == "tiny-bert"
    finally:
        paper_data.load.cache_clear()
    assert started == [(["-m", "analysis", "run"], "tiny")]


def test_quality_intervals_hold_the_value(data):
    quality = data.quality
    assert (quality["low"] <= quality["value"] + 1e-9).all()
    assert (quality["value"] <= quality["high"] + 1e-9).all()
    dense = quality[quality["kind"] == "dense"]
    assert (dense[["delta", "delta_low", "delta_high"]] == 0).all(axis=None)
    assert all(math.isclose(r, 1) for r in dense["retained"])


def test_depth_claim_needs_every_stack_to_grow(data):
    def by_depth(sign):
        def change(frame):
            layers = frame["scope"].str.startswith("layer:")
            frame.loc[layers, "ks_distance"] = 0.5 + sign * frame.loc[layers, "layer"] / 100

        return change

    def one_flat(frame):
        by_depth(1)(frame)
        frame.loc[(frame["model"] == "tiny-gpt2") & frame["layer"].notna(), "ks_distance"] = 0.3

    def all_flat(frame):
        frame["ks_distance"] = 0.2

    for change, supported in (
        (by_depth(1), True),
        (by_depth(-1), False),
        (one_flat, False),
        (all_flat, False),
    ):
        found = claims.verdict(changed(data, "profile_scopes", change), "differs-with-depth")
        assert found.supported is supported


def test_depth_cannot_be_told_from_three_blocks(data):
    short = data["profile_scopes"]
    short = short[~(short["layer"] >= 3)]
    cut = Data({**data.tables, "profile_scopes": short}, data.environment)
    for name in ("differs-with-depth", "kinds-differ-more"):
        assert claims.verdict(cut, name).supported is None


def test_what_is_left_after_pruning_shrinks_with_the_level(data):
    figure = weight_figures.histogram_after_pruning(data)
    for axis in figure.axes:
        areas = [np.nansum(line.get_ydata()) for line in axis.lines]
        assert len(areas) == 1 + len(data.levels)
        assert areas == sorted(areas, reverse=True)
        assert areas[-1] < areas[0] / 2


def test_the_leading_method_is_the_one_whose_histograms_are_shown(data):
    shown = weights.leading_variants(data, "tiny-bert")
    assert list(shown["method"]) == ["dense", *["magnitude"] * len(data.levels)]
    assert list(shown["sparsity"]) == [0, *data.levels]


SHORT = r" $\frac$|**b**"
HOSTILE = r"_x$\frac$ | **b** <i> `c` {{< d >}}"


@pytest.fixture(scope="module")
def hostile(data):
    """A model, a task's title, groups and their parts with names that would do harm if let."""
    found = {table: frame.copy() for table, frame in data.tables.items()}
    for frame in found.values():
        if "model" in frame:
            frame["model"] = frame["model"].replace("tiny-gpt2", HOSTILE)
    found["tasks"]["title"] = HOSTILE
    found["replicas"]["architecture"] = HOSTILE
    found["sensitivity"]["group"] = found["sensitivity"]["group"] + SHORT
    found["sensitivity"]["part"] = HOSTILE
    settings = found["variants"]["settings"]
    quoted = json.dumps("decoder 0" + SHORT)
    found["variants"]["settings"] = settings.str.replace('"decoder 0"', quoted, regex=False)
    return Data(found, data.environment)


@pytest.mark.parametrize("make", FIGURES, ids=named)
def test_a_name_is_no_formula_and_stays_in_the_legend(hostile, make):
    make(hostile).draw_without_rendering()


@pytest.mark.parametrize("make", [*TABLES, *VALUES], ids=named)
def test_a_hostile_name_stays_a_name_in_tables_and_values(hostile, make):
    shown = str(make(hostile))
    assert not re.search(r"\$\\frac|\*\*b\*\*|<i>|`c`|\{\{<", shown)
    if make in TABLES:
        assert len({line.count("|") for line in shown.strip().splitlines()}) == 1


@pytest.mark.parametrize("name", claims.CLAIMS)
def test_a_hostile_name_stays_a_name_in_claims(hostile, name):
    shown = str(claims.statement(hostile, name))
    assert not re.search(r"\$\\frac|\*\*b\*\*|<i>|`c`|\{\{<", shown)


def test_kinds_claim_compares_kinds_with_blocks(data):
    def by(column):
        def change(frame):
            inside = frame["layer"].notna()
            codes = frame.loc[inside, column].astype("category").cat.codes
            frame.loc[inside, "std"] = 0.1 * 2.0**codes

        return change

    for column, supported in (("kind", True), ("layer", False)):
        found = claims.verdict(changed(data, "profile", by(column)), "kinds-differ-more")
        assert found.supported is supported
