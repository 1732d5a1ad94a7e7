"""What should not be in a text: keys, passwords, and what tells of a person or a machine.

What looks random (20 characters or more) counts as a secret. Plain hex of a digest's length does not, nor a UUID: in an
agent's traffic these are commits, checksums and ids, and a key in hex stands beside a name or behind a prefix, by which
it is found. Addresses that are the same on every machine (127.0.0.1, ::1, netmasks) are none. A person's name in prose
is found by no pattern.
"""

from __future__ import annotations

import ipaddress
import math
import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import Any

from gate.casebook.vendors import KEYS
from gate.words import join

PLACEHOLDER = re.compile(r"<([A-Z]{1,20})_(\d{1,6})>|REDACTED(?:_(\d{1,6}))?(?!\w)")
"""What gate.casebook.redact writes."""
RANDOM = 20
"""Characters from which on a text can look random."""
_DIGEST = re.compile(
    r"(?<![A-Za-z0-9])(?:[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}"
    r"|[0-9a-f]{24}|[0-9a-f]{32}|[0-9a-f]{40}|[0-9a-f]{56}|[0-9a-f]{64}|[0-9a-f]{96}|[0-9a-f]{128})(?![A-Za-z0-9])"
)
"""UUID, ObjectId, MD5, SHA-1, SHA-224, -256, -384, -512."""
_SAID = ("password", "passwd", "passphrase", "passwort", "kennwort", "pwd", "secret")
"""Names of what people choose themselves: letters alone can be one."""
_ISSUED = (
    *("token", "api_key", "api-key", "apikey", "access_key", "access-key", "accesskey", "accesskeyid", "account_key"),
    *("accountkey", "auth_key", "private_key", "client_key", "encryption_key", "signing_key", "credential", "passcode"),
    *("x-amz-signature", "x-amz-credential", "x-goog-signature", "?sig", "&sig", "&signature"),
)
"""Names of what a machine makes: it has a digit."""
_DULL = re.compile(
    "string|text|number|integer|boolean|object|array|null|none|true|false|undefined|required|optional|example|value|"
    "secret|password|token|bearer|basic|environ|environment|hidden|masked|empty|default|unknown|invalid|expired|missing|"
    "changed|correct|incorrect|wrong|protected|encrypted|needed|stored|"
    r"(?:your|xxx|env\.|process\.|os\.|self\.|config\.|settings\.).*|.*(?:\*\*\*|\.\.\.|…).*"
)
"""Values that are none: words, placeholders, code that reads a secret from elsewhere."""
_FILES = re.compile("png|jpe?g|gif|webp|svg|ico|pdf|css|[jt]sx?|py|md|html|json|xml|ya?ml|toml|txt", re.IGNORECASE)
"""What follows the last dot of a file, and of no mailbox."""
_ANYBODY = re.compile(r"[~/](?:user|username|name|runner|ubuntu|default|me|you|root|vscode|app|node)", re.IGNORECASE)
_NUMBERED = re.compile(r"(?:call|chatcmpl|toolu|msg|resp|run|thread|asst|req|fc|tool)[_-]|sha(?:1|256|384|512)-")
"""Before what a server numbers its answers by, and before checksums."""
_WORDS = re.compile(r"[A-Z]?[a-z]{2,}")
_HEX = re.compile(r"[0-9a-f]+|[0-9A-F]+")


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


@dataclass(frozen=True, slots=True)
class _Rule:
    """What to look for where one of the hints is in the lower-case text: hints are found a hundred times faster."""

    kind: str
    hints: tuple[str, ...]
    pattern: str
    """Its group `value` is the secret."""
    fits: Callable[[re.Match[str]], bool] = lambda _: True


def places(value: Any) -> list[tuple[str, Secret]]:
    """(path, secret) of all that a JSON value holds."""
    return [(where, secret) for where, name, text in texts(value) for secret in found(text, name)]


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


def found(text: str, name: str = "") -> tuple[Secret, ...]:
    """What a text holds, in its order. `name`: the key whose value it is; if that is "password", it is all secret."""
    every = _found(text)
    lower = name.lower()
    said = any(word in lower for word in _SAID)
    named = said or any(word in lower for word in _ISSUED)
    if every or not named or PLACEHOLDER.search(text) or any(c.isspace() for c in text):
        return every
    return (
        (Secret("PASSWORD" if said else "TOKEN", 0, len(text), text),)
        if _chosen(text, quoted=said, issued=not said)
        else ()
    )


@lru_cache(maxsize=8192)
def _found(text: str) -> tuple[Secret, ...]:
    """Where two rules meet, the earlier one has it: it knows more."""
    kept: list[Secret] = []
    lower, had = text.lower(), bytearray(len(text))
    for rule, pattern in _compiled():
        if rule.hints and not any(hint in lower for hint in rule.hints):
            continue
        for match in pattern.finditer(text):
            start, end = match.span("value")
            if had.find(1, start, end) < 0 and not PLACEHOLDER.search(match["value"]) and rule.fits(match):
                prefix = match["prefix"] if rule.kind == "KEY" else ""
                had[start:end] = b"\1" * (end - start)
                kept.append(Secret(rule.kind, start, end, match["value"], prefix))
    return tuple(sorted(kept, key=lambda secret: secret.start))


@lru_cache(maxsize=1)
def _compiled() -> tuple[tuple[_Rule, re.Pattern[str]], ...]:
    return tuple((rule, re.compile(rule.pattern)) for rule in _RULES)


def _chosen(value: str, *, quoted: bool, issued: bool) -> bool:
    """Can this be what somebody chose or a machine made? A type, a variable or a placeholder is none."""
    word = value.lower().strip(".!?:")
    if _DULL.fullmatch(word) or word in (*_SAID, *_ISSUED) or len(set(word)) < 3 or value[0] in "$%{<*":
        return False
    odd = any(c.isdigit() or (not issued and c in "!@#$%^&*?") for c in value)
    return len(value) >= 6 and any(c.isalpha() for c in value) and (odd or quoted)


def _paired(match: re.Match[str]) -> bool:
    """`name = value`: code that reads a secret from elsewhere holds none."""
    text, end = match.string, match.end("value")
    closed = bool(match["quote"]) and text[end : end + 1] in ("\\", '"', "'", "`")
    if text[end : end + 1] in ("(", "[") or (match["sign"] == " " and not match["flag"]):
        return False
    if not closed and any(word in match["value"].lower() for word in (*_SAID, *_ISSUED)):
        return False  # password=my_password: a variable
    said, tight = match["name"].lower() in _SAID, match["sign"].strip() == match["sign"] == "="
    before = text[max(0, match.start() - 1) : match.start()]
    shell = tight and bool(match["flag"] or match["name"].isupper() or before in ("?", "&"))
    return _chosen(match["value"], quoted=said and (closed or shell), issued=not said)


def _address(match: re.Match[str]) -> bool:
    """Is it an IP address, and not a version or one that every machine has?"""
    text, before = match["value"], match.string[max(0, match.start() - 12) : match.start()]
    if text.endswith(".0.0.0") or re.search(r"(?i)(?:version|release|ver\.?|\bv)[\s:=]*$", before):
        return False
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return False
    if address.is_loopback or address.is_unspecified or text.lower().startswith(("255.", "ffff:ffff:")):
        return False
    groups = [group for group in text.split(":") if group]  # `a[1::2]` is none
    return address.version == 4 or len(groups) > 2 or re.match(r"[23f][0-9a-f]{3}:", text.lower()) is not None


def _mailbox(match: re.Match[str]) -> bool:
    shell = match["value"].lower().startswith("git@") and match.string[match.end() : match.end() + 1] in (":", "/")
    return not shell and not _FILES.fullmatch(match["value"].rpartition(".")[2])


def _random(match: re.Match[str]) -> bool:
    """Shannon's entropy near the most that the length allows, and as many turns between kinds as chance makes."""
    text = _DIGEST.sub("", match["value"]).strip("=_-+/")
    if len(text) < RANDOM or _NUMBERED.match(text):
        return False
    if not any(c.isdigit() for c in text) or not any(c.isalpha() for c in text):
        return False
    entropy = -sum(n / len(text) * math.log2(n / len(text)) for n in Counter(text).values())
    if _HEX.fullmatch(text):
        return entropy > 3
    kinds = ["a" if c.islower() else "A" if c.isupper() else "0" if c.isdigit() else "-" for c in text]
    beside = [(a, b) for a, b in pairwise(kinds) if "-" not in (a, b)]
    turns = sum(a != b for a, b in beside) / max(1, len(beside))  # words have few, however they are joined
    mixed = "a" in kinds and "A" in kinds
    if kinds.count("-") > max(2, len(text) / 12) or turns <= (0.4 if mixed else 0.25):
        return False
    words = sum(map(len, _WORDS.findall(text))) / len(text) if mixed else 0
    return words < 0.7 and entropy > 0.8 * math.log2(min(len(text), 64 if mixed else 36))


def _pairs(kind: str, names: tuple[str, ...], more: str) -> _Rule:
    """`name = value` in code, in JSON, also within a text, in a shell and in a URL."""
    words = "|".join(map(re.escape, sorted(names, key=len, reverse=True)))
    name = rf"(?P<flag>--[\w-]{{0,30}}?)?(?P<name>{words})\\*[\"'`]?"
    sign = rf"(?P<sign>\s{{0,3}}(?:=>|:=|=|:)\s{{0,3}}|{more}\s)(?P<quote>\\*[\"'`])?"
    end = r"(?P<value>[^\s\"'`<>(){}\[\],;|&\\]{3,400}[^\s\"'`<>(){}\[\],;|&\\.:])"
    return _Rule(kind, names, f"(?i){name}{sign}{end}", _paired)


def _after(characters: str) -> str:
    """Not right behind these, but for a line break as JSON writes it in a text."""
    return rf"(?:(?<![{characters}])|(?<=\\[nrt]))"


_NAME = r"\w[\w-]*(?:\.[\w-]+)*"
_RULES = (
    _Rule(
        "PEM",
        ("-----begin",),
        r"(?P<value>-----BEGIN [A-Z0-9 ]{1,40}-----"
        r"(?:(?s:.){0,8000}?-----END [A-Z0-9 ]{1,40}-----|(?:(?:\s|\\[nr])*[\w+/=]{16,76})*))",
    ),
    _Rule("PASSWORD", ("://",), r"[A-Za-z][\w+.-]{1,20}://[^\s/:@\"'<>]{0,100}:(?P<value>[^\s/\"'<>]{1,200})@"),
    _Rule("JWT", ("eyj",), _after(r"\w-") + r"(?P<value>eyJ[\w-]{8,}\.[\w-]{8,}(?:\.[\w-]*)?)"),
    _Rule(
        "KEY",
        tuple({start.lower() for start, _, _ in KEYS}),
        _after("A-Za-z0-9_-")
        + "(?P<value>(?P<prefix>"
        + "|".join(f"{re.escape(start)}{more}(?={rest})" for start, more, rest in KEYS)
        + r")[\w.+/=-]*[\w=-])",
    ),
    _Rule(
        "CREDENTIAL",
        ("authorization", "api-key"),
        r"(?i)(?:authorization|x-api-key|\bapi-key)\\*[\"']?\s{0,3}[:=]\s{0,3}\\*[\"']?"
        r"(?:(?:bearer|basic|token|digest|apikey|negotiate)\s{1,3})?(?P<value>[^\s\"'<>\\,;]{8,4000})",
        lambda match: any(c.isdigit() for c in match["value"]),
    ),
    _Rule(
        "CREDENTIAL",
        ("cookie",),
        r"(?i)\bcookie\\*[\"']?\s{0,3}:\s{0,3}\\*[\"']?(?P<value>[\w-]+=[^\r\n\"'<>\\]{4,4000})",
    ),
    _Rule(
        "CREDENTIAL",
        ("bearer ", "basic "),
        r"(?i)\b(?:bearer|basic)\s{1,3}(?P<value>(?=[\w.~+/-]*\d)[\w.~+/-]{12,}=*)",
    ),
    _pairs("PASSWORD", _SAID, r"(?:\s(?:is|ist|lautet):?)?"),
    _pairs("TOKEN", _ISSUED, ""),
    _Rule(
        "EMAIL",
        ("@",),
        r"(?<![\w.+@-])(?:(?<=\\)[nrt])?+(?P<value>[\w.+-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63})*\.[^\W\d_]{2,24})(?!\w)",
        _mailbox,
    ),
    _Rule(
        "HOME",
        ("/home/", "/users/", "\\users\\"),
        _after(r"\w.~-")
        + rf"(?<!(?<!file:/)/)(?P<value>(?:(?:/var|/export)?/home|(?:(?:/mnt)?/[a-z])?/Users)/(?!Shared\b){_NAME}"
        rf"|[A-Za-z]:(?:\\{{1,2}}|/)Users(?:\\{{1,2}}|/)(?!Public\b){_NAME}(?: [A-Z]{_NAME}(?=\\))?)",
    ),
    _Rule("IP", (), _after(r"\w.") + r"(?P<value>\d{1,3}(?:\.\d{1,3}){3})(?!\.?\d|[A-Za-z_])", _address),
    _Rule(
        "IP", ("::", ":"), _after(r"\w:.") + r"(?P<value>[0-9A-Fa-f]{0,4}(?::[0-9A-Fa-f]{0,4}){2,7})(?![\w:])", _address
    ),
    _Rule(
        "PHONE",
        ("+",),
        _after(r"\w+") + r"(?P<value>\+[1-9]\d{0,2}[\s./-]?(?:\(\d{1,4}\)[\s./-]?)?\d(?:[\s./-]?\d){4,13})(?!\w|,\d)",
        lambda match: 8 <= sum(c.isdigit() for c in match["value"]) <= 15,
    ),
    _Rule("RANDOM", (), r"(?:(?<=\\)[nrt])?+(?P<value>[A-Za-z0-9+/_-]{20,5000}={0,2})", _random),
)
