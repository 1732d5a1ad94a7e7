"""What every template is given: the rows, where to ask them, and where the hits go. Runs in any peer's environment.

    python with_….py REQUESTS.jsonl URL MODEL HITS.json

A row is {"id", "messages", "tools", "max_tokens", "expect"}; URL ends in /v1. From the environment come the key
(OPENAI_API_KEY) and the sampling parameters (SAMPLING, a JSON object). HITS.json becomes {"hits", "asked"}.
Standard library alone: the environments have little in common.
"""

from __future__ import annotations

import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Task:
    """One run of one harness."""

    rows: list[dict[str, Any]]
    url: str
    model: str
    key: str
    sampling: dict[str, Any]
    hits: Path

    def body(self, row: dict[str, Any]) -> dict[str, Any]:
        """The chat request of a row."""
        tools = {"tools": row["tools"]} if row["tools"] else {}
        asked = {"model": self.model, "messages": row["messages"], **tools, "max_tokens": row["max_tokens"]}
        return asked | self.sampling

    def done(self, hits: list[bool]) -> None:
        """Write how many rows were answered right."""
        self.hits.write_text(json.dumps({"hits": sum(hits), "asked": len(hits)}), encoding="utf-8")


def given() -> Task:
    """The task that the command line names."""
    requests, url, model, hits = sys.argv[1:]
    lines = Path(requests).read_text(encoding="utf-8").splitlines()
    key, sampling = os.environ["OPENAI_API_KEY"], json.loads(os.environ["SAMPLING"])
    return Task([json.loads(line) for line in lines], url, model, key, sampling, Path(hits))
