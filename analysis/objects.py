"""Files and folders kept under the digest of their content: `cache/objects/ab/abcdef…`."""

import contextlib
import hashlib
import json
import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock

from analysis import processes
from analysis.errors import RunError

_BLOCK = 1 << 20
_DIGEST = re.compile(r"[0-9a-f]{64}")


def file_digest(path: Path) -> str:
    """Hex sha256 of a file's bytes, read in blocks."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while block := stream.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()


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
    Digests are remembered beside each object by size, mtime and inode of its files: an intact
    object is not read again to know that it is intact.
    """

    def __init__(self, root: Path):
        self.root = root
        self._temporary = root / "tmp"

    def path(self, digest: str) -> Path:
        """Where the object of that digest lies, present or not."""
        return self.root / digest[:2] / digest

    @contextlib.contextmanager
    def scratch(self) -> Iterator[Path]:
        """An empty folder for the making of an object; it is gone afterwards."""
        self._temporary.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(dir=self._temporary, prefix=f"{processes.process_tag()}-"))
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def adopt(self, path: Path) -> str:
        """Move a finished file or folder (from `scratch`) into the store; returns its digest."""
        digest = content_digest(path)
        target = self.path(digest)
        target.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(self.root / "lock"):  # two processes may have made the same content
            if not self.intact(digest):
                self.discard(digest)
                path.rename(target)
                self._stamp_path(digest).write_text(json.dumps(_stamp(target)), encoding="utf-8")
        return digest

    def put_bytes(self, content: bytes) -> str:
        """Store a file of these bytes; returns its digest."""
        with self.scratch() as folder:
            path = folder / "content"
            path.write_bytes(content)
            return self.adopt(path)

    def intact(self, digest: str) -> bool:
        """Whether the object is there and its content still has that digest.

        The content is read only if its stamp (size, mtime, inode) is not the one remembered.
        """
        path = self.path(digest)
        if not path.exists():
            return False
        try:
            remembered = json.loads(self._stamp_path(digest).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            remembered = None
        if remembered == _stamp(path):
            return True
        if content_digest(path) != digest:
            return False
        # a copied cache has new inodes: remember them, if this cache may be written to
        with contextlib.suppress(OSError):
            self._stamp_path(digest).write_text(json.dumps(_stamp(path)), encoding="utf-8")
        return True

    def open(self, digest: str) -> Path:
        """The path of an intact object. Raises RunError if it is missing or damaged."""
        if not self.intact(digest):
            raise RunError(
                f"cache object {digest[:12]} is missing or damaged; run again to make it"
            )
        return self.path(digest)

    def locate(self, reference: str) -> Path:
        """The path of an intact object, given its digest, or of a folder outside, by its path."""
        return self.open(reference) if _DIGEST.fullmatch(reference) else Path(reference)

    def discard(self, digest: str) -> None:
        """Forget an object, whatever state it is in."""
        path = self.path(digest)
        self._stamp_path(digest).unlink(missing_ok=True)
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)

    def sweep(self) -> None:
        """Remove what killed processes of this host left in the making."""
        for folder in self._temporary.glob(f"{processes.host()}-*-*"):
            pid = folder.name.rsplit("-", 2)[1]
            if pid.isdigit() and not processes.is_running(int(pid)):
                shutil.rmtree(folder, ignore_errors=True)

    def _stamp_path(self, digest: str) -> Path:
        return self.path(digest).with_suffix(".stamp")


def _stamp(path: Path) -> list[list[str | int]]:
    """Name, size, mtime and inode of every file of an object."""
    files = [path] if path.is_file() else sorted(p for p in path.rglob("*") if p.is_file())
    return [
        [p.relative_to(path).as_posix(), s.st_size, s.st_mtime_ns, s.st_ino]
        for p in files
        for s in [p.stat()]
    ]
