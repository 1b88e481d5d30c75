"""Tiny replicas of published models, one of each architecture, and texts for them."""

import copy
import functools
import tempfile
from pathlib import Path

import torch
from calibrations import texts
from transformers import AutoModelForSequenceClassification

from analysis import tasks
from analysis.calibration.batches import calibration_batches
from analysis.checkpoints.weights import read_weights, write_in_place_of
from analysis.models.encoding import set_padding
from analysis.models.languages import set_languages
from analysis.models.loading import load_model
from analysis.pruning.calibrated import Calibration
from analysis.replicas.replica import forms, write_replica

# GPT-2 and BART with other heads and depths are the same code, so one of each stands for them
MODELS = ["google-bert/bert-base-uncased", "IDEA-CCNL/Erlangshen-MegatronBert-1.3B",
          "FacebookAI/roberta-base", "microsoft/deberta-v2-xxlarge", "openai-community/gpt2-xl",
          "facebook/bart-base", "facebook/bart-large-cnn", "google/pegasus-xsum",
          "google/t5-v1_1-xl", "facebook/m2m100_1.2B"]  # fmt: skip
FORMS = [(model, form) for model in MODELS for form in forms(model)]
_root = functools.cache(tempfile.TemporaryDirectory)


def folder(model, form=None):
    """The folder of a tiny replica, which no test changes; for classification, one with a head."""
    return _with_head(model) if form == "classification" else _published(model)


@functools.cache
def _published(model):
    out = Path(_root().name) / model.replace("/", "--")
    write_replica(model, out, form=pretrained_form(model), seed=0, tiny=True)
    return out


@functools.cache
def _with_head(model):
    published = _published(model)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        made, found = AutoModelForSequenceClassification.from_pretrained(
            published, dtype=torch.float32, output_loading_info=True
        )
    head = {name: made.state_dict()[name].numpy() for name in found["missing_keys"]}
    out = published.with_name(f"{published.name}-with-head")
    write_in_place_of(published, out, read_weights(published) | head)
    return out


def pretrained_form(model):
    """The form that the published checkpoint itself answers."""
    return forms(model)[-1]


def opened(where, form):
    """The model in a folder and its tokenizer, padding and languages set as evaluation does."""
    model, tokenizer = load_model(where, form, "cpu")
    set_padding(model, tokenizer)
    set_languages(tokenizer, ("en", "fr"))
    return model, tokenizer


_loaded = functools.cache(lambda model, form: opened(folder(model, form), form))


def loaded(model, form):
    """A replica for a form of task, the caller's own, and its tokenizer."""
    found, tokenizer = _loaded(model, form)
    return copy.deepcopy(found), tokenizer


def examples(form, count=12):
    """Training examples of a form of task."""
    known = {"classification": "paraphrase", "text-to-text": "headline"}
    task = tasks.task(known.get(form, "language-modelling"))
    return [tasks.training_example(task, example) for example in task.train(count, 0)]


def batches(model, tokenizer, form):
    """Batches that the model runs on."""
    return calibration_batches(model, tokenizer, texts(form, examples(form), 48))


def answers(model, tokenizer, form):
    """The logits of each of these."""
    with torch.no_grad():
        return [model(**batch).logits for batch in batches(model, tokenizer, form)]


def calibration(model, form):
    """What calibrated methods are handed."""
    tokenizer = _loaded(model, form)[1]
    return Calibration(lambda: loaded(model, form)[0], lambda m: batches(m, tokenizer, form))
