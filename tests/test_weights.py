"""Weights are read as they lie and digested by content, remembered while files do not change."""

import hashlib
import json
import os
import shutil
from unittest.mock import Mock, patch

import checkpoints
import numpy as np
import pytest
import torch
from checkpoints import tensors, weights_sha256
from damage import cut, flipped, oversized
from leaves import in_memory
from safetensors.numpy import load_file, save_file

from analysis.checkpoints import digests
from analysis.checkpoints.checkpoint import open_checkpoint
from analysis.checkpoints.tensors import Reader
from analysis.checkpoints.weights import FILE, read_weights, require_finite, weights_in
from analysis.engine import files
from analysis.errors import RunError


def arrays(seed=0):
    """Those of a checkpoint's tensors that numpy has the type of."""
    odd = ("bfloat16", "float8_e4m3fn", "float8_e5m2")
    return {name: tensor.numpy() for name, tensor in tensors(seed).items() if name not in odd}


def made(folder, layout="safetensors", seed=0):
    folder.mkdir(parents=True, exist_ok=True)
    held = {name: torch.from_numpy(array) for name, array in arrays(seed).items()}
    checkpoints.save(folder, held, layout)
    return folder


def test_weights_are_read_as_they_lie_and_narrow_floats_are_widened_exactly(tmp_path):
    written = tensors()
    checkpoints.save(tmp_path, written)
    read = read_weights(tmp_path)
    assert list(read) == sorted(written)
    for name, tensor in written.items():
        narrow = tensor.is_floating_point() and tensor.dtype != torch.float64
        expected, found = (tensor.float() if narrow else tensor).numpy(), read[name]
        told = (expected.dtype, expected.shape, expected.tobytes())
        assert (found.dtype, found.shape, found.tobytes()) == told


def test_tensors_are_read_when_they_are_asked_for_and_not_kept(tmp_path):
    weights = {f"w{i}": np.full((3, i), i, np.float32) for i in range(4)}
    save_file(weights, tmp_path / FILE)
    with weights_in(tmp_path) as there:
        assert (list(there), len(there)) == (sorted(weights), 4)
        assert ("w1" in there, "w9" in there) == (True, False)
        there["w3"][:] = 0  # the reader's own, not the file's
        np.testing.assert_array_equal(there["w3"], weights["w3"])
        with pytest.raises(KeyError):
            there["w9"]
    with weights_in(tmp_path) as there:
        os.truncate(tmp_path / FILE, (tmp_path / FILE).stat().st_size - 4)
        np.testing.assert_array_equal(there["w1"], weights["w1"])
        with pytest.raises(RunError, match="ends within w3"):
            there["w3"]


def test_what_is_not_finite_is_named_and_counted():
    for bad in (np.nan, np.inf, -np.inf):
        weights = arrays() | {"extreme": np.array([0, -0.0, 1e-45, 3.4e38, -3.4e38], np.float32)}
        weights["b.weight"][1, :2] = bad
        require_finite(weights, weights.keys() - {"b.weight"})
        with pytest.raises(RunError, match=r"^b\.weight: 2 of 12 weights"):
            require_finite(weights, weights)


@pytest.fixture
def memory(tmp_path):
    return tmp_path / "cache" / "digests"


def digest_of(weights, memory):
    """The digest of arrays, which is the same of a checkpoint of these."""
    digest = weights_sha256(weights)
    assert digests.weights_sha256(in_memory(weights), memory) == digest
    assert not memory.exists()  # what has no files is not remembered
    return digest


def digest_in(folder, memory):
    return digests.weights_sha256(open_checkpoint(folder), memory)


@pytest.mark.parametrize("layout", checkpoints.LAYOUTS)
def test_the_digest_is_that_of_the_arrays_however_they_lie(tmp_path, memory, monkeypatch, layout):
    plain = arrays()
    expected = weights_sha256(plain)
    assert digest_of(dict(reversed(plain.items())), memory) == expected
    assert digest_of({n: np.array(w, order="F") for n, w in plain.items()}, memory) == expected
    wide = {n: np.repeat(w, 2, axis=0)[::2] if w.ndim else w for n, w in plain.items()}
    assert digest_of(wide, memory) == expected
    folder = made(tmp_path / "model", layout)
    for block in (1, 7, 1 << 22):
        monkeypatch.setattr(digests, "_BLOCK", block)
        assert digest_in(folder, tmp_path / str(block)) == expected


def test_names_shapes_types_and_the_order_of_values_count(memory):
    plain, empty, one = arrays(), np.zeros((7, 0), np.float32), np.ones(1, np.float32)
    weight, ids, scalar = plain["b.weight"], plain["ids"], plain["scalar"]
    changed = [
        {n.replace("ids", "id"): a for n, a in plain.items()},
        {n: a for n, a in plain.items() if n != "empty"},
        *(plain | {"b.weight": other} for other in (
            weight.reshape(3, 4), weight.reshape(-1), weight.view(np.int32), weight[::-1],
            weight.astype(np.float64))),
        plain | {"empty": empty}, plain | {"empty": empty.T.astype(np.float16)},
        plain | {"scalar": scalar.reshape(1)}, plain | {"more": empty}, plain | {"ids": -ids},
        plain | {"a.bias": ids, "ids": plain["a.bias"]}, {"a": 0 * one},
        {"a": -(0 * one)}, {"a": one, "b": one},
        # a name may hold any text, so also what the digest puts between two tensors
        {f"a\0float32\0(1,)\0{hashlib.sha256(one.tobytes()).hexdigest()}\nb": one},
    ]  # fmt: skip
    assert len({digest_of(held, memory) for held in (plain, *changed)}) == len(changed) + 1


@pytest.fixture
def reads():
    """Notes what is read of tensors."""
    with patch.object(Reader, "read", autospec=True, side_effect=Reader.read) as spy:
        yield spy


def test_the_second_call_reads_nothing_and_models_do_not_forget_each_other(tmp_path, memory, reads):
    layouts = dict(enumerate(checkpoints.LAYOUTS))
    folders = [made(tmp_path / str(seed), layout, seed) for seed, layout in layouts.items()]
    first = [weights_sha256(arrays(seed)) for seed in layouts]
    assert [digest_in(folder, memory) for folder in folders] == first
    assert {call.args[1].name for call in reads.call_args_list} >= {"b.weight", "a.bias", "ids"}
    reads.reset_mock()
    assert [digest_in(folder, memory) for folder in folders] == first
    assert digest_in(folders[0] / ".." / "0", memory) == first[0]
    assert not reads.called
    assert len(list(memory.iterdir())) == len(folders)


def rewritten(path, content, *, later=0, inode=False):
    """Other content, with the old time or a later one, at the same inode or another."""
    stat = path.stat()
    other = path.with_name("other") if inode else path
    other.write_bytes(content)
    os.utime(other, ns=(stat.st_atime_ns, stat.st_mtime_ns + later))
    os.replace(other, path)
    assert (path.stat().st_ino == stat.st_ino) != inode


def test_what_changes_is_read_again_and_once(tmp_path, memory, reads):
    folder = made(tmp_path / "model", "safetensors in shards")
    one, two = sorted(folder.glob("*.safetensors"))
    whole, other = one.read_bytes(), flipped(one.read_bytes(), 0.9999, 0)
    save_file(load_file(two) | {"more": np.zeros(9, np.float32)}, tmp_path / "larger")
    changes = [
        lambda: rewritten(one, other, later=1), lambda: rewritten(one, whole, inode=True),
        lambda: rewritten(one, whole, later=-1_000_000),  # the same content, and yet
        lambda: rewritten(two, (tmp_path / "larger").read_bytes()),
        lambda: made(folder, seed=1), lambda: shutil.move(folder, tmp_path / "renamed"),
    ]  # fmt: skip
    for change in changes:
        digest_in(folder, memory)
        change()
        folder = folder if folder.exists() else tmp_path / "renamed"
        reads.reset_mock()
        found = digest_in(folder, memory)
        assert reads.called
        assert found == digests.content_sha256(open_checkpoint(folder))
        reads.reset_mock()
        digest_in(folder, memory)
        assert not reads.called


def test_a_damaged_note_is_written_again(tmp_path, memory, reads, monkeypatch):
    folder = made(tmp_path / "model")
    first = digest_in(folder, memory)
    (note,) = memory.iterdir()
    whole = note.read_bytes()
    seal, other = {"seal": json.loads(whole)["seal"]}, {"weights_sha256": "0" * 64}
    notes = ([], None, {}, other, seal, seal | other, seal | {"weights_sha256": [5]})
    texts = [json.dumps(held).encode() for held in notes]
    for text in (b"", cut(whole, 0.5), oversized(whole, b"}"), b"\xff\xfe" + whole, *texts):
        note.write_bytes(text)
        reads.reset_mock()
        assert digest_in(folder, memory) == first
        assert reads.called
        assert {path: path.read_bytes() for path in memory.iterdir()} == {note: whole}
    made(folder, seed=1)  # and a note is never half written
    full = Mock(side_effect=OSError(28, "No space left on device"))
    monkeypatch.setattr(files.os, "replace", full)
    assert digest_in(folder, memory) == weights_sha256(arrays(1))
    assert {path: path.read_bytes() for path in memory.iterdir()} == {note: whole}


def test_a_file_that_changes_while_it_is_read_is_not_remembered(tmp_path, memory):
    folder, read = made(tmp_path / "model"), Reader.read

    def read_while_it_changes(*arguments):
        read(*arguments)
        os.utime(folder / FILE, ns=(1, 1))

    with patch.object(Reader, "read", read_while_it_changes):
        digest_in(folder, memory)
    assert not memory.exists() or not list(memory.iterdir())
