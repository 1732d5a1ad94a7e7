"""All checks, and their results for an artifact. Modules in checks/ are discovered."""

from __future__ import annotations

from collections.abc import Iterable
from importlib import import_module
from pkgutil import iter_modules

from gate.preflight import checks
from gate.preflight.artifact import Artifact
from gate.preflight.rule import RULES, SEVERITIES
from gate.types import Check

for _module in iter_modules(checks.__path__, f"{checks.__name__}."):
    import_module(_module.name)  # declares its checks


def inspect(artifact: Artifact, *, asking: bool = False) -> tuple[Check, ...]:
    """Every check that needs no server, or every one that does."""
    rules = sorted((rule for rule in RULES if rule.served == asking), key=lambda rule: rule.id)
    return tuple(rule.check(artifact) for rule in rules)


def worst(checks: Iterable[Check]) -> str:
    """The worst severity found: refuse, fail, warn, or empty."""
    found = {check.severity for check in checks if check.status == "found"}
    return next((severity for severity in SEVERITIES if severity in found), "")
