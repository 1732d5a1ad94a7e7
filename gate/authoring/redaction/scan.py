"""Find secrets in a text: keys, passwords, and data that identifies a person or a machine.

What looks random (20 characters or more) counts as a secret. Plain hex of a digest's length does not, nor a UUID: in an
agent's traffic these are commits, checksums and ids. It does beside a word such as key, token or secret in its line, or
behind a vendor's prefix. What is plain text in base64 is judged by that text. Addresses that are the same on every
machine (127.0.0.1, ::1, netmasks) are none. A person's name in prose is found by no pattern.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import accumulate
from typing import Any

from gate.authoring.redaction import heuristics
from gate.authoring.redaction.heuristics import ISSUED, SAID
from gate.authoring.redaction.rules import RULES, VENDOR, Rule, after
from gate.system.text import join

PLACEHOLDER = re.compile(r"<([A-Z]{1,20})_(\d{1,6})>|REDACTED(?:_(\d{1,6}))?(?!\w)")
"""What gate.authoring.redaction.redactor writes."""
_ANYBODY = re.compile(r"[~/](?:user|username|name|runner|ubuntu|default|me|you|root|vscode|app|node)", re.IGNORECASE)
_HEADS = re.compile(r"(?i)key|token|secret|auth|app_?id|cookie|passw|pwd")
"""Names whose value is read as `name: value`."""
_UNSEEN = re.compile("[\u00ad\u180e\u200b-\u200f\u2060-\u2064\ufeff]")
"""Characters without a width, which part a key for every pattern and for no reader."""
_WIDE = {0xFF01 + n: 0x21 + n for n in range(94)}
"""Fullwidth forms of ASCII."""
_BREAK = re.compile(
    r"(?<=[\w.=+/-])(?:\r?\n[ \t]{0,20}|(?:\\r)?\\n)(?=[\w+/=-])"
    r"|\\\r?\n[ \t]{0,20}(?=[\w+/=-])|[\"']\s{0,3}(?:\+\s{0,20}|\\?\n\s{0,20})[\"']"
)
"""Where a key can go on: the next line, a backslash before it, the next of two quoted texts."""
_BEGINNING = re.compile(after("A-Za-z0-9_-") + rf"(?:{VENDOR}|eyJ(?=[\w-]{{8,}}\.[\w-]{{8}}))")
_GOES_ON = re.compile(r"[\w.+/=-]{0,600}")


@dataclass(frozen=True, slots=True)
class Secret:
    """One thing in a text that should not be there."""

    kind: str
    """KEY PEM JWT CREDENTIAL PASSWORD TOKEN RANDOM EMAIL IP PHONE HOME"""
    start: int
    end: int
    value: str
    prefix: str = ""
    """Of a vendor's key: what it begins with, and what its placeholder begins with, too."""


def places(value: Any) -> list[tuple[str, Secret]]:
    """(path, secret) of all that a JSON value holds."""
    return [(where, secret) for where, name, text in texts(value) for secret in secrets(text, name)]


def reserved(secret: Secret) -> bool:
    """Is it an address that the standards set aside for examples (RFC 2606, 3849, 5737)?"""
    if secret.kind == "EMAIL":
        return re.search(r"[@.](?:example(?:\.(?:com|net|org))?|test|invalid|localhost)$", secret.value) is not None
    if secret.kind == "HOME":
        return _ANYBODY.search(secret.value.replace("\\", "/"), secret.value.rfind("/")) is not None
    documented = ("192.0.2.", "198.51.100.", "203.0.113.", "2001:db8:")
    return secret.kind == "IP" and secret.value.lower().startswith(documented)


def texts(value: Any, where: str = "", name: str = "") -> Iterator[tuple[str, str, str]]:
    """(path, name of the key that it belongs to, text) of every text in a JSON value, keys included."""
    if isinstance(value, dict):
        for key, part in value.items():
            yield where, "", key
            yield from texts(part, under(where, key), owner(key, name))
    elif isinstance(value, list):
        for number, part in enumerate(value):
            yield from texts(part, f"{where}[{number}]", name)
    elif isinstance(value, str):
        yield where, name, value


def under(where: str, key: str) -> str:
    """The path of a key's value."""
    return join(where, key) if where else key


def owner(key: str, name: str) -> str:
    """The name that a value goes by: a matcher's `$` key has none of its own."""
    return name if key.startswith("$") else key


def secrets(text: str, name: str = "") -> tuple[Secret, ...]:
    """What a text holds, in its order. `name`: the key whose value it is; if that is "password", it is all secret."""
    every = _found(text)
    said, issued, headed = _names(name)
    if every or not headed or PLACEHOLDER.search(text):
        return every
    if told := _headed(name, text):
        return told
    if not (said or issued) or any(c.isspace() for c in text):
        return every
    whole = Secret("PASSWORD" if said else "TOKEN", 0, len(text), text)
    return (whole,) if text and heuristics.chosen(text, quoted=said, issued=not said) else ()


@lru_cache(maxsize=8192)
def _names(name: str) -> tuple[bool, bool, bool]:
    """Is it a name of what people choose, of what a machine makes, or one to be read with its value?"""
    lower = name.lower()
    said, issued = any(word in lower for word in SAID), any(word in lower for word in ISSUED)
    return said, issued, said or issued or _HEADS.search(name) is not None


def _headed(name: str, text: str) -> tuple[Secret, ...]:
    """What `name: text` holds of the text: an Authorization or a Cookie, hex that is called a key."""
    head = f"{name[:60]}: "
    return tuple(
        replace(each, start=each.start - len(head), end=each.end - len(head))
        for each in _found(head + text)
        if each.start >= len(head)
    )


@lru_cache(maxsize=8192)
def _found(text: str) -> tuple[Secret, ...]:
    """Where two rules meet, the earlier one has it: it knows more."""
    if not _UNSEEN.search(text):
        wide = text.translate(_WIDE)
        return tuple(replace(each, value=text[each.start : each.end]) for each in _seen(wide))
    at = [number for number, c in enumerate(text) if not _UNSEEN.match(c)]
    seen = _seen("".join(text[number] for number in at).translate(_WIDE))
    spans = [(each, at[each.start], at[each.end - 1] + 1) for each in seen]
    return tuple(replace(each, start=start, end=end, value=text[start:end]) for each, start, end in spans)


def _seen(text: str) -> tuple[Secret, ...]:
    """The secrets of a text as it is seen: without what has no width."""
    kept: list[Secret] = []
    lower, had = text.lower(), bytearray(len(text))
    for rule, pattern in _compiled():
        if rule.hints and not any(hint in lower for hint in rule.hints):
            continue
        for match in pattern.finditer(text):
            start, end = match.span("value")
            if had.find(1, start, end) < 0 and not PLACEHOLDER.search(match["value"]) and _fits(rule, match):
                had[start:end] = b"\1" * (end - start)
                kept.append(Secret(rule.kind, start, end, match["value"], _prefix(rule, match)))
        if rule.kind == "KEY":
            kept += _broken(text, had)
    return tuple(sorted(kept, key=lambda secret: secret.start))


def _fits(rule: Rule, match: re.Match[str]) -> bool:
    if rule.kind == "RANDOM" and (inner := heuristics.decoded(match["value"])):
        return bool(_found(inner))
    return rule.fits(match)


def _prefix(rule: Rule, match: re.Match[str]) -> str:
    return match["prefix"] if rule.kind == "KEY" else ""


@lru_cache(maxsize=1)
def _compiled() -> tuple[tuple[Rule, re.Pattern[str]], ...]:
    return tuple((rule, re.compile(rule.pattern)) for rule in RULES)


def _broken(text: str, had: bytearray) -> Iterator[Secret]:
    """Keys that a line's end or a quote parts. What is found is marked in `had`."""
    breaks = list(_BREAK.finditer(text))
    begins = [0, *(each.end() for each in breaks)]
    ends = [*(each.start() for each in breaks), len(text)]
    pieces = [text[begin:end] for begin, end in zip(begins, ends, strict=True)]
    joined, cuts = "".join(pieces), list(accumulate(map(len, pieces[:-1])))
    for match in _BEGINNING.finditer(joined) if breaks else ():
        first = bisect_right(cuts, match.start())
        last = _last(joined, match, cuts, first)
        if not last or not _goes_on(joined, match, breaks[first], cuts[first], last):
            continue
        start = begins[first] + match.start() - (cuts[first - 1] if first else 0)
        piece = bisect_left(cuts, last)
        end = begins[piece] + last - cuts[piece - 1]
        if had.find(1, start, end) < 0:
            had[start:end] = b"\1" * (end - start)
            yield Secret("KEY" if match["prefix"] else "JWT", start, end, text[start:end], match["prefix"] or "")


def _last(joined: str, match: re.Match[str], cuts: list[int], first: int) -> int:
    """Where a key ends whose first break is the cut `first`: with the first piece that makes it whole; 0 for none."""
    start, token = match.start(), _GOES_ON.match(joined, match.start())
    last = token.end() if token else start
    if first == len(cuts) or cuts[first] >= last:
        return 0
    for end in [*(cut for cut in cuts[first + 1 : first + 4] if cut < last), last]:
        if joined[end - 1] != "." and _BEGINNING.match(joined, start, end):
            return end
    return 0


def _goes_on(joined: str, match: re.Match[str], parting: re.Match[str], cut: int, last: int) -> bool:
    """A quote or a backslash says so; behind a bare line's end it must look so."""
    said = parting[0].strip() not in ("", "\\n", "\\r\\n")
    return said or heuristics.continues(joined[match.end() : cut], joined[cut:last])
