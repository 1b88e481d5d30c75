"""Bytes that are counted are those of the files that are written."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from safetensors.numpy import save_file

from analysis.errors import RequestError
from analysis.models.tensors import DTYPES
from analysis.objects import Objects
from analysis.pruning.masks import Pruned, applied, read_pruned, write_pruned
from analysis.steps.sizes import measure_sizes
from analysis.storage.bound import bound_bytes
from analysis.storage.counting import _IN_ORDER, counted
from analysis.storage.formats import FORMATS
from analysis.storage.writing import write, write_plain

IN_NUMPY = [
    "bool", "uint8", "int8", "int16", "uint16", "float16", "int32", "uint32", "float32", "int64",
    "uint64", "float64", "complex64",
]  # fmt: skip
names = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=8)


def written(weights, path):
    """The size of each format's file, written for real."""
    sizes = {}
    for name in FORMATS:
        if name == "dense":
            write_plain(weights, path)
        else:
            write(weights, path, name)
        sizes[name] = path.stat().st_size
    return sizes


@st.composite
def arrays(draw):
    """Mostly zeros, of every type and many shapes."""
    dtype = draw(st.sampled_from(IN_NUMPY))
    shape = draw(hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=40))
    generator = np.random.default_rng(draw(st.integers(0, 99)))
    numbers = generator.integers(0, 2, shape) * (generator.random(shape) < 0.3)
    return np.asarray(numbers).astype(dtype)


@settings(max_examples=60)
@given(st.dictionaries(names.filter(lambda name: name != "__metadata__"), arrays(), max_size=5))
def test_counted_is_written(tmp_path_factory, weights):
    found = counted(weights, FORMATS)
    assert found.bytes == written(weights, tmp_path_factory.getbasetemp() / "counted")
    assert found.bound_bytes == bound_bytes(weights)


def test_counted_is_written_where_places_in_the_file_have_many_digits(tmp_path):
    """Two types and many tensors: how long a header is depends on which tensor lies where."""
    generator = np.random.default_rng(0)
    weights = {
        f"layer.{n}.weight": (generator.random((70, 90)) * (generator.random((70, 90)) < 0.1))
        .astype(np.float32 if n % 3 else np.float16)
        for n in range(40)
    }  # fmt: skip
    assert counted(weights, FORMATS).bytes == written(weights, tmp_path / "weights")


def test_every_type_has_its_place_in_a_plain_file():
    assert sorted(_IN_ORDER) == sorted(DTYPES)


def test_an_unknown_format_is_one_line():
    with pytest.raises(RequestError, match="Did you mean 'csr16'"):
        counted({"a": np.ones(3, np.float32)}, ["csr1"])


def test_sizes_of_a_pruned_checkpoint_are_those_of_its_files(tmp_path):
    generator = np.random.default_rng(0)
    weights = {
        "h.0.weight": generator.standard_normal((30, 50)).astype(np.float32),
        "h.1.weight": generator.standard_normal((50, 30)).astype(np.float32),
        "bias": np.zeros(7, np.float32),
    }
    masks = {name: np.abs(weights[name]) > 1.5 for name in ("h.0.weight", "h.1.weight")}
    objects, folder = Objects(tmp_path / "objects"), tmp_path / "model"
    folder.mkdir()
    save_file(weights, folder / "model.safetensors")
    changed = {"h.1.weight": 2 * weights["h.1.weight"] * masks["h.1.weight"]}
    write_pruned(tmp_path / "masks", Pruned(masks, changed), "")
    left = applied(weights, read_pruned(tmp_path / "masks"))
    given = {
        "weights_sha256": "",
        "formats": list(FORMATS),
        "checkpoint": objects.adopt(folder),
    }
    pruned = measure_sizes(objects, masks=objects.adopt(tmp_path / "masks"), **given)
    assert pruned == {"bytes": written(left, tmp_path / "out"), "bound_bytes": bound_bytes(left)}
    dense = measure_sizes(objects, masks=None, **given)
    assert dense["bytes"] == written(weights, tmp_path / "out")


def test_what_was_pruned_and_is_not_there_is_an_error(tmp_path):
    objects, folder = Objects(tmp_path / "objects"), tmp_path / "model"
    folder.mkdir()
    save_file({"a": np.ones(3, np.float32)}, folder / "model.safetensors")
    write_pruned(tmp_path / "masks", Pruned({"b": np.ones(3, bool)}), "")
    with pytest.raises(ValueError, match="b: pruned, but not in the checkpoint"):
        measure_sizes(
            objects, weights_sha256="", masks=objects.adopt(tmp_path / "masks"),
            formats=["dense"], checkpoint=objects.adopt(folder),
        )  # fmt: skip
