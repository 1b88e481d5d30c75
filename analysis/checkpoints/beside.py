"""What lies in a model's folder beside its weights; whoever writes the model anew takes it along.

A sentence-transformers model has modules of its own in subfolders (`1_Pooling`, `2_Dense` with
weights); others have chat templates, or their code.
"""

import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from analysis.errors import RequestError

_WEIGHTS = (".safetensors", ".bin", ".pt", ".pth", ".h5", ".msgpack", ".onnx", ".gguf", ".ot")


@dataclass(frozen=True)
class Beside:
    """Paths within a model's folder, each list sorted.

    files     to be taken along, those in subfolders too
    weights   the model's own, in any format: on top only, as subfolders have modules of their own
    links     links that lead out of the folder or to a folder, and what is neither file nor folder
    hidden    hidden folders, such as `.git`
    """

    files: Sequence[Path]
    weights: Sequence[Path]
    links: Sequence[Path]
    hidden: Sequence[Path]


def beside(folder: Path, without: Sequence[Path] = ()) -> Beside:
    """What lies in the folder; what is in one of `without`, folders too, is not looked at."""
    found: tuple[list[Path], ...] = ([], [], [], [])
    files, weights, links, hidden = found
    strangers = {path.resolve() for path in without}
    for parent, folders, names in os.walk(folder, onerror=_refuse):
        here = Path(parent)
        for name in list(folders):
            path = here / name
            if path.is_symlink():
                links.append(path)
            elif name.startswith("."):
                hidden.append(path)
            elif path.resolve() not in strangers:
                continue
            folders.remove(name)
        for path in (here / name for name in names):
            if here == folder and _holds_weights(path):
                weights.append(path)
            elif path.is_file() and not _leads_out(path, folder):
                files.append(path)
            else:
                links.append(path)
    return Beside(*(sorted(path.relative_to(folder) for path in paths) for paths in found))


def copy_beside(folder: Path, out: Path, without: Sequence[Path] = ()) -> None:
    """Copy what is to be taken along to `out`.

    Raises RequestError if the configuration is a link out of the folder, which is not followed.
    """
    found = beside(folder, [out, *without])
    if Path("config.json") in found.links:
        raise RequestError(
            f"{folder / 'config.json'} is a link out of the folder, which is not followed; copy"
            " what it stands for in its place"
        )
    for path in found.files:
        (out / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(folder / path, out / path)


def _holds_weights(path: Path) -> bool:
    return path.suffix in _WEIGHTS or path.name.endswith(".index.json")


def _leads_out(path: Path, folder: Path) -> bool:
    """Whether it is a link out of the folder; a snapshot of the hub's cache links to its blobs."""
    if not path.is_symlink():
        return False
    allowed = [folder.resolve()]
    if folder.parent.name == "snapshots":
        allowed.append((folder.parent.parent / "blobs").resolve())
    return not any(path.resolve().is_relative_to(place) for place in allowed)


def _refuse(error: OSError) -> None:
    raise RequestError(f"cannot read {error.filename}: {error.strerror}; mend that, or copy it")
