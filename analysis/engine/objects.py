"""Files and folders kept under the digest of their content: `cache/objects/ab/abcdef…`."""

import contextlib
import hashlib
import json
import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from analysis.engine import processes
from analysis.engine.cachefiles import clear, held, own_folder, unwritable
from analysis.errors import RunError

_DIGEST = re.compile(r"[0-9a-f]{64}")


class DamagedError(RunError):
    """An object that is not there, or does not hold what its digest says."""

    def __init__(self, path: Path):
        super().__init__(f"cache object {path} is missing or damaged; run again to make it anew")
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.path,)  # it comes from a worker


def file_digest(path: Path) -> str:
    """Hex sha256 of a file's bytes, read in blocks."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def content_digest(path: Path) -> str:
    """Hex sha256 of a file, or of a folder's sorted names and file digests."""
    if path.is_file():
        return file_digest(path)
    files = sorted(p for p in path.rglob("*") if p.is_file())
    listing = [f"{p.relative_to(path).as_posix()}\0{file_digest(p)}" for p in files]
    return hashlib.sha256("\n".join(listing).encode()).hexdigest()


class Objects:
    """A store of immutable files and folders, each named by the digest of its content.

    Written to a temporary name first and then renamed, so a killed run leaves no half object.
    Whoever uses an object (`open`) has its content read and its digest taken, once in a process.
    Who only asks whether it is `intact` has it compared with its stamp beside it: names, sizes and
    times of its files. That changes nothing on the disk.
    """

    def __init__(self, root: Path):
        self.root = root
        self._read: dict[str, Any] = {}  # stamps of what was found right, by digest

    def path(self, digest: str) -> Path:
        """Where the object of that digest lies, present or not."""
        return self.root / digest[:2] / digest

    @contextlib.contextmanager
    def scratch(self) -> Iterator[Path]:
        """An empty folder for the making of an object; it is gone afterwards.

        Raises MachineError if the store cannot be written to.
        """
        prefix = f"{processes.process_tag()}-"
        try:
            folder = Path(tempfile.mkdtemp(dir=own_folder(self.root, "tmp"), prefix=prefix))
        except OSError as error:
            raise unwritable(self.root.parent, error) from error
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def adopt(self, path: Path) -> str:
        """Move a finished file or folder (from `scratch`) into the store; returns its digest.

        Raises MachineError if the store cannot be written to.
        """
        digest = content_digest(path)
        try:
            own_folder(self.root, digest[:2])
            with held(self.root / "lock"):  # two processes may have made the same content
                self._read.pop(digest, None)  # what is there is read: it may be why this was made
                if not self._is_right(digest):
                    self.discard(digest)
                    path.rename(self.path(digest))
                    self._read[digest] = _stamp(self.path(digest))
                self._note(digest)
        except OSError as error:
            raise unwritable(self.root.parent, error) from error
        return digest

    def put_bytes(self, content: bytes) -> str:
        """Store a file of these bytes; returns its digest."""
        with self.scratch() as folder:
            path = folder / "content"
            path.write_bytes(content)
            return self.adopt(path)

    def intact(self, digest: str) -> bool:
        """Whether the object is there as it was; its content is read only if its stamp is not."""
        try:
            stamp = json.dumps(_stamp(self.path(digest)))
        except OSError:
            return False
        return stamp == self._noted(digest) or self._is_right(digest)

    def open(self, digest: str) -> Path:
        """The path of an object whose content has that digest. Raises DamagedError if none has."""
        known = self._read.get(digest)
        if not self._is_right(digest):
            with contextlib.suppress(OSError):  # that it is looked at no more as if it were
                clear(self._stamp_path(digest))
            raise DamagedError(self.path(digest))
        if known != self._read[digest]:
            with contextlib.suppress(OSError):  # a cache that was copied, or may only be read
                self._note(digest)
        return self.path(digest)

    def by_origin(self, text: str) -> str:
        """The text with checkpoints that lie elsewhere called by their own folder, or hub id."""
        where = re.compile(re.escape(str(self.root)) + r"/([0-9a-f]{2})/(\1[0-9a-f]{62})")
        return where.sub(lambda found: _origin(Path(found[0])), text)

    def locate(self, reference: str) -> Path:
        """The path of an intact object, given its digest, or of a folder outside, by its path."""
        return self.open(reference) if _DIGEST.fullmatch(reference) else Path(reference)

    def discard(self, digest: str) -> None:
        """Forget an object, whatever state it is in."""
        clear(self._stamp_path(digest))
        clear(self.path(digest))

    def sweep(self) -> None:
        """Remove what killed processes of this host left in the making."""
        for folder in (self.root / "tmp").glob(f"{processes.host()}-*-*"):
            pid = folder.name.rsplit("-", 2)[1]
            if pid.isdigit() and not processes.is_running(int(pid)):
                shutil.rmtree(folder, ignore_errors=True)

    def _is_right(self, digest: str) -> bool:
        """Whether the content has that digest: read, unless this process did and its stamp is as
        it was then."""
        path = self.path(digest)
        try:
            stamp = _stamp(path)
            if self._read.get(digest) != stamp:
                if content_digest(path) != digest:
                    return False
                self._read[digest] = stamp
        except OSError:
            return False
        return True

    def _noted(self, digest: str) -> str | None:
        stamp = self._stamp_path(digest)
        try:
            return stamp.read_text(encoding="utf-8") if stamp.is_file() else None
        except (OSError, ValueError):
            return None

    def _note(self, digest: str) -> None:
        text = json.dumps(self._read[digest])
        if self._noted(digest) != text:
            clear(self._stamp_path(digest))
            self._stamp_path(digest).write_text(text, encoding="utf-8")

    def _stamp_path(self, digest: str) -> Path:
        return self.path(digest).with_suffix(".stamp")


def _origin(path: Path) -> str:
    """Where the files lie that an object links to; the object itself if it holds its own."""
    links = (p for p in path.iterdir() if p.is_symlink()) if path.is_dir() else iter(())
    if (link := next(links, None)) is None:
        return str(path)
    folder = link.readlink().parent
    of_hub = re.fullmatch(r"models--(.+)", folder.parent.name)  # models--org--name/blobs
    return of_hub[1].replace("--", "/") if of_hub and folder.name == "blobs" else str(folder)


def _stamp(path: Path) -> list[list[str | int]]:
    """Name, size and time of every file of an object. Raises OSError if it cannot be looked at."""
    path.stat()
    files = [path] if path.is_file() else sorted(p for p in path.rglob("*") if p.is_file())
    return [
        [p.relative_to(path).as_posix(), s.st_size, s.st_mtime_ns]
        for p in files
        for s in [p.stat()]
    ]
