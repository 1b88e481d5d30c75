"""Figures show the numbers of the results, each series and level at its place, or say that there
is nothing to show."""

import fake
import matplotlib as mpl
import numpy as np
import pytest
from paper_changes import MADE, after, drop, kept, plain, put

from analysis.execution.names import AUTO, DENSE, TILED_CSR, TORCH_CSR
from analysis.paper import style
from analysis.paper.tradeoff import measures as tradeoff

mpl.use("agg")
LEVELS = ["10", "50", "90", "95", "99"]


@pytest.fixture(scope="module")
def data():
    return fake.data("tiny")


@pytest.fixture(autouse=True)
def look():
    style.use()


def figure(name, data):
    return MADE["figure"][name](data)


def panels(name, data):
    return [axis for axis in figure(name, data).axes if axis.get_visible()]


def lines(axis):
    """The named lines of a panel: label to (x, y)."""
    named = [line for line in axis.lines if not line.get_label().startswith("_")]
    return {line.get_label(): (list(line.get_xdata()), list(line.get_ydata())) for line in named}


def texts(listed):
    return [text.get_text() for text in listed]


def ticks(axis):
    return texts(axis.get_xticklabels())


def test_a_figure_says_so_where_a_study_did_nothing():
    for name, chosen, why in (
        ("recovery_curves", "minimal", "This study trains no pruned model."),
        ("sensitivity_map", "one", "This study prunes no layer alone."),
        ("retained_curves", "nothing", "No pruned model of this study was scored."),
        ("bytes_by_level", "nothing", "No file of this study was written."),
        ("weight_histogram", "nothing", "No model of this study was profiled."),
        ("replica_speedups", "minimal", "This study measures no model of true size."),
        ("speedups", "written", "This study times no forward pass."),
        ("tradeoff_map", "written", "This study times no variant that it scores."),
    ):
        assert texts(figure(name, fake.data(chosen)).axes[0].texts) == [why]


def test_each_series_has_a_line_or_mark_and_lines_end_where_the_method_does(data):
    shown = figure("retained_curves", data)
    for axis, cell in zip(shown.axes, data.benchmarks, strict=True):
        curves = [c for c in axis.lines if len(c.get_xdata()) and c.get_marker() != "None"]
        leading = [data.find(*cell, "magnitude", level)["retained"] for level in data.levels]
        assert curves[0].get_xydata().tolist() == [[0, 1], *map(list, enumerate(leading, 1))]
        ends = sorted(max(line.get_xdata()) for line in curves)
        structured = 4 if cell[0] == "tiny-gpt2" else 3  # as far as it reaches
        assert ends == sorted([5] * len(data.methods) + [structured] + [2] * 6)
        assert ticks(axis) == ["0", *LEVELS]
    (legend,) = shown.legends
    assert texts(legend.get_texts())[: len(data.methods)] == data.methods
    assert len(legend.get_texts()) == len(data.entrants)
    looks = [(h.get_color(), h.get_marker(), h.get_linestyle()) for h in legend.legend_handles]
    assert len(set(looks)) == len(looks)  # told apart


def test_recovery_is_drawn_beside_what_it_began_with():
    (legend,) = figure("recovery_curves", fake.data("other")).legends
    assert texts(legend.get_texts()) == ["magnitude-layer", "magnitude-layer, distilled"]


def test_the_map_has_a_cell_for_each_group_and_level_with_its_number(data):
    *shown, _ = panels("sensitivity_map", data)  # the last is the scale
    for axis, model in zip(shown, data.models, strict=True):
        part = data["sensitivity"][data["sensitivity"]["model"] == model]
        groups = list(dict.fromkeys(part["group"]))
        assert texts(axis.get_yticklabels()) == groups
        told = part[["sparsity", "group", "retained"]].itertuples(index=False)
        expected = {([0.5, 0.9].index(x), groups.index(g)): f"{kept:.2f}" for x, g, kept in told}
        assert {text.get_position(): text.get_text() for text in axis.texts} == expected
    void = put("sensitivity", {"retained": np.nan}, task="language-modelling")
    first, second, *_ = panels("sensitivity_map", void(fake.data("other")))
    assert ticks(first) == ["40", "90"]  # in order
    assert [len(x) for x in (first.texts, first.get_yticklabels(), second.texts)] == [0, 2, 4]


def test_bytes_have_a_line_a_format_and_one_for_the_bound(data):
    formats = fake.load("tiny").formats
    for axis, model in zip(panels("bytes_by_level", data), data.models, strict=True):
        rows, found = data.sizes_of(model).sort_values("sparsity"), lines(axis)
        assert (axis.get_title(), list(found)) == (model, [*formats, "entropy bound"])
        for name in formats:
            part = rows[rows["format"] == name]
            assert found[name] == ([0, 1, 2, 3, 4, 5], pytest.approx(list(part["bytes"] / 1e6)))
        assert found["entropy bound"][1] == pytest.approx(list(part["bound_bytes"] / 1e6))
        assert (axis.get_ylim()[0], ticks(axis)) == (0, ["0", *LEVELS])


def test_speedups_stand_at_their_level_kernel_batch_and_model(data):
    places = [(batch, model) for batch in (1, 8) for model in data.models]
    keys, levels = ["model", "batch", "kernel", "series", "sparsity"], [0.0, *data.levels]
    speeds = data.runtime[data.runtime["operation"] == "forward"].set_index(keys)["speedup"]
    for axis, (batch, model) in zip(figure("speedups", data).axes, places, strict=True):
        assert (axis.get_title(), ticks(axis)) == (f"{model}, batch {batch}", ["0", *LEVELS])
        found = lines(axis)
        assert list(found) == [DENSE, TORCH_CSR, TILED_CSR, AUTO]
        for kernel, (xs, ys) in found.items():
            assert xs == list(range(kernel != DENSE, len(levels)))
            named = [("magnitude" if x else "dense", levels[x]) for x in xs]
            assert ys == [speeds[model, batch, kernel, *own] for own in named]
    # units removed do not stand for zeros
    (axis,) = figure("speedups", fake.data("beside")).axes
    assert lines(axis)[DENSE][1] == pytest.approx([1.0, 1.0, 1.0], abs=0.01)


def test_a_kernel_that_could_do_nothing_at_some_level_has_a_gap_there(data):
    gap = drop("runtime", variant="/magnitude/one-shot/0.1$", kernel=TORCH_CSR)
    assert lines(figure("speedups", gap(data)).axes[0])[TORCH_CSR][0] == [2, 3, 4, 5]
    gap = drop("replicas", kernel=TILED_CSR, sparsity=0.5)
    speed, memory = figure("replica_speedups", gap(data)).axes
    assert lines(speed)[TILED_CSR][0] == [0, 2, 3, 4]
    assert np.isnan(lines(memory)[TILED_CSR][1][1])


def test_true_size_shows_speed_and_memory_by_kernel(data):
    speed, memory = figure("replica_speedups", data).axes
    assert ticks(speed) == ticks(memory) == LEVELS
    assert list(lines(speed)) == list(lines(memory)) == [DENSE, TORCH_CSR, TILED_CSR]
    table = data["replicas"].set_index(["kernel", "sparsity"])
    for kernel, found in lines(speed).items():
        assert found == (list(range(5)), list(table.loc[kernel]["speedup"].loc[data.levels]))
    assert lines(memory)[DENSE][1] == [1.0] * 5
    assert lines(memory)[TILED_CSR][1] == pytest.approx([1.35, 0.75, 0.15, 0.075, 0.015])


def test_the_map_has_a_mark_for_each_variant_and_a_ring_for_the_best(data):
    drawn, table = figure("tradeoff_map", data), tradeoff.table(data)
    table["retained"] = table["retained"].clip(lower=0)
    sides = [(model, side) for model in data.models for side in ("bytes_share", "p50_ms_share")]
    for axis, (model, side) in zip(drawn.axes, sides, strict=True):
        own = table[table["model"] == model]
        marks = {group: own[own["group"] == group] for group in tradeoff.GROUPS}
        for label, part in (marks | {"Pareto set": own[own["best"]]}).items():
            (shown,) = [c.get_offsets() for c in axis.collections if c.get_label() == label]
            places = part[[side, "retained"]].to_numpy()
            assert sorted(np.round(shown, 9).tolist()) == sorted(np.round(places, 9).tolist())
        assert axis.get_title() == model
    marks = [c for c in drawn.axes[0].collections if c.get_label() != "Pareto set"]
    looks = {(tuple(c.get_facecolor()[0]), c.get_paths()[0].vertices.tobytes()) for c in marks}
    assert len(looks) == len(marks) == len(tradeoff.GROUPS)  # told apart
    (legend,) = drawn.legends
    assert texts(legend.get_texts()) == [*tradeoff.GROUPS, "Pareto set"]


def test_the_range_over_seeds_is_drawn_and_said():
    seeded = r"tiny-bert/sentiment/magnitude/.*/0\.9/"
    data = after(
        fake.data("seeded"),
        kept(0.30, variant=seeded + "seed-3$"),
        kept(0.75, variant=seeded + "seed-5$"),
    )
    said = MADE["value"]["seed_spread"](data)
    assert plain(said) == "0.45 (tiny-bert on sentiment at 90 %)"
    assert [row[0].rpartition("/")[2] for row in said.rows] == ["seed-3", "seed-5"]
    axis = MADE["figure"]["retained_curves"](data).axes[0]
    bars = [line for line in axis.lines if line.get_marker() == "_"]
    assert [list(bar.get_xdata()) for bar in bars] == [[1, 1], [2, 2]]
    assert list(bars[1].get_ydata()) == [0.30, 0.75]
    once = fake.data("tiny")
    assert MADE["value"]["seed_spread"](once) == "–"
    axes = MADE["figure"]["retained_curves"](once).axes
    assert not [line for axis in axes for line in axis.lines if line.get_marker() == "_"]
