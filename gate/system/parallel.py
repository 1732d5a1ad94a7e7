"""Do several slow things at once, in threads that never keep the process from ending."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, as_completed
from typing import TypeVar

Given = TypeVar("Given")
Made = TypeVar("Made")


def each(
    function: Callable[[Given], Made],
    values: Sequence[Given],
    *,
    at_once: int,
    tell: Callable[[int], None] = lambda _: None,
) -> list[Made]:
    """The function of each value, in the values' order; `tell` is called in this thread with how many are done.

    Raises what the function raises. Daemon threads: after Ctrl-C a server that still owes an answer holds nobody up.
    """
    futures: list[Future[Made]] = [Future() for _ in values]
    waiting: queue.SimpleQueue[tuple[Future[Made], Given]] = queue.SimpleQueue()
    for pair in zip(futures, values, strict=True):
        waiting.put(pair)
    for _ in range(min(at_once, len(values))):
        threading.Thread(target=_work, args=(function, waiting), daemon=True).start()
    for done, _ in enumerate(as_completed(futures), start=1):
        tell(done)
    return [future.result() for future in futures]


def _work(function: Callable[[Given], Made], waiting: queue.SimpleQueue[tuple[Future[Made], Given]]) -> None:
    while True:
        try:
            future, value = waiting.get_nowait()
        except queue.Empty:
            return
        try:
            future.set_result(function(value))
        except Exception as error:  # noqa: BLE001 - it is raised again in the thread that asked
            future.set_exception(error)
