"""A task's test examples, with the scores of chance and of the best possible model."""

import json
import math
from collections import Counter
from typing import Any

from analysis.errors import RunError
from analysis.objects import Objects
from analysis.scoring.metrics import score
from analysis.tasks import Example, Task, references, task


def make_examples(objects: Objects, *, task_name: str, count: int, seed: int) -> dict[str, Any]:
    """Record: the examples as JSON lines, their digest, chance and best by metric."""
    described = task(task_name)
    return _record(objects, described, described.generate(count, seed))


def _record(objects: Objects, described: Task, examples: list[Example]) -> dict[str, Any]:
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
    objects: Objects, *, task_name: str, count: int, seed: int, test: str
) -> dict[str, Any]:
    """Record, as of `make_examples`, of examples to decide by: none of them is in the test data.

    test   the test examples' object; a task of few sentences draws some of them again
    """
    described = task(task_name)
    known = {_inputs(described, example) for example in read_examples(objects, test)}
    drawn = described.generate(2 * count + len(known), seed)
    fresh = {_inputs(described, example): example for example in drawn}  # each but once
    chosen = [example for key, example in fresh.items() if key not in known][:count]
    if len(chosen) < count:
        raise RunError(
            f"{task_name}: only {len(chosen)} validation examples are none of the test's; ask for"
            " fewer"
        )
    return _record(objects, described, chosen)


def _inputs(described: Task, example: Example) -> tuple[str, ...]:
    return tuple(str(example[field]) for field in described.inputs)


def read_examples(objects: Objects, digest: str) -> list[Example]:
    """The examples of a record's data object."""
    lines = objects.open(digest).read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


def chance(described: Task, examples: list[Example]) -> dict[str, float]:
    """The score of the best simple answer that ignores the input, by metric.

    Classification: the best constant label, for each metric its own. Causal: the perplexity of the
    text's own word frequencies. Text-to-text: another example's target.
    """
    if described.form == "causal":
        return {"perplexity": _unigram_perplexity([e[described.inputs[0]] for e in examples])}
    expected = references(described, examples)
    if described.form == "classification":
        answers = [[label] * len(expected) for label in sorted(set(expected))]
    else:
        answers = [expected[1:] + expected[:1]]
    scores = [score(described.metrics, answer, expected) for answer in answers]
    return {name: max(s[name]["value"] for s in scores) for name in described.metrics}


def best(described: Task, examples: list[Example]) -> dict[str, float]:
    """The best score that any model can reach, by metric.

    For perplexity it is the grammar's own, from the exact probability of each text.
    """
    if described.form != "causal":
        return described.best
    log_probability = sum(e["log_probability"] for e in examples)
    words = sum(references(described, examples))
    return {"perplexity": math.exp(-log_probability / words)}


def _unigram_perplexity(texts: list[str]) -> float:
    """exp of the entropy of words and text ends, counted on the texts themselves, per word."""
    counts = Counter(word for text in texts for word in text.split())
    words = counts.total()
    counts["\0end"] = len(texts)
    total = counts.total()
    nats = -sum(n * math.log(n / total) for n in counts.values())
    return math.exp(nats / words)
