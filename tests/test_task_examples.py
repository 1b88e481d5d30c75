"""Examples to be trained on, to decide by, and to stand in for a real task's."""

import json
import string

import pytest
from calibrations import refused
from hypothesis import given
from hypothesis import strategies as st

from analysis import language, tasks
from analysis.errors import RunError
from analysis.experiments import contract
from analysis.experiments import examples as experiment_examples
from analysis.experiments.examples import Data
from analysis.steps.examples.generated import chance, make_examples, make_validation
from analysis.steps.examples.stored import drawn, read_examples
from analysis.steps.examples.training import ALL, training_examples
from analysis.tasks.stand_ins import stand_ins

SEED = contract.OTHER_EXAMPLES
UNIQUE = st.lists(st.integers(), unique=True, max_size=30)
TEXTS = [{"first": f"sentence {number}", "label": number % 2} for number in range(20)]
TRAINED_ON = {"causal": {"text"}, "masked": {"text"}}  # form -> fields of an example
TRAINED_ON |= {"classification": {"first", "second", "label"}}
TRAINED_ON |= {"text-to-text": {"source", "target", "languages"}}


def put(objects, examples):
    return objects.put_bytes("".join(json.dumps(one) + "\n" for one in examples).encode())


def inputs_of(objects, name, record):
    found = read_examples(objects, record["data"]["object"])
    return [tuple(example[field] for field in tasks.task(name).inputs) for example in found]


def test_training_examples_are_what_was_read_all_in_order_or_some_by_the_seed(objects):
    stored = put(objects, TEXTS)
    for count in (ALL, 20, 10**9):
        assert training_examples(objects, "sst2", stored, count, 3) == ("classification", TEXTS)
    _, once = training_examples(objects, "sst2", stored, 7, 3)
    again, other = (training_examples(objects, "sst2", stored, 7, seed)[1] for seed in (3, 4))
    assert (len(once), once == again, once == other) == (7, True, False)
    # also of a task that could generate them, and of one whose form is learnt as another
    assert training_examples(objects, "sentiment", stored, 2, 0)[1][0] in TEXTS
    assert training_examples(objects, "lambada", stored, 1, 0)[0] == "causal"
    whole = {"text": "a b", "last": "c"}
    assert tasks.training_example(tasks.task("lambada"), whole) == {"text": "a b c"}


def test_the_generated_language_is_made_anew(objects):
    made = language.sentiment(5, 3, split="train")
    found = [{"first": e["sentence"], "label": e["label"]} for e in made]
    assert training_examples(objects, "sentiment", None, 5, 3) == ("classification", found)
    for name, count in [("sst2", 3), ("lambada", 3), ("sentiment", ALL)]:
        said = refused(RunError, training_examples, objects, name, None, count, 0)
        assert f"{name} has no training examples here" in said


@given(UNIQUE, st.none() | st.integers(0, 40), st.integers())
def test_drawing_keeps_order_and_takes_none_twice(examples, count, seed):
    found = drawn(examples, count, seed)
    assert len(found) == min(len(examples), len(examples) if count is None else count)
    places = [examples.index(example) for example in found]
    assert places == sorted(set(places))


def test_examples_to_decide_by_are_none_of_the_tests_and_each_but_once(objects):
    generated = [name for name in tasks.names() if tasks.task(name).generate is not None]
    for name in generated:
        count = 60 if name == "language-modelling" else 120  # texts take long to draw
        asked = {"task_name": name, "count": count, "seed": 0}
        test = make_examples(objects, **asked)
        call = experiment_examples.validation(Data(name, test, None), count)
        record = make_validation(objects, **call.arguments)
        found = inputs_of(objects, name, record)
        assert record["examples"] == len(found) == len(set(found)) == count
        assert not set(found) & set(inputs_of(objects, name, test))
        assert record == make_validation(objects, **call.arguments)
        assert (record.keys(), record["chance"].keys()) == (test.keys(), test["chance"].keys())
        if name == "sentiment":  # without the care some sentences would be in both
            other = make_examples(objects, **asked | {"seed": SEED})
            assert {*inputs_of(objects, name, test)} & {*inputs_of(objects, name, other)}


def test_of_a_sorted_file_they_are_drawn_from_training_and_none_is_of_the_test(objects):
    def sentences(letters, *more):  # the labels come in order
        found = [{"sentence": letter, "label": int(letter > "m")} for letter in letters]
        return put(objects, [*found, *more])

    def validation(count, seed=SEED):
        training = sentences(string.ascii_lowercase, {"sentence": "a", "label": 0})
        given = {"test": sentences("bdz"), "training": training}
        return make_validation(objects, task_name="sst2", count=count, seed=seed, **given)

    record = validation(12)
    found = [sentence for (sentence,) in inputs_of(objects, "sst2", record)]
    assert record["examples"] == len(set(found)) == 12
    assert set(found) <= set(string.ascii_lowercase) - set("bdz")
    assert {e["label"] for e in read_examples(objects, record["data"]["object"])} == {0, 1}
    assert record == validation(12) != validation(12, SEED + 1)
    assert validation(23)["examples"] == 23
    with pytest.raises(RunError, match="only 23 validation examples are none of the test's"):
        validation(24)


@pytest.mark.parametrize("name", tasks.names())
def test_stand_ins_have_the_fields_and_about_the_length_of_a_tasks_examples(name):
    task = tasks.task(name)
    found, most = stand_ins(task, 6, 0), task.max_tokens / 1.5
    targets = [example[task.target] for example in found if task.target]
    if task.is_classification:
        most = min(most, 30 * len(task.inputs))
        assert set(targets) == {0, 1}
    else:  # the first is as long as the task reads
        words = {len(found[0][field].split()) for field in task.inputs}
        assert words == {round(most / len(task.inputs))}
        assert all(text.strip() for text in targets)
    if task.form == "cloze":
        assert all(len(last.split()) == 1 for last in targets)
    fields = TRAINED_ON[tasks.training_form(task)] - (set() if task.languages else {"languages"})
    for example in found:
        assert set(example) == {*task.inputs, *filter(None, [task.target])}
        assert all(example[field].strip() for field in task.inputs)
        words = sum(len(example[field].split()) for field in task.inputs)
        assert most / 3 <= words <= most + len(task.inputs)
        trained_on = tasks.training_example(task, example)
        assert ("label_word" in trained_on) == bool(task.classes)
        trained_on.pop("label_word", None)
        assert trained_on.keys() == fields - (set() if len(task.inputs) > 1 else {"second"})
    assert stand_ins(task, 6, 0) == found
    others = stand_ins(task, 6, 1)  # training is not the test
    assert not {e[task.inputs[0]] for e in found} & {e[task.inputs[0]] for e in others}


def test_of_last_words_the_commonest_is_chance():
    examples = [{"text": "it ends in", "last": word} for word in "abcaa"]
    assert chance(tasks.task("lambada"), examples) == {"accuracy": 3 / 5}
