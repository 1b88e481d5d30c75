"""Figures that compare methods show what the results say, or say that there is nothing to show."""

import fake
import matplotlib as mpl
import numpy as np
import pytest
from fake import changed

from analysis.paper import method_figures, style

mpl.use("agg")


@pytest.fixture(scope="module")
def data():
    return fake.data("tiny")


@pytest.fixture(autouse=True)
def look():
    style.use()


def said(figure):
    return [t.get_text() for t in figure.axes[0].texts]


@pytest.mark.parametrize("chosen", ["minimal", "one"])
def test_figures_say_so_where_a_study_did_nothing(chosen):
    found = fake.data(chosen)
    assert said(method_figures.recovery_curves(found)) == ["This study trains no pruned model."]
    assert said(method_figures.sensitivity_map(found)) == ["This study prunes no layer alone."]


def panel(figure, number=0):
    return [axis for axis in figure.axes if axis.get_visible()][number]


def test_each_series_has_a_line_or_mark_and_lines_end_where_the_method_does(data):
    figure = method_figures.retained_curves(data)
    axis = panel(figure)
    curves = [line for line in axis.lines if len(line.get_xdata()) and line.get_marker() != "None"]
    ends = sorted(max(line.get_xdata()) for line in curves)
    full = 1 + len(data.levels) - 1
    assert ends.count(full) == len(data.methods)
    assert ends.count(3) == 1  # structured: to 90 %
    assert ends.count(2) == 6  # patterns: a mark at 50 %
    (legend,) = figure.legends
    assert [t.get_text() for t in legend.get_texts()][: len(data.methods)] == data.methods
    assert len(legend.get_texts()) == len(data.entrants)
    looks = [(h.get_color(), h.get_marker(), h.get_linestyle()) for h in legend.legend_handles]
    assert len(set(looks)) == len(looks)  # told apart


def test_recovery_is_drawn_beside_what_it_began_with():
    found = fake.data("other")
    (legend,) = method_figures.recovery_curves(found).legends
    assert [t.get_text() for t in legend.get_texts()] == [
        "magnitude-layer",
        "magnitude-layer, distilled",
    ]


def test_recovery_has_a_panel_for_each_benchmark_that_was_trained_on(data):
    figure = method_figures.recovery_curves(data)
    titles = [axis.get_title() for axis in figure.axes if axis.get_visible()]
    assert len(titles) == 3
    assert all("sentiment" in title for title in titles)


def test_the_map_has_a_cell_for_each_group_and_level_with_its_number(data):
    figure = method_figures.sensitivity_map(data)
    table = data["sensitivity"]
    for number, model in enumerate(data.models):
        part = table[table["model"] == model]
        axis = panel(figure, number)
        assert [t.get_text() for t in axis.get_yticklabels()] == list(dict.fromkeys(part["group"]))
        assert sorted(t.get_text() for t in axis.texts) == sorted(
            f"{value:.2f}" for value in part["retained"]
        )


def test_the_map_has_levels_in_order_and_leaves_void_cells_empty():
    found = fake.data("other")

    def void(frame):
        frame.loc[frame["task"] == "language-modelling", "retained"] = np.nan

    figure = method_figures.sensitivity_map(changed(found, "sensitivity", void))
    figure.canvas.draw()
    first, second = panel(figure), panel(figure, 1)
    assert [t.get_text() for t in first.get_xticklabels()] == ["40", "90"]
    assert not first.texts
    assert len(first.get_yticklabels()) == 2
    assert len(second.texts) == 4
