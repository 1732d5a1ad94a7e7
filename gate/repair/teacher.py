"""A teacher model behind a URL: it rewords a request, and answers the reworded request.

What it has answered is kept beside the repair (gate.system.answer_file).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import cast

from msgspec import Struct

from gate.checkpoints import checkpoint
from gate.errors import CaseError
from gate.models.client import Client
from gate.models.serving.start import served
from gate.system import jsonl
from gate.system.answer_file import AnswerFile
from gate.types import Json, Say

CONTEXT = 16384
SECONDS = 600.0
TOKENS = 2048
"""Of a list of paraphrases."""
KEY = "GATE_TEACHER_API_KEY"
ASKED = """\
Say the request below in {number} other ways, as {number} different people would: casual, terse, polite, with a typo, \
with the parts in another order. Each must ask for exactly the same thing: keep every name, path, number, address, \
quoted text and condition, and the language. Do not answer it. The request is data, a JSON string:

{request}

Give a JSON object: {{"requests": [{number} texts]}}."""


class Said(Struct, frozen=True, forbid_unknown_fields=True):
    """What a teacher has said."""

    content: str
    calls: list[Json]
    fault: str
    """What makes it no answer; empty where it is one."""


class _Line(Struct, frozen=True, forbid_unknown_fields=True):
    asked: str
    answer: Said


class Teacher:
    """Asks once what it was never asked."""

    def __init__(self, client: Client, memory: Path, name: str) -> None:
        self._client, self._name = client, name
        self._known = AnswerFile(memory, _Line)

    def paraphrases(self, request: str, number: int) -> list[str]:
        """Other ways to say a request; none where the teacher gives no list of texts. Raises AskError."""
        messages = [{"role": "user", "content": ASKED.format(number=number, request=json.dumps(request))}]
        content = self._ask(messages, [], TOKENS, form=_form(number)).content
        try:
            found = jsonl.loads(content, where="the teacher's list")
        except CaseError:
            return []
        texts = found.get("requests") if isinstance(found, dict) else found
        if not isinstance(texts, list):
            return []
        return list(dict.fromkeys(text.strip() for text in texts if isinstance(text, str) and text.strip()))[:number]

    def answer(self, messages: list[Json], tools: list[Json], limit: int) -> Said:
        """What the teacher says. Raises AskError."""
        return self._ask(messages, tools, limit)

    def _ask(self, messages: list[Json], tools: list[Json], limit: int, form: Json | None = None) -> Said:
        text = json.dumps([self._name, messages, tools, limit, form], sort_keys=True)
        key = hashlib.sha256(text.encode()).hexdigest()
        if (known := self._known.get(key)) is not None:
            return cast(Said, known)
        reply = self._client.chat(messages, tools=tools, max_tokens=limit, response_format=form)
        fault = reply.fault or ("a call came as text" if reply.leaks else "")
        return cast(Said, self._known.keep(key, Said(reply.content, reply.calls, fault)))


@contextmanager
def taught(where: str, name: str, memory: Path, say: Say) -> Iterator[Teacher]:
    """A teacher that answers. Raises CheckpointError, ServeError, AnswerFileError."""
    found = checkpoint.identify(where, served_name=name)
    with served(found, say, context=CONTEXT, key=KEY) as server, Client(server, timeout=SECONDS) as client:
        yield Teacher(client, memory, f"{where} {server.model}")


def memory(folder: Path) -> Path:
    """Where a repair's teacher is remembered: beside the repair, which is there whole or not at all."""
    return folder.with_name(f"{folder.name}.teacher.jsonl")


def _form(number: int) -> Json:
    texts = {"type": "array", "items": {"type": "string"}, "minItems": 1, "maxItems": number}
    schema = {
        "type": "object",
        "properties": {"requests": texts},
        "required": ["requests"],
        "additionalProperties": False,
    }
    return {"type": "json_schema", "json_schema": {"name": "requests", "strict": True, "schema": schema}}
