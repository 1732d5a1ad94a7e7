"""Cases that training has learned from: `<registry>/burned.jsonl`, a ledger over all slots.

A case whose miss became training rows no longer shows what the model can do: it is asked on, and counts no more. A
fresh case that `replaces` it takes its place; until then a promotion would stand on fewer cases, and is refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from gate import cases, ledger
from gate.cases import CaseFile
from gate.ledger import LedgerError
from gate.types import Contract, Json

EVENT = "burned"


def burn(registry: Path, marks: Mapping[str, str], facts: Json) -> int:
    """Record that rows were built from these cases: {what each asks (gate.cases.marks)[1]: its id}; how many are new.

    `facts`: the repair's manifest, digest and report. Raises LedgerError when it cannot be recorded.
    """
    seen = known(registry)
    new = {mark: id_ for mark, id_ in sorted(marks.items()) if mark not in seen}
    if new:
        ledger.append(path(registry), EVENT, facts | {"cases": new})
    return len(new)


def known(registry: Path) -> dict[str, str]:
    """What every burned case asks, and its id. Raises LedgerError."""
    found: dict[str, str] = {}
    for line in ledger.read(path(registry)):
        try:
            found |= {str(mark): str(id_) for mark, id_ in line.facts["cases"].items()}
        except (KeyError, AttributeError) as error:
            raise LedgerError(f"{path(registry)}: line {line.number} names no burned cases") from error
    return found


def without(contract: Contract, file: CaseFile, burned: Mapping[str, str]) -> Contract:
    """The contract with the cases that training has learned from, and those of them that a fresh case replaces."""
    marked = [case.id for case in file.cases if cases.marks(case)[1] in burned]
    fresh = {case.replaces for case in file.cases if case.id not in marked}
    return replace(contract, burned=tuple(marked), replaced=tuple(id_ for id_ in marked if id_ in fresh))


def path(registry: Path) -> Path:
    """The ledger of burned cases."""
    return registry / "burned.jsonl"
