"""Asks questions before the tests that want them run: several at once, each once, equal prefixes together.

A server keeps the prompt that it has read and reuses it once it is read to its end (mlx_lm/models/cache.py,
LRUPromptCache; llama.cpp tools/server, the slots' prompts). So the first question of those that share a system prompt
and tools is answered before the others with that prefix begin; meanwhile questions with another prefix may.
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
class Request:
    """A question that a test will ask."""

    key: str
    """The digest of what is asked: equal questions are asked once."""
    question: Question
    test: str
    """The test function that will ask it."""
    repeat: int
    """Which of several answers to the same question, from 1; each is asked for itself."""
    prefix: str
    """The digest of what its prompt begins with: system messages and tools."""

    @classmethod
    def of(cls, question: Question, test: str, *, repeat: int = 1) -> Request:
        """The request of a case's test."""
        head = [message for message in question.messages if message.get("role") in ("system", "developer")]
        tools = _tools_digest(question.tools)
        return cls(_key(question, repeat, tools), question, test, repeat, _digest([head, tools]))


def key(question: Question, repeat: int) -> str:
    """The key of a question's request, with its tools read again: a suite may have changed them in place."""
    return _key(question, repeat, _digest(question.tools))


def _key(question: Question, repeat: int, tools: str) -> str:
    return _digest([question.messages, tools, question.max_tokens, repeat])


def size(question: Question) -> int:
    """Characters of the messages: the part of a prompt that is not shared."""
    return sum(len(str(message.get("content") or "")) for message in question.messages)


def ordered(requests: Iterable[Request]) -> list[Request]:
    """Equal prefixes behind each other, in the order in which the prefixes first come; equal requests once."""
    unique = {each.key: each for each in requests}
    prefixes = {prefix: number for number, prefix in enumerate(dict.fromkeys(each.prefix for each in unique.values()))}
    return sorted(unique.values(), key=lambda each: prefixes[each.prefix])


class Prefetch:
    """A bounded number of threads that ask what was planned; a test takes its answer when it comes to it."""

    def __init__(self, ask: Callable[[Request], Reply], *, concurrency: int, abort: Callable[[], None]) -> None:
        """`ask` is called from the threads; `abort` makes every call of it that is under way end soon."""
        self._ask, self._concurrency, self._abort = ask, concurrency, abort
        self._changed = threading.Condition()
        self._waiting: list[tuple[Request, Future[Reply]]] = []
        self._answers: dict[str, Future[Reply]] = {}
        self._takers: Counter[str] = Counter()
        self._read: set[str] = set()
        """Prefixes that the server has read to their end."""
        self._leading: set[str] = set()
        """Prefixes whose first question is under way."""
        self._workers = self._running = 0
        self._paused = self._stopped = False
        self._threads: list[threading.Thread] = []

    def plan(self, requests: Sequence[Request]) -> None:
        """Ask these, in this order, equal ones once; an answer may be taken as often as its request is planned."""
        with self._changed:
            for each in ordered(requests):
                if each.key not in self._answers:
                    self._answers[each.key] = answer = Future[Reply]()
                    self._waiting.append((each, answer))
            self._takers.update(each.key for each in requests)
            missing = min(self._concurrency - self._workers, len(self._waiting))
            fresh = [threading.Thread(target=self._work, name="gate-prefetch", daemon=True) for _ in range(missing)]
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

    def cancel(self, test: str) -> None:
        """Ask nothing more for a test function that does not ask what its cases say."""
        with self._changed:
            self._drop([pair for pair in self._waiting if pair[0].test == test])

    def drain(self) -> None:
        """Ask nothing more of what is planned, and wait until nothing is under way."""
        with self._changed:
            self._drop(self._waiting)
            self._changed.notify_all()
            self._changed.wait_for(lambda: not self._running)

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """Wait until nothing is under way, and begin nothing new inside the block."""
        with self._changed:
            self._paused = True
            self._changed.wait_for(lambda: not self._running)
        try:
            yield
        finally:
            with self._changed:
                self._paused = False
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

    def _drop(self, dropped: list[tuple[Request, Future[Reply]]]) -> None:
        keys = {each.key for each, _ in dropped}
        self._waiting = [pair for pair in self._waiting if pair[0].key not in keys]
        for each, answer in dropped:
            answer.cancel()
            del self._answers[each.key], self._takers[each.key]

    def _work(self) -> None:
        while (task := self._next()) is not None:
            each, answer = task
            try:
                answer.set_result(self._ask(each))
            except Exception as error:  # noqa: BLE001 - it is raised again in the test that takes the answer
                answer.set_exception(error)
            with self._changed:
                self._running -= 1
                self._leading.discard(each.prefix)
                self._read.add(each.prefix)
                self._changed.notify_all()

    def _next(self) -> tuple[Request, Future[Reply]] | None:
        """The next question that may begin; None when there are no more."""
        with self._changed:
            while not self._stopped and self._waiting:
                number = next((n for n, (each, _) in enumerate(self._waiting) if self._may_begin(each)), None)
                if number is not None and not self._paused:
                    task = self._waiting.pop(number)
                    self._leading |= {task[0].prefix} - self._read
                    self._running += 1
                    return task
                self._changed.wait()
            self._workers -= 1  # here, under the lock: a thread that ends is alive a while longer
            return None

    def _may_begin(self, each: Request) -> bool:
        """Has the server read its prefix, or is nobody reading it yet?"""
        return each.prefix in self._read or each.prefix not in self._leading


_TOOLS: dict[int, tuple[object, str]] = {}
"""The digests of lists of tools: the cases of a file share one list, and it is most of what they ask."""


def _tools_digest(tools: list[Json]) -> str:
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
