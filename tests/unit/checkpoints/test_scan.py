"""One pass over a weight file finds its sha256, each tensor's, and what is NaN, Inf or nothing but zeros."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
from gguf import GGML_QUANT_SIZES, GGMLQuantizationType, quants
from safetensors.numpy import save_file

from gate.checkpoints import scan, tensors
from gate.system import hashing


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATE_CACHE", str(tmp_path / "cache"))


def written(path: Path, **arrays: np.ndarray) -> Path:
    save_file(arrays, path)
    return path


def facts(path: Path) -> dict[str, scan.Facts]:
    return scan.scan(path, tensors.safetensors(path))


def test_every_number_is_looked_at(tmp_path: Path) -> None:
    good = np.random.default_rng(0).normal(size=(300, 200)).astype(np.float32)
    bad, zero = good.copy(), np.zeros((5, 5), np.float32)
    bad[0, 0], bad[-1, -1], bad[7, 7] = np.nan, np.inf, -np.inf
    found = facts(written(tmp_path / "x.safetensors", good=good, bad=bad, zero=zero))
    assert {name: (fact.bad, fact.zero) for name, fact in found.items()} == {
        "good": (0, False),
        "bad": (3, False),
        "zero": (0, True),
    }
    assert found["good"].sha256 == hashlib.sha256(good.tobytes()).hexdigest()


def test_a_file_larger_than_a_piece_is_read_in_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scan, "PIECE", 2**12)
    values = np.ones((100, 1000), np.float32)
    values[99, 999] = np.nan
    path = written(tmp_path / "x.safetensors", small=np.ones(3, np.float16), values=values)
    assert facts(path)["values"].bad == 1
    assert hashing.sha256(path) == hashlib.sha256(path.read_bytes()).hexdigest()


def test_the_sha256_of_the_pass_is_remembered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hashing, "SMALL", 0)
    path = written(tmp_path / "x.safetensors", a=np.ones(3, np.float32))
    facts(path)
    monkeypatch.setattr(hashing, "_hash", lambda _: pytest.fail("the file was read again"))
    assert hashing.sha256(path) == hashlib.sha256(path.read_bytes()).hexdigest()


def test_a_changed_file_is_looked_at_anew(tmp_path: Path) -> None:
    path = written(tmp_path / "x.safetensors", a=np.ones(3, np.float32))
    assert facts(path)["a"].bad == 0
    written(path, a=np.full(3, np.nan, np.float32))
    assert facts(path)["a"].bad == 3


@pytest.mark.parametrize(
    ("type_", "raw", "bad"),
    [
        ("F32", np.array([1, np.nan, np.inf, 3e38], "<f4").tobytes(), 2),
        ("F16", np.array([1, np.nan, -np.inf, 65504], "<f2").tobytes(), 2),
        ("F64", np.array([1, np.nan], "<f8").tobytes(), 1),
        ("BF16", (np.array([1, np.nan, np.inf], "<f4").view("<u4") >> 16).astype("<u2").tobytes(), 2),
        ("U32", b"\xff\xff\xff\x7f", None),
        ("I64", b"\x00" * 8, None),
    ],
)
def test_what_is_no_number_is_counted(type_: str, raw: bytes, bad: int | None) -> None:
    assert scan.finite(raw, type_) == bad


@pytest.mark.parametrize("type_", sorted(scan.HALVES))
def test_a_bad_scale_of_a_block_makes_every_number_of_it_bad(type_: str) -> None:
    """Where a block's half-precision scales lie, by the gguf package's own dequantisation."""
    kind = GGMLQuantizationType[type_]
    size = GGML_QUANT_SIZES[kind][1]
    blocks = np.random.default_rng(0).integers(1, 60, (4, size), dtype=np.uint8)
    for at in scan.HALVES[type_]:
        blocks[:, at : at + 2] = np.frombuffer(np.float16(0.5).tobytes(), np.uint8)
    assert scan.finite(blocks.tobytes(), type_) == 0
    blocks[2, scan.HALVES[type_][0] : scan.HALVES[type_][0] + 2] = np.frombuffer(np.float16(np.inf).tobytes(), np.uint8)
    assert scan.finite(blocks.tobytes(), type_) == 1
    with np.errstate(all="ignore"):
        values = quants.dequantize(blocks, kind).reshape(4, -1)
    assert np.isfinite(values[[0, 1, 3]]).all()
    assert not np.isfinite(values[2]).all()
