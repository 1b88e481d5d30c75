"""Which class of the data each output of a classifier's head stands for."""

import re
import unicodedata
from collections.abc import Collection, Mapping, Sequence
from types import SimpleNamespace
from typing import Any

from analysis.errors import RequestError

NO_CLASS = -1  # of an output that the data have no class for
_NUMBERED = re.compile(r"(label[ _-]?)?\d+", re.IGNORECASE)  # names that are none
_OF_A_HEAD = re.compile(r"(^|\.)(classif|score\b|logits_proj|classification_head|seq_relationship)")
_OUTPUTS = 2  # of a classifier whose config says nothing
_SHOWN = 8
_SHORTEST = 3  # letters that a class can be told by
_TURKISH = str.maketrans({"ı": "i", "\u0307": None})
_OTHER_PROBLEMS = {
    "regression": "gives a number",
    "multi_label_classification": "says of each class whether it holds",
}


def classes_of_head(config: Any, classes: Mapping[str, int], *, closed: bool) -> list[int]:
    """For each output of the head its class's number in the data, NO_CLASS where they lack it.

    config    of the model: `num_labels`, `id2label`, `problem_type`
    classes   the name and the number of each class of the data, names may be the numbers; none if
              they are not known: then the outputs are in the data's order
    closed    whether these are all classes that there are, and not those of some rows

    By name, whatever the case, if the head's names have all of the data's, or are short or long for
    those of all classes. By number, if the head numbers its classes in an order of its own. Else
    the head's outputs are in the order of the data's numbers: if these are all classes, the data
    have numbers, or the head no names.

    Raises RequestError, naming both, for a head that does not choose one class of several, has
    other names than the data, or another number of classes.
    """
    outputs, problem = int(config.num_labels), getattr(config, "problem_type", None)
    if problem in _OTHER_PROBLEMS or outputs < 2:
        what = _OTHER_PROBLEMS.get(str(problem), _OTHER_PROBLEMS["regression"])
        raise RequestError(
            f"the model's head {what}, and the data have classes, {_listed(classes)}; give a model"
            " that was trained to choose one of them, or put the task into fine_tune"
        )
    names = [str(config.id2label.get(place, place)) for place in range(outputs)]
    if not classes:
        return list(range(outputs))
    if closed and len(classes) != outputs:
        raise _unlike(names, classes)
    numbers = _numbers(names, _in_full(names, classes) if closed else classes)
    own_names = not _numbered(names)
    words = not all(word == str(number) for word, number in classes.items())
    unlike_words = words and not closed and (own_names or len(classes) != outputs)
    if numbers is None and (unlike_words or max(classes.values()) >= outputs):
        raise _unlike(names, classes)
    return list(range(outputs)) if numbers is None else numbers


def require_classes(
    config: Mapping[str, Any], names: Collection[str], classes: Mapping[str, int], *, closed: bool
) -> None:
    """Raise RequestError if a saved model has no head for these classes.

    config    the parsed config.json
    names     of the stored tensors
    classes, closed   as for `classes_of_head`
    """
    kinds = config.get("architectures") or ()
    own = any("Classification" in str(kind) for kind in kinds)
    if kinds and not own and not any(_OF_A_HEAD.search(name) for name in names):
        raise RequestError(
            f"the model is a {kinds[0]}, without a head for classes; put the task into fine_tune,"
            " or give a model that was trained to classify"
        )
    named = config.get("id2label") or {}
    outputs = len(named) or int(config.get("num_labels") or _OUTPUTS)
    head = SimpleNamespace(
        num_labels=outputs,
        id2label={int(place): name for place, name in named.items()}
        or {place: f"LABEL_{place}" for place in range(outputs)},
        problem_type=config.get("problem_type"),
    )
    classes_of_head(head, classes, closed=closed)


def as_outputs(config: Any, examples: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Training examples, whose `label` is the output of the head that stands for their class, as
    `classes_of_head` has it: by their `label_word`, or number; else the label as it is."""
    classes = {str(e.get("label_word", e["label"])): e["label"] for e in examples}
    names = [str(config.id2label.get(place, place)) for place in range(config.num_labels)]
    numbers = _numbers(names, _in_full(names, classes))
    outputs = {n: place for place, n in enumerate(numbers or ()) if n != NO_CLASS}
    return [
        {key: value for key, value in example.items() if key != "label_word"}
        | {"label": outputs.get(example["label"], example["label"])}
        for example in examples
    ]


def _numbers(names: Sequence[str], classes: Mapping[str, int]) -> list[int] | None:
    """The number of each name of the head, by name or by the numbers that its names are."""
    by_name = _by_name(names, classes)
    if by_name is not None or not _numbered(names) or max(classes.values()) >= len(names):
        return by_name
    found = [int(re.sub(r"\D", "", name)) for name in names]
    words = not all(word == str(number) for word, number in classes.items())
    if sorted(found) != list(range(len(names))) or (words and len(classes) != len(names)):
        return None
    return found


def _numbered(names: Collection[str]) -> bool:
    return all(_NUMBERED.fullmatch(name) for name in names)


def _by_name(names: Collection[str], classes: Mapping[str, int]) -> list[int] | None:
    """The number of each name of the head; None if the data have a class that it has not."""
    for spelt in (_folded, str):  # as it stands where two differ by their case alone
        known = {spelt(word): number for word, number in classes.items()}
        found = [known.get(spelt(name), NO_CLASS) for name in names]
        hit = [number for number in found if number != NO_CLASS]
        if len(known) == len(classes) and sorted(hit) == sorted(classes.values()):
            return found
    return None


def _in_full(names: Collection[str], classes: Mapping[str, int]) -> Mapping[str, int]:
    """The classes under the head's names where these are short for theirs ("POS"), or long, and
    each is of one of them."""
    found = {}
    for word, number in classes.items():
        mine = _folded(word)
        alike = [n for n in names if _folded(n).startswith(mine) or mine.startswith(_folded(n))]
        if len(alike) != 1 or len(_folded(alike[0])) < _SHORTEST:
            return classes
        found[alike[0]] = number
    return found if len(found) == len(classes) else classes


def _folded(name: str) -> str:
    """Whatever the case, the spaces and how accents are written; with a dot on the Turkish i."""
    small = unicodedata.normalize("NFKC", name).casefold().translate(_TURKISH)
    seen = (character for character in small if unicodedata.category(character) != "Cf")
    return re.sub(r"[\s_-]+", " ", "".join(seen)).strip()


def _unlike(names: Collection[str], classes: Mapping[str, int]) -> RequestError:
    shown = {name: place for place, name in enumerate(names)}
    return RequestError(
        f"the data have the classes {_listed(classes)} and the model's head has {len(names)},"
        f" {_listed(shown)}; write the head's names, or its numbers from 0, into the data, give a"
        " model for these classes, or put the task into fine_tune"
    )


def _listed(classes: Mapping[str, int]) -> str:
    """ "negative = 0, positive = 1"; numbers alone where names say no more."""
    ordered = sorted(classes.items(), key=lambda item: item[1])
    shown = [n if n == str(number) else f"{n[:40]} = {number}" for n, number in ordered]
    return ", ".join(shown[:_SHOWN]) + (", …" if len(shown) > _SHOWN else "")
