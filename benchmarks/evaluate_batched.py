"""Evaluation in batches by length, beside batches in the order of the examples.

Both read the same texts in batches of the same size with the same model, and tokenise them too; the
peer's are padded to the longest of each batch. Lengths are log-normal, fitted to real data: SST-2's
sentences (median 22 tokens) to be classified, WikiText-2's paragraphs (median 56, and a long tail)
to be scored for their likelihood. Models are small and their weights random: speed is not in them.
"""

import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    GPT2Config,
    GPT2LMHeadModel,
    PreTrainedTokenizerFast,
)

from analysis.models.encoding import padding_id
from analysis.scoring.predict import predict, prepare
from analysis.tasks import Task

_VOCABULARY, _WIDTH, _LAYERS, _POSITIONS = 8000, 256, 2, 512
_SST2 = {"examples": 768, "mu": 3.1, "sigma": 0.54, "batch": 64}
_WIKITEXT2 = {"examples": 64, "mu": 4.0, "sigma": 1.37, "batch": 16}
_SPECIAL = ["<pad>", "<s>", "</s>"]
_SIZES: dict[str, Any] = {"vocab_size": _VOCABULARY, "pad_token_id": 0, "bos_token_id": 1,
                          "eos_token_id": 2}  # fmt: skip


def measure() -> Iterator[dict]:
    """Milliseconds an example, for classification and for the likelihood of texts."""
    torch.manual_seed(0)
    encoder = BertForSequenceClassification(
        BertConfig(hidden_size=_WIDTH, num_hidden_layers=_LAYERS, num_attention_heads=4,
                   intermediate_size=4 * _WIDTH, max_position_embeddings=_POSITIONS, **_SIZES)
    ).eval()  # fmt: skip
    yield _compared("evaluate-batched", "classification", _peer_labels, encoder, **_SST2)
    decoder = GPT2LMHeadModel(
        GPT2Config(n_embd=_WIDTH, n_layer=_LAYERS, n_head=4, n_positions=_POSITIONS, **_SIZES)
    ).eval()
    yield _compared("evaluate-batched-texts", "causal", _peer_likelihoods, decoder, **_WIKITEXT2)


def _compared(
    name: str,
    form: str,
    run_peer: Callable[[Any, Any, list[str]], list[float]],
    model: Any,
    *,
    examples: int,
    mu: float,
    sigma: float,
    batch: int,
) -> dict:
    """Raises AssertionError if the two do not answer alike."""
    tokenizer, texts = _tokenizer(framed=form == "classification"), _texts(examples, mu, sigma)
    task = Task(title=name, measures="", form=form, inputs=("text",), metrics=(), max_tokens=512,
                target="label" if form == "classification" else None)  # fmt: skip
    listed = [{"text": text, "label": 0} for text in texts]

    def ours() -> list[float]:
        inputs = prepare(model, tokenizer, task, listed, batch)
        return predict(model, tokenizer, task, inputs)

    def peer() -> list[float]:
        chunks = [texts[i : i + batch] for i in range(0, examples, batch)]
        with torch.inference_mode():
            return [answer for chunk in chunks for answer in run_peer(model, tokenizer, chunk)]

    if not np.allclose(ours(), peer(), rtol=1e-4):
        raise AssertionError("the two answer differently")
    return {
        "name": name,
        "ours": _seconds(ours) / examples * 1000,
        "peer": _seconds(peer) / examples * 1000,
        "unit": "ms an example",
    }


def _peer_labels(model: Any, tokenizer: Any, texts: list[str]) -> list[float]:
    batch = tokenizer(texts, padding=True, truncation=True, max_length=512, return_tensors="pt")
    return model(**batch).logits.argmax(-1).tolist()


def _peer_likelihoods(model: Any, tokenizer: Any, texts: list[str]) -> list[float]:
    framed = [f"<s> {text} </s>" for text in texts]
    batch = tokenizer(framed, padding=True, return_tensors="pt")
    labels = batch["input_ids"].masked_fill(batch["attention_mask"] == 0, -100)[:, 1:]
    logits = model(**batch).logits[:, :-1]
    losses = torch.nn.functional.cross_entropy(
        logits.flatten(0, 1), labels.flatten(), reduction="none"
    )
    return (-losses.view(labels.shape).double().sum(1)).tolist()


def _texts(count: int, mu: float, sigma: float) -> list[str]:
    """Texts of random words, as many in each as a log-normal distribution says, at least 2."""
    generator = np.random.default_rng(0)
    lengths = np.clip(generator.lognormal(mu, sigma, count).astype(int), 2, _POSITIONS - 2)
    return [" ".join(f"w{i}" for i in generator.integers(0, 7000, n)) for n in lengths]


def _tokenizer(framed: bool) -> PreTrainedTokenizerFast:
    words = [*_SPECIAL, *(f"w{i}" for i in range(_VOCABULARY - len(_SPECIAL)))]
    core = Tokenizer(models.WordLevel({word: i for i, word in enumerate(words)}, unk_token="<s>"))
    core.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    if framed:
        core.post_processor = processors.TemplateProcessing(
            single="<s> $A </s>", special_tokens=[("<s>", 1), ("</s>", 2)]
        )
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=core, pad_token="<pad>", bos_token="<s>", eos_token="</s>"
    )
    assert padding_id(tokenizer) == 0
    return tokenizer


def _seconds(run: Callable[[], object], repeats: int = 3) -> float:
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return min(times)
