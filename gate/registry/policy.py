"""What a promotion demands beyond PASS, and which suites there are today."""

from __future__ import annotations

import ast
import math
import os
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from pathlib import Path, PurePosixPath
from typing import Any

from gate.errors import GateError
from gate.models.batch_invariance import WAYS
from gate.system.hashing import sha256

SECTION = "pytest-gate"


class PolicyError(GateError):
    """pyproject.toml's section [tool.pytest-gate] asks for what there is not."""


@dataclass(frozen=True, slots=True)
class Policy:
    """The section [tool.pytest-gate] of pyproject.toml."""

    max_age_days: float = 7.0
    """Days after which a report is too old."""
    min_cases: int = 20
    """Fewest cases, of tests that are no smoke tests, that a promotion stands on."""
    exact: bool = False
    """Demand that the determinism canary found all answers equal: alone, batched and cold."""
    asked: str = "together"
    """The laxest way to ask that is accepted (gate.models.batch_invariance.WAYS): together, settled or alone."""
    cached: bool = False
    """Accept answers that were given in an earlier run."""
    slots: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """The suites that a slot demands, by its name: files or folders from the project. A slot not named demands all."""

    def demanded(self, slot: str, place: str) -> bool:
        """Is this test file, named from the project, one that must be asked for a slot?"""
        wanted = self.slots.get(slot)
        return wanted is None or any(PurePosixPath(place).is_relative_to(each) for each in wanted)


def read(project: Path) -> Policy:
    """The project's policy; the defaults where it gives none. Raises PolicyError."""
    try:
        text = (project / "pyproject.toml").read_text(encoding="utf-8")
        tools = tomllib.loads(text).get("tool", {})
        given: Any = tools.get(SECTION, {}) if isinstance(tools, dict) else tools
    except FileNotFoundError:
        return Policy()
    except (OSError, ValueError) as error:
        raise PolicyError(f"{project / 'pyproject.toml'}: cannot be read: {error}") from error
    if not isinstance(given, dict):
        raise PolicyError(f"{project / 'pyproject.toml'}: [tool.{SECTION}] must be one table")
    named = given.pop("slots", {})
    known = {each.name: type(each.default) for each in fields(Policy) if each.name != "slots"}
    for name, value in given.items():
        if name not in known or not _fits(value, known[name]):
            raise PolicyError(
                f"[tool.{SECTION}] {name} = {value!r}: known are {', '.join(known)}, numbers and booleans, and slots"
            )
    if given.get("asked", WAYS[0]) not in WAYS:
        raise PolicyError(f"[tool.{SECTION}] asked = {given['asked']!r}: known are {', '.join(WAYS)}")
    return Policy(**given, slots=_slots(named, project))


def _slots(given: Any, project: Path) -> dict[str, tuple[str, ...]]:
    """Which suites each slot demands: each of them must be there."""
    if not isinstance(given, dict):
        raise PolicyError(f'[tool.{SECTION}.slots]: expected hermes = ["suites/hermes"], found {given!r}')
    for slot, paths in given.items():
        if not (isinstance(paths, list) and paths and all(isinstance(path, str) and path for path in paths)):
            raise PolicyError(f"[tool.{SECTION}.slots] {slot} = {paths!r}: expected a list of files or folders")
        for path in paths:
            if PurePosixPath(path).is_absolute() or ".." in PurePosixPath(path).parts:
                raise PolicyError(f"[tool.{SECTION}.slots] {slot}: {path!r} must be a plain path from the project")
            if not (project / path).exists():
                raise PolicyError(f"[tool.{SECTION}.slots] {slot}: there is no {path}")
    return {slot: tuple(PurePosixPath(path).as_posix() for path in paths) for slot, paths in given.items()}


def suites(folder: Path) -> dict[str, str]:
    """sha256 of every file of the suites, by its name from the folder, and of the conftest.py above it.

    Links are followed, as pytest follows them, each folder once; what pytest and Python write beside the suites is
    left out. Raises PolicyError.
    """
    found = {}
    seen: set[str] = set()
    for place, folders, names in os.walk(folder, followlinks=True, onerror=_refuse):
        seen.add(os.path.realpath(place))
        folders[:] = sorted(name for name in folders if name != "__pycache__" and not name.startswith("."))
        folders[:] = [name for name in folders if os.path.realpath(Path(place) / name) not in seen]
        for path in (Path(place) / name for name in sorted(names)):
            if path.is_file():
                found[path.relative_to(folder).as_posix()] = sha256(path, fresh=True)
    above = folder.parent / "conftest.py"
    return found | ({"../conftest.py": sha256(above, fresh=True)} if above.is_file() else {})


def judges(project: Path, suites: Path) -> dict[str, str]:
    """sha256 of what a run has imported from the project beside its suites, by its path from their folder."""
    found = {}
    for module in list(sys.modules.values()):
        file = getattr(module, "__file__", None) or ""
        if not file.startswith(str(project)):  # thousands of modules are elsewhere, and a Path is slow to make
            continue
        path = Path(file)
        inside = path.is_relative_to(project) and not path.is_relative_to(suites) and path.is_file()
        if inside and "site-packages" not in path.parts and path != suites.parent / "conftest.py":
            found[os.path.relpath(path, suites)] = sha256(path, fresh=True)
    return found


def gated(path: Path) -> set[str]:
    """The functions of a suite's file that bear the marker `gate`, those of classes as Class::function.

    Read, not run: whatever a setting or a command line leaves out is still found. Raises PolicyError.
    """
    try:
        tree = ast.parse(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, SyntaxError) as error:
        raise PolicyError(f"{path}: cannot be read: {error}") from error
    return set(_marked(tree.body, ""))


def _marked(body: list[ast.stmt], within: str) -> Iterator[str]:
    for node in body:
        if isinstance(node, ast.ClassDef):
            yield from _marked(node.body, f"{within}{node.name}::")
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            marks = [each.func if isinstance(each, ast.Call) else each for each in node.decorator_list]
            if any(isinstance(mark, ast.Attribute) and mark.attr == "gate" for mark in marks):
                yield within + node.name


def _refuse(error: OSError) -> None:
    raise PolicyError(f"{error.filename}: a folder of the suites cannot be read: {error.strerror}") from error


def _fits(value: Any, type_: type) -> bool:
    if type_ in (bool, str) or isinstance(value, (bool, str)):
        return type(value) is type_
    return isinstance(value, int if type_ is int else (int, float)) and 0 <= value < math.inf
