"""Small study files, right and wrong, and how a wrong one is refused."""

from pathlib import Path

import pytest
import yaml

from analysis import study
from analysis.errors import RequestError

ROOT = Path(__file__).parents[1]
STUDIES = ROOT / "studies"
KEYS = yaml.safe_load((ROOT / "tests" / "study_keys.yml").read_text(encoding="utf-8"))
BASES = KEYS["bases"]
BERT, HUB, OWN = (BASES[name]["models"][0] for name in ("small", "hub", "own"))


def tree(**changes):
    """The content of a small valid study, changed at the top level."""
    return BASES["small"] | changes


def of(*models, **changes):
    """A study of these models; how many examples they answer need not be said."""
    return tree(models=list(models), examples={}) | changes


def changed(content, change):
    """The mapping changed key by key; None takes a key away, `model` changes the first model."""
    change = dict(change)
    if "model" in change:
        first, *others = content["models"]
        change["models"] = [changed(first, change.pop("model")), *others]
    for key, value in change.items():
        if isinstance(value, dict) and isinstance(content.get(key), dict):
            change[key] = changed(content[key], value)
    return {key: value for key, value in (content | change).items() if value is not None}


def everything(**changes):
    """A study with everything, changed key by key; None takes a key away."""
    return changed(BASES["everything"], changes)


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
        pytest.fail(f"not refused: {study.load(path, **options).text}")
    message = str(caught.value)
    assert len(message.splitlines()) == 1
    assert caught.value.exit_status == 2
    return message


def refused_saying(path: str, says: list[str]):
    """Fails unless the study is refused in one line that names the file and has these words."""
    message = refused(path)
    for part in (path, *map(str, says)):
        assert part in message, (part, message)
