"""P11, P12: a call that the model writes as its template does reaches the agent as the same call."""

from __future__ import annotations

from collections.abc import Sequence

from gate.preflight import golden_conversations
from gate.preflight.artifact import Artifact, NotApplicable, NotPossible
from gate.preflight.checks import served
from gate.preflight.checks.tokenizer import tokens
from gate.preflight.rule import rule
from gate.types import Json

PARSER = "use a template whose call syntax the runtime knows, or set tool_parser_type (mlx-lm) to its parser"


@rule(
    "P11",
    "warn",
    kinds="adapter mlx",
    remedy="use the base's own template; one that drops `tools` cannot be asked for calls",
)
def tools_reach_the_prompt(artifact: Artifact) -> Sequence[str]:
    """The names of offered tools stand in the prompt."""
    taken = tokens(artifact)["takes_tools"]
    return [] if taken is True else [f"they do not{': ' + taken['error'] if isinstance(taken, dict) else ''}"]


@rule("P11", "fail", kinds="adapter mlx", remedy=PARSER)
def parser_is_known(artifact: Artifact) -> Sequence[str]:
    """mlx-lm finds a tool parser for the template, or the template takes no tools."""
    told = tokens(artifact)
    return [] if told["parser"] or told["takes_tools"] is not True else ["no parser: every call would arrive as text"]


@rule("P12", "fail", kinds="adapter mlx", remedy=PARSER)
def calls_come_back(artifact: Artifact) -> Sequence[str]:
    """Every kind of call, rendered by the template, is parsed by mlx_lm.server's own code to the same call."""
    told = tokens(artifact)
    if not told["parser"]:
        raise NotApplicable("no parser, or no tools")
    return [
        fault
        for name, calls in golden_conversations.CALLS.items()
        if (fault := _difference(name, calls, told["calls"][name]))
    ]


@rule("P11", "fail", kinds="gguf url", remedy=PARSER, served=True)
def server_knows_tools(artifact: Artifact) -> Sequence[str]:
    """llama-server says of the template that it takes tools and tool calls."""
    told = served.props(artifact).get("chat_template_caps") or {}
    return [f"{name} is false in /props" for name in ("supports_tools", "supports_tool_calls") if not told.get(name)]


@rule("P12", "fail", kinds="gguf", remedy=PARSER, served=True)
def server_parses_its_calls(artifact: Artifact) -> Sequence[str]:
    """Every kind of call, rendered by the template, is parsed by llama-server to the same call."""
    if server_knows_tools(artifact):
        raise NotApplicable("the template takes no tools")
    return [fault for name, calls in golden_conversations.CALLS.items() if (fault := _served(artifact, name, calls))]


def _served(artifact: Artifact, name: str, calls: list[tuple[str, Json]]) -> str:
    turn = served.turn(artifact, name)
    if isinstance(turn, dict):
        return f"{name}: the template cannot render it: {turn['error']}"
    try:
        return _difference(name, calls, served.parsed(artifact, turn))
    except NotPossible as refusal:
        return f"{name}: {refusal}"


def _difference(name: str, calls: list[tuple[str, Json]], given: list[Json] | Json) -> str:
    if isinstance(given, dict):
        return f"{name}: {given['error']}"
    if [(call["name"], call["arguments"]) for call in given] == calls:
        return ""
    return f"{name}: came back as {str(given)[:160]}" if given else f"{name}: the call was lost"
