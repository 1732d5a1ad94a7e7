"""Connects to a running server: any OpenAI-compatible endpoint."""

from __future__ import annotations

import json
import os
from dataclasses import replace

from gate.checkpoints import kinds
from gate.errors import AskError, ServeError
from gate.models.client import Client
from gate.models.runtime import UNKNOWN, Runtime, Serving, Start, by_name, unseeded
from gate.models.serving import llama_cpp, mlx
from gate.types import Checkpoint, Json, Server

SAMPLING: Json = {"temperature": 0.0, "top_p": 1.0, "presence_penalty": 0.0, "frequency_penalty": 0.0, "seed": 0}
"""The parameters that the OpenAI API defines; a strict server refuses any other."""
LOGPROBS: Json = {"logprobs": True, "top_logprobs": 2}
ATTEMPTS: tuple[Json, ...] = (SAMPLING | LOGPROBS, SAMPLING, {"temperature": 0.0, "max_completion_tokens": 1})
"""Sampling parameters, tried in this order: some servers refuse log-probabilities, some the older names."""
AT_ONCE = 4
"""Requests at once for a server that does not report how many it decodes together."""


def _start(checkpoint: Checkpoint, start: Start) -> Serving:
    """Identify the server. Raises ServeError when it cannot be reached or does not answer a one-token request."""
    start.say(f"asking {checkpoint.url} …")
    server = Server(
        url=checkpoint.url,
        model=checkpoint.served_name,
        runtime=RUNTIME.name,
        sampling={},
        reported={},
        key=os.environ.get(start.key, ""),
    )
    try:
        server = _with_accepted_sampling(_identify(server, start.timeout), start)
    except AskError as error:
        raise ServeError(f"{checkpoint.url} cannot be reached: {error}: is the server running?") from error
    return Serving(server, stop=lambda: None, alive=lambda: True)


def _identify(server: Server, timeout: float) -> Server:
    """The server with its runtime, its model's name and what it reports about itself."""
    with Client(server, timeout=timeout) as client:
        software, models = client.get("/v1/models")
        props = client.get_json("/props")
    names = sorted(str(model.get("id")) for model in models.get("data") or [] if isinstance(model, dict))
    reported: Json = {"server": software, "models": names}
    if "build_info" in props:
        slots = props.get("total_slots")
        server = replace(server, at_once=slots if isinstance(slots, int) and slots > 0 else 1)
        kept = ("build_info", "chat_template", "chat_template_caps", "model_path", "total_slots")
        reported |= {name: props[name] for name in kept if name in props}
        runtime, model = llama_cpp.RUNTIME.name, server.model or _only(names, server)
        return replace(server, runtime=runtime, reported=reported, model=model, cold=llama_cpp.COLD)
    if software.startswith("BaseHTTP/"):
        model = server.model or "default_model"
        return replace(server, runtime=mlx.RUNTIME.name, reported=reported, model=model, at_once=mlx.AT_ONCE)
    return replace(server, reported=reported, model=server.model or _only(names, server), at_once=AT_ONCE)


def _only(names: list[str], server: Server) -> str:
    if len(names) == 1:
        return names[0]
    raise ServeError(f"{server.url} serves {', '.join(names) or 'no named model'}: choose one with --served-name NAME")


def _with_accepted_sampling(server: Server, start: Start) -> Server:
    """The server with the first sampling parameters of ATTEMPTS with which it answers a one-token request."""
    refusal = ""
    for sampling in ATTEMPTS:
        candidate = replace(server, sampling=sampling)
        with Client(candidate, timeout=start.timeout) as client:
            status, text = client.ping()
        if status == 200:
            batch_sampling = unseeded(sampling) if by_name(server.runtime).seeded_sequential else None
            return replace(candidate, reported=server.reported | _fingerprint(text), batch_sampling=batch_sampling)
        refusal = refusal or f"HTTP {status}: {text[:500]}"
        if status not in (400, 422):
            break
    remedy = f" (set {start.key})" if "HTTP 401" in refusal or "HTTP 403" in refusal else ""
    raise ServeError(f"{server.url} does not answer a one-token request as {server.model!r}: {refusal}{remedy}")


def _fingerprint(text: str) -> Json:
    try:
        body = json.loads(text)
        return {name: body[name] for name in ("model", "system_fingerprint") if name in body}
    except (ValueError, TypeError) as error:
        raise ServeError(f"the one-token answer is not JSON: {text[:300]!r}") from error


RUNTIME = Runtime(name=UNKNOWN, kinds=(kinds.URL,), start=_start, versions=dict, at_once=AT_ONCE)
