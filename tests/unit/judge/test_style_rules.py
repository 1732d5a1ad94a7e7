"""Style rules: what breaks them, counted without a judge, and what a [style] table must look like."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from gate.errors import CaseError
from gate.judge import style_rules
from gate.judge.style_rules import StyleRules, faults
from tests.project import Project, a_case, last_line

PLAIN = StyleRules(filler=("i understand", "don't hesitate"), hedges=("maybe",), most_words=10, lists=False)
DIRECT = replace(PLAIN, opens=("show", "don't"), questions=1, exclamations=0)
SHY = replace(PLAIN, never_opens=("look", "don't"))
ROOMY = replace(PLAIN, most_words=1000)
GOOD = '[style]\nfiller = ["happy to help"]\nhedges = ["maybe"]\nmost_words = 40\nlists = false\n'
UNDERSTAND = ['says filler: "i understand"']
LINE = 100_000


def written(folder: Path, text: str) -> Path:
    """A fixtures folder with one rubric, `mine`."""
    (folder / "rubrics").mkdir()
    (folder / "rubrics/mine.toml").write_text(text, encoding="utf-8")
    return folder


def test_a_short_plain_answer_keeps_the_style() -> None:
    assert faults("Show me the logs.", DIRECT) == []


@pytest.mark.parametrize(
    "text",
    [
        "I understand.",
        "i UNDERSTAND your concern",
        "Well, I understand",
        "I\nunderstand you.",
        "I  understand",
        "I, understand",
        "**I** _understand_ that",
        "Ｉ ｕｎｄｅｒｓｔａｎｄ",
        "I un\u200bderstand",
        "I\u2060 un\u00adder\u200dstand",
        "I \ufeffunderst\u034fand\ufe0f",
        "I\u00a0understand",
        "I u\u0301nderstand I understand",
    ],
)
def test_a_phrase_is_found_however_it_is_dressed(text: str) -> None:
    assert faults(text, replace(ROOMY, lists=True)) == UNDERSTAND


@pytest.mark.parametrize(
    "text", ["I understandably left.", "Mini understand", "So did I. Understand the log first.", "I ünderstand"]
)
def test_a_phrase_is_whole_words_within_one_sentence(text: str) -> None:
    assert faults(text, PLAIN) == []


@pytest.mark.parametrize("mark", list("'’‘ʼ＇′´"))
def test_apostrophes_are_all_alike(mark: str) -> None:
    assert faults(f"Don{mark}t hesitate", PLAIN) == ['says filler: "don\'t hesitate"']
    curly = replace(PLAIN, filler=(f"don{mark}t hesitate",))
    assert len(faults("Don't hesitate", curly)) == 1


def test_a_hedge_is_told_apart_from_filler() -> None:
    assert faults("Maybe.", PLAIN) == ['says a hedge: "maybe"']


def test_every_fault_is_told_once() -> None:
    assert faults("Maybe I understand, maybe I understand.", PLAIN) == [*UNDERSTAND, 'says a hedge: "maybe"']


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("a b c d e f g h i j", 0),
        ("a b c d e f g h i j k", 11),
        ("a b c - d e f – g h i … j !", 0),
        ("x" * 300, 0),
        ("x" * 301, 11),
        ("日志" * 5, 0),
        ("日志" * 6, 12),
    ],
)
def test_words_are_counted(text: str, count: int) -> None:
    assert faults(text, PLAIN) == ([f"has {count} words, at most 10"] if count else [])


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("Do this:\n- one", "a bullet list"),
        ("Do this:\n  • one", "a bullet list"),
        ("✅ one", "a bullet list"),
        ("> * one", "a bullet list"),
        ("Do:\n1. one", "a numbered list"),
        ("Do:\n(2) one", "a numbered list"),
        ("Do:\n a) one", "a numbered list"),
        ("1\ufe0f\u20e3 one", "a numbered list"),
        ("## Steps", "a heading"),
        ("Steps\n=====", "a heading"),
        ("one\n\n---\n\ntwo", "a heading"),
        ("| a | b |", "a table"),
        ("a | b\n--|--\n1 | 2", "a table"),
        ("Do **this** now", "bold marks"),
        ("Do ***this one*** now", "bold marks"),
        ("__Note__ it", "bold marks"),
        ("<b>Note</b> it", "bold marks"),
        ("**un\u200bseen** it", "bold marks"),
    ],
)
def test_a_mark_of_a_document_is_a_fault(text: str, what: str) -> None:
    assert faults(text, PLAIN) == [f"has {what}"]
    assert faults(text, replace(PLAIN, lists=True)) == []


@pytest.mark.parametrize(
    "text",
    [
        "Cut it by 2 - 3 days.",
        "Set it to -1.",
        "In 2026. Then stop.",
        "Fix #12 first.",
        "Open __init__.py and read it.",
        "Take 2**8 and 2**9.",
        "Call f(**a, **b) once.",
        "Pipe it: ps | grep gate",
        "Run it:\n```sh\n# first\n- x\n```",
        "Write `**kwargs**` there.",
        "*Now*, not later.",
        "v1.2 is out.",
    ],
)
def test_code_and_numbers_in_a_line_are_no_document(text: str) -> None:
    assert faults(text, PLAIN) == []


def test_a_fence_left_open_hides_no_list() -> None:
    assert faults("```\n- one\n- two", PLAIN) == ["has a bullet list"]


@pytest.mark.parametrize("text", ["Show it.", "  “show” it", "SHOW it", "Don’t.", "… show it", "S\u200bhow it"])
def test_it_opens_with_one_of_its_words(text: str) -> None:
    assert faults(text, DIRECT) == []


def test_another_first_word_is_a_fault() -> None:
    assert faults("The logs. Show me.", DIRECT) == ['opens with "the", none of its opening words']


@pytest.mark.parametrize("text", ["Look here.", "It is here. Look!", "Here it is…  “look”"])
def test_no_sentence_begins_with_a_word_that_none_begins_with(text: str) -> None:
    assert faults(text, SHY) == ['begins a sentence with "look"']


def test_within_a_sentence_any_word_may_stand() -> None:
    assert faults("They look, and I don't.", SHY) == []


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("Show what?", ""),
        ("Show what? And where？", "has 2 question marks, at most 1"),
        ("Show me！", "has 1 exclamation marks, at most 0"),
    ],
)
def test_marks_are_counted(text: str, fault: str) -> None:
    assert faults(text, DIRECT) == ([fault] if fault else [])


def test_what_is_not_limited_is_free() -> None:
    assert faults("What? What? What! What!", PLAIN) == []


@pytest.mark.parametrize(
    "text", ["", " \n", "...", "!?", "\u200b\u2060", "😀", "<think>Show me.</think>", "<think>Show"]
)
def test_an_answer_without_a_word_is_a_fault(text: str) -> None:
    assert faults(text, DIRECT) == ["says nothing"]


@pytest.mark.parametrize(
    "text",
    [
        "<think>I understand. Maybe.</think>Show me.",
        "I understand, maybe.</think>\n\nShow me.",
        "<think>a<think>b</think>maybe</think>Show me.",
        "<think>maybe</think>Show me.<think>I understand",
    ],
)
def test_thoughts_do_not_count(text: str) -> None:
    assert faults(text, DIRECT) == []


@pytest.mark.parametrize(
    "text",
    [
        "I understand. <think>x</think> Show me.",
        "<think>x</think> I understand. </think> Show me.",
        "I under<think>x</think>stand.",
    ],
)
def test_what_is_said_beside_thoughts_counts(text: str) -> None:
    assert faults(text, PLAIN) == UNDERSTAND


@pytest.mark.parametrize(
    "text",
    [
        "a" * LINE,
        "a " * (LINE // 2),
        "-" * LINE + "x",
        "|" + "-" * LINE + "x",
        "| " * (LINE // 2),
        "**a " * (LINE // 4),
        "**" + " " * LINE + "x",
        "__a" * (LINE // 3),
        "`" * LINE,
        "`a" * (LINE // 2) + "\n",
        "```a" * (LINE // 4),
        "a'" * (LINE // 2),
        "<think>" * (LINE // 7),
        "</think>" * (LINE // 8) + "a",
        "- " + " " * LINE,
        "1." + " " * LINE,
        "a\u0301" * (LINE // 2),
        "\u200b" * LINE + "a",
        "\ufdfa" * (LINE // 3),
        "\n" * LINE + "a",
        "i understan " * (LINE // 12),
    ],
    ids=lambda text: repr(text[:8]),
)
def test_a_long_hostile_line_takes_less_than_a_second(text: str) -> None:
    begun = time.process_time()
    faults(text, style_rules.load("direct", Path(__file__).parents[3] / "fixtures"))
    assert time.process_time() - begun < 1


def test_a_table_is_read_whole(tmp_path: Path) -> None:
    more = 'opens = ["show"]\nnever_opens = ["tell"]\nquestions = 1\nexclamations = 0\n'
    read = style_rules.load("mine", written(tmp_path, GOOD + more))
    assert read == StyleRules(("happy to help",), ("maybe",), 40, False, ("show",), ("tell",), 1, 0)
    assert hash(read)


@pytest.mark.parametrize(
    ("old", "new", "key"),
    [
        ("hedges", "hedge", "style.hedges: is missing"),
        ("lists = false", "", "style.lists: is missing"),
        ("lists = false", "lists = false\nfillers = []", "style.fillers: unknown key"),
        ('["happy to help"]', '"happy to help"', "style.filler: expected a list, found"),
        ('["happy to help"]', "[3]", r"style.filler\[0\]: expected a text, found 3"),
        ('["maybe"]', '["…"]', "style.hedges: expected a list of phrases"),
        ("40", "0", "style.most_words: expected a whole number 1 or more"),
        ("40", "true", "style.most_words: expected a whole number 1 or more"),
        ("40", "40.0", "style.most_words: expected a whole number 1 or more"),
        ("false", "0", "style.lists: expected true or false"),
        ("lists = false", "lists = false\nopens = []", "style.opens: expected a list with 1 or more in it, found"),
        ("lists = false", 'lists = false\nopens = ["show me"]', "style.opens: expected a list of single words"),
        ("lists = false", "lists = false\nquestions = -1", "style.questions: expected a whole number 0 or more"),
        (
            "lists = false",
            "lists = false\nexclamations = false",
            "style.exclamations: expected a whole number",
        ),
        ("[style]", "[styles]", "style: is missing"),
        ("[style]", "[[style]]", "style: expected a table, found"),
        ("[style]", "[style", "cannot be read"),
        ("[style]", "x = " + "[" * 5000, "cannot be read"),
    ],
)
def test_a_wrong_table_is_refused_with_its_file_and_key(tmp_path: Path, old: str, new: str, key: str) -> None:
    with pytest.raises(CaseError, match=rf"rubrics/mine\.toml: {key}"):
        style_rules.load("mine", written(tmp_path, GOOD.replace(old, new)))


@pytest.mark.parametrize("name", ["", "Mine", "../mine", "1st", "a-b", "mine\n", "x" * 41, "mine.toml"])
def test_a_name_that_is_none_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(CaseError, match="a name has small letters"):
        style_rules.load(name, written(tmp_path, GOOD))


def test_a_missing_or_broken_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(CaseError, match=r"other\.toml: cannot be read"):
        style_rules.load("other", written(tmp_path, GOOD))
    (tmp_path / "rubrics/other.toml").write_bytes(b"\xff")
    with pytest.raises(CaseError, match=r"other\.toml: cannot be read"):
        style_rules.load("other", tmp_path)


SUITE = '''
"""The style is kept."""
import pytest
from msgspec.structs import replace
from gate.judge.style_rules import StyleRules, faults

VOICE = StyleRules(filler=("happy to help",), hedges=(), most_words=9, lists=False)

@pytest.mark.gate("calls.jsonl", floor=1.0)
def test_keeps_the_style(model, case):
    assert faults(model.ask(case).content, VOICE) == []
'''


def test_a_broken_style_is_a_miss_that_says_why(project: Project, how: tuple[str, ...]) -> None:
    rows: list[Any] = [a_case(name) | {"tools": [], "expect": {"answer": {"regex": r"\S"}}} for name in ("one", "two")]
    project.cases(*rows)
    project.suite(SUITE)
    project.script({"user": "one", "content": "Show me."}, {"user": "two", "content": "Happy to help, show me."})
    result = project.run(*how)
    assert last_line(result).startswith("BELOW_FLOOR: 1/2 hits")
    assert "happy to help" in result.stdout.str()
