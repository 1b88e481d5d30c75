"""A checkpoint of any architecture, loaded to run calibration texts through it."""

from collections.abc import Sequence
from pathlib import Path

from transformers import AutoConfig
from transformers.utils import logging

from analysis.calibration import EXAMPLES, TOKENS
from analysis.calibration.batches import calibration_batches, facts
from analysis.calibration.texts import (
    Example,
    Texts,
    form_of,
    in_form,
    of_file,
    of_task,
    tasks_with_texts,
)
from analysis.checkpoints.trust import trusted
from analysis.errors import RequestError
from analysis.models.classes import class_of
from analysis.models.loading import open_model
from analysis.models.opening import CONFIG, opening
from analysis.models.tokenizing import open_tokenizer
from analysis.pruning.calibrated import Calibration


def calibration_of(folder: Path, family: str, texts: str, seed: int) -> Calibration:
    """The model in the folder in float32, and batches of texts: a built-in task's, or a file's, as
    many as a study takes by default.

    Raises RequestError if the model, its tokenizer or the texts cannot be had.
    """
    if trusted(folder)["trust_remote_code"]:
        raise RequestError(f"{folder} holds code of its own, which only runs of a study run")
    with opening(folder, CONFIG):
        config = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        named = (config.architectures or ["AutoModel"])[0]
        model_class = class_of(named)
    tokenizer = open_tokenizer(folder)
    logging.disable_progress_bar()
    read = _texts(texts, family, seed, classifies="Classification" in named)
    return Calibration(
        lambda: open_model(folder, model_class).eval(),
        lambda model: calibration_batches(model, tokenizer, read),
        lambda made: facts(read, made),
    )


def _texts(name: str, family: str, seed: int, *, classifies: bool) -> Texts:
    """The texts of a file or of a task of that name, in the form that such a model reads."""
    path = Path(name)
    named_as_file = name not in tasks_with_texts() and (path.suffix or len(path.parts) > 1)
    if path.is_file() or named_as_file:
        form = form_of(family, classifies=classifies)
        found = of_file(path, form)
    else:
        own, examples = of_task(name, seed)
        form = form_of(family, own, classifies=classifies)

        def found(count: int) -> Sequence[Example]:
            drawn = examples(count)
            return drawn if form == own else [in_form(example, form) for example in drawn]

    found(EXAMPLES)  # a wrong line is told before the model is opened
    return Texts(form, found, EXAMPLES, TOKENS, seed)
