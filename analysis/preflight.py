"""What a study needs and cannot be had, found before the first step and said all at once."""

from pathlib import Path

from analysis import data_calls, model_calls
from analysis.data_calls import source
from analysis.display import Display
from analysis.errors import RequestError
from analysis.memo import Memo
from analysis.models import naming
from analysis.models.axes import config_of
from analysis.models.checkpoint import open_checkpoint
from analysis.models.outside import no_blocks
from analysis.study import Model, Study


def require_all(study: Study, memo: Memo, shown: Display) -> None:
    """See that every model and data set is remembered, at hand or to be downloaded.

    Raises RequestError if any is not, once all of them have been listed with what would help.
    """
    lacking = missing(study, memo)
    for line in lacking:
        shown.say(f"missing: {line}")
    if lacking:
        more = f" and {len(lacking) - 1} more, listed above" if len(lacking) > 1 else ""
        raise RequestError(f"{lacking[0]}{more}")


def missing(study: Study, memo: Memo) -> list[str]:
    """One line for each thing that cannot be had: what is wrong, and what fetches it."""
    if study.rehearsal:
        return []
    found: list[str | None] = []
    for task in study.tasks:
        for part in ("test", "train"):
            where = None if data_calls.is_generated(study, task) else source(study, task, part)
            if where is not None:
                found.append(_missing_data(study, memo, task, part))
    for model in study.models:
        if model.source == "hub" and memo.lookup(model_calls.base(study, model, 0, {})) is None:
            from analysis.data.missing import missing_model

            found.append(missing_model(str(model.id), model.revision))
        if model.source == "local":
            found.append(_without_blocks(study, model))
    return list(dict.fromkeys(line for line in found if line))


def _without_blocks(study: Study, model: Model) -> str | None:
    """The line on a saved model of which the study's methods know nothing to prune."""
    folder = Path(str(model.path)).expanduser()
    if (
        study.include
        or set(study.methods) <= {"magnitude-all"}
        or not any(folder.glob("*.safetensors"))
    ):
        return None  # what is pickled is opened by torch, and not before a run
    shapes = {name: tensor.shape for name, tensor in open_checkpoint(folder).tensors.items()}
    if any(what.prunable for what in naming.weights(shapes).values()):
        return None
    return f"{model.name}: {no_blocks(config_of(folder), shapes)} (in a study: `include`)"


def _missing_data(study: Study, memo: Memo, task: str, part: str) -> str | None:
    """The line on a task's data; files are looked for even where their content is remembered."""
    where = source(study, task, part)
    assert where is not None
    if where["kind"] == "hub":
        make = data_calls.test_examples if part == "test" else data_calls.training_examples
        call = make(study, task)
        if call is None or memo.lookup(call) is not None:
            return None
    from analysis.data.missing import missing_data

    return missing_data(where)
