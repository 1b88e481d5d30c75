"""What a run took: the step that held most is named, and a smaller one after it is not."""

import asyncio
import io
import json
import subprocess
import sys

import fake
import numpy as np
import pytest
import rehearsals
from hypothesis import given
from hypothesis import strategies as st

import studies
from analysis import data_calls, needs, rows, study
from analysis.needs import Gauge, Needs, Peak
from analysis.paper import tables
from analysis.paper.data import Data
from analysis.tasks import task

MEGABYTE = 10**6
LARGE = 200 * MEGABYTE


def held(count):
    """The peak of a gauge while so many bytes were held, and let go again."""
    gauge = Gauge()
    np.ones(count, np.uint8)
    return gauge.peak().memory_bytes


def test_a_gauge_sees_what_was_held_since_it_was_made():
    before = held(0)
    assert LARGE * 0.95 <= held(LARGE) - before <= LARGE * 1.5
    if needs._CLEAR.exists():
        assert held(0) < before + LARGE / 2  # what was held before it does not count


def test_a_gauge_counts_a_child_that_held_more():
    gauge = Gauge()
    before = gauge.peak().memory_bytes
    large = before + LARGE
    subprocess.run([sys.executable, "-c", f"b'x' * {large}"], check=True)
    assert gauge.peak().memory_bytes >= large
    assert Gauge().peak().memory_bytes < large  # of a step before


@given(st.lists(st.tuples(st.integers(0, 99), st.integers(0, 99)), max_size=8))
def test_the_largest_peak_and_the_first_that_had_it_are_kept(peaks):
    kept = Needs()
    for number, (memory, gpu) in enumerate(peaks):
        kept.note(str(number), Peak(memory, gpu))
    found = kept.described(5, 1.25)
    for kind, values in (("memory", [m for m, _ in peaks]), ("gpu", [g for _, g in peaks])):
        most = max(values, default=0)
        assert found.get(f"{kind}_bytes", 0) == most
        if most:
            assert found[f"{kind}_step"] == str(values.index(most))
    assert json.loads(json.dumps(found)) == found


def test_a_run_says_what_it_took():
    kept = Needs()
    kept.note("gpt2-xl: latency", Peak(13_500_000_000, 2_000_000_000))
    assert list(needs.described_lines(kept.described(42_100_000_000, 7200), 2)) == [
        "peak memory: 13.5 GB in 'gpt2-xl: latency', of 2 at a time",
        "peak GPU memory: 2.0 GB in 'gpt2-xl: latency', of 2 at a time",
        "disk: 42.1 GB added to the cache",
        "time: 2.0 h",
    ]
    nothing = list(needs.described_lines(Needs().described(0, 1.0), 1))
    assert nothing == ["disk: 0 MB added to the cache", "time: 1 s"]


def test_objects_count_and_what_they_link_to_does_not(tmp_path):
    own = tmp_path / "cache" / "objects" / "ab"
    (own / "abc").mkdir(parents=True)
    (tmp_path / "weights").write_bytes(b"0" * 1000)
    (own / "abc" / "config").write_bytes(b"0" * 10)
    (own / "abc" / "weights").symlink_to(tmp_path / "weights")
    before = needs.objects(tmp_path / "cache")
    (own / "abd").write_bytes(b"0" * 7)
    (own / "abd.stamp").write_bytes(b"0" * 99)
    after = needs.objects(tmp_path / "cache")
    assert needs.bytes_of(before) == 10
    assert needs.bytes_of(after - before) == 7
    assert needs.objects(tmp_path / "none") == set()


def test_a_runner_notes_the_step_that_held_most(tmp_path):
    chosen = study.Study(**studies.tree(), name="x")
    call = data_calls.test_examples(chosen, "sentiment")
    with rehearsals.started(tmp_path / "cache", io.StringIO()) as worker:
        asyncio.run(worker.run(call))
        assert worker.needs.memory_step == call.label
        assert worker.needs.memory.memory_bytes > MEGABYTE
        worker.needs = Needs()
        asyncio.run(worker.run(call))
        assert worker.needs == Needs()  # remembered


def test_the_paper_shows_what_the_run_took_where_that_is_known():
    found = fake.data("tiny")
    assert "Added to the cache" not in tables.environment(found)._repr_markdown_()
    kept = Needs()
    kept.note("gpt2|xl: latency", Peak(13_500_000_000))
    described = found.environment | {"needs": kept.described(42_100_000_000, 1.0)}
    shown = tables.environment(Data(found.tables, described))._repr_markdown_()
    for part in ("Peak memory", "13.5 GB in gpt2", "Added to the cache", "42.1 GB"):
        assert part in shown
    assert "GPU memory" not in shown


# ---------------------------------------------------------------- what a rehearsal works on


@pytest.mark.parametrize("size", [8, 200])
@pytest.mark.parametrize("where", ["fine_tuning", "model", "recovery", "gradual"])
def test_a_rehearsal_has_a_whole_batch_of_every_training(where, size):
    own = {"name": "own", "family": "encoder-only", "source": "hub", "id": "org/own"}
    model = own | {"tasks": ["sst2"], "fine_tune": ["sst2"]}
    batch = {"batch_size": size}
    more = {
        "fine_tuning": {"fine_tuning": batch},
        "recovery": {"training": batch},
        "gradual": {"gradual": batch},
    }.get(where, {})
    if where == "model":
        model |= {"fine_tuning": batch}
    elif where != "fine_tuning":
        recovery = {"tasks": ["sst2"], "sparsities": [0.5], **more}
        more = {"protocols": ["one-shot", "fine-tuned"], "recovery": recovery}
    chosen = study.Study(**studies.tree(models=[model], examples={}, **more), name="x")
    assert data_calls.rehearsed_count(chosen) == max(64, size)


def test_published_scores_do_not_stand_beside_those_on_own_files(tmp_path):
    model = {"name": "gpt2", "family": "decoder-only", "source": "hub"}
    model |= {"id": "openai-community/gpt2", "tasks": ["wikitext2"]}
    known = studies.tree(models=[model], examples={})
    own = known | {"data": {"wikitext2": {"test": str(tmp_path / "own.txt")}}}
    for tree, expected in ((known, True), (own, False)):
        found = rows._published(study.Study(**tree, name="x"), "wikitext2", task("wikitext2"))
        assert bool(found) == expected
