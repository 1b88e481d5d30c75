"""How much of its texts a model reads, wherever it is trained, calibrated or scored on them."""

import math
from dataclasses import replace

import architectures
import fake
import mini
import pytest
import torch
import transformers
from calibrations import texts

import studies
from analysis import study, tasks
from analysis.alternatives.student import distil, halved
from analysis.calibration.batches import calibration_batches
from analysis.checkpoints import naming
from analysis.experiments import recovery as experiment_recovery
from analysis.experiments import variant
from analysis.experiments.examples import Data
from analysis.models.encoding import positions
from analysis.scoring.predict import tokens_per_word
from analysis.study.fits import calibration_task
from analysis.training import recovery
from analysis.training.course import Course
from analysis.training.growing import grow_sparse

POSITIONS = 20  # of the tiny models
LONG = "the food was good " * 12
GPT = {"name": "gpt", "family": "decoder-only", "source": "hub", "id": "org/gpt"}
FORMS = {  # what each architecture is trained as here, on a text that is longer
    "Bert": ("classification", {"first": LONG, "second": LONG, "label": 1}),
    "GPT2": ("causal", {"text": LONG}),
    "Bart": ("text-to-text", {"source": LONG, "target": LONG}),
}


def make(architecture):
    """A tiny model of which half of each matrix is pruned, its tokenizer, and those masks."""
    torch.manual_seed(0)
    model = architectures.model(architecture)
    if architecture == "Bert":
        model = transformers.BertForSequenceClassification(model.config)
    named = naming.weights(name for name, _ in model.named_parameters())
    matrices = {n: p for n, p in model.named_parameters() if n in named and named[n].prunable}
    masks = {name: (p.abs() > p.abs().median()).numpy() for name, p in matrices.items()}
    return model.eval(), mini.tokenizer(architecture), masks


def course(architecture, count=3, max_tokens=256):
    form, example = FORMS[architecture]
    how = {"batch_size": 2, "learning_rate": 1e-3, "seed": 0, "max_tokens": max_tokens}
    return Course(form=form, examples=[example] * count, **how)


@pytest.mark.parametrize("architecture", FORMS)
def test_models_are_trained_and_calibrated_on_texts_longer_than_they_read(architecture):
    model, words, masks = make(architecture)
    assert positions(model, words) == POSITIONS
    asked = course(architecture)
    for batch in calibration_batches(model, words, texts(asked.form, asked.examples, 256)):
        assert batch["input_ids"].shape[1] == POSITIONS
        with torch.no_grad():
            model(**batch)
    trained = recovery.fine_tune_masked(model, words, masks, asked)
    assert all(math.isfinite(loss) for loss in trained.losses)
    assert len(trained.losses) == asked.read_by(model, words).steps
    list(grow_sparse(model, words, list(masks), [0.5], asked))
    if architecture == "Bert":
        distil(halved(make("Bert")[0]), model, words, asked)
        read = asked.read_by(model, words)  # only a causal course is cut into windows
        assert (read.examples, read.max_tokens) == (asked.examples, POSITIONS)


def test_texts_are_cut_in_every_training_where_fine_tuning_cuts_them(tmp_path):
    data, record = Data("sentiment", {}, None), fake.checkpoint("encoder-only", "weights")
    for tokens in (None, 40):
        tree = studies.everything(fine_tuning={"tokens": tokens} if tokens else {})
        asked = study.load(studies.to_file(tmp_path, tree))
        dense = variant.dense_variant(asked, asked.models[0], "sentiment", 0, record)
        how = experiment_recovery.course(asked, dense, data, asked.recovery.training)
        assert how["max_tokens"] == (tokens or tasks.task("sentiment").max_tokens)


def test_tokens_are_counted_by_the_words_of_the_perplexity():
    words = mini.tokenizer("Bert")
    texts = [{"text": "the food was good", "words": 2}, {"text": "the food", "words": 1}]
    plain = replace(tasks.task("perplexity"), inputs=("text",), target=None)
    whole = sum(len(words(e["text"], add_special_tokens=False)["input_ids"]) for e in texts)
    assert tokens_per_word(words, plain, texts) == whole / 3
    bare = [{"text": example["text"]} for example in texts]
    assert tokens_per_word(words, plain, bare) == whole / 6
    letters = sum(len(e["text"].replace(" ", "")) for e in bare)
    assert tokens_per_word(words, replace(plain, unit="character"), bare) == whole / letters


def test_a_base_checkpoint_is_calibrated_on_its_first_task_with_training_texts(tmp_path):
    def of_gpt(asked, method="random", examples=()):
        models, methods = [GPT | {"tasks": asked}], ["magnitude", method]
        tree = studies.tree(models=models, methods=methods, examples=dict(examples))
        return studies.to_file(tmp_path, tree)

    some = {"language-modelling": 4}
    for asked, expected in (
        ((["lambada", "wikitext2"], "wanda"), "wikitext2"),
        ((["wikitext2", "lambada"], "wanda"), "wikitext2"),
        ((["lambada", "language-modelling"], "wanda", some), "language-modelling"),
        ((["lambada"],), None),
    ):
        loaded = study.load(of_gpt(*asked))
        assert calibration_task(loaded, loaded.models[0]) == expected
    for method in ("wanda", "structured", "nm-sparsegpt"):
        path = of_gpt(["lambada"], method)
        studies.refused_saying(path, ["data.lambada.train", "is missing", method, "gpt"])
