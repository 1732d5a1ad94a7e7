"""Replace secrets by placeholders; the same secret gets the same placeholder throughout a case.

    ana@firm.org -> <EMAIL_1>      sk-… -> sk-REDACTED      /home/ana/x -> ~/x      password=… -> password=<PASSWORD_1>

So what is expected still fits the question. What counts as a secret, and what does not: gate.authoring.redaction.scan.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from typing import Any

from gate.authoring.redaction.scan import PLACEHOLDER, Secret, owner, secrets, texts, under

SPREAD = 6
"""Characters from which on a secret is replaced wherever else it stands; a shorter one would hit ordinary words."""

TIMES = 4
"""Most passes over a text."""


class Redactor:
    """Knows the secrets of some JSON values, and writes them, or more such values, without."""

    def __init__(self, *values: Any) -> None:
        self.counts: Counter[tuple[str, str]] = Counter()
        """How often something was replaced, by (kind, path)."""
        self.made: list[tuple[Secret, str]] = []
        """Each secret with its placeholder, in the order in which they were found."""
        self._names: dict[str, str] = {}
        self._spelled: dict[str, Secret] = {}
        self._numbers: Counter[str] = Counter()
        every = [each for value in values for each in texts(value)]
        for where, _, text in every:  # a text may have been redacted before; what is expected names what is asked
            for old in PLACEHOLDER.finditer(text) if not where.startswith("expect") else ():
                kind = old[1] or "REDACTED"
                self._numbers[kind] = max(self._numbers[kind], int(old[2] or old[3] or 1))
        for _, name, text in every:
            for secret in secrets(text, name):
                self._name(secret)
        self._elsewhere = _alternatives(self._spelled)

    def value(self, value: Any, where: str = "", name: str = "") -> Any:
        """The value with a placeholder in place of each secret, in the keys of objects, too."""
        if isinstance(value, dict):
            return {
                self._text(key, where, ""): self.value(part, under(where, key), owner(key, name))
                for key, part in value.items()
            }
        if isinstance(value, list):
            return [self.value(part, f"{where}[{number}]", name) for number, part in enumerate(value)]
        return self._text(value, where, name) if isinstance(value, str) else value

    def summary(self) -> list[str]:
        """What was replaced, a line a kind: how often and where, and never what."""
        kinds: dict[str, Counter[str]] = {}
        for (kind, where), count in self.counts.items():
            kinds.setdefault(kind, Counter())[where] += count
        return [f"{kind} {places.total()}x: {', '.join(places)}" for kind, places in sorted(kinds.items())]

    def _text(self, text: str, where: str, name: str) -> str:
        """Again until nothing is found: what is left beside a placeholder may look like a secret only then."""
        for _ in range(TIMES):
            done = self._once(text, where, name)
            if done == text:
                break
            text = done
        return text

    def _once(self, text: str, where: str, name: str) -> str:
        done, at = "", 0
        for secret in secrets(text, name):
            done += self._known(text[at : secret.start], where) + self._name(secret)
            at = secret.end
            self.counts[secret.kind, where] += 1
        return done + self._known(text[at:], where)

    def _known(self, text: str, where: str) -> str:
        """Secrets that no pattern shows here: in prose, or with the escapes of a pattern or of JSON."""
        if self._elsewhere is None:
            return text

        def again(match: re.Match[str]) -> str:
            secret = self._spelled[match[0]]
            self.counts[secret.kind, where] += 1
            return self._name(secret)

        return self._elsewhere.sub(again, text)

    def _name(self, secret: Secret) -> str:
        """The placeholder; a home folder goes by the name of whose it is."""
        home = secret.kind == "HOME"
        key = f"~{whose(secret.value)}" if home else secret.value.replace("%40", "@")
        if key not in self._names:
            self._names[key] = self._placeholder(secret)
            self.made.append((secret, self._names[key]))
            spellings = _spellings(secret.value) if len(secret.value) >= SPREAD and not home else ()
            self._spelled |= dict.fromkeys(spellings, secret)
        return self._names[key]

    def _placeholder(self, secret: Secret) -> str:
        stem = "REDACTED" if secret.prefix else secret.kind
        self._numbers[stem] += 1
        number = self._numbers[stem]
        if secret.kind == "HOME":
            return "~" if number == 1 else f"~user{number}"  # as a shell writes another's home
        return (
            f"{secret.prefix}REDACTED" + (f"_{number}" if number > 1 else "") if secret.prefix else f"<{stem}_{number}>"
        )


def redacted(text: str) -> str:
    """A text of its own, redacted."""
    return str(Redactor(text).value(text))


def whose(home: str) -> str:
    """The name in a home folder, also where another path's name was made of that path: -Users-ana-project."""
    made = re.match(r"(?:[A-Z]-)?-(?:Users|home)-([^-]*)", home)
    return made[1] if made else re.split(r"[\\/]|%2[Ff]", home)[-1]


def _spellings(value: str) -> tuple[str, ...]:
    return value, re.escape(value), json.dumps(value, ensure_ascii=False)[1:-1], json.dumps(value)[1:-1]


def _alternatives(spelled: dict[str, Secret]) -> re.Pattern[str] | None:
    longest = sorted(spelled, key=lambda each: (-len(each), each))
    return re.compile("|".join(rf"(?<![\w<]){re.escape(each)}(?![\w>])" for each in longest)) if longest else None
