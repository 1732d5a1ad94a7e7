"""Detection rules for secrets, most specific first."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from gate.authoring.redaction import heuristics
from gate.authoring.redaction.heuristics import ISSUED, SAID
from gate.authoring.redaction.vendors import KEYS


@dataclass(frozen=True, slots=True)
class Rule:
    """What to look for where one of the hints is in the lower-case text: hints are found a hundred times faster."""

    kind: str
    hints: tuple[str, ...]
    pattern: str
    """Its group `value` is the secret."""
    fits: Callable[[re.Match[str]], bool] = lambda _: True


def after(characters: str) -> str:
    """Not right behind these, but for a line break as JSON writes it in a text."""
    return rf"(?:(?<![{characters}])|(?<=\\[nrt]))"


def _pairs(kind: str, names: tuple[str, ...], more: str) -> Rule:
    """`name = value` in code, in JSON, also within a text, in a shell and in a URL."""
    words = "|".join(map(re.escape, sorted(names, key=len, reverse=True)))
    name = rf"(?P<flag>--[\w-]{{0,30}}?)?(?P<name>{words})\\*[\"'`]?"
    sign = rf"(?P<sign>\s{{0,3}}(?:=>|:=|=|:)\s{{0,3}}|{more}\s)(?P<quote>\\*[\"'`])?"
    end = r"(?P<value>[^\s\"'`<>(){}\[\],;|&\\]{3,400}[^\s\"'`<>(){}\[\],;|&\\.:])"
    return Rule(kind, names, f"(?i){name}{sign}{end}", heuristics.paired)


VENDOR = "(?P<prefix>" + "|".join(f"{re.escape(start)}{more}(?={rest})" for start, more, rest in KEYS) + ")"
"""How a vendor's key begins, where it goes on as one does."""
_NEXT = r"(?:[ \t]*(?:\r?\n|\\[nr])){1,2}(?:[ \t]|\\t)*"
"""To the next line, also as JSON writes it, and behind what it is indented by."""
_ENDS = r"(?=[ \t]*(?:\r?\n|\\[nr]|[\"'`]|\Z))"
_LINES = rf"(?:{_NEXT}(?:[\w+/=]{{16,76}}|[\w-]{{1,30}}: [^\n\\]{{1,80}}){_ENDS})*(?:{_NEXT}[\w+/=]{{1,76}}{_ENDS})?"
"""Lines of a key in base64, the last one shorter."""
_NAME = r"\w[\w-]*(?:\.[\w-]+)*"
_FULL = r"[A-Z][\w-]*(?:\\? [A-Z][\w-]*){1,2}(?=/)"
"""Names of a folder that is called after a whole person."""
_DISK = (
    r"/(?:data|nfs|net|private|host|rootfs|scratch|srv|System/Volumes/Data|mnt/[\w.-]{1,40}|Volumes/[^/\n\"'<>]{1,40})"
)
"""Where the disk of another machine, or another disk, is seen."""
_DRIVE = r"(?:/(?:mnt|cygdrive|host_mnt))?/[a-z]"
_OWN = r"(?!(?i:public)\b)"
_STEP = r"(?:\\{1,4}|/)"
_FLAG = r"(?<=\s-[A-Za-z])|(?<=[\"'`]-[A-Za-z])|(?<=\A-[A-Za-z])"
"""Behind an option that its value is written to: -I/home/…"""
_APART = after(r"\w.~-")
RULES = (
    Rule(
        "PEM",
        ("-----begin",),
        r"(?P<value>-----BEGIN [A-Z0-9 ]{1,40}-----(?:(?s:.){0,8000}?-----END [A-Z0-9 ]{1,40}-----|" + _LINES + "))",
    ),
    Rule("PEM", ("private-lines",), rf"(?P<value>Private-Lines: ?\d+(?:{_NEXT}[\w+/=]{{1,76}}{_ENDS})+)"),
    Rule(
        "PASSWORD",
        ("://",),
        r"[A-Za-z][\w+.-]{1,20}://[^\s/:@\"'<>]{0,100}:"
        r"(?P<value>(?!\d{1,5}/|[$%{])[^\s\"'<>?#]{1,200}(?=@)|[^\s/\"'<>]{1,200}(?=@))@",
        heuristics.told_apart,
    ),
    Rule("JWT", ("eyj",), after(r"\w-") + r"(?P<value>eyJ[\w-]{8,}\.[\w-]{8,}(?:\.[\w-]*)?)"),
    Rule(
        "KEY",
        ("eyj", *{start.lower() for start, _, _ in KEYS}),
        after("A-Za-z0-9_-") + f"(?P<value>{VENDOR}" + r"[\w.+/=-]*[\w=-])",
    ),
    Rule("CREDENTIAL", ("-us",), r"(?<!\w)(?P<value>[0-9a-f]{32}-us\d{1,2})(?!\w)"),
    Rule(
        "CREDENTIAL",
        ("authorization", "api-key"),
        r"(?i)(?:authorization|x-api-key|\bapi-key)\\*[\"']?\s{0,3}[:=]\s{0,3}\\*[\"']?"
        r"(?:(?P<scheme>bearer|basic|token|digest|apikey|negotiate)\s{1,3})?(?P<value>[^\s\"'<>\\,;]{8,4000})",
        heuristics.authorized,
    ),
    Rule(
        "CREDENTIAL",
        ("cookie",),
        r"(?i)\bcookie\\*[\"']?\s{0,3}:\s{0,3}\\*[\"']?(?P<value>[\w-]+=[^\r\n\"'<>\\]{4,4000})",
    ),
    Rule(
        "CREDENTIAL",
        ("bearer ", "basic "),
        r"(?i)\b(?:bearer|basic)\s{1,3}(?P<value>(?=[\w.~+/-]*\d)[\w.~+/-]{12,}=*)",
    ),
    Rule("CREDENTIAL", ("basic ",), r"(?i)\bbasic\s{1,3}(?P<value>[\w+/-]{8,}={0,2})", heuristics.named_login),
    Rule(
        "CREDENTIAL",
        ("auth",),
        r"(?i)(?<![a-z])auth\\*[\"']?\s{0,3}[:=]\s{0,3}\\*[\"']?(?P<value>[\w+/-]{8,}={0,2})",
        heuristics.named_login,
    ),
    Rule(
        "PASSWORD",
        ("curl", "http "),
        r"(?<!\S)(?:-[uUa]\s{0,2}|--(?:proxy-)?user[ =])\\?[\"']?[^\s:\"'\\]{1,100}:(?P<value>[^\s\"'\\]{3,200})",
        heuristics.curled,
    ),
    Rule(
        "PASSWORD",
        ("mysql", "mariadb", "sshpass", "redis-cli", "zip", "7z", " login"),
        r"(?<!\S)(?P<flag>-[paP])(?P<gap>\s{0,2})\\?[\"']?(?P<value>[^\s\"'\\;|&]{4,200})",
        heuristics.typed,
    ),
    Rule(
        "PASSWORD",
        ("machine",),
        r"\bmachine(?:\s|\\n){1,5}\S{1,200}(?:\s|\\n){1,5}(?:login(?:\s|\\n){1,5}\S{1,100}(?:\s|\\n){1,5})?"
        r"password(?:\s|\\n){1,5}(?P<value>[^\s\\\"']{3,200})",
    ),
    _pairs("PASSWORD", SAID, r"(?:\s(?:is|ist|lautet):?)?"),
    _pairs("TOKEN", ISSUED, r"(?:\s(?:is|ist|lautet))?"),
    Rule(
        "EMAIL",
        ("@", "%40"),
        r"(?<![\w.+@-])(?:(?<=\\)[nrt])?+(?P<value>[\w.+-]{1,64}(?:@|%40)[\w-]{1,63}(?:\.[\w-]{1,63})*"
        r"\.(?:xn--[\w-]{2,40}|[^\W\d_]{2,24}))(?!\w)",
        heuristics.mailbox,
    ),
    Rule(
        "HOME",
        ("/home/", "/users/", "\\users\\", ":\\documents"),
        rf"(?:{_APART}|{_FLAG}|(?<=://file))(?<!(?<!file:/)/)(?P<value>"
        rf"(?:{_DISK})?(?:/var|/export|/usr)?/home/{_NAME}|(?:{_DISK}|{_DRIVE})?/Users/(?!Shared\b)(?:{_FULL}|{_NAME})"
        rf"|[A-Za-z]:{_STEP}(?:(?i:users)|Documents and Settings){_STEP}{_OWN}{_NAME}(?: [A-Z]{_NAME}(?=\\))?"
        rf"|(?<!\\)(?:\\{{2,8}}[\w.$-]{{1,60}})?\\{{1,4}}(?i:users)\\{{1,4}}{_OWN}{_NAME})",
    ),
    Rule(
        "HOME",
        ("%2fhome%2f", "%2fusers%2f"),
        rf"(?:(?<![\w.~%-])|(?<=%2F%2F)|(?<=%2f%2f))(?P<value>%2[Ff](?:home|Users)%2[Ff](?!Shared\b){_NAME})",
    ),
    Rule("HOME", ("-users-", "-home-"), r"(?<=[/\\])(?P<value>(?:[A-Z]-)?-(?:Users|home)-[A-Za-z0-9_][\w-]*)"),
    Rule("IP", (), after(r"\w.") + r"(?P<value>\d{1,3}(?:\.\d{1,3}){3})(?!\.?\d|[A-Za-z_])", heuristics.address),
    Rule(
        "IP",
        ("::", ":"),
        after(r"\w:.") + r"(?P<value>[0-9A-Fa-f]{0,4}(?::[0-9A-Fa-f]{0,4}){2,7})(?![\w:])",
        heuristics.address,
    ),
    Rule(
        "PHONE",
        ("+",),
        after(r"\w+") + r"(?P<value>\+[1-9]\d{0,2}[\s./-]?(?:\(\d{1,4}\)[\s./-]?)?\d(?:[\s./-]?\d){4,13})(?!\w|,\d)",
        heuristics.phone,
    ),
    Rule(
        "TOKEN",
        ("key", "token", "secret", "app", "passw", "credential", "auth"),
        r"(?<![A-Za-z0-9])(?P<value>[0-9a-f]{32,64}|[0-9A-F]{32,64})(?![A-Za-z0-9])",
        heuristics.beside_key,
    ),
    Rule("RANDOM", (), r"(?<![\w+/.-])(?P<value>[A-Za-z0-9+/]{40})(?![\w+/=-])", heuristics.forty),
    Rule("RANDOM", (), r"(?:(?<=\\)[nrt])?+(?P<value>[A-Za-z0-9+/_-]{20,5000}={0,2})", heuristics.random),
)
