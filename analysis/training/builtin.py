"""The three built-in models, trained here on the built-in language."""

import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import (
    BartForConditionalGeneration,
    BartForSequenceClassification,
    BertForSequenceClassification,
    GPT2ForSequenceClassification,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    PreTrainedTokenizerFast,
)

from analysis import tasks
from analysis.errors import RequestError, unknown
from analysis.models.catalogue import BUILTIN, MAX_TOKENS
from analysis.training.architectures import build_model, build_tokenizer
from analysis.training.course import Course, Updates
from analysis.training.loop import fine_tune, train
from analysis.training.objectives import pretraining_batches


@dataclass(frozen=True)
class Recipe:
    """How long and how fast one training goes, over how many different examples."""

    steps: int
    batch_size: int
    learning_rate: float
    examples: int
    weight_decay: float = 0.1


_PRETRAINING = {
    "tiny-bert": Recipe(steps=200, batch_size=16, learning_rate=5e-4, examples=3_200),
    "tiny-gpt2": Recipe(steps=2_300, batch_size=16, learning_rate=3e-3, examples=36_800),
    "tiny-bart": Recipe(steps=300, batch_size=16, learning_rate=1e-3, examples=4_800),
}
_FINE_TUNING = {
    ("tiny-bert", "sentiment"): Recipe(500, 32, 5e-4, 16_000),
    ("tiny-bert", "paraphrase"): Recipe(500, 32, 1e-3, 16_000),
    ("tiny-gpt2", "sentiment"): Recipe(300, 32, 1e-3, 9_600),
    ("tiny-bart", "headline"): Recipe(350, 16, 1e-3, 5_600),
    ("tiny-bart", "sentiment"): Recipe(500, 32, 1e-3, 16_000),
}
_CLASSES: dict[tuple[str, str], type[PreTrainedModel]] = {
    ("tiny-bert", "classification"): BertForSequenceClassification,
    ("tiny-gpt2", "classification"): GPT2ForSequenceClassification,
    ("tiny-bart", "classification"): BartForSequenceClassification,
    ("tiny-bart", "text-to-text"): BartForConditionalGeneration,
}


def pretrain(name: str, *, seed: int, threads: int, out: Path) -> dict[str, Any]:
    """Make tokenizer and model, pretrain by the family's own objective, save both to `out`."""
    if name not in BUILTIN:
        raise RequestError(unknown("built-in model", name, BUILTIN))
    torch.set_num_threads(threads)
    recipe, started = _PRETRAINING[name], time.perf_counter()
    tokenizer = build_tokenizer(name)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = build_model(name, tokenizer)
        batches = pretraining_batches(name, tokenizer, recipe.examples, recipe.batch_size, seed)
        how = Updates(
            learning_rate=recipe.learning_rate,
            weight_decay=recipe.weight_decay,
            what=f"pretraining {name}",
        )
        losses = train(model, batches, steps=recipe.steps, how=how)
    return _save(model, tokenizer, out) | _facts(recipe, losses, started)


def fine_tune_builtin(
    folder: Path, task: str, *, seed: int, threads: int, out: Path
) -> dict[str, Any]:
    """Fine-tune the pretrained built-in model in `folder` on one task and save it to `out`."""
    torch.set_num_threads(threads)
    tokenizer = PreTrainedTokenizerFast.from_pretrained(folder)
    name = tokenizer.init_kwargs["builtin_name"]
    if (name, task) not in _FINE_TUNING:
        raise RequestError(
            unknown(f"task of {name}", task, [t for n, t in _FINE_TUNING if n == name])
        )
    recipe, started = _FINE_TUNING[name, task], time.perf_counter()
    described = tasks.task(task)
    form, train_split = described.form, described.train
    assert train_split is not None  # of the generated language
    examples = [tasks.training_example(described, e) for e in train_split(recipe.examples, seed)]
    with torch.random.fork_rng():
        torch.manual_seed(seed)  # the classifier's new weights
        model = _CLASSES[name, form].from_pretrained(folder, dtype=torch.float32)
    course = Course(
        form=form,
        examples=examples,
        batch_size=recipe.batch_size,
        learning_rate=recipe.learning_rate,
        seed=seed,
        max_tokens=MAX_TOKENS,
        weight_decay=recipe.weight_decay,
        what=f"fine-tuning {name} on {task}",
    )
    losses = fine_tune(model, tokenizer, course, steps=recipe.steps)
    return _save(model, tokenizer, out) | _facts(recipe, losses, started)


def _save(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, out: Path) -> dict[str, Any]:
    model.save_pretrained(out)
    tokenizer.save_pretrained(out)
    return {"parameters": sum(weight.numel() for weight in model.parameters())}


def _facts(recipe: Recipe, losses: list[float], started: float) -> dict[str, Any]:
    seconds = round(time.perf_counter() - started, 3)
    return asdict(recipe) | {"final_loss": losses[-1], "seconds": seconds}
