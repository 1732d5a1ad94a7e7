"""Refuses rows of a repair whose cases are not recorded as contaminated: they would still count as unseen.

A repair's manifest is in the folder of its rows and names the cases and the registry. A relative path is that from the
project; a registry with an absolute path that is not on this machine cannot be checked.
"""

from __future__ import annotations

from pathlib import Path

from gate.errors import CaseError
from gate.registry import contaminated
from gate.system import jsonl
from gate.types import Json
from trainers.recipe import RecipeError

MANIFEST = "manifest.json"


def check(rows: list[Path], project: Path) -> None:
    """Raises RecipeError for rows of a repair whose cases are not contaminated, LedgerError for a broken ledger."""
    for folder in dict.fromkeys(path.parent for path in rows):
        manifest = _manifest(folder / MANIFEST)
        cases, registry = manifest.get("contaminated"), project / str(manifest.get("registry", ""))
        if manifest.get("command", [])[:2] != ["gate", "repair"] or not isinstance(cases, dict):
            continue
        if not registry.exists() and Path(manifest["registry"]).is_absolute():
            print(
                f"{folder}: the registry {registry} is not here: whether its cases are contaminated cannot be checked"
            )
        elif missing := sorted(str(cases[mark]) for mark in cases.keys() - contaminated.recorded(registry).keys()):
            raise RecipeError(
                f"{folder}: {len(missing)} of its cases are not recorded in {contaminated.path(registry)}, the first "
                f"{missing[0]}: bring that registry here, or give the same `gate repair` again"
            )


def _manifest(path: Path) -> Json:
    if not path.is_file():
        return {}
    try:
        value = jsonl.loads(path.read_text(encoding="utf-8"), where=str(path))
    except (OSError, UnicodeDecodeError, CaseError) as error:
        raise RecipeError(f"{path}: cannot be read: {error}") from error
    return value if isinstance(value, dict) else {}
