"""Damaged and forged files are refused in one line that names file and tensor; nothing worse."""

import json
import os

import numpy as np
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis.errors import AnalysisError, RunError
from analysis.storage import container
from analysis.storage.dtypes import Spec
from analysis.storage.formats import FORMATS
from analysis.storage.reading import opened
from analysis.storage.writing import Writer, write

HUGE = [2**31, 2**40, 2**62, 2**63, 10**30]
every_format = pytest.mark.parametrize("name", FORMATS)


def weights():
    generator = np.random.default_rng(0)
    matrix = generator.standard_normal((6, 40)).astype(np.float32)
    matrix[generator.random(matrix.shape) < 0.6] = 0
    return {"layer.weight": matrix, "layer.mask": matrix != 0, "bias": np.ones(3, np.float16)}


def written(path, name):
    """A file of a compressed checkpoint in that format; its bytes."""
    arrays = weights()
    with Writer(path, name) as writer:
        writer.add_header(container.header_text({}, {"format": "pt"}))
        for tensor, array in arrays.items():
            writer.add(tensor, array)
    return path.read_bytes()


def read_all(path):
    with opened(path) as stored:
        stored.original_header()
        return {name: stored.tensor(name) for name in stored.names}


def refused(path, *named):
    """Reading fails in one line that names the file and these."""
    with pytest.raises(AnalysisError) as caught:
        read_all(path)
    message = str(caught.value)
    assert str(path) in message
    assert "\n" not in message
    for name in named:
        assert name in message, message
    return message


@every_format
@settings(max_examples=150, deadline=None)
@given(place=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
def test_a_flipped_bit_is_found(tmp_path_factory, name, place, bit):
    path = tmp_path_factory.getbasetemp() / "flipped"
    content = bytearray(written(path, name))
    content[int(place * len(content))] ^= 1 << bit
    path.write_bytes(content)
    refused(path)


@every_format
@settings(max_examples=60, deadline=None)
@given(part=st.floats(0, 1, exclude_max=True), more=st.binary(max_size=9))
def test_a_cut_or_lengthened_file_is_found(tmp_path_factory, name, part, more):
    path = tmp_path_factory.getbasetemp() / "cut"
    content = written(path, name)
    path.write_bytes(content[: int(part * len(content))])
    refused(path)
    path.write_bytes(content + more + b"\0")
    refused(path)


@settings(max_examples=200, deadline=None)
@given(content=st.binary(max_size=300), length=st.integers(0, 400))
def test_any_bytes_are_refused(tmp_path_factory, content, length):
    path = tmp_path_factory.getbasetemp() / "noise"
    path.write_bytes(content)
    refused(path)
    path.write_bytes(length.to_bytes(8, "little") + content)
    refused(path)


# ------------------------------------------------- forged: every checksum is right


def forge(path, change, part=None, data=None, name="layer.weight"):
    """Write the file again with the entry of a tensor changed, or one of its parts, and with
    checksums that fit."""
    content = path.read_bytes()
    header = container.parsed(
        content[8 : 8 + int.from_bytes(content[:8], "little")],
        len(content) - 8 - int.from_bytes(content[:8], "little"),
    )
    place, parts = header.start, {}
    for key, spec in header.entries.items():
        parts[key] = (spec, content[place : place + spec.bytes])
        place += spec.bytes
    own = json.loads(header.metadata["sparse"])
    entry = own["tensors"][name]
    change(entry)
    if part is not None:
        old, there = parts[f"{name}:{part}"]
        new = there if data is None else data.tobytes()
        size = len(new) // (old.bytes // old.size)
        parts[f"{name}:{part}"] = (Spec(old.dtype, (size,), len(new)), new)
    entry["checksum"] = container.digest(
        there for key, (_, there) in parts.items() if key.rpartition(":")[0] == name
    )
    metadata = container.own_metadata(own["tensors"], own["metadata"], own.get("original"))
    text = container.header_text({key: spec for key, (spec, _) in parts.items()}, metadata)
    body = b"".join(there for _, there in parts.values())
    path.write_bytes(len(text).to_bytes(8, "little") + text + body)


def nothing(entry):
    pass


def test_a_forged_file_without_a_lie_is_read(tmp_path):
    """What is refused below is refused for its lie, not for its forging."""
    for name in FORMATS:
        written(tmp_path / "file", name)
        forge(tmp_path / "file", nothing)
        read_all(tmp_path / "file")


LIES = {
    "dtype": ["F16", "F64", "U8", "BOOL", "F4", "F99", "", None, 4, ["F32"]],
    "shape": [[7, 40], [40], [240, 0], [], [0], [-6, -40], [6.0, 40], None, "6x40", [[6], 40]]
    + [[n, n] for n in HUGE]
    + [[1, n] for n in HUGE]
    + [[n, 0] for n in HUGE]
    + [[1] * 65 + [240]],
    "layout": ["dense", "bitmask", "csr16", "csr32", "csr64", "", None, 1, {}],
    "nonzeros": [0, -1, 3, 240, 241, 1.5, True, None, "12", *HUGE],
    "zstd": ["values", ["bits", "rows"], ["values"], {}, [[]], None],
}


TRUE = {  # what is no lie there
    ("dense+zstd", "layout"): ["dense"],
    ("dense+zstd", "nonzeros"): LIES["nonzeros"],  # nobody asks
    ("bitmask", "layout"): ["bitmask"],
    ("csr16", "layout"): ["csr16"],
    ("csr32+zstd", "layout"): ["csr32"],
}


@pytest.mark.parametrize("name", ["dense+zstd", "bitmask", "csr16", "csr32+zstd"])
@pytest.mark.parametrize("key", LIES)
def test_a_lie_about_a_tensor_is_refused_by_its_name(tmp_path, name, key):
    for lie in LIES[key]:
        written(tmp_path / "file", name)
        before = read_all(tmp_path / "file")["layer.weight"]

        def change(entry, lie=lie):
            entry[key] = lie

        forge(tmp_path / "file", change)
        if lie in TRUE.get((name, key), []):
            assert read_all(tmp_path / "file")["layer.weight"].tobytes() == before.tobytes()
        else:
            refused(tmp_path / "file", "layer.weight")


@pytest.mark.parametrize("name", ["bitmask", "csr16"])
@pytest.mark.parametrize("key", ["dtype", "shape", "layout", "nonzeros", "checksum"])
def test_what_is_not_said_is_refused(tmp_path, name, key):
    written(tmp_path / "file", name)
    forge(tmp_path / "file", lambda entry: entry.pop(key))
    if key != "checksum":  # which the forger puts back
        refused(tmp_path / "file", "layer.weight")


def parts(tmp_path, name):
    written(tmp_path / "file", name)
    with opened(tmp_path / "file") as stored:
        return stored, weights()["layer.weight"]


def rows_and_columns():
    bits = weights()["layer.weight"] != 0
    rows = np.concatenate([[0], np.cumsum(bits.sum(1))])
    return rows, bits.nonzero()[1]


def wrong_rows():
    rows, _ = rows_and_columns()
    for place, value in [
        (0, 1),
        (0, -1),
        (3, rows[4] + 1),
        (3, -5),
        (6, rows[6] - 1),
        (6, 2**31 - 1),
    ]:
        wrong = rows.copy()
        wrong[place] = value
        yield wrong
    yield np.zeros_like(rows)
    yield rows[::-1]
    yield np.full_like(rows, -(2**31))


def wrong_columns(most):
    _, columns = rows_and_columns()
    for place, value in [(0, columns[1]), (5, 40), (5, most), (len(columns) - 1, 2**15)]:
        wrong = columns.copy()
        wrong[place] = value
        yield wrong
    yield np.zeros_like(columns)
    yield columns[::-1]
    yield np.full_like(columns, most)


@pytest.mark.parametrize("name", ["csr16", "csr32"])
def test_row_pointers_that_fall_or_lead_out_are_refused(tmp_path, name):
    for wrong in wrong_rows():
        written(tmp_path / "file", name)
        forge(tmp_path / "file", nothing, "rows", wrong.astype(np.int32))
        assert "row pointers" in refused(tmp_path / "file", "layer.weight")


@pytest.mark.parametrize(("name", "dtype", "most"), [("csr16", "u2", 65535), ("csr32", "i4", -1)])
def test_columns_that_fall_or_lead_out_are_refused(tmp_path, name, dtype, most):
    for wrong in wrong_columns(most):
        written(tmp_path / "file", name)
        forge(tmp_path / "file", nothing, "columns", wrong.astype(dtype))
        assert "columns" in refused(tmp_path / "file", "layer.weight")


def test_bits_that_do_not_fit_the_values_are_refused(tmp_path):
    for change in (1, 7, 128):
        written(tmp_path / "file", "bitmask")
        bits = np.packbits(weights()["layer.weight"] != 0)
        bits[7] ^= change
        forge(tmp_path / "file", nothing, "bits", bits)
        refused(tmp_path / "file", "layer.weight", "bits are set")


@pytest.mark.parametrize("name", ["bitmask", "csr16", "csr32"])
@pytest.mark.parametrize("more", [1, -1])
def test_a_mask_that_keeps_more_or_less_than_it_says_is_refused(tmp_path, name, more):
    written(tmp_path / "file", name)

    def change(entry):
        entry["nonzeros"] += more

    forge(tmp_path / "file", change, name="layer.mask")
    refused(tmp_path / "file", "layer.mask")


def test_bits_beyond_the_last_element_are_refused(tmp_path):
    write({"layer.weight": np.array([1, 0, 1], bool)}, tmp_path / "file", "bitmask")
    for last in (0b10110000, 0b10000001):
        forge(tmp_path / "file", nothing, "bits", np.array([last], np.uint8))
        refused(tmp_path / "file", "layer.weight", "bits are set beyond")


@pytest.mark.parametrize("part", ["bits", "values", "rows", "columns"])
@pytest.mark.parametrize("name", ["bitmask", "csr16"])
def test_parts_that_are_too_short_or_too_long_are_refused(tmp_path, name, part):
    if (part in ("rows", "columns")) == (name == "bitmask") and part != "values":
        return
    for size in (0, 1, 1000):
        written(tmp_path / "file", name)
        item = {"bits": 1, "values": 4, "rows": 4, "columns": 2}[part]
        forge(tmp_path / "file", nothing, part, np.zeros(size * item, np.uint8))
        refused(tmp_path / "file", "layer.weight")


def test_zstd_that_holds_something_else_is_refused(tmp_path):
    good = weights()["layer.weight"].tobytes()
    contents = [good[:-1], good + b"\0", b"", bytes(10_000_000)]
    frames = [zstandard.compress(content) for content in contents]
    for frame in [*frames, zstandard.compress(good) + b"\0", b"\x28\xb5\x2f\xfd", b"noise", b""]:
        written(tmp_path / "file", "dense+zstd")
        forge(tmp_path / "file", nothing, "dense", np.frombuffer(frame, np.uint8))
        refused(tmp_path / "file", "layer.weight")


def test_a_size_that_zstd_cannot_reach_is_refused_before_it_is_taken(tmp_path):
    written(tmp_path / "file", "dense+zstd")

    def change(entry):
        entry["shape"] = [1 << 16, 1 << 15]  # 8 GiB

    forge(tmp_path / "file", change)
    assert "cannot hold" in refused(tmp_path / "file", "layer.weight")


def test_a_tensor_larger_than_memory_is_refused(tmp_path):
    write({"a": np.zeros((1, 1 << 20), np.float32)}, tmp_path / "file", "csr32")

    def change(entry):
        entry["shape"] = [1, 1 << 31, 1 << 20]

    forge(tmp_path / "file", lambda entry: entry.update(shape=[1, 1 << 31]), name="a")
    with opened(tmp_path / "file") as stored:  # 8 GiB of nothing: nobody could tell that it lies
        assert stored.spec("a").bytes == 1 << 33
    forge(tmp_path / "file", change, name="a")
    refused(tmp_path / "file", "a")


# ------------------------------------------------------------------ the header


def rewritten(path, old, new):
    """The file with a piece of its header replaced, and its length put right."""
    content = path.read_bytes()
    length = int.from_bytes(content[:8], "little")
    text = content[8 : 8 + length].replace(old, new)
    assert text != content[8 : 8 + length]
    path.write_bytes(len(text).to_bytes(8, "little") + text + content[8 + length :])


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b'"layer.weight:bits"', b'"layer.mask:bits"'),  # twice
        (b'"layer.weight:bits"', b'"layer.weight:bit"'),
        (b'"layer.weight:values"', b'"another"'),
        (b'"dtype":"F32"', b'"dtype":"I32"'),
        (b'"dtype":"F32"', b'"dtype":32'),
        (b'"data_offsets":[0,', b'"data_offsets":[1,'),
        (b'"data_offsets":[0,', b'"data_offsets":[-1,'),
        (b'"data_offsets":[0,', b'"data_offsets":[0,0,'),
        (b'"data_offsets":[0,', b'"data_offsets":[false,'),
        (b'"data_offsets":[0,', b'"data_offsets":[1e999,'),
        (b'"data_offsets":[0,', b'"data_offsets":[' + b"9" * 5000 + b","),
        (b'"shape":[30]', b'"shape":[31]'),
        (b'"shape":[30]', b'"shape":' + b"[" * 100_000),
        (b'"checksum":', b'"checksun":'),
        (b'{"__metadata__"', b'[{"__metadata__"'),
        (b'"__metadata__"', b'"x":{},"__metadata__"'),
        (b'"__metadata__"', b'"x":7,"__metadata__"'),
        (b"}", b""),
        (b'version\\":1', b'version\\":2'),
    ],
)
def test_a_header_that_contradicts_itself_is_refused(tmp_path, old, new):
    written(tmp_path / "file", "bitmask")
    rewritten(tmp_path / "file", old, new)
    refused(tmp_path / "file")


def test_a_newer_version_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr(container, "VERSION", 2)
    written(tmp_path / "file", "auto")
    monkeypatch.undo()
    assert "version 2" in refused(tmp_path / "file")


def test_a_pointer_of_large_file_storage_says_so(tmp_path):
    (tmp_path / "file").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\n")
    assert "git lfs pull" in refused(tmp_path / "file")


def test_a_file_that_becomes_shorter_while_it_is_read_is_refused(tmp_path):
    write({"a": np.ones(100_000)}, tmp_path / "file")
    with opened(tmp_path / "file") as stored:
        os.truncate(tmp_path / "file", 100_000)
        with pytest.raises(RunError, match="a: the file ends within it"):
            stored.raw("a")
