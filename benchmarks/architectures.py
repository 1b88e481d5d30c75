"""What each architecture can do here: tiny random models, each through the project and beside plain
transformers; writes docs/models.md.

    python -m benchmarks.architectures [--only NAME] [--state FOLDER]

What was found of an architecture is kept in the state's folder, so that a run that was stopped goes
on; without it, or with a new one, everything is tried anew. `architectures.yml` lists them.
"""

import argparse
import contextlib
import io
import json
import os
import re
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import torch
import transformers
import yaml
from transformers.models.auto import modeling_auto

from analysis.checkpoints.checkpoint import open_checkpoint
from analysis.commands.prune import Request, prune
from analysis.engine import project
from analysis.errors import AnalysisError
from analysis.models.encoding import IGNORED
from analysis.models.loading import load_model
from analysis.models.units import KNOWN as WITH_UNITS
from analysis.profile.checkpoint import profile
from analysis.pruning.prunable import prunable, scope_of
from analysis.scoring.predict import predict, prepare
from analysis.tasks import Task
from analysis.training.vocabulary import learn_tokenizer

HERE = Path(__file__).parent
PAGE = HERE.parent / "docs" / "models.md"
REGISTRY = yaml.safe_load((HERE / "architectures.yml").read_text(encoding="utf-8"))
STATE = Path("cache") / "architectures"
POSITIONS, WRITTEN = 96, 7  # tokens that are read, and that are written
TEXTS = [
    "the food was good and the staff was kind",
    "a slow film",
    "nobody here would call the room clean, and the end of it never came",
    "the service was not bad at all",
    "kind words",
    "the long way home was the best of it, said the man who had come by train",
]
# a form of task, and transformers' classes for it by type
FORMS = {
    "classification": modeling_auto.MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING_NAMES,
    "causal": modeling_auto.MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
    "masked": modeling_auto.MODEL_FOR_MASKED_LM_MAPPING_NAMES,
    "text-to-text": modeling_auto.MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING_NAMES,
}
PRUNINGS: dict[str, dict[str, Any]] = {
    "magnitude": {"method": "magnitude", "sparsity": 0.5},
    "2:4": {"method": "nm-magnitude", "pattern": "2:4"},
    "Wanda": {"method": "wanda", "sparsity": 0.5, "calibration": "texts.txt"},
    "structured": {"method": "structured", "sparsity": 0.2, "calibration": "texts.txt"},
}
CLOSE = 1e-4  # of a likelihood: what rounding may change


@dataclass
class Found:
    """What one architecture can do.

    family    by the blocks that its tensors' names show
    share     of the blocks' weights that are in scope
    tied      how many tensors repeat others
    does      by column: "yes", or why not
    """

    family: str = ""
    share: float | None = None
    tied: int = 0
    outside: list[str] = field(default_factory=list)
    does: dict[str, str] = field(default_factory=dict)


def names() -> list[str]:
    """The architectures of the registry, by their `model_type`."""
    return sorted(REGISTRY["architectures"])


def forms(name: str) -> dict[str, str]:
    """The forms of task that the architecture is for, with transformers' class for each."""
    known = {form: classes[name] for form, classes in FORMS.items() if name in classes}
    own = next(form for form in ("text-to-text", "masked", "causal") if form in known)
    return {form: known[form] for form in ("classification", own) if form in known}


_FAMILIES = {"text-to-text": "encoder-decoder", "masked": "encoder-only", "causal": "decoder-only"}


def own_form(name: str) -> str:
    """The form of task that the architecture was pretrained for."""
    return [*forms(name)][-1]


def tokenizer_of(name: str) -> Any:
    """A small tokenizer, learnt on the spot."""
    return learn_tokenizer(_FAMILIES[own_form(name)], TEXTS * 3, size=300, max_tokens=POSITIONS)


def config_of(name: str, tokenizer: Any) -> Any:
    """A config of that architecture, as small as its rules allow."""
    kind = transformers.models.auto.configuration_auto.CONFIG_MAPPING[name]
    known = kind()
    ids = {n: getattr(tokenizer, n) for n in ("pad_token_id", "bos_token_id", "eos_token_id")}
    ids["decoder_start_token_id"] = ids["bos_token_id"]
    given = {"vocab_size": len(tokenizer), **ids, **REGISTRY["sizes"]}
    given = {
        size: value
        for size, value in given.items()
        if (hasattr(known, size) or size in ids)
        and not isinstance(getattr(kind, size, None), property)  # what follows from others
    }
    return kind(**given | {"num_labels": 3} | (REGISTRY["architectures"][name] or {}))


def write(name: str, form: str, folder: Path) -> None:
    """A model of the architecture for that form of task and its tokenizer, the same each time."""
    tokenizer = tokenizer_of(name)
    torch.manual_seed(0)
    made = getattr(transformers, forms(name)[form])(config_of(name, tokenizer)).eval()
    with torch.no_grad():
        for parameter in made.parameters():  # large, so that answers differ
            if parameter.dim() > 1:
                parameter.normal_(0, 0.25)
    if made.can_generate():  # settings of the checkpoint's own, which an evaluation follows
        made.generation_config.update(max_length=WRITTEN, num_beams=1, do_sample=False)
    made.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def look(name: str, folder: Path) -> Found:
    """Everything that is asked of an architecture; `folder` is emptied afterwards."""
    found, known, own = Found(), forms(name), own_form(name)
    for form in known:
        try:
            write(name, form, folder / form)
        except Exception as error:
            found.does[form] = f"not made: {_line(error)}"
    if own in found.does:
        return found
    record = profile(open_checkpoint(folder / own))
    found.family, found.tied = record["family"] or "", len(record["tied"])
    _scope(found, folder / own)
    (folder / "texts.txt").write_text("\n".join(TEXTS) + "\n", encoding="utf-8")
    for title, asked in PRUNINGS.items():
        if title == "structured" and name not in WITH_UNITS:
            found.does[title] = "no"
            continue
        found.does[title] = _tried(lambda a=asked, t=title: _pruned(folder, own, a, t))
    for form in known:
        if form not in found.does:
            found.does[form] = _tried(lambda f=form: _agrees(folder / f, f))
    return found


def _scope(found: Found, folder: Path) -> None:
    with contextlib.suppress(AnalysisError), scope_of(folder, prunable) as model:
        found.share = 1 - model.outside["share"]
        found.outside = list(model.outside["largest"])


def _pruned(folder: Path, own: str, asked: dict[str, Any], title: str) -> str:
    """Whether it is pruned as asked; where a refusal says what to leave out, whether it then is."""
    request = dict(asked)
    if "calibration" in request:
        request["calibration"] = str(folder / request["calibration"])
    out, without = folder / f"pruned-{title.replace(':', '-')}", ""
    try:
        prune(str(folder / own), None, Request(**request), out)
    except AnalysisError as error:
        request["exclude"] = re.findall(r"--exclude '([^']+)'", str(error))
        if not request["exclude"]:
            raise
        try:
            prune(str(folder / own), None, Request(**request), out)
        except AnalysisError:
            raise error from None
        without = "only with " + " ".join(f"`--exclude '{glob}'`" for glob in request["exclude"])
    said = json.loads((out / "pruning.json").read_text(encoding="utf-8"))
    if title != "structured":
        if abs(said["achieved"] - 0.5) > 0.01:
            return f"WRONG: {said['achieved']:.0%} are zero, not 50 %"
        getattr(transformers, _class_of(folder / own)).from_pretrained(out)
    return without or "yes"


def _class_of(folder: Path) -> str:
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    return str(config["architectures"][0])


def _task(form: str) -> Task:
    """A task of that form over plain texts."""
    metric = {"classification": "accuracy", "text-to-text": "rouge1"}.get(form, "perplexity")
    target = {"classification": "label", "text-to-text": "target"}.get(form)
    return Task(form, form, form, ("text",), target, (metric,), max_tokens=48)


def _agrees(folder: Path, form: str) -> str:
    """Whether the project answers as plain transformers does, one row at a time, unpadded."""
    task = _task(form)
    examples = [{"text": text, "label": 0, "target": text} for text in TEXTS]
    model, tokenizer = load_model(folder, form, "cpu")
    inputs = prepare(model, tokenizer, task, examples, len(TEXTS))
    plain = getattr(transformers, _class_of(folder)).from_pretrained(folder, dtype=torch.float32)
    try:
        with torch.inference_mode():
            rows = [_PLAIN[form](plain.eval(), tokenizer, row, task) for row in inputs.read.rows]
    except Exception as error:
        return f"plain transformers fail: {_line(error)}"
    parts: dict[int, list[Any]] = {}
    for owner, answer in zip(inputs.read.owners, rows, strict=True):
        parts.setdefault(owner, []).append(answer)
    theirs = [parts[place] for place in inputs.read.places]
    ours = predict(model, tokenizer, task, inputs)
    if form in ("classification", "text-to-text"):
        wrong = sum([one] != other for one, other in zip(ours, theirs, strict=True))
        return "yes" if not wrong else f"WRONG: {wrong} of {len(ours)} answers differ"
    off = max(abs(a - sum(b)) / abs(sum(b)) for a, b in zip(ours, theirs, strict=True))
    return "yes" if off <= CLOSE else f"WRONG: likelihoods off by {off:.2%}"


def _ids(row: Any) -> dict[str, torch.Tensor]:
    return {
        n: torch.tensor([ids]) for n, ids in row.items() if n in ("input_ids", "token_type_ids")
    }


def _label(model: Any, _tokenizer: Any, row: Any, _task: Task) -> int:
    return int(model(**_ids(row)).logits.argmax())


def _causal(model: Any, _tokenizer: Any, row: Any, _task: Task) -> float:
    logs = model(**_ids(row)).logits[0].double().log_softmax(-1)
    labels = row["labels"]
    return sum(float(logs[i - 1, y]) for i, y in enumerate(labels) if i and y != IGNORED)


def _masked(model: Any, _tokenizer: Any, row: Any, _task: Task) -> float:
    logs = model(**_ids(row)).logits[0].double().log_softmax(-1)
    return sum(float(logs[i, y]) for i, y in enumerate(row["labels"]) if y != IGNORED)


def _written(model: Any, tokenizer: Any, row: Any, _task: Task) -> str:
    ids = _ids(row)["input_ids"]
    out = model.generate(input_ids=ids, attention_mask=torch.ones_like(ids))
    return str(tokenizer.decode(out[0], skip_special_tokens=True)).strip()


_PLAIN: dict[str, Callable[[Any, Any, Any, Task], Any]] = {
    "classification": _label,
    "causal": _causal,
    "masked": _masked,
    "text-to-text": _written,
}


def _tried(what: Callable[[], str]) -> str:
    """The answer, or in one line why there is none."""
    try:
        return what()
    except AnalysisError as error:
        return f"refused: {_line(error)}"
    except Exception as error:
        return f"FAILED: {type(error).__name__}: {_line(error)}"


def _line(error: BaseException) -> str:
    return " ".join(str(error).split())[:700]


def run(only: str | None, state: Path) -> dict[str, Found]:
    """What is known of each architecture, found out where it is not."""
    state.mkdir(parents=True, exist_ok=True)
    known = {}
    wanted = [only] if only else names()
    for number, name in enumerate(wanted, start=1):
        note = state / f"{name}.json"
        if only or not note.is_file():
            start = time.perf_counter()
            with tempfile.TemporaryDirectory() as folder, quietly(Path(folder)):
                found = look(name, Path(folder))
            note.write_text(json.dumps(asdict(found), indent=1), encoding="utf-8")
            print(f"{number}/{len(wanted)} {name}: {time.perf_counter() - start:.1f} s", flush=True)
        known[name] = Found(**json.loads(note.read_text(encoding="utf-8")))
    return known


@contextlib.contextmanager
def quietly(folder: Path) -> Iterator[None]:
    """In it the cache lies in the folder, and neither libraries nor `prune` say anything."""
    cache, project.CACHE = project.CACHE, folder / "cache"
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        project.CACHE = cache


def page(known: Mapping[str, Found]) -> str:
    """The text of docs/models.md."""
    rows = [row(name, known[name]) for name in sorted(known)]
    notes = [line for name in sorted(known) for line in _notes(name, known[name])]
    return (
        _HEAD
        + "\n".join([_cells(_COLUMNS), _cells(["---"] * len(_COLUMNS)), *rows])
        + _NOTES
        + ("\n".join(notes) + "\n")
    )


_HEAD = """\
# Models

What each architecture of transformers can do here, by its `model_type`.
`python -m benchmarks.architectures` makes a tiny random model of each, puts it through the
project, holds every answer against plain transformers, one text at a time without padding, and
writes this page.

- **in scope**: the share of the blocks' weights that methods prune of their own; what is left out
  stands below. **tied**: tensors that repeat others, and are pruned with them.
- **magnitude, 2:4, Wanda, structured**: whether `prune` does it (50 % by `magnitude`, 2:4 by
  `nm-magnitude`, 50 % by `wanda`, 20 % by `structured`) and plain transformers open what it writes;
  what is smaller, by `structured`, the project's own loader opens.
- **classification, causal, masked, text-to-text**: whether an evaluation gives what plain
  transformers give. Empty: transformers have no such class, or the architecture is for other forms;
  `structured` claims those that it says yes to. "no" is a refusal in one line, given below.

"""
_NOTES = "\n\n## What not, and why\n\n"
_COLUMNS = ["architecture", "family", "in scope", "tied", *PRUNINGS, *FORMS]


def _cells(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def row(name: str, found: Found) -> str:
    """The line of the table."""
    share = "" if found.share is None else f"{100 * found.share:.0f} %"
    marks = [_mark(found.does.get(column)) for column in (*PRUNINGS, *FORMS)]
    return _cells([f"`{name}`", found.family, share, str(found.tied or ""), *marks])


def _mark(answer: str | None) -> str:
    """A cell: nothing where transformers has no class, or nothing is claimed."""
    if answer in (None, "no"):
        return ""
    return {"yes": "yes", "only": "in part"}.get(answer.split()[0], "no")


def _notes(name: str, found: Found) -> Iterator[str]:
    """Why not, in a line for each reason."""
    if found.outside:
        yield f"- `{name}`, not in scope: {', '.join(f'`{glob}`' for glob in found.outside)}"
    reasons: dict[str, list[str]] = {}
    for column in (*PRUNINGS, *FORMS):
        answer = found.does.get(column, "")
        if answer not in ("", "yes", "no"):
            reasons.setdefault(answer, []).append(column)
    for answer, columns in reasons.items():
        yield f"- `{name}`, {', '.join(columns)}: {answer}"


def main() -> None:
    """Try all architectures, or one, and write the page, or print what was found of the one."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", choices=names(), metavar="NAME")
    parser.add_argument("--state", type=Path, default=STATE)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    known = run(asked.only, asked.state)
    if asked.only:
        print(json.dumps(asdict(known[asked.only]), indent=1))
    else:
        PAGE.write_text(page(known), encoding="utf-8")


if __name__ == "__main__":
    main()
