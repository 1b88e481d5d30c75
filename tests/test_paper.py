"""The paper's figures, tables, values and claims, over made-up results."""

import inspect
import math
import re
import shutil

import fake
import matplotlib as mpl
import numpy as np
import pytest

from analysis import results, study
from analysis.errors import RequestError
from analysis.paper import claims, figures, style, tables, values, weight_figures, weights
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


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Results that have been written and read back, as the paper gets them."""
    chosen = study.load("tiny")
    folder = tmp_path_factory.mktemp("results") / "results"
    results.write(fake.tables(chosen), fake.environment(chosen), folder)
    return Data(*results.read(folder))


@pytest.mark.parametrize("make", [*functions(figures), *functions(weight_figures)], ids=named)
def test_every_figure_draws_and_has_labelled_axes(data, make):
    style.use()
    figure = make(data)
    figure.canvas.draw()
    shown = [axis for axis in figure.axes if axis.get_visible()]
    assert shown
    assert all(axis.lines or axis.collections or axis.images for axis in shown)
    assert any(axis.get_xlabel() or axis.images for axis in shown)  # a heat map names its columns
    assert any(axis.get_ylabel() for axis in shown)


@pytest.mark.parametrize("make", functions(tables), ids=named)
def test_every_table_is_a_rectangle_of_filled_cells(data, make):
    lines = str(make(data)).strip().splitlines()
    cells = [re.findall(r"(?<=\|)[^|]*(?=\|)", line) for line in lines]
    assert len(lines) > 2
    assert len({len(row) for row in cells}) == 1
    assert not re.search(r"\bnan\b|np\.float|None", str(make(data)))


@pytest.mark.parametrize(
    "make", [f for f in functions(values) if len(inspect.signature(f).parameters) == 1], ids=named
)
def test_every_value_is_a_filled_string(data, make):
    text = make(data)
    assert isinstance(text, str)
    assert text
    assert not re.search(r"\bnan\b|np\.float|None|\d{6}", text.replace(",", ""))


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


def changed(data, table, change):
    """The same results with one table changed by `change(frame)`."""
    frame = data[table].copy()
    change(frame)
    return Data({**data.tables, table: frame}, data.environment)


def set_retained(sparsity_to_value):
    def change(frame):
        for sparsity, value in sparsity_to_value.items():
            rows = frame["variant"].str.contains(f"/magnitude/one-shot/{sparsity:g}$")
            frame.loc[rows, ["retained", "retained_low", "retained_high"]] = value

    return change


def test_dense_bytes_flips_when_a_dense_file_shrinks(data):
    assert claims.verdict(data, "dense-bytes").supported

    def shrink(frame):
        frame.loc[frame["format"] == "dense", "ratio"] = 0.5

    assert not claims.verdict(changed(data, "size", shrink), "dense-bytes").supported


def test_compressor_claim_flips_when_zstd_finds_nothing(data):
    assert claims.verdict(data, "compressor-finds-zeros").supported

    def grow(frame):
        frame.loc[frame["format"] == "dense+zstd", "ratio"] = 0.93

    assert not claims.verdict(changed(data, "size", grow), "compressor-finds-zeros").supported


def test_no_speed_flips_when_a_variant_is_faster(data):
    assert claims.verdict(data, "no-speed").supported

    def faster(frame):
        frame.loc[frame.index[-1], "speedup"] = 2.0

    assert not claims.verdict(changed(data, "runtime", faster), "no-speed").supported


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
    assert "not tested by this run" in str(claims.statement(fewer, "scope-matters"))
    assert "scope-matters" in claims.unsupported(fewer)


def test_unknown_names_are_refused_with_the_nearest(data, monkeypatch):
    from analysis import paper

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


def test_a_name_is_no_formula_and_stays_in_the_legend(data):
    named = {
        table: frame.replace({"model": {"tiny-gpt2": r"_x$\frac$"}})
        for table, frame in data.tables.items()
    }
    renamed = Data(named, data.environment)
    for draw in functions(weight_figures):
        draw(renamed).draw_without_rendering()


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
