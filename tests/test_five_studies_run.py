"""Each of the five studies from end to end, on toys of its models: every model, every benchmark."""

import io

import pytest
import rehearsals
from rehearsals import FIVE

from analysis import tasks


@pytest.fixture(scope="module")
def worker(tmp_path_factory):
    """One runner and cache for all of them: some have models in common."""
    cache = tmp_path_factory.mktemp("five") / "cache"
    with rehearsals.started(cache, io.StringIO()) as running:
        yield running


@pytest.fixture(scope="module", params=FIVE)
def finished(request, worker, tmp_path_factory):
    """A study, cut down to one level of one method and rehearsed, and the tables of its run."""
    chosen = rehearsals.loaded(tmp_path_factory.mktemp("study"), rehearsals.cut(request.param))
    return chosen, rehearsals.run(chosen, worker)


def test_nothing_fails(finished):
    _, tables = finished
    assert tables["failures"].to_dict("records") == []
    assert set(tables["variants"]["status"]) == {"ok"}


def test_every_benchmark_of_every_model_has_scores_at_each_level(finished):
    chosen, tables = finished
    merged = tables["quality"].merge(tables["variants"], on="variant", suffixes=("", "_variant"))
    fields = ["model", "task", "protocol_variant", "sparsity", "metric"]
    found = {*merged[fields].itertuples(index=False, name=None)}
    protocols = [("", 0.0), *((protocol, 0.5) for protocol in chosen.protocols)]
    expected = {
        (model.name, task, *protocol, metric)
        for model in chosen.models for task in model.tasks
        for protocol in protocols for metric in tasks.task(task).metrics
    }  # fmt: skip
    assert found == expected
    assert merged["examples"].gt(0).all()


def test_every_model_has_a_profile_and_histograms(finished):
    chosen, tables = finished
    names = [model.name for model in chosen.models]
    for table in ("models", "profile", "profile_scopes"):
        assert list(dict.fromkeys(tables[table]["model"])) == names
    assert {variant.split("/")[0] for variant in tables["histogram"]["variant"]} == set(names)
    assert set(tables["models"]["source"]) == {"replica"}


def test_every_model_is_timed_and_every_variant_stored(finished):
    chosen, tables = finished
    timed = {variant.split("/")[0] for variant in tables["runtime"]["variant"]}
    assert timed == {model.name for model in chosen.models}
    assert set(tables["size"]["variant"]) == set(tables["variants"]["variant"])


def test_levels_are_reached(finished):
    _, tables = finished
    pruned = tables["variants"][tables["variants"]["kind"] == "pruned"]
    assert pruned["achieved"].astype(float).to_numpy() == pytest.approx(0.5, abs=1e-3)


def test_masks_are_kept_in_training(finished):
    chosen, tables = finished
    recovery = tables["recovery"]
    if chosen.recovery is None:
        assert recovery.empty
        return
    kept = recovery[recovery["masks_kept"].astype(bool)]
    assert (kept["zeros"] >= kept["removed"]).all()
    assert (len(kept), len(recovery)) == (6, 7)  # once without masks


def test_published_scores_are_those_of_its_models(finished):
    chosen, tables = finished
    ids = {model.name: model.id for model in chosen.models}
    for row in tables["published"].itertuples():
        known = tasks.task(row.task).published[ids[row.model]][row.metric]
        assert (row.value, row.source) == (known.value, known.source)
    of = [(tasks.task(task), model.id) for model in chosen.models for task in model.tasks]
    assert len(tables["published"]) == sum(len(task.published.get(id_, {})) for task, id_ in of)
