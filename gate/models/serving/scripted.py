"""Serve a scripted model, for testing suites and the gate itself: `pytest --model scripted:answers.jsonl`.

gate/models/serving/scripted_rules.py tells what a line of the file may say.
"""

from __future__ import annotations

import os
from pathlib import Path

from gate.errors import CaseError, ServeError
from gate.models import determinism
from gate.models.serving.process import Serving, Start, free_port, serve
from gate.models.serving.scripted_rules import read_rules
from gate.system import platform
from gate.types import Checkpoint, Json, Server

SAMPLING: Json = {"temperature": 0.0, "top_p": 1.0, "seed": 0, "logprobs": True, "top_logprobs": 2}
TOGETHER: Json = {name: value for name, value in SAMPLING.items() if name != "seed"}
AT_ONCE = 8


def pytest_gate_serve(checkpoint: Checkpoint, start: Start) -> Serving | None:
    """The hook for kind scripted. Raises ServeError for a bad script."""
    if checkpoint.kind != "scripted":
        return None
    try:
        rules = read_rules(Path(str(checkpoint.path)))
    except CaseError as error:
        raise ServeError(str(error)) from error
    port = free_port()
    command = [*platform.PYTHON, "-m", "gate.models.serving.scripted_rules", str(checkpoint.path), "--port", str(port)]
    command += [part for prompt in determinism.PROMPTS for part in ("--always", prompt)]
    runtime = next((rule["runtime"] for rule in rules if "runtime" in rule), "scripted")
    told = {"rules": len(rules)}
    url = f"http://127.0.0.1:{port}/v1"
    server = Server(url, "scripted", runtime, SAMPLING, told, at_once=AT_ONCE, together=TOGETHER)
    return serve(command, server=server, port=port, environment=os.environ, name="scripted server", start=start)
