"""Formats hold tensors bit for bit, in the bytes that their formulas say."""

import gc
import math
import weakref
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

from analysis.errors import RequestError, RunError
from analysis.storage.dtypes import BITS, Spec
from analysis.storage.formats import FORMATS
from analysis.storage.reading import opened, read
from analysis.storage.writing import Writer, write, write_plain

every_format = pytest.mark.parametrize("name", FORMATS)
PLAIN = [name for name in FORMATS if not name.endswith("+zstd")]
IN_NUMPY = [
    "bool", "uint8", "int8", "int16", "uint16", "float16", "int32", "uint32", "float32", "int64",
    "uint64", "float64", "complex64",
]  # fmt: skip
SHAPES = [
    (), (0,), (1,), (7,), (64,), (65,), (0, 3), (3, 0), (1, 1), (1, 200), (200, 1), (3, 64),
    (5, 129), (4, 3, 3, 3), (2, 5000), (1, 70_000), (2, 70_000), (70_000,),
]  # fmt: skip


def sparse(shape, density, dtype="float32", seed=0):
    """Random bits, so that -0.0, NaN payloads and denormals are among them, most set to zero."""
    generator = np.random.default_rng(seed)
    dtype = np.dtype(dtype)
    if dtype.kind == "b":
        return np.asarray(generator.random(shape) < density)
    size = math.prod(shape)
    raw = np.frombuffer(generator.bytes(size * dtype.itemsize), np.uint8)
    numbers = raw.view(f"u{dtype.itemsize}").copy()
    numbers[generator.random(size) >= density] = 0
    return numbers.view(dtype).reshape(shape)


def same(one, other):
    assert one.dtype == other.dtype
    assert one.shape == other.shape
    assert one.tobytes() == other.tobytes()


def stored_bytes(path):
    """Bytes of a file's tensors, without its header."""
    content = path.read_bytes()
    return len(content) - 8 - int.from_bytes(content[:8], "little")


# ---------------------------------------------------------------- round trips


@every_format
@pytest.mark.parametrize("dtype", IN_NUMPY)
def test_every_type_comes_back_bit_for_bit(tmp_path, name, dtype):
    weights = {
        f"{shape} {density}": sparse(shape, density, dtype)
        for shape in SHAPES
        for density in (0, 0.02, 0.5, 1)
    }
    write(weights, tmp_path / "weights", name)
    back = read(tmp_path / "weights")
    assert list(back) == sorted(weights)
    for tensor, array in weights.items():
        same(back[tensor], array)


@every_format
@pytest.mark.parametrize("dtype", [*BITS, "F128", "a type of tomorrow"])
def test_types_that_numpy_lacks_come_back_as_bytes(tmp_path, name, dtype):
    generator = np.random.default_rng(0)
    content = {}
    for i, shape in enumerate([(8,), (24, 40), (2, 3, 8), (0,)]):
        size = math.prod(shape) * BITS.get(dtype, 24) // 8
        raw = np.frombuffer(generator.bytes(size), np.uint8).copy()
        raw[generator.random(size) < 0.8] = 0
        content[f"t{i}"] = Spec(dtype, shape, size), raw
    with Writer(tmp_path / "weights", name) as writer:
        for tensor, (spec, raw) in content.items():
            writer.add_raw(tensor, spec, raw)
    with opened(tmp_path / "weights") as stored:
        for tensor, (spec, raw) in content.items():
            assert stored.spec(tensor) == spec
            same(stored.raw(tensor), raw)
    with safe_open(tmp_path / "weights", framework="numpy") as file:
        assert len(file.keys()) >= 4


@settings(max_examples=150, deadline=None)
@given(
    weights=st.dictionaries(
        st.text(st.characters(codec="utf-8"), max_size=8),
        hnp.arrays(
            st.sampled_from([np.float32, np.float16, np.bool_, np.float64, np.int8]),
            hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=9),
            fill=st.just(0),
        ),
        max_size=4,
    ),
    name=st.sampled_from(FORMATS),
)
def test_any_tensors_come_back(tmp_path_factory, weights, name):
    path = tmp_path_factory.getbasetemp() / "any"
    write(weights, path, name)
    back = read(path)
    assert back.keys() == weights.keys()
    for tensor, array in weights.items():
        same(back[tensor], array)


@every_format
def test_a_row_that_16_bits_cannot_number_is_stored_all_the_same(tmp_path, name):
    for columns in (65_535, 65_536, 65_537):
        array = np.zeros((2, columns), np.float32)
        array[:, -1] = array[:, 0] = 1
        write({"a": array}, tmp_path / "weights", name)
        same(read(tmp_path / "weights")["a"], array)
        with opened(tmp_path / "weights") as stored:
            if name.startswith("csr16"):
                assert stored.layout("a") == ("csr16" if columns <= 65_536 else "csr32")


@every_format
def test_names_that_look_like_parts_are_kept_apart(tmp_path, name):
    names = ["a", "a:values", "a:values:bits", "", ":header", "header", "__metadata__", "a\n", "ä"]
    weights = {tensor: sparse((9, 9), 0.3, seed=i) for i, tensor in enumerate(names)}
    write(weights, tmp_path / "weights", name)
    for tensor, array in read(tmp_path / "weights").items():
        same(array, weights[tensor])


@every_format
def test_truth_values_other_than_0_and_1_keep_their_bytes(tmp_path, name):
    raw = np.array([0, 1, 2, 255, 0, 0, 1, 0], np.uint8)
    write({"a": raw.view(bool)}, tmp_path / "weights", name)
    with opened(tmp_path / "weights") as stored:
        same(stored.raw("a"), raw)


@every_format
def test_a_view_is_written_like_its_copy(tmp_path, name):
    whole = sparse((30, 40), 0.3)
    for view in (whole.T, whole[::2], np.asfortranarray(whole), whole.astype(">f4")):
        write({"a": view}, tmp_path / "view", name)
        write({"a": np.ascontiguousarray(view, "<f4")}, tmp_path / "copy", name)
        assert (tmp_path / "view").read_bytes() == (tmp_path / "copy").read_bytes()


@every_format
def test_equal_weights_make_equal_files_and_stay_as_they_are(tmp_path, name):
    weights = {tensor: sparse((40, 50), 0.5, seed=3) for tensor in "ab"}
    before = weights["a"].copy()
    for array in weights.values():
        array.setflags(write=False)
    write(weights, tmp_path / "one", name)
    write(dict(reversed(weights.items())), tmp_path / "two", name)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
    same(weights["a"], before)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["one", "two"]


def test_a_large_tensor_is_cut_into_pieces_without_a_seam(tmp_path):
    shapes = {"float32": (1037, 511), "uint8": (1_500_007,), "float16": (3, 2**19)}
    for dtype, shape in shapes.items():
        for density in (0.03, 0.6):
            array = sparse(shape, density, dtype)
            for name in ("bitmask", "csr32"):
                write({"a": array}, tmp_path / "weights", name)
                same(read(tmp_path / "weights")["a"], array)


# ---------------------------------------------------------------- sizes


def formula(array, layout):
    """Bytes of a matrix by the textbook."""
    nonzero, values = np.count_nonzero(array), 0 if array.dtype == bool else array.itemsize
    rows = array.shape[0] if array.ndim > 1 else 1
    return {
        "dense": array.nbytes,
        "bitmask": -(-array.size // 8) + values * nonzero,
        "csr16": 4 * (rows + 1) + (2 + values) * nonzero,
        "csr32": 4 * (rows + 1) + (4 + values) * nonzero,
    }[layout]


@pytest.mark.parametrize("layout", ["dense", "bitmask", "csr16", "csr32"])
@pytest.mark.parametrize("dtype", ["float32", "float16", "bool", "float64"])
@pytest.mark.parametrize("shape", [(300, 128), (64, 3, 3, 3), (5000,)])
def test_a_layout_takes_the_bytes_of_its_formula(tmp_path, layout, dtype, shape):
    for density in (0, 0.01, 0.3, 1):
        array = np.abs(sparse(shape, density, dtype).astype(dtype))
        array[np.isnan(array)] = 1
        write({"a": array}, tmp_path / "weights", layout)
        assert stored_bytes(tmp_path / "weights") == formula(array, layout)


@pytest.mark.parametrize("dtype", ["float32", "float16", "bool"])
@pytest.mark.parametrize("shape", [(300, 128), (2, 70_000), (40_000,), (9, 2), ()])
@pytest.mark.parametrize("density", [0, 0.001, 0.01, 0.05, 0.1, 0.5, 0.97, 1])
def test_auto_is_never_above_any_layout_but_for_headers(tmp_path, dtype, shape, density):
    array = sparse(shape, density, dtype)
    sizes = {}
    for name in PLAIN:
        write({"a": array}, tmp_path / "weights", name)
        sizes[name] = (tmp_path / "weights").stat().st_size
    assert sizes["auto"] <= min(sizes.values()) + 20
    save_file({"a": array}, tmp_path / "theirs")
    assert sizes["auto"] <= (tmp_path / "theirs").stat().st_size + 400


@every_format
def test_zstd_only_shortens(tmp_path, name):
    weights = {"a": sparse((100, 200), 0.1), "b": sparse((7,), 1), "c": np.zeros((50, 50))}
    write(weights, tmp_path / "plain", name.removesuffix("+zstd"))
    write(weights, tmp_path / "short", name)
    assert stored_bytes(tmp_path / "short") <= stored_bytes(tmp_path / "plain")
    for tensor, array in read(tmp_path / "short").items():
        same(array, weights[tensor])


def test_a_large_files_header_is_a_small_part_of_it(tmp_path):
    """48 MB in twenty tensors: within 2 % of the formula at every level."""
    for density in (0.5, 0.1, 0.05, 0.01):
        array = sparse((768, 768), density)
        weights = {f"encoder.layer.{i}.attention.self.query.weight": array for i in range(20)}
        write(weights, tmp_path / "weights", "auto")
        least = min(formula(array, layout) for layout in ("bitmask", "csr16", "csr32"))
        assert (tmp_path / "weights").stat().st_size <= 1.02 * 20 * least


# ---------------------------------------------------------------- the file


def test_a_plain_file_is_the_one_that_safetensors_writes(tmp_path):
    weights = {"a": sparse((30, 40), 0.1), "b": np.arange(5)}
    save_file(weights, tmp_path / "theirs")
    write_plain(weights, tmp_path / "ours")
    assert (tmp_path / "ours").read_bytes() == (tmp_path / "theirs").read_bytes()


def test_safetensors_reads_the_parts(tmp_path):
    array = sparse((20, 30), 0.1)
    write({"a": array}, tmp_path / "bits", "bitmask")
    bits = array.view(np.uint32) != 0
    parts = load_file(tmp_path / "bits")
    np.testing.assert_array_equal(parts["a:bits"], np.packbits(bits))
    same(parts["a:values"], array[bits])
    write({"a": array}, tmp_path / "rows", "csr16")
    parts = load_file(tmp_path / "rows")
    np.testing.assert_array_equal(parts["a:rows"], [0, *np.cumsum(bits.sum(1))])
    np.testing.assert_array_equal(parts["a:columns"], bits.nonzero()[1])
    same(parts["a:values"], array[bits])


@every_format
def test_the_reader_in_the_docs_reads_it(tmp_path, name):
    text = (Path(__file__).parent.parent / "docs" / "storage.md").read_text(encoding="utf-8")
    reader: dict = {}
    exec(text[text.index("import json") :].split("```")[0], reader)
    weights = {
        f"{dtype} {shape}": sparse(shape, density, dtype)
        for dtype in IN_NUMPY
        for shape, density in {(): 1, (3, 0): 1, (40, 70): 0.1, (2, 3, 70_000): 0.001}.items()
    }
    write({**weights, "": np.ones(3)}, tmp_path / "weights", name)
    back = reader["load"](tmp_path / "weights")
    for tensor, array in weights.items():
        same(back[tensor], array)


class OnDemand(Mapping):
    """Arrays that are made when they are asked for; it knows how many are alive."""

    def __init__(self, count):
        self.count, self.alive, self.most = count, weakref.WeakSet(), 0

    def __iter__(self):
        return iter(f"t{i}" for i in range(self.count))

    def __len__(self):
        return self.count

    def __getitem__(self, name):
        gc.collect()
        array = sparse((300, 300), 0.5).view(type("Watched", (np.ndarray,), {}))
        self.alive.add(Hashable(array))
        self.most = max(self.most, sum(each.array() is not None for each in self.alive))
        return array


class Hashable:
    """Stands for an array, which a set cannot hold, and does not keep it alive."""

    kept: list = []  # noqa: RUF012

    def __init__(self, array):
        self.array = weakref.ref(array)
        self.kept.append(self)


@every_format
def test_one_tensor_is_held_at_a_time(tmp_path, name):
    weights = OnDemand(6)
    write(weights, tmp_path / "weights", name)
    assert weights.most <= 2  # the last one, and the one that is being made


def test_what_a_writer_is_told_is_kept(tmp_path):
    write({}, tmp_path / "weights", "auto", {"made of": "ä"})
    with opened(tmp_path / "weights") as stored:
        assert stored.metadata == {"made of": "ä"}
        assert stored.names == ()


def test_a_failed_writing_leaves_the_old_file(tmp_path):
    write({"a": np.ones(3)}, tmp_path / "weights")
    with pytest.raises(RequestError, match="is an array of"):
        write({"a": np.ones(3), "b": np.ones(3, np.longdouble)}, tmp_path / "weights")
    assert list(read(tmp_path / "weights")) == ["a"]
    assert [p.name for p in tmp_path.iterdir()] == ["weights"]


def test_a_name_is_written_once(tmp_path):
    with Writer(tmp_path / "weights") as writer:
        writer.add("a", np.ones(3))
        with pytest.raises(ValueError, match="twice"):
            writer.add("a", np.ones(3))


@pytest.mark.parametrize("name", ["csr", "zstd", "", "auto+zstd+zstd", "AUTO"])
def test_another_format_is_refused(tmp_path, name):
    with pytest.raises(RequestError, match="unknown format"):
        write({}, tmp_path / "weights", name)


def test_a_folder_that_is_not_there_is_said_in_a_line(tmp_path):
    with pytest.raises(RunError, match="cannot write"):
        write({"a": np.ones(3)}, tmp_path / "no" / "weights")
    with pytest.raises(RequestError, match="no file"):
        read(tmp_path / "weights")
    save_file({"a": np.ones(3)}, tmp_path / "plain")
    with pytest.raises(RequestError, match="not compressed"):
        read(tmp_path / "plain")


def test_a_type_that_numpy_lacks_is_said_in_a_line(tmp_path):
    with Writer(tmp_path / "weights") as writer:
        writer.add_raw("a.weight", Spec("BF16", (2,), 4), np.ones(4, np.uint8))
    with pytest.raises(RunError, match=r"a\.weight is BF16, which numpy lacks"):
        read(tmp_path / "weights")
