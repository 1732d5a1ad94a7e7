"""All checks, and what they say of an artifact."""

from __future__ import annotations

from collections.abc import Iterable

from gate.preflight.artifact import Artifact
from gate.preflight.checks import (  # noqa: F401 - each declares its checks
    adapter,
    chat_template,
    fuse,
    gguf_weights,
    leakage,
    quantization,
    readable,
    safety,
    served,
    tokenizer,
    tool_parser,
    training_data,
    versions,
)
from gate.preflight.rule import RULES
from gate.types import Check


def inspect(artifact: Artifact, *, asking: bool = False) -> tuple[Check, ...]:
    """Every check that needs no server, or every one that does."""
    rules = sorted((rule for rule in RULES if rule.served == asking), key=lambda rule: rule.id)
    return tuple(rule.check(artifact) for rule in rules)


def worst(checks: Iterable[Check]) -> str:
    """The worst severity found: refuse, fail, warn, or empty."""
    found = {check.severity for check in checks if check.status == "found"}
    return next((severity for severity in ("refuse", "fail", "warn") if severity in found), "")
