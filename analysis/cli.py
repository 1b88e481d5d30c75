"""python -m analysis …: run a study, render its report, profile a model, look at the cache."""

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from analysis import study
from analysis.engine import project, stopping, streams
from analysis.errors import AnalysisError, RequestError, one_line, unknown

_BACKENDS = ("loky",)

app = typer.Typer(
    help="The executable paper on sparsification: run its experiments, render its report.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
cache = typer.Typer(help="Look at the cache.", no_args_is_help=True)
app.add_typer(cache, name="cache")

StudyOption = Annotated[
    str,
    typer.Option(
        "--study",
        "-s",
        envvar=study.VARIABLE,
        help="Name of a study in studies/, or path of a study file.",
    ),
]


@app.callback()
def _common(
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks.")] = False,
) -> None:
    """Options of every command; `--debug` is read in main."""


@app.command("run")
def run_command(
    study_name: StudyOption = study.DEFAULT,
    backend: Annotated[str, typer.Option(help="Where steps run: loky, processes here.")] = "loky",
    jobs: Annotated[
        int,
        typer.Option(min=0, help="Steps side by side; 0 as the study says.", show_default=False),
    ] = 0,
    rehearse: Annotated[
        bool,
        typer.Option("--rehearse", help="On random replicas of true shape: does it fit here?"),
    ] = False,
    tiny: Annotated[
        bool, typer.Option("--tiny", help="Rehearse with toys of each architecture instead.")
    ] = False,
) -> None:
    """Compute all steps of a study that are not remembered yet, and write its results."""
    from analysis.commands.run import run
    from analysis.study import rehearsal

    if backend not in _BACKENDS:
        raise RequestError(unknown("backend", backend, _BACKENDS))
    os.environ[study.VARIABLE] = study_name
    run(study_name, jobs, "tiny" if tiny else "true" if rehearse else rehearsal.chosen())


@app.command("render")
def render_command(
    study_name: StudyOption = study.DEFAULT,
    to: Annotated[str, typer.Option("--to", help="Formats, by commas: html, pdf.")] = "html,pdf",
    engine: Annotated[str, typer.Option(help="auto, quarto or builtin.")] = "auto",
) -> None:
    """Render report.qmd from the study's results, which are computed first if there are none."""
    from analysis import paper, results
    from analysis.paper import data, facts
    from analysis.paper.claims import document
    from analysis.planning import stale
    from analysis.rendering import render

    chosen, folder = study.load(study_name), project.results_folder(study_name)
    os.environ[study.VARIABLE] = study_name
    results.require_writable(folder)
    for line in stale.lines(chosen, folder):
        typer.echo(line, err=True)
    formats = tuple(part.strip() for part in to.split(",") if part.strip())
    if not formats:
        raise RequestError("--to names no format; allowed: html, pdf, or both by a comma")
    document.claims()  # a wrong one is said before anything is rendered
    made = {facts.FILE: facts.metadata(data.load())}
    for path in render(Path.cwd(), project.output_folder(study_name), formats, engine, made):
        typer.echo(f"wrote {path}")
    typer.echo(paper.claims_line())


@app.command("preview")
def preview_command(
    study_name: StudyOption = study.DEFAULT,
    port: Annotated[
        int | None,
        typer.Option(min=1, max=65535, help="Where on localhost; by default 4848, or a free one."),
    ] = None,
) -> None:
    """Show the page as report.qmd is written: an edit is there in seconds, without a reload."""
    from analysis.commands.preview import preview

    preview(study_name, port)


@app.command("facts")
def facts_command(study_name: StudyOption = study.DEFAULT) -> None:
    """Write _facts.yml, which tells Quarto what holds for the study, as pre-render does."""
    from analysis.paper import facts
    from analysis.paper.claims import document

    os.environ[study.VARIABLE] = study_name
    document.claims()  # a wrong one is said before Quarto begins
    facts.write()


@app.command("profile")
def profile_command(
    model: Annotated[
        str, typer.Argument(help="A built-in model, the folder of a saved one, or a hub id.")
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for tables and figures.")],
    revision: Annotated[
        str | None, typer.Option(help="Commit, tag or branch of a hub model.", show_default=False)
    ] = None,
) -> None:
    """Say how a checkpoint's weights are distributed, overall, by layer and by kind."""
    from analysis.commands.profile import profile

    profile(model, revision, out)


@app.command("prune")
def prune_command(
    model: Annotated[
        str | None,
        typer.Argument(help="A built-in model, the folder of a saved one, or a hub id."),
    ] = None,
    method: Annotated[str, typer.Option(help="How: see --list-methods.")] = "magnitude",
    sparsity: Annotated[
        float | None,
        typer.Option(help="Fraction removed of the weights in scope, as 0.5."),
    ] = None,
    pattern: Annotated[
        str | None, typer.Option(help="N:M, such as 2:4, for the nm- methods.", show_default=False)
    ] = None,
    calibration: Annotated[
        str | None,
        typer.Option(
            metavar="FILE|TASK",
            help="Texts for methods that look at inputs: a file, or a built-in task.",
            show_default=False,
        ),
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="New folder for the pruned model.")
    ] = None,
    include: Annotated[
        list[str] | None,
        typer.Option(help="Prune the tensors whose names match, not the method's own choice."),
    ] = None,
    exclude: Annotated[
        list[str] | None, typer.Option(help="Leave the tensors alone whose names match.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="For random weights and a task's texts.")] = 0,
    revision: Annotated[
        str | None, typer.Option(help="Commit, tag or branch of a hub model.", show_default=False)
    ] = None,
    list_methods: Annotated[
        bool, typer.Option("--list-methods", help="List the methods and stop.")
    ] = False,
) -> None:
    """Prune a checkpoint in one shot.

    The result opens with from_pretrained; only that of `structured` takes the project's loader.
    """
    from analysis.commands import prune

    if list_methods:
        typer.echo("\n".join(prune.list_methods()))
        return
    if model is None or out is None or (sparsity is None and pattern is None):
        raise RequestError(
            "prune needs MODEL, --sparsity (or --pattern) and --out; for example `prune tiny-bert"
            " --sparsity 0.5 --out pruned/tiny-bert`; --list-methods lists the methods"
        )
    request = prune.Request(
        method=method,
        sparsity=sparsity,
        pattern=pattern,
        calibration=calibration,
        include=tuple(include or ()),
        exclude=tuple(exclude or ()),
        seed=seed,
    )
    prune.prune(model, revision, request, out)


@app.command("evaluate")
def evaluate_command(
    model: Annotated[
        str | None,
        typer.Argument(help="A built-in model, the folder of a saved one, or a hub id."),
    ] = None,
    task: Annotated[
        str | None, typer.Option(help="The benchmark: see --list-tasks.", show_default=False)
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(help="A file of test examples in place of the task's own."),
    ] = None,
    examples: Annotated[
        int | None, typer.Option(min=1, help="No more than so many.", show_default=False)
    ] = None,
    unit: Annotated[
        str | None,
        typer.Option(
            help="Of a file: perplexity is per word, character or byte.", show_default=False
        ),
    ] = None,
    languages: Annotated[
        str | None,
        typer.Option(metavar="FROM,TO", help="Of a file: what is translated.", show_default=False),
    ] = None,
    format: Annotated[
        str | None,
        typer.Option(
            help="Of a file: json, csv, parquet or text; by its ending.", show_default=False
        ),
    ] = None,
    quotes: Annotated[
        bool | None,
        typer.Option(help="Of CSV: whether cells may stand in quotes.", show_default=False),
    ] = None,
    separator: Annotated[
        str | None,
        typer.Option(help="Of CSV: what stands between cells, as ';'.", show_default=False),
    ] = None,
    device: Annotated[
        str, typer.Option(help="auto, a GPU where there is one, cpu or cuda.")
    ] = "auto",
    revision: Annotated[
        str | None, typer.Option(help="Commit, tag or branch of a hub model.", show_default=False)
    ] = None,
    list_tasks: Annotated[
        bool, typer.Option("--list-tasks", help="List the tasks and stop.")
    ] = False,
) -> None:
    """Put a model to a benchmark; its scores with intervals, as JSON."""
    from analysis.commands import evaluate

    if list_tasks:
        typer.echo("\n".join(evaluate.list_tasks()))
        return
    if model is None or task is None:
        raise RequestError(
            "evaluate needs MODEL and --task; for example `evaluate tiny-bert --task sentiment`;"
            " --list-tasks lists the tasks"
        )
    given = {"unit": unit, "format": format, "quotes": quotes, "separator": separator}
    named: dict[str, object] = {key: value for key, value in given.items() if value is not None}
    if languages is not None:
        named["languages"] = tuple(part.strip() for part in languages.split(","))
    evaluate.evaluate(model, revision, task, data, examples, device, named)


@app.command("plan")
def plan_command(
    study_name: StudyOption = study.DEFAULT,
    rehearse: Annotated[
        bool, typer.Option("--rehearse", help="Of a rehearsal in place of the run.")
    ] = False,
) -> None:
    """Say what a run would need: parameters, downloads, disk, memory, steps, time."""
    from analysis.commands.plan import plan
    from analysis.study import rehearsal

    plan(study_name, "true" if rehearse else rehearsal.chosen())


@app.command("new")
def new_command(
    name: Annotated[str, typer.Argument(help="What the study is called.")],
    model: Annotated[
        list[str] | None,
        typer.Option("--model", "-m", help="A built-in model, a folder or a hub id; repeat it."),
    ] = None,
) -> None:
    """Write a commented study of these models, and its Quarto profile, that run as they are."""
    from analysis.commands.new import new

    for path in new(name, model or ()):
        typer.echo(f"wrote {path}")
    typer.echo(f"see what it takes: python -m analysis plan --study {name}")


@app.command("compress")
def compress_command(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The folder of a saved model.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="New folder for the sparse files.")],
    format: Annotated[
        str,
        typer.Option(help="dense, bitmask, csr16, csr32 or auto, the smallest; each also +zstd."),
    ] = "auto",
) -> None:
    """Write a saved model's safetensors without their zeros; `decompress` gives them back."""
    from analysis.commands.compress import compress

    compress(folder, out, format)


@app.command("decompress")
def decompress_command(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A folder that compress wrote.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="New folder for the model.")],
) -> None:
    """Give back, bit for bit, the folder that `compress` was given."""
    from analysis.commands.compress import decompress

    decompress(folder, out)


@cache.command("status")
def cache_status() -> None:
    """Say what the cache holds: entries and bytes by step. Changes nothing."""
    from analysis.commands.cache_status import status

    status(project.CACHE)


def main() -> None:
    """Run the command line; failures are one line on stderr, exit status as in the design."""
    status, line = _outcome("--debug" in sys.argv[1:])
    unwritten = streams.flush()
    if stopping.asked():
        stopping.end()
    if line or unwritten:
        print(f"error: {line or unwritten}", file=sys.stderr)
    sys.exit(status or (1 if unwritten else 0))


def _outcome(debug: bool) -> tuple[int, str]:
    """The exit status, and the line that says what failed."""
    try:
        return app(standalone_mode=False) or 0, ""
    except AnalysisError as error:
        if debug:
            raise
        return error.exit_status, str(error)
    except typer.TyperException as error:  # of wrong arguments, all of which can say so
        message = one_line(error.format_message()).rstrip(".")  # none where help was shown
        line = f"{message}; `--help` shows what is allowed" if message else ""
        return error.exit_code, line
    except OSError as error:  # of a disk, as a step met it
        if debug:
            raise
        return 1, one_line(f"{error}; run again when that is mended")
    except Exception as error:
        if debug:
            raise
        line = one_line(f"{type(error).__name__}: {error}")
        return 1, f"unexpected {line}; `--debug` before the command shows where"
