"""Read a weight file once: its sha256, each tensor's, and whether a tensor holds NaN, Inf or nothing but zeros.

Memory is bounded by a few pieces whatever the file's size; hashing and looking run side by side. What was found is
remembered like the sha256 alone (gate.system.hashing).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from gate.checkpoints.tensors import Tensor
from gate.system import cache, hashing
from gate.types import Json

PIECE = 16 * 2**20
"""Bytes read at once."""
EXPONENTS = {
    "F64": ("<u8", 0x7FF0000000000000),
    "F32": ("<u4", 0x7F800000),
    "F16": ("<u2", 0x7C00),
    "BF16": ("<u2", 0x7F80),
    "F8_E5M2": ("u1", 0x7C),
}
"""Unsigned integer of a float's width, and the mask of its exponent: all ones there is NaN or Inf (IEEE 754)."""
HALVES: dict[str, tuple[int, ...]] = {
    **dict.fromkeys(("Q4_0", "Q5_0", "Q8_0", "IQ4_NL", "IQ4_XS", "IQ2_XXS", "IQ2_XS", "IQ2_S"), (0,)),
    **dict.fromkeys(("IQ3_XXS", "IQ3_S", "IQ1_S"), (0,)),
    **dict.fromkeys(("Q4_1", "Q5_1", "Q4_K", "Q5_K"), (0, 2)),
    "Q2_K": (80, 82),
    "Q3_K": (108,),
    "Q6_K": (208,),
    "TQ1_0": (52,),
    "TQ2_0": (64,),
}
"""Where a ggml block keeps its half-precision scales (llama.cpp, ggml/src/ggml-common.h)."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What one tensor holds."""

    sha256: str
    bad: int
    """Numbers that are NaN or Inf; of a quantised tensor, scales that are."""
    zero: bool
    """Every byte is zero."""


def scan(path: Path, tensors: dict[str, Tensor]) -> dict[str, Facts]:
    """The facts of each tensor of the file; its sha256 is remembered for gate.system.hashing. Raises OSError."""
    key = hashing.key(path)
    with cache.opened("tensors") as known:
        facts = known.get(key)
        if facts is None or list(facts) != list(tensors):
            facts, whole = _read(path, tensors)
            if hashing.key(path) == key:
                hashing.remember(key, whole)
                known.put(key, facts)
    return {name: Facts(**each) for name, each in facts.items()}


def finite(raw: bytes | memoryview, type_: str) -> int | None:
    """How many numbers in a tensor's bytes are NaN or Inf; None for a type that holds none or is not known here."""
    if type_ in EXPONENTS:
        width, mask = EXPONENTS[type_]
        numbers = np.frombuffer(raw, width)
        return int(np.count_nonzero((numbers & mask) == mask))
    if type_ not in HALVES:
        return None
    blocks = np.frombuffer(raw, np.uint8).reshape(-1, _block(type_))
    halves = [blocks[:, at : at + 2].copy().view("<u2") for at in HALVES[type_]]
    return sum(int(np.count_nonzero((half & 0x7C00) == 0x7C00)) for half in halves)


def _read(path: Path, tensors: dict[str, Tensor]) -> tuple[Json, str]:
    """The facts of each tensor, and the sha256 of the file, in one pass."""
    whole, found = hashlib.sha256(), {}
    with path.open("rb") as stream, ThreadPoolExecutor(2) as pool:
        for tensor in sorted(tensors.values(), key=lambda tensor: tensor.start):
            whole.update(stream.read(tensor.start - stream.tell()))
            found[tensor.name] = asdict(_look(tensor, stream, whole, pool))
        while rest := stream.read(PIECE):
            whole.update(rest)
    return {name: found[name] for name in tensors}, whole.hexdigest()


def _look(tensor: Tensor, stream, whole, pool: ThreadPoolExecutor) -> Facts:  # type: ignore[no-untyped-def]
    own, bad, zero = hashlib.sha256(), 0, True
    for piece in _pieces(tensor, stream):
        hashed = [pool.submit(digest.update, piece) for digest in (whole, own)] if len(piece) > 2**16 else []
        if not hashed:
            whole.update(piece)
            own.update(piece)
        bad += finite(piece, tensor.type) or 0
        zero = zero and not any(piece[:64]) and not np.frombuffer(piece, np.uint8).any()
        wait(hashed)
    return Facts(own.hexdigest(), bad, zero)


def _pieces(tensor: Tensor, stream) -> Iterator[bytes]:  # type: ignore[no-untyped-def]
    step = PIECE - PIECE % (_block(tensor.type) if tensor.type in HALVES else 8)
    left = tensor.size
    while left:
        piece = stream.read(min(step, left))
        if not piece:
            raise OSError(f"{tensor.path} ended inside {tensor.name}")
        left -= len(piece)
        yield piece


def _block(type_: str) -> int:
    from gguf import GGML_QUANT_SIZES, GGMLQuantizationType

    return GGML_QUANT_SIZES[GGMLQuantizationType[type_]][1]
