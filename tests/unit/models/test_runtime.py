"""What differs between runtimes and kinds is in the registry of runtimes; nothing else compares their names."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from gate.checkpoints import kinds
from gate.errors import ServeError
from gate.models import runtime
from gate.types import Kind

ROOT = Path(__file__).parents[3]
FILES = [path for folder in ("gate", "trainers") for path in sorted((ROOT / folder).rglob("*.py"))]
NAMES = {kind.name for kind in kinds.KINDS} | {each.name for each in runtime.runtimes()}


def compared(code: str) -> list[int]:
    """Lines that compare a kind or runtime with a name of one, or that look it up in a table of such names."""
    return [node.lineno for node in ast.walk(ast.parse(code)) if isinstance(node, ast.expr) and _decides(node)]


def _decides(node: ast.expr) -> bool:
    match node:
        case ast.Compare(left=left, comparators=others):
            sides = [left, *others]
            return any(map(_is_kind, sides)) and any(_texts(side) & NAMES for side in sides)
        case ast.Dict(keys=keys):
            return len(names := {text for key in keys if key for text in _texts(key)}) > 1 and names <= NAMES
        case ast.Call(func=ast.Attribute(value=value, attr="startswith" | "endswith"), args=texts):
            begun = {begin for text in texts for begin in _texts(text)}
            return _is_kind(value) and any(begin in name for begin in begun for name in NAMES)
    return False


def _is_kind(node: ast.expr) -> bool:
    """Is it an expression like kind, checkpoint.kind, kind.name, server.runtime, row["kind"] or row.get("kind")?"""
    match node:
        case ast.Name(id=name) | ast.Subscript(slice=ast.Constant(value=name)):
            return name in ("kind", "runtime")
        case ast.Attribute(value=value, attr=name):
            return name in ("kind", "runtime") or (name == "name" and _is_kind(value))
        case ast.Call(func=ast.Attribute(attr="get"), args=[ast.Constant(value=name), *_]):
            return name in ("kind", "runtime")
        case ast.Call(func=ast.Name(id="str"), args=[value]):
            return _is_kind(value)
    return False


def _texts(node: ast.expr) -> set[str]:
    return {each.value for each in ast.walk(node) if isinstance(each, ast.Constant) and isinstance(each.value, str)}


def test_no_module_compares_a_kind_or_a_runtime_with_a_name() -> None:
    assert len(FILES) > 200
    comparisons = {str(path.relative_to(ROOT)): compared(path.read_text(encoding="utf-8")) for path in FILES}
    assert {path: lines for path, lines in comparisons.items() if lines} == {}


@pytest.mark.parametrize(
    "line",
    [
        'checkpoint.kind == "url"',
        'if "mlx_lm" != client.server.runtime: pass',
        'kind in ("gguf", "url")',
        'artifact.checkpoint.kind.name not in {"adapter", "mlx"}',
        'evidence.checkpoint["kind"] != "scripted"',
        'report.get("runtime", "") == "llama.cpp"',
        '{"mlx": 1, "gguf": 2}.get(kind)',
        'str(kind) == "gguf"',
        'server.runtime.startswith("llama")',
    ],
)
def test_such_a_comparison_is_seen(line: str) -> None:
    assert compared(line) == [1]


@pytest.mark.parametrize("line", ['secret.kind == "EMAIL"', 'recipe.kind == "persona"', "kind is MLX", 'name == "mlx"'])
def test_other_comparisons_are_allowed(line: str) -> None:
    assert compared(line) == []


def test_each_kind_of_the_gate_is_served_by_one_of_its_runtimes() -> None:
    served = [kind for each in runtime.runtimes() for kind in each.kinds]
    assert sorted(kind.name for kind in served) == sorted(kind.name for kind in kinds.kinds())
    assert all(kind in runtime.for_kind(kind).kinds for kind in served)


def test_a_kind_that_nothing_serves_is_an_error() -> None:
    with pytest.raises(ServeError, match="no runtime serves a checkpoint of kind cuneiform"):
        runtime.for_kind(Kind("cuneiform", "a tablet", lambda _: None))


def test_a_runtime_that_is_not_installed_is_treated_as_the_unknown_one() -> None:
    other = runtime.by_name("of somebody else")
    assert (other.name, other.raw, other.constrained) == ("unknown", None, True)
