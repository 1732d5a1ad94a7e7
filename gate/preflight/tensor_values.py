"""The values of a tensor, a few rows at a time: float, packed by MLX, or in ggml's blocks."""

from __future__ import annotations

import numpy as np
from gguf import GGMLQuantizationType
from gguf.quants import dequantize
from numpy.typing import NDArray

from gate.checkpoints.tensors import Tensor
from gate.preflight.artifact import NotPossible

Floats = NDArray[np.float32]
ROWS = 128
"""Rows of a tensor that are compared: enough for a correlation, little to read."""
TYPES = {"F32": "<f4", "F16": "<f2", "F64": "<f8"}


def sample(count: int, wanted: int = ROWS) -> list[int]:
    """Evenly spread row numbers, the first and the last among them."""
    return sorted({round(n * (count - 1) / max(1, wanted - 1)) for n in range(min(count, wanted))})


def rows(tensor: Tensor, numbers: list[int]) -> Floats:
    """These rows of a float tensor, or of a GGUF's, as (len(numbers), columns) float32. Raises NotPossible."""
    count = tensor.shape[0] if len(tensor.shape) > 1 else 1
    raw = _bytes(tensor, numbers, tensor.size // max(1, count))
    if tensor.path.suffix == ".gguf":
        floats = dequantize(np.frombuffer(raw, np.uint8).reshape(len(numbers), -1), GGMLQuantizationType[tensor.type])
        return np.asarray(floats, np.float32).reshape(len(numbers), -1)
    if tensor.type == "BF16":
        return (np.frombuffer(raw, "<u2").astype("<u4") << 16).view("<f4").reshape(len(numbers), -1)
    if tensor.type not in TYPES:
        raise NotPossible(f"{tensor.name} is {tensor.type}, which cannot be compared")
    return np.frombuffer(raw, TYPES[tensor.type]).astype(np.float32).reshape(len(numbers), -1)


def module(tensors: dict[str, Tensor], name: str, numbers: list[int], *, width: int) -> Floats:
    """These rows of a module's weight of `width` columns, restored where MLX has packed it. Raises NotPossible."""
    weight, scales = tensors.get(f"{name}.weight"), tensors.get(f"{name}.scales")
    if weight is None:
        raise NotPossible(f"there is no {name}.weight")
    if scales is None:
        return rows(weight, numbers)
    biases = tensors.get(f"{name}.biases")
    if biases is None:
        raise NotPossible(f"{name} is packed in a mode other than affine")
    scale, bias = rows(scales, numbers), rows(biases, numbers)
    packed = _bytes(weight, numbers, weight.size // weight.shape[0])
    return unpacked(packed, scale, bias, width)


def unpacked(packed: bytes, scale: Floats, bias: Floats, width: int) -> Floats:
    """MLX's affine packing undone: value = scale * q + bias, q in `bits` bits, least significant first.

    Source: mlx/ops.h, `quantize`; 3, 5 and 6 bits run on across bytes.
    """
    bits = len(packed) * 8 // (len(scale) * width)
    lanes = np.unpackbits(np.frombuffer(packed, np.uint8), bitorder="little").reshape(len(scale), width, bits)
    numbers = lanes.astype(np.float32) @ (1 << np.arange(bits)).astype(np.float32)
    group = width // scale.shape[1]
    return np.asarray(numbers * np.repeat(scale, group, 1) + np.repeat(bias, group, 1), np.float32)


def correlation(one: Floats, other: Floats) -> float:
    """Cosine of two arrays of numbers, 0 where one of them is nothing but zeros."""
    size = float(np.linalg.norm(one) * np.linalg.norm(other))
    return float(np.vdot(one, other)) / size if size else 0.0


def distance(one: Floats, other: Floats) -> float:
    """Norm of the difference relative to the norm of the second."""
    size = float(np.linalg.norm(other))
    difference = float(np.linalg.norm(one - other))
    return difference / size if size else difference


def _bytes(tensor: Tensor, numbers: list[int], row: int) -> bytes:
    with tensor.path.open("rb") as stream:
        pieces = []
        for number in numbers:
            stream.seek(tensor.start + number * row)
            pieces.append(stream.read(row))
    return b"".join(pieces)
