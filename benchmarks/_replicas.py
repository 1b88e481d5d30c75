"""Checkpoints of GPT-2's true shapes with random weights, written to disk block by block."""

import json
import math
from pathlib import Path

import numpy as np

_BLOCK = 1 << 24  # weights


def gpt2_shapes(width: int, layers: int) -> dict[str, tuple[int, ...]]:
    """Names and shapes of a GPT-2's parameters, in the hub's spelling (no prefix)."""
    norm = {"weight": (width,), "bias": (width,)}
    block = {
        **{f"ln_1.{own}": shape for own, shape in norm.items()},
        "attn.c_attn.weight": (width, 3 * width),
        "attn.c_attn.bias": (3 * width,),
        "attn.c_proj.weight": (width, width),
        "attn.c_proj.bias": (width,),
        **{f"ln_2.{own}": shape for own, shape in norm.items()},
        "mlp.c_fc.weight": (width, 4 * width),
        "mlp.c_fc.bias": (4 * width,),
        "mlp.c_proj.weight": (4 * width, width),
        "mlp.c_proj.bias": (width,),
    }
    return {
        "wte.weight": (50257, width),
        "wpe.weight": (1024, width),
        **{f"h.{n}.{own}": shape for n in range(layers) for own, shape in block.items()},
        **{f"ln_f.{own}": shape for own, shape in norm.items()},
    }


def write(folder: Path, shapes: dict[str, tuple[int, ...]]) -> int:
    """Write a checkpoint of normal float32 weights with these shapes; returns their number."""
    header, offset = {}, 0
    for name, shape in shapes.items():
        end = offset + 4 * math.prod(shape)
        header[name] = {"dtype": "F32", "shape": list(shape), "data_offsets": [offset, end]}
        offset = end
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    generator = np.random.default_rng(0)
    block = 0.02 * generator.standard_normal(_BLOCK, dtype=np.float32)
    with (folder / "model.safetensors").open("wb") as stream:
        stream.write(len(text).to_bytes(8, "little") + text)
        for start in range(0, offset // 4, _BLOCK):
            stream.write(np.roll(block, start // _BLOCK * 7919)[: offset // 4 - start].data)
    return offset // 4
