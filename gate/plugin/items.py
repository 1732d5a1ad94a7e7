"""A gated test item: its case, its test function, and how far it has come."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from gate.models.prefetch import Request
from gate.types import Case, Contract, Question, Result


@dataclass(slots=True)
class ItemState:
    """How far a gated test has come."""

    request: Request
    """What its case asks."""
    planned: bool = False
    """Was its request prefetched?"""
    taken: bool = False
    """Has it taken the answer that was prefetched?"""
    result: Result | None = None
    """What its answers were worth when it ran last; None where it was not scored."""


ITEM_STATE = pytest.StashKey[ItemState]()


def gated(item: pytest.Item) -> bool:
    """Is it a case?"""
    return item.get_closest_marker("gate") is not None and hasattr(item, "callspec") and "case" in item.callspec.params


def case_of(item: pytest.Item) -> Case:
    """The case that a gated test asks."""
    case: Case = item.callspec.params["case"]  # type: ignore[attr-defined]
    return case


def test_of(item: pytest.Item) -> str:
    """The node id of its test function."""
    return item.nodeid.removesuffix(f"[{item.callspec.id}]")  # type: ignore[attr-defined]


def state_of(item: pytest.Item, contracts: dict[str, Contract]) -> ItemState:
    """How far a gated test has come; `contracts` by test."""
    if ITEM_STATE not in item.stash:
        case, test = case_of(item), test_of(item)
        question = Question(case.messages, case.tools, case.max_tokens)
        repeat = int(item.callspec.indices["case"]) // len(contracts[test].ids) + 1  # type: ignore[attr-defined]
        item.stash[ITEM_STATE] = ItemState(Request.of(question, test, repeat=repeat))
    return item.stash[ITEM_STATE]
