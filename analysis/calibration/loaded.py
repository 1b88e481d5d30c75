"""A checkpoint of any architecture, loaded to run calibration texts through it."""

from collections.abc import Sequence
from pathlib import Path

import transformers
from transformers import AutoConfig, AutoModel, PreTrainedModel
from transformers.utils import logging

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
from analysis.errors import RequestError
from analysis.models.encoding import Batch
from analysis.models.loading import open_model
from analysis.models.tokenizing import open_tokenizer
from analysis.models.trust import trusted, without_own_code
from analysis.pruning.calibrated import Calibration
from analysis.sections import Calibration as Amount


def calibration_of(folder: Path, family: str, texts: str, seed: int) -> Calibration:
    """The model in the folder in float32, and batches of texts: a built-in task's, or a file's, as
    many as a study takes by default.

    Raises RequestError if the model, its tokenizer or the texts cannot be had.
    """
    if trusted(folder)["trust_remote_code"]:
        raise RequestError(f"{folder} holds code of its own, which only runs of a study run")
    try:
        with without_own_code(folder):
            config = AutoConfig.from_pretrained(
                folder, local_files_only=True, trust_remote_code=False
            )
        tokenizer = open_tokenizer(folder)
    except (OSError, ValueError, KeyError) as error:
        line = " ".join(str(error).split())
        raise RequestError(
            f"{folder} cannot be run on calibration texts: {line}; it takes config.json and the"
            " tokenizer's files beside the weights"
        ) from error
    logging.disable_progress_bar()
    named = (config.architectures or ["AutoModel"])[0]
    model_class = getattr(transformers, named, AutoModel)
    read = _texts(texts, family, seed, classifies="Classification" in named)

    def batches(model: PreTrainedModel) -> list[Batch]:
        made = calibration_batches(model, tokenizer, read)
        most = max(int(batch["input_ids"].max()) for batch in made)
        if most >= model.get_input_embeddings().get_parameter("weight").shape[0]:
            raise RequestError(
                f"the tokenizer in {folder} knows more tokens than the model has embeddings for;"
                " put the model's own tokenizer there"
            )
        return made

    return Calibration(
        lambda: open_model(folder, model_class).eval(), batches, lambda made: facts(read, made)
    )


def _texts(name: str, family: str, seed: int, *, classifies: bool) -> Texts:
    """The texts of a file or of a task of that name, in the form that such a model reads."""
    path, amount = Path(name), Amount()
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

    found(amount.examples)  # a wrong line is told before the model is opened
    return Texts(form, found, amount.examples, amount.tokens, seed)
