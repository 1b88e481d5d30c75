"""Every task that there is can be put to a model of its form, and is scored by all its metrics."""

import functools

import architectures
import pytest
import torch
import transformers

from analysis import tasks
from analysis.models.replica_tokenizers import write_tokenizer
from analysis.scoring.metrics import score
from analysis.scoring.predict import FORMS, predict, prepare, tokens_per_word
from analysis.scoring.statistics import METRICS
from analysis.tasks.stand_ins import stand_ins

pytestmark = pytest.mark.usefixtures("one_thread")

MODELS = {  # form -> whose tokenizer, class, sizes
    "classification": ("bert", "BertForSequenceClassification", architectures.ENCODER),
    "masked": ("bert", "BertForMaskedLM", architectures.ENCODER),
    "causal": ("gpt2", "GPT2LMHeadModel", architectures.ARCHITECTURES["GPT2"][1]),
    "cloze": ("gpt2", "GPT2LMHeadModel", architectures.ARCHITECTURES["GPT2"][1]),
    "text-to-text": ("bart", "BartForConditionalGeneration", architectures.BOTH),
}


@pytest.fixture(scope="module")
def opened(tmp_path_factory):
    """form -> a tiny model and a tokenizer that reads any text."""

    @functools.cache
    def of(form):
        kind, name, sizes = MODELS[form]
        tokenizer = write_tokenizer(kind, 48, tmp_path_factory.mktemp(form))
        model_class = getattr(transformers, name)
        config = model_class.config_class(
            **architectures.SMALL
            | sizes
            | {"vocab_size": len(tokenizer), "pad_token_id": tokenizer.pad_token_id or 0}
            | {"max_position_embeddings": 48, "decoder_start_token_id": 2}
        )
        torch.manual_seed(0)
        return model_class(config).eval(), tokenizer

    return of


def test_every_form_is_one_that_a_model_is_here_for():
    assert FORMS.keys() == MODELS.keys()
    assert {tasks.task(name).form for name in tasks.names()} <= FORMS.keys()


@pytest.mark.parametrize("name", tasks.names())
def test_a_task_is_answered_and_scored(opened, name):
    task = tasks.task(name)
    model, tokenizer = opened(task.form)
    examples = stand_ins(task, 4, 0)
    inputs = prepare(model, tokenizer, task, examples, "auto")
    assert max(len(row["input_ids"]) for row in inputs.read.rows) <= min(48, task.max_tokens)
    predictions = predict(model, tokenizer, task, inputs)
    assert len(predictions) == len(inputs.expected) == len(examples)
    scored = score(task.metrics, predictions, inputs.expected)
    assert scored.keys() == set(task.metrics)
    for metric, found in scored.items():
        assert len(found["rows"]) == len(examples)
        assert {len(row) for row in found["rows"]} == {len(METRICS[metric].columns)}
    assert tokens_per_word(tokenizer, task, examples) >= (1 if task.unit == "word" else 0.1)
