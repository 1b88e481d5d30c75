"""Formats hold tensors bit for bit, in the bytes that their formulas say and that are counted."""

import itertools
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from safetensors import safe_open
from safetensors.numpy import save_file

from analysis.engine.objects import Objects
from analysis.errors import RequestError, RunError
from analysis.pruning.masks import Pruned, applied, read_pruned, write_pruned
from analysis.steps.sizes import measure_sizes
from analysis.storage.bound import bound_bytes, entropy_bytes
from analysis.storage.counting import counted
from analysis.storage.dtypes import BITS, Spec, from_array
from analysis.storage.formats import FORMATS
from analysis.storage.reading import opened, read
from analysis.storage.writing import Writer, write, write_plain

IN_NUMPY = [
    "bool", "uint8", "int8", "int16", "uint16", "float16", "int32", "uint32", "float32", "int64",
    "uint64", "float64", "complex64",
]  # fmt: skip
SHAPES = [
    (), (0,), (1,), (7,), (64,), (65,), (0, 3), (3, 0), (1, 1), (1, 200), (200, 1), (3, 64),
    (5, 129), (4, 3, 3, 3), (2, 5000),
]  # fmt: skip
LONG = [(2, 65_536), (2, 65_537), (70_000,)]  # rows that 16 bits can just number, or cannot
LARGE = [(500_007,), (3, 2**17)]  # in pieces, of which no seam may be seen
MORE = {"float32": LONG, "bool": LONG, "uint8": LARGE, "float16": LARGE}
ODD_NAMES = ["a", "a:values", "a:values:bits", "", ":header", "header", "__metadata__", "a\n", "ä"]


def sparse(shape, density, dtype="float32", seed=0):
    """Random bits, so that -0.0, NaN payloads and denormals are among them, most set to zero."""
    generator, dtype = np.random.default_rng(seed), np.dtype(dtype)
    if dtype.kind == "b":
        return np.asarray(generator.random(shape) < density)
    size = math.prod(shape)
    raw = np.frombuffer(generator.bytes(size * dtype.itemsize), np.uint8)
    numbers = raw.view(f"u{dtype.itemsize}").copy()
    numbers[generator.random(size) >= density] = 0
    return numbers.view(dtype).reshape(shape)


def bits(weights):
    """All that there is of arrays: types, shapes, and the bytes, shortened."""
    return {name: (a.dtype, a.shape, hash(a.tobytes())) for name, a in weights.items()}


def stored_bytes(path):
    """Bytes of a file's tensors, without its header."""
    content = path.read_bytes()
    return len(content) - 8 - int.from_bytes(content[:8], "little")


def written(weights, path):
    """The size of each format's file, written for real and read again; "dense" the plain file."""
    sizes = {}
    for name in FORMATS:
        write(weights, path, name)
        assert bits(read(path)) == bits(weights), name
        if name == "dense":
            write_plain(weights, path)
        sizes[name] = path.stat().st_size
    return sizes


@pytest.fixture(scope="module")
def of_all_types():
    """Tensors of every type of numpy's, of many shapes and names, some of them views."""
    weights = {
        f"{dtype} {shape} {density}": sparse(shape, density, dtype)
        for dtype in IN_NUMPY
        for shape in (*SHAPES, *MORE.get(dtype, ()))
        for density in ((0, 0.02, 0.5, 1) if dtype in MORE else (0.02,))
    }
    whole = sparse((30, 40), 0.3)
    views = {"turned": whole.T, "strided": whole[::2], "by columns": np.asfortranarray(whole)}
    return weights | views | {name: sparse((9, 9), 0.3, seed=i) for i, name in enumerate(ODD_NAMES)}


@pytest.mark.parametrize("name", FORMATS)
def test_every_type_comes_back_bit_for_bit_here_and_in_the_docs(tmp_path, of_all_types, name):
    before, path = bits(of_all_types), tmp_path / "one"
    write(of_all_types, path, name)
    write(dict(reversed(of_all_types.items())), tmp_path / "two", name)
    assert path.read_bytes() == (tmp_path / "two").read_bytes()
    assert sorted(tmp_path.iterdir()) == [path, tmp_path / "two"]
    back = read(path)
    assert (list(back), bits(back)) == (sorted(of_all_types), before)
    text = (Path(__file__).parent.parent / "docs" / "storage.md").read_text(encoding="utf-8")
    reader: dict = {}
    exec(text[text.index("import json") :].split("```")[0], reader)
    assert (bits(reader["load"](path)), bits(of_all_types)) == (before, before)
    if name == "dense":  # counted as the plain file
        write_plain(of_all_types, path)
    assert counted_of(of_all_types, [name]).bytes == {name: path.stat().st_size}
    whole = of_all_types["by columns"]
    write({"a": whole.astype(">f4")}, path, name)
    assert bits(read(path)) == bits({"a": whole})


@pytest.mark.parametrize("name", FORMATS)
def test_types_that_numpy_lacks_come_back_as_bytes(tmp_path, name):
    generator, content = np.random.default_rng(0), {}
    for dtype in (*BITS, "F128", "a type of tomorrow"):
        for shape in [(8,), (24, 40), (2, 3, 8), (0,)]:
            size = math.prod(shape) * BITS.get(dtype, 24) // 8
            raw = np.frombuffer(generator.bytes(size), np.uint8) * (generator.random(size) >= 0.8)
            content[f"{dtype} {shape}"] = Spec(dtype, shape, size), raw
    # truth values that are neither 0 nor 1
    content["truths"] = Spec("BOOL", (8,), 8), np.array([0, 1, 2, 255, 0, 0, 1, 0], np.uint8)
    with Writer(tmp_path / "weights", name) as writer:
        for tensor, (spec, raw) in content.items():
            writer.add_raw(tensor, spec, raw)
    with opened(tmp_path / "weights") as stored:
        assert stored.names == tuple(content)
        for tensor, (spec, raw) in content.items():
            assert stored.spec(tensor) == spec
            assert stored.raw(tensor).tobytes() == raw.tobytes(), tensor
        with pytest.raises(RunError, match=r"BF16 \(8,\) is BF16, which numpy lacks"):
            stored.tensor("BF16 (8,)")
    with safe_open(tmp_path / "weights", framework="numpy") as file:
        assert len(file.keys()) >= len(content)


def counted_of(weights, formats):
    return counted(weights, lambda name: from_array(name, weights[name]), formats)


names = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=8)
shapes = hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=9)
arrays = hnp.arrays(st.sampled_from(IN_NUMPY), shapes, fill=st.just(0))


@settings(max_examples=25)
@given(st.dictionaries(names.filter(lambda name: name != "__metadata__"), arrays, max_size=4))
def test_any_tensors_come_back_in_the_bytes_that_are_counted(tmp_path_factory, weights):
    found = counted_of(weights, FORMATS)
    assert found.bytes == written(weights, tmp_path_factory.getbasetemp() / "any")
    bound = sum(entropy(a.size, *kept(a)) for a in weights.values())
    assert bound_bytes(weights) == found.bound_bytes == pytest.approx(bound, abs=1.001)
    assert entropy_bytes(Spec("F4", (10,), 5), 10) == 5  # of a type that is not known: its bytes


def kept(array):
    """How many elements have a bit set, and the bytes that the value of one takes."""
    raw = np.frombuffer(array.tobytes(), np.uint8).reshape(array.size, array.itemsize)
    return int(raw.any(1).sum()), 0 if array.dtype == bool else array.itemsize


def entropy(size, nonzero, itemsize):
    p = nonzero / max(1, size)
    return size * -sum(x * math.log2(x) for x in (p, 1 - p) if x) / 8 + itemsize * nonzero


def formula(array, layout):
    nonzero, values = kept(array)
    rows = array.shape[0] if array.ndim > 1 else 1
    return {
        "dense": array.nbytes,
        "bitmask": -(-array.size // 8) + values * nonzero,
        "csr16": 4 * (rows + 1) + (2 + values) * nonzero,
        "csr32": 4 * (rows + 1) + (4 + values) * nonzero,
    }[layout]


def test_a_layout_takes_the_bytes_of_its_formula_and_auto_the_fewest(tmp_path):
    path, layouts = tmp_path / "weights", ("dense", "bitmask", "csr16", "csr32")
    shapes = [(300, 128), (64, 3, 3, 3), (5000,), (9, 2), (2, 65_536), (2, 65_537), ()]
    for shape, dtype in itertools.product(shapes, ("float32", "float16", "bool", "float64")):
        for density in (0, 0.01, 0.05, 0.1, 0.5, 1):
            array, sizes = sparse(shape, density, dtype), []
            for name in layouts:
                write({"a": array}, path, name)
                sizes.append(path.stat().st_size)
                true = "csr32" if shape == (2, 65_537) and name == "csr16" else name
                case = (shape, dtype, density, name)
                assert stored_bytes(path) == formula(array, true), case
                with opened(path) as stored:
                    assert stored.layout("a") == true, case
            write({"a": array}, path, "auto")
            auto = path.stat().st_size
            save_file({"a": array}, path)  # as `write_plain` does
            write_plain({"a": array.copy(order="F")}, tmp_path / "plain")
            assert (tmp_path / "plain").read_bytes() == path.read_bytes()
            assert auto <= min(min(sizes) + 20, path.stat().st_size + 400), case


def test_zstd_only_shortens_and_no_file_of_random_weights_beats_the_bound(tmp_path):
    """Random bits do not compress, so the bound holds for real files of this size."""
    plain, short = tmp_path / "plain", tmp_path / "short"
    arrays = {density: sparse((200, 50), density) for density in (0.01, 0.1)}
    for name in FORMATS[::2]:
        for density, array in (*arrays.items(), (1, sparse((7,), 1))):
            write({"a": array}, plain, name)
            write({"a": array}, short, f"{name}+zstd")
            sizes = stored_bytes(short), stored_bytes(plain)
            assert sizes[0] < sizes[1] if density < 1 else sizes[0] == sizes[1], (name, density)
            assert short.stat().st_size >= bound_bytes({"a": array}) > 0


def test_sizes_of_a_pruned_checkpoint_are_those_of_its_files(tmp_path):
    generator = np.random.default_rng(0)
    weights = {f"h.{i}": generator.standard_normal((30, 50)).astype(np.float32) for i in (0, 1)}
    masks = {name: np.abs(array) > 1.5 for name, array in weights.items()}
    weights["bias"] = np.zeros(7, np.float32)
    objects, folder = Objects(tmp_path / "objects"), tmp_path / "model"
    folder.mkdir()
    save_file(weights, folder / "model.safetensors")
    write_pruned(tmp_path / "masks", Pruned(masks, {"h.1": 2 * weights["h.1"] * masks["h.1"]}), "")
    left = applied(weights, read_pruned(tmp_path / "masks"))
    given = {"weights_sha256": "", "formats": [*FORMATS], "checkpoint": objects.adopt(folder)}
    pruned = measure_sizes(objects, masks=objects.adopt(tmp_path / "masks"), **given)
    assert pruned == {"bytes": written(left, tmp_path / "out"), "bound_bytes": bound_bytes(left)}
    dense = measure_sizes(objects, masks=None, **given)
    assert dense["bytes"] == written(weights, tmp_path / "out")
    write_pruned(tmp_path / "masks", Pruned({"b": np.ones(3, bool)}), "")
    with pytest.raises(ValueError, match="b: pruned, but not in the checkpoint"):
        measure_sizes(objects, masks=objects.adopt(tmp_path / "masks"), **given)


def test_a_writer_keeps_what_it_is_told_or_the_old_file(tmp_path):
    path = tmp_path / "weights"
    with Writer(path, "auto", {"made of": "ä"}) as writer:
        writer.add("a", np.ones(3))
        with pytest.raises(ValueError, match="twice"):
            writer.add("a", np.ones(3))
        with pytest.raises(ValueError, match="b has 3 bytes in place of 4"):
            writer.add_raw("b", Spec("F32", (1,), 4), np.ones(3, np.uint8))
    with pytest.raises(RequestError, match="is an array of"):
        write({"a": np.ones(3), "b": np.ones(3, np.longdouble)}, path)
    with opened(path) as stored:
        assert (stored.metadata, stored.names) == ({"made of": "ä"}, ("a",))
    assert [*tmp_path.iterdir()] == [path]


def test_what_is_no_format_or_no_file_is_said_in_a_line(tmp_path):
    for name in ("csr", "zstd", "", "auto+zstd+zstd", "AUTO"):
        with pytest.raises(RequestError, match="unknown format"):
            write({}, tmp_path / "weights", name)
    with pytest.raises(RequestError, match="Did you mean 'csr16'"):
        counted_of({"a": np.ones(3, np.float32)}, ["csr1"])
    with pytest.raises(RunError, match="cannot write"):
        write({"a": np.ones(3)}, tmp_path / "no" / "weights")
    with pytest.raises(RequestError, match="no file"):
        read(tmp_path / "weights")
    save_file({"a": np.ones(3)}, tmp_path / "plain")
    with pytest.raises(RequestError, match="not compressed"):
        read(tmp_path / "plain")
