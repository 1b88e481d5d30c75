"""The cache: a step is computed once for what goes into it, and remembered.

The key of a step is canonical JSON over: the step and its plain arguments (which name data and
weights by the digest of their content), a digest of the code that implements it, the versions of
the libraries that compute, and, for timings, the machine. joblib keeps the records; it sees one
constant function only, so it never takes an edit of ours for a reason to forget everything.
"""

import contextlib
import functools
import hashlib
import importlib
import json
import logging
import time
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from filelock import FileLock
from joblib import Memory
from joblib.memory import CacheWarning, JobLibCollisionWarning

from analysis import code, machine, processes
from analysis.errors import MachineError
from analysis.objects import Objects

Record = dict[str, Any]


@dataclass(frozen=True)
class Call:
    """A step and all that goes into it.

    function   "package.module:name"; imported only when it has to be computed
    arguments  plain values; all of them count in the key
    carried    plain values that are passed on and do not count (where an object lies)
    code       further modules whose code counts: those the step loads by name
    libraries  distributions whose versions count
    timing     the step measures time: the machine counts, and nothing runs beside it
    fresh      the step measures memory: it gets a process in which nothing ran before
    label      what a person calls it
    """

    function: str
    arguments: Mapping[str, Any]
    carried: Mapping[str, Any] = field(default_factory=dict)
    code: tuple[str, ...] = ()
    libraries: tuple[str, ...] = ()
    timing: bool = False
    fresh: bool = False
    label: str = ""

    @property
    def step(self) -> str:
        """The step's short name, as in the summary of a run."""
        return self.function.split(":")[1]

    @property
    def on_gpu(self) -> bool:
        """Whether it computes on a GPU, and so has to have it to itself."""
        return self.arguments.get("device") == "cuda"

    @functools.cached_property
    def key(self) -> str:
        """Canonical JSON of everything that decides the result."""
        module = self.function.split(":")[0]
        parts = {
            "function": self.function,
            "arguments": dict(self.arguments),
            "code": code.digest([module, *self.code]),
            "libraries": {name: _version(name) for name in sorted(self.libraries)},
        }
        if self.timing:
            parts["machine"] = machine.identity()
        return json.dumps(parts, sort_keys=True, separators=(",", ":"), allow_nan=False)


@dataclass(frozen=True)
class Outcome:
    """What came of a call: its record, how it was had, and the seconds that computing it took."""

    record: Record
    how: str  # "remembered", "computed" or "repaired"
    seconds: float


def _load_or_run(step: str, key: str, thunk: Callable[[], str]) -> str:
    return thunk()


class Memo:
    """The remembered steps in one cache folder. Processes may share it."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.objects = Objects(folder / "objects")
        logging.getLogger("joblib").setLevel(logging.ERROR)

    @functools.cached_property
    def _trampoline(self) -> Any:
        # a str: joblib would put a Path's entries beside our folders, a str's under joblib/
        cached = Memory(str(self.folder), verbose=0).cache(_load_or_run, ignore=["thunk"])
        # joblib notes the function's code at the first look, not atomically, and would take half
        # a note for a change that wipes everything: one process at a time
        with self._file_lock("function"):
            cached.check_call_in_cache("", "", None)
        return cached

    def prepare(self) -> None:
        """Make the folder and see that it can be written to. Raises MachineError if it cannot."""
        probe = self.folder / f".writable-{processes.process_tag()}"
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            probe.write_bytes(b"")
            probe.unlink()
            self.objects.sweep()
        except OSError as error:
            raise MachineError(
                f"cannot write to the cache folder {self.folder.resolve()}: {error.strerror};"
                " give this user the right to write there"
            ) from error

    def lookup(self, call: Call) -> Outcome | None:
        """The remembered outcome, or None where there is none or it is damaged."""
        envelope = self._load(call)
        if envelope is None:
            return None
        return Outcome(envelope["record"], "remembered", envelope["seconds"])

    def has_entry(self, call: Call) -> bool:
        """Whether something, intact or not, is stored for the call."""
        return self._trampoline.check_call_in_cache(call.step, call.key, None)

    def run(self, call: Call) -> Outcome:
        """The outcome of the call: remembered, or computed and remembered now.

        Two processes never compute the same key: the second waits and then finds it.
        """
        with self._file_lock(hashlib.sha256(call.key.encode()).hexdigest()):
            outcome = self.lookup(call)
            if outcome:
                return outcome
            how = "repaired" if self.has_entry(call) else "computed"
            with _turn(call):
                start = time.perf_counter()
                made = _function(call)(self.objects, **call.arguments, **call.carried)
                record = json.loads(json.dumps(made))  # as it will be remembered
                seconds = time.perf_counter() - start
            self.store(call, record, seconds)
            return Outcome(record, how, seconds)

    def store(self, call: Call, record: Record, seconds: float) -> None:
        """Remember the record of a call. Raises MachineError if the disk refuses."""
        body = json.dumps({"record": record, "seconds": round(seconds, 3)})
        text = f"{hashlib.sha256(body.encode()).hexdigest()}\n{body}"
        with warnings.catch_warnings():
            warnings.simplefilter("error", CacheWarning)  # an unsaved record is a failure
            warnings.simplefilter("ignore", JobLibCollisionWarning)
            try:
                self._trampoline.call(call.step, call.key, lambda: text)
            except (CacheWarning, OSError) as error:
                raise MachineError(
                    f"cannot write to the cache folder {self.folder}: {error}; make room or give"
                    " this user the right to write there"
                ) from error

    def _file_lock(self, name: str) -> FileLock:
        folder = self.folder / "locks"
        folder.mkdir(parents=True, exist_ok=True)
        return FileLock(folder / name)

    def _load(self, call: Call) -> dict[str, Any] | None:
        if not self.has_entry(call):
            return None
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # joblib's own words for a damaged file
                text = self._trampoline(call.step, call.key, _nothing)
            checksum, body = text.split("\n", 1)
            if hashlib.sha256(body.encode()).hexdigest() != checksum:
                return None
            envelope = json.loads(body)
        except (_NothingStoredError, ValueError, AttributeError, TypeError, KeyError):
            return None
        whole = all(self.objects.intact(digest) for digest in objects_in(envelope["record"]))
        return envelope if whole else None


def _turn(call: Call) -> contextlib.AbstractContextManager[None]:
    """Held while the call is computed: what may run beside it."""
    if call.timing:
        return machine.alone()
    return machine.alone_on_gpus() if call.on_gpu else machine.beside_others()


class _NothingStoredError(Exception):
    """joblib asked to compute what a look-up only wanted to read: the entry is damaged."""


def _nothing() -> str:
    raise _NothingStoredError


def _function(call: Call) -> Callable[..., Record]:
    module, name = call.function.split(":")
    return getattr(importlib.import_module(module), name)


@functools.cache
def _version(distribution: str) -> str:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return "absent"


def objects_in(value: Any) -> list[str]:
    """The digests of all objects that a record names: the values of its keys called "object"."""
    if isinstance(value, dict):
        own = [value["object"]] if isinstance(value.get("object"), str) else []
        return own + [d for v in value.values() for d in objects_in(v)]
    if isinstance(value, list):
        return [d for v in value for d in objects_in(v)]
    return []
