"""One check: an id, a severity, the kinds it applies to, a remedy, and a function that says what it found."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from gate.errors import GateError
from gate.preflight.artifact import Artifact, NotApplicable, NotPossible
from gate.types import Check, Kind

Look = Callable[[Artifact], Sequence[str]]
SEVERITIES = ("refuse", "fail", "warn")
RULES: list[Rule] = []
"""Every check that is declared; complete once gate.preflight.registry is imported."""


@dataclass(frozen=True, slots=True)
class Rule:
    """A check as declared. `look` returns one line for each thing that is wrong; its docstring is the meaning."""

    id: str
    name: str
    severity: str
    kinds: tuple[str, ...]
    """Names of the kinds of checkpoint that it applies to; empty for every kind, those of plugins too."""
    remedy: str
    served: bool
    """Needs a server that has loaded the checkpoint."""
    look: Look

    @property
    def meaning(self) -> str:
        return (self.look.__doc__ or "").partition("\n")[0].strip()

    def applies(self, kind: Kind) -> bool:
        return not self.kinds or kind.name in self.kinds

    def check(self, artifact: Artifact) -> Check:
        """The result on one artifact."""
        status, found = self._look(artifact)
        return Check(self.id, self.name, status, self.severity, self.meaning, tuple(found), self.remedy)

    def _look(self, artifact: Artifact) -> tuple[str, Sequence[str]]:
        if not self.applies(artifact.checkpoint.kind):
            return "not applicable", [f"not for kind {artifact.checkpoint.kind}"]
        try:
            found = self.look(artifact)
        except NotApplicable as reason:
            return "not applicable", [str(reason)]
        except (NotPossible, GateError, OSError) as reason:
            # safety that cannot be seen is none; what the user did not give (a base, an adapter) is no such case
            return ("found" if self.id == "P22" else "not possible"), [str(reason)]
        return ("found", found) if found else ("ok", [])


def rule(id: str, severity: str, *, remedy: str, kinds: str = "", served: bool = False) -> Callable[[Look], Look]:
    """Declare a check. `kinds` names the kinds of checkpoint it applies to, parted by spaces; every kind without."""
    if severity not in SEVERITIES:
        raise ValueError(severity)

    def declare(look: Look) -> Look:
        RULES.append(Rule(id, look.__name__, severity, tuple(kinds.split()), remedy, served, look))
        return look

    return declare
