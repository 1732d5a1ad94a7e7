"""What import-linter cannot hold: `make lint` checks the rooms and who imports what (pyproject.toml)."""

from __future__ import annotations

import ast
from collections.abc import Iterable
from pathlib import Path

import pytest

GATE = Path(__file__).parents[2] / "gate"
TRAINERS = GATE.parent / "trainers"
FOLDERS = sorted({path.parent for path in GATE.rglob("*.py")})


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda path: str(path.relative_to(GATE.parent)))
def test_a_folder_can_be_taken_in_at_a_glance(folder: Path) -> None:
    assert len(list(folder.glob("*.py"))) <= (6 if folder == GATE else 15)


@pytest.mark.parametrize("path", sorted(GATE.rglob("*.py")), ids=lambda path: str(path.relative_to(GATE)))
def test_gate_never_asserts(path: Path) -> None:
    """An AssertionError is how a suite says "miss"; one of ours would be counted as the model's."""
    assert not [n.lineno for n in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(n, ast.Assert)]


@pytest.mark.parametrize("path", sorted(GATE.rglob("*.py")), ids=lambda path: str(path.relative_to(GATE)))
def test_argparse_is_in_cli_alone(path: Path) -> None:
    """The scripted model is a program of its own."""
    own = path.relative_to(GATE).parts[0] == "cli" or path.name == "scripted_rules.py"
    assert own or "argparse" not in _imported(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))


@pytest.mark.parametrize("path", sorted(TRAINERS.rglob("*.py")), ids=lambda path: str(path.relative_to(TRAINERS)))
def test_mlx_is_imported_by_the_training_process_alone(path: Path) -> None:
    names = _imported(ast.parse(path.read_text(encoding="utf-8")).body)
    assert path.stem in ("engine", "loss", "model", "state") or not names & {"mlx", "mlx_lm"}


def _imported(nodes: Iterable[ast.AST]) -> set[str]:
    """The packages that some statements import."""
    found: set[str] = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add((node.module or "").partition(".")[0])
    return found
