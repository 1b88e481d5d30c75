"""Tiny random models, what they answer, and their checkpoints as steps are told of them."""

import functools

import architectures
import mini
import torch
import transformers
from checkpoints import weights_sha256

from analysis.checkpoints.weights import read_weights
from analysis.execution.names import AUTO, DENSE, TILED_CSR, TORCH_CSR
from analysis.steps.pruning.pruned import prune_checkpoint

POSITIONS, CLASSIFIER = 32, "ForSequenceClassification"
GPT2, LONG = {"n_positions": POSITIONS}, {"max_position_embeddings": POSITIONS}
# no dropout, so that training is seen to follow its loss
BERT = LONG | {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
SIGMOID = BERT | {"hidden_act": "sigmoid"}
KINDS = {  # architecture, form of the model, its sizes, form and name of a task
    "bert": ("Bert", CLASSIFIER, BERT, "classification", "sentiment"),
    "gpt2": ("GPT2", None, GPT2, "causal", "language-modelling"),
    "bart": ("Bart", None, LONG | {"decoder_ffn_dim": 48}, "text-to-text", "headline"),
    "t5": ("T5", None, {}, "text-to-text", "headline"),
    "sigmoid": ("Bert", CLASSIFIER, SIGMOID, "classification", "sentiment"),
    "masked": ("Bert", None, BERT, "masked", ""),
    "wide": ("GPT2", None, GPT2 | {"n_embd": 512, "n_layer": 1}, "causal", ""),
}
FAMILIES = ["bert", "gpt2", "bart"]
SCHEDULE = {"warmup_runs": 1, "warmup_seconds": 1.0, "min_runs": 3, "min_seconds": 0.0}
SCHEDULE |= {"max_seconds": 60.0}
EACH = [DENSE, TORCH_CSR, TILED_CSR, AUTO]
TOKENS = 8
FACTS = {"device": "cpu", "device_name": "", "dtype": "float32", "threads": 1}


def random_model(architecture, form=None, **changes):
    """A loud model of that form, else the architecture's own."""
    kind, sizes = architectures.ARCHITECTURES[architecture]
    sizes = architectures.SMALL | {"decoder_start_token_id": 2} | sizes | changes
    return loud(architecture + form if form else kind, **sizes)


def loud(kind, seed=0, **config):
    """A model of that class whose weights are large enough to tell."""
    model_class = getattr(transformers, kind)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        made = model_class(model_class.config_class(**config))
        with torch.no_grad():
            for parameter in made.parameters():
                parameter.add_(torch.randn_like(parameter) * 0.3)
    return made.eval()


def made(kind):
    architecture, form, sizes, *_ = KINDS[kind]
    return random_model(architecture, form, **sizes)


def inputs(of, batch=3, length=9):
    """Token ids that end as texts do, where classifiers read."""
    ids = torch.randint(3, 60, (batch, length), generator=torch.Generator().manual_seed(1))
    ids[:, -1] = 1
    given = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    if of.config.is_encoder_decoder and "Classification" not in type(of).__name__:
        given["decoder_input_ids"] = ids[:, :5].clone()
    return given


def answers(of, **given):
    with torch.inference_mode():
        return of(**(given or inputs(of))).logits


def stored(objects, kind, change=lambda folder: None):
    """What a step is told of the checkpoint, changed or not."""
    with objects.scratch() as scratch:
        for part in (made(kind), mini.tokenizer(KINDS[kind][0])):
            part.save_pretrained(scratch / "checkpoint")
        change(scratch / "checkpoint")
        digest = objects.adopt(scratch / "checkpoint")
    sha = weights_sha256(read_weights(objects.open(digest)))
    return {"checkpoint": digest, "weights_sha256": sha}


dense = functools.cache(stored)


@functools.cache
def masks(objects, kind, level):
    """An object with the masks of plain magnitude."""
    options = {"method": "magnitude", "include": [], "exclude": [], "seed": 0}
    record = prune_checkpoint(objects, **dense(objects, kind), levels=[level], **options)
    return record["levels"][0]["masks"]["object"]


def entry(objects, kind, name, kernels=(DENSE,), level=None, **more):
    given = {"name": name, "checkpoint": dense(objects, kind)["checkpoint"], "masks": None}
    given |= {} if level is None else {"masks": masks(objects, kind, level)}
    return given | {"kernels": list(kernels)} | more
