"""What a gated test item is: its case, its test function, its question."""

from __future__ import annotations

import pytest

from gate.types import Case, Contract, Question, Result

RESULT = pytest.StashKey[Result]()
"""What the answers of a gated test were worth the last time that it ran."""


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


def question_of(item: pytest.Item) -> Question:
    """What its case asks."""
    case = case_of(item)
    return Question(case.messages, case.tools, case.max_tokens)


def time_of(item: pytest.Item, contracts: dict[str, Contract]) -> int:
    """Which of several answers to its case it wants, from 1."""
    contract = contracts[test_of(item)]
    return int(item.callspec.indices["case"]) // len(contract.ids) + 1  # type: ignore[attr-defined]
