"""What a text or a conversation asks, in plain words: the same however it is written."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Iterator, Sequence

import regex

from gate.types import Json

WORDS = 5
"""Fewer words may stand in a longer text by chance, and said after an earlier turn they ask nothing without it."""
END = ": "
"""Behind the kind of what is asked: no mark (gate.cases.loader.marks) has it."""
_HIDDEN = regex.compile(
    r"[\p{Default_Ignorable_Code_Point}\p{Cf}\p{Cs}]|(?![\u3099\u309A])[\p{Script=Inherited}&&\p{M}]", regex.V1
)
_DIGIT = regex.compile(r"(?![0-9])\p{Nd}")
_BETWEEN = regex.compile(r"(?<=\p{N})\s*([-+*/<>=^×÷−])\s*(?=\p{N})|[^\p{L}\p{N}\p{M}]+")
_SUM = regex.compile(r"[0-9]\s*[-+*/<>=^]\s*[0-9]")
_SPACED = {code: " " for code in range(128) if not chr(code).isalnum()}
_UPPER = str.maketrans("ΗΝΜΥ", "HNMY")
"""Greek capitals whose small letters look like other Latin ones."""
_LATIN = str.maketrans(
    "авгекмнопрстухьіјѕѵԁԛԝһӏүԍαβεζηικμνορτυχγϲօսհոցյզɡıȷɑʟøłđħŧƀɩʋᴀʙᴄᴅᴇꜰɢʜɪᴊᴋᴍɴᴏᴘʀꜱᴛᴜᴠᴡʏᴢ",
    "abrekmhonpctyxbijsvdqwhlygabezhikmvoptuxycouhngjqgijaloldhtbiuabcdefghijkmnoprstuvwyz",
)
"""Small letters that pass for a Latin one, or whose capitals do (Unicode TR39), beside those that NFKC makes Latin."""
_BOXED = {first + n: chr(97 + n) for first in (0x1F150, 0x1F170, 0x1F1E6) for n in range(26)}
"""Letters as symbols that NFKC leaves: in black circles, in black squares, of flags."""


def asking(messages: Sequence[Json]) -> str:
    """What a conversation asks last, in plain words, and whether it goes on from a tool's result."""
    kind = "result" if messages and messages[-1]["role"] == "tool" else "request"
    return f"{kind}{END}{plain(said(messages))}"


def said(messages: Sequence[Json]) -> str:
    """From the last user message on: what a tool answered since then makes it another question."""
    users = [number for number, message in enumerate(messages) if message["role"] == "user"]
    enough = users and (len(users) == 1 or len((messages[users[-1]]["content"] or "").split()) >= WORDS)
    return _joined(messages[users[-1] :] if enough else messages)


def ways(messages: Sequence[Json]) -> list[str]:
    """What a case may be known by: its last request with what came since, that request alone, and all of it."""
    kind, end, whole = asking(messages).partition(END)
    users = [plain(str(each["content"] or "")) for each in messages if each["role"] == "user"]
    texts = [whole, *([] if kind == "result" else users[-1:]), plain(_joined(messages))]
    return list(dict.fromkeys(f"{kind}{end}{text}" for text in texts if text))


def long(text: str) -> bool:
    """Has a text in plain words so many that it is not said by chance? Some languages do not part their words."""
    return len(text.split()) >= WORDS or len(bare(text)) >= 4 * WORDS


def plain(text: str) -> str:
    """A text in small letters and digits, one space for all else, however it is written.

    What cannot be seen is left out, as are accents; letters that look Latin become so, digits what they count. A sign
    of arithmetic between two numbers stays: "3 + 4" is not "3 - 4".
    """
    folded = text.casefold() if text.isascii() else _folded(text)
    if folded.isascii() and not _SUM.search(folded):  # as below, four times as fast
        return " ".join(folded.translate(_SPACED).split()) or "".join(text.split())
    return str(_BETWEEN.sub(lambda found: found[1] or " ", folded)).strip() or "".join(text.split())


def bare(text: str) -> str:
    """A plain text without its spaces: so letters that stand apart, and words that do not, are the same."""
    return text.replace(" ", "")


def _joined(messages: Sequence[Json]) -> str:
    parts = (part for each in messages if each["role"] not in ("system", "developer") for part in _parts(each))
    return "\n".join(filter(None, parts))


def _parts(message: Json) -> Iterator[str]:
    yield str(message["content"] or "")
    for call in message.get("tool_calls", []):
        function = call["function"]
        yield f"{function['name']} {json.dumps(function['arguments'], sort_keys=True, ensure_ascii=False)}"


def _folded(text: str) -> str:
    """A text as it looks: NFKC, no case, no marks, nothing hidden, Latin letters for their doubles."""
    bared = _HIDDEN.sub("", unicodedata.normalize("NFKD", text.translate(_BOXED))).translate(_UPPER)
    small = unicodedata.normalize("NFKC", bared.casefold()).translate(_LATIN)
    return str(_DIGIT.sub(lambda found: str(unicodedata.decimal(found[0])), small))
