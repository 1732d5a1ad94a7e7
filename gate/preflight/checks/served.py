"""P07, P08, P13 on a llama-server that has loaded the artifact, and how it is asked; nothing is generated.

Source: llama.cpp tools/server/README.md: /props, /apply-template, /tokenize; an assistant message at the end is
continued, and the parser sees it with what follows (common/chat.cpp, `common_chat_peg_parse`).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from gate.errors import AskError
from gate.models.client import Client
from gate.preflight import golden_conversations
from gate.preflight.artifact import Artifact, NotPossible, once
from gate.preflight.checks import chat_template, tokenizer
from gate.preflight.rule import rule
from gate.types import Json, Server

SECONDS = 60.0


@rule("P24", "refuse", kinds="gguf url", remedy="convert it again, or serve it with another build", served=True)
def the_server_loads_it(artifact: Artifact) -> Sequence[str]:
    """The server loads the checkpoint and answers."""
    if artifact.unserved:
        return [artifact.unserved]
    _server(artifact)
    return []


@rule(
    "P06",
    "refuse",
    kinds="gguf",
    remedy="convert again; a template given to another server is not in the file",
    served=True,
)
def server_uses_the_template(artifact: Artifact) -> Sequence[str]:
    """The chat template that llama-server uses is the one in the file."""
    given, own = props(artifact).get("chat_template"), chat_template.templates(artifact)[chat_template.DEFAULT]
    return [] if isinstance(given, str) and given.strip() == own.strip() else ["it uses another"]


@rule(
    "P07",
    "fail",
    kinds="gguf",
    remedy="a template that its engine renders otherwise: simplify it, or serve with another build",
    served=True,
)
def server_renders_alike(artifact: Artifact) -> Sequence[str]:
    """llama-server makes the same tokens of every golden conversation as jinja2 with the same template."""
    told = chat_template.rendered(artifact)[chat_template.DEFAULT]["renders"]
    faults = []
    for name, (messages, tools) in golden_conversations.CONVERSATIONS.items():
        given = prompt(artifact, messages, tools)
        wanted = told[name]
        if isinstance(given, str) != isinstance(wanted, str) or (
            isinstance(given, str) and _differs(artifact, given, wanted)
        ):
            faults.append(f"{name}: {str(given)[-160:]!r} against {str(wanted)[-160:]!r}")
    return faults


@rule("P07", "fail", kinds="gguf", remedy="convert again, with the folder's own tokenizer and template", served=True)
def server_agrees_with_the_base(artifact: Artifact) -> Sequence[str]:
    """llama-server and transformers, on the base's folder, make the same tokens of every golden conversation."""
    renders = tokenizer.base_tokens(artifact)["renders"]
    faults = []
    for name, (messages, tools) in golden_conversations.CONVERSATIONS.items():
        given, wanted = prompt(artifact, messages, tools), renders[name]["transformers"]
        ids = numbers(artifact, given) if isinstance(given, str) else given
        if ids != wanted and isinstance(wanted, list):
            faults.append(f"{name}: {tokenizer.difference(ids, wanted)}")
    return faults


@rule(
    "P08",
    "fail",
    kinds="gguf",
    remedy="set tokenizer.ggml.add_bos_token to false, or take the BOS out of the template",
    served=True,
)
def server_adds_one_bos(artifact: Artifact) -> Sequence[str]:
    """A prompt, as llama-server makes tokens of it, begins with at most one BOS."""
    bos = artifact.gguf.metadata.get("tokenizer.ggml.bos_token_id")
    prompts = {name: prompt(artifact, *talk) for name, talk in golden_conversations.CONVERSATIONS.items()}
    ids = {name: numbers(artifact, text) for name, text in prompts.items() if isinstance(text, str)}
    counts = {name: tokenizer.leading(given, bos) for name, given in ids.items()}
    return [f"{name}: begins with {count} BOS" for name, count in counts.items() if count > 1]


@rule(
    "P13",
    "fail",
    kinds="gguf",
    remedy="convert again: the GGUF's pre-tokenizer or vocabulary is not the base's",
    served=True,
)
def server_reads_the_same_tokens(artifact: Artifact) -> Sequence[str]:
    """llama-server and the base's tokenizer make the same tokens of every text of a torture corpus."""
    wanted = tokenizer.base_tokens(artifact)["corpus"]
    pairs = [
        (text, numbers(artifact, text, special=False), facts["ids"])
        for text, facts in zip(golden_conversations.CORPUS, wanted, strict=True)
    ]
    return [f"{text[:40]!r}: {tokenizer.difference(given, ids)}" for text, given, ids in pairs if given != ids]


@once
def props(artifact: Artifact) -> Json:
    """What /props tells. Raises NotPossible where the server is not a llama-server."""
    server = _server(artifact)
    try:
        with Client(server, timeout=SECONDS) as client:
            told = client.get_json("/props")
    except AskError as error:
        raise NotPossible(str(error)) from error
    if not told:
        raise NotPossible("it is not a llama-server")
    return told


def prompt(artifact: Artifact, messages: list[Json], tools: list[Json]) -> str | Json:
    """A conversation's prompt by /apply-template, or {"error"}."""
    try:
        given = _post(artifact, "/apply-template", {"messages": messages} | ({"tools": tools} if tools else {}))
    except NotPossible as error:
        return {"error": str(error)}
    return str(given.get("prompt"))


def numbers(artifact: Artifact, text: str, *, special: bool = True) -> list[int]:
    """A text's token ids by /tokenize; `special` adds what the server adds to a prompt."""
    given = _post(artifact, "/tokenize", {"content": text, "add_special": special, "parse_special": True})
    return list(given.get("tokens") or [])


def turn(artifact: Artifact, name: str) -> str | Json:
    """What the template writes for a golden call, without the stop token; or {"error"}."""
    text = chat_template.rendered(artifact)[chat_template.DEFAULT]["turns"][name]
    if isinstance(text, dict):
        return dict(text)
    stops = [artifact.gguf.texts.get(f"{stop}_token_id", "") for stop in ("eos", "eot", "eom")]
    cuts = [text.index(stop) for stop in stops if stop and stop in text]
    return str(text)[: min(cuts, default=len(text))]


def parsed(artifact: Artifact, text: str) -> list[Json]:
    """The calls that the server makes of a turn with this text: it is given as begun, and must stop at once."""
    told = props(artifact)
    stop = numbers(artifact, str(told.get("eos_token")), special=False)
    body: Json = {
        "model": _server(artifact).model,
        "messages": [{"role": "user", "content": "Do it."}, {"role": "assistant", "content": text}],
        "tools": golden_conversations.CALL_TOOLS,
        "max_tokens": 2,
        "temperature": 0,
        "logit_bias": [[stop[-1], 1000]],
    }
    message = (_post(artifact, "/v1/chat/completions", body).get("choices") or [{}])[0].get("message") or {}
    functions = [call["function"] for call in message.get("tool_calls") or []]
    return [{"name": one["name"], "arguments": _object(one["arguments"])} for one in functions]


def _differs(artifact: Artifact, given: str, wanted: str) -> bool:
    """Do they differ, but for a BOS that the server strips from the text because it adds one?"""
    bos = artifact.gguf.texts.get("bos_token_id", "")
    if given == wanted:
        return False
    return numbers(artifact, given.removeprefix(bos)) != numbers(artifact, wanted.removeprefix(bos))


def _object(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def _server(artifact: Artifact) -> Server:
    if artifact.server is None:
        raise NotPossible("it is not served")
    return artifact.server


def _post(artifact: Artifact, path: str, body: Json) -> Json:
    try:
        with Client(_server(artifact), timeout=SECONDS) as client:
            return client.post_json(path, body)
    except AskError as error:
        raise NotPossible(str(error)) from error
