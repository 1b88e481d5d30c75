"""The sections on what saves bytes and time: alternatives, formats and what is timed."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analysis import study
from analysis.models.catalogue import MAX_TOKENS
from analysis.storage import layouts
from analysis.storage.formats import FORMATS
from studies import LANGUAGE, everything, refused_saying, to_file, tree


def saving(section, **changes):
    """A study with everything, one of its sections changed key by key."""
    return everything(**{section: changes})


def writing(**runtime):
    """A study of a model that writes, timed so."""
    return everything(**LANGUAGE, runtime={"operations": ["generate"], "masked_at": None} | runtime)


# ---------------------------------------------------------------- what is right


def test_alternatives_have_defaults_but_for_their_tasks(tmp_path):
    loaded = study.load(to_file(tmp_path, tree(alternatives={"tasks": ["sentiment"]})))
    assert loaded.alternatives.kinds == ("int8", "student", "moe")
    assert loaded.alternatives.student.examples > 0
    assert max(loaded.alternatives.run) <= loaded.alternatives.experts


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_beside_dense_may_be_asked_for(tmp_path, name):
    asked = ["dense"] if name == "dense" else [name, "dense"]
    assert study.load(to_file(tmp_path, tree(formats=asked))).formats == tuple(asked)


def test_the_formats_of_studies_are_those_that_can_be_written():
    assert set(FORMATS) == set(layouts.FORMATS)


@pytest.mark.parametrize(
    "content",
    [
        saving("alternatives", kinds=["moe"], experts=2, run=[2, 1]),
        saving("alternatives", kinds=["student"], student={"examples": 1, "epochs": 0.1}),
        saving("runtime", task=None),
        saving("runtime", operations=["train_step"], masked_at=0.5),
        saving("runtime", replica="bert-base"),
        writing(),
        writing(tokens=MAX_TOKENS - 4, new_tokens=4),
        writing(operations=["generate", "forward"], task="sentiment"),
        saving("runtime", tokens=MAX_TOKENS, new_tokens=MAX_TOKENS),  # nothing is written
    ],
)
def test_parts_may_be_left_out_or_changed(tmp_path, content):
    study.load(to_file(tmp_path, content))


@given(tokens=st.integers(1, MAX_TOKENS), new=st.integers(1, MAX_TOKENS))
def test_what_is_written_has_a_place_in_every_model(tokens, new):
    tree = writing(tokens=tokens, new_tokens=new)
    if tokens + new <= MAX_TOKENS:
        assert study.Study(**tree, name="x").runtime.new_tokens == new
    else:
        with pytest.raises(ValueError, match=r"runtime\.new_tokens"):
            study.Study(**tree, name="x")


@given(
    experts=st.integers(2, 32),
    run=st.lists(st.integers(1, 40), min_size=1, max_size=4, unique=True),
)
def test_no_more_experts_run_than_there_are(experts, run):
    tree = saving("alternatives", experts=experts, run=run)
    if max(run) <= experts:
        assert study.Study(**tree, name="x").alternatives.run == tuple(run)
    else:
        with pytest.raises(ValueError, match=r"alternatives\.run"):
            study.Study(**tree, name="x")


# ---------------------------------------------------------------- which key is wrong

WRONG = {
    "unknown key of alternatives": (
        saving("alternatives", expert=4),
        ["alternatives", "'expert'", "Did you mean 'experts'?"],
    ),
    "alternatives without tasks": (
        saving("alternatives", tasks=None),
        ["alternatives.tasks", "missing"],
    ),
    "alternatives of no task": (saving("alternatives", tasks=[]), ["alternatives.tasks"]),
    "alternatives of a task of no model": (
        saving("alternatives", tasks=["paraphrase"]),
        ["alternatives.tasks", "'paraphrase'", "Allowed: sentiment."],
    ),
    "alternatives of a task twice": (
        saving("alternatives", tasks=["sentiment"] * 2),
        ["alternatives.tasks", "stands twice"],
    ),
    "alternatives of what is not fine-tuned": (
        everything(**LANGUAGE, alternatives={"tasks": ["language-modelling"]}),
        ["alternatives.tasks", "tiny-gpt2 is not fine-tuned for language-modelling"],
    ),
    "alternatives are a word": (everything(alternatives="int8"), ["alternatives", "'int8'"]),
    "unknown kind": (
        saving("alternatives", kinds=["int8", "int4"]),
        ["alternatives.kinds.1", "'int4'", "'int8', 'student' or 'moe'"],
    ),
    "no kind": (saving("alternatives", kinds=[]), ["alternatives.kinds"]),
    "kind twice": (
        saving("alternatives", kinds=["moe", "moe"]),
        ["alternatives.kinds", "'moe' stands twice"],
    ),
    "one expert": (saving("alternatives", experts=1), ["alternatives.experts", "got 1"]),
    "half an expert": (saving("alternatives", experts=2.5), ["alternatives.experts", "2.5"]),
    "experts as a word": (saving("alternatives", experts="8"), ["alternatives.experts", "'8'"]),
    "no expert runs": (saving("alternatives", run=[0]), ["alternatives.run.0", "got 0"]),
    "nothing is run": (saving("alternatives", run=[]), ["alternatives.run"]),
    "more experts run than there are": (
        saving("alternatives", run=[9]),
        ["alternatives.run: 9 of 8 experts", "at most"],
    ),
    "as many experts twice": (
        saving("alternatives", run=[4, 4]),
        ["alternatives.run", "4 stands twice"],
    ),
    **{
        f"student with {key} {value}": (
            saving("alternatives", student={key: value}),
            [f"alternatives.student.{key}", f"got {value}"],
        )
        for key, value in (
            *(("examples", 0), ("epochs", 0), ("epochs", float("inf")), ("learning_rate", 2)),
            *(("batch_size", 0), ("batch_size", 1.5)),
        )
    },
    "unknown operation": (
        saving("runtime", operations=["forward", "train"]),
        ["runtime.operations.1", "'train'", "'train_step'"],
    ),
    "no operation": (saving("runtime", operations=[]), ["runtime.operations"]),
    "operation twice": (
        saving("runtime", operations=["train_step", "train_step"]),
        ["runtime.operations", "stands twice"],
    ),
    "timed task of no model": (
        saving("runtime", task="paraphrase"),
        ["runtime.task", "'paraphrase'", "Allowed: sentiment."],
    ),
    "timed task is none at all": (
        saving("runtime", task="sentimnt"),
        ["runtime.task", "'sentimnt'", "Did you mean 'sentiment'?"],
    ),
    "training step without a level": (
        saving("runtime", masked_at=None),
        ["runtime.masked_at", "train_step", "only then"],
    ),
    "level without a training step": (
        saving("runtime", operations=["forward"]),
        ["runtime.masked_at", "train_step", "only then"],
    ),
    "training step at another level": (
        saving("runtime", masked_at=0.8),
        ["runtime.masked_at", "0.8 is not among", "add it"],
    ),
    "training step at a level in per cent": (
        saving("runtime", masked_at=90),
        ["runtime.masked_at", "got 90"],
    ),
    "nothing writes": (
        saving("runtime", operations=["generate"], masked_at=None),
        ["runtime.operations", "no task of the study writes", "leave out generate"],
    ),
    "no new tokens": (writing(new_tokens=0), ["runtime.new_tokens", "got 0"]),
    "more new tokens than models have": (
        writing(new_tokens=MAX_TOKENS + 1),
        [f"runtime.new_tokens: {MAX_TOKENS + 1} after", f"tiny-gpt2 takes {MAX_TOKENS}"],
    ),
    "text and new tokens together are too many": (
        writing(tokens=60, new_tokens=37),
        ["runtime.new_tokens: 37 after 60 are 97 tokens", "tiny-gpt2 takes 96", "ask for fewer"],
    ),
    "unknown replica": (
        saving("runtime", replica="bert-large"),
        ["runtime.replica", "'bert-large'", "'bert-base'"],
    ),
    "format twice": (
        tree(formats=["dense", "auto", "auto"]),
        ["formats", "'auto' stands twice"],
    ),
    "format mistyped": (
        tree(formats=["dense", "bitmsk"]),
        ["formats:", "'bitmsk'", "Did you mean 'bitmask'?"],
    ),
    "formats that are all sparse": (
        tree(formats=["bitmask", "csr16"]),
        ["formats:", "must contain 'dense'"],
    ),
    "no format": (tree(formats=[]), ["formats"]),
    "format is a number": (tree(formats=["dense", 16]), ["formats.1", "got 16"]),
}


@pytest.mark.parametrize(("content", "says"), WRONG.values(), ids=WRONG.keys())
def test_a_wrong_key_is_named_in_one_line(tmp_path, content, says):
    refused_saying(to_file(tmp_path, content), says)
