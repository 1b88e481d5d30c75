"""Stand-ins for a task's examples have its fields and about its length, and are the same again."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis import tasks
from analysis.tasks.stand_ins import stand_ins

FIELDS = {"first", "second", "label", "source", "target", "text", "languages"}
every_task = pytest.mark.parametrize("name", tasks.names())


@every_task
def test_they_have_the_fields_that_an_example_of_the_task_has(name):
    task = tasks.task(name)
    for example in stand_ins(task, 5, 0):
        assert set(example) == {*task.inputs, *((task.target,) if task.target else ())}
        for field in task.inputs:
            assert example[field].strip()


@every_task
def test_labels_are_of_both_kinds_and_targets_are_written(name):
    task = tasks.task(name)
    found = [example[task.target] for example in stand_ins(task, 6, 0) if task.target]
    if task.is_classification:
        assert set(found) == {0, 1}
    elif task.form == "cloze":
        assert all(len(last.split()) == 1 for last in found)
    else:
        assert all(isinstance(text, str) and text.strip() for text in found)


@every_task
def test_they_can_be_trained_on_and_referred_to(name):
    task = tasks.task(name)
    examples = stand_ins(task, 4, 0)
    assert len(tasks.references(task, examples)) == 4
    for example in examples:
        trained_on = tasks.training_example(task, example)
        assert trained_on
        assert set(trained_on) <= FIELDS


@settings(max_examples=20)
@given(name=st.sampled_from(tasks.names()), count=st.integers(0, 12), seed=st.integers(0, 2**32))
def test_so_many_as_are_asked_for_and_the_same_again(name, count, seed):
    task = tasks.task(name)
    found = stand_ins(task, count, seed)
    assert len(found) == count
    assert found == stand_ins(task, count, seed)


@every_task
def test_inputs_are_sentences_to_be_labelled_or_as_long_as_the_task_reads(name):
    task = tasks.task(name)
    most = task.max_tokens / 1.5
    if task.is_classification:
        most = min(most, 30 * len(task.inputs))
    for example in stand_ins(task, 6, 0):
        words = sum(len(example[field].split()) for field in task.inputs)
        assert most / 3 <= words <= most + len(task.inputs)


@every_task
def test_the_first_that_is_not_labelled_is_as_long_as_the_task_reads(name):
    task = tasks.task(name)
    first, *_ = stand_ins(task, 2, 1)
    words = {len(first[field].split()) for field in task.inputs}
    if not task.is_classification:
        assert words == {round(task.max_tokens / 1.5 / len(task.inputs))}


def test_another_seed_is_another_text_so_training_is_not_the_test():
    task = tasks.task("sst2")
    one, other = ({e["sentence"] for e in stand_ins(task, 8, seed)} for seed in (0, 1))
    assert not one & other
