"""The matchers of texts: `$regex`, `$text`, `$contains`."""

from __future__ import annotations

from typing import Any

from gate.cases import normalize
from gate.cases.json_schema import pattern_matches, pattern_problem
from gate.cases.matchers.matcher import Matcher, Place, example, mismatches
from gate.system.text import show


class Regex(Matcher):
    """A text that a pattern matches in full."""

    key = "$regex"
    is_pattern = True

    def flaw(self) -> str:
        return pattern_problem(self.value)

    def accepts(self, got: Any) -> bool:
        return isinstance(got, str) and pattern_matches(self.value, got, full=True)

    def describe(self) -> str:
        return f"/{self.value}/"


class Text(Matcher):
    """The same letters and digits."""

    key = "$text"
    is_named = True

    def flaw(self) -> str:
        named = isinstance(self.value, str) and normalize.letters(self.value)
        return "" if named else f"nothing to compare in {show(self.value)}"

    def accepts(self, got: Any) -> bool:
        return isinstance(got, str) and normalize.letters(self.value) == normalize.letters(got)


class Contains(Matcher):
    """A text with another in it, or a list with an element that matches."""

    key = "$contains"

    def flaw(self) -> str:
        return "every text contains the empty one" if self.value == "" else ""

    def accepts(self, got: Any) -> bool:
        if isinstance(got, list):
            return any(not mismatches(self.value, item, Place("")) for item in got)
        return isinstance(got, str) and isinstance(self.value, str) and self.value in got

    def inner(self) -> list[tuple[str, Any]]:
        return [("", self.value)]

    def example(self, pick: int) -> Any:
        return self.value if isinstance(self.value, str) else [example(self.value, pick)]
