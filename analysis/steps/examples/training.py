"""Training examples of a task: of the generated language, or drawn from what was read of files."""

from analysis import tasks
from analysis.engine.objects import Objects
from analysis.errors import RunError
from analysis.steps.examples.stored import drawn, read_examples
from analysis.tasks import Example

ALL = "all"


def training_examples(
    objects: Objects, task_name: str, training: str | None, count: int | str, seed: int
) -> tuple[str, list[Example]]:
    """The form of the task and `count` training examples, as `tasks.training_example` has them.

    training   the object of the task's training examples; None for the generated language, which
               makes as many as are asked for
    count      of examples, drawn with the seed; "all" (or more than there are) takes them in order

    Raises RunError if the task generates none and no object is given.
    """
    described = tasks.task(task_name)
    form = tasks.training_form(described)
    if training is not None:
        return form, drawn(
            read_examples(objects, training), None if count == ALL else int(count), seed
        )
    if described.train is None or count == ALL:
        raise RunError(
            f"{task_name} has no training examples here; name a file `train` of it in the study's"
            " `data`"
        )
    made = described.train(int(count), seed)
    return form, [tasks.training_example(described, example) for example in made]
