"""Checkpoints as they lie on disk: layouts read bit for bit, hostile files refused in a line."""

import json
import os
import pickle
import random
import struct
import warnings

import numpy as np
import pytest
import safetensors.numpy
import safetensors.torch
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis.errors import RequestError, RunError
from analysis.models.checkpoint import open_checkpoint
from analysis.models.tensors import DTYPES, Reader, in_memory

SAFETENSORS, PICKLE = "model.safetensors", "pytorch_model.bin"
TORCH = {
    name: getattr(torch, dtype.name) for name, dtype in DTYPES.items() if hasattr(torch, dtype.name)
}


def tensors(seed=0):
    """Weights of several types, in shapes that are easily got wrong."""
    generator = torch.Generator().manual_seed(seed)
    made = {
        "b.weight": torch.randn(4, 3, generator=generator),
        "a.bias": torch.randn(5, generator=generator).half(),
        "scalar": torch.randn((), generator=generator),
        "empty": torch.zeros(0, 7),
        "brain": torch.randn(2, 3, generator=generator).bfloat16(),
    }
    return made | {"ids": torch.arange(6)}


def content(tensor):
    """A tensor's bytes, in the order of its indices."""
    flat = tensor.detach().contiguous().reshape(-1)
    return flat.view(torch.uint8).numpy().tobytes() if flat.numel() else b""


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


def as_read(saved):
    return {
        name: (str(t.dtype).removeprefix("torch."), tuple(t.shape), content(t))
        for name, t in saved.items()
    }


def refusal(folder):
    """The message of a folder that is refused; None if it can be read, to the last byte."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            read(open_checkpoint(folder))
        except RequestError as error:
            message = str(error)
        else:
            return None
    assert "\n" not in message
    return message


def refused(folder, *words):
    """The message of a folder that must be refused, without a warning beside it."""
    message = refusal(folder)
    assert message
    assert str(folder) in message
    for word in words:
        assert word in message
    return message


def write_index(folder, single, weight_map):
    text = weight_map if isinstance(weight_map, str) else json.dumps({"weight_map": weight_map})
    (folder / f"{single}.index.json").write_text(text, encoding="utf-8")


def write_safetensors(folder, header, body=b""):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    (folder / SAFETENSORS).write_bytes(struct.pack("<Q", len(text)) + text + body)


def entry(dtype="F32", shape=(1,), offsets=(0, 4)):
    return {"dtype": dtype, "shape": list(shape), "data_offsets": list(offsets)}


# ---------------------------------------------------------------- the layouts


def halves(saved):
    names = sorted(saved)
    return [{n: saved[n] for n in names[::2]}, {n: saved[n] for n in names[1::2]}]


def in_shards(folder, saved, single, save):
    stem, ending = single.split(".")
    weight_map = {}
    for number, part in enumerate(halves(saved), 1):
        name = f"{stem}-{number:05}-of-00002.{ending}"
        save(part, folder / name)
        weight_map |= dict.fromkeys(part, name)
    write_index(folder, single, weight_map)


def one_safetensors(folder, saved):
    safetensors.torch.save_file(saved, folder / SAFETENSORS, metadata={"format": "pt"})


def safetensors_shards(folder, saved):
    in_shards(folder, saved, SAFETENSORS, safetensors.torch.save_file)


def one_pickle(folder, saved):
    torch.save(saved, folder / PICKLE)


def old_pickle(folder, saved):
    torch.save(saved, folder / PICKLE, _use_new_zipfile_serialization=False)


def pickle_shards(folder, saved):
    in_shards(folder, saved, PICKLE, torch.save)


LAYOUTS = [one_safetensors, safetensors_shards, one_pickle, old_pickle, pickle_shards]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_is_read_bit_for_bit_and_by_sorted_name(tmp_path, layout):
    saved = tensors()
    layout(tmp_path, saved)
    checkpoint = open_checkpoint(tmp_path)
    assert list(checkpoint.tensors) == sorted(saved)
    assert read(checkpoint) == as_read(saved)
    assert checkpoint.bytes == sum(t.numel() * t.element_size() for t in saved.values())
    assert sorted(checkpoint.files) == sorted(
        p for p in tmp_path.iterdir() if not p.name.endswith(".json")
    )


@settings(max_examples=40)
@given(
    dtype=st.sampled_from(sorted(TORCH)),
    shape=st.lists(st.integers(0, 4), max_size=4),
    seed=st.integers(0, 99),
)
@pytest.mark.parametrize("layout", [one_safetensors, one_pickle])
def test_every_type_and_shape_is_read_as_it_was(tmp_path_factory, layout, dtype, shape, seed):
    folder = tmp_path_factory.getbasetemp() / layout.__name__
    folder.mkdir(exist_ok=True)
    size = int(np.prod(shape, dtype=int)) * DTYPES[dtype].bytes
    raw = np.random.default_rng(seed).integers(0, 2 if dtype == "BOOL" else 256, size, np.uint8)
    flat = torch.from_numpy(raw).view(TORCH[dtype]) if size else torch.empty(0, dtype=TORCH[dtype])
    saved = {"x": flat.reshape(shape), "y": torch.ones(1)}
    layout(folder, saved)
    assert read(open_checkpoint(folder))["x"] == (DTYPES[dtype].name, tuple(shape), raw.tobytes())


def test_arrays_in_memory_are_read_like_files():
    saved = {"b": np.arange(6, dtype=np.int16).reshape(2, 3).T, "a": np.array(2.5, np.float32)}
    checkpoint = in_memory(saved)
    assert checkpoint.files == ()
    assert read(checkpoint) == {
        "a": ("float32", (), saved["a"].tobytes()),
        "b": ("int16", (3, 2), np.ascontiguousarray(saved["b"]).tobytes()),
    }


def test_a_pickle_that_claims_more_values_than_it_holds_is_refused(tmp_path):
    torch.save({"vast": torch.ones(1).expand(10**12)}, tmp_path / "pytorch_model.bin")
    refused(tmp_path, "vast", "fewer values")


@pytest.mark.parametrize("layout", [one_pickle, old_pickle])
def test_a_pickles_views_are_read_as_they_appear(tmp_path, layout):
    """Shared, transposed, stepped and conjugated tensors; parameters too."""
    base = torch.arange(12.0).reshape(3, 4)
    saved = {
        "base": base,
        "tied": base,
        "transposed": base.T,
        "row": base[1],
        "stepped": base[::2, 1::2],
        "parameter": torch.nn.Parameter(base + 1),
        "conjugated": torch.tensor([1 + 2j, 3 - 4j], dtype=torch.complex64).conj(),
        "negated": torch._neg_view(base),
    }
    layout(tmp_path, saved)
    plain = {name: t.detach().resolve_conj().resolve_neg() for name, t in saved.items()}
    assert read(open_checkpoint(tmp_path)) == as_read(plain)


def test_what_is_no_tensor_in_a_pickle_is_ignored(tmp_path):
    extra = {"epoch": 3, "config": {"a": [1, "b"]}, "none": None, "nested": {"x": torch.ones(2)}}
    torch.save(tensors() | extra, tmp_path / PICKLE)
    assert read(open_checkpoint(tmp_path)) == as_read(tensors())


def test_safetensors_go_before_a_pickle_and_one_file_before_shards(tmp_path):
    (tmp_path / PICKLE).write_bytes(b"not even looked at")
    safetensors_shards(tmp_path, tensors(1))
    assert read(open_checkpoint(tmp_path)) == as_read(tensors(1))
    one_safetensors(tmp_path, tensors(2))
    assert read(open_checkpoint(tmp_path)) == as_read(tensors(2))


def test_links_are_followed_as_the_hubs_cache_has_them(tmp_path):
    (tmp_path / "blobs").mkdir()
    (tmp_path / "snapshot").mkdir()
    safetensors_shards(tmp_path / "blobs", tensors())
    for path in (tmp_path / "blobs").iterdir():
        (tmp_path / "snapshot" / path.name).symlink_to(path)
    assert read(open_checkpoint(tmp_path / "snapshot")) == as_read(tensors())


# ---------------------------------------------------------------- what is not there


@pytest.mark.parametrize("single", [SAFETENSORS, PICKLE])
def test_a_folder_without_weights_is_refused(tmp_path, single):
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / f"other-{single}").write_bytes(b"")
    (tmp_path / single).mkdir()
    refused(tmp_path, "holds no weights", SAFETENSORS, PICKLE)


def test_what_is_no_folder_is_refused(tmp_path):
    one_safetensors(tmp_path, tensors())
    refused(tmp_path / SAFETENSORS, "is no folder")
    refused(tmp_path / "no" / "such", "is no folder")


@pytest.mark.parametrize("layout", LAYOUTS)
def test_files_that_may_not_be_read_are_refused(public_folder, unprivileged, layout):
    layout(public_folder, tensors())
    for path in public_folder.iterdir():
        path.chmod(0)
    with unprivileged():
        refused(public_folder)


# ---------------------------------------------------------------- shards


@pytest.mark.parametrize(
    ("index", "said"),
    [
        ({"a": "missing.safetensors"}, "missing.safetensors, which is not there"),
        ({"a": "../outside.safetensors"}, "no file beside it"),
        ({"a": "sub/shard.safetensors"}, "no file beside it"),
        ({"a": "/etc/passwd"}, "no file beside it"),
        ({"a": ".."}, "not there"),
        ({"a": ""}, "not there"),
        ({"a": "nul\0byte"}, "not there"),
        ({"a": 5}, "no file beside it"),
        ({"a": None}, "no file beside it"),
        ({"a": ["x"]}, "names"),
        ({"a": "x", "b": 5}, "names"),
        ("not json", "weight_map"),
        ("", "weight_map"),
        ("[]", "weight_map"),
        ("5", "weight_map"),
        ("{}", "weight_map"),
        ('{"weight_map": ["x"]}', "weight_map"),
        ('{"weight_map": "x"}', "weight_map"),
        ("[" * 100_000, "weight_map"),
        ('{"weight_map": {"a": "x"', "weight_map"),
    ],
    ids=lambda value: repr(value)[:30],
)
@pytest.mark.parametrize("single", [SAFETENSORS, PICKLE])
def test_an_index_that_makes_no_sense_is_refused(tmp_path, single, index, said):
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "sub").mkdir()
    for place in (tmp_path, tmp_path / "model" / "sub"):
        for name in ("outside.safetensors", "shard.safetensors"):
            safetensors.torch.save_file(tensors(), place / name)
    write_index(tmp_path / "model", single, index)
    refused(tmp_path / "model", said)


def test_an_index_that_is_no_text_is_refused(tmp_path):
    (tmp_path / f"{SAFETENSORS}.index.json").write_bytes(b"\xff\xfe{}")
    refused(tmp_path, "weight_map")


@pytest.mark.parametrize(
    ("single", "save"), [(SAFETENSORS, safetensors.torch.save_file), (PICKLE, torch.save)]
)
def test_a_tensor_in_two_shards_is_refused_by_name(tmp_path, single, save):
    save({"twice": torch.ones(2), "a": torch.ones(1)}, tmp_path / "one")
    save({"twice": torch.ones(2), "b": torch.ones(1)}, tmp_path / "two")
    write_index(tmp_path, single, {"twice": "one", "a": "one", "b": "two"})
    refused(tmp_path, "holds twice twice, in one and in two")


@pytest.mark.parametrize("layout", [safetensors_shards, pickle_shards])
def test_a_truncated_shard_is_refused_by_name(tmp_path, layout):
    layout(tmp_path, tensors())
    shard = sorted(tmp_path.glob("*00002-of*"))[0]
    shard.write_bytes(shard.read_bytes()[:-1])
    refused(tmp_path, shard.name, "cannot be read")


# ---------------------------------------------------------------- damaged safetensors


def test_a_safetensors_file_truncated_anywhere_is_refused(tmp_path):
    one_safetensors(tmp_path, tensors())
    whole = (tmp_path / SAFETENSORS).read_bytes()
    for length in range(0, len(whole), 5):
        (tmp_path / SAFETENSORS).write_bytes(whole[:length])
        refused(tmp_path, "cannot be read")
    (tmp_path / SAFETENSORS).write_bytes(whole + b"\0")
    refused(tmp_path, "cannot be read")


@pytest.mark.parametrize(
    ("header", "body"),
    [
        (b"not json", b""),
        (b"[]", b""),
        (b"5", b""),
        (b"\xff\xfe", b""),
        (b"[" * 50_000, b""),
        (b'{"a": 5}', b""),
        (b'{"a": {"dtype": "F32"}}', b""),
        ({"a": entry(), "b": entry(offsets=(2, 6))}, b"x" * 6),  # overlapping
        ({"a": entry(), "b": entry(offsets=(5, 9))}, b"x" * 9),  # a gap
        ({"a": entry(offsets=(0, 400))}, b"x" * 4),  # beyond the end
        ({"a": entry(offsets=(4, 0))}, b"x" * 4),
        ({"a": entry(offsets=(0, 2**63))}, b"x" * 4),
        ({"a": entry(shape=(2,))}, b"x" * 4),  # the wrong size
        ({"a": entry(shape=(-1,))}, b"x" * 4),
        ({"a": entry(shape=(2**62, 8), offsets=(0, 0))}, b""),  # overflows
        ({"a": entry(dtype="F33")}, b"x" * 4),
        ({"a": entry(dtype=None)}, b"x" * 4),
        ({"__metadata__": {"a": 5}}, b""),
    ],
    ids=lambda value: repr(value)[:40],
)
def test_a_header_that_makes_no_sense_is_refused(tmp_path, header, body):
    write_safetensors(tmp_path, header, body)
    refused(tmp_path, SAFETENSORS, "cannot be read")


@pytest.mark.parametrize("length", [0, 1, 3, 1 << 27, 1 << 62, (1 << 64) - 1])
def test_a_length_of_the_header_that_makes_no_sense_is_refused(tmp_path, length):
    (tmp_path / SAFETENSORS).write_bytes(struct.pack("<Q", length) + b"{}" * 20)
    refused(tmp_path, "cannot be read")


@pytest.mark.parametrize(
    ("dtype", "shape", "size"), [("F4", (2,), 1), ("F6_E2M3", (4,), 3), ("F8_E8M0", (4,), 4)]
)
def test_a_type_that_is_not_known_is_named_and_is_no_weight(tmp_path, dtype, shape, size):
    write_safetensors(tmp_path, {"odd.weight": entry(dtype, shape, (0, size))}, b"x" * size)
    (tensor,) = open_checkpoint(tmp_path).tensors.values()
    assert (tensor.dtype.name, tensor.dtype.floating) == (dtype.lower(), False)
    assert (tensor.shape, tensor.bytes) == (shape, size)


def test_damaged_bytes_of_a_header_never_end_in_another_error(tmp_path):
    """Refused in one line, or read within the file's bounds."""
    one_safetensors(tmp_path, tensors())
    whole, chance = (tmp_path / SAFETENSORS).read_bytes(), random.Random(0)
    length = 8 + int.from_bytes(whole[:8], "little")
    for _ in range(300):
        damaged = bytearray(whole)
        for _ in range(chance.randint(1, 3)):
            damaged[chance.randrange(length)] = chance.randrange(256)
        (tmp_path / SAFETENSORS).write_bytes(damaged)
        refusal(tmp_path)


# ---------------------------------------------------------------- hostile pickles


class Malicious:
    """Runs a command where it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.system, (f"touch {self.path}",)


def raw_pickle(held, path):
    path.write_bytes(pickle.dumps(held))


def old_save(held, path):
    torch.save(held, path, _use_new_zipfile_serialization=False)


@pytest.mark.parametrize("save", [torch.save, old_save, raw_pickle])
@pytest.mark.parametrize("sharded", [False, True])
def test_code_in_a_pickle_is_refused_and_does_not_run(tmp_path, save, sharded):
    save({"a": torch.ones(2), "b": Malicious(tmp_path / "ran")}, tmp_path / PICKLE)
    if sharded:
        (tmp_path / PICKLE).rename(tmp_path / "shard.bin")
        write_index(tmp_path, PICKLE, {"a": "shard.bin"})
    refused(tmp_path, "cannot be read as weights alone")
    assert not (tmp_path / "ran").exists()


def test_a_malicious_file_is_one(tmp_path):
    """The one above would run where it is trusted."""
    raw_pickle({"b": Malicious(tmp_path / "ran")}, tmp_path / PICKLE)
    pickle.loads((tmp_path / PICKLE).read_bytes())
    assert (tmp_path / "ran").exists()


@pytest.mark.parametrize("layout", [one_pickle, old_pickle])
def test_a_damaged_pickle_is_refused_or_read_and_ends_in_no_other_error(tmp_path, layout):
    layout(tmp_path, {"a": torch.ones(4, 3), "b": torch.ones(2)})
    whole, chance = (tmp_path / PICKLE).read_bytes(), random.Random(0)
    for number in range(400):
        damaged = bytearray(whole)
        if number % 2:
            del damaged[chance.randrange(len(whole)) :]
        else:
            for _ in range(chance.randint(1, 3)):
                damaged[chance.randrange(len(whole))] = chance.randrange(256)
        (tmp_path / PICKLE).write_bytes(damaged)
        refusal(tmp_path)


@pytest.mark.parametrize("held", [b"", b"garbage", b"PK\x03\x04", b"\x80\x02}q\x00."])
def test_what_is_no_file_of_torchs_is_refused(tmp_path, held):
    (tmp_path / PICKLE).write_bytes(held)
    refused(tmp_path, PICKLE)


@pytest.mark.parametrize("held", [5, [torch.ones(2)], torch.ones(2)], ids=str)
def test_a_pickle_without_names_is_refused(tmp_path, held):
    torch.save(held, tmp_path / PICKLE)
    refused(tmp_path, "not tensors by name")


def quietly(make, *arguments, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's of what it calls a prototype
        return make(*arguments, **options)


@pytest.mark.parametrize(
    ("odd", "said"),
    [
        (torch.eye(3).to_sparse(), "sparse_coo"),
        (quietly(torch.Tensor.to_sparse_csr, torch.eye(3)), "sparse_csr"),
        (torch.ones(3, device="meta"), "not supported"),
        (torch.ones(3, dtype=torch.complex128), "complex128"),
        (quietly(torch.nested.nested_tensor, [torch.ones(2), torch.ones(3)]), "not supported"),
    ],
    ids=["coo", "csr", "meta", "complex128", "nested"],
)
def test_a_tensor_that_is_not_plain_is_refused_by_name(tmp_path, odd, said):
    quietly(torch.save, {"plain": torch.ones(2), "odd.weight": odd}, tmp_path / PICKLE)
    refused(tmp_path, "odd.weight", said, "save it dense")


def test_a_quantised_tensor_is_read_as_its_codes(tmp_path):
    odd = quietly(torch.quantize_per_tensor, torch.tensor([0.1, -0.3]), 0.1, 0, torch.qint8)
    quietly(torch.save, {"odd.weight": odd}, tmp_path / PICKLE)
    codes = np.array([1, -3], np.int8)
    assert read(open_checkpoint(tmp_path)) == {"odd.weight": ("int8", (2,), codes.tobytes())}


def test_a_trainings_checkpoint_is_unwrapped(tmp_path):
    torch.save({"epoch": 3, "state_dict": {"a.weight": torch.ones(2)}}, tmp_path / PICKLE)
    assert list(open_checkpoint(tmp_path).tensors) == ["a.weight"]


def test_shards_without_an_index_are_taken_together(tmp_path):
    for i, name in enumerate(("a", "b")):
        safetensors.torch.save_file(
            {name: torch.ones(2)}, tmp_path / f"model-0000{i + 1}-of-00002.safetensors"
        )
    assert list(open_checkpoint(tmp_path).tensors) == ["a", "b"]


def test_a_tensor_that_an_index_names_and_its_shard_lacks_is_refused(tmp_path):
    safetensors.torch.save_file({"a": torch.ones(2)}, tmp_path / "one")
    write_index(tmp_path, SAFETENSORS, {"a": "one", "b": "one"})
    refused(tmp_path, "names b, which one lacks")


def test_a_pointer_in_place_of_a_file_is_said_to_be_one(tmp_path):
    (tmp_path / SAFETENSORS).write_text("version https://git-lfs is what such a file begins with")
    refused(tmp_path, "git lfs pull")


# ---------------------------------------------------------------- changed behind our back


@pytest.mark.parametrize("layout", [one_safetensors, safetensors_shards])
def test_a_file_that_shrinks_after_it_was_opened_is_a_failed_run(tmp_path, layout):
    layout(tmp_path, {"a": torch.ones(1000), "z": torch.ones(1000)})
    checkpoint = open_checkpoint(tmp_path)
    last = checkpoint.tensors["z"]
    with Reader(checkpoint) as reader:
        os.truncate(last.path, last.offset + 100)
        start = np.empty(100, np.uint8)
        reader.read(last, 0, start)
        assert start.tobytes() == np.ones(25, np.float32).tobytes()
        with pytest.raises(RunError) as caught:
            reader.read(last, 0, np.empty(last.bytes, np.uint8))
    assert "ends within z" in str(caught.value)
    assert str(last.path) in str(caught.value)


def test_a_file_replaced_after_the_reader_opened_it_is_read_as_it_was(tmp_path):
    one_safetensors(tmp_path, tensors(1))
    checkpoint = open_checkpoint(tmp_path)
    with Reader(checkpoint) as reader:
        (tmp_path / SAFETENSORS).unlink()
        one_safetensors(tmp_path, tensors(2))
        into = np.empty(checkpoint.tensors["b.weight"].bytes, np.uint8)
        reader.read(checkpoint.tensors["b.weight"], 0, into)
    assert into.tobytes() == content(tensors(1)["b.weight"])


def test_a_reader_closes_its_files(tmp_path):
    safetensors_shards(tmp_path, tensors())
    before = len(os.listdir("/proc/self/fd"))
    with Reader(open_checkpoint(tmp_path)):
        assert len(os.listdir("/proc/self/fd")) == before + 2
    assert len(os.listdir("/proc/self/fd")) == before
