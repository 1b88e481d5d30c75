"""A study file's text as YAML says it: plain values, or one line with what is wrong and where.

YAML guesses more than a study means: a date, 2:4 and 010 are text here, and a key that stands twice
an error.
"""

import re
from collections.abc import Hashable
from pathlib import Path
from typing import Any

import yaml
from yaml.constructor import ConstructorError

from analysis.errors import RequestError, short

_MOST_BYTES = 1_000_000  # a study has a few thousand; what has more is another file
_TEXT = "tag:yaml.org,2002:str"
_OTHER_BASE = re.compile(
    r"[-+]?(0[0-9_]+|[0-9_]+(:[0-5]?[0-9])+(\.[0-9_]*)?)"
)  # 2:4 is 124, 010 is 8
_HELP = {  # for what YAML complains of: what is mostly behind it
    "character '\\t'": "indent with spaces, not with tabs",
    "mapping values are not allowed": "put a colon and a space behind the key, here and on the line"
    " before, indent as the lines around, and put a value that has a colon in quotes",
    "but found '<scalar>'": "put a value that begins with a bracket or a quote in quotes, whole",
    "<block end>": "indent all keys of a mapping, and all items of a list, alike",
    "could not find expected ':'": "write `key: value`, an item as `- item`, a comment behind `#`",
    "alias": "put a value that begins with * in quotes",
    "cannot start any token": "put a value that begins with a sign in quotes",
    "constructor for the tag '!": "put a value that begins with ! in quotes",
    "expected ',' or": "close the bracket, and put a comma between values",
}
_MERGE = "tag:yaml.org,2002:merge"
_TIMESTAMP = "tag:yaml.org,2002:timestamp"


class Loader(yaml.SafeLoader):
    """A safe loader that refuses a key that stands twice: the last would silently win."""

    def resolve(self, kind: Any, value: Any, implicit: Any) -> Any:
        """A number to the base of 60 or 8 is text: nobody means one."""
        if kind is yaml.ScalarNode and implicit[0] and _OTHER_BASE.fullmatch(value):
            return _TEXT
        return super().resolve(kind, value, implicit)

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        """A value that its tag does not fit is an error with its place, as all others are."""
        try:
            return super().construct_object(node, deep)
        except (ValueError, TypeError, ArithmeticError, LookupError, AttributeError) as error:
            raise ConstructorError(
                None, None, f"no {node.tag.rpartition(':')[2]}: {error}", node.start_mark
            ) from error

    def construct_scalar(self, node: Any) -> Any:
        """A text that no file could hold, by an escape such as "\\ud800", is an error too."""
        found = super().construct_scalar(node)
        if isinstance(found, str) and re.search("[\ud800-\udfff]", found):
            raise ConstructorError(None, None, "this holds what is no text", node.start_mark)
        return found

    def flatten_mapping(self, node: yaml.MappingNode) -> None:
        """Merge what `<<` names: one mapping; lists of them could grow beyond any memory."""
        seen: set[Hashable] = set()
        for key, value in node.value:
            if key.tag == _MERGE and not isinstance(value, yaml.MappingNode):
                raise ConstructorError(
                    None, None, "`<<` takes one mapping, such as *name", value.start_mark
                )
            name = _MERGE if key.tag == _MERGE else self.construct_object(key, deep=True)
            if not isinstance(name, Hashable):
                raise ConstructorError(None, None, "a key is text", key.start_mark)
            if name in seen:
                said = "<<" if name == _MERGE else name
                raise ConstructorError(
                    None, None, f"the key {short(repr(said))} stands twice", key.start_mark
                )
            seen.add(name)
        super().flatten_mapping(node)
        # the mapping's own keys stand behind those that are merged, and win; it may be merged again
        node.value = list(
            {
                self.construct_object(key, deep=True): (key, value) for key, value in node.value
            }.values()
        )


Loader.yaml_implicit_resolvers = {
    first: [(tag, rule) for tag, rule in rules if tag != _TIMESTAMP]
    for first, rules in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def read(path: Path) -> str:
    """The text of a study file. Raises RequestError if it cannot be read."""
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise RequestError(f"{path} has more than a megabyte, which no study has; give a study")
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise RequestError(
            f"{path}, line {line}: this is not UTF-8 text; save the study as UTF-8"
        ) from error
    except OSError as error:
        raise RequestError(f"cannot read {path}: {error.strerror or error}") from error


def parsed(path: Path, text: str) -> dict[Any, Any]:
    """What the YAML of a study says, by key. Raises RequestError, with the line, if it is none."""
    try:
        tree = yaml.load(text, Loader)
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise RequestError(
            f"{path}, line {line}: the character {error.character!r} may not stand in YAML; remove"
            " it"
        ) from error
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"{path}, line {mark.line + 1}" if mark else str(path)
        said = ", ".join(part for part in (error.context, error.problem) if part)
        advice = next((told for part, told in _HELP.items() if part in said), "mend the line")
        raise RequestError(f"{where}: this is no YAML of a study: {said}; {advice}") from error
    except yaml.YAMLError as error:
        raise RequestError(f"{path} is no YAML: {error}") from error
    except RecursionError as error:
        raise RequestError(f"{path} is nested too deeply for a study") from error
    if not isinstance(tree, dict):
        raise RequestError(f"{path}: a study is a mapping of keys such as title, models, methods")
    return tree
