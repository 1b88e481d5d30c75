"""Examples in place of a real task's, for a rehearsal: of its form and length, and no meaning."""

import random
from typing import Any

from analysis import language
from analysis.tasks import Example, Task

_TOKENS_PER_WORD = 1.5
_LABELS = 2
_SENTENCE = 30
_SHORT = 12  # words of a target that is written


def stand_ins(task: Task, count: int, seed: int) -> list[Example]:
    """`count` examples with the task's fields: sentences to be labelled, else inputs about as long
    as the task reads at most, the first of them exactly so long."""
    rng = random.Random(seed)
    words = " ".join(language.paragraphs(200, seed)).split()
    most = round(task.max_tokens / _TOKENS_PER_WORD / len(task.inputs))
    length = min(_SENTENCE, most) if task.is_classification else most

    def text(most: int, *, longest: bool = False) -> str:
        size = most if longest else rng.randint(max(1, most // 2), most)
        start = rng.randrange(len(words))
        return " ".join((words * (2 + size // len(words)))[start : start + size])

    def target(number: int) -> Any:
        if task.is_classification:
            return number % _LABELS
        return text(1 if task.form == "cloze" else _SHORT)

    return [
        {
            name: text(length, longest=number == 0 and not task.is_classification)
            for name in task.inputs
        }
        | ({task.target: target(number)} if task.target else {})
        for number in range(count)
    ]
