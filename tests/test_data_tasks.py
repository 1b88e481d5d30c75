"""The contract of tasks, over all of them: what they say, and examples from rows as they are."""

import json
from pathlib import Path

import pytest
import yaml

from analysis import tasks
from analysis.data.examples import examples_of
from analysis.replicas.replica import shapes
from analysis.scoring.metrics import score
from analysis.tasks import references, source_text, training_example, training_form

NAMES = tasks.names()
REAL = [name for name in NAMES if tasks.task(name).generate is None]
ON_HUB = [name for name in NAMES if tasks.task(name).hub]
ROWS = yaml.safe_load(Path(__file__).with_name("task_rows.yml").read_text(encoding="utf-8"))
FORMS = ("classification", "causal", "cloze", "masked", "text-to-text")


@pytest.mark.parametrize("name", NAMES)
def test_a_task_says_what_it_is_and_its_metrics_score_its_own_references(name):
    task = tasks.task(name)
    assert (bool(task.title), len(task.measures) > 20, task.form in FORMS) == (True,) * 3, task
    assert task.unit in ("word", "character")
    assert (task.target is None) == (task.form in ("causal", "masked"))
    assert set(task.best) <= set(task.metrics)
    assert min(task.max_tokens, task.max_new_tokens) > 0
    assert task.form == "text-to-text" or not (task.languages or task.label_words)
    found = task.generate(4, 0) if task.generate else examples_of(task, ROWS[name])
    expected = [1] * 2 if task.form == "cloze" else references(task, found)
    scores = score(task.metrics, expected, expected)
    assert set(scores) == set(task.metrics)
    if task.form == "cloze" or task.is_classification:
        assert all(scores[metric]["value"] == task.best[metric] for metric in task.metrics)


@pytest.mark.parametrize("name", ON_HUB)
def test_a_real_task_says_where_its_data_is_and_what_known_models_have_scored(name):
    task = tasks.task(name)
    assert task.hub.path.count("/") == 1
    assert (task.split, task.revision) == (task.hub.split, task.hub.revision)
    assert task.revision == "main" or len(task.revision) == 40
    assert task.licence != "MIT (generated)"
    assert task.hub.train != task.hub.split
    for split in filter(None, (task.hub.split, task.hub.train)):
        assert split in task.hub.source(split)["files"]
    assert set(task.hub.columns) <= set(task.row_fields)
    for model, scores in task.published.items():
        assert model in shapes()
        for metric, published in scores.items():
            assert (metric in task.metrics, len(published.source) > 10) == (True, True), metric
            low, high = (5, 100) if metric == "perplexity" else (0.05, 1)
            assert low < published.value < high


@pytest.mark.parametrize("name", REAL)
def test_rows_make_examples_that_can_be_scored_and_trained_on(name):
    task = tasks.task(name)
    found = examples_of(task, ROWS[name])
    assert found == json.loads(json.dumps(found))
    for example in found:
        assert all(isinstance(example[field], str) and example[field] for field in task.inputs)
        if task.is_classification:
            assert type(example[task.target]) is int
        trained = training_example(task, example)
        assert all(trained[key] for key in trained if key != "label"), trained
    assert len(references(task, found)) == len(found)
    assert training_form(task) in ("classification", "causal", "masked", "text-to-text")


def test_t5_is_asked_in_the_words_of_its_paper():
    sst2, mrpc = tasks.task("sst2-text"), tasks.task("mrpc-text")
    (sentence, _), (pair, same) = examples_of(sst2, ROWS["sst2"]), examples_of(mrpc, ROWS["mrpc"])
    assert source_text(sst2, sentence) == "sst2 sentence: a fine film"
    assert source_text(mrpc, pair) == "mrpc sentence1: one says so sentence2: so one says"
    given = (sst2, sentence), (mrpc, pair), (mrpc, same)
    targets = [training_example(*one)["target"] for one in given]
    assert targets == ["positive", "not_equivalent", "equivalent"]


def test_the_last_word_of_a_passage_is_set_apart():
    task = tasks.task("lambada")
    first, second = examples_of(task, ROWS["lambada"])
    assert first == {"text": "he said that he had seen the", "last": "sea"}
    assert second == {"text": "and she the", "last": "land"}
    assert training_example(task, first) == {"text": ROWS["lambada"][0]["text"]}


def test_chinese_is_counted_by_character():
    task = tasks.task("clue-text")
    found = examples_of(task, [*ROWS["clue-text"], ROWS["clue-text"][0]])
    assert references(task, found) == [7, 4]
