"""Ask questions before the tests that want them run: several at once, each once, those with one prefix together.

Servers keep the prompt that they have read, and use it again once it is read to its end (mlx_lm/models/cache.py,
LRUPromptCache; llama.cpp tools/server, the slots' prompts). So the first question of those that share a system prompt
and tools is answered before the others of its group begin; meanwhile other groups may.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from time import monotonic

from gate.types import Json, Question, Reply

PATIENCE = 10.0
"""Most seconds that stopping waits for a thread whose connection was cut."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """An answer that a test will ask for."""

    key: str
    """What is asked: equal questions are asked once."""
    question: Question
    test: str
    """The test function that wants it."""
    time: int
    """Which of several answers to the same question, from 1; each is asked for itself."""
    group: str
    """What its prompt begins with: system messages and tools."""


def wanted(question: Question, test: str, *, time: int = 1) -> Wanted:
    """What a case's test will ask."""
    head = [message for message in question.messages if message.get("role") in ("system", "developer")]
    tools = _of_tools(question.tools)
    return Wanted(_key(question, time, tools), question, test, time, _digest([head, tools]))


def key(question: Question, time: int) -> str:
    """By what an answer is known again, with the tools as they are now: a suite may have changed them."""
    return _key(question, time, _digest(question.tools))


def _key(question: Question, time: int, tools: str) -> str:
    return _digest([question.messages, tools, question.max_tokens, time])


def size(question: Question) -> int:
    """Characters of the messages: what of a prompt is not shared."""
    return sum(len(str(message.get("content") or "")) for message in question.messages)


def ordered(questions: Iterable[Wanted]) -> list[Wanted]:
    """Those with one prefix behind each other, in the order in which the prefixes first come; equal ones once."""
    unique = {each.key: each for each in questions}
    groups = {group: number for number, group in enumerate(dict.fromkeys(each.group for each in unique.values()))}
    return sorted(unique.values(), key=lambda each: groups[each.group])


class Ahead:
    """A bounded number of threads that ask what was planned; a test takes its answer when it comes to it."""

    def __init__(self, ask: Callable[[Wanted], Reply], *, at_once: int, abort: Callable[[], None]) -> None:
        """`ask` is called from the threads; `abort` makes every call of it that is under way end soon."""
        self._ask, self._at_once, self._abort = ask, at_once, abort
        self._changed = threading.Condition()
        self._waiting: list[tuple[Wanted, Future[Reply]]] = []
        self._answers: dict[str, Future[Reply]] = {}
        self._takers: Counter[str] = Counter()
        self._whole: set[str] = set()
        self._leading: set[str] = set()
        self._workers = self._running = 0
        self._held = self._stopped = False
        self._threads: list[threading.Thread] = []

    def plan(self, questions: Sequence[Wanted]) -> None:
        """Ask these, in this order, what is planned already only once; each may be taken as often as it stands here."""
        with self._changed:
            for each in ordered(questions):
                if each.key not in self._answers:
                    self._answers[each.key] = answer = Future[Reply]()
                    self._waiting.append((each, answer))
            self._takers.update(each.key for each in questions)
            missing = min(self._at_once - self._workers, len(self._waiting))
            fresh = [threading.Thread(target=self._work, name="gate-ahead", daemon=True) for _ in range(missing)]
            self._workers += len(fresh)
            self._threads = [thread for thread in self._threads if thread.is_alive()] + fresh
            self._changed.notify_all()
        for thread in fresh:
            thread.start()

    def take(self, key: str) -> Reply | None:
        """The answer, waited for; None for what was not planned. Raises what asking raised."""
        with self._changed:
            answer = self._answers.get(key)
            if answer is None:
                return None
            self._takers[key] -= 1
            if self._takers[key] <= 0:
                del self._answers[key], self._takers[key]
        return answer.result()

    def forget(self, test: str) -> None:
        """Ask nothing more for a test function that does not ask what its cases say."""
        with self._changed:
            dropped = [pair for pair in self._waiting if pair[0].test == test]
            self._waiting = [pair for pair in self._waiting if pair[0].test != test]
            for each, answer in dropped:
                answer.cancel()
                del self._answers[each.key], self._takers[each.key]

    def drop(self) -> None:
        """Ask nothing more of what is planned, and wait until nothing is under way."""
        with self._changed:
            for each, answer in self._waiting:
                answer.cancel()
                del self._answers[each.key], self._takers[each.key]
            self._waiting = []
            self._changed.notify_all()
            self._changed.wait_for(lambda: not self._running)

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Wait until nothing is under way, and begin nothing new inside of the block."""
        with self._changed:
            self._held = True
            self._changed.wait_for(lambda: not self._running)
        try:
            yield
        finally:
            with self._changed:
                self._held = False
                self._changed.notify_all()

    def stop(self) -> None:
        """Drop what is planned, cut what is under way, and leave no thread."""
        with self._changed:
            self._stopped, dropped, self._waiting = True, self._waiting, []
            for _, answer in dropped:
                answer.cancel()
            self._changed.notify_all()
        if self._running:
            self._abort()
        deadline = monotonic() + PATIENCE
        for thread in self._threads:
            thread.join(max(0.0, deadline - monotonic()))

    def _work(self) -> None:
        while (task := self._next()) is not None:
            each, answer = task
            try:
                answer.set_result(self._ask(each))
            except Exception as error:  # noqa: BLE001 - it is raised again in the test that takes the answer
                answer.set_exception(error)
            with self._changed:
                self._running -= 1
                self._leading.discard(each.group)
                self._whole.add(each.group)
                self._changed.notify_all()

    def _next(self) -> tuple[Wanted, Future[Reply]] | None:
        """The next question whose turn it is; None when there are no more."""
        with self._changed:
            while not self._stopped and self._waiting:
                number = next((n for n, (each, _) in enumerate(self._waiting) if self._may(each)), None)
                if number is not None and not self._held:
                    task = self._waiting.pop(number)
                    self._leading |= {task[0].group} - self._whole
                    self._running += 1
                    return task
                self._changed.wait()
            self._workers -= 1  # here, under the lock: a thread that ends is alive a while longer
            return None

    def _may(self, each: Wanted) -> bool:
        """Is its prefix known to the server, or nobody's yet?"""
        return each.group in self._whole or each.group not in self._leading


_TOOLS: dict[int, tuple[object, str]] = {}
"""The digests of lists of tools: the cases of a file share one list, and it is most of what they ask."""


def _of_tools(tools: list[Json]) -> str:
    known, digest = _TOOLS.get(id(tools), (None, ""))
    if known is not tools:
        if len(_TOOLS) > 1000:
            _TOOLS.clear()
        digest = _digest(tools)
        _TOOLS[id(tools)] = (tools, digest)
    return digest


def _digest(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
