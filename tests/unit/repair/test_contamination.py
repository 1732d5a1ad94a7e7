"""What a held-out case asks and expects is in no row, whatever is written around it and however it is written."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from gate.repair.build import TWIN
from gate.repair.contamination import HOLDS, PART, Guard
from gate.repair.rows import Row, spoken
from tests.unit.repair.test_build import CASES, TOOLS, a_case, a_report, call, manifest, project, repair, rows

ASKED = "Please restart the nightly backup service number 4821 on harbourmaster."
HELD = a_case("h", ASKED, [call("terminal", command="svc --colour=purple keeper/payroll.csv")], split="held-out")
OPEN = a_case("d", "Tell me about keeper/open.csv, whatever it says.", [call("read", path="keeper/open.csv")])


def row(asked: str, *calls: dict[str, Any], before: tuple[dict[str, Any], ...] = (), answer: str = "") -> Row:
    return Row([*before, {"role": "user", "content": asked}, spoken(answer, calls)], TOOLS, "terminal", "slots")


def why(folder: Path, *given: Row, cases: tuple[dict[str, Any], ...] = (HELD, OPEN), offered: str = "") -> list[str]:
    return Guard(project(folder, list(cases)) / "fixtures", [offered]).refusals(given)


LATIN = str.maketrans("aeopcxyi", "аеорсхуі")
WRITTEN = {
    "polite": f"Good morning! I hope you are well. Could you do this for me: {ASKED} Thank you so much for it all!",
    "notes": "My notes say so, and other things beside it.\n" * 8 + ASKED,
    "Cyrillic": ASKED.translate(LATIN),
    "full width": "".join(chr(ord(c) + 0xFEE0) if 33 <= ord(c) < 127 else c for c in ASKED),
    "bold": "".join(chr(0x1D41A + ord(c) - 97) if c.islower() else c for c in ASKED),
    "zero width": "\u200b".join(ASKED),
    "soft hyphen": "\u00ad".join(ASKED),
    "combining": "\u0301".join(ASKED),
    "grapheme joiner": "\u034f".join(ASKED),
    "variation": "\ufe0f".join(ASKED),
    "tags": "\U000e0020".join(ASKED),
    "digits": ASKED.replace("4821", "٤٨٢١"),
    "no spaces": ASKED.replace(" ", ""),
    "spaced": " ".join(ASKED),
    "emoji": " 🙂 ".join(ASKED.split()),
    "pipes": ASKED.replace(" ", "|"),
}


@pytest.mark.parametrize("how", WRITTEN)
def test_a_row_that_holds_a_held_out_case_is_refused_however_it_is_written(tmp_path: Path, how: str) -> None:
    assert why(tmp_path, row(WRITTEN[how])) != [""]


def test_it_is_found_in_an_earlier_turn_and_in_the_answer(tmp_path: Path) -> None:
    earlier = (
        {"role": "user", "content": f"Hello there, and good morning to all of you! {ASKED}"},
        {"role": "assistant", "content": "Well."},
    )
    given = [row("And now the weather, please", before=earlier), row("Say it", answer=f"You asked: {ASKED}")]
    assert why(tmp_path, *given) == [HOLDS, HOLDS]


def test_another_order_or_language_passes(tmp_path: Path) -> None:
    order = "On harbourmaster, the nightly backup service number 4821: restart it please."
    german = "Bitte starte den nächtlichen Backupdienst Nummer 4821 auf harbourmaster neu."
    assert why(tmp_path, row(order), row(german)) == ["", ""]


@pytest.mark.parametrize(
    ("asked", "refused"),
    [("Hi! Uptime, please. Thanks", True), ("up\u200btime please", True), ("What uptimes please whom?", False)],
)
def test_a_short_case_is_found_between_the_borders_of_words(tmp_path: Path, asked: str, refused: bool) -> None:
    short = a_case("s", "uptime please", [], split="held-out")
    assert why(tmp_path, row(asked), cases=(short,)) == [HOLDS if refused else ""]


def test_one_word_of_a_dev_case_may_stand_in_a_row(tmp_path: Path) -> None:
    assert why(tmp_path, row("Show it, thanks"), cases=(a_case("t", "Thanks", []),)) == [""]


@pytest.mark.parametrize(
    ("value", "refused"),
    [
        ("cat keeper/payroll.csv -v", True),
        ("/home/ana/keeper/payroll.csv", True),
        ("keeper\u200b/payroll.csv", True),
        ("paint --colour purple", True),
        ("paint --colour=purple", True),
        ("paint --colour=purplish", False),
        ("cat keeper/open.csv", False),
        ("cat payroll.csv", False),
    ],
)
def test_no_call_holds_a_value_that_a_held_out_case_alone_expects(tmp_path: Path, value: str, refused: bool) -> None:
    given = row("Do what I said before", call("terminal", command=value), call("read", path="some/other.txt"))
    assert why(tmp_path, given) == [PART if refused else ""]


def test_a_word_that_phrases_offer_openly_is_no_secret_and_a_path_is(tmp_path: Path) -> None:
    words = "paint it purple"
    given = [row("x y z", call("terminal", command=value)) for value in (words, "less keeper/payroll.csv")]
    assert why(tmp_path, *given, offered="purple keeper/payroll.csv") == ["", PART]


@pytest.mark.parametrize("asked", [CASES[0]["messages"][0]["content"], "tell me what git thinks of this   folder…"])
def test_a_dev_case_that_a_held_out_one_asks_like_gives_neither_rows_nor_pairs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], asked: str
) -> None:
    a_report(project(tmp_path), {"status": "model", "thanks": "model"})
    twin = a_case("twin", asked, [call("terminal", command="git status")], split="held-out")
    (tmp_path / "fixtures/cases/b.jsonl").write_text(json.dumps(twin) + "\n")
    assert repair(tmp_path, "--pairs", "--keep", "0") == 0
    told = manifest(tmp_path)
    assert told["not built"] == [{"case": "a.jsonl status", "why": TWIN}]
    assert list(told["contaminated"].values()) == ["thanks"]
    assert {each.get("category", "no-tool") for each in rows(tmp_path)} == {"no-tool"}
    assert "held-out case asks the same" in capsys.readouterr().out
