"""The project's policy in pyproject.toml, and the digests of its suites."""

from __future__ import annotations

import ast
import os
import sys
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Annotated, Literal

from msgspec import Meta, Struct, field, structs

from gate.errors import GateError
from gate.models.batch_invariance import MODES
from gate.system import typed
from gate.system.hashing import sha256

SECTION = "pytest-gate"
Paths = Annotated[tuple[Annotated[str, Meta(min_length=1)], ...], Meta(min_length=1)]
if TYPE_CHECKING:
    Mode = str
else:
    Mode = Literal[MODES]


class PolicyError(GateError):
    """pyproject.toml's section [tool.pytest-gate] asks for what there is not."""


class Policy(Struct, frozen=True, forbid_unknown_fields=True):
    """The section [tool.pytest-gate] of pyproject.toml."""

    max_age_days: Annotated[float, Meta(ge=0)] = 7.0
    """Days after which a report is too old."""
    min_cases: Annotated[int, Meta(ge=0)] = 20
    """Fewest cases, of tests that are no smoke tests, that a promotion stands on."""
    exact: bool = False
    """Demand that the determinism probe found all answers equal: one at a time, batched and cold."""
    asked: Mode = MODES[0]
    """The laxest mode of asking that is accepted: batched, verified or sequential (gate.models.batch_invariance)."""
    cached: bool = False
    """Accept answers that were given in an earlier run."""
    max_p95_seconds: Annotated[float, Meta(gt=0)] | None = None
    """Seconds that the 95th percentile of the warm requests of a test may take, smoke tests aside; for every verdict
    on this project's reports, not for promotion alone."""
    slots: dict[str, Paths] = {}
    """The suites that a slot demands, by its name: files or folders from the project. A slot not named demands all."""

    def demanded(self, slot: str, place: str) -> bool:
        """Is this test file, named from the project, one that must be asked for a slot?"""
        wanted = self.slots.get(slot)
        return wanted is None or any(PurePosixPath(place).is_relative_to(each) for each in wanted)


class _Tools(Struct, frozen=True):
    gate: Policy = field(name=SECTION, default=Policy())


class _Project(Struct, frozen=True):
    """pyproject.toml: other sections are other tools'."""

    tool: _Tools = _Tools()


def read(project: Path) -> Policy:
    """The project's policy; the defaults where it gives none. Raises PolicyError."""
    path = project / "pyproject.toml"
    policy = typed.read(path, _Project, error=PolicyError).tool.gate if path.exists() else Policy()
    for slot, paths in policy.slots.items():
        for each in paths:
            where = f"{path}: tool.{SECTION}.slots.{slot}: {each!r}"
            if PurePosixPath(each).is_absolute() or ".." in PurePosixPath(each).parts:
                raise PolicyError(f"{where} must be a plain path from the project")
            if not (project / each).exists():
                raise PolicyError(f"{where} is not there")
    slots = {slot: tuple(PurePosixPath(each).as_posix() for each in paths) for slot, paths in policy.slots.items()}
    return structs.replace(policy, slots=slots)


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
