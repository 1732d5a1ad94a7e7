"""Questions are asked before their tests: a bounded number at once, each once, grouped by prefix, leaving no thread."""

from __future__ import annotations

import threading
import time
from concurrent.futures import CancelledError

import pytest

from gate.errors import AskError
from gate.models.prefetch import Prefetch, Request, key, ordered
from gate.types import Question, Reply

REPLY = Reply("x", "", [], [], "stop", "", {}, 0.0, 200, None, "{}")


def request(text: str, *, system: str = "", tools: int = 0, test: str = "t", repeat: int = 1) -> Request:
    head = [{"role": "system", "content": system}] if system else []
    question = Question([*head, {"role": "user", "content": text}], [{"n": tools}], 9)
    return Request.of(question, test, repeat=repeat)


class Server:
    """Answers after some seconds, and counts how many questions were under way at once."""

    def __init__(self, seconds: float = 0.01) -> None:
        self.seconds, self.asked, self.most, self._now = seconds, list[str](), 0, 0
        self._lock, self.cut = threading.Lock(), threading.Event()

    def answer(self, each: Request) -> Reply:
        with self._lock:
            self.asked.append(str(each.question.messages[-1]["content"]))
            self._now += 1
            self.most = max(self.most, self._now)
        cut = self.cut.wait(self.seconds)
        with self._lock:
            self._now -= 1
        if cut or self.asked[-1] == "fails":
            raise AskError("no answer")
        return REPLY

    def prefetch(self, concurrency: int = 4) -> Prefetch:
        return Prefetch(self.answer, concurrency=concurrency, abort=self.cut.set)


def alive() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "gate-prefetch"]


def test_as_many_are_under_way_as_allowed_and_none_more() -> None:
    server, plan = Server(), [request(str(number)) for number in range(20)]
    prefetch = server.prefetch(3)
    prefetch.plan(plan)
    assert [prefetch.take(each.key) for each in plan] == [REPLY] * 20
    assert server.most == 3
    prefetch.stop()
    assert not alive()


def test_two_tests_over_one_case_ask_once_and_each_gets_the_answer() -> None:
    server, prefetch = Server(), None
    prefetch = server.prefetch()
    prefetch.plan([request("a", test="one"), request("a", test="two")])
    assert prefetch.take(request("a").key) == prefetch.take(request("a").key) == REPLY
    assert prefetch.take(request("a").key) is None
    assert server.asked == ["a"]
    prefetch.stop()


def test_a_question_that_is_to_be_asked_several_times_is() -> None:
    server = Server()
    prefetch = server.prefetch()
    prefetch.plan([request("a", repeat=1), request("a", repeat=2)])
    assert request("a", repeat=1).key != request("a", repeat=2).key == key(request("a").question, 2)
    prefetch.take(request("a", repeat=1).key)
    prefetch.take(request("a", repeat=2).key)
    assert server.asked == ["a", "a"]
    prefetch.stop()


def test_the_first_of_a_prefix_ends_before_the_others_begin_and_another_prefix_may_begin() -> None:
    ends: dict[str, float] = {}
    begins: dict[str, float] = {}

    def answer(each: Request) -> Reply:
        text = str(each.question.messages[-1]["content"])
        begins[text] = time.monotonic()
        time.sleep(0.05)
        ends[text] = time.monotonic()
        return REPLY

    prefetch = Prefetch(answer, concurrency=4, abort=lambda: None)
    plan = [request(f"{system}{number}", system=system) for system in "ab" for number in range(3)]
    prefetch.plan(plan)
    for each in plan:
        prefetch.take(each.key)
    prefetch.stop()
    for system in "ab":
        assert min(begins[f"{system}1"], begins[f"{system}2"]) >= ends[f"{system}0"]
    assert begins["b0"] < ends["a0"]


def test_those_with_one_prefix_follow_each_other_and_stand_once() -> None:
    plan = [request("1", system="x"), request("2", system="y"), request("3", system="x"), request("1", system="x")]
    assert [each.question.messages[-1]["content"] for each in ordered(plan)] == ["1", "3", "2"]
    assert request("1", tools=1).prefix != request("1", tools=2).prefix


def test_an_error_is_raised_in_the_test_that_takes_the_answer() -> None:
    prefetch = Server().prefetch(1)
    prefetch.plan([request("fails"), request("b")])
    with pytest.raises(AskError, match="no answer"):
        prefetch.take(request("fails").key)
    assert prefetch.take(request("b").key) == REPLY
    prefetch.stop()


def test_stopping_cuts_what_is_under_way_and_drops_what_waits() -> None:
    server = Server(seconds=60)
    prefetch = server.prefetch(2)
    plan = [request(str(number), system=str(number)) for number in range(9)]
    prefetch.plan(plan)
    while len(server.asked) < 2:
        time.sleep(0.001)
    begun = time.monotonic()
    prefetch.stop()
    assert time.monotonic() - begun < 5
    assert not alive()
    with pytest.raises((AskError, CancelledError)):
        prefetch.take(plan[0].key)
    with pytest.raises(CancelledError):
        prefetch.take(plan[8].key)
    assert len(server.asked) == 2


def test_a_test_that_asks_something_else_is_cancelled() -> None:
    server = Server(seconds=0.05)
    prefetch = server.prefetch(1)
    prefetch.plan([request("1"), request("2", test="other"), request("3"), request("4")])
    prefetch.cancel("t")
    assert prefetch.take(request("2").key) == REPLY
    assert prefetch.take(request("4").key) is None
    prefetch.stop()
    assert "4" not in server.asked


def test_nothing_starts_while_it_is_paused() -> None:
    server = Server(seconds=0.02)
    prefetch = server.prefetch(2)
    plan = [request(str(number)) for number in range(12)]
    prefetch.plan(plan)
    prefetch.take(plan[0].key)
    with prefetch.paused():
        before = len(server.asked)
        time.sleep(0.1)
        assert len(server.asked) == before < 12
    for each in plan[1:]:
        prefetch.take(each.key)
    assert len(server.asked) == 12
    prefetch.stop()


def test_what_is_planned_later_is_asked_too() -> None:
    server = Server()
    prefetch = server.prefetch(2)
    prefetch.plan([request("1")])
    prefetch.take(request("1").key)
    time.sleep(0.05)
    prefetch.plan([request("2")])
    assert prefetch.take(request("2").key) == REPLY
    prefetch.stop()


def test_a_thread_that_is_about_to_end_is_not_counted_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """A thread stays alive for a while after its last request: a plan made just then would wait for ever."""
    work = Prefetch._work
    monkeypatch.setattr(Prefetch, "_work", lambda self: (work(self), time.sleep(2)))
    server = Server()
    prefetch = server.prefetch(1)
    prefetch.plan([request("1")])
    prefetch.take(request("1").key)
    time.sleep(0.1)
    prefetch.plan([request("2")])
    answers: list[Reply | None] = []
    taker = threading.Thread(target=lambda: answers.append(prefetch.take(request("2").key)), daemon=True)
    taker.start()
    taker.join(1)
    assert answers == [REPLY]
    prefetch.stop()


def test_tools_that_a_suite_has_changed_in_place_are_another_question() -> None:
    question = Question([{"role": "user", "content": "x"}], [{"n": 1}, {"n": 2}], 9)
    planned = Request.of(question, "t")
    assert key(question, 1) == planned.key
    question.tools.reverse()
    assert key(question, 1) != planned.key


def test_what_is_dropped_is_asked_no_more_and_what_is_under_way_is_waited_for() -> None:
    server, plan = Server(0.2), [request(str(number)) for number in range(9)]
    prefetch = server.prefetch(3)
    prefetch.plan(plan)
    assert prefetch.take(plan[0].key) == REPLY
    prefetch.drain()
    begun = len(server.asked)
    assert begun < 9
    time.sleep(0.3)
    assert len(server.asked) == begun
    assert [prefetch.take(each.key) for each in plan[1:]] == [REPLY] * (begun - 1) + [None] * (9 - begun)
    prefetch.stop()
    assert not alive()
