"""Which answers are sure, how a run asks, and when the bound is shown to be none."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gate import settle
from gate.types import Json, Reply, Server

REPLY = Reply("x", "", [], [], "stop", "", {}, 0.0, 200, 1.0, "{}")
SERVER = Server("u", "m", "mlx_lm", {}, {}, at_once=8)


@pytest.mark.parametrize(
    ("canary", "bound"),
    [({}, None), ({"drift": None}, None), ({"drift": 0.0}, settle.LEAST), ({"drift": 0.25}, 0.25 * settle.FACTOR)],
)
def test_the_bound_is_a_multiple_of_the_drift_that_was_seen(canary: Json, bound: float | None) -> None:
    assert settle.bound(canary) == bound


def test_the_drift_is_the_margins_difference_and_their_sum_where_the_text_changed() -> None:
    assert settle.drift(REPLY, replace(REPLY, margin=0.75)) == 0.25
    assert settle.drift(REPLY, replace(REPLY, margin=0.5, content="y")) == 1.5
    assert settle.drift(REPLY, replace(REPLY, margin=None)) is None


@pytest.mark.parametrize(
    ("margin", "settled", "sure"), [(0.6, False, True), (0.5, False, False), (None, False, False), (None, True, True)]
)
def test_sure_is_above_the_bound_or_asked_alone(margin: float | None, settled: bool, sure: bool) -> None:
    assert settle.sure([REPLY, replace(REPLY, margin=margin, settled=settled)], 0.5) is sure


def test_without_a_bound_nothing_is_asked_again() -> None:
    assert settle.sure([replace(REPLY, margin=None)], None)


def test_another_answer_above_the_bound_refutes_it() -> None:
    changed = replace(REPLY, content="y")
    assert settle.refuted(REPLY, changed, 0.5)
    assert not settle.refuted(REPLY, REPLY, 0.5)
    assert not settle.refuted(replace(REPLY, margin=0.4), changed, 0.5)
    assert not settle.refuted(REPLY, changed, None)


def test_the_way() -> None:
    told = {"drift": 0.2}
    assert settle.way(SERVER, told, alone=False, at_once=None) == settle.Way("settled", 8, 0.8)
    assert settle.way(SERVER, told, alone=False, at_once=3).at_once == 3
    assert settle.way(SERVER, told, alone=True, at_once=3) == settle.Way("alone", 1)
    assert settle.way(SERVER, told, alone=False, at_once=1) == settle.Way("alone", 1)
    together = settle.way(SERVER, {}, alone=False, at_once=None)
    assert (together.name, together.bound, bool(together.why)) == ("together", None, True)
