"""Text folding, in named levels: which differences between two texts count, and which do not.

caseless    case and the ways to compose a letter          what an answer contains
letters     and white space and common punctuation         the matcher `$text`
words       compatibility forms, case, punctuation         duplicates, P19
appearance  all that a reader takes for the same letter    contaminated cases, the guard of a repair
unspaced    spaces in what one of these has made           words that are written apart, or together
visible     what a reader does not see                     style rules
unmasked    what hides an order from a rule                answers that speak to the judge
"""

from __future__ import annotations

import unicodedata

import regex

_IGNORED = frozenset(",./-_*^'\"`")
_SILENT = regex.compile(r"[^\p{L}\p{N}\p{S}\p{M}#%&/@]+")
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
_LOOKALIKE = str.maketrans("абвгдежзикмнортсухіјѕԁαεικνορτυχω", "abbrdex3ukmhoptcyxijsdaeikvoptuxw")
"""Cyrillic and Greek letters that look like Latin ones, or are read as them: an order is found by either."""
_APOSTROPHES = str.maketrans(dict.fromkeys("’‘‛ʼʹ＇′´", "'"))
_UNSEEN = regex.compile(r"[\p{Default_Ignorable_Code_Point}\p{Cf}]+")
_SPELLED = regex.compile(r"(?<!\w)(?:\w[ .*_-]){4,}\w(?!\w)")
_BOXED = {first + n: chr(97 + n) for first in (0x1F150, 0x1F170, 0x1F1E6) for n in range(26)}
"""Letters as symbols that NFKC leaves: in black circles, in black squares, of flags."""


def caseless(text: str) -> str:
    """A text without its case and its ways to compose a letter (NFC)."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", text).casefold())


def letters(text: str) -> str:
    """A caseless text without white space and ,./-_*^'"`: a name, however it is set."""
    return "".join(c for c in caseless(text) if c not in _IGNORED and not c.isspace())


def words(text: str) -> str:
    """A text in NFKC without its case, with one space for all white space and punctuation.

    Symbols stay, and so do # % & / @: "3 + 4" is not "3 - 4", C# is not C.
    """
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
    return str(_SILENT.sub(" ", folded)).strip()


def appearance(text: str) -> str:
    """A text in small letters and digits, one space for all else, however it is written.

    What cannot be seen is left out, as are accents; letters that look Latin become so, digits what they count. A sign
    of arithmetic between two numbers stays: "3 + 4" is not "3 - 4".
    """
    folded = text.casefold() if text.isascii() else _latin(text)
    if folded.isascii() and not _SUM.search(folded):  # as below, four times as fast
        return " ".join(folded.translate(_SPACED).split()) or "".join(text.split())
    return str(_BETWEEN.sub(lambda found: found[1] or " ", folded)).strip() or "".join(text.split())


def unspaced(text: str) -> str:
    """A folded text without its spaces: so letters that stand apart, and words that do not, are the same."""
    return text.replace(" ", "")


def visible(text: str) -> str:
    """A text in NFKC with straight apostrophes and nothing invisible; its case and its lines stay."""
    return unicodedata.normalize("NFKC", _UNSEEN.sub("", text.translate(_APOSTROPHES)))


def unmasked(text: str) -> str:
    """A text without case, accents, lookalikes, what is invisible, and spaces within a spelled word; its lines stay."""
    bared = "".join(c for c in unicodedata.normalize("NFKD", text) if c == "\n" or _shows(c))
    folded = bared.casefold().replace("’", "'").replace("‘", "'").translate(_LOOKALIKE)
    one_space = regex.sub(r"[^\S\n]+", " ", folded)
    return str(_SPELLED.sub(lambda spelled: regex.sub(r"\W|_", "", spelled[0]), one_space))


def _shows(character: str) -> bool:
    return unicodedata.category(character) not in ("Cf", "Mn", "Cc")


def _latin(text: str) -> str:
    """A text as it looks: NFKC, no case, no marks, nothing hidden, Latin letters for their doubles."""
    bared = _HIDDEN.sub("", unicodedata.normalize("NFKD", text.translate(_BOXED))).translate(_UPPER)
    small = unicodedata.normalize("NFKC", bared.casefold()).translate(_LATIN)
    return str(_DIGIT.sub(lambda found: str(unicodedata.decimal(found[0])), small))
