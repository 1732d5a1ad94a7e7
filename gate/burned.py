"""Cases that training has learned from: `<registry>/burned.jsonl`, a ledger over all slots.

A case whose miss became training rows no longer shows what the model can do: it is asked on, and counts no more. A
fresh case that `replaces` it takes its place; until then a promotion would stand on fewer cases, and is refused.

A case is burned by its mark (gate.cases.marks), and by its words: whatever asks what a burned case asks, or a row that
was built of it, or nearly that, is burned too, however it is written and whatever tools it offers.
"""

from __future__ import annotations

import json
import os
import tempfile
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import numpy as np
import regex
from numpy.typing import NDArray

from gate import cases, ledger
from gate.cases import CaseFile
from gate.ledger import LedgerError
from gate.types import Case, Contract, Json

EVENT = "burned"
LEAST = 0.7
"""From this Jaccard similarity of 5-grams on two texts ask nearly the same, as in gate.preflight.near."""
MOST = 0.8
"""A text that holds so much of another one asks it, whatever stands around it."""
WORDS = 5
"""Fewer words may stand in a longer text by chance, and said after an earlier turn they ask nothing without it."""
GRAM = 5
SHARED = 8
"""Rare grams that two texts must share before they are compared whole: more of them would be less rare."""
CHUNK = 1_000
"""Texts that are compared at once."""
Ints = NDArray[np.int64]
_END = ": "
"""Behind the kind of what is asked: no mark has it."""
_BITS = 40
"""Of a gram's hash; above them stands the number of its text."""
_SLACK = 1e-9
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


def burn(
    registry: Path, marks: Mapping[str, str], facts: Json, asked: Mapping[str, Iterable[str]] | None = None
) -> int:
    """Record that rows were built from these cases: {what each asks (gate.cases.marks)[1]: its id}; how many are new.

    `facts`: the repair's manifest, digest and report. `asked`: by mark, what the case and its rows ask (`asking`).
    Raises LedgerError when it cannot be recorded.
    """
    seen = known(registry)
    new = {mark: id_ for mark, id_ in sorted(marks.items()) if mark not in seen}
    words = {mark: [text for text in dict.fromkeys(told) if text not in seen] for mark, told in (asked or {}).items()}
    told = {mark: "\n".join(texts) for mark, texts in sorted(words.items()) if texts}
    if new or told:
        ledger.append(path(registry), EVENT, facts | {"cases": new} | ({"asked": told} if told else {}))
    return len(new)


def known(registry: Path) -> dict[str, str]:
    """What every burned case asks, and its id: by its mark, and in the words of `asking`. Raises LedgerError."""
    found: dict[str, str] = {}
    for line in ledger.read(path(registry)):
        try:
            found |= {str(mark): str(id_) for mark, id_ in line.facts["cases"].items()}
            for mark, texts in line.facts.get("asked", {}).items():  # lines of before have none
                found |= dict.fromkeys(texts.split("\n"), found[mark])
        except (KeyError, AttributeError) as error:
            raise LedgerError(f"{path(registry)}: line {line.number} names no burned cases") from error
    return found


def check(registry: Path) -> None:
    """Can cases be burned there? Asked before anything is built, and leaves nothing behind. Raises LedgerError."""
    known(registry)
    place = next(each for each in (registry, *registry.absolute().parents) if each.exists())
    try:
        with tempfile.TemporaryFile(dir=place):
            pass
        for each in (path(registry), path(registry).with_name(f"{path(registry).name}.lock")):
            if each.exists():
                os.close(os.open(each, os.O_WRONLY | os.O_APPEND))
    except OSError as error:
        raise LedgerError(f"{path(registry)}: no case can be burned there: {error}: mend that, then repair") from error


def without(contract: Contract, file: CaseFile, burned: Mapping[str, str]) -> Contract:
    """The contract with the cases that training has learned from, and those of them that a fresh case replaces."""
    if not burned:  # as in most projects, and marks take time
        return replace(contract, burned=(), replaced=())
    caught = among(file.cases, burned)
    marked = {case.id: None for number, case in enumerate(file.cases) if number in caught}
    fresh = {case.replaces for case in file.cases if case.id not in marked}
    return replace(contract, burned=tuple(marked), replaced=tuple(id_ for id_ in marked if id_ in fresh))


def among(given: Sequence[Case], burned: Mapping[str, str]) -> dict[int, str]:
    """The numbers of the cases that are burned, each with the id of the burned case that it is, or asks like."""
    if not burned:
        return {}
    marks = [asked for _, asked in cases.all_marks(given)]
    found = {number: burned[mark] for number, mark in enumerate(marks) if mark in burned}
    texts = {number: _ways(case.messages) for number, case in enumerate(given) if number not in found}
    worded = {number: next((text for text in each if text in burned), "") for number, each in texts.items()}
    found |= {number: burned[text] for number, text in worded.items() if text}
    owners = [(number, text) for number, each in texts.items() if number not in found for text in each]
    index, names = _index(tuple(text for text in burned if _END in text))
    for one, other, similarity, share in index.pairs([bare(_words(text)) for _, text in owners]):
        number, text = owners[one]
        if _kind(text) == _kind(names[other]) and nearly(_words(names[other]), similarity, share):
            found.setdefault(number, burned[names[other]])
    return found


def nearly(text: str, similarity: float, share: float) -> bool:
    """Does a text that has so much in common with one, and holds such a share of it, ask it nearly?"""
    return similarity >= LEAST - _SLACK or (share >= MOST - _SLACK and long(text))


def long(text: str) -> bool:
    """Has a text in plain words so many that it is not said by chance? Some languages do not part their words."""
    return len(text.split()) >= WORDS or len(bare(text)) >= 4 * WORDS


def asking(messages: Sequence[Json]) -> str:
    """What a conversation asks last, in plain words, and whether it goes on from a tool's result."""
    kind = "result" if messages and messages[-1]["role"] == "tool" else "request"
    return f"{kind}{_END}{plain(said(messages))}"


def said(messages: Sequence[Json]) -> str:
    """From the last user message on: what a tool answered since then makes it another question."""
    users = [number for number, message in enumerate(messages) if message["role"] == "user"]
    enough = users and (len(users) == 1 or len((messages[users[-1]]["content"] or "").split()) >= WORDS)
    return _joined(messages[users[-1] :] if enough else messages)


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


def path(registry: Path) -> Path:
    """The ledger of burned cases."""
    return registry / "burned.jsonl"


class Index:
    """Plain texts to compare with, prepared: which others share most of their 5-grams, or hold most of them.

    As in gate.preflight.near, but also for a text inside of a longer one, and of arrays alone: a grading must not wait
    for scipy. Among the rarest grams of a text, which a text alike may miss, it has some.
    """

    def __init__(self, texts: Sequence[str]) -> None:
        owners, grams = _grams(texts)
        self.sizes = np.bincount(owners, minlength=len(texts))
        self._starts = np.cumsum(self.sizes) - self.sizes
        self._vocabulary, self._columns, often = np.unique(grams, return_inverse=True, return_counts=True)
        missable = self.sizes - np.ceil(LEAST * self.sizes - _SLACK).astype(np.int64)
        self._shared = np.maximum(1, np.minimum(SHARED, self.sizes - missable))
        order = np.lexsort((grams, often[self._columns], owners))
        rank = np.arange(len(owners)) - self._starts[owners]
        looked = order[rank < (missable + self._shared)[owners]]
        looked = looked[np.argsort(grams[looked], kind="stable")]
        self._looked, self._holders = grams[looked], owners[looked]

    def pairs(self, texts: Sequence[str]) -> Iterator[tuple[int, int, float, float]]:
        """(number of the text, number of the known one, similarity, share of the known one that the text holds)."""
        for start in range(0, len(texts) if len(self.sizes) else 0, CHUNK):
            rows, grams = _grams(texts[start : start + CHUNK])
            sizes = np.bincount(rows)
            one, other = self._candidates(rows, grams)
            both = self._common(rows, grams, one, other)
            share, similarity = both / self.sizes[other], both / (sizes[one] + self.sizes[other] - both)
            near = share >= LEAST - _SLACK
            told = (start + one[near], other[near], similarity[near], share[near])
            yield from zip(*(each.tolist() for each in told), strict=True)

    def _candidates(self, rows: Ints, grams: Ints) -> tuple[Ints, Ints]:
        """Pairs of a text and a known one that share enough of its rarest grams."""
        first = np.searchsorted(self._looked, grams, "left")
        counts = np.searchsorted(self._looked, grams, "right") - first
        places = _ranges(first, counts)
        pairs, shared = np.unique(np.repeat(rows, counts) * len(self.sizes) + self._holders[places], return_counts=True)
        one, other = np.divmod(pairs, len(self.sizes))
        enough = shared >= self._shared[other]
        return one[enough], other[enough]

    def _common(self, rows: Ints, grams: Ints, one: Ints, other: Ints) -> Ints:
        """How many grams each pair has in common."""
        columns = np.minimum(np.searchsorted(self._vocabulary, grams), len(self._vocabulary) - 1)
        there = self._vocabulary[columns] == grams
        own = (rows * len(self._vocabulary) + columns)[there]
        both = np.zeros(len(one), np.int64)
        for start in range(0, len(one), 10 * CHUNK):
            part = slice(start, start + 10 * CHUNK)
            sizes = self.sizes[other[part]]
            pair = np.repeat(np.arange(len(sizes)), sizes)
            wanted = one[part][pair] * len(self._vocabulary) + self._columns[_ranges(self._starts[other[part]], sizes)]
            found = np.minimum(np.searchsorted(own, wanted), len(own) - 1)
            both[part] = np.bincount(pair[own[found] == wanted], minlength=len(sizes))
        return both


@lru_cache(maxsize=1)
def _index(asked: tuple[str, ...]) -> tuple[Index, tuple[str, ...]]:
    return Index([bare(_words(text)) for text in asked]), asked


def _ways(messages: Sequence[Json]) -> list[str]:
    """What a case may be known by: its last request with what came since, that request alone, and all of it."""
    kind, end, whole = asking(messages).partition(_END)
    users = [plain(str(each["content"] or "")) for each in messages if each["role"] == "user"]
    texts = [whole, *([] if kind == "result" else users[-1:]), plain(_joined(messages))]
    return list(dict.fromkeys(f"{kind}{end}{text}" for text in texts if text))


def _kind(asked: str) -> str:
    return asked.partition(_END)[0]


def _words(asked: str) -> str:
    return asked.partition(_END)[2]


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


def _grams(texts: Sequence[str]) -> tuple[Ints, Ints]:
    """Every run of GRAM characters of each text once: the text's number and the run's hash, sorted."""
    padded = [text.ljust(GRAM, "\0") for text in texts]
    lengths = np.array([len(text) for text in padded], np.int64)
    points = np.frombuffer("".join(padded).encode("utf-32-le", "surrogatepass"), np.uint32).astype(np.uint64)
    hashes = np.zeros(max(0, len(points) - GRAM + 1), np.uint64)
    for offset in range(GRAM):
        hashes = hashes * np.uint64(0x9E3779B97F4A7C15) + points[offset : offset + len(hashes)]
    hashes = (hashes * np.uint64(0xFF51AFD7ED558CCD)) >> np.uint64(64 - _BITS)
    owners = np.repeat(np.arange(len(texts)), lengths)[: len(hashes)]
    whole = np.arange(len(hashes)) <= np.repeat(np.cumsum(lengths) - GRAM, lengths)[: len(hashes)]
    keys = np.unique((owners[whole] << _BITS) | hashes[whole].astype(np.int64))
    return keys >> _BITS, keys & ((1 << _BITS) - 1)


def _ranges(firsts: Ints, counts: Ints) -> Ints:
    """firsts[0], firsts[0] + 1, … so many as counts say, then those from firsts[1] on, and so on."""
    ends: Ints = np.cumsum(counts)
    places: Ints = np.arange(ends[-1] if len(ends) else 0) + np.repeat(firsts - (ends - counts), counts)
    return places
