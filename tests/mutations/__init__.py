"""Ways to break a good artifact, one function each, and the check that must see it.

    python -m tests.mutations        print the table of mutations and checks

A mutation gets a place of its own with a copy of the good artifacts (weights are hard links until they are written),
breaks one thing, and returns the Artifact to look at.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from gate.preflight.artifact import Artifact
from gate.preflight.rule import RULES, Rule
from gate.types import Check
from tests.mutations.good import Good

Break = Callable[[Good], Artifact]
MUTATIONS: list[Mutation] = []


@dataclass(frozen=True)
class Mutation:
    name: str
    check: str
    """Name of the check that is meant to see it."""
    what: str
    apply: Break

    @property
    def rule(self) -> Rule:
        return next(rule for rule in RULES if rule.name == self.check)


def mutation(check: str) -> Callable[[Break], Break]:
    """Declare a mutation and the check that must catch it."""

    def declare(apply: Break) -> Break:
        MUTATIONS.append(Mutation(apply.__name__, check, (apply.__doc__ or "").strip(), apply))
        return apply

    return declare


def caught(one: Mutation, good: Good) -> Check:
    """What the check meant for a mutation says of it."""
    from gate.preflight import registry  # noqa: F401 - declares the checks

    artifact = one.apply(good)
    if not one.rule.served:
        return one.rule.check(artifact)
    with good.served(artifact) as serving:
        return one.rule.check(serving)


from tests.mutations import adapters, folders, ggufs, hostile, templates  # noqa: E402, F401 - each declares mutations
