"""Heuristics that reject false positives: words, variables, versions, digests and file names are not secrets."""

from __future__ import annotations

import base64
import binascii
import ipaddress
import math
import re
from collections import Counter
from itertools import pairwise

RANDOM = 20
"""Characters from which on a text can look random."""
SAID = ("password", "passwd", "passphrase", "passwort", "kennwort", "pwd", "secret")
"""Names of what people choose themselves: letters alone can be one."""
ISSUED = (
    *("token", "api_key", "api-key", "apikey", "access_key", "access-key", "accesskey", "accesskeyid", "account_key"),
    *("accountkey", "auth_key", "private_key", "client_key", "encryption_key", "signing_key", "credential", "passcode"),
    *("api key", "access key", "auth key", "x-amz-signature", "x-amz-credential", "x-goog-signature"),
    *("?sig", "&sig", "&signature"),
)
"""Names of what a machine makes: it has a digit."""
_DIGEST = re.compile(
    r"(?<![A-Za-z0-9])(?:[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}"
    r"|[0-9a-f]{24}|[0-9a-f]{32}|[0-9a-f]{40}|[0-9a-f]{56}|[0-9a-f]{64}|[0-9a-f]{96}|[0-9a-f]{128})(?![A-Za-z0-9])"
)
"""UUID, ObjectId, MD5, SHA-1, SHA-224, -256, -384, -512."""
_DULL = re.compile(
    "string|text|number|integer|boolean|object|array|null|none|true|false|undefined|required|optional|example|value|"
    "secret|password|token|bearer|basic|environ|environment|hidden|masked|empty|default|unknown|invalid|expired|missing|"
    "changed|correct|incorrect|wrong|protected|encrypted|needed|stored|auth(?:entication|orization)?|credentials?|"
    r"(?:your|xxx|env\.|process\.|os\.|self\.|config\.|settings\.).*|.*(?:\*\*\*|\.\.\.|…).*"
)
"""Values that are none: words, placeholders, code that reads a secret from elsewhere."""
_VARIABLE = re.compile(r"\$\{?\w+\}?|\$\(.*|%\w+%|\{+[\w. ]+\}+|\*+")
_FILES = re.compile("png|jpe?g|gif|webp|svg|ico|pdf|css|[jt]sx?|py|md|html|json|xml|ya?ml|toml|txt", re.IGNORECASE)
"""What follows the last dot of a file, and of no mailbox."""
_NUMBERED = re.compile(r"(?:call|chatcmpl|toolu|msg|resp|run|thread|asst|req|fc|tool)[_-]|sha(?:1|256|384|512)-")
"""Before what a server numbers its answers by, and before checksums."""
_WORDS = re.compile(r"[A-Z]?[a-z]{2,}")
_HEX = re.compile(r"[0-9a-f]+|[0-9A-F]+")
_LINE_ENDS = re.compile(r"\.?[ \t]*(?:\Z|\r?\n|\\[rn])")
_KEYED = re.compile(
    r"(?<![A-Za-z])(?i:key|token|secret|app_?id|passw(?:or)?d|credential|auth)s?(?![A-Za-z])"
    r"|(?<=[a-z])(?:Key|Token|Secret)s?(?![a-z])|(?i:api_?(?:key|token))s?(?![a-z])"
)
"""Words beside which hex is a key."""
_SUMMED = re.compile(
    "(?i)sha-?[1235]|md5|commit|checksum|digest|hash|etag|revision|blob|cache|fingerprint|version|idempot|primary|"
    "foreign|public|sort|dedup|trace|span|uuid|image|layer"
)
"""Words beside which it is none, whatever else stands there."""
_COMMAND = re.compile(
    r"(?<![\w.-])(curl|https?(?=\s)|mysql|mariadb|sshpass|redis-cli|(?:un)?zip|7z|(?:docker|podman) login)(?![.])"
)
_TYPED = {
    ("mysql", "-p", False),
    ("mariadb", "-p", False),
    ("7z", "-p", False),
    *(("sshpass", "-p", spaced) for spaced in (False, True)),
    ("redis-cli", "-a", True),
    *((name, "-P", True) for name in ("zip", "unzip")),
    *((f"{name} login", "-p", True) for name in ("docker", "podman")),
}
"""(command, option, does its password stand behind a space?)"""


def chosen(value: str, *, quoted: bool, issued: bool) -> bool:
    """Can this be what somebody chose or a machine made? A type, a variable or a placeholder is none."""
    word = value.lower().strip(".!?:")
    if _DULL.fullmatch(word) or word in (*SAID, *ISSUED) or len(set(word)) < 3 or value[0] in "$%{<*":
        return False
    odd = any(c.isdigit() or (not issued and c in "!@#$%^&*?") for c in value)
    return len(value) >= 6 and any(c.isalpha() for c in value) and (odd or quoted)


def paired(match: re.Match[str]) -> bool:
    """`name = value`: code that reads a secret from elsewhere holds none."""
    text, value, sign, end = match.string, match["value"], match["sign"], match.end("value")
    closed = bool(match["quote"]) and text[end : end + 1] in ("\\", '"', "'", "`")
    if text[end : end + 1] in ("(", "[") or (sign == " " and not match["flag"]):
        return False
    if not closed and any(word in value.lower() for word in (*SAID, *ISSUED)):
        return False  # password=my_password: a variable
    name, tight = match["name"].lower(), sign.strip() == sign == "="
    said = name in SAID
    if not said and not closed and sign.strip().isalpha():  # `my api key is …`, and words go on in prose
        return len(value) >= 8 and _turns(value) >= 2
    before = text[max(0, match.start() - 1) : match.start()]
    shell = tight and bool(match["flag"] or match["name"].isupper() or before in ("?", "&"))
    alone = ":" in sign and name != "secret" and len(value) >= 8 and bool(_LINE_ENDS.match(text, end))
    return chosen(value, quoted=said and (closed or shell or alone), issued=not said)


def authorized(match: re.Match[str]) -> bool:
    """Is this what follows Authorization, Bearer or Basic, and no word of a sentence about them?"""
    value, rest = str(match["value"]), match.string[match.end("value") : match.end("value") + 2]
    if any(c.isdigit() for c in value) or login(value):
        return not _VARIABLE.fullmatch(value)
    prose = value.islower() and re.fullmatch(r" [^\W\d_]", rest) is not None
    return match["scheme"] is not None and not prose and chosen(value, quoted=True, issued=False)


def login(value: str) -> bool:
    """Is it `user:password` in base64?"""
    return re.fullmatch(r"[^\s:]{1,100}:\S{3,}", decoded(value, least=6)) is not None


def named_login(match: re.Match[str]) -> bool:
    """`"auth": "…"`, as Docker keeps it."""
    return login(match["value"])


def told_apart(match: re.Match[str]) -> bool:
    """Is it a password in a URL, and not the variable that holds it?"""
    return _VARIABLE.fullmatch(match["value"]) is None


def curled(match: re.Match[str]) -> bool:
    """`curl -u user:password`, and not `docker run -u 1000:1000`."""
    return _command(match) in ("curl", "http", "https") and _usable(match["value"])


def typed(match: re.Match[str]) -> bool:
    """A password behind a command's own option."""
    return (_command(match), match["flag"], bool(match["gap"])) in _TYPED and _usable(match["value"])


def beside_key(match: re.Match[str]) -> bool:
    """Hex is a digest, unless what stands before it in the line says that it is a key."""
    before = match.string[max(0, match.start("value") - 40) : match.start("value")]
    before = re.split(r"\n|\. ", before)[-1]
    return _KEYED.search(before) is not None and _SUMMED.search(before) is None


def address(match: re.Match[str]) -> bool:
    """Is it an IP address, and not a version or one that every machine has?"""
    text, before = match["value"], match.string[max(0, match.start() - 12) : match.start()]
    if text.endswith(".0.0.0") or re.search(r"(?i)(?:version|release|ver\.?|\bv)[\s:=]*$", before):
        return False
    try:
        found = ipaddress.ip_address(text)
    except ValueError:
        return False
    if found.is_loopback or found.is_unspecified or text.lower().startswith(("255.", "ffff:ffff:")):
        return False
    groups = [group for group in text.split(":") if group]  # `a[1::2]` is none
    return found.version == 4 or len(groups) > 2 or re.match(r"[23f][0-9a-f]{3}:", text.lower()) is not None


def mailbox(match: re.Match[str]) -> bool:
    """Is it an e-mail address, and not git@host:path or a file?"""
    shell = match["value"].lower().startswith("git@") and match.string[match.end() : match.end() + 1] in (":", "/")
    return not shell and not _FILES.fullmatch(match["value"].rpartition(".")[2])


def phone(match: re.Match[str]) -> bool:
    """Has it as many digits as a number with its country has?"""
    return 8 <= sum(c.isdigit() for c in str(match["value"])) <= 15


def random(match: re.Match[str]) -> bool:
    """Shannon's entropy near the most that the length allows, and as many turns between kinds as chance makes."""
    text = _DIGEST.sub("", match["value"]).strip("=_-+/")
    if len(text) < RANDOM or _NUMBERED.match(text) or not _alphanumeric(text):
        return False
    entropy = _entropy(text)
    if _HEX.fullmatch(text):
        return entropy > 3
    kinds = _kinds(text)
    beside = [(a, b) for a, b in pairwise(kinds) if "-" not in (a, b)]
    turns = sum(a != b for a, b in beside) / max(1, len(beside))  # words have few, however they are joined
    mixed = "a" in kinds and "A" in kinds
    if kinds.count("-") > max(2, len(text) / 12) or turns <= (0.4 if mixed else 0.25):
        return False
    return (_worded(text) if mixed else 0) < 0.7 and entropy > 0.8 * math.log2(min(len(text), 64 if mixed else 36))


def forty(match: re.Match[str]) -> bool:
    """Is it like AWS's secret keys, 40 of base64's characters? By chance one turns less often than `random` asks."""
    text = match["value"]
    mixed = any(c.islower() for c in text) and any(c.isupper() for c in text)
    return mixed and _alphanumeric(text) and _worded(text) < 0.4 and _entropy(text) > 4.2 and _turns(text) >= 8


def continues(first: str, rest: str) -> bool:
    """Can a key go on behind a line's end with `rest`? Words go on, too."""
    whole = not re.search("[-_.]", rest) or _worded(rest) < 0.6
    return len(first) >= 4 and len(rest) >= 8 and whole and _alphanumeric(rest)


def decoded(value: str, least: int = RANDOM - 6) -> str:
    """The text that stands here in base64; empty where it is none, as of random bytes."""
    if not re.fullmatch(r"[A-Za-z0-9+/_-]{8,5000}={0,2}", value):
        return ""
    bare = value.rstrip("=").translate(str.maketrans("-_", "+/"))
    try:
        text = base64.b64decode(bare + "=" * (-len(bare) % 4), validate=True).decode("ascii")
    except (binascii.Error, ValueError):
        return ""
    return text if len(text) >= least and all(c.isprintable() or c in "\n\t" for c in text) else ""


def _usable(value: str) -> bool:
    return not (_DULL.fullmatch(value.lower()) or _VARIABLE.match(value))


def _command(match: re.Match[str]) -> str:
    """The command that an option belongs to: the last one of its line, which a backslash goes on with."""
    before = re.split(r"(?<!\\)\n|[;|&]", match.string[max(0, match.start() - 400) : match.start()])[-1]
    return str((_COMMAND.findall(before) or [""])[-1])


def _alphanumeric(text: str) -> bool:
    return any(c.isdigit() for c in text) and any(c.isalpha() for c in text)


def _kinds(text: str) -> list[str]:
    return ["a" if c.islower() else "A" if c.isupper() else "0" if c.isdigit() else "-" for c in text]


def _turns(text: str) -> int:
    return sum(a != b for a, b in pairwise(_kinds(text)) if "-" not in (a, b))


def _worded(text: str) -> float:
    """The share of it that could be words."""
    return sum(map(len, _WORDS.findall(text))) / len(text)


def _entropy(text: str) -> float:
    return -sum(n / len(text) * math.log2(n / len(text)) for n in Counter(text).values())
