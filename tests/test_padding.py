"""Whatever stands behind a row, its answer is that to the row alone: heads × padding, and models
that look at padding."""

import json

import mini
import pytest
import torch
from architectures import BOTH
from calibrations import refused
from loud_models import MASKED, ONE, in_pieces
from random_models import loud, random_model

from analysis.errors import RequestError
from analysis.models.loading import load_model
from analysis.scoring.predict import predict, prepare

pytestmark = pytest.mark.usefixtures("one_thread")
HEAD = "ForSequenceClassification"
LABELS = 24
NAMES = {"num_labels": LABELS, "problem_type": "single_label_classification"}
DECODER = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2,
           "intermediate_size": 32}  # fmt: skip
HEADS = {  # a class for sequences, its config; the ids of padding that it is tried with
    "GPT2": ({"n_embd": 16, "n_layer": 2, "n_head": 2}, (5, -1, None, 1, 0, 1000)),
    "Llama": (DECODER, (5, -1, None, 1)),
    "Bloom": ({"hidden_size": 16, "n_layer": 2, "n_head": 2}, (5, None)),
    "Bart": (BOTH, (0, 5, 1)),
    "T5": ({"d_model": 16, "d_ff": 32, "d_kv": 8, "num_layers": 2, "num_heads": 2}, (0, 5)),
    "XLNet": ({"d_model": 16, "n_layer": 2, "n_head": 2, "d_inner": 32}, (5, 0)),
    "MBart": (BOTH, (1, 0)),
}  # fmt: skip
MIXERS = {  # encoders whose answers change with padding
    "FNet": {"hidden_size": 16, "num_hidden_layers": 2, "intermediate_size": 32},
    "Funnel": {"block_sizes": [1, 1], "num_decoder_layers": 1, "d_model": 16, "n_head": 2,
                "d_head": 8, "d_inner": 32},
    "ConvBert": {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 4,
                  "intermediate_size": 32, "embedding_size": 16},
}  # fmt: skip
TOKENS = {"vocab_size": 60, "eos_token_id": 1, "bos_token_id": 2, "decoder_start_token_id": 2}


def texts(tokenizer, ended):
    """Of several lengths; those of a decoder also end in its end, or the 5 that some pad with."""
    words = tokenizer.convert_ids_to_tokens(range(5, 40))
    found = [" ".join(words[i : i + n]) for i, n in enumerate((1, 9, 3, 6, 2, 14, 4, 9, 1, 5))]
    return [*found, f"{found[1]} </s>", f"{words[9]} {words[0]}"] if ended else found


@pytest.mark.parametrize("name", HEADS)
def test_heads_answer_batches_as_they_answer_one_text(name, tmp_path):
    sizes, paddings = HEADS[name]
    tokenizer = mini.tokenizer("Bart" if name in ("Bart", "MBart", "T5") else "GPT2")
    found = texts(tokenizer, ended=name in ("GPT2", "Llama", "Bloom"))
    for padding in paddings:
        for own in ("<pad>", None):
            tokenizer.pad_token = own
            model = loud(name + HEAD, **TOKENS, **NAMES, **sizes, pad_token_id=0)
            model.config.pad_token_id = padding
            folder = tmp_path / f"{padding}{own}"
            model.save_pretrained(folder)
            tokenizer.save_pretrained(folder)
            told = json.loads((folder / "config.json").read_text()) | {"pad_token_id": padding}
            (folder / "config.json").write_text(json.dumps(told))
            with torch.inference_mode():
                ids = [torch.tensor([tokenizer(text)["input_ids"]]) for text in found]
                alone = [int(model(each).logits.argmax()) for each in ids]
            assert len(set(alone)) > 2
            loaded, words = load_model(folder, "classification", "cpu")
            examples = [{"text": text, "label": 0} for text in found]
            for batch_size in (4, "auto"):
                inputs = prepare(loaded, words, ONE, examples, batch_size)
                assert predict(loaded, words, ONE, inputs) == alone, (padding, own)


@pytest.mark.parametrize("name", MIXERS)
def test_models_that_mix_padding_in_get_rows_of_one_length(name):
    tokenizer, sizes = in_pieces(), MIXERS[name]
    model = loud(f"{name}ForMaskedLM", **TOKENS, **sizes, pad_token_id=0)
    examples = [{"text": text} for text in ("a abcd", "a", "abcd e a. c", "e", "a c e a c e .")]
    alone, together = (
        predict(model, tokenizer, MASKED, prepare(model, tokenizer, MASKED, examples, size))
        for size in (1, 8)
    )
    assert together == pytest.approx(alone, rel=1e-5)
    inputs = prepare(model, tokenizer, MASKED, examples, 8)
    rows = [[len(inputs.read.rows[i]["input_ids"]) for i in batch] for batch in inputs.batches]
    assert all(len(set(lengths)) == 1 for lengths in rows)
    bert = random_model("Bert")
    mixed = prepare(bert, tokenizer, MASKED, examples, 8)
    assert len(mixed.batches) < len(inputs.batches)


def test_what_a_models_own_code_refuses_is_one_line():
    model, tokenizer = random_model("Roberta", HEAD, num_labels=2), mini.tokenizer("Bert")
    model.roberta.embeddings.padding_idx = None  # as with `pad_token_id: null`
    inputs = prepare(model, tokenizer, ONE, [{"text": "the film", "label": 0}], 1)
    said = refused(RequestError, predict, model, tokenizer, ONE, inputs)
    assert "RobertaForSequenceClassification cannot " in said


def test_what_the_model_does_not_know_is_named_in_one_line():
    model, tokenizer = random_model("Bert", HEAD, num_labels=2), mini.tokenizer("Bert")
    tokenizer.add_tokens(["new"])
    with pytest.raises(RequestError, match=r"the token 'new', number 60, and the model knows 60"):
        prepare(model, tokenizer, ONE, [{"text": "the new", "label": 0}], 1)
    t5, unended = random_model("T5", HEAD, num_labels=2), mini.tokenizer("GPT2")
    with pytest.raises(RequestError, match=r"end of a text.*marks none in 'the "):
        prepare(t5, unended, ONE, [{"text": "the film", "label": 0}], 1)
