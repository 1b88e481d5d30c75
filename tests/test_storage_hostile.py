"""Damaged and forged files are refused in one line that names file and tensor; nothing worse."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
import yaml
import zstandard
from damage import damages, hurt

from analysis.errors import AnalysisError, RunError
from analysis.storage import container
from analysis.storage.dtypes import Spec
from analysis.storage.formats import FORMATS
from analysis.storage.reading import opened
from analysis.storage.writing import Writer, write

GENERATOR = np.random.default_rng(0)
MATRIX = GENERATOR.standard_normal((6, 40)).astype(np.float32)
MATRIX[GENERATOR.random(MATRIX.shape) < 0.6] = 0
WEIGHTS = {"layer.weight": MATRIX, "layer.mask": MATRIX != 0, "bias": np.ones(3, np.float16)}
ROWS = np.concatenate([[0], np.cumsum((MATRIX != 0).sum(1))])
COLUMNS = MATRIX.nonzero()[1]
LIES = yaml.safe_load(Path(__file__).with_name("storage_lies.yml").read_text(encoding="utf-8"))
SIZES = (2**31, 2**40, 2**62, 2**63, 10**30)
LIES["tensor"]["shape"] += [shape for n in SIZES for shape in ([n, n], [1, n], [n, 0])]
LIES["header"] += [['"data_offsets":[0,', '"data_offsets":[' + "9" * 5000 + ","]]
LIES["header"] += [['"shape":[30]', '"shape":' + "[" * 100_000]]
MISSING = object()


@pytest.fixture
def path(tmp_path):
    return tmp_path / "file"


def written(path, name):
    """A file of a compressed checkpoint in that format; its bytes."""
    with Writer(path, name) as writer:
        writer.add_header(container.header_text({}, {"format": "pt"}))
        for tensor, array in WEIGHTS.items():
            writer.add(tensor, array)
    return path.read_bytes()


def read_all(path):
    with opened(path) as stored:
        stored.original_header()
        return {name: stored.tensor(name).tobytes() for name in stored.names}


def refused(path, *named, about=""):
    """Reading fails in one line that names the file and these."""
    try:
        read_all(path)
        message = "it was read"
    except AnalysisError as error:
        message = str(error)
    said = [name in message for name in (str(path), *named)]
    assert (all(said), message.count("\n")) == (True, 0), (about, message)


@pytest.mark.parametrize("name", FORMATS)
def test_damage_of_every_kind_is_found(path, name):
    for what, damage in damages(160, seed=1):
        written(path, name)
        hurt(path, damage)
        refused(path, about=what)


def forge(path, part=None, data=None, name="layer.weight", **lies):
    """Write the file again with lies about a tensor, or other data in a part; checksums fit."""
    content = path.read_bytes()
    length = int.from_bytes(content[:8], "little")
    header = container.parsed(content[8 : 8 + length], len(content) - 8 - length)
    place, parts = header.start, {}
    for key, spec in header.entries.items():
        parts[key] = (spec, content[place : place + spec.bytes])
        place += spec.bytes
    own = json.loads(header.metadata["sparse"])
    if part is not None:
        old, new = parts[f"{name}:{part}"][0], bytes(data)
        size = len(new) // (old.bytes // old.size)
        parts[f"{name}:{part}"] = (Spec(old.dtype, (size,), len(new)), new)
    mine = (there for key, (_, there) in parts.items() if key.rpartition(":")[0] == name)
    said = own["tensors"][name] | {"checksum": container.digest(mine)} | lies
    own["tensors"][name] = {key: value for key, value in said.items() if value is not MISSING}
    metadata = container.own_metadata(own["tensors"], own["metadata"], own.get("original"))
    text = container.header_text({key: spec for key, (spec, _) in parts.items()}, metadata)
    body = b"".join(there for _, there in parts.values())
    path.write_bytes(len(text).to_bytes(8, "little") + text + body)


@pytest.mark.parametrize("name", ["dense+zstd", "bitmask", "csr16", "csr32+zstd"])
def test_a_lie_about_a_tensor_is_refused_by_its_name(path, name):
    true = {"layout": [name.removesuffix("+zstd")], "zstd": [] if "+zstd" in name else [MISSING]}
    if name == "dense+zstd":  # where nobody asks
        true["nonzeros"] = [*LIES["tensor"]["nonzeros"], MISSING]
    for key, lies in LIES["tensor"].items():
        for lie in (*lies, MISSING):
            written(path, name)
            before = read_all(path)
            forge(path, **{key: lie})
            if lie in true.get(key, []):
                assert read_all(path) == before, (key, lie)
            else:
                refused(path, "layer.weight", about=(key, lie))


def lied(path, written_as, part=None, data=None, said="", about="", **lies):
    """A file with such a lie in it is refused, by its tensor's name."""
    written(path, written_as)
    forge(path, part, data, **lies)
    refused(path, lies.get("name", "layer.weight"), said, about=about)


def changed(array, place, value):
    wrong = array.copy()
    wrong[place] = value
    return wrong


@pytest.mark.parametrize(("name", "dtype", "most"), [("csr16", "u2", 65535), ("csr32", "i4", -1)])
def test_rows_and_columns_that_fall_or_lead_out_are_refused(path, name, dtype, most):
    whole = slice(None)
    for part, array, kind, said, wrongs in (
        ("rows", ROWS, "i4", "row pointers", [
            (0, 1), (0, -1), (3, ROWS[4] + 1), (3, -5), (6, ROWS[6] - 1), (6, 2**31 - 1),
            (whole, 0), (whole, ROWS[::-1]), (whole, -(2**31))]),
        ("columns", COLUMNS, dtype, "columns", [
            (0, COLUMNS[1]), (5, 40), (5, most), (-1, 2**15), (whole, 0), (whole, COLUMNS[::-1]),
            (whole, most)]),
    ):  # fmt: skip
        for place, wrong in wrongs:
            data = changed(array, place, wrong).astype(kind)
            lied(path, name, part, data, said, about=(part, place, wrong))


def test_bits_that_do_not_fit_the_values_are_refused(path):
    bits = np.packbits(MATRIX != 0)
    for change in (1, 7, 128):
        lied(path, "bitmask", "bits", changed(bits, 7, bits[7] ^ change), "bits are set")
    for last in (0b10110000, 0b10000001):
        write({"layer.weight": np.array([1, 0, 1], bool)}, path, "bitmask")
        forge(path, "bits", [last])
        refused(path, "layer.weight", "bits are set beyond")
    count = int((MATRIX != 0).sum())
    for name in ("bitmask", "csr16", "csr32"):
        for wrong in (count + 1, count - 1):
            lied(path, name, name="layer.mask", nonzeros=wrong, about=(name, wrong))


def test_zstd_that_holds_something_else_or_cannot_hold_it_is_refused(path):
    good = MATRIX.tobytes()
    frames = [zstandard.compress(c) for c in (good[:-1], good + b"\0", b"", bytes(10_000_000))]
    for frame in [*frames, zstandard.compress(good) + b"\0", b"\x28\xb5\x2f\xfd", b"noise", b""]:
        lied(path, "dense+zstd", "dense", frame, about=frame[:9])
    # 8 GiB: refused before it is taken
    lied(path, "dense+zstd", said="cannot hold", shape=[1 << 16, 1 << 15])
    lied(path, "dense+zstd", said="more than this machine's memory", shape=[1 << 20, 1 << 20])


def test_a_header_that_contradicts_itself_is_refused(path):
    for old, new in LIES["header"]:
        content = written(path, "bitmask")
        length = int.from_bytes(content[:8], "little")
        text = content[8 : 8 + length].replace(old.encode(), new.encode())
        assert text != content[8 : 8 + length], old
        path.write_bytes(len(text).to_bytes(8, "little") + text + content[8 + length :])
        refused(path, about=(old, new[:99]))


def test_what_is_wrong_with_a_file_that_is_not_damaged_is_said(path, monkeypatch):
    with monkeypatch.context() as newer:
        newer.setattr(container, "VERSION", 2)
        written(path, "auto")
    refused(path, "version 2")
    path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\n")
    refused(path, "git lfs pull")
    write({"a": np.ones(100_000)}, path)
    with opened(path) as stored:
        os.truncate(path, 100_000)
        with pytest.raises(RunError, match="a: the file ends within it"):
            stored.raw("a")
