"""`compress` and `decompress`: a folder comes back bit for bit, or nothing is written."""

import filecmp
import functools
import json
import resource
import shutil
from pathlib import Path

import numpy as np
import pytest
import yaml
from calibrations import refused
from commandline import one_line, request
from damage import hurt
from mini import analysis
from safetensors.numpy import load_file, save_file

from analysis.commands.compress import compress, decompress
from analysis.engine import machine
from analysis.errors import RequestError, RunError
from analysis.storage import conversion
from analysis.storage.bound import bound_bytes
from analysis.storage.formats import FORMATS
from analysis.storage.writing import Writer

ONE, TWO = "model-00001-of-00002", "model-00002-of-00002"
DENSE, SPARSE = ".safetensors", ".sparse.safetensors"


def matrices(count):
    made, generator = {}, np.random.default_rng(count)
    for i in range(count):
        matrix = generator.standard_normal((64, 96)).astype(np.float32)
        made[f"layer.{i}.weight"] = matrix * (matrix > 1.3)
        made[f"layer.{i}.bias"] = matrix[:, 0].astype(np.float16)
    return made


@pytest.fixture
def model(tmp_path):
    """A checkpoint in two shards, with other files and a folder below; some of them are links."""
    folder, blobs = tmp_path / "model", tmp_path / "blobs"
    (folder / "below" / "empty").mkdir(parents=True)
    blobs.mkdir()
    index = {}
    for name, count in ((ONE, 2), (TWO, 3)):
        weights = {f"{name[6:11]}.{k}": v for k, v in matrices(count).items()}
        save_file(weights, blobs / f"{name}{DENSE}", metadata={"format": "pt", "ä": "ö\n"})
        index |= dict.fromkeys(weights, f"{name}{DENSE}")
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": index}))
    (folder / "training_args.bin").write_bytes(b"no weights")
    (blobs / "tokenizer.model").write_bytes(bytes(range(256)))
    for path in blobs.iterdir():
        (folder / path.name).symlink_to(path)
    save_file({"x": np.zeros(300, np.int64), "e": np.zeros((0, 3))}, folder / "below/b.safetensors")
    return folder


def listing(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def same_folders(one, other):
    assert listing(one) == listing(other)
    for path in (path for path in one.rglob("*") if path.is_file()):
        assert filecmp.cmp(path, other / path.relative_to(one), shallow=False), path


def handmade(path, entries, size, spaces=0):
    text = ("{" + ", ".join(entries) + "}" + " " * spaces).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + bytes(range(size)))


def test_a_folder_comes_back_bit_for_bit(model, tmp_path):
    """Odd headers too (order, spaces, escapes, other keys, types of tomorrow): the text is kept."""
    entries = [
        '"b" : {"shape":[2],"data_offsets":[8, 10],"dtype":"I8","more":[1]}',
        '"\\u00e4":{"dtype":"F4","shape":[4],"data_offsets":[10,12]}',
        '"a":{"dtype":"BF16","shape":[2,2],"data_offsets":[0,8]}',
        '"z":{"dtype":"X24","shape":[2],"data_offsets":[12,18]}',
        '"0":{"dtype":"F32","shape":[0],"data_offsets":[8,8]}',
    ]
    for spaces in (0, 3, 900):
        handmade(model / "below" / f"{spaces}{DENSE}", entries, 18, spaces)
    handmade(model / "below" / f"none{DENSE}", [], 0)
    shutil.copytree(model, tmp_path / "before")
    renamed = [n.replace(DENSE, SPARSE) if n.endswith(DENSE) else n for n in listing(model)]
    for name in FORMATS:
        small, back = tmp_path / name / "small", tmp_path / name / "back"
        compress(model, small, name)
        decompress(small, back)
        same_folders(model, back)
        same_folders(model, tmp_path / "before")
        assert listing(small) == sorted(renamed)
        assert not any(path.is_symlink() for path in back.iterdir())


def test_the_commands_say_what_was_saved_and_what_is_damaged(model, tmp_path):
    done = analysis(tmp_path, "compress", "model", "--out", "small")
    assert (done.returncode, done.stderr) == (0, "")
    head, *rows = done.stdout.splitlines()
    assert head.split() == ["file", "before", "after", "ratio", "entropy", "bound"]
    assert len({len(row) for row in (head, *rows)}) == 1
    sizes = {}
    for name in ("below/b", ONE, TWO):
        dense, small = model / f"{name}{DENSE}", tmp_path / "small" / f"{name}{SPARSE}"
        bound = bound_bytes(load_file(dense))
        sizes[name + SPARSE] = np.array([dense.stat().st_size, small.stat().st_size, bound]) / 1e6
    sizes["all"] = sum(sizes.values())
    for row, (name, (before, after, bound)) in zip(rows, sizes.items(), strict=True):
        numbers = [f"{before:.2f}", f"{after:.2f}", f"{after / before:.3f}", f"{bound:.2f}"]
        assert row.replace(" MB", "").split() == [name, *numbers]
    done = analysis(tmp_path, "decompress", "small", "-o", "back")
    head, *rows = (line.split() for line in done.stdout.splitlines())
    assert (head, done.stderr) == (["file", "before", "after", "ratio"], "")
    assert all(float(row[-1]) > 1 for row in rows)
    same_folders(model, tmp_path / "back")
    hurt(tmp_path / "small" / f"{ONE}{SPARSE}", lambda content: content[:-1])
    done = request("decompress", "small", "--out", "elsewhere", folder=tmp_path)
    assert ("damaged" in one_line(done.stderr), done.returncode) == (True, 1)


def test_what_cannot_be_converted_is_said(model, tmp_path):
    out, taken = tmp_path / "out", tmp_path / "taken"
    compress(model, taken)
    torch, linked, dangling, already = (tmp_path / n for n in ("torch", "link", "dead", "already"))
    for folder in (torch, linked, dangling, already):
        folder.mkdir()
    (torch / "pytorch_model.bin").write_bytes(b"PK")
    (linked / "below").symlink_to(model / "below")
    (dangling / f"x{DENSE}").symlink_to(tmp_path / "nothing")
    shutil.copy(taken / f"{ONE}{SPARSE}", already / f"x{DENSE}")
    (shutil.copytree(taken, tmp_path / "both") / f"{ONE}{DENSE}").touch()
    before = listing(tmp_path)
    for line, said in yaml.safe_load(Path(__file__).with_name("compress_mistakes.yml").read_text()):
        done = request(*line.split(), folder=tmp_path)
        assert (said in one_line(done.stderr), done.returncode) == (True, 2), (line, done.stderr)
        assert listing(tmp_path) == before, line
    out.mkdir()
    compress(model, out)  # an empty folder will do
    assert listing(out) == listing(taken)


def test_damaged_files_are_refused_and_nothing_is_left(model, tmp_path):
    small, out = tmp_path / "small", tmp_path / "out"
    compress(model, small)
    for dtype, shape, begin, end, size, word in (
        ("F32", [2], 0, 8, 7, "8 bytes, and 7"), ("F32", [2], 0, 8, 9, "8 bytes, and 9"),
        ("F32", [3], 0, 8, 8, "a takes 12"), ("F4", [3], 0, 2, 2, "no whole bytes"),
        ("U8", [4], 4, 8, 8, "a begins"), ("U8", [4], 0, 4, 4, "twice"),
    ):  # fmt: skip
        entry = f'"a":{{"dtype":"{dtype}","shape":{shape},"data_offsets":[{begin},{end}]}}'
        handmade(model / f"a{DENSE}", [entry] * (2 if word == "twice" else 1), size)
        said = refused(RequestError, compress, model, out)
        assert f"a{DENSE}" in said
        assert word in said
    path = small / f"{TWO}{SPARSE}"
    odd, size = "a is not what the original header says", "original header: a takes 8 bytes, and 9"
    for name, dtype, end, said in ("a", "F32", 8, odd), ("b", "I32", 8, odd), ("a", "I32", 9, size):
        entry = {"dtype": dtype, "shape": [2], "data_offsets": [0, end]}
        with Writer(path) as writer:
            writer.add_header(json.dumps({name: entry}).encode())
            writer.add("a", np.ones(2, np.int32))
        message = refused(RunError, decompress, small, out)
        assert (path.name in message, said in message) == (True, True), message
    assert not out.exists()
    path.unlink()
    with Writer(small / f"{ONE}{SPARSE}") as writer:  # made by the library, not of a file
        for name, array in matrices(2).items():
            writer.add(name, array)
    decompress(small, out)
    back = load_file(out / f"{ONE}{DENSE}")
    assert back.keys() == matrices(2).keys()
    assert all((back[name] == array).all() for name, array in matrices(2).items())


def test_a_full_disk_is_one_line_and_leaves_nothing(model, tmp_path, monkeypatch):
    small, out = tmp_path / "small", tmp_path / "a" / "out"
    compress(model, small)
    before, limits = listing(tmp_path), resource.getrlimit(resource.RLIMIT_FSIZE)
    for command, folder in ((compress, model), (decompress, small)):
        resource.setrlimit(resource.RLIMIT_FSIZE, (4_000, limits[1]))  # less than a shard takes
        try:
            assert "make room" in refused(RunError, command, folder, tmp_path / "out")
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    # said before anything is written, where it is known how much it will be
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=1000))
    assert "make room" in refused(RunError, decompress, small, out)
    assert listing(tmp_path) == before


def test_an_unreadable_file_is_named(model, public_folder, unprivileged):
    (free := public_folder / "free").mkdir()
    free.chmod(0o777)
    for name in (f"{ONE}{DENSE}", "tokenizer.model"):
        folder, out = public_folder / f"without {name}", free / "out"
        shutil.copytree(model, folder, ignore=shutil.ignore_patterns("below"))
        for path in folder.iterdir():
            path.chmod(0 if path.name == name else 0o644)
        with unprivileged():
            assert f"cannot read {folder / name}" in refused(RunError, compress, folder, out)


def test_one_tensor_is_in_memory_at_a_time(tmp_path):
    dense, small, back = (tmp_path / name for name in ("dense", "small", "back"))
    matrix = np.zeros((2000, 1000), np.float32)
    matrix[::7, ::11] = 1
    save_file({f"layer.{i}": matrix for i in range(16)}, dense)  # 128 MB: all of it is 16
    for command, *arguments in (
        (conversion.compress_file, dense, small, "auto"), (conversion.decompress_file, small, back),
    ):  # fmt: skip
        convert = functools.partial(command, *arguments, (told := []).append)
        convert()  # compiled
        assert told == 16 * [matrix.nbytes]
        assert machine.peak_of(convert)[1] < 8 * matrix.nbytes
    assert filecmp.cmp(dense, back, shallow=False)
