"""Answers to examples: batches change none of them, and each form's are a plain loop's."""

import functools
from dataclasses import replace

import architectures
import mini
import pytest
import torch
import transformers
from hypothesis import given
from hypothesis import strategies as st

from analysis.calibration.batches import calibration_batches
from analysis.errors import RunError
from analysis.models.encoding import IGNORED, padded, positions
from analysis.scoring.batches import Halving, by_length, rows_that_fit
from analysis.scoring.likelihood import windows
from analysis.scoring.predict import predict, prepare, tokens_per_word
from analysis.tasks import Task

WORDS = mini.tokenizer("GPT2").convert_ids_to_tokens(range(10, 20))
words = st.lists(st.sampled_from(WORDS), max_size=12)
texts = st.lists(words.map(" ".join), min_size=1, max_size=12)

PLAIN = Task(title="a task", measures="", form="", inputs=("text",), target=None, metrics=())
ONE = replace(PLAIN, form="classification", target="label")
PAIR = replace(ONE, inputs=("text", "other"))
CAUSAL = replace(PLAIN, form="causal")
CLOZE = replace(PLAIN, form="cloze", target="last")
WRITTEN = replace(PLAIN, form="text-to-text", target="other", max_new_tokens=5)
CASES = {  # class, architecture, task
    "bert": ("BertForSequenceClassification", "Bert", PAIR),
    "roberta": ("RobertaForSequenceClassification", "Roberta", ONE),
    "deberta": ("DebertaV2ForSequenceClassification", "DebertaV2", PAIR),
    "gpt2-classifier": ("GPT2ForSequenceClassification", "GPT2", PAIR),
    "bart-classifier": ("BartForSequenceClassification", "Bart", PAIR),
    "t5-classifier": ("T5ForSequenceClassification", "T5", ONE),
    "gpt2": ("GPT2LMHeadModel", "GPT2", CAUSAL),
    "llama": ("LlamaForCausalLM", "Llama", CAUSAL),
    "cloze": ("GPT2LMHeadModel", "GPT2", CLOZE),
    "bart": ("BartForConditionalGeneration", "Bart", WRITTEN),
    "t5": ("T5ForConditionalGeneration", "T5", WRITTEN),
    "pegasus": ("PegasusForConditionalGeneration", "Pegasus", WRITTEN),
    "m2m100": ("M2M100ForConditionalGeneration", "M2M100", replace(WRITTEN, beams=3)),
}
SEED = 4  # one with which every model tells examples apart
every_case = pytest.mark.parametrize("case", CASES)


pytestmark = pytest.mark.usefixtures("one_thread")


@functools.cache
def opened(case):
    """A model whose weights are large enough that each of them tells in its answers."""
    name, architecture, task = CASES[case]
    model_class = getattr(transformers, name)
    sizes = architectures.SMALL | {"decoder_start_token_id": 2, "num_labels": 12}
    config = model_class.config_class(**sizes | architectures.ARCHITECTURES[architecture][1])
    config.pad_token_id = 0
    torch.manual_seed(SEED)
    model = model_class(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.3)
    tokenizer = mini.tokenizer("GPT2" if task.form in ("causal", "cloze") else architecture)
    return model, tokenizer, task


def examples_of(count, longest=7, seed=0):
    generator = torch.Generator().manual_seed(seed)
    lengths = torch.randint(1, longest + 1, (count,), generator=generator).tolist()
    drawn = [[WORDS[i] for i in torch.randint(10, (n,), generator=generator)] for n in lengths]
    return [
        {"text": " ".join(one), "other": " ".join(other), "label": len(one) % 2, "last": other[0]}
        for one, other in zip(drawn, drawn[1:] + drawn[:1], strict=True)
    ]


def answers(case, examples, batch_size=4, task=None):
    model, tokenizer, own = opened(case)
    inputs = prepare(model, tokenizer, task or own, examples, batch_size)
    return predict(model, tokenizer, task or own, inputs)


# ---------------------------------------------------------------- batches


@every_case
def test_answers_are_those_of_each_example_alone(case):
    examples = examples_of(24)
    alone = [answer for example in examples for answer in answers(case, [example], 1)]
    for batch_size in (1, 5, 64, "auto"):
        found = answers(case, examples, batch_size)
        assert found == (
            [pytest.approx(a, abs=1e-4) for a in alone] if case in ("gpt2", "llama") else alone
        )
    if case != "cloze":
        assert len(set(alone)) > 1


@given(st.lists(st.integers(1, 40), max_size=30), st.integers(1, 7))
def test_every_row_is_in_one_batch_with_rows_about_as_long(lengths, size):
    batches = by_length(lengths, lambda _: size)
    order = [i for batch in batches for i in batch]
    assert order == sorted(range(len(lengths)), key=lambda i: -lengths[i])
    assert all(0 < len(batch) <= size for batch in batches)
    assert all(len(batch) == size for batch in batches[:-1])


@given(st.lists(st.integers(1, 40), min_size=1, max_size=30))
def test_batches_grow_as_rows_shorten(lengths):
    batches = by_length(lengths, lambda tokens: max(1, 60 // tokens))
    assert sorted(i for batch in batches for i in batch) == list(range(len(lengths)))
    for batch in batches:
        assert len(batch) == 1 or len(batch) * max(lengths[i] for i in batch) <= 60


@given(texts, st.integers(1, 7))
def test_equal_examples_are_read_once_and_answered_each(drawn, batch_size):
    model, tokenizer, task = opened("bert")
    examples = [{"text": text, "other": WORDS[0], "label": 0} for text in drawn]
    inputs = prepare(model, tokenizer, task, examples, batch_size)
    assert len(inputs.read.rows) == len(set(drawn))
    rows = [inputs.read.rows[place]["input_ids"] for place in inputs.read.places]
    assert rows == [
        tokenizer(t, WORDS[0], truncation=True, max_length=20)["input_ids"] for t in drawn
    ]
    assert len(predict(model, tokenizer, task, inputs)) == len(drawn)


@given(st.lists(st.lists(st.integers(5, 50), min_size=1, max_size=9), min_size=1, max_size=5))
def test_padding_is_on_the_right_and_masked(rows):
    batch = padded(opened("gpt2")[1], [{"input_ids": r, "labels": r} for r in rows])
    for ids, labels, mask, row in zip(
        *(batch[name].tolist() for name in ("input_ids", "labels", "attention_mask")),
        rows,
        strict=True,
    ):
        rest = max(map(len, rows)) - len(row)
        assert ids == row + [0] * rest
        assert labels == row + [IGNORED] * rest
        assert mask == [1] * len(row) + [0] * rest


@every_case
def test_more_memory_takes_more_rows_and_none_takes_one(case):
    model, _, task = opened(case)
    weights = sum(weight.nbytes for weight in model.parameters())
    assert rows_that_fit(model, task, 0)(20) == 1
    counts = [rows_that_fit(model, task, weights + extra)(20) for extra in (10**5, 10**6, 10**10)]
    assert counts == sorted(counts)
    assert counts[-1] > counts[0] >= 1
    longer = [rows_that_fit(model, task, weights + 10**6)(tokens) for tokens in (5, 50, 500)]
    assert longer == sorted(longer, reverse=True)


def test_a_batch_that_does_not_fit_is_halved_until_it_does():
    tried = []

    def answer(chosen):
        tried.append(len(chosen))
        if len(chosen) > 3:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory")
        return [-i for i in chosen]

    halving = Halving(answer)
    assert halving(list(range(10))) == [-i for i in range(10)]
    assert tried == [10, 5, 3, 2, 5, 3, 2]
    tried.clear()
    assert halving([7, 8, 9, 10]) == [-7, -8, -9, -10]
    assert tried == [3, 1]  # it is remembered what fits


def test_an_example_that_does_not_fit_alone_is_an_error_of_one_line():
    def answer(chosen):
        raise torch.cuda.OutOfMemoryError("CUDA out of memory")

    with pytest.raises(RunError, match="one example alone") as caught:
        Halving(answer)([0, 1, 2])
    assert "\n" not in str(caught.value)


# ---------------------------------------------------------------- limits


@pytest.mark.parametrize(
    ("case", "most"), [("bert", 20), ("roberta", 19), ("gpt2", 20), ("bart", 20), ("t5", None)]
)
def test_a_model_reads_as_many_tokens_as_it_has_positions_for(case, most):
    model, tokenizer, _ = opened(case)
    assert positions(model, tokenizer) == most


@every_case
def test_texts_longer_than_the_model_are_answered(case):
    examples = examples_of(4, longest=70)
    assert max(len(example["text"].split()) for example in examples) > 20
    assert len(answers(case, examples)) == 4


@pytest.mark.parametrize("batch_size", [1, 3, "auto"])
@every_case
def test_empty_texts_are_answered_too(case, batch_size):
    empty = {"text": "", "other": "", "label": 0, "last": WORDS[0]}
    task = replace(opened(case)[2], inputs=("text",))
    first, _, last = answers(case, [empty, *examples_of(1), empty], batch_size, task)
    assert first == pytest.approx(last) if case in ("gpt2", "llama") else first == last


def test_inputs_are_cut_at_the_tasks_own_limit():
    model, tokenizer, task = opened("bert")
    inputs = prepare(model, tokenizer, replace(task, max_tokens=9), examples_of(8), 4)
    assert max(len(row["input_ids"]) for row in inputs.read.rows) == 9


# ---------------------------------------------------------------- causal


@given(st.integers(2, 60), st.integers(2, 20))
def test_windows_score_each_token_once_and_after_half_a_window(length, size):
    ids = list(range(100, 100 + length))
    rows = list(windows(ids, size))
    scored = []
    for row in rows:
        assert len(row["input_ids"]) == len(row["labels"]) <= size
        for i, label in enumerate(row["labels"]):
            if i and label != IGNORED:
                assert label == row["input_ids"][i]
                scored.append(label)
                seen = row["input_ids"][:i]
                assert len(seen) >= min(size // 2, label - 100)
                assert seen == ids[label - 100 - i : label - 100]
    assert scored == ids[1:]
    assert (len(rows) == 1) == (length <= size)


@pytest.mark.parametrize("case", ["gpt2", "llama"])
@pytest.mark.parametrize("length", [1, 17, 18, 19, 20, 28, 29, 75])
def test_log_likelihoods_are_those_of_a_plain_loop(case, length):
    model, tokenizer, _ = opened(case)
    text = " ".join(WORDS[i * i % 10] for i in range(length))
    ids = [tokenizer.bos_token_id, *tokenizer(text)["input_ids"], tokenizer.eos_token_id]
    total = 0.0
    for i in range(1, len(ids)):
        start = 0 if i < 20 else (i - 20) // 10 * 10 + 10  # 20 positions, windows 10 apart
        with torch.inference_mode():
            logits = model(torch.tensor([ids[start:i]])).logits[0, -1]
        total += float(logits.double().log_softmax(-1)[ids[i]])
    others = [{"text": " ".join(WORDS[:2])}, {"text": " ".join(WORDS[:5])}]
    found = answers(case, [{"text": text}, *others], 2)
    assert found[0] == pytest.approx(total, abs=1e-4)


def test_a_text_of_no_words_is_still_begun_and_ended():
    (found,) = answers("gpt2", [{"text": ""}])
    assert found < 0


# ---------------------------------------------------------------- cloze


def test_a_last_word_is_foreseen_if_greedy_writing_has_it():
    model, tokenizer, _ = opened("cloze")
    examples = []
    for example in examples_of(12):
        ids = [tokenizer.bos_token_id, *tokenizer(example["text"])["input_ids"]]
        with torch.inference_mode():
            best = model(torch.tensor([ids])).logits[0, -1].argsort(descending=True)[:2].tolist()
        for rank, token in enumerate(best):
            if token > 4:  # a word, not a special token
                examples.append((example | {"last": tokenizer.decode([token])}, rank == 0))
    found = answers("cloze", [example for example, _ in examples])
    assert found == [int(foreseen) for _, foreseen in examples]
    assert 0 < sum(found) < len(found)


def test_what_cloze_is_held_against_is_that_it_was_foreseen():
    model, tokenizer, task = opened("cloze")
    assert prepare(model, tokenizer, task, examples_of(3), 2).expected == [1, 1, 1]


def test_of_a_text_too_long_its_end_decides():
    model, tokenizer, task = opened("cloze")
    long = {"text": " ".join(WORDS * 5), "last": WORDS[3]}
    (row,) = prepare(model, tokenizer, task, [long], 1).read.rows
    assert len(row["input_ids"]) == 20
    assert tokenizer.decode(row["input_ids"]).split() == [*WORDS[1:], *WORDS, WORDS[3]]
    assert row["labels"][:-1] == [IGNORED] * 19


def test_calibration_reads_cloze_texts_as_causal_ones():
    model, tokenizer, _ = opened("cloze")
    texts = [{"text": " ".join(WORDS[: 2 + i])} for i in range(3)]
    one, other = (
        calibration_batches(model, tokenizer, form, texts, 20) for form in ("causal", "cloze")
    )
    assert [b["input_ids"].tolist() for b in one] == [b["input_ids"].tolist() for b in other]


# ---------------------------------------------------------------- tokens


def test_tokens_per_word_counts_no_framing():
    examples = [{"text": "the film", "label": 0}, {"text": "the", "label": 1}]
    assert tokens_per_word(opened("bert")[1], ONE, examples) == 1.0
    assert tokens_per_word(opened("bert")[1], ONE, [{"text": ""}]) == 0.0
