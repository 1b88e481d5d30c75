"""How many training examples a study needs of a task."""

from analysis import pruning, tasks
from analysis.study import Study
from analysis.study.model_fits import is_tuned
from analysis.study.sections import ALL, Pretraining, Training, Tuning

_REHEARSED = 64  # stand-ins for training examples, if no training takes more at once
_MOST_UNTRAINED = 4096  # training examples that are kept of a task that only calibrates
_FEW_TOKENS = 10  # of a short text


def rehearsed(study: Study) -> int:
    """How many stand-ins a rehearsal trains on: a whole batch of each of the study's trainings."""
    tunings: list[Tuning | Pretraining] = [study.fine_tuning]
    for model in study.models:
        tunings += [found for found in (model.fine_tuning, model.pretraining) if found]
    trainings: list[Training] = []
    if study.recovery is not None:
        trainings += [study.recovery.training, study.recovery.gradual]
    if study.alternatives is not None:
        trainings.append(study.alternatives.student)
    return max(_REHEARSED, *(found.batch_size for found in (*tunings, *trainings)))


def is_learnt_from(study: Study, task: str) -> bool:
    """Whether a step calibrates, trains or decides by examples of the task."""
    if any(pruning.kind(method) != "weights" for method in study.methods):
        return True
    sections = (study.recovery, study.sensitivity, study.alternatives)
    if any(section is not None and task in section.tasks for section in sections):
        return True
    return any(
        task in model.tasks and (model.source == "scratch" or is_tuned(model, task))
        for model in study.models
    )


def training(study: Study, task: str) -> int | None:
    """How many are needed at most; None is all."""
    wanted: list[int | str] = [_calibrating(study, task)]
    for model in study.models:
        if task in model.tasks and task in (model.fine_tune or ()):
            wanted.append((model.fine_tuning or study.fine_tuning).examples)
        if task in model.tasks and model.source == "scratch":
            wanted.append(ALL)
    if study.recovery is not None and task in study.recovery.tasks:
        wanted += [study.recovery.training.examples, study.recovery.gradual.examples]
    if study.alternatives is not None and task in study.alternatives.tasks:
        wanted.append(study.alternatives.student.examples)
    if ALL in wanted:
        return None
    return max(_MOST_UNTRAINED, *(int(count) for count in wanted))


def _calibrating(study: Study, task: str) -> int:
    """How many texts calibration may read: of causal models' so many as fill its windows, should
    they be as short as captions."""
    amount, packed = study.calibration, tasks.training_form(tasks.task(task)) == "causal"
    return amount.examples * amount.tokens // _FEW_TOKENS if packed else amount.examples
