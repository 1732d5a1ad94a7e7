"""What an import makes of one row: a case as its file will hold it, or why there is none."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Refused:
    """A row that could not be taken."""

    where: str
    """file:line, or the row's own id."""
    why: str
    """The reason in general words, the same for all rows that have it: they are counted by it."""
    detail: str = ""
    """What was found in this very row."""
