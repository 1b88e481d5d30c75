"""Alternatives to pruning: other ways to make a trained model smaller or faster.

An alternative whose modules the architecture lacks is a checkpoint as any other, with a file
ALTERNATIVE beside it that says its kind. Its safetensors file holds all of its tensors, so that its
bytes are the model's. A kind is a module here with

    plain(tensors, facts)           the float32 weights that the architecture knows, by name
    attach(model, tensors, facts)   puts the kind's own modules into a model filled with these

where tensors are the file's, and facts what stands in ALTERNATIVE.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from analysis.errors import RequestError
from analysis.files import replace_text

ALTERNATIVE = "alternative.json"


def read_alternative(folder: Path) -> dict[str, Any] | None:
    """The facts of the alternative in a folder, its `kind` among them; None if there is none.

    Raises RequestError if the file is damaged.
    """
    path = folder / ALTERNATIVE
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, RecursionError) as error:
        raise RequestError(f"{path} cannot be read: {error}; make that model again") from error
    if not isinstance(facts, dict) or not isinstance(facts.get("kind"), str):
        raise RequestError(
            f"{path} does not say which kind of alternative this is: it needs an object with a"
            " text `kind`; make that model again"
        )
    return facts


def write_alternative(folder: Path, kind: str, facts: Mapping[str, Any]) -> None:
    """Write the kind and its facts, which are JSON's, beside the tensors."""
    text = json.dumps({**facts, "kind": kind}, sort_keys=True)
    replace_text(folder / ALTERNATIVE, text + "\n")
