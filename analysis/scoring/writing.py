"""Text-to-text: what a model writes from a source, or the label that it writes."""

from collections.abc import Sequence
from typing import Any

from analysis.models.encoding import Batch, positions
from analysis.models.languages import first_tokens, set_languages, tagged
from analysis.scoring.form import Form, Read, asking, each_once, only
from analysis.tasks import Example, Task, source_text

NO_LABEL = -1  # of an answer that is none of the task's words


def label_of(text: str, words: Sequence[str]) -> int:
    """Which of the words the text is, whatever its case; NO_LABEL if it is none."""
    known = {word.strip().casefold(): i for i, word in enumerate(words)}
    return known.get(text.strip().casefold(), NO_LABEL)


def _read(model: Any, tokenizer: Any, task: Task, examples: Sequence[Example]) -> Read:
    set_languages(tokenizer, task.languages)
    first_tokens(model, tokenizer, task.languages)  # refuses what it cannot be told
    distinct, places = each_once([source_text(task, example) for example in examples])
    most = min(task.max_tokens, positions(model, tokenizer) or task.max_tokens)
    encoded = tokenizer(tagged(tokenizer, distinct), truncation=True, max_length=most)
    rows = [{"input_ids": ids} for ids in encoded["input_ids"]]
    return Read(rows, range(len(rows)), places)


def _answers(model: Any, tokenizer: Any, task: Task, batch: Batch) -> list[Any]:
    with asking(model):
        written = model.generate(**batch, **_options(model, tokenizer, task))
    texts = tokenizer.batch_decode(written, skip_special_tokens=True)
    # Pegasus has a token for a new line that is spelt so
    texts = [text.replace("<n>", "\n").strip() for text in texts]
    return [label_of(text, task.label_words) for text in texts] if task.label_words else texts


def _options(model: Any, tokenizer: Any, task: Task) -> dict[str, Any]:
    """What `generate` is told beyond the checkpoint's own settings.

    How much is written is one of these: `max_length` counts the token that begins the text,
    `max_new_tokens` does not. Where the checkpoint says neither, the task does. What a study says
    comes before both.
    """
    options: dict[str, Any] = first_tokens(model, tokenizer, task.languages)
    # one text for each source, however long it takes
    options |= {"do_sample": False, "num_return_sequences": 1, "return_dict_in_generate": False}
    options["max_time"] = None
    if task.beams is not None:
        options["num_beams"] = task.beams
    options |= task.generation
    if (most := most_written(model, task)) != _own_limit(model):
        options["max_new_tokens"] = most
    return options


def beams_of(model: Any, task: Task) -> int:
    """How many texts are written side by side, of which the best is kept."""
    own = getattr(model.generation_config, "num_beams", None)
    return int(task.generation.get("num_beams") or task.beams or own or 1)


def most_written(model: Any, task: Task) -> int:
    """How many tokens are written at most; the first position begins the text. What the tokenizer
    says is of what is read."""
    most = task.generation.get("max_new_tokens") or _own_limit(model) or task.max_new_tokens
    places = getattr(model.config, "max_decoder_position_embeddings", None) or positions(model)
    return min(most, (places or most + 1) - 1)


def _own_limit(model: Any) -> int | None:
    """How many tokens the checkpoint's own settings allow; None if they say nothing."""
    own = model.generation_config
    if own.max_new_tokens is not None:
        return int(own.max_new_tokens)
    return None if own.max_length is None else int(own.max_length) - 1


def _protocol(model: Any, tokenizer: Any, task: Task) -> str:
    beams, languages = beams_of(model, task), " to ".join(task.languages or ())
    said = ["greedy" if beams == 1 else f"{beams} beams"]
    said.append(f"{most_written(model, task):,} tokens at most")
    for name, value in task.generation.items():
        if name not in ("num_beams", "max_new_tokens"):
            said.append(f"{name.replace('_', ' ')} {str(value).lower()}")
    return ", ".join([*said, *([f"from {languages}"] if languages else [])])


TEXT_TO_TEXT = Form(_read, _answers, only, _protocol)
