"""Values in syntaxes without types are converted by the tool's schema; a malformed schema is ignored."""

from __future__ import annotations

from typing import Any

import pytest

from gate.models.tool_calls import find


def offered(schema: Any, name: str = "f") -> list[dict[str, Any]]:
    return [{"type": "function", "function": {"name": name, "parameters": {"properties": {"a": schema}}}}]


def qwen(value: str) -> str:
    return f"<tool_call><function=f><parameter=a>\n{value}\n</parameter></function></tool_call>"


def glm(value: str) -> str:
    return f"<tool_call>f<arg_key>a</arg_key><arg_value>{value}</arg_value></tool_call>"


TYPED: list[tuple[Any, str, Any]] = [
    ({"type": "string"}, "12", "12"),
    ({"type": "string"}, '{"k": 1}', '{"k": 1}'),
    ({"type": "string"}, "  indented", "  indented"),
    ({"type": "integer"}, "12", 12),
    ({"type": "integer"}, "12.0", 12),
    ({"type": "integer"}, "twelve", "twelve"),
    ({"type": "number"}, "0.5", 0.5),
    ({"type": "number"}, "3", 3),
    ({"type": "number"}, "1e999", "1e999"),
    ({"type": "number"}, "nan", "nan"),
    ({"type": "boolean"}, "True", True),
    ({"type": "boolean"}, "false", False),
    ({"type": "boolean"}, "maybe", "maybe"),
    ({"type": "object"}, "{'k': True}", {"k": True}),
    ({"type": "object"}, "{1, 2}", "{1, 2}"),
    ({"type": "array"}, "[1, null]", [1, None]),
    ({"type": "array"}, '[{\\"k\\": \\"v\\"}]', [{"k": "v"}]),
    ({"type": ["integer", "null"]}, "null", None),
    ({"type": ["integer", "string"]}, "x1", "x1"),
    ({"anyOf": [{"type": "null"}, {"type": "number"}]}, "2.5", 2.5),
    ({"enum": [1, 2]}, "2", 2),
    ({"type": "int"}, "2", 2),
    ({"type": "float"}, "2.5", 2.5),
    ({"type": "bool"}, "true", True),
    ({"type": "list[str]"}, '["x"]', ["x"]),
]


@pytest.mark.parametrize("text", [qwen, glm], ids=["qwen", "glm"])
@pytest.mark.parametrize(("schema", "written", "value"), TYPED)
def test_a_value_gets_the_type_of_its_schema(text: Any, schema: Any, written: str, value: Any) -> None:
    (call,) = find(text(written), offered(schema))
    assert call["arguments"] == {"a": value}
    assert type(call["arguments"]["a"]) is type(value)


@pytest.mark.parametrize(
    ("written", "in_qwen", "in_glm"),
    [("12", "12", 12), ("true", "true", True), ("[1]", [1], [1]), ('"x"', '"x"', "x"), ("a text", "a text", "a text")],
)
def test_without_a_schema_each_family_does_as_its_parser_in_mlx_lm(written: str, in_qwen: Any, in_glm: Any) -> None:
    assert find(qwen(written)) == [{"name": "f", "arguments": {"a": in_qwen}}]
    assert find(glm(written)) == [{"name": "f", "arguments": {"a": in_glm}}]


def test_typed_syntaxes_keep_their_own_types() -> None:
    assert find('<tool_call>{"name": "f", "arguments": {"a": "1"}}</tool_call>', offered({"type": "integer"})) == [
        {"name": "f", "arguments": {"a": "1"}}
    ]


def test_a_flat_tool_is_recognized() -> None:
    assert find('{"name": "f", "arguments": {}}', [{"type": "function", "name": "f", "parameters": {}}])


def test_a_tool_in_another_case_is_recognized() -> None:
    (call,) = find('{"name": "Look_Up", "arguments": {}}', offered({}, "look_up"))
    assert call["name"] == "Look_Up"


@pytest.mark.parametrize(
    "tools",
    [
        [None, 3, "f", [], {}],
        [{"function": None}, {"function": {"name": 1}}, {"function": {"name": "f", "parameters": "x"}}],
        [{"function": {"name": "f", "parameters": {"properties": []}}}],
        [{"function": {"name": "f", "parameters": {"properties": {"a": None}}}}],
        [{"function": {"name": "f", "parameters": {"properties": {"a": {"type": 3, "anyOf": "x", "enum": 1}}}}}],
    ],
)
def test_malformed_tools_are_ignored(tools: Any) -> None:
    assert find(qwen("1"), tools) == [{"name": "f", "arguments": {"a": "1"}}]
