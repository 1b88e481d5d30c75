"""Checkpoints as they lie on disk: layouts read bit for bit, hostile files refused in a line."""

import json
import os
import pickle
import shutil
import struct
import warnings
from functools import partial
from pathlib import Path

import checkpoints
import numpy as np
import pytest
import safetensors.torch
import torch
import yaml
from checkpoints import PICKLE, SAFETENSORS, save, tensors, write_index, write_safetensors
from damage import cut, damages, oversized

from analysis.checkpoints.checkpoint import open_checkpoint
from analysis.checkpoints.tensors import Reader
from analysis.errors import RequestError, RunError

WRONG = yaml.safe_load((Path(__file__).parent / "checkpoint.yml").read_text(encoding="utf-8"))


def as_read(saved):
    """What `read` finds of tensors: their bytes in the order of the indices."""
    flat = {name: tensor.detach().contiguous().reshape(-1) for name, tensor in saved.items()}
    raw = {n: t.view(torch.uint8).numpy().tobytes() if len(t) else b"" for n, t in flat.items()}
    return {n: (str(t.dtype)[len("torch.") :], tuple(t.shape), raw[n]) for n, t in saved.items()}


def read(checkpoint):
    """Type, shape and bytes of every tensor, each read in pieces of seven bytes."""
    found = {}
    with Reader(checkpoint) as reader:
        for name, tensor in checkpoint.tensors.items():
            into = np.zeros(tensor.bytes, np.uint8)
            for start in range(0, tensor.bytes, 7):
                reader.read(tensor, start, into[start : start + 7])
            found[name] = (tensor.dtype.name, tensor.shape, into.tobytes())
    return found


def refusal(folder):
    """The line that a folder is refused with, empty if it can be read to the last byte."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            read(open_checkpoint(folder))
        except RequestError as error:
            return str(error)
    return ""


def refused(folder, *words):
    """Checks that a folder is refused, in a line that names it and has these words."""
    message = refusal(folder)
    assert "\n" not in message
    assert [word for word in (str(folder), *words) if word not in message] == [], message


@pytest.mark.parametrize("layout", [*checkpoints.LAYOUTS, "old pickle"])
def test_every_layout_is_read_bit_for_bit(public_folder, unprivileged, tmp_path, layout):
    new = checkpoints.NEW if layout == "old pickle" else ()
    saved = {name: tensor for name, tensor in tensors().items() if name not in new}
    save(public_folder, saved, layout)
    checkpoint = open_checkpoint(public_folder)
    assert (list(checkpoint.tensors), read(checkpoint)) == (sorted(saved), as_read(saved))
    assert checkpoint.bytes == sum(t.numel() * t.element_size() for t in saved.values())
    paths = list(public_folder.iterdir())
    assert set(checkpoint.files) == {path for path in paths if path.suffix != ".json"}
    for path in paths:  # as the hub's cache has them
        (tmp_path / path.name).symlink_to(path)
    assert read(open_checkpoint(tmp_path)) == as_read(saved)
    for path in paths:
        path.chmod(0)
    with unprivileged():
        refused(public_folder)


@pytest.mark.parametrize("layout", ["pickle", "old pickle"])
def test_a_pickles_views_are_read_as_they_appear_and_what_is_no_tensor_is_ignored(tmp_path, layout):
    base = torch.arange(12.0).reshape(3, 4)
    saved = {
        "base": base, "tied": base, "transposed": base.T, "row": base[1],
        "stepped": base[::2, 1::2], "parameter": torch.nn.Parameter(base + 1),
        "negated": torch._neg_view(base), "conjugated": torch.complex(base, base + 1).conj(),
    }  # fmt: skip
    extra = {"epoch": 3, "config": {"a": [1, "b"]}, "none": None, "nested": {"x": torch.ones(2)}}
    plain = {name: t.detach().resolve_conj().resolve_neg() for name, t in saved.items()}
    wrapped = [{"epoch": 3, key: saved} for key in ("state_dict", "model_state_dict", "model")]
    for held in (saved | extra, *wrapped):
        save(tmp_path, held, layout)
        assert read(open_checkpoint(tmp_path)) == as_read(plain)


def test_one_file_goes_before_shards_with_an_index_or_none_and_these_before_a_pickle(tmp_path):
    (tmp_path / PICKLE).write_bytes(b"not even looked at")
    save(tmp_path, tensors(1), "safetensors in shards")
    assert read(open_checkpoint(tmp_path)) == as_read(tensors(1))
    save(tmp_path, tensors(2), "safetensors")
    assert read(open_checkpoint(tmp_path)) == as_read(tensors(2))
    for name in (PICKLE, SAFETENSORS, f"{SAFETENSORS}.index.json"):
        (tmp_path / name).unlink()
    assert read(open_checkpoint(tmp_path)) == as_read(tensors(1))


def test_a_folder_without_weights_is_refused_with_what_it_holds(tmp_path):
    refused(tmp_path / "no" / "such", "is no folder")
    refused(tmp_path, "holds no weights", SAFETENSORS, PICKLE, "nothing")
    (tmp_path / "other.bin").write_bytes(b"")
    for single in (SAFETENSORS, PICKLE):
        (tmp_path / single).mkdir()
    refused(tmp_path, "holds no weights", "other.bin")
    (tmp_path / "0_Transformer").mkdir()
    save(tmp_path / "0_Transformer", tensors())
    refused(tmp_path, "holds no weights of its own", f"give {tmp_path / '0_Transformer'}")
    refused(tmp_path / "other.bin", "is no folder")
    for name, says in (
        ("adapter_config.json", "merge_and_unload()"),
        ("model.sparse.safetensors", "decompress"),
        ("model-00001-of-00002.sparse.safetensors", "decompress"),
    ):
        (folder := tmp_path / f"of {name}").mkdir()
        (folder / name).write_bytes(b"{}")
        refused(folder, says)


@pytest.mark.parametrize("single", [SAFETENSORS, PICKLE])
def test_an_index_that_makes_no_sense_is_refused(tmp_path, single):
    write = torch.save if single == PICKLE else safetensors.torch.save_file
    folder = tmp_path / "model"
    (folder / "sub").mkdir(parents=True)
    for path in (tmp_path / "one", folder / "sub" / "one", folder / "one"):
        write({"a": torch.ones(2)}, path)
    write({"a": torch.ones(2), "b": torch.ones(2)}, folder / "two")
    write({"c": torch.ones(2)}, folder / "three")
    for said, indices in WRONG["indices"].items():
        for text in indices:
            write_index(folder, single, text)
            refused(folder, said)
    for hostile in (b"[" * 100_000, b"\xff\xfe{}"):
        (folder / f"{single}.index.json").write_bytes(hostile)
        refused(folder, "it needs a `weight_map`")


def test_a_header_that_makes_no_sense_is_refused(tmp_path):
    headers = [(header.encode(), size) for header, size in WRONG["headers"]]
    for header, size in [*headers, (b"[" * 50_000, 0), (b"\xff\xfe", 0)]:
        write_safetensors(tmp_path, header, b"x" * size)
        refused(tmp_path, SAFETENSORS, "cannot be read")
    for length in (0, 1, 3, 1 << 27, 1 << 62, (1 << 64) - 1):
        (tmp_path / SAFETENSORS).write_bytes(struct.pack("<Q", length) + b"{}" * 20)
        refused(tmp_path, "cannot be read")
    (tmp_path / SAFETENSORS).write_text("version https://git-lfs is what such a file begins with")
    refused(tmp_path, "git lfs pull")


def test_a_type_that_is_not_known_is_named_and_is_no_weight(tmp_path):
    for dtype, shape, size in (("F4", [2], 1), ("F6_E2M3", [4], 3), ("F8_E8M0", [4], 4)):
        entry = {"dtype": dtype, "shape": shape, "data_offsets": [0, size]}
        write_safetensors(tmp_path, json.dumps({"odd.weight": entry}).encode(), b"x" * size)
        (tensor,) = open_checkpoint(tmp_path).tensors.values()
        assert (tensor.dtype.name, tensor.dtype.floating) == (dtype.lower(), False)
        assert (tensor.shape, tensor.bytes) == (tuple(shape), size)


@pytest.mark.parametrize("layout", ["safetensors", "safetensors in shards"])
def test_a_safetensors_file_too_short_or_too_long_is_refused_by_name(tmp_path, layout):
    save(tmp_path, tensors(), layout)
    path = sorted(tmp_path.glob("*.safetensors"))[-1]
    whole = path.read_bytes()
    for damaged in (*(cut(whole, i / 60) for i in range(61)), oversized(whole)):
        path.write_bytes(damaged)
        refused(tmp_path, path.name, "cannot be read")


@pytest.mark.parametrize("layout", ["safetensors", "pickle", "old pickle"])
def test_damage_is_refused_in_a_line_or_read_within_the_files_bounds(tmp_path, layout):
    save(tmp_path, {name: tensors()[name] for name in ("b.weight", "bfloat16", "scalar")}, layout)
    (path,) = tmp_path.iterdir()
    whole = path.read_bytes()
    # of safetensors in the header: behind it any bytes are weights
    end = 8 + int.from_bytes(whole[:8], "little") if layout == "safetensors" else len(whole)
    messages = []
    for _, damage in damages(240):
        path.write_bytes(damage(whole[:end]) + whole[end:])
        messages.append(refusal(tmp_path))
    assert sum(str(path) in message for message in messages) > 60
    assert not any("\n" in message for message in messages)


def test_code_in_a_pickle_is_refused_and_does_not_run(tmp_path):
    path, ran = tmp_path / PICKLE, tmp_path / "ran"

    class Malicious:
        def __reduce__(self):
            return ran.touch, ()

    held = {"a": torch.ones(2), "b": Malicious()}
    writes = [partial(save, tmp_path, held, layout) for layout in ("pickle", "old pickle")]
    for write in (*writes, lambda: path.write_bytes(pickle.dumps(held))):
        write()
        refused(tmp_path, "cannot be read as weights alone: it holds more than tensors")
        path.rename(tmp_path / "shard.bin")
        write_index(tmp_path, PICKLE, '{"weight_map": {"a": "shard.bin"}}')
        refused(tmp_path, "cannot be read as weights alone")
    assert not ran.exists()
    pickle.loads(pickle.dumps(held))  # where it is trusted, it does
    assert ran.exists()


@pytest.mark.filterwarnings("ignore:.*(CSR|nested tensors|quantize_per_tensor)")  # prototypes
def test_what_is_no_file_of_plain_tensors_by_name_is_refused(tmp_path):
    for held in (b"", b"garbage", b"PK\x03\x04", b"\x80\x02}q\x00."):
        (tmp_path / PICKLE).write_bytes(held)
        refused(tmp_path, PICKLE)
    for held in (5, [torch.ones(2)], torch.ones(2)):
        torch.save(held, tmp_path / PICKLE)
        refused(tmp_path, f"holds a {type(held).__name__}, not tensors by name")
    torch.save({"vast": torch.ones(1).expand(10**12)}, tmp_path / PICKLE)
    refused(tmp_path, "vast", "fewer values")
    for odd, said in (
        (torch.eye(3).to_sparse(), "sparse_coo"), (torch.eye(3).to_sparse_csr(), "sparse_csr"),
        (torch.ones(3, device="meta"), "not supported"),
        (torch.ones(3, dtype=torch.complex128), "complex128"),
        (torch.nested.nested_tensor([torch.ones(2), torch.ones(3)]), "not supported"),
    ):  # fmt: skip
        torch.save({"plain": torch.ones(2), "odd.weight": odd}, tmp_path / PICKLE)
        refused(tmp_path, "odd.weight", said, "save it dense")
    quantised = torch.quantize_per_tensor(torch.tensor([0.1, -0.3]), 0.1, 0, torch.qint8)
    torch.save({"odd.weight": quantised}, tmp_path / PICKLE)  # read as its codes
    assert read(open_checkpoint(tmp_path)) == {"odd.weight": ("int8", (2,), b"\x01\xfd")}


def test_a_file_replaced_behind_our_back_is_read_as_it_was_and_one_that_shrinks_fails(tmp_path):
    save(tmp_path, tensors(1), "safetensors in shards")
    checkpoint = open_checkpoint(tmp_path)
    wanted, before = checkpoint.tensors["b.weight"], len(os.listdir("/proc/self/fd"))
    into, expected = np.zeros(wanted.bytes, np.uint8), tensors(1)["b.weight"].numpy().tobytes()
    with Reader(checkpoint) as reader:
        assert len(os.listdir("/proc/self/fd")) == before + 2
        shutil.move(wanted.path, tmp_path / "old")
        save(tmp_path, tensors(2), "safetensors in shards")
        reader.read(wanted, 0, into)
        assert into.tobytes() == expected
        os.truncate(tmp_path / "old", wanted.offset + 20)
        reader.read(wanted, 4, into[4:20])
        with pytest.raises(RunError) as caught:
            reader.read(wanted, 0, into)
    assert f"{wanted.path} ends within b.weight" in str(caught.value)
    assert len(os.listdir("/proc/self/fd")) == before
