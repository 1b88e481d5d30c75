"""Kills runs, damages their cache and mutates what people bring; says what was not borne.

    python tests/torture.py [--quick] [--seed N] [--count N] [KIND…]

kills    a run is killed, whole or a process of it; run again, it ends with the same tables
damages  something in the cache is damaged; plan and run give the same, or name what to delete
inputs   a file of a user's is mutated: the commands end in order, with one line

Each trial has a seed of its own, which repeats it (`KIND --seed N --count 1`). All of them take at
most half an hour on two cores, `--quick` three minutes.
"""

import argparse
import contextlib
import functools
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

from workplace import FOLDER

# isort: split
import families
import forks
import mini
import pandas as pd
from damage import cut, flipped
from mutations import mutate

from analysis import language, results

VOLATILE = {  # columns that are measured; of a table that is named alone, all but its key
    "runtime": None,
    "replicas": None,
    "variants": ["prune_seconds", "train_seconds", "peak_bytes"],
    "models": ["train_seconds", "training"],
    "recovery": ["train_seconds"],
}
MARK = "TORTURE"  # in the environment of every process of a run
SECONDS_TO_END = 5.0
SECONDS = 300.0  # after which a command hangs


class NotBorneError(Exception):
    """What went wrong in a trial, in words."""


def main() -> None:
    """Make the trials that are asked for; exit status 1 if one was not borne."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("kinds", nargs="*", metavar="KIND", help=", ".join(KINDS))
    parser.add_argument("--quick", action="store_true", help="few of each")
    parser.add_argument("--seed", type=int, default=0, help="of the first trial")
    parser.add_argument("--count", type=int, help="so many trials of each kind")
    asked = parser.parse_args()
    if unknown := set(asked.kinds) - set(KINDS):
        parser.error(f"unknown kind {min(unknown)}; there are {', '.join(KINDS)}")
    started, workshop = time.monotonic(), Workshop(FOLDER)
    kinds = asked.kinds or list(KINDS)

    def try_all(kinds: list[str]) -> bool:
        """Whether all of it was borne."""
        found = True
        for kind in kinds:
            trial, many, few = KINDS[kind]
            count = asked.count or (few if asked.quick else many)
            found &= tried(kind, trial, workshop, range(asked.seed, asked.seed + count))
        return found

    waiting = None
    if "kills" in kinds and len(kinds) > 1:  # they wait more than they compute
        assert workshop.finished.exists()
        waiting = os.fork()
        if not waiting:
            status = 1 - try_all(["kills"])
            sys.stdout.flush()
            os._exit(status)
        kinds = [kind for kind in kinds if kind != "kills"]
    borne = try_all(kinds)
    if waiting:
        borne &= os.waitpid(waiting, 0)[1] == 0
    print(f"{time.monotonic() - started:.0f} s; {'all' if borne else 'NOT ALL'} of it borne")
    sys.exit(1 - borne)


def tried(kind: str, trial: "Trial", workshop: "Workshop", seeds: range) -> bool:
    """Whether all the trials were borne; each that was not is said, and counts of all."""
    counts: Counter[str] = Counter()
    failed, started = 0, time.monotonic()
    for seed in seeds:
        what = ""
        folder = workshop.folder / f"{kind}-{seed}"
        try:
            for said in trial(workshop, folder, random.Random(f"{kind} {seed}")):
                what = said
        except Exception as error:  # of the project, or of these trials: to be looked at
            failed += 1
            known = isinstance(error, NotBorneError)
            wrong = str(error) if known else "".join(traceback.format_exception(error)[-3:])
            print(
                f"NOT BORNE: {what}: {wrong}\n  repeat: {kind} --seed {seed} --count 1", flush=True
            )
        counts[what.split(": ")[0]] += 1
        shutil.rmtree(folder, ignore_errors=True)
    spent = time.monotonic() - started
    print(f"{kind}: {len(seeds) - failed} of {len(seeds)} borne, {spent:.0f} s")
    for what, count in sorted(counts.items()):
        print(f"  {count:>4} {what}", flush=True)
    return not failed


class Workshop:
    """A folder with what trials start from: a project whose study was run, and inputs; each made
    when it is first asked for."""

    def __init__(self, folder: Path):
        self.folder = folder
        forks.preload()

    def project(self, folder: Path) -> Path:
        """A copy of the finished project in that folder."""
        shutil.copytree(self.finished, folder, symlinks=True)
        return folder

    @functools.cached_property
    def finished(self) -> Path:
        """A project whose study was run."""
        folder = mini.make_project(self.folder / "finished")
        done = forks.command(folder, "run", seconds=SECONDS)
        if done.returncode != 0:
            sys.exit(f"the study cannot be run at all: {done.stderr}")
        return folder

    @functools.cached_property
    def tables(self) -> results.Tables:
        """What every run of that project has to end with."""
        return mini.tables(self.finished)

    @functools.cached_property
    def inputs(self) -> Path:
        """Models, data and a study as users bring them."""
        folder = self.folder / "brought"
        for name, model, form in _MODELS:
            shutil.copytree(families.folder(model, form), folder / name)
        sharded, _ = families.loaded(_MODELS[1][1], "causal")
        shutil.copytree(folder / "gpt2", folder / "shards")
        for path in (folder / "shards").glob("model*"):
            path.unlink()
        sharded.save_pretrained(folder / "shards", max_shard_size="200KB")
        rows = [
            {key: row[key] for key in ("sentence", "label")} for row in language.sentiment(12, 3)
        ]
        pd.DataFrame(rows).to_json(folder / "rows.jsonl", orient="records", lines=True)
        pd.DataFrame(rows).to_csv(folder / "rows.csv", index=False)
        pd.DataFrame(rows).to_csv(folder / "rows.tsv", index=False, sep="\t")
        texts = "\n".join(row["sentence"] for row in rows)
        (folder / "texts.txt").write_text(texts, encoding="utf-8")
        (folder / "study.yml").write_text(_STUDY, encoding="utf-8")
        return folder


_MODELS = [
    ("bert", "google-bert/bert-base-uncased", "classification"),
    ("gpt2", "openai-community/gpt2-xl", None),
]
_STUDY = """\
title: Of a user
models:
- {name: bert, family: encoder-only, tasks: [sst2], source: local, path: bert}
- {name: gpt2, family: decoder-only, tasks: [perplexity], source: local, path: gpt2}
data:
  sst2: {test: rows.csv, train: rows.jsonl, columns: {sentence: sentence, label: label}}
  perplexity: {test: texts.txt, train: texts.txt, test_part: [0.5, 1.0], train_part: [0.0, 0.5]}
methods: [magnitude, wanda]
sparsities: [0.5, 0.9]
calibration: {examples: 4, tokens: 16}
protocols: [one-shot, fine-tuned]
recovery:
  tasks: [sst2]
  sparsities: [0.5]
  training: {examples: 8, epochs: 1.0}
formats: [dense, auto]
runtime: {operations: [forward], batches: [1], tokens: 8}
bootstrap: {resamples: 200}
seeds: [0]
compute: {device: auto, dtype: auto, jobs: 1, batch_size: auto}
"""


def in_order(done: forks.Done, statuses: tuple[int, ...] = (0, 1, 2)) -> str:
    """The error line of a command, empty if there is none. Raises NotBorneError if it did not end
    in order: with one of these exit statuses and, unless that is 0, in one line."""
    said = [line for line in done.stderr.splitlines() if line.strip() and not _PROGRESS.match(line)]
    shown = done.stderr[-600:]
    if done.returncode is None:
        raise NotBorneError("it hangs")
    if done.returncode not in statuses:
        raise NotBorneError(f"exit status {done.returncode}: {shown}")
    if "Traceback" in done.stderr or "unexpected " in done.stderr:
        raise NotBorneError(f"not foreseen: {shown}")
    if done.returncode == 0:
        return ""
    if len(said) != 1 or not said[0].startswith("error: ") or len(said[0]) > _LONGEST:
        raise NotBorneError(f"not one line: {shown}")
    return said[0]


_PROGRESS = re.compile(r"  |.* is fine-tuned for .* first$")
_LONGEST = 1500


def same_tables(folder: Path, whole: results.Tables) -> None:
    """Raise NotBorneError unless a run there ended with these tables, but for what is measured."""
    for name, table in mini.tables(folder).items():
        dropped = VOLATILE.get(name, [])
        kept = results.KEYS[name] if dropped is None else [c for c in table if c not in dropped]
        try:
            pd.testing.assert_frame_equal(table[kept], whole[name][kept])
        except AssertionError as error:
            raise NotBorneError(
                f"another table {name}: {' '.join(str(error).split())[:300]}"
            ) from error


# --- kills


def killed(workshop: Workshop, folder: Path, chance: random.Random) -> Iterator[str]:
    """A run is killed at any moment, whole or a process of it, and run again."""
    project = workshop.project(folder)
    for entry in chance.sample(forgettable(project), chance.randrange(4, 30)):
        shutil.rmtree(entry)
    if chance.random() < 0.5:
        shutil.rmtree(project / "_output")
    number = chance.choice([signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
    whom = chance.choice(["group", "main", "worker"])
    after, jobs = chance.uniform(0.1, 15.0), chance.choice(["1", "2"])
    yield f"{number.name} to {whom}: after {after:.1f} s, {jobs} jobs"
    said = _killed(project, number, whom, after, jobs)
    if said:
        raise NotBorneError(said)
    done = mini.analysis(project, "run", timeout=SECONDS)
    in_order(forks.Done(done.returncode, done.stdout, done.stderr), (0,))
    same_tables(project, workshop.tables)


def _killed(project: Path, number: signal.Signals, whom: str, after: float, jobs: str) -> str:
    """What is wrong with how the run and all its processes ended; empty if nothing is."""
    mark = f"{project.name}-{number}"
    command = [sys.executable, "-m", "analysis", "run", "--jobs", jobs]
    with (project / "stderr").open("w") as stderr:
        run = subprocess.Popen(
            command,
            cwd=project,
            env=mini.environment_for(**{MARK: mark}),
            stdout=subprocess.DEVNULL,
            stderr=stderr,
            start_new_session=True,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
        )
    with contextlib.suppress(subprocess.TimeoutExpired):
        run.wait(after)
    workers = [pid for pid in marked(mark) if pid != run.pid]
    goes_on = whom == "worker" and bool(workers)
    if whom == "group":
        _signal(lambda: os.killpg(run.pid, number))
    else:
        _signal(lambda: os.kill(workers[-1] if goes_on else run.pid, number))
    try:
        run.wait(SECONDS if goes_on else SECONDS_TO_END)
    except subprocess.TimeoutExpired:
        os.killpg(run.pid, signal.SIGKILL)
        run.wait()
        return "the run hangs" if goes_on else f"it did not end within {SECONDS_TO_END:g} s"
    deadline = time.monotonic() + SECONDS_TO_END
    while left := marked(mark):
        if time.monotonic() > deadline:
            said = ", ".join(f"{pid} ({_command(pid)})" for pid in left)
            for pid in left:
                _signal(lambda pid=pid: os.kill(pid, signal.SIGKILL))
            return f"processes left after {SECONDS_TO_END:g} s: {said}"
        time.sleep(0.05)
    lines = (project / "stderr").read_text(encoding="utf-8").splitlines()
    if len(lines) > 1 or any("Traceback" in line or "unexpected " in line for line in lines):
        return f"more than a line: {lines[:8]}"
    return ""


def forgettable(project: Path) -> list[Path]:
    """The entries of the cache of which no other step was cut short."""
    entries = sorted(path.parent for path in (project / "cache" / "joblib").rglob("output.pkl"))
    return [path for path in entries if not any(step in str(path) for step in _CUT_SHORT)]


_CUT_SHORT = ("pretrain_builtin", "fine_tune", "make_examples", "make_validation",
              "measure_replica")  # fmt: skip


def marked(mark: str) -> list[int]:
    """The living processes with that mark in their environment."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            environment = (folder / "environ").read_bytes().split(b"\0")
            state = (folder / "stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            continue
        if f"{MARK}={mark}".encode() in environment and state not in "ZX":
            found.append(int(folder.name))
    return sorted(found)


def _command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ")[-120:]
    except OSError:
        return "gone"


def _signal(send: Callable[[], None]) -> None:
    with contextlib.suppress(ProcessLookupError):
        send()


# --- damages


def damaged(workshop: Workshop, folder: Path, chance: random.Random) -> Iterator[str]:
    """Something in the cache is damaged: a plan looks, a run mends."""
    project = workshop.project(folder)
    kind, path, others = _chosen(project / "cache", chance)
    what = _damaged_folder(path, chance) if path.is_dir() else _damaged_file(path, others, chance)
    yield f"{kind}: {what}: {path.relative_to(project)}"
    before = listed(project / "cache")
    line = in_order(forks.command(project, "plan"))
    if listed(project / "cache") != before:
        raise NotBorneError("a plan changed the cache")
    done = forks.command(project, "run")
    if line := in_order(done) or line:
        _delete_what_is_named(line, project)
        in_order(forks.command(project, "run"), (0,))
    same_tables(project, workshop.tables)
    done = forks.command(project, "plan")
    in_order(done, (0,))
    if not re.search(r"^0 steps to compute", done.stdout, re.MULTILINE):
        raise NotBorneError(f"not mended by a run: {done.stdout[-400:]}")


def _chosen(cache: Path, chance: random.Random) -> tuple[str, Path, list[Path]]:
    """A kind of file or folder, one of it, and the others: each kind is as likely."""
    kinds: dict[str, list[Path]] = {}
    for path in sorted(cache.rglob("*")):
        kinds.setdefault(_kind(path, cache), []).append(path)
    kind = chance.choice(sorted(kinds))
    path = chance.choice(kinds[kind])
    return kind, path, [other for other in kinds[kind] if other != path]


def _kind(path: Path, cache: Path) -> str:
    first, *more = path.relative_to(cache).parts
    name = "" if re.search(r"[0-9a-f]{32}", path.stem) else path.name
    if path.is_dir():
        return f"folder {len(more)} deep in {first}"
    return f"file {name or path.suffix or 'of a digest'} of {first}" if more else f"file {first}"


_MOST = 50  # things in a folder that may go


def _damaged_folder(path: Path, chance: random.Random) -> str:
    whole = sum(1 for _ in path.rglob("*")) > _MOST  # without it, all is computed anew, at length
    kind = "mode 000" if whole else chance.choice(["removed", "replaced by a file", "mode 000"])
    if kind == "mode 000":
        path.chmod(0)
    else:
        shutil.rmtree(path)
        if kind != "removed":
            path.write_bytes(b"a file")
    return kind


def _damaged_file(path: Path, others: list[Path], chance: random.Random) -> str:
    kind = chance.choice(
        ["flipped", "flipped, its time as before", "cut", "emptied", "swapped", "a folder",
         "mode 000", "removed"]
    )  # fmt: skip
    content, found = path.read_bytes(), path.stat()
    if kind == "swapped":
        other = chance.choice(others or [path])
        path.write_bytes(other.read_bytes())
        other.write_bytes(content)
    elif kind == "mode 000":
        path.chmod(0)
    elif kind in ("removed", "a folder"):
        path.unlink()
        if kind == "a folder":
            path.mkdir()
    elif kind == "emptied" or not content:
        path.write_bytes(b"" if content else b"x")
    elif kind == "cut":
        path.write_bytes(cut(content, chance.random()))
    else:
        path.write_bytes(flipped(content, chance.random(), chance.randrange(8)))
        if kind != "flipped":
            os.utime(path, ns=(found.st_atime_ns, found.st_mtime_ns))
    return kind


def listed(cache: Path) -> list[tuple[str, int, int]]:
    """What lies there: names, sizes and times."""
    found = ((path, path.lstat()) for path in sorted(cache.rglob("*")))
    return [(str(path), s.st_size, s.st_mtime_ns) for path, s in found if not path.is_dir()]


def _delete_what_is_named(line: str, project: Path) -> None:
    """What an error says to delete. Raises NotBorneError if it names nothing in the cache."""
    cache = str(project / "cache")
    named = [word.strip("'\",;:()") for word in line.split() if "cache/" in word]
    inside = [Path(project, word) for word in named if str(Path(project, word)).startswith(cache)]
    if not inside or not re.search("delete|remove", line):
        raise NotBorneError(f"neither mended nor is there a word what to delete: {line}")
    for path in inside:
        subprocess.run(["rm", "-rf", "--", str(path)], check=True)


# --- inputs


def mutated(workshop: Workshop, folder: Path, chance: random.Random) -> Iterator[str]:
    """A file that users bring is a little wrong."""
    shutil.copytree(workshop.inputs, folder)
    kind, path, command = _brought(folder, chance)
    try:
        what = mutate(path, chance)
    except ValueError as error:
        what = f"nothing: {error}"
    yield f"{kind} {command[0]}: {path.relative_to(folder)}: {what}"
    done = forks.command(folder, *command, memory_bytes=_MEMORY)
    line = in_order(done)
    if "/objects/" in line:
        raise NotBorneError(f"names the cache, not the user's file: {line}")


_MEMORY = 12 << 30  # of addresses: no mutated size takes this machine's memory
_DATA = ("rows.jsonl", "rows.csv", "rows.tsv", "texts.txt")


def _brought(folder: Path, chance: random.Random) -> tuple[str, Path, tuple[str, ...]]:
    """A kind of input, the file of it to be changed, and a command that reads it."""
    kind = chance.choice(["config", "tokenizer", "index", "weights", "data", "study"])
    name = "shards" if kind == "index" else chance.choice(["bert", "gpt2", "shards"])
    data = "rows.csv" if name == "bert" else "texts.txt"
    task = "sst2" if name == "bert" else "perplexity"
    scored = ("evaluate", name, "--task", task, "--data", data)
    pruned = ("prune", name, "--sparsity", "0.5", "--out", "out", "--method")
    if kind == "study":
        return kind, folder / "study.yml", ("plan", "--study", "study.yml")
    if kind == "data":
        data = chance.choice(_DATA)
        name, task = ("gpt2", "perplexity") if data == "texts.txt" else ("bert", "sst2")
        return kind, folder / data, ("evaluate", name, "--task", task, "--data", data)
    files = {"config": "*config.json", "tokenizer": "*token*", "index": "*.index.json",
             "weights": "model*.safetensors"}  # fmt: skip
    path = chance.choice(sorted((folder / name).glob(files[kind])))
    commands = [
        scored,
        (*pruned, "magnitude"),
        (*pruned, "wanda", "--calibration", "texts.txt"),
        ("profile", name, "--out", "out"),
        ("compress", name, "--out", "out"),
    ]
    return kind, path, scored if kind == "tokenizer" else chance.choice(commands)


Trial = Callable[[Workshop, Path, random.Random], Iterator[str]]
KINDS: dict[str, tuple[Trial, int, int]] = {  # how many trials by hand, how many in quick
    "kills": (killed, 40, 4),
    "damages": (damaged, 150, 15),
    "inputs": (mutated, 300, 30),
}


if __name__ == "__main__":
    main()
