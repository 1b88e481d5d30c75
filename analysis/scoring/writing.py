"""Text-to-text: what a model writes from a source, or the label that it writes."""

from collections.abc import Sequence
from typing import Any

from analysis.models.encoding import Batch, positions, set_languages
from analysis.scoring.form import Form, Read, each_once, only
from analysis.tasks import Example, Task, source_text

NO_LABEL = -1  # of an answer that is none of the task's words


def label_of(text: str, words: Sequence[str]) -> int:
    """Which of the words the text is, whatever its case; NO_LABEL if it is none."""
    known = {word.strip().casefold(): i for i, word in enumerate(words)}
    return known.get(text.strip().casefold(), NO_LABEL)


def _read(model: Any, tokenizer: Any, task: Task, examples: Sequence[Example]) -> Read:
    set_languages(tokenizer, task.languages)
    distinct, places = each_once([source_text(task, example) for example in examples])
    most = min(task.max_tokens, positions(model, tokenizer) or task.max_tokens)
    encoded = tokenizer(distinct, truncation=True, max_length=most)
    rows = [{"input_ids": ids} for ids in encoded["input_ids"]]
    return Read(rows, range(len(rows)), places)


def _answers(model: Any, tokenizer: Any, task: Task, batch: Batch) -> list[Any]:
    written = model.generate(**batch, **_options(model, tokenizer, task))
    texts = tokenizer.batch_decode(written, skip_special_tokens=True)
    # Pegasus has a token for a new line that is spelt so
    texts = [text.replace("<n>", "\n").strip() for text in texts]
    return [label_of(text, task.label_words) for text in texts] if task.label_words else texts


def _options(model: Any, tokenizer: Any, task: Task) -> dict[str, Any]:
    """What `generate` is told beyond the checkpoint's own settings."""
    most = (positions(model, tokenizer) or task.max_new_tokens + 1) - 1  # the first begins the text
    options: dict[str, Any] = {"max_new_tokens": min(task.max_new_tokens, most), "do_sample": False}
    if task.beams is not None:
        options["num_beams"] = task.beams
    if task.languages and hasattr(tokenizer, "get_lang_id"):
        options["forced_bos_token_id"] = tokenizer.get_lang_id(task.languages[1])
    return options


TEXT_TO_TEXT = Form(_read, _answers, only)
