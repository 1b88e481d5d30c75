"""How a task's scores are counted, and what chance was computed from, in words for a table."""

from analysis.tasks import Task

_ROUGE = {
    "rouge_score": "words of a to z and digits, stemmed",
    "unicode": "words of any script, characters of those without spaces",
}
_UNITS = {
    "word": "per word between white space",
    "character": "per character other than white space",
    "byte": "per byte of UTF-8",
}


def protocol(task: Task, metric: str) -> str:
    """How that metric of the task is counted; empty where nothing is to be chosen."""
    if metric == "bleu":
        return f"sacrebleu's tokenizer {task.tokenizers.get('bleu', '13a')}"
    if metric.startswith("rouge"):
        return _ROUGE[task.tokenizers.get("rouge", "rouge_score")]
    if metric == "perplexity":
        unit = "per token of the data set" if _has_own_words(task) else _UNITS[task.unit]
        ends = "" if task.form == "masked" else ", ends of texts "
        return unit + (ends and ends + ("included" if task.scores_end else "not scored"))
    return ""


def chance_from(task: Task) -> str:
    """What the task's scores of chance were computed from."""
    if task.metrics == ("perplexity",):
        ends = " and ends" if task.scores_end else ""
        return f"how often each {task.unit}{ends} stands in these very texts"
    if task.form == "cloze":
        return "the commonest last word of these examples"
    if task.is_classification:
        return "the best single label for these examples"
    return "another example's target"


def _has_own_words(task: Task) -> bool:
    """Whether its examples say how many words they have."""
    return task.unit == "word" and task.fields != () and task.hub is not None
