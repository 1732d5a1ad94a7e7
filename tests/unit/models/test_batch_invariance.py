"""Which answers are sure, the ask mode of a run, and when an answer refutes the bound."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gate.models import batch_invariance
from gate.types import AskMode, Determinism, Reply, Server

REPLY = Reply("x", "", [], [], "stop", "", {}, 0.0, 200, 1.0, "{}")
SERVER = Server("u", "m", "mlx_lm", {}, {}, at_once=8)


@pytest.mark.parametrize(
    ("probed", "bound"),
    [
        (Determinism(None, 0.0), None),
        (Determinism(True, 0.0, drift=None, steps=0), None),
        (Determinism(True, 0.0, drift=0.0, steps=1), batch_invariance.LEAST),
        (Determinism(True, 0.0, drift=0.1, steps=10**6), pytest.approx(0.1 * batch_invariance.SIGMAS, rel=0.01)),
        (
            Determinism(True, 0.0, drift=0.1, steps=48),
            pytest.approx(1.305, abs=0.001),
        ),  # chi-squared tables: 28.18 of 48 at 1 %
        (Determinism(True, 0.0, drift=0.1, steps=4), pytest.approx(3.668, abs=0.004)),  # 0.297 of 4
    ],
)
def test_the_bound_is_a_multiple_of_the_spread_that_the_drift_allows(probed: Determinism, bound: float | None) -> None:
    assert batch_invariance.bound(probed) == bound


def test_gap_changes_are_differences_and_the_sum_of_both_gaps_where_the_token_changed() -> None:
    sequential, batched = [("a", 1.0), ("b", 0.5), ("c", 2.0)], [("a", 0.75), ("x", 0.25), ("c", 9.0)]
    assert list(batch_invariance.gap_changes(sequential, batched)) == [0.25, 0.75]
    assert list(batch_invariance.gap_changes(sequential, sequential[:2])) == [0.0, 0.0]


def test_drift_is_the_root_mean_square() -> None:
    assert batch_invariance.drift([3.0, -4.0]) == pytest.approx(12.5**0.5)
    assert batch_invariance.drift([]) is None


@pytest.mark.parametrize(
    ("margin", "verified", "sure"), [(0.6, False, True), (0.5, False, False), (None, False, False), (None, True, True)]
)
def test_sure_is_above_the_bound_or_verified(margin: float | None, verified: bool, sure: bool) -> None:
    assert batch_invariance.sure([REPLY, replace(REPLY, margin=margin, verified=verified)], 0.5) is sure


def test_without_a_bound_nothing_is_asked_again() -> None:
    assert batch_invariance.sure([replace(REPLY, margin=None)], None)


def test_another_answer_above_the_bound_refutes_it() -> None:
    changed = replace(REPLY, content="y")
    assert batch_invariance.refuted(REPLY, changed, 0.5)
    assert not batch_invariance.refuted(REPLY, REPLY, 0.5)
    assert not batch_invariance.refuted(replace(REPLY, margin=0.4), changed, 0.5)
    assert not batch_invariance.refuted(REPLY, changed, None)


def test_the_mode() -> None:
    probed = Determinism(True, 0.0, drift=0.0, steps=40)
    assert batch_invariance.ask_mode(SERVER, probed, sequential=False, concurrency=None) == AskMode(
        "verified", 8, batch_invariance.LEAST
    )
    assert batch_invariance.ask_mode(SERVER, probed, sequential=False, concurrency=3).at_once == 3
    assert batch_invariance.ask_mode(SERVER, probed, sequential=True, concurrency=3) == AskMode("sequential", 1)
    assert batch_invariance.ask_mode(SERVER, probed, sequential=False, concurrency=1) == AskMode("sequential", 1)
    batched = batch_invariance.ask_mode(SERVER, Determinism(None, 0.0), sequential=False, concurrency=None)
    assert (batched.name, batched.bound, bool(batched.why)) == ("batched", None, True)
