"""Where each tensor of a file lies: safetensors headers read here, GGUF headers in a child process, both bounded.

Sources: the safetensors format (github.com/huggingface/safetensors, README, "Format") and the GGUF specification
(github.com/ggml-org/ggml, docs/gguf.md).
"""

from __future__ import annotations

import json
import math
import struct
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from gate.errors import GateError
from gate.system import hashing, sandbox
from gate.types import Json

HEADER = 32 * 2**20
"""Bytes of a safetensors header; the largest models have some 5 MB."""
SIZES = {
    **dict.fromkeys(("BOOL", "U8", "I8", "F8_E4M3", "F8_E5M2", "F8_E8M0"), 1),
    **dict.fromkeys(("U16", "I16", "F16", "BF16"), 2),
    **dict.fromkeys(("U32", "I32", "F32"), 4),
    **dict.fromkeys(("U64", "I64", "F64", "C64"), 8),
}
"""Bytes of one element."""
DIMENSIONS = 8
"""Dimensions of a tensor; real ones have at most 5."""
GGUF_SECONDS, GGUF_MEMORY = 60.0, 3 * 2**30
GGUF_FIELD = 13
"""Fewest bytes of a GGUF key-value pair: a length, a type, one byte."""
GGUF_TENSOR = 24
"""Fewest bytes of a GGUF tensor description: a length, a count of dimensions, a type, an offset."""


class HeaderError(GateError):
    """A file's header is broken or hostile: nothing of the file may be used."""


@dataclass(frozen=True, slots=True)
class Tensor:
    """One tensor in a file."""

    name: str
    type: str
    """safetensors' dtype (F32, BF16, U32 …) or ggml's type (F32, Q4_K …)."""
    shape: tuple[int, ...]
    """Slowest dimension first, for GGUF too."""
    path: Path
    start: int
    """First byte, from the beginning of the file."""
    size: int
    """Bytes."""


@dataclass(frozen=True, slots=True)
class Gguf:
    """The header of a GGUF file."""

    metadata: Json
    """Keys and values; an array of more than 64 elements stands as {"array": n, "sha256": digest}."""
    tokens: dict[str, list[int]]
    """Text of each token that is not an ordinary one -> [id, token type]."""
    texts: dict[str, str]
    """Text of the tokens that the metadata names by id: {"eos_token_id": "<|im_end|>"}."""
    tensors: dict[str, Tensor]


def safetensors(path: Path) -> dict[str, Tensor]:
    """The tensors of a safetensors file, in its order. Raises HeaderError for anything the format forbids."""
    if not path.is_file():
        raise HeaderError(f"{path.name}: is not a regular file")
    size = path.stat().st_size
    with path.open("rb") as stream:
        head = stream.read(8)
        length = struct.unpack("<Q", head)[0] if len(head) == 8 else 0
        if not 2 <= length <= min(HEADER, size - 8):
            raise HeaderError(f"{path.name}: claims a header of {length} bytes in a file of {size}")
        header = _header(stream.read(length), path)
    tensors = [_tensor(name, entry, path, 8 + length) for name, entry in header.items() if name != "__metadata__"]
    tensors.sort(key=lambda tensor: tensor.start)
    end = 8 + length
    for tensor in tensors:
        if tensor.start != end:
            raise HeaderError(
                f"{path.name}: {tensor.name} begins at byte {tensor.start}, not at {end}: hole or overlap"
            )
        end += tensor.size
    if end != size:
        raise HeaderError(f"{path.name}: its tensors end at byte {end}, the file at {size}: cut or padded")
    return {tensor.name: tensor for tensor in tensors}


def gguf(path: Path) -> Gguf:
    """The header of a GGUF file, read in a child process with limits (gate/checkpoints/probes/gguf.py). Raises
    HeaderError."""
    return _gguf(path, hashing.key(path))


@lru_cache(maxsize=4)
def _gguf(path: Path, _key: str) -> Gguf:
    _plausible(path)
    try:
        told = sandbox.run(
            "gate.checkpoints.probes.gguf", {"path": str(path)}, seconds=GGUF_SECONDS, memory=GGUF_MEMORY
        )
    except sandbox.LimitError as error:
        raise HeaderError(f"{path.name}: its header cannot be read: {error}") from error
    size = path.stat().st_size
    tensors = {}
    for name, type_, shape, start, nbytes in told["tensors"]:
        if start + nbytes > size:
            raise HeaderError(f"{path.name}: {name} ends at byte {start + nbytes}, the file at {size}: cut short")
        tensors[name] = Tensor(name, type_, tuple(shape), path, start, nbytes)
    return Gguf(told["metadata"], told["tokens"], told["texts"], tensors)


def _plausible(path: Path) -> None:
    """Refuse counts that no file of this size can hold, before anything counts to them."""
    size = path.stat().st_size
    with path.open("rb") as stream:
        head = stream.read(24)
    if len(head) < 24 or head[:4] != b"GGUF":
        raise HeaderError(f"{path.name}: is no GGUF file")
    version, tensors, fields = struct.unpack("<IQQ", head[4:])
    if version not in (2, 3):
        raise HeaderError(f"{path.name}: GGUF version {version} is none that llama.cpp reads")
    if tensors * GGUF_TENSOR + fields * GGUF_FIELD > size:
        raise HeaderError(f"{path.name}: claims {tensors} tensors and {fields} keys in {size} bytes")


def _header(raw: bytes, path: Path) -> dict[str, Any]:
    try:
        header = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise HeaderError(f"{path.name}: its header is not JSON: {error}") from error
    if not isinstance(header, dict):
        raise HeaderError(f"{path.name}: its header is not a JSON object")
    return header


def _tensor(name: str, entry: Any, path: Path, data: int) -> Tensor:
    try:
        type_, shape, (start, end) = entry["dtype"], tuple(entry["shape"]), entry["data_offsets"]
        whole = len(shape) <= DIMENSIONS and all(type(n) is int and 0 <= n < 2**63 for n in (*shape, start, end))
        size = math.prod(shape) * SIZES[type_] if whole else -1
    except (KeyError, TypeError, ValueError) as error:
        raise HeaderError(f"{path.name}: {name[:80]!r} is not described as the format wants: {error!r}") from error
    if size != end - start:
        raise HeaderError(
            f"{path.name}: {name[:80]!r} {type_} {str(list(shape))[:80]} cannot lie in bytes {start} to {end}"
        )
    return Tensor(name, type_, shape, path, data + start, size)
