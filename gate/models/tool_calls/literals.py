"""Parses values as models write them: JSON, Python literals, and the delimited strings of the Gemma family."""

from __future__ import annotations

import json
import math
import re
from typing import Any

from gate.models.tool_calls.source import Source

DEEPEST = 64
"""Values that nest deeper are refused: no tool takes them, and the stack may overflow."""

_SPACE = re.compile(r"\s*+")
_NUMBER = re.compile(r"[-+]?(?:\d[\d_]*+(?:\.\d*+)?|\.\d++)(?:[eE][-+]?\d++)?(?![\w.])")
_WORD = re.compile(r"[^\W\d]\w*+")
_WORDS = {"true": True, "false": False, "null": None, "True": True, "False": False, "None": None}
_STRINGS = {
    '"""': re.compile(r'((?:[^"\\]++|\\.|"(?!""))*+)"""', re.DOTALL),
    "'''": re.compile(r"((?:[^'\\]++|\\.|'(?!''))*+)'''", re.DOTALL),
    '"': re.compile(r'((?:[^"\\]++|\\.)*+)"', re.DOTALL),
    "'": re.compile(r"((?:[^'\\]++|\\.)*+)'", re.DOTALL),
}
_VERBATIM = ("<escape>", '<|"|>')
_ESCAPE = re.compile(r"\\(u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|x[0-9a-fA-F]{2}|.)", re.DOTALL)
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f", "0": "\0", "\n": "", "/": "/"}
_CURLY = str.maketrans("“”‘’", "\"\"''")
_SURROGATE = re.compile(r"[\ud800-\udfff]")


class Literals:
    """A parser with a cursor that reads one literal after another. Raises ValueError where there is none."""

    def __init__(self, text: str, at: int = 0) -> None:
        self.text = text
        self.at = at

    def peek(self) -> str:
        """The next character after white space; empty at the end."""
        space = _SPACE.match(self.text, self.at)
        self.at = space.end() if space else self.at
        return self.text[self.at : self.at + 1]

    def take(self, mark: str) -> bool:
        """Skip `mark` if it comes next; was it there?"""
        if self.peek() != mark:
            return False
        self.at += 1
        return True

    def value(self, depth: int = 0) -> Any:
        """Read the next literal."""
        if depth > DEEPEST:
            raise ValueError("nests too deep")
        opening = self.peek()
        if opening == "{":
            return self._object(depth)
        if opening in ("[", "("):
            return self._array("]" if opening == "[" else ")", depth)
        if opening in ('"', "'") or self.text.startswith(_VERBATIM, self.at):
            return self.string()
        return self.bare()

    def string(self) -> str:
        """Read a quoted string, or one between two delimiters of the Gemma family."""
        for delimiter in _VERBATIM:
            if self.text.startswith(delimiter, self.at):
                return self._verbatim(delimiter)
        for quote, pattern in _STRINGS.items():
            if self.text.startswith(quote, self.at):
                match = pattern.match(self.text, self.at + len(quote))
                if match is None:
                    break
                self.at = match.end()
                return unescaped(match.group(1))
        raise ValueError("not a string")

    def bare(self) -> Any:
        """Read a number, or a word for a constant."""
        if number := _NUMBER.match(self.text, self.at):
            self.at = number.end()
            digits = number.group().replace("_", "").lstrip("+")
            return _finite(digits) if re.search("[.eE]", digits) else int(digits)
        word = _WORD.match(self.text, self.at)
        if word is None or word.group() not in _WORDS:
            raise ValueError("not a literal")
        self.at = word.end()
        return _WORDS[word.group()]

    def key(self) -> str:
        """Read the key of an object."""
        if self.peek() in ('"', "'") or self.text.startswith(_VERBATIM, self.at):
            return self.string()
        return str(self.bare())

    def _object(self, depth: int) -> dict[str, Any]:
        self.take("{")
        value: dict[str, Any] = {}
        while not self.take("}"):
            key = self.key()
            if not self.take(":"):
                raise ValueError("no colon")
            value[key] = self.value(depth + 1)
            self._separate("}")
        return value

    def _array(self, closing: str, depth: int) -> list[Any]:
        self.at += 1
        items: list[Any] = []
        while not self.take(closing):
            items.append(self.value(depth + 1))
            self._separate(closing)
        return items

    def _separate(self, closing: str) -> None:
        if not self.take(",") and self.peek() != closing:
            raise ValueError("no comma")

    def _verbatim(self, delimiter: str) -> str:
        start = self.at + len(delimiter)
        end = self.text.find(delimiter, start)
        if end < 0:
            raise ValueError("no end of string")
        self.at = end + len(delimiter)
        return self.text[start:end]


def decode(source: Source, at: int) -> tuple[Any, int] | None:
    """The object or array at `at`, as JSON or a Python literal, and the index after it; None where there is none."""
    end = source.close(at)
    if end is None or source.height(at) > DEEPEST:
        return None
    written = source.text[at:end]  # A slice: an error of the decoder counts the lines of its whole input.
    try:
        return _JSON.decode(written), end
    except (ValueError, RecursionError):
        return _loose(written, end) if source.afford(len(written)) else None


def parsed(text: str) -> Any:
    """A whole text as JSON, else as a Python literal. Raises ValueError where it is neither."""
    start = len(text) - len(text.lstrip())
    if not text.startswith(("{", "["), start):
        return _read(text)
    source = Source(text)
    decoded = decode(source, start)
    if decoded is None or text[decoded[1] :].strip():
        raise ValueError("not a value")
    return decoded[0]


def parsed_or_text(text: str) -> Any:
    """A whole text as JSON or a Python literal where it is one, else the text."""
    try:
        return parsed(text)
    except ValueError:
        return text


def unescaped(body: str) -> str:
    """Resolve the escapes in the body of a quoted string."""
    if "\\" not in body:
        return body
    text = _ESCAPE.sub(_character, body)
    if _SURROGATE.search(text):
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text


def _character(escape: re.Match[str]) -> str:
    code = escape.group(1)
    if len(code) > 1:
        number = int(code[1:], 16)
        return chr(number) if number < 0x110000 else escape.group()
    if code in "\"'\\":
        return code
    return _ESCAPES.get(code, escape.group())


def _loose(written: str, end: int) -> tuple[Any, int] | None:
    """Read Python's repr, also with curly quotes, or with braces doubled as in a format string."""
    candidates = [written, written.translate(_CURLY)]
    if written.startswith("{{"):
        candidates += [written[1:-1], written.replace("{{", "{").replace("}}", "}")]
    for candidate in dict.fromkeys(candidates):
        try:
            return _read(candidate), end
        except ValueError:
            continue
    return None


def _read(text: str) -> Any:
    """Read a text that is one value and nothing else. Raises ValueError."""
    try:
        return _JSON.decode(text)
    except (ValueError, RecursionError):
        literals = Literals(text)
    value = literals.value()
    if literals.peek():
        raise ValueError("more than one value")
    return value


def _finite(digits: str) -> float:
    number = float(digits)
    if not math.isfinite(number):
        raise ValueError("too large")
    return number


def _refuse(constant: str) -> Any:
    raise ValueError(f"{constant} is not JSON")


_JSON = json.JSONDecoder(strict=False, parse_float=_finite, parse_constant=_refuse)
