"""A parallel map, in threads that never keep the process from ending."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, as_completed
from typing import TypeVar

Value = TypeVar("Value")
Result = TypeVar("Result")


def map(
    function: Callable[[Value], Result],
    values: Sequence[Value],
    *,
    at_once: int,
    tell: Callable[[int], None] = lambda _: None,
) -> list[Result]:
    """The function of each value, in the values' order; `tell` is called in this thread with how many are done.

    Raises what the function raises. Daemon threads: after Ctrl-C a server that still owes an answer holds nobody up.
    """
    futures: list[Future[Result]] = [Future() for _ in values]
    waiting: queue.SimpleQueue[tuple[Future[Result], Value]] = queue.SimpleQueue()
    for pair in zip(futures, values, strict=True):
        waiting.put(pair)
    for _ in range(min(at_once, len(values))):
        threading.Thread(target=_work, args=(function, waiting), daemon=True).start()
    for done, _ in enumerate(as_completed(futures), start=1):
        tell(done)
    return [future.result() for future in futures]


def _work(function: Callable[[Value], Result], waiting: queue.SimpleQueue[tuple[Future[Result], Value]]) -> None:
    while True:
        try:
            future, value = waiting.get_nowait()
        except queue.Empty:
            return
        try:
            future.set_result(function(value))
        except Exception as error:  # noqa: BLE001 - it is raised again in the thread that asked
            future.set_exception(error)
