"""Serves a scripted model, for testing suites and the gate itself: `pytest --model scripted:answers.jsonl`.

gate/models/serving/scripted_rules.py documents the file.
"""

from __future__ import annotations

import os
from pathlib import Path

from gate.checkpoints import kinds
from gate.errors import CaseError, ServeError
from gate.models import determinism
from gate.models.client import Client
from gate.models.raw_completion import applied_template, completion
from gate.models.runtime import RawView, Runtime, Serving, Start, unseeded
from gate.models.serving.process import free_port, serve
from gate.models.serving.scripted_rules import read_rules
from gate.system import platform
from gate.types import Checkpoint, Json, Raw, Server

SAMPLING: Json = {"temperature": 0.0, "top_p": 1.0, "seed": 0, "logprobs": True, "top_logprobs": 2}
AT_ONCE = 8


def _start(checkpoint: Checkpoint, start: Start) -> Serving:
    """Start the server, under the name of another runtime where a rule has one. Raises ServeError for a bad script."""
    try:
        rules = read_rules(Path(str(checkpoint.path)))
    except CaseError as error:
        raise ServeError(str(error)) from error
    port = free_port()
    command = [*platform.PYTHON, "-m", "gate.models.serving.scripted_rules", str(checkpoint.path), "--port", str(port)]
    command += [part for prompt in determinism.PROMPTS for part in ("--always", prompt)]
    runtime = next((rule["runtime"] for rule in rules if "runtime" in rule), RUNTIME.name)
    url = f"http://127.0.0.1:{port}/v1"
    reported = {"rules": len(rules)}
    server = Server(url, RUNTIME.name, runtime, SAMPLING, reported, at_once=AT_ONCE, batch_sampling=unseeded(SAMPLING))
    return serve(command, server=server, port=port, environment=os.environ, name="scripted server", start=start)


def _ask(client: Client, raw: Raw, sequential: bool) -> tuple[Raw, list[int]]:
    return completion(client, raw, sequential=sequential)[0], []


RUNTIME = Runtime(
    name="scripted",
    kinds=(kinds.SCRIPTED,),
    start=_start,
    versions=dict,
    raw=RawView(applied_template, _ask),
    at_once=AT_ONCE,
)
