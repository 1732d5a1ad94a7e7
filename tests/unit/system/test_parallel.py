"""Several at once: in order, with progress, and what fails is raised."""

from __future__ import annotations

import threading

import pytest

from gate.system import parallel


def test_results_keep_the_order_and_progress_counts_up() -> None:
    done: list[int] = []
    assert parallel.map(lambda n: n * 2, range(7), at_once=3, tell=done.append) == [0, 2, 4, 6, 8, 10, 12]
    assert done == [1, 2, 3, 4, 5, 6, 7]
    assert parallel.map(str, [], at_once=3) == []


def test_so_many_run_at_once() -> None:
    meeting = threading.Barrier(3, timeout=10)
    assert len(set(parallel.map(lambda _: meeting.wait(), range(3), at_once=3))) == 3


def test_what_fails_is_raised_and_the_threads_hold_nobody_up() -> None:
    daemons: list[bool] = []

    def fail(number: int) -> int:
        daemons.append(threading.current_thread().daemon)
        return 1 // number

    with pytest.raises(ZeroDivisionError):
        parallel.map(fail, [1, 0], at_once=2)
    assert daemons == [True, True]
