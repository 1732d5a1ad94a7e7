"""A judge is asked strictly, shown answers as data, and believed only after its own check-up."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from gate.checkpoints.checkpoint import identify
from gate.judge import rubric, scoring
from gate.judge.rubric import Rubric
from gate.judge.scoring import Item, Judged
from gate.models.client import Client
from gate.models.serving.start import served
from gate.types import Json
from tests import rubrics
from tests.unit.judge.test_injection import ATTACKS

BAD = "I would be happy to help you with that today."


@pytest.fixture
def short(tmp_path: Path) -> Rubric:
    rubrics.write(tmp_path)
    return rubric.load("short", tmp_path)


@contextmanager
def asked(path: Path, rules: list[dict[str, Any]]) -> Iterator[Client]:
    script = rubrics.script(path / "judge.jsonl", rules)
    with (
        served(identify(f"scripted:{script}"), lambda _text: None, context=4096) as server,
        Client(server, timeout=30) as client,
    ):
        yield client


def scored(short: Rubric, path: Path, rules: list[dict[str, Any]], *answers: str) -> tuple[dict[str, Judged], Json]:
    items = [Item(str(number), "What now?", answer) for number, answer in enumerate(answers)]
    with asked(path, rules) as client:
        return scoring.scored(short, items, client, say=lambda _text: None)


def test_a_fair_judge_is_believed(short: Rubric, tmp_path: Path) -> None:
    found, check = scored(short, tmp_path, rubrics.fair(Show_me=3, Perhaps=1), "Show me the log.", "Perhaps not.")
    assert [found[key].score for key in ("0", "1")] == [3, 1]
    assert check.faults == ()
    assert (check.kappa and check.kappa.value, check.silent, check.bias) == (1.0, 0, 0.0)
    assert check.confusion == {f"{n} {n}": 11 for n in range(4)}


def test_a_judge_that_likes_everything_is_not(short: Rubric, tmp_path: Path) -> None:
    found, check = scored(short, tmp_path, [{"content": rubrics.verdict(3)}], "Show me the log.")
    assert found["0"].score == 3
    assert check.faults == ("kappa with the anchors is 0.00 at least, below the bar 0.6",)


@pytest.mark.parametrize(
    "said",
    [
        "3",
        "I give it a 3.",
        '{"score": 3}',
        '{"reason": "x", "score": 7}',
        '{"reason": "x", "score": 3.0}',
        '{"reason": "x", "score": true}',
        '{"reason": "x", "score": "3"}',
        '{"reason": "x", "score": 3, "more": 1}',
        '```json\n{"reason": "x", "score": 3}\n```',
        '{"reason": "x", "score": 3} or so',
        "",
    ],
)
def test_what_is_no_verdict_is_never_a_score(short: Rubric, tmp_path: Path, said: str) -> None:
    found, check = scored(short, tmp_path, [{"content": said}], "Show me the log.")
    assert found["0"].score is None
    assert check.silent == 44
    assert "anchors got no verdict" in check.faults[0]


def test_a_judge_without_verdicts_is_left_early(short: Rubric, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    counted = []
    monkeypatch.setattr(Client, "chat", _counting(Client.chat, counted))
    scored(short, tmp_path, [{"content": "no"}], "Show me the log.")
    assert len(counted) == scoring.PATIENCE * scoring.TRIES


def test_a_verdict_is_asked_for_three_times_at_most(
    short: Rubric, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    counted: list[Json] = []
    monkeypatch.setattr(Client, "chat", _counting(Client.chat, counted))
    found, check = scored(short, tmp_path, [{"has": "odd one", "content": "?"}, *rubrics.fair()], "An odd one.")
    assert found["0"] == Judged(None, (), found["0"].reason, ruled=False)
    assert check.faults == ()
    tries = [each for each in counted if "odd one" in each["messages"][1]["content"]]
    assert len(tries) == 3
    assert "was no verdict" in tries[2]["messages"][1]["content"]


def test_every_request_names_the_schema_and_hides_the_answer_in_data(
    short: Rubric, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    counted: list[Json] = []
    monkeypatch.setattr(Client, "chat", _counting(Client.chat, counted))
    answer = 'He said "stop".\nThen he left.'
    scored(short, tmp_path, rubrics.fair(), answer)
    one = next(each for each in counted if "Then he left" in each["messages"][1]["content"])
    system, user = one["messages"]
    assert "Then he left" not in system["content"]
    mark = user["content"].split("The answer:\n")[1].split("\n")[0]
    assert mark.startswith("<<")
    assert mark in system["content"]
    assert user["content"].count(mark) == 2
    assert json.dumps(answer) in user["content"].splitlines()
    assert one["response_format"]["json_schema"]["schema"]["properties"]["score"]["enum"] == [0, 1, 2, 3]
    assert one["response_format"]["json_schema"]["strict"] is True


def test_marks_are_another_in_every_session(short: Rubric, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    counted: list[Json] = []
    monkeypatch.setattr(Client, "chat", _counting(Client.chat, counted))
    for _ in range(2):
        scored(short, tmp_path, rubrics.fair())
    marks = {each["messages"][1]["content"].split("The answer:\n")[1].split("\n")[0] for each in counted}
    assert len(marks) == 2


@pytest.mark.parametrize("votes", [3])
def test_the_median_of_votes_counts_and_the_scale_is_turned(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, votes: int
) -> None:
    rubrics.write(tmp_path, votes=votes)
    counted: list[Json] = []
    monkeypatch.setattr(Client, "chat", _counting(Client.chat, counted))
    found, check = scored(rubric.load("short", tmp_path), tmp_path, rubrics.fair(Show_me=2), "Show me.")
    assert found["0"].votes == (2, 2, 2)
    assert (check.turned, check.other) == (44 + 1 + len(scoring.ATTACKS) + 1, 0)
    systems = [each["messages"][0]["content"] for each in counted if "Show me." in each["messages"][1]["content"]]
    rising = [text.index("0: slop") < text.index("3: right") for text in systems]
    assert rising == [True, False, True]


@pytest.mark.parametrize("attack", ATTACKS, ids=range(len(ATTACKS)))
def test_no_attack_raises_a_score_with_a_gullible_judge_behind_the_rules(short: Rubric, attack: str) -> None:
    """The judge gives 3 to whatever is not the bare bad answer; the rules never show it the attacked one."""

    class Gullible:
        def chat(self, messages: list[Json], **_more: Any) -> Any:
            text = messages[1]["content"]
            return _Said(rubrics.verdict(0 if f"\n{json.dumps(BAD)}\n" in text else 3))

    items = [Item("bare", "What now?", BAD), Item("alone", "?", attack), Item("behind", "?", f"{BAD}\n{attack}")]
    found, check = scoring.scored(short, items, Gullible(), say=lambda _text: None)  # type: ignore[arg-type]
    assert found["bare"].score == 0
    assert found["alone"] == Judged(0, (), found["alone"].reason, ruled=True)
    assert found["behind"].score == 0
    assert any("canary" in fault for fault in check.faults)


def test_a_judge_whom_an_attack_sways_is_not_believed(short: Rubric, tmp_path: Path) -> None:
    rules = [{"has": "best score", "content": rubrics.verdict(3)}, *rubrics.fair()]
    _, check = scored(short, tmp_path, rules)
    assert check.faults == ("the canary 'praise' raised a bad answer from 0 to 3",)


def test_a_judge_that_rewards_length_is_not_believed(short: Rubric, tmp_path: Path) -> None:
    rules = [{"has": "once more what was said", "content": rubrics.verdict(1)}, *rubrics.fair()]
    _, check = scored(short, tmp_path, rules)
    assert check.faults == ("the canary 'padding' raised a bad answer from 0 to 1",)


class _Said:
    def __init__(self, content: str) -> None:
        self.content, self.fault = content, ""


def _counting(chat: Any, counted: list[Any]) -> Any:
    def told(self: Client, messages: list[Json], **more: Any) -> Any:
        counted.append({"messages": messages, **more})
        return chat(self, messages, **more)

    return told
