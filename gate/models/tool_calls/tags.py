"""Calls as XML elements: an attribute names the tool, and each argument is an element in it.

Qwen3-Coder and Nemotron 3 (mlx_lm.tool_parsers.qwen3_coder: `<function=f>`, `<parameter=a>`), MiniMax M2
(mlx_lm.tool_parsers.minimax_m2: `<invoke name="f">`), DeepSeek 3.2 DSML (SGLang deepseekv32_detector: the same with a
prefix, or JSON inside), MiniCPM 5 (mlx_lm.tool_parsers.minicpm5: `<function name="f">`), Muse Spark
(mlx_lm.tool_parsers.muse_spark), Llama 3.1 (`<function=f>{json}</function>`). Values have no types: without a schema
only objects and arrays are decoded, as in mlx_lm.tool_parsers.qwen3_coder.
"""

from __future__ import annotations

import re
from typing import Any

from gate.models.tool_calls import objects
from gate.models.tool_calls.literals import parsed_or_text
from gate.models.tool_calls.source import Reading, Source
from gate.models.tool_calls.tools import Tools, container
from gate.types import Json

_PREFIX = r"(?:\w{1,20}:|[|｜]DSML[|｜])?"
OPENING = rf"<\s?{_PREFIX}(?:function\s?=|(?:function|invoke)\s+name\s*=)"
_NAME = re.compile(r"\s*+(?P<name>[^<>\n]{1,256}+)(?:>|(?=\n))")
_PARAMETER = re.compile(
    rf"\s*+<\s?{_PREFIX}param(?:eter)?(?P<attribute>\s+name)?\s*=\s*(?P<head>[^<>\n]{{1,512}}+)(?:>|(?=\n))",
    re.IGNORECASE,
)
_ATTRIBUTE = re.compile(r"""\s*(?:"(?P<double>[^"]*)"|'(?P<single>[^']*)'|(?P<unquoted>\S+))(?P<rest>.*)""")
_VALUE_END = re.compile(
    rf"(?P<closed></\s?{_PREFIX}param(?:eter)?\s?>)|(?=<\s?{_PREFIX}param(?:eter)?(?:\s?=|\s+name\s*=)"
    rf"|</\s?{_PREFIX}(?:function|invoke)\s?>|</\s?{_PREFIX}tool_calls?>)",
    re.IGNORECASE,
)
_END = re.compile(rf"\s*+</\s?{_PREFIX}(?:function|invoke)\s?>|(?=\s*+</\s?{_PREFIX}tool_calls?>)", re.IGNORECASE)
_BODY = re.compile(r"\s*+(?=\{)")
_STRING = re.compile(r"""string\s*=\s*["']?(true|false)""", re.IGNORECASE)


def call(source: Source, opening: re.Match[str], tools: Tools) -> Reading:
    """Read the call whose element opens here. Without an end or an argument it is only a mention."""
    head = _NAME.match(source.text, opening.end())
    if head is None:
        return [], opening.end()
    written = head["name"].rstrip()
    name, _ = _named(written.removesuffix("/"), tools, attribute="name" in opening.group().lower())
    if written.endswith("/"):
        return [{"name": name, "arguments": {}}], head.end()
    if body := _BODY.match(source.text, head.end()):
        return _object(source, body.end(), name)
    arguments, stop = _parameters(source, head.end(), name, tools)
    end = _END.match(source.text, stop)
    if not arguments and not end:
        return [], opening.end()
    return [{"name": name, "arguments": arguments}], end.end() if end else stop


def _object(source: Source, at: int, name: str) -> Reading:
    """Read a body that is one JSON object."""
    arguments, stop = objects.arguments(source, at)
    end = _END.match(source.text, stop)
    cut = source.blank(stop, len(source.text))
    if objects.elided(arguments) or (isinstance(arguments, str) and not (end or cut)):
        return [], at
    return [{"name": name, "arguments": arguments}], end.end() if end else stop


def _parameters(source: Source, at: int, name: str, tools: Tools) -> tuple[Json, int]:
    """Read the arguments from `at` on, of which the last may be truncated; also the index after them."""
    arguments: Json = {}
    while opening := _PARAMETER.match(source.text, at):
        end = source.seek(_VALUE_END, opening.end())
        stop = end.start() if end else len(source.text)
        key, attributes = _named(opening["head"], tools, attribute=bool(opening["attribute"]))
        written = _framed(source.text[opening.end() : stop])
        arguments[key] = _typed(written, attributes, name, key, tools)
        at = end.end() if end else stop
    return arguments, at


def _typed(written: str, attributes: str, name: str, key: str, tools: Tools) -> Any:
    """The value with the type of its `string` attribute (DSML), else of the schema."""
    declared = _STRING.search(attributes)
    if declared is None:
        return tools.coerce(name, key, written, _untyped)
    return written if declared.group(1).lower() == "true" else parsed_or_text(written)


def _untyped(written: str) -> Any:
    if not written.lstrip().startswith(("{", "[")):
        return written
    try:
        return container(written)
    except ValueError:
        return written


def _named(head: str, tools: Tools, *, attribute: bool) -> tuple[str, str]:
    """The name in the head of an element, and the attributes after it.

    Quotes are markup around an attribute. After a bare `=` they are part of the name, unless the name without them is
    that of an offered tool.
    """
    if not attribute:
        return tools.resolve(head.strip()), ""
    match = _ATTRIBUTE.match(head)
    if match is None:
        return head.strip(), ""
    return match["double"] or match["single"] or match["unquoted"] or "", match["rest"]


def _framed(value: str) -> str:
    """The value without the line breaks around it, or the content of its CDATA section."""
    value = value.removeprefix("\n").removesuffix("\n")
    inner = value.strip()
    if inner.startswith("<![CDATA[") and inner.endswith("]]>"):
        return inner[9:-3]
    return value
