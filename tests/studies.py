"""Small study files, right and wrong, and how a wrong one is refused."""

from pathlib import Path

import pytest
import yaml

from analysis import study
from analysis.errors import RequestError

ROOT = Path(__file__).parents[1]
STUDIES = ROOT / "studies"


def tree(**changes):
    """The content of a small valid study, changed at the top level."""
    small = {
        "title": "A study",
        "models": [{"name": "tiny-bert", "family": "encoder-only", "tasks": ["sentiment"]}],
        "examples": {"sentiment": 8},
        "methods": ["magnitude"],
        "sparsities": [0.5],
    }
    return small | changes


def model(**changes):
    """One changed model, as a list of models."""
    return [{"name": "tiny-bert", "family": "encoder-only", "tasks": ["sentiment"]} | changes]


EVERYTHING = {
    "methods": ["magnitude", "magnitude-layer", "wanda", "structured", "nm-wanda", "gradual"],
    "sparsities": [0.5, 0.9],
    "patterns": ["2:4", "4:8"],
    "protocols": ["one-shot", "fine-tuned", "distilled"],
    "calibration": {"examples": 4, "tokens": 8},
    "recovery": {"tasks": ["sentiment"], "sparsities": [0.9], "unmasked_at": 0.5},
    "sensitivity": {"tasks": ["sentiment"], "by": "kind", "allocate": [0.5]},
    "alternatives": {"tasks": ["sentiment"], "experts": 8, "run": [4, 2]},
    "formats": ["dense", "bitmask+zstd", "csr32", "auto"],
    "runtime": {"operations": ["forward", "train_step"], "masked_at": 0.9, "task": "sentiment"},
}
LANGUAGE = {
    "models": [
        {"name": "tiny-gpt2", "family": "decoder-only", "tasks": ["language-modelling"]},
        {"name": "tiny-bert", "family": "encoder-only", "tasks": ["sentiment"]},
    ],
    "examples": {"sentiment": 8, "language-modelling": 8},
}


def everything(**changes):
    """A study with everything, its sections changed key by key; None takes a key away."""
    changed = tree(**EVERYTHING)
    for key, value in changes.items():
        both = isinstance(value, dict) and isinstance(changed.get(key), dict)
        changed[key] = changed[key] | value if both else value
        if both:
            changed[key] = {k: v for k, v in changed[key].items() if v is not None}
    return {key: value for key, value in changed.items() if value is not None}


def masked_only(**changes):
    """A study whose methods all take a scope of the study's own."""
    return tree(methods=["magnitude", "wanda", "nm-wanda"]) | changes


def to_file(folder, content, name="mine.yml"):
    """Write text, bytes or a tree to a study file; gives its path."""
    path = folder / name
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        text = content if isinstance(content, str) else yaml.safe_dump(content)
        path.write_text(text, encoding="utf-8")
    return str(path)


def refused(path: str, **options) -> str:
    """The one line with which the study is refused."""
    with pytest.raises(RequestError) as caught:
        study.load(path, **options)
    message = str(caught.value)
    assert len(message.splitlines()) == 1
    assert caught.value.exit_status == 2
    return message


def refused_saying(path: str, says: list[str]):
    """Fails unless the study is refused in one line that names the file and has these words."""
    message = refused(path)
    assert path in message
    for part in says:
        assert part in message
