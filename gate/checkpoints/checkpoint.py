"""Identify a checkpoint, list the files that belong to it, and compute the digest of their bytes."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import NamedTuple

from gate.checkpoints import kinds
from gate.checkpoints.untrusted import path_named
from gate.errors import CheckpointError
from gate.system import hashing
from gate.system.hashing import sha256
from gate.types import Checkpoint, Graded, Named, Server


class Hashed(NamedTuple):
    """What a file's bytes are."""

    sha256: str
    size: int


def identify(text: str, *, base: str | None = None, served_name: str = "") -> Checkpoint:
    """Say what `--model` names. Raises CheckpointError that says what was found and what would do.

    The kinds of plugins are asked before those of the gate: one of these takes any folder for a model.
    """
    if base and not (Path(text) / "adapter_config.json").is_file():
        raise CheckpointError(f"--base belongs to an adapter, and {text} is none (it has no adapter_config.json)")
    if served_name and not kinds.is_url(text):
        raise CheckpointError(f"--served-name belongs to a URL, and {text} is none")
    named = Named(text, base, served_name)
    for kind in kinds.kinds():
        if found := kind.recognize(named):
            return found
    why = "there is no such path" if path_named(text) is None else "this file cannot be graded"
    raise CheckpointError(f"--model {text}: {why}. Wanted: {'; '.join(kind.form for kind in kinds.kinds())}")


def files(checkpoint: Checkpoint) -> dict[str, Path]:
    """Every file whose bytes are the checkpoint, by relative name; an adapter's base stands under `base/`.

    Hidden files are no part of it: Finder and version control write them, and no runtime reads them.
    """
    if checkpoint.path is None:
        return {}
    if checkpoint.path.is_file():
        return {part.name: part for part in kinds.parts(checkpoint.path)}
    found, base = _tree(checkpoint.path, ""), _tree(checkpoint.base, "base/") if checkpoint.base else {}
    if twice := found.keys() & base.keys():
        raise CheckpointError(f"{checkpoint.path / min(twice)}: an adapter has no folder base/: it is its base's name")
    return found | base


def hashes(checkpoint: Checkpoint, *, fresh: bool = False) -> dict[str, Hashed]:
    """sha256 and size of each of the checkpoint's files by name; `fresh` hashes every byte again.

    Raises CheckpointError when a file cannot be read.
    """
    found = {}
    for name, path in sorted(files(checkpoint).items()):
        try:
            found[name] = Hashed(sha256(path, fresh=fresh), path.stat().st_size)
        except OSError as error:
            raise CheckpointError(f"{path}: cannot be read: {error.strerror}") from error
    return found


def digest_of(found: dict[str, Hashed]) -> str:
    """sha256 over the sorted lines `sha256 size name` of the files."""
    lines = [f"{each.sha256} {each.size} {name}\n" for name, each in sorted(found.items())]
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def digest(checkpoint: Checkpoint) -> str:
    """The checkpoint's digest; what is remembered of unchanged files counts. Raises CheckpointError."""
    return digest_of(hashes(checkpoint))


def touched(checkpoint: Checkpoint) -> tuple[str, ...]:
    """By what one sees that a file was written, even where it holds the same again. Raises CheckpointError."""
    try:
        return tuple(hashing.key(path) for _, path in sorted(files(checkpoint).items()))
    except OSError as error:
        raise CheckpointError(f"a file of the checkpoint is gone: {error}") from error


def described(checkpoint: Checkpoint, server: Server, *, digest: str) -> Graded:
    """What a report says of the checkpoint, whose files had this digest before they were served.

    Of a URL the bytes are not known: its digest is over what its server tells, and marked unverified.
    """
    kind, size = checkpoint.kind, None
    if kind.verified:
        size = sum(path.stat().st_size for path in files(checkpoint).values())
    else:
        digest = hashlib.sha256(json.dumps([server.model, server.reported], sort_keys=True).encode()).hexdigest()
    return Graded(
        kind=kind.name,
        name=checkpoint.name,
        where=checkpoint.where,
        digest=digest,
        verified=kind.verified,
        bytes=size,
        family=kind.family(checkpoint),
        base=str(checkpoint.base) if checkpoint.base else None,
    )


def _tree(folder: Path, prefix: str) -> dict[str, Path]:
    """Every file that is not hidden, through links to folders as well, each folder once."""
    found, seen = {}, set()
    for place, folders, names in os.walk(folder, followlinks=True):
        seen.add(os.path.realpath(place))
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        folders[:] = [name for name in folders if os.path.realpath(Path(place) / name) not in seen]
        for path in (Path(place) / name for name in names if not name.startswith(".")):
            if path.is_file():
                found[prefix + path.relative_to(folder).as_posix()] = path
    return found
