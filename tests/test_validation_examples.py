"""Examples to decide by: drawn as the test examples are, and none of them."""

import json
import string

import pytest

from analysis import calls, data_calls, study, tasks
from analysis.data_calls import Data
from analysis.errors import RunError
from analysis.objects import Objects
from analysis.steps.examples import make_examples, make_validation
from analysis.steps.stored_examples import read_examples

SEED = calls.OTHER_EXAMPLES
GENERATED = [name for name in tasks.names() if tasks.task(name).generate is not None]


@pytest.fixture
def objects(tmp_path):
    return Objects(tmp_path)


def inputs(objects, name, record):
    found = read_examples(objects, record["data"]["object"])
    return [tuple(example[field] for field in tasks.task(name).inputs) for example in found]


@pytest.mark.parametrize("name", GENERATED)
@pytest.mark.parametrize(("of_test", "count"), [(12, 8), (300, 200)])
def test_they_are_as_many_as_asked_none_of_the_tests_and_each_but_once(
    objects, name, of_test, count
):
    if name == "language-modelling" and count > 100:
        of_test, count = 60, 60  # texts take long to draw
    test = make_examples(objects, task_name=name, count=of_test, seed=0)
    drawn = {"task_name": name, "count": count, "seed": SEED, "test": test["data"]["object"]}
    drawn["training"] = None
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
        test = make_examples(objects, **data_calls.test_examples(tiny, name).arguments)
        call = data_calls.validation(Data(name, test, None), tiny.sensitivity.examples)
        record = make_validation(objects, **call.arguments)
        assert record["examples"] == tiny.sensitivity.examples
        assert not set(inputs(objects, name, test)) & set(inputs(objects, name, record))


def sentences(objects, words, *more):
    """The object of examples of these one-word sentences, labelled so that they come in order."""
    found = [{"sentence": word, "label": int(word > "m")} for word in sorted(words)]
    return objects.put_bytes("".join(json.dumps(e) + "\n" for e in [*found, *more]).encode())


def read_validation(objects, count, seed=SEED):
    """What is taken of a file sorted by its labels, of which a part is in the test, too."""
    return make_validation(
        objects,
        task_name="sst2",
        count=count,
        seed=seed,
        test=sentences(objects, "bdz"),
        training=sentences(objects, string.ascii_lowercase, {"sentence": "a", "label": 0}),
    )


def test_of_data_that_is_read_they_are_drawn_from_training_and_none_is_of_the_test(objects):
    record = read_validation(objects, 12)
    found = [sentence for (sentence,) in inputs(objects, "sst2", record)]
    assert record["examples"] == len(set(found)) == 12
    assert set(found) <= set(string.ascii_lowercase) - set("bdz")
    assert record == read_validation(objects, 12)
    assert record != read_validation(objects, 12, SEED + 1)


def test_of_a_sorted_file_they_are_not_the_beginning(objects):
    read = read_examples(objects, read_validation(objects, 12)["data"]["object"])
    assert {example["label"] for example in read} == {0, 1}


def test_more_than_training_has_are_refused_in_one_line(objects):
    assert read_validation(objects, 23)["examples"] == 23
    with pytest.raises(RunError, match="only 23 validation examples are none of the test's"):
        read_validation(objects, 24)


def test_their_key_depends_on_the_examples_of_the_test_and_of_training():
    def call(test, training):
        record = None if training is None else {"data": {"object": training}}
        return data_calls.validation(Data("sentiment", {"data": {"object": test}}, record), 8)

    made = [call(test, training) for test in "ab" for training in (None, "c", "d")]
    assert len({call.key for call in made}) == len(made)
    assert all(call.carried == {} for call in made)
