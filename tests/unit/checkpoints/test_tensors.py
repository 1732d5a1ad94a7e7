"""Headers of weight files: what is sound is read exactly, what is not is refused before anything is allocated."""

from __future__ import annotations

import json
import struct
import time
from pathlib import Path

import numpy as np
import pytest
from gguf import GGUFReader, GGUFWriter
from safetensors.numpy import save_file

from gate.checkpoints import tensors
from gate.checkpoints.tensors import HeaderError


def crafted(path: Path, header: object, data: bytes = b"", *, length: int | None = None) -> Path:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text) if length is None else length) + text + data)
    return path


def entry(start: int, end: int, *, shape: object = None, dtype: object = "U8") -> dict[str, object]:
    return {"dtype": dtype, "shape": [end - start] if shape is None else shape, "data_offsets": [start, end]}


def test_a_file_by_the_library_is_read_as_it_was_written(tmp_path: Path) -> None:
    floats = np.arange(6, dtype=np.float32).reshape(2, 3)
    arrays = {"a": floats, "b": np.zeros(4, np.uint32), "c": np.ones(1, np.float16)}
    save_file(arrays, tmp_path / "x.safetensors", metadata={"format": "mlx"})
    found = tensors.safetensors(tmp_path / "x.safetensors")
    raw = (tmp_path / "x.safetensors").read_bytes()
    assert {name: (tensor.type, tensor.shape) for name, tensor in found.items()} == {
        "a": ("F32", (2, 3)),
        "b": ("U32", (4,)),
        "c": ("F16", (1,)),
    }
    assert all(raw[t.start : t.start + t.size] == arrays[name].tobytes() for name, t in found.items())


@pytest.mark.parametrize(
    ("header", "data", "why"),
    [
        ({"a": entry(0, 4)}, b"123", "cut or padded"),
        ({"a": entry(0, 4)}, b"12345", "cut or padded"),
        ({"a": entry(0, 4), "b": entry(0, 4)}, b"1234", "hole or overlap"),
        ({"a": entry(2, 4)}, b"1234", "hole or overlap"),
        ({"a": entry(0, 4, shape=[3])}, b"1234", "cannot lie in"),
        ({"a": entry(0, 4, shape=[-4])}, b"1234", "cannot lie in"),
        ({"a": entry(0, 4, shape=[2.0, 2.0])}, b"1234", "cannot lie in"),
        ({"a": entry(0, 0, shape=[2**40, 2**40], dtype="F32")}, b"", "cannot lie in"),
        ({"a": entry(0, 4, dtype="P7")}, b"1234", "not described"),
        ({"a": entry(0, 4, dtype=["F32"])}, b"1234", "not described"),
        ({"a": {"dtype": "U8"}}, b"", "not described"),
        ({"a": 7}, b"", "not described"),
        ([1], b"", "not a JSON object"),
        (b"{]", b"", "not JSON"),
        (b"[" * 5000, b"", "not JSON"),
    ],
)
def test_a_bad_safetensors_header_is_refused(tmp_path: Path, header: object, data: bytes, why: str) -> None:
    with pytest.raises(HeaderError, match=why):
        tensors.safetensors(crafted(tmp_path / "x.safetensors", header, data))


@pytest.mark.parametrize("length", [0, 1, 100, 2**31, 2**63, 2**64 - 1])
def test_a_header_length_that_the_file_cannot_hold_is_refused_at_once(tmp_path: Path, length: int) -> None:
    begun = time.monotonic()
    with pytest.raises(HeaderError, match="claims a header"):
        tensors.safetensors(crafted(tmp_path / "x.safetensors", b"{}", length=length))
    assert time.monotonic() - begun < 1


def test_an_empty_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.safetensors").write_bytes(b"")
    with pytest.raises(HeaderError):
        tensors.safetensors(tmp_path / "x.safetensors")


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """A GGUF with a vocabulary and two tensors, by llama.cpp's own writer."""
    writer = GGUFWriter(tmp_path / "small.gguf", arch="llama")
    writer.add_chat_template("{{ messages }}")
    writer.add_token_list(["a", "b", "<|im_end|>", "<think>"])
    writer.add_token_types([1, 1, 3, 4])
    writer.add_eos_token_id(2)
    writer.add_array("numbers", list(range(100)))
    writer.add_tensor("x", np.arange(64, dtype=np.float32).reshape(2, 32))
    writer.add_tensor("y", np.ones(7, np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return tmp_path / "small.gguf"


def test_a_gguf_is_read_as_the_gguf_package_reads_it(small: Path) -> None:
    found, reader = tensors.gguf(small), GGUFReader(small)
    for one in reader.tensors:
        told = found.tensors[one.name]
        assert (told.start, told.size, told.type) == (one.data_offset, one.n_bytes, one.tensor_type.name)
        assert list(told.shape) == one.shape.tolist()[::-1]
    assert found.metadata["tokenizer.chat_template"] == "{{ messages }}"
    assert found.metadata["numbers"]["array"] == 100
    assert found.tokens == {"<|im_end|>": [2, 3], "<think>": [3, 4]}
    assert found.texts == {"eos_token_id": "<|im_end|>"}


@pytest.mark.parametrize(
    ("at", "data", "why"),
    [
        (0, b"GGUX", "no GGUF"),
        (4, struct.pack("<I", 1), "version 1"),
        (8, struct.pack("<Q", 2**60), "claims"),
        (16, struct.pack("<Q", 2**60), "claims"),
        (24, struct.pack("<Q", 2**62), "does not fit"),
        (8, struct.pack("<Q", 9), "cannot be read"),
    ],
)
def test_a_bad_gguf_header_is_refused(small: Path, at: int, data: bytes, why: str) -> None:
    raw = bytearray(small.read_bytes())
    raw[at : at + len(data)] = data
    bad = small.with_name(f"bad-{at}.gguf")
    bad.write_bytes(raw)
    with pytest.raises(HeaderError, match=why):
        tensors.gguf(bad)


@pytest.mark.parametrize("kept", [10, 23, 60, 300, 700])
def test_a_gguf_cut_anywhere_is_refused(small: Path, kept: int) -> None:
    bad = small.with_name(f"cut-{kept}.gguf")
    bad.write_bytes(small.read_bytes()[:kept])
    with pytest.raises(HeaderError):
        tensors.gguf(bad)


def test_a_gguf_whose_data_is_cut_is_refused(small: Path) -> None:
    bad = small.with_name("cut.gguf")
    bad.write_bytes(small.read_bytes()[:-64])
    with pytest.raises(HeaderError, match="cut short"):
        tensors.gguf(bad)
