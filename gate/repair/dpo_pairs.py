"""Pairs for preference training (DPO): what a case expects, and what the model said.

The prompt is the missed case's own, since the answer that is turned down was given to that very prompt: so the case is
contaminated, and no other case may ask nearly that. Pairs are in a file of their own, which no training of rows reads.
"""

from __future__ import annotations

from gate.errors import CaseError
from gate.repair.contamination import SAME, Guard
from gate.repair.misses import Miss
from gate.repair.rows import faults, spoken
from gate.types import Json

UNKNOWN = "pairs: the right answer is not known"
SILENT = "pairs: the model said nothing"
RIGHT = "pairs: what the model said is what the case expects"


def pair(miss: Miss, chosen: Json | None, guard: Guard) -> Json | str:
    """A pair, or why there is none."""
    said = miss.reply
    if chosen is None:
        return UNKNOWN
    if not (said.content.strip() or said.calls):
        return SILENT
    try:
        if not faults(miss.case, said.content, said.calls):
            return RIGHT
    except CaseError as error:
        return f"pairs: {error}"
    rejected = spoken(said.content, [_call(call) for call in said.calls])
    if rejected == chosen:
        return RIGHT
    if guard.others(miss.case.messages, miss.mark):
        return f"pairs: {SAME}, another one"
    offered = {"tools": miss.case.tools} if miss.case.tools else {}
    return {"prompt": miss.case.messages} | offered | {"chosen": chosen, "rejected": rejected}


def _call(call: Json) -> Json:
    return {"name": str(call.get("name")), "arguments": call.get("arguments")}
