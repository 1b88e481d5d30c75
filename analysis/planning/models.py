"""How large the models of a study are, before any of them is there."""

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from analysis.checkpoints.opened import opened
from analysis.checkpoints.outside import default_outside
from analysis.engine.memo import Memo
from analysis.experiments import checkpoints
from analysis.experiments.costs import Size
from analysis.models.catalogue import MAX_TOKENS
from analysis.models.family import shape_file
from analysis.study import Model, Study
from analysis.study.sections import Shape

_BUILTIN = 1_000_000
_NAMES = {
    "layers": ("num_hidden_layers", "n_layer", "num_layers", "encoder_layers"),
    "width": ("hidden_size", "n_embd", "d_model"),
    "heads": ("num_attention_heads", "n_head", "num_heads", "encoder_attention_heads"),
    "vocabulary": ("vocab_size",),
    "positions": ("max_position_embeddings", "n_positions"),
}


def size(study: Study, model: Model, memo: Memo) -> Size:
    """The size of a model, from what is remembered, shipped or lies in its folder."""
    if model.source == "builtin":
        return Size(_BUILTIN, 4, 128, 4, 1200, MAX_TOKENS)
    if model.source == "scratch":
        return _of_shape(model.family, model.shape or Shape())
    if model.source == "local":
        folder = Path(str(model.path)).expanduser()
        with opened(folder) as found:
            known = _of_config(found.config, sum(found.sizes.values()))
            return replace(known, outside=default_outside(found.named, found.shapes))
    if path := shape_file(str(model.id)):
        known = json.loads(path.read_text(encoding="utf-8"))
        return _of_config(known["config"], int(known["counted"]["parameters"]))
    remembered = memo.lookup(checkpoints.base(study, model, study.seeds[0], {}))
    if remembered is None:
        return Size(None)
    return Size(remembered.record["parameters"], outside=remembered.record.get("outside_weights"))


def _of_config(config: Mapping[str, Any], parameters: int) -> Size:
    found: dict[str, Any] = {
        what: next((config[n] for n in names if config.get(n) and type(config[n]) is int), None)
        for what, names in _NAMES.items()
    }
    if found["layers"] and (config.get("decoder_layers") or config.get("is_encoder_decoder")):
        found["layers"] *= 2
    return Size(parameters, **{what: value for what, value in found.items() if value})


def _of_shape(family: str, shape: Shape) -> Size:
    """About: twelve times the square of the width in each block, and the embeddings."""
    stacks = 2 if family == "encoder-decoder" else 1
    blocks = stacks * shape.layers * 12 * shape.width**2
    tables = (shape.vocabulary + shape.positions) * shape.width
    return Size(
        blocks + tables,
        stacks * shape.layers,
        shape.width,
        shape.heads,
        shape.vocabulary,
        shape.positions,
    )
