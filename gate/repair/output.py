"""A repair on disk: a folder that is there whole or not at all, and its manifest.

Everything is written beside the folder, as `.NAME.part`; then the cases are recorded as contaminated; then one rename
puts it in place. So no row can be seen whose case still counts. A run that was killed in between has contaminated cases
and no rows, and is finished by the same command, which removes what is left beside and builds the same bytes again.
"""

from __future__ import annotations

import json
import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from gate.errors import GateError
from gate.repair.build import Built
from gate.repair.rows import Row, as_json
from gate.repair.split import SPLITS
from gate.system import disk
from gate.system.hashing import sha256
from gate.types import Json

MANIFEST, PAIRS = "manifest.json", "pairs.jsonl"


class PlaceError(GateError):
    """The repair cannot be written where it was asked for."""


def clear(folder: Path) -> None:
    """Remove what a killed run has left beside: rows that nobody was told of, and whose cases may not be recorded."""
    shutil.rmtree(_beside(folder), ignore_errors=True)


def write(folder: Path, built: Built, facts: Json, record: Callable[[str], int], *, as_text: bool) -> int:
    """Write a repair, if it is not there already, and record its cases before it can be seen; how many are new.

    `facts`: what the manifest says besides the counts. `record` is given the manifest's sha256; what it raises goes on.
    Raises PlaceError.
    """
    part = _beside(folder)
    try:
        manifest = _filled(part, built, facts, as_text=as_text)
        there = _there(part, folder)
    except OSError as error:
        clear(folder)
        raise PlaceError(
            f"{folder}: cannot be written: {error}: nothing was built and no case is contaminated"
        ) from error
    try:
        new = record(manifest)
        if not there:
            os.replace(part, folder)
            disk.sync_folder(folder.parent)
    except OSError as error:
        raise PlaceError(
            f"{folder}: cannot be put in its place: {error}: its cases are contaminated and have no rows yet: fix that "
            "and give the same command again"
        ) from error
    finally:
        clear(folder)
    return new


def counts(built: Built) -> Json:
    """Every row by split, category and origin, and every drop by its reason."""
    made = {name: Counter((row.category, row.origin) for row in built.parts[name]) for name in SPLITS}
    drops = sorted(built.dropped.items())
    return {
        "rows": {name: dict(sorted(Counter(row.category for row in built.parts[name]).items())) for name in SPLITS},
        "origins": [
            {"category": kind, "origin": origin, "drawn": number} | {name: made[name][kind, origin] for name in SPLITS}
            for (kind, origin), number in sorted(built.drawn.items())
        ],
        "dropped": [{"category": k, "origin": o, "why": why, "rows": n} for (k, o, why), n in drops],
        "short": {kind: number for kind, number in sorted(built.short.items()) if number},
        "not built": [{"case": case, "why": why} for case, why in built.unbuilt],
        "pairs": {"built": len(built.pairs), "not built": dict(sorted(built.unpaired.items()))},
    }


def _beside(folder: Path) -> Path:
    return folder.with_name(f".{folder.name}.part")


def _filled(part: Path, built: Built, facts: Json, *, as_text: bool) -> str:
    """Write everything into a new folder, and bring it to disk; the sha256 of the manifest. Raises OSError."""
    part.parent.mkdir(parents=True, exist_ok=True)
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir()
    hashes = {f"{name}": _lines(part / f"{name}.jsonl", _plain(built.parts[name], as_text)) for name in SPLITS}
    hashes |= {"pairs": _lines(part / PAIRS, built.pairs)}
    told = facts | counts(built) | {"sha256": {name: value for name, value in hashes.items() if value}}
    manifest = _lines(part / MANIFEST, [told], indent=1)
    disk.sync_folder(part)
    return manifest


def _there(part: Path, folder: Path) -> bool:
    """Is the same repair in its place already? Raises PlaceError where something else is."""
    if not folder.exists() or not any(folder.iterdir()):
        return False
    own = {path.name: sha256(path, fresh=True) for path in part.iterdir()}
    there = {path.name: sha256(path, fresh=True) for path in folder.iterdir() if path.is_file()}
    if own.items() <= there.items() and not (there.keys() - own.keys()) & {f"{name}.jsonl" for name in SPLITS}:
        return True
    clear(folder)
    raise PlaceError(f"{folder}: holds something else already: name another folder with -o")


def _plain(rows: Iterable[Row], as_text: bool) -> Iterable[Json]:
    return (as_json(row, as_text=as_text) for row in rows)


def _lines(path: Path, values: Iterable[Any], indent: int | None = None) -> str:
    """Write values, a line each, and bring them to disk; their sha256. No file where there are none."""
    with path.open("w", encoding="utf-8") as stream:
        for value in values:
            stream.write(json.dumps(value, ensure_ascii=False, indent=indent) + "\n")
        stream.flush()
        os.fsync(stream.fileno())
    if not path.stat().st_size:
        path.unlink()  # mlx-lm stops at an empty file, and goes on without one
        return ""
    return sha256(path, fresh=True)
