"""Prefetch: asks the questions of tests before they run, several at once, grouped by prefix.

A server caches a prompt when it has processed all of it (mlx_lm/models/cache.py, LRUPromptCache; llama.cpp
tools/server, the slots' prompts). So of the questions that share a system prompt and tools, the first is answered
before the others start; questions with another prefix may start meanwhile.
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
"""Most seconds to wait for the threads when stopping, after their connections were shut down."""


@dataclass(frozen=True, slots=True)
class Request:
    """A question that a test will ask."""

    key: str
    """The digest of the question and `repeat`: equal requests are sent once."""
    question: Question
    test: str
    """The test function that will ask it."""
    repeat: int
    """The number of this answer, from 1, where a test asks the same question several times."""
    prefix: str
    """The digest of the start of its prompt: system messages and tools."""

    @classmethod
    def of(cls, question: Question, test: str, *, repeat: int = 1) -> Request:
        """The request of a question that a test function will ask."""
        head = [message for message in question.messages if message.get("role") in ("system", "developer")]
        tools = _tools_digest(question.tools)
        return cls(_key(question, repeat, tools), question, test, repeat, _digest([head, tools]))


def key(question: Question, repeat: int) -> str:
    """The key of a question's request. The tools are hashed again, as a suite may have changed them in place."""
    return _key(question, repeat, _digest(question.tools))


def _key(question: Question, repeat: int, tools: str) -> str:
    return _digest([question.messages, tools, question.max_tokens, repeat])


def size(question: Question) -> int:
    """Characters of the messages, which make up most of the prompt after the shared prefix."""
    return sum(len(str(message.get("content") or "")) for message in question.messages)


def ordered(requests: Iterable[Request]) -> list[Request]:
    """The distinct requests, grouped by prefix in the order in which the prefixes first occur."""
    unique = {each.key: each for each in requests}
    prefixes = {prefix: number for number, prefix in enumerate(dict.fromkeys(each.prefix for each in unique.values()))}
    return sorted(unique.values(), key=lambda each: prefixes[each.prefix])


class Prefetch:
    """A bounded number of threads that send the planned requests; each test takes its answer when it runs."""

    def __init__(self, ask: Callable[[Request], Reply], *, concurrency: int, abort: Callable[[], None]) -> None:
        """`ask` is called in up to `concurrency` threads; `abort` must end the calls that are under way."""
        self._ask, self._concurrency, self._abort = ask, concurrency, abort
        self._changed = threading.Condition()
        self._waiting: list[tuple[Request, Future[Reply]]] = []
        self._answers: dict[str, Future[Reply]] = {}
        self._takers: Counter[str] = Counter()
        self._cached: set[str] = set()
        """Prefixes that the server has cached."""
        self._leading: set[str] = set()
        """Prefixes whose first request is under way."""
        self._workers = self._running = 0
        self._paused = self._stopped = False
        self._threads: list[threading.Thread] = []

    def plan(self, requests: Sequence[Request]) -> None:
        """Send these requests, equal ones once. An answer can be taken as often as its request was planned."""
        with self._changed:
            for each in ordered(requests):
                if each.key not in self._answers:
                    self._answers[each.key] = answer = Future[Reply]()
                    self._waiting.append((each, answer))
            self._takers.update(each.key for each in requests)
            missing = min(self._concurrency - self._workers, len(self._waiting))
            started = [threading.Thread(target=self._work, name="gate-prefetch", daemon=True) for _ in range(missing)]
            self._workers += len(started)
            self._threads = [thread for thread in self._threads if thread.is_alive()] + started
            self._changed.notify_all()
        for thread in started:
            thread.start()

    def take(self, key: str) -> Reply | None:
        """Wait for an answer; None where its request is not planned. Raises what `ask` raised."""
        with self._changed:
            answer = self._answers.get(key)
            if answer is None:
                return None
            self._takers[key] -= 1
            if self._takers[key] <= 0:
                del self._answers[key], self._takers[key]
        return answer.result()

    def cancel(self, test: str) -> None:
        """Drop the waiting requests of a test function, which asks other questions than those of its cases."""
        with self._changed:
            self._drop([pair for pair in self._waiting if pair[0].test == test])

    def drain(self) -> None:
        """Drop the waiting requests, and wait for those under way."""
        with self._changed:
            self._drop(self._waiting)
            self._changed.notify_all()
            self._changed.wait_for(lambda: not self._running)

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """Wait for the requests under way, and start none inside the block."""
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
        """Drop the waiting requests, abort those under way, and join the threads."""
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
                self._cached.add(each.prefix)
                self._changed.notify_all()

    def _next(self) -> tuple[Request, Future[Reply]] | None:
        """Wait for a request that may start; None when there are no more."""
        with self._changed:
            while not self._stopped and self._waiting:
                number = next((n for n, (each, _) in enumerate(self._waiting) if self._may_start(each)), None)
                if number is not None and not self._paused:
                    task = self._waiting.pop(number)
                    self._leading |= {task[0].prefix} - self._cached
                    self._running += 1
                    return task
                self._changed.wait()
            self._workers -= 1  # under the lock, so that `plan` does not count a thread that is about to end
            return None

    def _may_start(self, each: Request) -> bool:
        """Has the server cached its prefix, or is no request with it under way?"""
        return each.prefix in self._cached or each.prefix not in self._leading


_TOOLS: dict[int, tuple[object, str]] = {}
"""The digests of lists of tools, by identity: the cases of a file share one list, the largest part of a question."""


def _tools_digest(tools: list[Json]) -> str:
    cached, digest = _TOOLS.get(id(tools), (None, ""))
    if cached is not tools:
        if len(_TOOLS) > 1000:
            _TOOLS.clear()
        digest = _digest(tools)
        _TOOLS[id(tools)] = (tools, digest)
    return digest


def _digest(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
