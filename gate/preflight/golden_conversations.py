"""What templates, tokenizers and parsers must agree on: conversations, calls and texts that have broken real ones."""

from __future__ import annotations

from typing import Any

from gate.types import Json


def _tool(name: str, description: str, **properties: Json) -> Json:
    schema = {"type": "object", "properties": properties, "required": list(properties)}
    return {"type": "function", "function": {"name": name, "description": description, "parameters": schema}}


def _call(name: str, arguments: Json, number: int = 0) -> Json:
    return {
        "id": f"call0000{number}",  # nine letters and digits: Mistral's templates want no other
        "type": "function",
        "function": {"name": name, "arguments": arguments},
    }


def _says(role: str, content: str, **more: Any) -> Json:
    return {"role": role, "content": content, **more}


TEXT = {"type": "string"}
TOOLS = [
    _tool("get_weather", "The weather in a city.", city=TEXT),
    _tool("write_file", "Write a text into a file.", path=TEXT, text=TEXT),
]
WEATHER = _call("get_weather", {"city": "Zürich"})
ASKED = [_says("user", "What is the weather in Zürich?"), _says("assistant", "", tool_calls=[WEATHER])]
ANSWERED = [*ASKED, _says("tool", '{"celsius": 21}', name="get_weather", tool_call_id=WEATHER["id"])]

CONVERSATIONS: dict[str, tuple[list[Json], list[Json]]] = {
    "user": ([_says("user", "Hello, who are you?")], []),
    "system": ([_says("system", "Answer in one word."), _says("user", "Yes or no?")], []),
    "tools": ([_says("user", "What is the weather in Zürich?")], TOOLS),
    "call": ([*ASKED, _says("user", "Go on.")], TOOLS),
    "tool result": (ANSWERED, TOOLS),
    "multi-turn": (
        [
            _says("system", "Be brief."),
            *[_says(role, text) for text in ("One?", "Two?") for role in ("user", "assistant")],
            _says("user", "Three?\n\n  Indented, with trailing spaces.  "),
        ],
        [],
    ),
    "thinking": (
        [
            _says("user", "2 + 2?"),
            _says("assistant", "4", reasoning_content="Two and two make four."),
            _says("user", "And 3 + 3?"),
        ],
        [],
    ),
}
"""Messages and tools by name; each ends where the model must speak."""

CALLS: dict[str, list[tuple[str, Json]]] = {
    "plain": [("get_weather", {"city": "Rome"})],
    "unicode": [("get_weather", {"city": "Zürich 東京 🌧"})],
    "quotes": [("write_file", {"path": "a\\b 'c'.txt", "text": 'He said "no".\n\tThen: {"k": [1]} </x>'})],
    "nested": [("configure", {"options": {"on": True, "off": None, "list": [1, 2.5, {"deep": []}]}, "count": 0})],
    "empty": [("refresh", {})],
    "two": [("get_weather", {"city": "Rome"}), ("get_weather", {"city": "Oslo"})],
}
"""Calls that must come back as they went out, by what is hard about them."""
CALL_TOOLS = [
    *TOOLS,
    _tool("configure", "Set options.", options={"type": "object"}, count={"type": "integer"}),
    _tool("refresh", "Load again."),
]

CORPUS = (
    "Hello world",
    " leading and trailing ",
    "  two  spaces   and\ttabs\t\tinside",
    "line\nline\r\nline\n\n\nend",
    "1234567890 3.14159 1e-9 0x1F 1,000,000",
    "don't, we'll, it's, I'M, THEY'RE",
    "Grüße, naïve café, Ærøskøbing, Łódź",
    "e\u0301 against \u00e9, \ufb01 against fi, \u2126 against \u03a9",
    "日本語のテキスト、中文文本，한국어 텍스트",
    "Привет мир — «кавычки»",
    "مرحبا بالعالم שלום עולם",
    "नमस्ते दुनिया ไทย",
    "emoji 🙂 👩‍👩‍👧‍👦 🇨🇭 👍🏽",
    "zero\u200bwidth\u200djoiner\ufeffmark nbsp\u00a0here",
    "def f(x):\n    return {'a': [x ** 2, x != 0]}  # comment",
    '{"name": "get_weather", "arguments": {"city": "Z\\u00fcrich"}}',
    "https://example.org/a?b=c&d=%20#e user@example.org",
    "<b>bold</b> &amp; <not_a_token> <tool_call> </tool_call> <think>",
    "a" * 60 + " " + "ab" * 30,
    "!!!???...---___***///\\\\\\",
    "MiXeD CaSe camelCase snake_case kebab-case",
    "\U00010348 \U0001d518 \u0007 \x7f",
)
"""Texts on which tokenizers part ways: spaces, digits, contractions, composed letters, rare planes."""


def with_calls(calls: list[tuple[str, Json]]) -> list[Json]:
    """A conversation whose last turn is the assistant making these calls."""
    made = [_call(name, arguments, number) for number, (name, arguments) in enumerate(calls)]
    return [_says("user", "Do it."), _says("assistant", "", tool_calls=made)]


TURNS = {name: with_calls(calls) for name, calls in CALLS.items()}
"""Each kind of call as a conversation."""
