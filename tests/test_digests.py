"""The digest of a checkpoint: of its content alone, remembered while its files do not change."""

import json
import os
import shutil

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from analysis import files
from analysis.models import digests, weights
from analysis.models.checkpoint import open_checkpoint
from analysis.models.tensors import Reader, in_memory

SHARDS = ("model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors")


def arrays(seed=0):
    generator = np.random.default_rng(seed)
    return {
        "b.weight": generator.standard_normal((4, 3)).astype(np.float32),
        "a.bias": generator.standard_normal(5).astype(np.float16),
        "empty": np.zeros((0, 2), np.float32),
        "ids": np.arange(7),
        "scalar": np.array(2.5, np.float64),
    }


def in_torch(held):
    return {name: torch.from_numpy(array.copy()) for name, array in held.items()}


def one_file(folder, held):
    save_file(in_torch(held), folder / "model.safetensors")


def shards(folder, held):
    names = list(held)
    weight_map = {}
    for shard, part in zip(SHARDS, (names[::2], names[1::2]), strict=True):
        save_file(in_torch({n: held[n] for n in part}), folder / shard)
        weight_map |= dict.fromkeys(part, shard)
    text = json.dumps({"weight_map": weight_map})
    (folder / "model.safetensors.index.json").write_text(text, encoding="utf-8")


def one_pickle(folder, held):
    torch.save(in_torch(held), folder / "pytorch_model.bin")


def made(folder, layout=one_file, seed=0):
    folder.mkdir(parents=True, exist_ok=True)
    layout(folder, arrays(seed))
    return folder


def digest_of(folder, memory):
    return digests.weights_sha256(open_checkpoint(folder), memory)


@pytest.fixture
def memory(tmp_path):
    return tmp_path / "cache" / "digests"


@pytest.fixture
def reads(monkeypatch):
    """The names of the tensors that were read, in whatever order."""
    read, seen = Reader.read, []

    def noted(self, tensor, start, into):
        seen.append(tensor.name)
        read(self, tensor, start, into)

    monkeypatch.setattr(Reader, "read", noted)
    return seen


# ---------------------------------------------------------------- of the content alone


@pytest.mark.parametrize("block", [1, 7, 1 << 22])
@pytest.mark.parametrize("layout", [one_file, shards, one_pickle])
def test_the_digest_is_that_of_the_arrays_however_they_lie(
    tmp_path, memory, monkeypatch, layout, block
):
    monkeypatch.setattr(digests, "_BLOCK", block)
    expected = weights.weights_sha256(arrays())
    assert digest_of(made(tmp_path / "model", layout), memory) == expected
    assert digests.weights_sha256(in_memory(arrays()), memory) == expected


def with_bit(held, name, position, bit):
    flat = held[name].reshape(-1).view(np.uint8)
    flat[position % flat.size] ^= np.uint8(1 << bit)
    return held


@given(
    name=st.sampled_from(["b.weight", "a.bias", "ids"]),
    position=st.integers(0, 60),
    bit=st.integers(0, 7),
)
def test_every_bit_counts(tmp_path_factory, name, position, bit):
    memory = tmp_path_factory.getbasetemp() / "digests"
    changed = in_memory(with_bit(arrays(), name, position, bit))
    assert digests.weights_sha256(changed, memory) != weights.weights_sha256(arrays())


@pytest.mark.parametrize(
    "change",
    [
        lambda w: {n.replace("ids", "id"): a for n, a in w.items()},
        lambda w: w | {"b.weight": w["b.weight"].reshape(3, 4)},
        lambda w: w | {"b.weight": w["b.weight"].view(np.int32)},
        lambda w: w | {"empty": np.zeros((2, 0), np.float32)},
        lambda w: w | {"empty": np.zeros((0, 2), np.float16)},
        lambda w: w | {"scalar": w["scalar"].reshape(1)},
        lambda w: {n: a for n, a in w.items() if n != "empty"},
        lambda w: w | {"more": np.zeros(0, np.float32)},
    ],
)
def test_names_shapes_types_and_empty_tensors_count(tmp_path, memory, change):
    folder = tmp_path / "model"
    folder.mkdir()
    one_file(folder, change(arrays()))
    assert digest_of(folder, memory) != weights.weights_sha256(arrays())


# ---------------------------------------------------------------- remembered


@pytest.mark.parametrize("layout", [one_file, shards, one_pickle])
def test_the_second_call_reads_nothing(tmp_path, memory, reads, layout):
    folder = made(tmp_path / "model", layout)
    first = digest_of(folder, memory)
    assert set(reads) >= {"b.weight", "a.bias", "ids"}
    reads.clear()
    assert digest_of(folder, memory) == first
    assert digest_of(folder / ".." / "model", memory) == first
    assert not reads
    assert len(list(memory.iterdir())) == 1


def rewritten(folder):
    """Other weights of the same size, a nanosecond later."""
    path = folder / SHARDS[0]
    stat = path.stat()
    content = path.read_bytes()
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns + 1))


def resized(folder):
    """One tensor more, with the old time and inode."""
    path = folder / SHARDS[1]
    stat = path.stat()
    save_file(load_file(path) | {"more": torch.zeros(9)}, folder / "other")
    path.write_bytes((folder / "other").read_bytes())
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert path.stat().st_ino == stat.st_ino


def exchanged(folder):
    """Other weights of the same size and time, at another inode."""
    path = folder / SHARDS[0]
    stat = path.stat()
    content = path.read_bytes()
    other = folder / "other"
    other.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    os.utime(other, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    os.replace(other, path)


def one_file_instead(folder):
    one_file(folder, arrays(1))


@pytest.mark.parametrize("change", [rewritten, resized, exchanged, one_file_instead])
def test_what_changes_is_read_again(tmp_path, memory, reads, change):
    folder = made(tmp_path / "model", shards)
    first = digest_of(folder, memory)
    reads.clear()
    change(folder)
    second = digest_of(folder, memory)
    assert second != first
    assert reads
    reads.clear()
    assert digest_of(folder, memory) == second
    assert not reads


@pytest.mark.parametrize("change", ["mtime", "inode", "path"])
def test_the_same_content_elsewhere_or_later_is_read_again(tmp_path, memory, reads, change):
    folder = made(tmp_path / "model")
    first = digest_of(folder, memory)
    path = folder / "model.safetensors"
    stat = path.stat()
    if change == "mtime":
        os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns - 1_000_000))
    elif change == "inode":
        shutil.copy2(path, folder / "copy")
        os.replace(folder / "copy", path)
        assert path.stat().st_mtime_ns == stat.st_mtime_ns
    else:
        folder = folder.rename(tmp_path / "renamed")
    reads.clear()
    assert digest_of(folder, memory) == first
    assert reads


def test_what_has_no_files_is_not_remembered(memory):
    for seed in range(2):
        found = digests.weights_sha256(in_memory(arrays(seed)), memory)
        assert found == weights.weights_sha256(arrays(seed))
    assert not memory.exists()


def test_models_do_not_forget_each_other(tmp_path, memory, reads):
    folders = [made(tmp_path / str(seed), seed=seed) for seed in range(3)]
    found = [digest_of(folder, memory) for folder in folders]
    assert len(set(found)) == 3
    reads.clear()
    assert [digest_of(folder, memory) for folder in folders] == found
    assert not reads


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: b"",
        lambda text: text[: len(text) // 2],
        lambda text: b"\xff\xfe" + text,
        lambda text: b"[]",
        lambda text: b"null",
        lambda text: b"{}",
        lambda text: json.dumps({"stamp": json.loads(text)["stamp"]}).encode(),
        lambda text: json.dumps({"weights_sha256": "0" * 64}).encode(),
        lambda text: json.dumps({"stamp": [], "weights_sha256": "0" * 64}).encode(),
    ],
)
def test_a_damaged_note_is_written_again(tmp_path, memory, reads, damage):
    folder = made(tmp_path / "model")
    first = digest_of(folder, memory)
    (note,) = memory.iterdir()
    whole = note.read_bytes()
    note.write_bytes(damage(whole))
    reads.clear()
    assert digest_of(folder, memory) == first
    assert reads
    assert note.read_bytes() == whole
    assert list(memory.iterdir()) == [note]


def test_a_note_is_never_half_written(tmp_path, memory, monkeypatch):
    folder = made(tmp_path / "model")
    digest_of(folder, memory)
    (note,) = memory.iterdir()
    before = note.read_bytes()
    one_file(folder, arrays(1))

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files.os, "replace", full)
    assert digest_of(folder, memory) == digest_of(folder, tmp_path / "elsewhere")
    assert list(memory.iterdir()) == [note]
    assert note.read_bytes() == before


def test_a_file_that_changes_while_it_is_read_is_not_remembered(tmp_path, memory, monkeypatch):
    folder = made(tmp_path / "model")
    read = Reader.read

    def read_while_it_changes(self, tensor, start, into):
        read(self, tensor, start, into)
        os.utime(folder / "model.safetensors", ns=(1, 1))

    monkeypatch.setattr(Reader, "read", read_while_it_changes)
    digest_of(folder, memory)
    assert not memory.exists() or not list(memory.iterdir())
