"""Child: lint chat templates and render them with jinja2's immutable sandbox, as transformers does.

Source of the environment: transformers/utils/chat_template_utils.py, `_compile_jinja_template` (5.23): trim_blocks,
lstrip_blocks, loop controls, the `generation` tag, its own `tojson`, `raise_exception`, `strftime_now`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import jinja2
from jinja2 import nodes
from jinja2.ext import Extension, loopcontrols
from jinja2.sandbox import ImmutableSandboxedEnvironment

from gate.system import sandbox
from gate.types import Json

OUTWARD = (nodes.Include, nodes.Import, nodes.FromImport, nodes.Extends)


class _Generation(Extension):
    """`{% generation %}` marks what an assistant says; for rendering it is nothing."""

    tags = {"generation"}  # noqa: RUF012 - jinja2's own interface

    def parse(self, parser: Any) -> Any:
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


def probe(request: Json) -> Json:
    """{name: {"lint", "renders", "turns"}} of {"templates", "conversations", "turns", "tools", "tokens"}.

    A render is a prompt's text or {"error"}; a turn is what the template writes for the last message alone.
    """
    environment = _environment()
    return {name: _one(environment, source, request) for name, source in request["templates"].items()}


def _one(environment: jinja2.Environment, source: str, request: Json) -> Json:
    try:
        faults = sorted(set(_lint(environment.parse(source))))
        template = environment.from_string(source)
    except jinja2.TemplateError as error:
        return {"lint": [f"is no Jinja template: {error}"], "renders": {}, "turns": {}}
    if faults:
        return {"lint": faults, "renders": {}, "turns": {}}
    tokens, tools = request["tokens"], request["tools"]
    renders = {name: _tried(_render, template, *talk, tokens) for name, talk in request["conversations"].items()}
    turns = {name: _tried(_turn, template, talk, tools, tokens) for name, talk in request["turns"].items()}
    return {"lint": [], "renders": renders, "turns": turns}


def _render(template: jinja2.Template, messages: list[Json], tools: list[Json], tokens: Json) -> str:
    return template.render(messages=messages, tools=tools or None, add_generation_prompt=True, **tokens)


def _turn(template: jinja2.Template, messages: list[Json], tools: list[Json], tokens: Json) -> str:
    before = _render(template, messages[:-1], tools, tokens)
    whole = template.render(messages=messages, tools=tools, add_generation_prompt=False, **tokens)
    if not whole.startswith(before):
        raise ValueError("the prompt is not a beginning of the whole conversation")
    return whole[len(before) :]


def _tried(function: Any, *arguments: Any) -> Any:
    try:
        return function(*arguments)
    except Exception as error:  # noqa: BLE001 - a template may raise whatever it likes; the parent shows it
        return {"error": f"{type(error).__name__}: {error}"[:300]}


def _lint(tree: nodes.Template) -> Iterator[str]:
    """What no chat template has a reason to do."""
    for node in tree.find_all(nodes.Node):
        if isinstance(node, OUTWARD):
            yield f"line {node.lineno}: reads another template"
        elif isinstance(node, nodes.Getattr) and node.attr.startswith("_"):
            yield f"line {node.lineno}: reaches for {node.attr}"
        elif isinstance(node, nodes.Getitem) and _private(node.arg):
            yield f"line {node.lineno}: reaches for {node.arg.as_const()}"
        elif isinstance(node, nodes.Filter) and node.name == "attr":
            yield f"line {node.lineno}: uses the filter attr"


def _private(node: nodes.Node) -> bool:
    return isinstance(node, nodes.Const) and isinstance(node.value, str) and node.value.startswith("__")


def _environment() -> jinja2.Environment:
    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[_Generation, loopcontrols]
    )
    environment.filters["tojson"] = _tojson
    environment.globals |= {"raise_exception": _raise, "strftime_now": lambda form: datetime.now().strftime(form)}
    return environment


def _tojson(
    value: Any, ensure_ascii: bool = False, indent: Any = None, separators: Any = None, sort_keys: bool = False
) -> str:
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


def _raise(message: str) -> None:
    raise jinja2.TemplateError(message)


if __name__ == "__main__":
    sandbox.answer(probe)
