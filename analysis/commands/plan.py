"""Says what a run of a study will need before it starts: memory, disk, downloads, steps, time."""

import shutil
import sys
from collections.abc import Iterable
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table

from analysis import study, tasks
from analysis.checkpoints.outside import outside_line
from analysis.engine import limits, machine, project
from analysis.engine.memo import Memo
from analysis.engine.memory import duration, gigabytes
from analysis.errors import RequestError
from analysis.experiments.costs import Estimate, Setting, Size
from analysis.planning.counts import Counted, counted
from analysis.planning.estimates import estimate, measured_speed
from analysis.planning.models import size
from analysis.planning.preflight import missing, refused
from analysis.planning.walk import Planned, steps
from analysis.study import Model, Study
from analysis.study.rehearsal import Kind, rehearsed

Counts = dict[tuple[str, str], Counted]  # by task and part
_PARTS = ("test", "train")
_EXAMPLES = 1000  # of a task whose size is known only with its data
# tokens of most examples of tasks whose limit is far above: of a sentence, of a short passage
_SHORT = {"classification": 32, "masked": 32, "cloze": 100}
_OF_TRANSLATION = 40
_BEAMS = 4  # of checkpoints that say themselves how many


@dataclass
class Part:
    """What one model comes to."""

    size: Size
    remembered: int = 0
    to_compute: int = 0
    seconds: float = 0.0
    memory_bytes: float = 0.0
    largest: str = ""
    disk_bytes: float = 0.0


def plan(study_name: str, rehearse: Kind = "") -> None:
    """Print what a run will need; computes and downloads nothing.

    Raises RequestError if the study is wrong, or a file of it is not there, once all that is
    missing has been listed.
    """
    chosen = rehearsed(study.load(study_name), rehearse)
    memo, console = Memo(project.CACHE), Console()
    lacking = missing(chosen, memo)
    try:
        parts = parts_of(chosen, memo)
    except RequestError as error:
        if not lacking:
            raise
        raise refused(lacking, lambda line: _say(console, [line])) from error
    _say(console, (f"missing: {line}" for line in lacking))
    console.print(_table(chosen, parts))
    _say(console, _totals(chosen, parts))


def _say(console: Console, lines: Iterable[str]) -> None:
    for line in lines:
        console.print(line, markup=False, highlight=False, soft_wrap=True)


def parts_of(chosen: Study, memo: Memo) -> dict[str, Part]:
    """What is needed by model; steps that serve all of them stand under an empty name."""
    share = min(1.0, chosen.compute.threads / limits.cores())
    speed = share * measured_speed()
    counts = {(t, part): counted(chosen, t, part) for t in chosen.tasks for part in _PARTS}
    parts = {model.name: Part(size(chosen, model, memo)) for model in chosen.models}
    parts[""] = Part(Size(0))
    for step in steps(chosen, memo):
        model, task = _about(chosen, step)
        part = parts[model.name if model else ""]
        if step.is_remembered:
            part.remembered += 1
            continue
        part.to_compute += 1
        setting = _setting(chosen, part.size, task, step, speed, counts)
        taken = estimate(step.call, setting)
        part.seconds += taken.seconds
        part.disk_bytes += taken.disk_bytes
        _note_peak(part, step, taken)
    return parts


def _note_peak(part: Part, step: Planned, found: Estimate) -> None:
    if found.memory_bytes > part.memory_bytes:
        part.memory_bytes, part.largest = found.memory_bytes, step.call.label


def _about(chosen: Study, step: Planned) -> tuple[Model | None, str]:
    """The model and the task that a step is on: its label begins with them."""
    about, _, what = step.call.label.partition(": ")
    words = [*about.split("/"), what.rpartition(" for ")[2]]
    model = next((model for model in chosen.models if model.name == words[0]), None)
    task = next((word for word in words[1:] if word in chosen.tasks), "")
    return model, task or (model.tasks[0] if model else chosen.tasks[0])


def _setting(
    chosen: Study, known: Size, task: str, step: Planned, speed: float, counts: Counts
) -> Setting:
    described, test = tasks.task(task), counts[task, "test"]
    tokens = min(described.max_tokens, known.positions, test.tokens or described.max_tokens)
    short = _OF_TRANSLATION if described.languages is not None else _SHORT.get(described.form)
    tokens = min(tokens, short or tokens)
    examples = min(
        chosen.examples.get(task) or test.examples or _EXAMPLES, test.examples or sys.maxsize
    )
    if chosen.sensitivity is not None and step.call.step == "measure_sensitivity":
        examples = chosen.sensitivity.examples
    writes = described.form == "text-to-text"
    longest = min(described.max_new_tokens, short or described.max_new_tokens)
    written = longest * (described.beams or _BEAMS) if writes else 0
    learnt = counts[task, "train"].examples
    return Setting(known, described.form, tokens, examples, speed, learnt, written)


def _table(chosen: Study, parts: dict[str, Part]) -> Table:
    title = f"study {chosen.name}{', rehearsal' if chosen.rehearsal else ''}"
    header = ("model", "parameters", "peak memory", "disk", "steps", "known", "time")
    table = Table(*header, title=title)
    for column in table.columns:
        column.no_wrap = True
    for column in table.columns[1:]:
        column.justify = "right"
    for name, part in parts.items():
        weights = part.size.parameters
        table.add_row(
            name or "examples",
            "" if not name else "unknown" if weights is None else f"{weights:,}",
            gigabytes(part.memory_bytes) if part.to_compute else "",
            gigabytes(part.disk_bytes) if part.to_compute else "",
            f"{part.to_compute:,}",
            f"{part.remembered:,}",
            duration(part.seconds) if part.to_compute else "",
        )
    return table


def _totals(chosen: Study, parts: dict[str, Part]) -> Iterable[str]:
    """What the run needs as a whole, and what this machine has."""
    jobs = chosen.compute.jobs
    computed = sum(part.to_compute for part in parts.values())
    remembered = sum(part.remembered for part in parts.values())
    yield f"{computed:,} steps to compute, {remembered:,} remembered; {jobs} at a time"
    download = sum(
        4 * (parts[model.name].size.parameters or 0)
        for model in chosen.models
        if model.source == "hub" and not chosen.rehearsal and parts[model.name].to_compute
    )
    if download:
        yield f"download: about {gigabytes(download)} of weights, if none is cached"
    disk, free = sum(p.disk_bytes for p in parts.values()), _free_bytes()
    yield f"disk: about {gigabytes(disk)}; {gigabytes(free)} are free" + (
        ": NOT ENOUGH" if disk > free else ""
    )
    for name, part in parts.items():
        if part.size.outside is not None:
            yield f"{name}: {outside_line(part.size.outside)}"
    memory = machine.memory_bytes()
    for name, part in parts.items():
        if part.memory_bytes > memory:
            yield (
                f"memory: {name} NEEDS MORE than the {gigabytes(memory)} here:"
                f" {gigabytes(part.memory_bytes)} for {part.largest!r}"
            )
    yield f"memory: this machine has {gigabytes(memory)}"
    seconds = sum(part.seconds for part in parts.values()) / jobs
    yield f"time: about {duration(seconds)} on this processor; a GPU takes a small part of it"
    unknown = [name for name, part in parts.items() if part.size.parameters is None]
    if unknown:
        yield f"nothing is known of {', '.join(unknown)} before it is there: not counted"
    if not computed:
        yield "everything is remembered: a run only writes the tables"


def _free_bytes() -> int:
    folder = next(p for p in project.CACHE.absolute().parents if p.is_dir())
    return shutil.disk_usage(folder).free
