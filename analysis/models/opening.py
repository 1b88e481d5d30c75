"""The one place in which transformers opens a checkpoint's files, whatever they run it into."""

import contextlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import torch
from tokenizers import Tokenizer
from transformers import AutoConfig, GenerationConfig

from analysis.checkpoints.config import require_object
from analysis.checkpoints.trust import trusted
from analysis.errors import AnalysisError, RequestError, short

CONFIG = ("config.json",)
MODEL = (
    "config.json",
    "generation_config.json",
    "model.safetensors.index.json",
    "pytorch_model.bin.index.json",
)
TOKENIZER = (
    "config.json",
    "tokenizer_config.json",
    "tokenizer.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
)
_SHOWN = 300
_WHOLE = "tokenizer.json"  # which is right if it can be read by itself
_MEND = "mend that file, copy the model again, or save it again"
_ALONE: Mapping[str, Callable[[Path], object]] = {  # what reads such a file, and nothing else
    "config.json": lambda path: AutoConfig.from_pretrained(path.parent, **trusted(path.parent)),
    "generation_config.json": lambda path: GenerationConfig.from_pretrained(path.parent),
    _WHOLE: lambda path: Tokenizer.from_file(str(path)),
}


@contextlib.contextmanager
def opening(folder: Path, files: tuple[str, ...]) -> Iterator[None]:
    """Inside files of a checkpoint are opened, or a model is made of what they say.

    files   those that are read, of which the first that is no JSON is named

    Raises RequestError for code of the checkpoint's own that may not run, and for whatever else the
    values of its files run into. That memory is short is no such failure.
    """
    try:
        yield
    except (AnalysisError, MemoryError, torch.OutOfMemoryError):
        raise
    except Exception as error:
        said = short(" ".join(str(error).split()), _SHOWN)
        if "trust_remote_code" in str(error):
            raise RequestError(
                f"{folder} cannot be opened without the code that came with it, which is not run;"
                " where you trust that code, put the model of the hub into a study with"
                " remote_code: true and its commit as revision"
            ) from error
        there = [name for name in files if (folder / name).is_file()]
        for name in there:
            require_object(folder / name)
            _require_readable(folder / name)
        read = ", ".join(name for name in there if name != _WHOLE) or f"no {files[0]}"
        what = f"{folder} cannot be opened ({read}): {type(error).__name__}"
        raise RequestError(f"{what}{': ' if said else ''}{said}; {_MEND}") from error


def _require_readable(path: Path) -> None:
    """Raise RequestError for a file that cannot be read even by itself."""
    try:
        _ALONE.get(path.name, lambda _: None)(path)
    except Exception as error:
        said = short(" ".join(str(error).split()), _SHOWN)
        raise RequestError(f"{path} cannot be opened: {said}; {_MEND}") from error
