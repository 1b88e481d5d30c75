"""A pruned checkpoint's tensors and files: the stored bytes, changed only where pruning did."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import safetensors

from analysis.checkpoints.beside import beside, copy_beside
from analysis.checkpoints.opened import Opened
from analysis.checkpoints.tensors import Bytes, Tensor
from analysis.checkpoints.weights import FILE, write_stored
from analysis.engine import files
from analysis.errors import RunError, printable
from analysis.pruning.masks import Pruned, left_as_stored

Content = Mapping[str, tuple[Tensor, Bytes]]

FACTS = "pruning.json"


def pruned_content(model: Opened, pruned: Pruned) -> Content:
    """Every tensor's bytes, the removed weights zero; what is tied is pruned like its source."""
    content = {}
    for name, tensor in model.checkpoint.tensors.items():
        raw = np.empty(tensor.bytes, np.uint8)
        model.reader.read(tensor, 0, raw)
        what = model.parameters.weights.get(name)
        source = name if what is None or what.tied_to is None else what.tied_to
        content[name] = (tensor, left_as_stored(tensor, raw, source, pruned))
    return content


def zeros(tensor: Tensor, raw: Bytes) -> int:
    """Exact zeros of either sign."""
    numbers = raw.view(f"u{tensor.dtype.bytes}")
    signless = numbers & numbers.dtype.type((1 << (8 * tensor.dtype.bytes - 1)) - 1)
    return int(numbers.size - np.count_nonzero(signless))


def write_content(out: Path, model: Path, content: Content, facts: Mapping[str, Any]) -> None:
    """Write the tensors, the facts, and the model's other files. Raises RunError if it cannot."""
    stored = {name: (tensor.dtype, tensor.shape, raw) for name, (tensor, raw) in content.items()}

    def weights(folder: Path) -> None:
        write_stored(folder / FILE, stored)

    write_model(out, model, weights, facts)


def write_model(
    out: Path, model: Path, write_weights: Callable[[Path], None], facts: Mapping[str, Any]
) -> None:
    """Write a folder whole: the weights, the facts, and all else that lies in the model's folder.

    write_weights   gets the folder to write to
    """
    try:
        with files.replaced_folder(out) as folder:
            copy_beside(model, folder, [out])
            write_weights(folder)
            text = files.json_text(facts)
            (folder / FACTS).write_text(text + "\n", encoding="utf-8")
    except (OSError, safetensors.SafetensorError) as error:
        why = files.why_unwritable(out, error)
        raise RunError(f"cannot write the model to {out}: {why}") from error


def left_out(model: Path, out: Path) -> str:
    """What of a model's folder is not taken along to `out`; empty if all is."""
    found = beside(model, [out])
    first = (
        ".safetensors" if any(path.suffix == ".safetensors" for path in found.weights) else ".bin"
    )
    kinds = {  # but for the weights that were read, of which those are made that are written
        "weights as they were": [path for path in found.weights if first not in path.suffixes],
        "links, which are not followed": found.links,
        "hidden folders": found.hidden,
    }
    return "; ".join(
        f"{printable(', '.join(map(str, paths)))} ({kind})"
        for kind, paths in kinds.items()
        if paths
    )
