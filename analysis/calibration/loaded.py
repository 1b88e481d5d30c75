"""A checkpoint of any architecture, loaded to run calibration texts through it."""

from pathlib import Path

import transformers
from transformers import AutoConfig, AutoModel, AutoTokenizer, PreTrainedModel
from transformers.utils import logging

from analysis.calibration.batches import calibration_batches
from analysis.calibration.texts import of_file, of_task, tasks_with_texts
from analysis.errors import RequestError
from analysis.models.encoding import Batch
from analysis.models.loading import open_model
from analysis.models.trust import trusted
from analysis.pruning.calibrated import Calibration

EXAMPLES = 128
TOKENS = 256  # of an example; a model with fewer positions gets as many as it has


def calibration_of(folder: Path, family: str, texts: str, seed: int) -> Calibration:
    """The model in the folder in float32, and batches of texts: a built-in task's, or a file's.

    Raises RequestError if the model, its tokenizer or the texts cannot be had.
    """
    path = Path(texts)
    form, examples = (
        of_file(path, family, EXAMPLES)
        if path.is_file()
        or (texts not in tasks_with_texts() and (path.suffix or len(path.parts) > 1))
        else of_task(texts, EXAMPLES, seed)
    )
    try:
        config = AutoConfig.from_pretrained(folder, local_files_only=True, **trusted(folder))
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True, **trusted(folder))
    except (OSError, ValueError, KeyError) as error:
        line = " ".join(str(error).split())
        raise RequestError(
            f"{folder} cannot be run on calibration texts: {line}; it takes config.json and the"
            " tokenizer's files beside the weights"
        ) from error
    if set(tokenizer.get_vocab()) <= {*tokenizer.all_special_tokens, "▁"}:  # made up, of no file
        raise RequestError(
            f"{folder} has no tokenizer, so texts cannot be run through its model; put the"
            " tokenizer's files (such as tokenizer.json) beside the weights"
        )
    logging.disable_progress_bar()
    named = (config.architectures or ["AutoModel"])[0]
    model_class = getattr(transformers, named, AutoModel)
    limit = getattr(config, "max_position_embeddings", None) or TOKENS

    def batches(model: PreTrainedModel) -> list[Batch]:
        made = calibration_batches(model, tokenizer, form, examples, min(TOKENS, limit))
        most = max(int(batch["input_ids"].max()) for batch in made)
        if most >= model.get_input_embeddings().get_parameter("weight").shape[0]:
            raise RequestError(
                f"the tokenizer in {folder} knows more tokens than the model has embeddings for;"
                " put the model's own tokenizer there"
            )
        return made

    return Calibration(lambda: open_model(folder, model_class).eval(), batches)
