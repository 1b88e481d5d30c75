"""Answers are those of transformers to one text at a time without padding, whatever the batches."""

import copy
from dataclasses import replace

import architectures
import mini
import pytest
import torch
import transformers
from calibrations import refused
from hypothesis import given
from hypothesis import strategies as st
from loud_models import CASES, MASKED, READS_AT_MOST, WRITTEN, in_pieces, opened
from random_models import random_model

from analysis import tasks
from analysis.errors import RequestError, RunError
from analysis.models import encoding
from analysis.scoring.batches import Halving, by_length, rows_that_fit
from analysis.scoring.likelihood import windows
from analysis.scoring.predict import predict, prepare, protocol
from analysis.scoring.writing import NO_LABEL, label_of

pytestmark = pytest.mark.usefixtures("one_thread")

WORDS = mini.tokenizer("GPT2").convert_ids_to_tokens(range(10, 20))
OF_PIECES = ["a", "abcd", "ab", "caa", "e.", "xyz", "aab", ".", "e", "abcd."]  # of `in_pieces`
MASK = in_pieces().mask_token_id


def examples_of(lengths, lexicon=WORDS):
    """Examples whose texts have so many words."""
    chance = torch.Generator().manual_seed(0)
    drawn = [[lexicon[i] for i in torch.randint(10, (n,), generator=chance)] for n in lengths]
    return [
        {"text": " ".join(one), "other": " ".join(other), "label": n % 2, "last": lexicon[n % 10]}
        for n, (one, other) in enumerate(zip(drawn, drawn[1:] + drawn[:1], strict=True))
    ]


def answers(case, examples, batch_size=4, task=None):
    model, tokenizer, own = opened(case)
    inputs = prepare(model, tokenizer, task or own, examples, batch_size)
    return predict(model, tokenizer, task or own, inputs)


def scores_after(case, ids, place=-1):
    return opened(case)[0](torch.tensor([ids])).logits[0, place]


def label(case, example, most):
    model, tokenizer, task = opened(case)
    texts = [example[field] for field in task.inputs]
    texts = ["\n".join(texts)] if case.startswith("gpt2") else texts  # it frames no pairs
    read = tokenizer(
        *([text] for text in texts), truncation=True, max_length=most, return_tensors="pt"
    )
    if not read["input_ids"].numel():
        read = {"input_ids": torch.tensor([[0]])}
    return int(model(**read).logits.argmax())


def log_likelihood(case, example, most):
    _, tokenizer, task = opened(case)
    ids = [tokenizer.bos_token_id, *tokenizer(example["text"])["input_ids"]]
    ids += [tokenizer.eos_token_id] if task.scores_end else []
    total = 0.0
    for i in range(1, len(ids)):
        start = 0 if i < 20 else (i - 20) // 10 * 10 + 10  # 20 positions, windows 10 apart
        total += float(scores_after(case, ids[start:i]).double().log_softmax(-1)[ids[i]])
    return total


def likeliest(case, example, most):
    """The word that greedy writing goes on with."""
    _, tokenizer, _ = opened(case)
    ids = tokenizer(example["text"])["input_ids"] or [tokenizer.bos_token_id]
    return tokenizer.decode([int(scores_after(case, ids[1 - most :]).argmax())])


def foreseen(case, example, most):
    return int(likeliest(case, example, most) == example["last"])


def pseudo_log_likelihood(case, example, most):
    """A token and those to its right in its word are hidden, in parts of whole words."""
    encoded = in_pieces()(example["text"], add_special_tokens=False)
    ids, words = encoded["input_ids"], encoded.word_ids()
    start, total = 0, 0.0
    while start < len(ids):
        last = min(start + most - 2, len(ids))
        ends = [i for i in range(start + 1, last + 1) if words[i - 1] != [*words, None][i]]
        end = max(ends, default=last)
        part = range(start, end)
        for i in part:
            hidden = [MASK if j >= i and words[j] == words[i] else ids[j] for j in part]
            logits = scores_after(case, [2, *hidden, 3], i - start + 1)
            total += float(logits.double().log_softmax(-1)[ids[i]])
        start = end
    return total


def text_written(case, example, most):
    model, tokenizer, task = opened(case)
    source = tasks.source_text(task, example)
    read = tokenizer(source, truncation=True, max_length=most, return_tensors="pt")
    ids = model.generate(**read, max_new_tokens=5, do_sample=False, num_beams=task.beams)
    return tokenizer.decode(ids[0], skip_special_tokens=True).strip()


ORACLES = {  # form -> the answer of transformers themselves, and what it is held against
    "classification": (label, lambda example: example["label"]),
    "causal": (log_likelihood, lambda example: len(example["text"].split())),
    "masked": (pseudo_log_likelihood, lambda example: len(example["text"].split())),
    "cloze": (foreseen, lambda example: 1),
    "text-to-text": (text_written, lambda example: example["other"]),
}


@pytest.mark.parametrize("case", CASES)
def test_answers_are_those_of_transformers_to_each_text_alone(case):
    model, tokenizer, task = opened(case)
    most = READS_AT_MOST.get(CASES[case][1], 20)
    assert encoding.positions(model, tokenizer) == most
    most = min(most or 256, task.max_tokens)
    lengths = [3, 0, 1, 5, 7, 2, 17, 18, 19, 20, 4, 28, 29, 41, 0, 6]
    masked = task.form == "masked"  # which takes a pass a token
    examples = examples_of(lengths[:10], OF_PIECES) if masked else examples_of(lengths)
    examples += examples[:3]
    plainly, held_against = ORACLES[task.form]
    with torch.inference_mode():
        if task.form == "cloze":
            examples += [e | {"last": likeliest(case, e, most)} for e in examples]
        alone = [plainly(case, example, most) for example in examples]
    assert len(set(alone)) > 1
    for batch_size in (1, 5, "auto"):
        inputs = prepare(model, tokenizer, task, examples, batch_size)
        assert inputs.expected == [held_against(example) for example in examples]
        found = predict(model, tokenizer, task, inputs)
        assert found == pytest.approx(alone, abs=1e-4), batch_size
    if task.form in ("classification", "text-to-text"):  # equal ones are read once
        assert len(inputs.read.rows) <= len(lengths) < len(examples)


@given(
    st.lists(st.integers(1, 40), max_size=30),
    st.sampled_from([lambda _: 1, lambda _: 4, lambda tokens: max(1, 60 // tokens)]),
)
def test_every_row_is_in_one_batch_with_rows_about_as_long(lengths, most_rows):
    batches = by_length(lengths, most_rows)
    order = [i for batch in batches for i in batch]
    assert order == sorted(range(len(lengths)), key=lambda i: -lengths[i])
    room = [most_rows(lengths[batch[0]]) for batch in batches]
    assert [len(batch) for batch in batches[:-1]] == room[:-1]
    assert all(0 < len(batch) <= most for batch, most in zip(batches, room, strict=True))


def test_more_memory_takes_more_rows_and_none_takes_one():
    def fitting(case, more, tokens=20):  # into so many bytes beside the weights
        model, _, task = opened(case)
        weights = sum(weight.nbytes for weight in model.parameters())
        return rows_that_fit(model, task, weights + more)(tokens)

    for case in CASES:
        assert fitting(case, -(10**9)) == fitting(case, 10**10, 10**5) == 1, case
        assert 1 <= fitting(case, 10**5) < fitting(case, 10**6) <= fitting(case, 10**10) == 256
        assert fitting(case, 10**10, 100) == 163  # rows of 16384 tokens


def test_a_batch_that_does_not_fit_is_halved_until_it_does():
    tried, most = [], 3

    def answer(chosen):
        tried.append(len(chosen))
        if len(chosen) > most:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory")
        return [-i for i in chosen]

    halving = Halving(answer)
    assert halving(list(range(10))) == [-i for i in range(10)]
    assert halving([7, 8, 9, 10]) == [-7, -8, -9, -10]
    assert tried == [10, 5, 3, 2, 5, 3, 2, 3, 1]  # it is remembered what fits
    most = 0
    assert "one example alone" in refused(RunError, Halving(answer), [0, 1, 2])


@given(st.integers(2, 60), st.integers(2, 20))
def test_windows_score_each_token_once_and_after_half_a_window(length, size):
    ids, scored = list(range(100, 100 + length)), []
    rows = list(windows(ids, size))
    for row in rows:
        assert len(row["input_ids"]) == len(row["labels"]) <= size
        for i, label in enumerate(row["labels"]):
            if i and label != encoding.IGNORED:
                scored.append(label)
                assert i >= min(size // 2, label - 100)
                assert row["input_ids"][: i + 1] == ids[label - 100 - i : label - 99]
    assert (scored, len(rows) == 1) == (ids[1:], length <= size)


def test_windows_are_all_positions_of_the_model_and_the_protocol_says_so(monkeypatch):
    model, tokenizer, task = opened("gpt2")
    for name, said in ((4096, "4,096"), (512, "512"), (10**6, "4,096"), (-1, "1,024")):
        monkeypatch.setattr(model.config, "n_positions", name)
        found = protocol(model, tokenizer, task)
        assert found == f"windows of {said} tokens that overlap by half, <s> before a text"
    mpt = transformers.MptConfig(d_model=16, n_heads=2, n_layers=1, vocab_size=60, max_seq_len=12)
    assert encoding.positions(transformers.MptForCausalLM(mpt), tokenizer) == 12


def test_a_tokenizer_without_ends_scores_what_follows_the_first_token():
    model, tokenizer, task = opened("gpt2")
    bare = copy.deepcopy(tokenizer)
    for name in ("bos_token", "eos_token", "pad_token"):
        setattr(bare, name, None)
    examples = examples_of([4, 1])
    found = predict(model, bare, task, prepare(model, bare, task, examples, 2))
    ids = torch.tensor([tokenizer(examples[0]["text"])["input_ids"]])
    with torch.inference_mode():
        scores = model(ids).logits.double().log_softmax(-1)[0]
    expected = sum(float(scores[i, ids[0, i + 1]]) for i in range(3))
    assert found == pytest.approx([expected, 0.0], abs=1e-4)


def test_only_the_logits_asked_for_are_computed():
    model, seen = opened("masked-bert")[0], []
    hook = model.get_output_embeddings().register_forward_hook(
        lambda _, given, logits: seen.append(tuple(logits.shape))
    )
    answers("masked-bert", [{"text": "abcd e."}], 4)
    hook.remove()
    assert seen == [(4, 1, 60), (1, 1, 60)]
    with torch.inference_mode():
        assert model(torch.tensor([[2, 5, 3]])).logits.shape == (1, 3, 60)  # as it was


def test_a_tokenizer_without_a_mask_is_refused_in_one_line():
    asked = opened("masked-bert")[0], mini.tokenizer("GPT2"), MASKED, [{"text": "a"}], 1
    assert "mask token" in refused(RequestError, prepare, *asked)


EXAMPLES = examples_of([1, 2, 3, 4, 1, 2, 3, 4])


def written(task):
    return answers("bart", EXAMPLES, 3, task)


def test_no_more_is_written_than_the_task_or_the_model_allows():
    # Pegasus begins with a token that is no word, and has 20 positions
    for case, asked, most in (("t5", 1, 1), ("t5", 30, 30), ("pegasus", 4, 3), ("pegasus", 30, 18)):
        texts = answers(case, EXAMPLES, 3, replace(opened(case)[2], max_new_tokens=asked))
        assert {len(text.split()) for text in texts} == {most}


def test_beams_are_the_tasks_or_else_the_checkpoints_and_nothing_is_drawn(monkeypatch):
    settings, plain = opened("bart")[0].generation_config, written(WRITTEN)
    monkeypatch.setattr(settings, "num_beams", 3)
    own = written(replace(WRITTEN, beams=None))
    assert own == written(replace(WRITTEN, beams=3)) != plain
    monkeypatch.setattr(settings, "num_beams", 1)
    monkeypatch.setattr(settings, "do_sample", True)
    assert written(replace(WRITTEN, beams=None)) == plain
    more = {"max_length": 6, "num_return_sequences": 1, "max_time": 1e-9}
    monkeypatch.setattr(opened("bart")[1], "model_max_length", 4)  # of what is read
    for name, value in (more | {"return_dict_in_generate": True}).items():
        monkeypatch.setattr(settings, name, value)
    assert max(len(text.split()) for text in written(WRITTEN)) == 4  # and the end


def test_what_the_study_says_comes_before_the_checkpoints_settings(monkeypatch):
    model, tokenizer, _ = opened("bart")
    settings = model.generation_config
    for name, value in {"num_beams": 2, "max_length": 9, "length_penalty": 3.0}.items():
        monkeypatch.setattr(settings, name, value)
    said = {"num_beams": 3, "max_new_tokens": 5, "no_repeat_ngram_size": 1}
    task, found = replace(WRITTEN, beams=None, generation=said), []
    for example in EXAMPLES:
        read = tokenizer(tasks.source_text(task, example), return_tensors="pt")
        ids = model.generate(**read, do_sample=False, **said)
        found.append(tokenizer.decode(ids[0], skip_special_tokens=True).strip())
    assert written(task) == found != written(replace(task, generation={}))
    how = protocol(model, tokenizer, task)
    assert how == "3 beams, 5 tokens at most, no repeat ngram size 1"


def test_labels_are_what_the_model_writes_whatever_its_case(monkeypatch):
    said = {"negative": 0, "NEGATIVE": 0, " Negative\n": 0, "c": 1, "\tC ": 1}
    said |= dict.fromkeys(("", "negat", "negative.", "not negative", "1", "négative"), NO_LABEL)
    assert {text: label_of(text, ("negative", "C ")) for text in said} == said
    texts = written(WRITTEN)
    words = (texts[0].upper(), next(text for text in texts if text != texts[0]))
    task = replace(WRITTEN, label_words=words, target="label")
    assert written(task) == [label_of(text, words) for text in texts]
    assert {0, 1} <= set(written(task))
    monkeypatch.setattr(opened("bart")[1], "batch_decode", lambda ids, **_: [" A.<n>B "] * len(ids))
    assert set(written(WRITTEN)) == {"A.\nB"}  # a new line as Pegasus spells it


def test_a_model_that_sees_the_next_word_is_not_asked_for_it():
    model, tokenizer = random_model("Bert", "LMHeadModel"), mini.tokenizer("Bert")
    # CPM-Ant takes the token 0 for none, and its text for a context, which is seen as a whole
    sizes = {"vocab_size": 60, "hidden_size": 16, "num_attention_heads": 2, "dim_head": 8,
             "dim_ff": 32, "num_hidden_layers": 2, "prompt_length": 4}  # fmt: skip
    torch.manual_seed(0)  # one draw in some two hundred hardly looks at its last token
    sees = transformers.CpmAntForCausalLM(transformers.CpmAntConfig(**sizes)).eval()
    for asked in map(tasks.task, ("wikitext2", "lambada")):
        example = dict.fromkeys((*asked.inputs, asked.target or "words"), "the old film")
        for of, words, says in (
            (model, tokenizer, "BertLMHeadModel sees them already"),
            (sees, mini.tokenizer("GPT2"), "CpmAntForCausalLM sees them already"),
            (random_model("GPT2", vocab_size=6), tokenizer, "makes the token"),  # before it is run
        ):
            assert says in refused(RequestError, prepare, of, words, asked, [example], 1)


def test_led_reads_more_than_it_writes():
    sizes = {"max_encoder_position_embeddings": 16, "max_decoder_position_embeddings": 8}
    sizes |= architectures.BOTH | {"d_model": 16, "vocab_size": 60, "attention_window": 4}
    led, tokenizer = transformers.LEDForConditionalGeneration(transformers.LEDConfig(**sizes)), None
    assert encoding.positions(led, tokenizer) == 16
    assert protocol(led, tokenizer, replace(WRITTEN, max_new_tokens=30)).endswith(
        "7 tokens at most"
    )
