"""Figures of what is saved show the numbers of the results, each kernel and level at its place."""

import fake
import matplotlib as mpl
import numpy as np
import pytest
from fake import changed

from analysis.execution.names import AUTO, DENSE, TILED_CSR, TORCH_CSR
from analysis.paper import saving_figures, style, tradeoff

mpl.use("agg")


@pytest.fixture(scope="module")
def data():
    return fake.data("tiny")


@pytest.fixture(autouse=True)
def look():
    style.use()


def lines(axis):
    """The named lines of a panel: label to (x, y)."""
    return {
        line.get_label(): (list(line.get_xdata()), list(line.get_ydata()))
        for line in axis.lines
        if not line.get_label().startswith("_")
    }


def said(figure):
    return [t.get_text() for t in figure.axes[0].texts]


def ticks(axis):
    return [t.get_text() for t in axis.get_xticklabels()]


# ---------------------------------------------------------------- bytes


def test_bytes_have_a_line_a_format_and_one_for_the_bound(data):
    figure = saving_figures.bytes_by_level(data)
    shown = [axis for axis in figure.axes if axis.get_visible()]
    assert [axis.get_title() for axis in shown] == data.models
    for axis, model in zip(shown, data.models, strict=True):
        rows = data.sizes_of(model)
        found = lines(axis)
        assert list(found) == [*fake.load("tiny").formats, "entropy bound"]
        for name in fake.load("tiny").formats:
            part = rows[rows["format"] == name].sort_values("sparsity")
            assert found[name][1] == pytest.approx(list(part["bytes"] / 1e6))
        part = part.sort_values("sparsity")
        assert found["entropy bound"][1] == pytest.approx(list(part["bound_bytes"] / 1e6))
        assert axis.get_ylim()[0] == 0
        assert ticks(axis) == ["0", "10", "50", "90", "95", "99"]


# ---------------------------------------------------------------- speed


def test_speedups_stand_at_their_level_kernel_batch_and_model(data):
    figure = saving_figures.speedups(data)
    places = [(batch, model) for batch in (1, 8) for model in data.models]
    assert len(figure.axes) == len(places)
    table = data.runtime[data.runtime["operation"] == "forward"]
    for axis, (batch, model) in zip(figure.axes, places, strict=True):
        assert axis.get_title() == f"{model}, batch {batch}"
        assert ticks(axis) == ["0", "10", "50", "90", "95", "99"]
        found = lines(axis)
        assert list(found) == [DENSE, TORCH_CSR, TILED_CSR, AUTO]
        for kernel, (xs, ys) in found.items():
            levels = [0.0, *data.levels]
            assert xs == list(range(0 if kernel == DENSE else 1, len(levels)))
            for x, y in zip(xs, ys, strict=True):
                series = "magnitude" if levels[x] else "dense"
                row = data.one(
                    table, model=model, batch=batch, kernel=kernel, series=series,
                    sparsity=levels[x],
                )  # fmt: skip
                assert y == row["speedup"]


def test_a_kernel_that_could_do_nothing_at_some_level_has_a_gap_there(data):
    def change(frame):
        gone = frame["variant"].str.contains("/magnitude/one-shot/0.1$")
        return frame[~(gone & (frame["kernel"] == TORCH_CSR))]

    figure = saving_figures.speedups(changed(data, "runtime", change))
    assert lines(figure.axes[0])[TORCH_CSR][0] == [2, 3, 4, 5]

    def no_csr(frame):
        return frame[frame["kernel"] != TORCH_CSR]

    figure = saving_figures.speedups(changed(data, "runtime", no_csr))
    assert TORCH_CSR not in lines(figure.axes[0])


def test_units_removed_do_not_stand_for_zeros():
    beside = fake.data("beside")
    (axis,) = saving_figures.speedups(beside).axes
    assert lines(axis)[DENSE][1] == pytest.approx([1.0, 1.0, 1.0], abs=0.01)


def test_true_size_shows_speed_and_memory_by_kernel(data):
    figure = saving_figures.replica_speedups(data)
    speed, memory = figure.axes
    assert ticks(speed) == ticks(memory) == ["10", "50", "90", "95", "99"]
    assert list(lines(speed)) == list(lines(memory)) == [DENSE, TORCH_CSR, TILED_CSR]
    table = data["replicas"].set_index(["kernel", "sparsity"])
    for kernel, (xs, ys) in lines(speed).items():
        assert xs == list(range(5))
        assert ys == list(table.loc[kernel]["speedup"].loc[data.levels])
    assert lines(memory)[DENSE][1] == [1.0] * 5
    assert lines(memory)[TILED_CSR][1] == pytest.approx([1.35, 0.75, 0.15, 0.075, 0.015])


def test_true_size_may_lack_a_kernel_at_a_level(data):
    def change(frame):
        return frame[~((frame["kernel"] == TILED_CSR) & (frame["sparsity"] == 0.5))]

    figure = saving_figures.replica_speedups(changed(data, "replicas", change))
    figure.draw_without_rendering()
    speed, memory = figure.axes
    assert lines(speed)[TILED_CSR][0] == [0, 2, 3, 4]
    assert np.isnan(lines(memory)[TILED_CSR][1][1])


# ---------------------------------------------------------------- the map


def points(axis, label):
    """The marks of one group in a panel."""
    (found,) = [c for c in axis.collections if c.get_label() == label]
    return sorted(map(tuple, np.round(np.asarray(found.get_offsets()), 9).tolist()))


@pytest.mark.parametrize(("side", "column"), [(0, "bytes_share"), (1, "p50_ms_share")])
def test_the_map_has_a_mark_for_each_variant_and_a_ring_for_the_best(data, side, column):
    figure = saving_figures.tradeoff_map(data)
    table = tradeoff.table(data)
    for row, model in enumerate(data.models):
        axis = figure.axes[2 * row + side]
        own = table[table["model"] == model]
        drawn = own.assign(retained=own["retained"].clip(lower=0))

        def expected(part, column=column):
            pairs = zip(part[column], part["retained"], strict=True)
            return sorted((round(x, 9), round(y, 9)) for x, y in pairs)

        for group in tradeoff.groups(table):
            assert points(axis, group) == expected(drawn[drawn["group"] == group])
        assert points(axis, "Pareto set") == expected(drawn[drawn["best"]])
        assert axis.get_title() == model
    (legend,) = figure.legends
    labels = [t.get_text() for t in legend.get_texts()]
    assert labels == [*tradeoff.GROUPS, "Pareto set"]


def test_groups_are_told_apart(data):
    axis = saving_figures.tradeoff_map(data).axes[0]
    looks = [
        (tuple(c.get_facecolor()[0]), c.get_paths()[0].vertices.tobytes())
        for c in axis.collections
        if c.get_label() != "Pareto set"
    ]
    assert len(set(looks)) == len(looks) == len(tradeoff.GROUPS)


# ---------------------------------------------------------------- nothing to show


@pytest.mark.parametrize(
    ("make", "chosen", "why"),
    [
        (saving_figures.replica_speedups, "minimal", "This study measures no model of true size."),
        (saving_figures.speedups, "written", "This study times no forward pass."),
        (
            saving_figures.tradeoff_map,
            "written",
            "This study times no variant that it scores.",
        ),
    ],
)
def test_a_figure_says_so_where_a_study_measured_nothing(make, chosen, why):
    figure = make(fake.data(chosen))
    figure.draw_without_rendering()
    assert said(figure) == [why]
