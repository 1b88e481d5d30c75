"""Tiny replicas of published models, one of each architecture, and texts for them."""

import functools
import tempfile
from pathlib import Path

import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from analysis import language
from analysis.calibration.batches import calibration_batches
from analysis.models.encoding import set_languages, set_padding
from analysis.models.loading import load_model
from analysis.models.replicas import forms, write_replica
from analysis.models.weights import read_weights, write_in_place_of
from analysis.pruning.calibrated import Calibration

# GPT-2 and BART with other heads and depths are the same code, so one of each stands for them
MODELS = [
    "google-bert/bert-base-uncased",
    "IDEA-CCNL/Erlangshen-MegatronBert-1.3B",
    "FacebookAI/roberta-base",
    "microsoft/deberta-v2-xxlarge",
    "openai-community/gpt2-xl",
    "facebook/bart-base",
    "facebook/bart-large-cnn",
    "google/pegasus-xsum",
    "google/t5-v1_1-xl",
    "facebook/m2m100_1.2B",
]
FORMS = [(model, form) for model in MODELS for form in forms(model)]
TRAINED = {"cloze": "causal"}  # forms that are learnt as others are


@functools.cache
def _root():
    return tempfile.TemporaryDirectory()


@functools.cache
def folder(model, form=None):
    """The folder of a tiny replica, which no test changes; for classification, one with a head."""
    out = Path(_root().name) / f"{model.replace('/', '--')}{form or ''}"
    if form != "classification":
        write_replica(model, out, form=forms(model)[-1], seed=0, tiny=True)
        return out
    published = folder(model)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        opened, found = AutoModelForSequenceClassification.from_pretrained(
            published, dtype=torch.float32, output_loading_info=True
        )
    state = opened.state_dict()
    head = {name: state[name].numpy() for name in found["missing_keys"]}
    write_in_place_of(published, out, read_weights(published) | head)
    return out


def pretrained_form(model):
    """The form that the published checkpoint itself answers."""
    return forms(model)[-1]


def loaded(model, form):
    """The model for a form of task, ready to run batches through, and its tokenizer."""
    opened, tokenizer = load_model(folder(model, form), form, "cpu")
    ready(opened, tokenizer)
    return opened, tokenizer


def ready(opened, tokenizer):
    """Padding and languages are set as evaluation sets them."""
    set_padding(opened, tokenizer)
    set_languages(tokenizer, ("en", "fr"))


def examples(form, count=12):
    """Training examples of a form of task."""
    if form == "classification":
        found = language.paraphrase(count, 0, split="train")
        return [
            {"first": e["sentence1"], "second": e["sentence2"], "label": e["label"]} for e in found
        ]
    if form == "text-to-text":
        found = language.headline(count, 0, split="train")
        return [{"source": e["document"], "target": e["summary"]} for e in found]
    return [{"text": text} for text in language.paragraphs(count, 0)]


def batches(opened, tokenizer, form, count=12):
    """Batches that the model runs on."""
    return calibration_batches(opened, tokenizer, form, examples(form, count), 48)


def calibration(model, form):
    """What calibrated methods are handed."""
    tokenizer = AutoTokenizer.from_pretrained(folder(model), local_files_only=True)

    def load():
        opened, _ = load_model(folder(model, form), form, "cpu")
        ready(opened, tokenizer)
        return opened

    return Calibration(load, lambda opened: batches(opened, tokenizer, form))


def logits(opened, batch):
    """The answer to a batch."""
    return opened(**batch).logits
