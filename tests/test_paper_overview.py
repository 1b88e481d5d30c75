"""The first page: one figure of quality, bytes and milliseconds, and its numbers."""

import re

import fake
import matplotlib as mpl
import pytest
from paper_changes import MADE, drop, put
from test_paper import hostile

from analysis.execution.names import AUTO, DENSE, TILED_CSR
from analysis.paper import style
from analysis.paper.overview import measures

mpl.use("agg")
PANELS = ["quality over chance", "bytes of the file", "milliseconds of a pass"]
EVERY = ["tiny", *fake.STUDIES, *fake.REAL]


@pytest.fixture(autouse=True)
def look():
    style.use()


def drawn(data):
    return MADE["figure"]["at_a_glance"](data)


def said(data, name):
    return re.sub(r"\*|\u00a0", lambda m: "" if m[0] == "*" else " ", MADE["value"][name](data))


def lines(axis):
    return {line.get_label(): line.get_xydata().tolist() for line in axis.lines}


def leading_keeps(share, **where):
    ends = {"retained": share, "retained_low": share - 0.05, "retained_high": share + 0.05}
    return put("quality", ends, variant="/magnitude/one-shot/", **where)


@pytest.mark.parametrize("chosen", EVERY)
def test_every_name_stands_clear_beside_its_line_and_inside_its_panel(chosen):
    data = fake.data(chosen)
    figure = drawn(data)
    figure.draw_without_rendering()
    assert (figure.get_figwidth(), figure.get_figheight() <= 2.6) == (style.FULL_WIDTH, True)
    for axis in figure.axes if any(axis.lines for axis in figure.axes) else []:
        names = {line.get_label() for line in axis.lines if not line.get_label().startswith("_")}
        legend = axis.get_legend()
        listed = [text.get_text() for text in legend.get_texts()] if legend else []
        assert {text.get_text().replace(",\n", ", ") for text in axis.texts} | {*listed} == names
        boxes = [text.get_window_extent() for text in axis.texts]
        frame = axis.get_window_extent().padded(1)
        for i, box in enumerate(boxes):
            assert frame.x0 < box.x0 < box.x1 < frame.x1
            assert frame.y0 < box.y0 < box.y1 < frame.y1
            assert not box.count_overlaps(boxes[:i])
            assert not any(
                line.get_transform().transform_path(line.get_path()).intersects_bbox(box, False)
                for line in axis.lines
            )


def test_a_panel_that_a_study_cannot_fill_is_left_out():
    found = {name: [a.get_title() for a in drawn(fake.data(name)).axes] for name in EVERY}
    assert (found["tiny"], found["xl"]) == (PANELS, PANELS[:2])
    assert found["written"] == PANELS[:1]
    (axis,) = drawn(fake.data("nothing")).axes
    assert axis.texts[0].get_text() == "No pruned model was scored, stored or timed."


def test_a_hostile_name_stays_a_name():
    drawn(hostile(fake.data("tiny"))).draw_without_rendering()


def test_lines_are_means_over_benchmarks_and_over_models():
    data = fake.data("tiny")
    quality, size, time = (lines(axis) for axis in drawn(data).axes)
    kept = [data.mean_retained(data.retained("magnitude", level).values()) for level in data.levels]
    assert quality["magnitude"] == [[0, 1], *([i, pytest.approx(x)] for i, x in enumerate(kept, 1))]
    files = [data.sizes_of(model) for model in data.models]
    shares = [f[(f["format"] == "auto") & (f["sparsity"] == 0.99)]["ratio"].iloc[0] for f in files]
    assert size["sparse format"][-1] == [5, pytest.approx(sum(shares) / 3)]
    own = data.latency[(data.latency["batch"] == 8) & (data.latency["sparsity"] == 0.99)]
    for name, kernel in (("dense kernels", DENSE), ("skipping zeros", AUTO)):
        taken = 1 / own.loc[own["kernel"] == kernel, "speedup"]
        assert time[name][-1] == [5, pytest.approx(taken.mean())]
    true = data["replicas"].set_index(["kernel", "sparsity"])["speedup"]
    assert time["at true size"][-1] == [5, pytest.approx(1 / true[TILED_CSR, 0.99])]


def test_a_level_at_which_a_benchmark_is_missing_has_no_mean():
    data = fake.data("tiny")
    lost = drop("quality", variant="tiny-gpt2/.*/magnitude/one-shot/0.9$")(data)
    points = lines(drawn(lost).axes[0])["magnitude"]
    assert [x for x, _ in points] == [0, 1, 2, 4, 5]


def test_numbers_follow_the_results():
    data = fake.data("minimal")
    for share, safe, level in ((0.97, "up to 90 % sparsity", "90 %"),
                               (0.93, "at no level of sparsity", "50 %")):  # fmt: skip
        changed = leading_keeps(share)(data)
        assert (said(changed, "glance_safe"), said(changed, "glance_next_level")) == (safe, level)
        assert f"{100 * share:.0f} % under magnitude" in said(changed, "glance_next_retained")
        assert said(changed, "glance_best") == "magnitude"
    tiny = fake.data("tiny")
    assert said(tiny, "glance_trained_on") == "three of six benchmarks"
    assert measures.best_trained(tiny) in tiny.trained
    assert said(tiny, "glance_files").endswith(" at 99 %")
