"""The workflow that runs on somebody's own machine keeps its guards; actionlint and zizmor look at the rest."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

FOLDER = Path(__file__).parents[2] / ".github" / "workflows"


@pytest.fixture
def gate() -> Any:
    return yaml.safe_load((FOLDER / "gate.yml").read_text())


def test_a_fork_or_a_pull_request_never_reaches_the_runner(gate: Any) -> None:
    triggers = gate[True]  # YAML 1.1 reads `on` as a boolean
    assert set(triggers) == {"push", "workflow_dispatch"}
    assert set(triggers["push"]) == {"tags"}
    job = gate["jobs"]["gate"]
    assert "vars.GATE_REPOSITORY" in job["if"]
    assert "!github.event.repository.fork" in job["if"]
    assert job["runs-on"] == ["self-hosted", "macOS", "ARM64"]
    assert (gate["permissions"], job["permissions"], job["environment"]) == ({}, {"contents": "read"}, "gate")
    assert gate["concurrency"]["cancel-in-progress"] is False


def test_it_promotes_after_exit_0_alone_and_mutes_commands_while_a_model_speaks(gate: Any) -> None:
    steps = {step.get("name", step.get("uses")): step for step in gate["jobs"]["gate"]["steps"]}
    assert steps["promote"]["if"].startswith("success()")
    lines = steps["gate"]["run"].splitlines()
    stop, run = (next(n for n, line in enumerate(lines) if text in line) for text in ("stop-commands", "gate run"))
    assert stop < run
    assert 'exit "$status"' in lines[-1]


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.yml")), ids=lambda path: path.name)
def test_actions_are_pinned_and_no_expression_is_pasted_into_a_shell(path: Path) -> None:
    steps = [step for job in yaml.safe_load(path.read_text())["jobs"].values() for step in job["steps"]]
    assert all(re.fullmatch(r"[\w./-]+@[0-9a-f]{40}", step["uses"]) for step in steps if "uses" in step)
    assert not any("${{" in step.get("run", "") for step in steps)
