"""Tiny random checkpoints and their masks, as the steps that measure time are told of them."""

import functools

import architectures
import mini
import torch
import transformers

from analysis.execution.names import AUTO, DENSE, TILED_CSR, TORCH_CSR
from analysis.models.weights import read_weights, weights_sha256
from analysis.steps.pruned import prune_checkpoint

LONG = {"max_position_embeddings": 96}
KINDS = {  # model class, its sizes, whose tokenizer, the form of its task
    "bert": (
        "BertForSequenceClassification",
        architectures.ENCODER | LONG,
        "Bert",
        "classification",
    ),
    "gpt2": (
        "GPT2LMHeadModel",
        architectures.ARCHITECTURES["GPT2"][1] | {"n_positions": 96},
        "GPT2",
        "causal",
    ),
    "bart": ("BartForConditionalGeneration", architectures.BOTH | LONG, "Bart", "text-to-text"),
}
SCHEDULE = {
    "warmup_runs": 1,
    "warmup_seconds": 1.0,
    "min_runs": 3,
    "min_seconds": 0.0,
    "max_seconds": 60.0,
}
EACH = [DENSE, TORCH_CSR, TILED_CSR, AUTO]
TOKENS = 8
FACTS = {"device": "cpu", "device_name": "", "dtype": "float32", "threads": 1}


@functools.cache
def dense(objects, kind):
    """What a step is told of a checkpoint whose weights are large enough to tell."""
    name, sizes, architecture, _ = KINDS[kind]
    model_class = getattr(transformers, name)
    config = model_class.config_class(**architectures.SMALL | {"decoder_start_token_id": 2} | sizes)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = model_class(config).eval()
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(torch.randn_like(parameter) * 0.3)
    with objects.scratch() as scratch:
        for part in (model, mini.tokenizer(architecture)):
            part.save_pretrained(scratch / "checkpoint")
        digest = objects.adopt(scratch / "checkpoint")
    sha = weights_sha256(read_weights(objects.open(digest)))
    return {"checkpoint": digest, "weights_sha256": sha}


@functools.cache
def masks(objects, kind, level):
    """An object with the masks of plain magnitude."""
    record = prune_checkpoint(
        objects, **dense(objects, kind), method="magnitude", levels=[level], include=[],
        exclude=[], seed=0,
    )  # fmt: skip
    return record["levels"][0]["masks"]["object"]


def entry(objects, kind, name, kernels=(DENSE,), level=None, **more):
    given = {"name": name, "checkpoint": dense(objects, kind)["checkpoint"], "masks": None}
    given |= {} if level is None else {"masks": masks(objects, kind, level)}
    return given | {"kernels": list(kernels)} | more
