"""A checkpoint of any architecture, loaded to run calibration texts through it."""

from pathlib import Path

import transformers
from transformers import AutoConfig, AutoModel, PreTrainedModel
from transformers.utils import logging

from analysis.calibration.batches import calibration_batches
from analysis.calibration.texts import of_file, of_task, tasks_with_texts
from analysis.errors import RequestError
from analysis.models.encoding import Batch
from analysis.models.loading import open_model
from analysis.models.tokenizing import open_tokenizer
from analysis.models.trust import trusted, without_own_code
from analysis.pruning.calibrated import Calibration

EXAMPLES = 128
TOKENS = 256  # of an example; a model with fewer positions gets as many as it has


def calibration_of(folder: Path, family: str, texts: str, seed: int) -> Calibration:
    """The model in the folder in float32, and batches of texts: a built-in task's, or a file's.

    Raises RequestError if the model, its tokenizer or the texts cannot be had.
    """
    if trusted(folder)["trust_remote_code"]:
        raise RequestError(f"{folder} holds code of its own, which only runs of a study run")
    path = Path(texts)
    form, examples = (
        of_file(path, family, EXAMPLES)
        if path.is_file()
        or (texts not in tasks_with_texts() and (path.suffix or len(path.parts) > 1))
        else of_task(texts, EXAMPLES, seed)
    )
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

    def batches(model: PreTrainedModel) -> list[Batch]:
        made = calibration_batches(model, tokenizer, form, examples, TOKENS)
        most = max(int(batch["input_ids"].max()) for batch in made)
        if most >= model.get_input_embeddings().get_parameter("weight").shape[0]:
            raise RequestError(
                f"the tokenizer in {folder} knows more tokens than the model has embeddings for;"
                " put the model's own tokenizer there"
            )
        return made

    return Calibration(lambda: open_model(folder, model_class).eval(), batches)
