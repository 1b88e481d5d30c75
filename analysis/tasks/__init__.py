"""Benchmarks: one small file each, all under one contract, and none of them heavy to import.

A task is a module with `TASK`, a `Task`. What is shared by tasks stands in `analysis.tasks`;
how answers are had and scored, in `analysis.scoring`; how examples are read, in `analysis.data`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from analysis.engine import registry

PACKAGE = "analysis.tasks.benchmarks"

Example = dict[str, Any]
Row = Mapping[str, Any]
WRITES = ("causal", "text-to-text")  # forms that a model can be asked to write in


@dataclass(frozen=True)
class HubData:
    """A data set on the hub, from which a task's examples come unless a study names files.

    path       "organisation/name"
    name       which configuration of it, if it has several
    files      a pattern of the paths of a split's files, with {name} and {split}; `*` is any
               characters
    revision   a commit, or "main" where none is known: then the commit found is recorded
    split      the part that is the benchmark; `train` that for training and calibration
    columns    field of a row -> the data set's column, "translation.en" for a nested one; fields
               that are not named have the columns' own names
    examples, train_examples   how many `split` and `train` have, for plans; of articles, windows of
               a thousand tokens
    """

    path: str
    name: str | None = None
    revision: str = "main"
    split: str = "test"
    train: str | None = "train"
    files: str = "{name}/{split}-*.parquet"
    columns: Mapping[str, str] = field(default_factory=dict)
    examples: int | None = None
    train_examples: int | None = None

    def source(self, split: str) -> dict[str, Any]:
        """One part of it, as `analysis.data.reading.read` takes it."""
        return {
            "kind": "hub",
            "path": self.path,
            "files": self.files.format(name=self.name, split=split),
            "revision": self.revision,
            "columns": dict(self.columns),
        }


@dataclass(frozen=True)
class Published:
    """A score that the model's own publication has on this task, and where it was read."""

    value: float
    source: str


@dataclass(frozen=True)
class Task:
    """One benchmark.

    form          how it is answered: "classification"; "causal", the likelihood of texts; "cloze",
                  the last word of a text; "masked", the likelihood of each word given all others;
                  "text-to-text"
    inputs        the fields of an example that the model reads
    target        the field that it is compared with (None: the text itself)
    metrics       names in analysis.scoring.metrics; the first is the one that figures show
    best          metric -> the best score that any model can reach, where it is known; a
                  generated language's "perplexity" comes from the examples' own probabilities
    generate      (count, seed) -> examples of the test split of the generated language
    train         (count, seed) -> training examples, likewise
    hub           where the examples of a real task come from
    examples_of   rows as they are read -> examples, where they are not the same; a row has the
                  fields in `fields`
    fields        of a row; by default the inputs and the target
    prompt        of a text-to-text task, how the source is made of the inputs: "sst2 sentence:
                  {sentence}"; by default it is the first input
    classes       of a classification, where its labels have names: name -> number
    label_words   of a text-to-text task whose target is a label: the words that stand for 0, 1, …
    languages     of a translation: from, to, for models that must be told; empty where the data
                  have to name them
    unit          what a perplexity is per: "word", between white space, or, for languages that do
                  not separate words, "character" other than white space, or "byte" of UTF-8; where
                  an example's own field `words` says how many it has, it is believed
    scores_end    whether the end of a text is foreseen too, as the last of its tokens
    tokenizers    by which words written texts are compared (see `scoring.scripts.tokenizers`)
    max_tokens    of an input, longer ones are cut (texts of a "causal" task are read in windows)
    max_new_tokens, beams    of what is written; beams None: as the checkpoint's own settings say
    generation    what `generate` is told whatever the checkpoint's settings and the two above say
    published     hub id of a model -> metric -> its published score
    """

    title: str
    measures: str
    form: str
    inputs: tuple[str, ...]
    target: str | None
    metrics: tuple[str, ...]
    best: Mapping[str, float] = field(default_factory=dict)
    generate: Callable[[int, int], list[Example]] | None = None
    train: Callable[[int, int], list[Example]] | None = None
    hub: HubData | None = None
    examples_of: Callable[[Sequence[Row]], list[Example]] | None = None
    fields: tuple[str, ...] = ()
    prompt: str = ""
    classes: Mapping[str, int] = field(default_factory=dict)
    label_words: tuple[str, ...] = ()
    languages: tuple[str, ...] | None = None
    unit: str = "word"
    scores_end: bool = False
    tokenizers: Mapping[str, str] = field(default_factory=dict)
    max_tokens: int = 256
    max_new_tokens: int = 32
    beams: int | None = 1
    generation: Mapping[str, Any] = field(default_factory=dict)
    published: Mapping[str, Mapping[str, Published]] = field(default_factory=dict)
    licence: str = "MIT (generated)"

    @property
    def split(self) -> str:
        """The part of the data that is the benchmark."""
        return self.hub.split if self.hub else "test"

    @property
    def revision(self) -> str:
        """Of the data, where no other was found when they were read."""
        return self.hub.revision if self.hub else "1"

    @property
    def is_classification(self) -> bool:
        """Whether its answers are labels, however they are given."""
        return self.form == "classification" or bool(self.label_words)

    @property
    def knows_all_classes(self) -> bool:
        """Whether its classes are all that there are, as those of a benchmark, and not those of
        some rows."""
        return self.hub is not None and bool(self.classes)

    @property
    def row_fields(self) -> tuple[str, ...]:
        """The fields that a row of its data has to have."""
        return self.fields or (*self.inputs, *((self.target,) if self.target else ()))


def references(task: Task, examples: Sequence[Example]) -> list[Any]:
    """What the predictions are held against."""
    if task.target is None:
        counted = [len(units(task, example[task.inputs[0]])) for example in examples]
        if task.unit != "word":
            return counted
        return [e.get("words", count) for e, count in zip(examples, counted, strict=True)]
    return [example[task.target] for example in examples]


def units(task: Task, text: str) -> Sequence[str | int]:
    """The words of a text, its characters or its bytes, as the task counts."""
    if task.unit == "byte":
        return text.encode()
    words = text.split()
    return words if task.unit == "word" else "".join(words)


def source_text(task: Task, example: Example) -> str:
    """What a text-to-text model reads of an example."""
    return task.prompt.format(**example) if task.prompt else str(example[task.inputs[0]])


def training_example(task: Task, example: Example) -> Example:
    """The example as models are trained on it, under the names that all tasks of a form share.

    Classification: `first`, `label` and, for pairs, `second`; `label_word` where the class has a
    name. Text-to-text: `source`, `target` and, of a translation, `languages`. All others: `text`.
    """
    if task.form == "classification":
        names = dict(zip(("first", "second"), task.inputs, strict=False))
        chosen = {name: example[own] for name, own in names.items()}
        label = example[str(task.target)]
        named = {number: word for word, number in task.classes.items()}
        word = example.get("label_word", named.get(label))
        return chosen | {"label": label} | ({} if word is None else {"label_word": word})
    if task.form == "text-to-text":
        target = example[str(task.target)]
        written = task.label_words[target] if task.label_words else target
        found = {"source": source_text(task, example), "target": written}
        return found | ({"languages": list(task.languages)} if task.languages else {})
    return {"text": " ".join(str(example[own]) for own in (*task.inputs, task.target) if own)}


def training_form(task: Task) -> str:
    """The form in which its training examples are read: "cloze" texts are learnt from whole."""
    return "causal" if task.form == "cloze" else task.form


def names() -> list[str]:
    """The names of all tasks."""
    return registry.names(PACKAGE)


def task(name: str, settings: Mapping[str, Any] | None = None) -> Task:
    """The task of that name. Raises RequestError, with the nearest name, if there is none.

    settings   fields that its data decide, as their record has them (see `steps.data.read_test`)
    """
    found: Task = registry.module(PACKAGE, "task", name).TASK
    plain: dict[str, Any] = {
        key: tuple(value) if isinstance(value, list) else value
        for key, value in (settings or {}).items()
    }
    return replace(found, **plain)


def module_name(name: str) -> str:
    """The module that describes the task; its code is part of an evaluation's key."""
    return registry.module_name(PACKAGE, name)
