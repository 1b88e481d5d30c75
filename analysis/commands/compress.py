"""Makes a checkpoint folder's weight files sparse, and gives them back bit for bit.

Every NAME.safetensors, in the folder or below it, becomes NAME.sparse.safetensors; every other file
is copied as it is, the index of shards among them.
"""

import os
import shutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from analysis.commands.work import shown_progress
from analysis.engine import files
from analysis.engine.progress import Meter
from analysis.errors import RequestError, RunError, printable
from analysis.storage import conversion
from analysis.storage.conversion import Sizes
from analysis.storage.layouts import require_format
from analysis.storage.reading import opened
from analysis.storage.writing import unwritable

DENSE, SPARSE = ".safetensors", ".sparse.safetensors"
_PICKLES = (".bin", ".pt", ".pth", ".ckpt")
_MB = 1_000_000
_NAMES_SHOWN = 4


@dataclass(frozen=True)
class _Row:
    """A file that was converted: its path in the new folder, and its bytes."""

    name: str
    sizes: Sizes


def compress(folder: Path, out: Path, format: str = "auto") -> None:
    """Write the folder's copy with sparse weight files to `out`, and say what that saves.

    Raises RequestError if there is no such format, the folder has no safetensors or is
    compressed already, or `out` is there; RunError if a file cannot be read or written.
    """
    require_format(format)
    found = _files(folder, out)
    if done := [path for path in found if path.name.endswith(SPARSE)]:
        raise RequestError(
            f"{folder} is compressed already: it holds {done[0]}; `decompress` gives the dense"
            " files back"
        )
    dense = [path for path in found if path.name.endswith(DENSE)]
    if not dense:
        raise RequestError(_without(folder, found))

    def convert(source: Path, target: Path, meter: Meter) -> Sizes:
        return conversion.compress_file(source, target, format, meter.add)

    total = sum((folder / path).stat().st_size for path in dense)
    rows = _convert(folder, out, found, (DENSE, SPARSE), convert, total)
    head = ["file", "before", "after", "ratio", "entropy bound"]
    _say(head, [_compressed(row) for row in _summed(rows)])


def decompress(folder: Path, out: Path) -> None:
    """Write the folder as it was before `compress` to `out`.

    Raises RequestError if the folder is not compressed, or `out` is there; RunError if a file is
    damaged, or the disk refuses.
    """
    found = _files(folder, out)
    sparse = [path for path in found if path.name.endswith(SPARSE)]
    if not sparse:
        raise RequestError(
            f"{folder} is not compressed: it holds no file NAME{SPARSE}; give a folder that"
            " `compress` made"
        )
    if both := [path for path in sparse if _renamed(path, SPARSE, DENSE) in found]:
        raise RequestError(
            f"{folder} holds {both[0]} and the dense file of that name; take one of them away"
        )
    total = 0
    for path in sparse:
        with opened(folder / path) as stored:
            total += stored.dense_bytes
    _require_room(out, total)

    def convert(source: Path, target: Path, meter: Meter) -> Sizes:
        return conversion.decompress_file(source, target, meter.add)

    rows = _convert(folder, out, found, (SPARSE, DENSE), convert, total)
    _say(["file", "before", "after", "ratio"], [_decompressed(row) for row in _summed(rows)])


def _files(folder: Path, out: Path) -> list[Path]:
    """The paths within the folder of all its files, sorted. Refuses what `out` makes impossible."""
    if not folder.is_dir():
        what = "a file" if folder.exists() else "not there"
        raise RequestError(
            f"{folder} is {what}; give the folder of a saved model: built-in models and hub ids"
            " have none of their own (`prune` and `save_pretrained` write one)"
        )
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise RequestError(f"--out {out} is there already; name a new folder")
    if out.resolve().is_relative_to(folder.resolve()):
        raise RequestError(f"--out {out} lies in {folder}, which is read; name a folder beside it")
    found = []
    for parent, folders, names in os.walk(folder, onerror=_refuse):
        for name in folders:
            if (Path(parent) / name).is_symlink():
                raise RequestError(
                    f"{Path(parent) / name} is a link to a folder; copy what it stands for in its"
                    " place"
                )
        found += [(Path(parent) / name).relative_to(folder) for name in names]
    if strange := [path for path in found if not (folder / path).is_file()]:
        raise RequestError(f"{folder / strange[0]} is no file, nor a link to one; take it away")
    return sorted(found)


def _refuse(error: OSError) -> None:
    raise RequestError(f"cannot read {error.filename}: {error.strerror}; mend that, or copy it")


def _without(folder: Path, found: list[Path]) -> str:
    """The message for a folder without safetensors."""
    if pickles := [path for path in found if path.suffix in _PICKLES]:
        return (
            f"{folder} holds {pickles[0]} and no safetensors; convert it first: open the model with"
            " from_pretrained and write it with save_pretrained"
        )
    there = ", ".join(map(str, found[:_NAMES_SHOWN])) or "nothing"
    return f"{folder} holds no *{DENSE}, but {there}; give the folder of a saved model"


def _require_room(out: Path, needed: int) -> None:
    """Raise RunError if the disk of `out` has no room for so many bytes."""
    parent = next(path for path in (out, *out.absolute().parents) if path.exists())
    free = shutil.disk_usage(parent).free
    if needed > free:
        raise RunError(
            f"cannot write {out}: it takes {needed / _MB:,.1f} MB, and {free / _MB:,.1f} MB are"
            " free; make room"
        )


def _convert(
    folder: Path,
    out: Path,
    found: Iterable[Path],
    endings: tuple[str, str],
    convert: Callable[[Path, Path, Meter], Sizes],
    total: int,
) -> list[_Row]:
    """Write all files to `out`, those with the first ending converted; all of them or none."""
    old, new = endings
    rows = []
    with shown_progress(folder.resolve().name):
        meter = Meter("MB done:", total, _MB)
        try:
            with files.replaced_folder(out) as made:
                for inner in filter(Path.is_dir, folder.rglob("*")):
                    (made / inner.relative_to(folder)).mkdir(parents=True, exist_ok=True)
                for path in found:
                    if path.name.endswith(old):
                        target = _renamed(path, old, new)
                        sizes = convert(folder / path, made / target, meter)
                        rows.append(_Row(printable(str(target)), sizes))
                    else:
                        _copy(folder / path, made / path)
        except OSError as error:
            raise unwritable(out, error) from error
    return rows


def _renamed(path: Path, old: str, new: str) -> Path:
    return path.with_name(path.name.removesuffix(old) + new)


def _copy(source: Path, target: Path) -> None:
    try:
        stream = source.open("rb")
    except OSError as error:
        raise RunError(
            f"cannot read {source}: {error.strerror or error}; mend that, and run again"
        ) from error
    with stream, target.open("wb") as copy:
        shutil.copyfileobj(stream, copy)


def _summed(rows: list[_Row]) -> list[_Row]:
    """The rows, and behind several their sum."""
    each = [row.sizes for row in rows]
    total = Sizes(
        sum(s.before for s in each), sum(s.after for s in each), sum(s.bound for s in each)
    )
    return [*rows, _Row("all", total)] if len(rows) > 1 else rows


def _compressed(row: _Row) -> list[str]:
    return [*_decompressed(row), f"{row.sizes.bound / _MB:,.2f} MB"]


def _decompressed(row: _Row) -> list[str]:
    before, after = row.sizes.before, row.sizes.after
    return [row.name, f"{before / _MB:,.2f} MB", f"{after / _MB:,.2f} MB", f"{after / before:.3f}"]


def _say(head: list[str], rows: list[list[str]]) -> None:
    """Print a table: names to the left, numbers to the right."""
    table = [head, *rows]
    widths = [max(len(line[i]) for line in table) for i in range(len(head))]
    for line in table:
        first, *rest = (text.rjust(width) for text, width in zip(line, widths, strict=True))
        print("  ".join([first.strip().ljust(widths[0]), *rest]))
