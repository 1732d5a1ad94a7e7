"""Calls between special tokens, with another special token between name and arguments.

DeepSeek 3 and 3.1 (vLLM deepseek_v3 and deepseek_v31), Kimi K2 (mlx_lm.tool_parsers.kimi_k2), GPT-OSS harmony (SGLang
gpt_oss_detector), GigaChat 3 (SGLang gigachat3_detector).
"""

from __future__ import annotations

import re

from gate.models.tool_calls import objects, payload
from gate.models.tool_calls.source import FENCE, Reading, Source
from gate.models.tool_calls.tools import Tools
from gate.types import Json

_SEPARATOR = re.compile(
    r"(?P<head>[^<>|｜\n]{0,256})<[|｜](?:tool[▁_ ]sep|tool_call_argument_begin)[|｜]>\s*+", re.IGNORECASE
)
_FENCED = re.compile(r"(?P<name>[^\s`{<]{1,256})\s*+(?:`{3,}(?:json)?\s*+)?(?=\{)", re.IGNORECASE)
_KIMI = re.compile(r"(?:functions\.)?(?P<name>.+?)(?::\d+)?", re.DOTALL)
_HEADER = re.compile(r"(?P<header>(?:[^<\n]|<\|(?:channel|constrain)\|>){0,400}+)<\|message\|>\s*+", re.IGNORECASE)
_RECIPIENT = re.compile(r"to=(?:functions\.)?(?P<name>[^\s<]{1,128})", re.IGNORECASE)
_STRIPPED = re.compile(
    r"(?P<name>[\w.-]{1,128}?)(?:\s|<\|(?:channel|constrain|message)\|>|commentary|analysis|code|json)*+(?=\{)",
    re.IGNORECASE,
)
_ROLES = {"user", "assistant", "system", "developer"}


def call(source: Source, marker: re.Match[str], tools: Tools) -> Reading:
    """Read the call after DeepSeek's or Kimi's token that begins one."""
    parts = _SEPARATOR.match(source.text, marker.end())
    if parts is None:
        return [], marker.end()
    head, at = parts["head"].strip(), parts.end()
    if head == "function" or not source.text.startswith(("{", "<"), at):
        fenced = _FENCED.match(source.text, at)
        if fenced is not None:
            return _call(source, fenced["name"], fenced.end(), tools)
    kimi = _KIMI.fullmatch(head)
    return _call(source, kimi["name"] if kimi else head, at, tools)


def channel(source: Source, marker: re.Match[str], tools: Tools) -> Reading:
    """Read a harmony message whose header names a tool as its recipient."""
    header = _HEADER.match(source.text, marker.end())
    recipient = _RECIPIENT.search(header["header"]) if header else None
    if header is None or recipient is None or recipient["name"] in _ROLES:
        return [], marker.end()
    return _call(source, recipient["name"], header.end(), tools)


def recipient(source: Source, marker: re.Match[str], tools: Tools) -> Reading:
    """Read a harmony message from `to=functions.` on, where the tokens before it were lost or are in the prompt."""
    stripped = _STRIPPED.match(source.text, marker.end())
    if stripped is None:
        return [], marker.end()
    return _call(source, stripped["name"], stripped.end(), tools)


def role(source: Source, marker: re.Match[str], tools: Tools) -> Reading:
    """Read GigaChat's message of the role `function call`."""
    if not source.text[max(0, marker.start() - 32) : marker.start()].rstrip().lower().endswith("function call"):
        return [], marker.end()
    return payload.calls(source, marker, tools)


def _call(source: Source, name: str, at: int, tools: Tools) -> Reading:
    arguments, end = objects.arguments(source, at)
    if objects.elided(arguments):
        return [], at
    if name.isdigit() and isinstance(arguments, dict):
        name = tools.only_fit(arguments) or name
    call: Json = {"name": tools.resolve(name), "arguments": arguments}
    return [call], source.skip(FENCE, end)
