"""`compress` and `decompress`: a folder comes back bit for bit, or nothing is written."""

import filecmp
import json
import resource
import shutil
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest
from mini import analysis, one_line
from safetensors.numpy import load_file, save_file

from analysis import cli, machine
from analysis.commands.compress import compress, decompress
from analysis.errors import RequestError, RunError
from analysis.storage import conversion
from analysis.storage.layouts import FORMATS
from analysis.storage.reading import read
from analysis.storage.writing import Writer

SHARDS = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"]


def matrices(count, density=0.1):
    generator = np.random.default_rng(count)
    made = {}
    for i in range(count):
        matrix = generator.standard_normal((64, 96)).astype(np.float32)
        matrix[generator.random(matrix.shape) >= density] = 0
        made[f"layer.{i}.weight"] = matrix
        made[f"layer.{i}.bias"] = generator.standard_normal(64).astype(np.float16)
    return made


@pytest.fixture
def model(tmp_path):
    """A checkpoint in two shards, with an index, a tokenizer and a folder below."""
    folder = tmp_path / "model"
    (folder / "below" / "empty").mkdir(parents=True)
    index = {}
    for name, count in zip(SHARDS, (2, 3), strict=True):
        weights = {f"{name[6:11]}.{k}": v for k, v in matrices(count).items()}
        save_file(weights, folder / name, metadata={"format": "pt", "ä": "ö\n"})
        index |= dict.fromkeys(weights, name)
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": index}))
    (folder / "config.json").write_text('{"model_type": "bert"}')
    (folder / "tokenizer.model").write_bytes(bytes(range(256)))
    (folder / "training_args.bin").write_bytes(b"no weights")
    save_file({"x": np.zeros(300, np.int64), "e": np.zeros((0, 3))}, folder / "below/b.safetensors")
    return folder


def listing(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def same_folders(one, other):
    assert listing(one) == listing(other)
    for path in (path for path in one.rglob("*") if path.is_file()):
        assert filecmp.cmp(path, other / path.relative_to(one), shallow=False), path


def handmade(path, entries, body, spaces=0, metadata=""):
    """A safetensors file with a header written by hand."""
    text = "{" + metadata + ", ".join(entries) + "}" + " " * spaces
    path.write_bytes(len(text.encode()).to_bytes(8, "little") + text.encode() + body)


@pytest.mark.parametrize("name", FORMATS)
def test_a_folder_comes_back_bit_for_bit(model, tmp_path, name, capsys):
    before = {path: path.read_bytes() for path in model.rglob("*") if path.is_file()}
    compress(model, tmp_path / "small", name)
    decompress(tmp_path / "small", tmp_path / "back")
    same_folders(model, tmp_path / "back")
    assert {path: path.read_bytes() for path in model.rglob("*") if path.is_file()} == before
    small = listing(tmp_path / "small")
    assert [n for n in small if n.endswith(".safetensors")] == [
        "below/b.sparse.safetensors",
        *(shard.replace(".safetensors", ".sparse.safetensors") for shard in SHARDS),
    ]
    assert "model.safetensors.index.json" in small
    assert "written" not in capsys.readouterr().err


def test_the_sparse_files_hold_the_tensors(model, tmp_path):
    compress(model, tmp_path / "small")
    for shard in SHARDS:
        dense = load_file(model / shard)
        sparse = read(tmp_path / "small" / shard.replace(".safetensors", ".sparse.safetensors"))
        assert dense.keys() == sparse.keys()
        for name, array in dense.items():
            np.testing.assert_array_equal(sparse[name], array)


def test_the_table_says_what_was_saved(model, tmp_path, capsys):
    compress(model, tmp_path / "small")
    head, *rows = capsys.readouterr().out.splitlines()
    assert head.split() == ["file", "before", "after", "ratio", "entropy", "bound"]
    assert [row.split()[0] for row in rows][-1] == "all"
    assert len(rows) == 4
    for row in rows:
        _, before, _, after, _, ratio, bound, _ = row.split()
        assert float(bound) <= float(after) <= float(before)
        assert 0 < float(ratio) < 1
    assert len({len(row) for row in (head, *rows)}) == 1
    decompress(tmp_path / "small", tmp_path / "back")
    head, *rows = capsys.readouterr().out.splitlines()
    assert head.split() == ["file", "before", "after", "ratio"]
    assert all(float(row.split()[-1]) > 1 for row in rows)


def test_odd_headers_come_back_as_they_were(tmp_path):
    """Order, spaces, escapes, other keys and types of tomorrow: the text itself is kept."""
    model = tmp_path / "model"
    model.mkdir()
    entries = [
        '"b" : {"shape":[2],"data_offsets":[8, 10],"dtype":"I8","more":[1]}',
        '"\\u00e4":{"dtype":"F4","shape":[4],"data_offsets":[10,12]}',
        '"a":{"dtype":"BF16","shape":[2,2],"data_offsets":[0,8]}',
        '"z":{"dtype":"X24","shape":[2],"data_offsets":[12,18]}',
        '"0":{"dtype":"F32","shape":[0],"data_offsets":[8,8]}',
    ]
    for spaces in (0, 3, 900):
        handmade(model / f"{spaces}.safetensors", entries, bytes(range(18)), spaces)
    handmade(model / "none.safetensors", [], b"")
    for name in FORMATS:
        for folder in ("small", "back"):
            shutil.rmtree(tmp_path / folder, ignore_errors=True)
        compress(model, tmp_path / "small", name)
        decompress(tmp_path / "small", tmp_path / "back")
        same_folders(model, tmp_path / "back")


def test_links_to_files_are_followed(model, tmp_path):
    """The hub's own folders are full of them."""
    (tmp_path / "linked").mkdir()
    for path in model.iterdir():
        if path.is_file():
            (tmp_path / "linked" / path.name).symlink_to(path)
    compress(tmp_path / "linked", tmp_path / "small")
    decompress(tmp_path / "small", tmp_path / "back")
    same_folders(tmp_path / "linked", tmp_path / "back")
    assert not any(path.is_symlink() for path in (tmp_path / "back").iterdir())


def test_a_file_that_the_library_wrote_becomes_a_dense_one(tmp_path):
    (tmp_path / "small").mkdir()
    with Writer(tmp_path / "small" / "x.sparse.safetensors") as writer:
        for name, array in matrices(2).items():
            writer.add(name, array)
    decompress(tmp_path / "small", tmp_path / "back")
    back = load_file(tmp_path / "back" / "x.safetensors")
    for name, array in matrices(2).items():
        np.testing.assert_array_equal(back[name], array)


# ---------------------------------------------------------------- refusals


def refused(call, *words, error=RequestError):
    with pytest.raises(error) as caught:
        call()
    message = str(caught.value)
    for word in words:
        assert word in message, message


def test_what_cannot_be_compressed_is_said(model, tmp_path):
    out = tmp_path / "out"
    refused(lambda: compress(tmp_path / "no", out), "not there", "folder of a saved model")
    refused(lambda: compress(model / "config.json", out), "is a file")
    refused(lambda: compress(model, out, "zip"), "unknown format", "auto+zstd")
    refused(lambda: compress(model / "below" / "empty", out), "nothing")
    refused(lambda: compress(model, model / "out"), "lies in")
    refused(lambda: compress(model, model), "is there already")
    refused(lambda: decompress(model, out), "is not compressed")
    out.mkdir()
    compress(model, out)  # an empty folder will do
    refused(lambda: compress(model, out), "is there already")
    refused(lambda: decompress(out, model), "is there already")
    refused(lambda: compress(out, tmp_path / "twice"), "is compressed already")
    (out / SHARDS[0]).write_bytes(b"")
    refused(lambda: decompress(out, tmp_path / "back"), "take one of them away")
    assert not (tmp_path / "twice").exists()


def test_weights_of_torch_have_to_be_converted(tmp_path):
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "pytorch_model.bin").write_bytes(b"PK")
    refused(
        lambda: compress(tmp_path / "model", tmp_path / "out"),
        "pytorch_model.bin",
        "convert",
        "save_pretrained",
    )


@pytest.mark.parametrize(
    ("entries", "body", "word"),
    [
        (['"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}'], bytes(7), "a.safetensors"),
        (['"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}'], bytes(9), "a.safetensors"),
        (['"a":{"dtype":"F32","shape":[3],"data_offsets":[0,8]}'], bytes(8), "a takes 12"),
        (['"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}'] * 2, bytes(8), "twice"),
        (['"a":{"dtype":"F4","shape":[3],"data_offsets":[0,2]}'], bytes(2), "no whole bytes"),
        (['"a":{"dtype":"U8","shape":[4],"data_offsets":[4,8]}'], bytes(8), "a begins"),
    ],
)
def test_a_damaged_checkpoint_is_refused(model, tmp_path, entries, body, word):
    handmade(model / "a.safetensors", entries, body)
    refused(lambda: compress(model, tmp_path / "out"), "a.safetensors", word)
    assert not (tmp_path / "out").exists()


def test_a_damaged_compressed_folder_is_refused_and_nothing_is_left(model, tmp_path):
    compress(model, tmp_path / "small")
    path = tmp_path / "small" / SHARDS[1].replace(".safetensors", ".sparse.safetensors")
    content = bytearray(path.read_bytes())
    content[-100] ^= 4
    path.write_bytes(content)
    refused(
        lambda: decompress(tmp_path / "small", tmp_path / "back"),
        path.name,
        "00002.layer.",
        "checksum",
        error=RunError,
    )
    assert sorted(p.name for p in tmp_path.iterdir()) == ["model", "small"]


def test_an_original_header_of_other_tensors_is_refused(tmp_path):
    (tmp_path / "small").mkdir()
    with Writer(tmp_path / "small" / "x.sparse.safetensors") as writer:
        writer.add_header(b'{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}')
        writer.add("a", np.ones(2, np.int32))
    refused(
        lambda: decompress(tmp_path / "small", tmp_path / "back"),
        "a is not what the original header says",
        error=RunError,
    )


@pytest.mark.parametrize("command", [compress, decompress])
def test_a_full_disk_is_one_line_and_leaves_nothing(model, tmp_path, command):
    if command is decompress:
        compress(model, tmp_path / "in")
        model = tmp_path / "in"
    there = sorted(p.name for p in tmp_path.iterdir())
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4_000, limits[1]))  # less than a shard takes
    try:
        refused(lambda: command(model, tmp_path / "out"), "make room", error=RunError)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert sorted(p.name for p in tmp_path.iterdir()) == there


def test_too_little_room_is_said_before_anything_is_written(model, tmp_path, monkeypatch):
    compress(model, tmp_path / "small")
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=1000))
    refused(
        lambda: decompress(tmp_path / "small", tmp_path / "a" / "b"), "make room", error=RunError
    )
    assert not (tmp_path / "a").exists()


@pytest.mark.parametrize("name", [SHARDS[0], "config.json"])
def test_an_unreadable_file_is_named(model, public_folder, unprivileged, name):
    for path in model.iterdir():
        if path.is_file():
            shutil.copy(path, public_folder)
    (public_folder / name).chmod(0)
    with unprivileged(), tempfile.TemporaryDirectory() as folder:
        refused(
            lambda: compress(public_folder, Path(folder) / "out"),
            f"cannot read {public_folder / name}",
            error=RunError,
        )


def test_one_tensor_is_in_memory_at_a_time(tmp_path):
    matrix = np.zeros((2000, 1000), np.float32)
    matrix[::7, ::11] = 1
    save_file({f"layer.{i}": matrix for i in range(16)}, tmp_path / "dense")  # 128 MB
    told = []

    def forth():
        return conversion.compress_file(tmp_path / "dense", tmp_path / "small", "auto", told.append)

    def back():
        return conversion.decompress_file(tmp_path / "small", tmp_path / "back", told.append)

    forth()  # compiled
    back()
    assert told == 32 * [matrix.nbytes]
    for convert in (forth, back):
        _, peak = machine.peak_of(convert)
        assert peak < 4 * matrix.nbytes
    assert filecmp.cmp(tmp_path / "dense", tmp_path / "back", shallow=False)


# ------------------------------------------------------------- the command line


def test_the_commands_end_to_end(model, tmp_path, monkeypatch, capsys):
    for line in (
        ["compress", str(model), "--out", str(tmp_path / "small"), "--format", "auto+zstd"],
        ["decompress", str(tmp_path / "small"), "-o", str(tmp_path / "back")],
    ):
        monkeypatch.setattr(sys, "argv", ["analysis", *line])
        with pytest.raises(SystemExit) as caught:
            cli.main()
        assert caught.value.code == 0
    same_folders(model, tmp_path / "back")
    assert "all" in capsys.readouterr().out


def test_failures_are_one_line_and_have_their_exit_status(model, tmp_path):
    done = analysis(tmp_path, "compress", "model", "--out", "model")
    assert done.returncode == 2
    assert "is there already" in one_line(done.stderr)
    compress(model, tmp_path / "small")
    path = tmp_path / "small" / SHARDS[0].replace(".safetensors", ".sparse.safetensors")
    path.write_bytes(path.read_bytes()[:-1])
    done = analysis(tmp_path, "decompress", "small", "--out", "back")
    assert done.returncode == 1
    assert "damaged" in one_line(done.stderr)
