"""Preflight in a run: before the checkpoint is served what its files show, and then what the server makes of it."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import pytest

from gate.errors import CheckpointError, GateError
from gate.plugin.progress import progress
from gate.preflight.artifact import Artifact, assembled
from gate.system.text import lines
from gate.types import Check, Server


class Preflight:
    """The artifact, and the checks that were made of it."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self.artifact = self._assembled()
        self.checks: tuple[Check, ...] = ()

    def look(self, server: Server | None = None) -> None:
        """Make the checks on files, or those on a server. Raises CheckpointError where one refuses the artifact."""
        if not self.artifact.checkpoint.kind.preflight:
            return
        from gate.preflight.registry import inspect, worst
        from gate.preflight.table import counted, findings

        began, say = time.monotonic(), progress(self._config)
        say("preflight …")
        artifact = replace(self.artifact, server=server) if server else self.artifact
        made = inspect(artifact, asking=server is not None)
        self.checks += made
        if worst(made) == "refuse":
            raise CheckpointError("preflight refuses it:\n\n" + lines("\n\n".join(findings(made))))
        if server is None:
            say(f"preflight: {counted(made)}; {time.monotonic() - began:.1f} s")

    def _assembled(self) -> Artifact:
        option = self._config.getoption
        try:
            return assembled(
                option("gate_model"),
                base=option("gate_base"),
                against=option("gate_against"),
                train=option("gate_train"),
                fixtures=self._config.rootpath / Path(self._config.getini("gate_fixtures")),
                served_name=option("gate_served_name"),
            )
        except GateError as error:
            raise pytest.UsageError(str(error)) from error
