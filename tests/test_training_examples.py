"""Training examples come of one place: drawn from what was read, or made of the language."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analysis import language, tasks
from analysis.errors import RunError
from analysis.steps.stored_examples import drawn
from analysis.steps.training_examples import ALL, training_examples

TEXTS = [{"first": f"sentence {number}", "label": number % 2} for number in range(20)]


@pytest.fixture(scope="module")
def stored(objects):
    """The object of TEXTS, as `read_training` stores them."""
    lines = "".join(json.dumps(example) + "\n" for example in TEXTS)
    return objects.put_bytes(lines.encode())


def test_all_of_them_in_their_order(objects, stored):
    for count in (ALL, 20, 21, 10**9):
        assert training_examples(objects, "sst2", stored, count, 3) == ("classification", TEXTS)


def test_some_are_drawn_with_the_seed_and_keep_their_order(objects, stored):
    _, once = training_examples(objects, "sst2", stored, 7, 3)
    assert once == training_examples(objects, "sst2", stored, 7, 3)[1]
    assert once != training_examples(objects, "sst2", stored, 7, 4)[1]
    places = [TEXTS.index(example) for example in once]
    assert len(places) == 7
    assert places == sorted(set(places))


def test_what_is_read_takes_the_place_of_the_generated_language(objects, stored):
    assert training_examples(objects, "sentiment", stored, 2, 0)[1][0] in TEXTS


def test_the_generated_language_is_made_anew(objects):
    form, found = training_examples(objects, "sentiment", None, 5, 3)
    made = language.sentiment(5, 3, split="train")
    assert form == "classification"
    assert found == [{"first": e["sentence"], "label": e["label"]} for e in made]


@pytest.mark.parametrize(
    ("name", "form", "fields"),
    [
        ("paraphrase", "classification", {"first", "second", "label"}),
        ("language-modelling", "causal", {"text"}),
        ("headline", "text-to-text", {"source", "target"}),
    ],
)
def test_each_form_has_its_own_fields(objects, name, form, fields):
    found, examples = training_examples(objects, name, None, 3, 0)
    assert found == form
    assert all(set(example) == fields for example in examples)


def test_texts_with_a_last_word_are_learnt_from_whole(objects, stored):
    assert training_examples(objects, "lambada", stored, 1, 0)[0] == "causal"
    whole = tasks.training_example(tasks.task("lambada"), {"text": "a b", "last": "c"})
    assert whole == {"text": "a b c"}


@pytest.mark.parametrize(("name", "count"), [("sst2", 3), ("lambada", 3), ("sentiment", ALL)])
def test_without_training_examples_one_line_says_what_to_name(objects, name, count):
    with pytest.raises(RunError, match=f"{name} has no training examples here.*train") as caught:
        training_examples(objects, name, None, count, 0)
    assert "\n" not in str(caught.value)


@given(
    examples=st.lists(st.integers(), unique=True, max_size=30),
    count=st.none() | st.integers(0, 40),
    seed=st.integers(0, 2**32),
)
def test_drawing_keeps_order_and_takes_none_twice(examples, count, seed):
    found = drawn(examples, count, seed)
    assert len(found) == min(len(examples), len(examples) if count is None else count)
    places = [examples.index(example) for example in found]
    assert places == sorted(set(places))
