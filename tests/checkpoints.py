"""Checkpoints in every layout, with weights of several types."""

import functools
import hashlib
import json
import struct

import numpy as np
import safetensors.torch
import torch

from analysis.checkpoints.content import combined
from analysis.checkpoints.tensors import BY_NAME

SAFETENSORS, PICKLE = "model.safetensors", "pytorch_model.bin"
_old = functools.partial(torch.save, _use_new_zipfile_serialization=False)
_SAVED = {"safetensors": (SAFETENSORS, safetensors.torch.save_file), "pickle": (PICKLE, torch.save),
          "old pickle": (PICKLE, _old)}  # fmt: skip
LAYOUTS = ["safetensors", "safetensors in shards", "pickle", "pickle in shards"]  # of today
NEW = ("float8_e4m3fn", "float8_e5m2", "uint64", "uint32", "uint16")  # not in an old pickle


def tensors(seed=0):
    """Weights of every type, in shapes that are easily got wrong."""
    generator = torch.Generator().manual_seed(seed)
    bits = torch.randint(2, (48,), generator=generator, dtype=torch.uint8)
    return {
        "b.weight": torch.randn(4, 3, generator=generator),
        "a.bias": torch.randn(5, generator=generator).half(),
        "scalar": torch.randn((), generator=generator).double(),
        "empty": torch.zeros(0, 7),
        "ids": torch.arange(6),
        **{name: bits.clone().view(getattr(torch, name)).reshape(2, 1, -1) for name in BY_NAME},
    }


def save(folder, held, layout="safetensors"):
    """Save these tensors, or whatever a pickle may hold, to a folder."""
    single, save_to = _SAVED[layout.removesuffix(" in shards")]
    if not layout.endswith(" in shards"):
        save_to(held, folder / single)
        return
    (stem, ending), names, files = single.split("."), sorted(held), {}
    for number, part in enumerate((names[::2], names[1::2]), 1):
        name = f"{stem}-{number:05}-of-00002.{ending}"
        save_to({n: held[n] for n in part}, folder / name)
        files |= dict.fromkeys(part, name)
    write_index(folder, single, json.dumps({"weight_map": files}))


def write_index(folder, single, text):
    (folder / f"{single}.index.json").write_text(text, encoding="utf-8")


def write_safetensors(folder, header, body=b""):
    """A safetensors file of this header, right or wrong, and these bytes behind it."""
    (folder / SAFETENSORS).write_bytes(struct.pack("<Q", len(header)) + header + body)


def weights_sha256(weights):
    """The digest of arrays by name: of sorted name, type, shape and bytes."""
    return combined(
        (name, str(a.dtype), a.shape, hashlib.sha256(np.ascontiguousarray(a).tobytes()).hexdigest())
        for name, a in weights.items()
    )
