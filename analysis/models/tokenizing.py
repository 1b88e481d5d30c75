"""The tokenizer that came with a checkpoint."""

from pathlib import Path

from transformers import AutoTokenizer, PreTrainedTokenizerBase

from analysis.checkpoints.trust import trusted
from analysis.errors import RequestError
from analysis.models.opening import TOKENIZER, opening


def open_tokenizer(folder: Path) -> PreTrainedTokenizerBase:
    """The tokenizer in a checkpoint's folder.

    Raises RequestError if there is none, for which transformers would make up one that knows no
    word, or if it needs code that may not run.
    """
    with opening(folder, TOKENIZER):
        found: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(
            folder, local_files_only=True, **trusted(folder)
        )
        longest = found.model_max_length
        if not isinstance(longest, int | float) or not longest > 0:
            raise ValueError(f"model_max_length is {longest!r}, and counts tokens")
        known = {*found.all_special_tokens, "▁"}
        is_empty = all(token in known for token in found.get_vocab())
    if is_empty:
        raise RequestError(
            f"{folder} has no tokenizer, so texts cannot be run through its model; put the"
            " tokenizer's files (such as tokenizer.json) beside the weights"
        )
    return found
