"""Computes a study: everything that is not remembered yet, then the result tables."""

import shutil
import time
from collections.abc import Mapping

from analysis import environment, machine, pipeline, project, results, study
from analysis.display import Display, display
from analysis.errors import RequestError
from analysis.memo import Memo
from analysis.runner import Runner, Tally, complete


def run(study_name: str, jobs: int = 0) -> None:
    """Run the study of that name or path and write its results, `jobs` steps side by side.

    With 0 jobs the study says how many.

    Raises RequestError before anything is computed if the study is wrong, RunError if a step
    fails; what had been computed by then is kept.
    """
    start = time.perf_counter()
    chosen = study.load(study_name)
    if chosen.compute.device == "cuda" and not machine.has_accelerator():
        raise RequestError("compute.device: cuda, but there is no GPU here; use auto or cpu")
    memo = Memo(project.CACHE)
    memo.prepare()
    folder = project.results_folder(study_name)
    results.require_writable(folder)
    with display() as shown:
        shown.say(f"study {chosen.name}: {chosen.title}")
        runner = Runner(memo, jobs or chosen.compute.jobs, shown)
        rows = complete(runner, pipeline.run_study(chosen, runner))
        seconds = time.perf_counter() - start
        tables = results.build(rows)
        results.write(tables, environment.describe(chosen, runner.tallies, seconds), folder)
        _summarise(shown, runner.tallies)
        shown.say(f"results in {folder} after {time.perf_counter() - start:.1f} s")


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
