"""Computes a study: everything that is not remembered yet, then the result tables."""

import shutil
import time
from collections.abc import Mapping

from analysis import pipeline, results, study
from analysis.engine import machine, memory, project
from analysis.engine.display import Display, display
from analysis.engine.memo import Memo
from analysis.engine.runner import Runner, Tally, complete
from analysis.errors import RunError
from analysis.experiments import placement
from analysis.planning.preflight import require_all
from analysis.results import Row, environment
from analysis.study.rehearsal import Kind, rehearsed


def run(study_name: str, jobs: int = 0, rehearse: Kind = "") -> None:
    """Run the study of that name or path and write its results, `jobs` steps side by side.

    With 0 jobs the study says how many. A rehearsal runs it on random replicas (see `rehearsal`).
    A step that fails is a row of the results that says so; others go on, and the last line says
    how many failed.

    Raises RequestError before anything is computed if the study is wrong or what it needs cannot
    be had, RunError if the machine fails; or, with the tables written, if nothing can be scored or
    the study's first method failed on every model. What had been computed by then is kept.
    """
    start = time.perf_counter()
    chosen = _with_jobs(rehearsed(study.load(study_name), rehearse), jobs)
    placement.require_device(chosen.compute.device, "compute.device: cuda")
    memo = Memo(project.CACHE)
    before = memory.objects(memo.folder)
    folder = project.results_folder(study_name)
    results.require_writable(folder)
    machine.sweep()
    with display() as shown:
        shown.say(f"study {chosen.name}: {chosen.title}")
        if rehearse:
            shown.say("rehearsal: random weights, no result means anything")
        require_all(chosen, memo, shown)
        runner = Runner(memo, chosen.compute.jobs, shown)
        rows = complete(runner, pipeline.run_study(chosen, runner))
        seconds = time.perf_counter() - start
        tables = results.build(rows)
        added = memory.bytes_of(memory.objects(memo.folder) - before)
        needed = runner.needs.described(added, seconds)
        described = environment.describe(chosen, runner.tallies, seconds, needed)
        kept = environment.after(described, folder / results.ENVIRONMENT)
        results.write(tables, kept, folder)
        _summarise(shown, runner.tallies)
        _say_shared(shown, rows["tasks"])
        for line in memory.described_lines(needed, chosen.compute.jobs):
            shown.say(line)
        for label, reason in runner.failures.items():
            shown.say(f"failed: {label}: {reason}")
        shown.say(f"results in {folder} after {time.perf_counter() - start:.1f} s")
        if runner.failures:
            _require_worth(chosen, tables, runner.failures)
            shown.say(
                f"{len(runner.failures)} steps failed: listed above and in"
                f" {folder / 'failures.csv'}; all others are there. Run again to try them again"
            )


def _with_jobs(chosen: study.Study, jobs: int) -> study.Study:
    """The study with so many jobs, which share the memory; with 0 as it says."""
    if not jobs:
        return chosen
    return chosen.model_copy(update={"compute": chosen.compute.model_copy(update={"jobs": jobs})})


def _say_shared(shown: Display, listed: list[Row]) -> None:
    """Of which tasks some test examples are among the training examples too."""
    shared = {row["task"]: row for row in listed if row.get("also_trained_on")}
    for task, row in shared.items():
        shown.say(
            f"{task}: {row['also_trained_on']:,} of {row['examples']:,} test examples are among the"
            " training examples too, so scores may be too good"
        )


def _require_worth(
    chosen: study.Study, tables: results.Tables, failures: Mapping[str, str]
) -> None:
    """Raise RunError if the failures left nothing to speak of: not one score, or of the study's
    first method, which leads figures and claims, not one variant."""
    first = ": ".join(next(iter(failures.items())))
    if not len(tables["quality"]):
        raise RunError(f"nothing could be scored; the first of {len(failures)} failures: {first}")
    variants, method = tables["variants"], chosen.methods[0]
    leading = variants[variants["method"] == method]
    if (leading["status"] == "failed").all():
        raise RunError(
            f"{method}, the study's first method, failed on every model; the tables are written"
            f" all the same. The first of {len(failures)} failures: {first}"
        )


def _summarise(shown: Display, tallies: Mapping[str, Tally]) -> None:
    """What was computed, what was remembered, and how long computing took (over all workers)."""
    width = min(78, shutil.get_terminal_size().columns)
    shown.say("-" * width)
    shown.say(f"{'step':<22}{'computed':>10}{'remembered':>12}{'seconds':>10}")
    for step, tally in tallies.items():
        computed = tally.computed + tally.repaired
        shown.say(f"{step:<22}{computed:>10}{tally.remembered:>12}{tally.seconds:>10.1f}")
    computed = sum(t.computed + t.repaired for t in tallies.values())
    remembered = sum(t.remembered for t in tallies.values())
    total = sum(t.seconds for t in tallies.values())
    shown.say(f"{'all':<22}{computed:>10}{remembered:>12}{total:>10.1f}")
