"""What `import gate` promises to suites, notebooks and other tools."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import gate

PUBLIC = {
    *("Case", "Check", "Checkpoint", "Contract", "Finding", "Outcome", "Reply", "Report", "Result", "Verdict"),
    *("GateError", "AskError", "CaseError", "CheckpointError", "FetchError", "ReportError", "ServeError"),
    *("decide", "digest", "identify", "load_cases", "load_style", "parse_case", "read", "style_faults", "write"),
}


def test_the_public_names_are_these() -> None:
    """A name that goes, or takes another meaning, is a change that CHANGELOG.md announces."""
    assert set(gate.__all__) == PUBLIC
    assert list(gate.__all__) == sorted(gate.__all__)
    assert set(dir(gate)) >= PUBLIC


@pytest.mark.parametrize("name", sorted(PUBLIC))
def test_each_public_name_is_there_and_documented(name: str) -> None:
    assert getattr(gate, name).__doc__


def test_another_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        gate.nothing  # noqa: B018


def test_type_checkers_see_every_public_name() -> None:
    tree = ast.parse(Path(gate.__file__).read_text(encoding="utf-8"))
    block = next(node for node in tree.body if isinstance(node, ast.If))
    seen = {alias.asname or alias.name for node in block.body for alias in node.names}  # type: ignore[attr-defined]
    assert seen == PUBLIC


def test_importing_gate_imports_none_of_its_modules() -> None:
    code = "import sys, gate; print([name for name in sys.modules if name.startswith('gate.')])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
