"""The class of transformers that a config names: a string that anybody may have written."""

from typing import Any

import transformers
from transformers import AutoModel, PreTrainedModel


def class_of(name: object) -> Any:
    """The model's class of that name, or AutoModel where the name is of nothing that is a model."""
    found = getattr(transformers, name, None) if isinstance(name, str) else None
    models = (PreTrainedModel, *AutoModel.__bases__)
    return found if isinstance(found, type) and issubclass(found, models) else AutoModel
