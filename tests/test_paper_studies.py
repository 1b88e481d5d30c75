"""The paper of any study that the project is made for: nothing of it fails, nothing is a hole."""

import re

import fake
import fake_studies
import matplotlib as mpl
import pytest
from test_paper import REPORT

from analysis import paper
from analysis.paper import claims, model_prose, saving_prose, sentences, style, text
from analysis.paper.cells import FAILED, VOID

mpl.use("agg")

_CALL = re.compile(r'paper"?\)?\.(?:paper\.)?(figure|table|value|prose|claim)\("([^"]+)"\)')
ASKED = sorted(set(_CALL.findall(REPORT)))
HOLES = r"\bNaN\b|\bnan\b|\bNone\b|\binf\b|<NA>|np\.float|unknown number|\bundefined\b"
BARE = re.compile(r"[ (]–[ .,;)]")  # a dash in a sentence that wants a number


@pytest.fixture(autouse=True)
def look():
    style.use()


@pytest.fixture
def of(monkeypatch):
    """The paper of the study with that name."""

    def chosen(name):
        found = fake_studies.data(name) if name in fake_studies.STUDIES else fake.data(name)
        monkeypatch.setattr(paper, "load", lambda: found)
        return found

    return chosen


def rows(table):
    """The body of the pipe table in this text, as cells."""
    lines = [line for line in str(table).splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def body_of(what, name):
    return str(getattr(paper, what)(name))


@pytest.mark.parametrize("study", fake_studies.STUDIES)
def test_every_word_of_the_paper_is_there(of, study):
    of(study)
    for what, name in ASKED:
        if what == "figure":
            continue
        shown = body_of(what, name)
        assert shown.strip(), name
        assert not re.search(HOLES, shown), (name, shown)
        if what in ("prose", "value"):
            assert not BARE.search(shown), (name, shown)
            assert not shown.startswith(text.MISSING), (name, shown)
    assert len(ASKED) > 90


@pytest.mark.parametrize("study", fake_studies.STUDIES)
def test_every_table_is_whole(of, study):
    of(study)
    for name in [name for what, name in ASKED if what == "table"]:
        found = rows(paper.table(name))
        assert found, name
        assert len({len(cells) for cells in found}) == 1, name
        for cells in found:
            assert cells[0] or name in ("tasks", "parts"), (name, cells)
            heads_a_group = cells[0].startswith("**") and not any(cells[1:])
            if name not in ("tasks", "parts") and not heads_a_group:
                assert all(cells), (name, cells)


DRAWN = ("classic", "medium", "mixed", "lost")  # drawing takes longest


@pytest.mark.parametrize("study", fake_studies.STUDIES)
def test_every_figure_fits_a_page(of, study):
    of(study)
    for name in [name for what, name in ASKED if what == "figure"]:
        figure = paper.figure(name)
        assert figure.get_figwidth() <= style.FULL_WIDTH
        assert figure.get_figheight() <= style.FULL_HEIGHT + 0.3
        assert figure.axes, name  # without, a notebook shows no picture
        if study in DRAWN:
            nothing_sticks_out(figure, name)


def nothing_sticks_out(figure, name):
    figure.draw_without_rendering()
    width = figure.get_figwidth() * figure.dpi
    boxes = [axis.get_tightbbox() for axis in figure.axes if axis.get_visible()]
    boxes += [legend.get_window_extent() for legend in figure.legends]
    for box in boxes:
        assert box is None or (box.x0 > -2 and box.x1 < width + 2), (name, box, width)


def test_failed_cells_are_named_in_every_table_of_quality(of):
    data = of("xl")
    for name in ("quality", "baseline", "winners"):
        lost = [cells for cells in rows(paper.table(name)) if cells[0] == text.escape("t5-v1_1-xl")]
        assert len(lost) == len({t for m, t in data.benchmarks if m == "t5-v1_1-xl"}), name
        assert all(f"*{FAILED}*" in cells for cells in lost), name
    assert "out of memory" in body_of("table", "failures").replace("&#32;", " ")


def test_a_failed_variant_is_failed_at_its_level_alone(of):
    of("glue")
    row = next(c for c in rows(paper.table("quality")) if "MRPC" in c[1] and "roberta" in c[0])
    assert [f"*{FAILED}*" == cell for cell in row[4:]] == [False, False, True, False, False]
    shown = next(c for c in rows(paper.table("means")) if c[0] == "magnitude")
    assert ["‡" in cell for cell in shown[1:]] == [False, False, True, False, False]
    assert "the disk is full" in body_of("table", "failures")


def test_void_benchmarks_are_said_to_be_and_left_out_of_means(of):
    data = of("classic")
    cell = ("pegasus-cnn_dailymail", "cnn_dailymail")
    assert data.void == {cell}
    assert cell not in data.retained("magnitude", 0.5)
    row = next(c for c in rows(paper.table("winners")) if "cnn" in c[0])
    assert set(row[2:]) == {f"*{VOID}*"}
    assert "*Void*, because" in body_of("prose", "sound")
    assert "‡" in next(c for c in rows(paper.table("baseline")) if "cnn" in c[0])[3]
    for name in ("cliff", "threshold", "lowest-level-free"):
        assert "pegasus-cnn" not in claims.verdict(data, name).evidence


def test_published_scores_stand_beside_measured_ones(of):
    of("classic")
    found = {tuple(c[:2]): c for c in rows(paper.table("published"))}
    by_metric = {key[1]: cells for key, cells in found.items()}
    assert by_metric["perplexity per word"][3] == "29.4"
    assert by_metric["accuracy"][3] == "46.0"
    assert by_metric[text.escape("ROUGE-1")][3] == "47.2"
    of("xl")
    assert "No published score is known" in body_of("prose", "published")


@pytest.mark.parametrize(("study", "there"), [("tiny", True), ("classic", False), ("mixed", True)])
def test_the_built_in_language_is_told_of_where_it_is_used(of, study, there):
    of(study)
    assert ("generated language" in body_of("prose", "models")) is there
    assert ("equal query and key" in body_of("prose", "models")) is there


def test_sources_are_told_apart(of):
    of("medium")
    shown = body_of("prose", "models")
    assert "published checkpoints" in shown
    assert "read from folders" in shown
    assert "could not be had" in shown
    of("single")
    assert "learnt all it knows here" in body_of("prose", "models")
    of("rehearsed")
    assert "random weights" in body_of("prose", "models")


@pytest.mark.parametrize("study", ["tiny", *fake_studies.STUDIES])
def test_claims_are_counted_apart(of, study):
    data = of(study)
    found = claims.by_verdict(data)
    counts = [len(found[key]) for key in (True, False, None)]
    assert sum(counts) == len(claims.CLAIMS)
    assert f"{counts[0]} of {len(claims.CLAIMS)} supported" in paper.claims_line()
    for name in found[None]:
        shown = str(paper.claim(name))
        assert "cannot be checked in this study" in shown
        assert "supported" not in shown.split(":")[0]


def test_a_study_without_a_section_says_so(of):
    of("classic")
    assert "trains no pruned model" in body_of("prose", "recovery")
    assert "prunes no layer alone" in body_of("prose", "sensitivity")
    assert "tries no alternative" in body_of("prose", "alternatives")
    assert "No such model was timed" in body_of("prose", "true_size")
    of("tiny")
    assert "trains no" not in body_of("prose", "recovery")
    assert "small" in body_of("prose", "true_size")


def test_a_rehearsal_is_marked_everywhere(of):
    data = of("rehearsed")
    assert data.rehearsal
    for what, name in ASKED:
        if what == "table":
            assert body_of(what, name).startswith(f"**{paper.MARK}**")
        if what == "figure":
            assert paper.figure(name).get_suptitle() == paper.MARK
        if what == "claim":
            assert "cannot be checked" in body_of(what, name)
    assert body_of("prose", "abstract").startswith(paper.MARK)
    assert str(paper.claims_overview()).startswith(f"**{paper.MARK}**")
    assert "{=html}" in str(paper.banner())
    assert "<rehearsal>" in str(paper.banner())


def test_a_true_run_has_no_mark(of):
    of("classic")
    assert str(paper.banner()) == ""
    assert "REHEARSAL" not in body_of("table", "models")
    assert not paper.figure("weight_histogram").get_suptitle()


def test_every_sentence_is_asked_for():
    written = {
        name
        for module in (sentences, model_prose, saving_prose)
        for name, made in vars(module).items()
        if callable(made) and made.__module__ == module.__name__ and not name.startswith("_")
    }
    asked = {name for what, name in ASKED if what == "prose"}
    assert asked | {"verdict_counts"} == written
