"""A task's test examples, with the scores of chance and of the best possible model; and examples
to decide by, which for real tasks come from the training examples."""

import json
import math
import random
from collections import Counter
from typing import Any

from analysis.engine.objects import Objects
from analysis.errors import RunError
from analysis.scoring.metrics import score
from analysis.steps.examples.stored import read_examples
from analysis.tasks import Example, Task, references, task, units


def make_examples(objects: Objects, *, task_name: str, count: int, seed: int) -> dict[str, Any]:
    """Record: the examples as JSON lines, their digest, chance and best by metric."""
    described = task(task_name)
    found = _generated(described, count, seed)
    return described_examples(objects, described, found) | {"settings": {}}


def _generated(described: Task, count: int, seed: int) -> list[Example]:
    if described.generate is None:
        raise RunError(f"{described.title}: is read from data, not generated")
    return described.generate(count, seed)


def described_examples(
    objects: Objects, described: Task, examples: list[Example]
) -> dict[str, Any]:
    """Record of these examples, as of `make_examples`."""
    text = "".join(json.dumps(example, sort_keys=True) + "\n" for example in examples)
    digest = objects.put_bytes(text.encode())
    return {
        "data": {"object": digest},
        "data_sha256": digest,
        "examples": len(examples),
        "sample": examples[:3],
        "chance": chance(described, examples),
        "best": best(described, examples),
    }


def make_validation(
    objects: Objects,
    *,
    task_name: str,
    count: int,
    seed: int,
    test: str,
    training: str | None,
    settings: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Record, as of `make_examples`, of examples to decide by: none of them is in the test data.

    test      the test examples' object; a task of few sentences draws some of them again
    training  the object of a real task's training examples, from which they are drawn: no part of
              its data is kept for this alone, and fine-tuning may have seen them; None generates
              them
    settings  the fields of the task that these data decide
    """
    described = task(task_name, settings)
    known = {_inputs(described, example) for example in read_examples(objects, test)}
    if training is None:
        found = _generated(described, 2 * count + len(known), seed)
    else:
        found = read_examples(objects, training)
        random.Random(seed).shuffle(found)  # files may be sorted, by their labels even
    fresh = {_inputs(described, example): example for example in found}  # each but once
    chosen = [example for key, example in fresh.items() if key not in known][:count]
    if len(chosen) < count:
        raise RunError(
            f"{task_name}: only {len(chosen)} validation examples are none of the test's; ask for"
            " fewer"
        )
    return described_examples(objects, described, chosen) | {"settings": settings or {}}


def _inputs(described: Task, example: Example) -> tuple[str, ...]:
    return tuple(str(example[field]) for field in described.inputs)


def chance(described: Task, examples: list[Example]) -> dict[str, float]:
    """The score of the best simple answer that ignores the input, by metric.

    Classification: the best constant label, for each metric its own. The likelihood of texts: the
    perplexity of the text's own word frequencies. A last word: the commonest one. Text-to-text:
    another example's target.
    """
    if described.metrics == ("perplexity",):
        return {"perplexity": _unigram_perplexity(described, examples)}
    if described.form == "cloze":
        words = Counter(e[str(described.target)] for e in examples)
        return {"accuracy": words.most_common(1)[0][1] / len(examples)}
    expected = references(described, examples)
    if described.is_classification:
        answers = [[label] * len(expected) for label in sorted(set(expected))]
    else:
        answers = [expected[1:] + expected[:1]]
    scores = [
        score(described.metrics, answer, expected, described.tokenizers) for answer in answers
    ]
    return {name: max(s[name]["value"] for s in scores) for name in described.metrics}


def best(described: Task, examples: list[Example]) -> dict[str, float]:
    """The best score that any model can reach, by metric, where it is known.

    The perplexity of generated texts is the grammar's own, from the exact probability of each.
    """
    if described.form != "causal" or "log_probability" not in examples[0]:
        return dict(described.best)
    log_probability = sum(e["log_probability"] for e in examples)
    words = sum(references(described, examples))
    return {"perplexity": math.exp(-log_probability / words)}


def _unigram_perplexity(described: Task, examples: list[Example]) -> float:
    """exp of the entropy of words, and of text ends where these are scored, counted on the texts
    themselves, per word."""
    texts = [example[described.inputs[0]] for example in examples]
    counts: Counter[str | int] = Counter(word for text in texts for word in units(described, text))
    counts["\0end"] = len(texts) if described.scores_end else 0
    total = counts.total()
    nats = -sum(n * math.log(n / total) for n in counts.values() if n)
    return math.exp(nats / sum(references(described, examples)))
