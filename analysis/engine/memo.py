"""The cache: a step is computed once for what goes into it, and remembered.

The key of a step is canonical JSON over: the step and its plain arguments (which name data and
weights by the digest of their content), a digest of the code that implements it, the versions of
the libraries that compute, and, for timings, the machine. joblib keeps the records, each with a
checksum over itself and its key; what is damaged, or another key's, is computed again.

joblib unpickles an entry before anything of it can be checked, and a pickle can run code: a cache
that comes from strangers is not to be used.
"""

import contextlib
import functools
import hashlib
import importlib
import json
import os
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import joblib
from filelock import Timeout
from joblib.memory import CacheWarning

from analysis.engine import code, files, locks, machine
from analysis.engine.cachefiles import clear, held, own_folder, unwritable
from analysis.engine.objects import DamagedError, Objects
from analysis.errors import AnalysisError, RunError

Record = dict[str, Any]

_OUTPUT = "output.pkl"


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
        groups = [self.arguments, *self.arguments.values()]
        return any(isinstance(g, Mapping) and g.get("device") == "cuda" for g in groups)

    @functools.cached_property
    def key(self) -> str:
        """Canonical JSON of everything that decides the result."""
        parts = {
            "function": self.function,
            "arguments": dict(self.arguments),
            "code": code.digest(self._modules),
            "libraries": {name: _version(name) for name in sorted(self.libraries)},
        }
        if self.timing:
            parts["machine"] = machine.identity()
        return json.dumps(parts, sort_keys=True, separators=(",", ":"), allow_nan=False)

    @property
    def _modules(self) -> list[str]:
        return [self.function.split(":")[0], *self.code]

    def require_same_code(self) -> None:
        """Raise RunError unless the code on the disk is that of the key."""
        if code.digest_now(self._modules) != json.loads(self.key)["code"]:
            raise RunError(
                f"code of {self.step} was edited during the run, so whose result it would be is not"
                " known; run again (what is finished is kept)"
            )


@dataclass(frozen=True)
class Outcome:
    """What came of a call: its record, how it was had, and the seconds that computing it took."""

    record: Record
    how: str  # "remembered", "computed" or "repaired"
    seconds: float


class Memo:
    """The remembered steps in one cache folder. Processes may share it.

    joblib/STEP/DIGEST   an entry: its name is the digest of its key, its text has that digest too
    locks/DIGEST         held while the entry is made, and gone afterwards
    holders/DIGEST…      by which run, for those who wait
    objects/             what records name by its content (see `Objects`)

    A look (`lookup`, `has_entry`) changes nothing, whatever it finds. joblib writes the entries,
    and its memoized functions are not used: they compare their own code at every look, and wipe
    all entries when that, or joblib's note of it, is another.
    """

    def __init__(self, folder: Path):
        self.folder = folder
        self.objects = Objects(folder / "objects")

    def prepare(self) -> None:
        """Make what is not there of the cache, and sweep what killed runs left in it.

        Raises MachineError if it cannot be written to.
        """
        try:
            for name in ("joblib", "locks", "holders", "objects"):
                own_folder(self.folder, name)
            self.objects.sweep()
            for lock in (self.folder / "locks").iterdir():
                with contextlib.suppress(Timeout), held(lock, timeout=0):
                    for half in self.folder.glob(f"joblib/*/{lock.name}/*.*-*"):
                        clear(half)
                    clear(lock)
            locks.sweep(self.folder / "holders")
            for beside in (self.folder, self.folder / "digests"):
                files.sweep(beside)
        except OSError as error:
            raise unwritable(self.folder, error) from error

    def lookup(self, call: Call) -> Outcome | None:
        """The remembered outcome, or None where there is none or it is damaged."""
        output = self._entry(call) / _OUTPUT
        if not os.path.isfile(output):  # a pipe would be waited for in vain
            return None
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # joblib's own words for a damaged file
                checksum, body = joblib.load(output).split("\n", 1)
            envelope = json.loads(body)
            if checksum != _sha256(body) or envelope["key"] != _sha256(call.key):
                return None
            named = objects_in(envelope["record"])
        except Exception:  # a damaged pickle raises whatever its opcodes run into
            return None
        if not all(self.objects.intact(digest) for digest in named):
            return None
        return Outcome(envelope["record"], "remembered", envelope["seconds"])

    def has_entry(self, call: Call) -> bool:
        """Whether something, intact or not, is stored for the call."""
        return os.path.lexists(self._entry(call) / _OUTPUT)

    def run(self, call: Call) -> Outcome:
        """The outcome of the call: remembered, or computed and remembered now.

        Two processes never compute the same key: the second waits and then finds it. Raises
        RunError if the code was edited since the key was made: whose result it would be is unknown.
        """
        outcome = self.lookup(call)
        if outcome:
            return outcome
        self.prepare()
        with self._alone_on(call):
            outcome = self.lookup(call)
            if outcome:
                return outcome
            how = "repaired" if self.has_entry(call) else "computed"
            call.require_same_code()
            with _turn(call):
                start = time.perf_counter()
                made = self._made(call)
                record = json.loads(json.dumps(made))  # as it will be remembered
                seconds = time.perf_counter() - start
            call.require_same_code()
            self.store(call, record, seconds)
            return Outcome(record, how, seconds)

    def _made(self, call: Call) -> Record:
        """What the step makes; its errors name a user's folders, not the cache's links to them."""
        try:
            return _function(call)(self.objects, **call.arguments, **call.carried)
        except DamagedError:  # that is of the cache
            raise
        except AnalysisError as error:
            told = self.objects.by_origin(str(error))
            if told == str(error):
                raise
            raise type(error)(told) from error

    def store(self, call: Call, record: Record, seconds: float) -> None:
        """Remember the record of a call. Raises MachineError if the disk refuses."""
        seconds, item = round(seconds, 3), [call.step, _sha256(call.key)]
        body = json.dumps({"key": item[1], "record": record, "seconds": seconds})
        # as joblib describes entries of its own: for people, who may want to know what one is of
        asked = {"step": repr(call.step), "key": repr(call.key)}
        try:
            own_folder(self.folder, "joblib", call.step)
            clear(self._entry(call))
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of a .gitignore that it cannot write
                # a str: joblib would put a Path's entries beside our folders, a str's under joblib/
                backend = joblib.Memory(str(self.folder), verbose=0).store_backend
                warnings.simplefilter("error", CacheWarning)  # an unsaved record is a failure
                backend.dump_item(item, f"{_sha256(body)}\n{body}", verbose=0)
            backend.store_metadata(item, {"duration": seconds, "input_args": asked})
        except (CacheWarning, OSError) as error:
            with contextlib.suppress(OSError):
                clear(self._entry(call))
            raise unwritable(self.folder, error) from error

    def _entry(self, call: Call) -> Path:
        return self.folder / "joblib" / call.step / _sha256(call.key)

    @contextlib.contextmanager
    def _alone_on(self, call: Call) -> Iterator[None]:
        name = _sha256(call.key)
        lock, known = (self.folder / part / name for part in ("locks", "holders"))
        with contextlib.ExitStack() as until_made:
            with locks.awaited(known, call.label or call.step):
                until_made.enter_context(held(lock))
            until_made.enter_context(locks.holding(known))
            try:
                yield
            finally:
                lock.unlink(missing_ok=True)  # while it is held: who waits for it makes it anew


def _turn(call: Call) -> contextlib.AbstractContextManager[None]:
    """Held while the call is computed: what may run beside it."""
    what = call.label or call.step
    if call.timing:
        return machine.alone(what)
    return machine.alone_on_gpus(what) if call.on_gpu else machine.beside_others(what)


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


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
