"""Examples to decide by: drawn as the test examples are, and none of them."""

import pytest

from analysis import calls, study, tasks
from analysis.objects import Objects
from analysis.steps.examples import make_examples, make_validation, read_examples

SEED = calls.OTHER_EXAMPLES


@pytest.fixture
def objects(tmp_path):
    return Objects(tmp_path)


def inputs(objects, name, record):
    found = read_examples(objects, record["data"]["object"])
    return [tuple(example[field] for field in tasks.task(name).inputs) for example in found]


@pytest.mark.parametrize("name", tasks.names())
@pytest.mark.parametrize(("of_test", "count"), [(12, 8), (300, 200)])
def test_they_are_as_many_as_asked_none_of_the_tests_and_each_but_once(
    objects, name, of_test, count
):
    if name == "language-modelling" and count > 100:
        of_test, count = 60, 60  # texts take long to draw
    test = make_examples(objects, task_name=name, count=of_test, seed=0)
    drawn = {"task_name": name, "count": count, "seed": SEED, "test": test["data"]["object"]}
    record = make_validation(objects, **drawn)
    found = inputs(objects, name, record)
    assert record["examples"] == len(found) == len(set(found)) == count
    assert not set(found) & set(inputs(objects, name, test))
    assert record == make_validation(objects, **drawn)
    assert record.keys() == test.keys()
    assert record["chance"].keys() == test["chance"].keys()


def test_without_the_care_some_sentences_would_be_in_both(objects):
    test, other = (
        make_examples(objects, task_name="sentiment", count=300, seed=seed) for seed in (0, SEED)
    )
    both = set(inputs(objects, "sentiment", test)) & set(inputs(objects, "sentiment", other))
    assert both


def test_they_stay_disjoint_at_the_sizes_of_the_built_in_study(objects):
    tiny = study.load("tiny")
    for name in tiny.sensitivity.tasks:
        test = make_examples(objects, **calls.examples(tiny, name).arguments)
        call = calls.validation(tiny, name, test, tiny.sensitivity.examples)
        record = make_validation(objects, **call.arguments)
        assert record["examples"] == tiny.sensitivity.examples
        assert not set(inputs(objects, name, test)) & set(inputs(objects, name, record))


def test_their_key_depends_on_the_test_examples():
    tiny = study.load("tiny")
    one, other = (
        calls.validation(tiny, "sentiment", {"data": {"object": digest}}, 8) for digest in "ab"
    )
    assert one.arguments != other.arguments
    assert one.carried == other.carried == {}
