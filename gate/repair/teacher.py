"""A teacher behind a URL: it says a request otherwise, and then shows how it would have answered that.

What it has answered is kept beside the repair, a line an answer, so that a stopped run goes on where it was and a
second run of the same command builds the same bytes.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from gate.checkpoints import checkpoint
from gate.errors import CaseError, GateError
from gate.models.client import Client
from gate.models.serving.start import served
from gate.system import disk, jsonl
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


class TeacherError(GateError):
    """The teacher's memory cannot be kept."""


class Teacher:
    """Asks once what it was never asked."""

    def __init__(self, client: Client, memory: Path, name: str) -> None:
        self._client, self._memory, self._name = client, memory, name
        self._known = dict(_remembered(memory))

    def paraphrases(self, request: str, number: int) -> list[str]:
        """Other ways to say a request; none where the teacher gives no list of texts. Raises AskError."""
        messages = [{"role": "user", "content": ASKED.format(number=number, request=json.dumps(request))}]
        content = str(self._asked(messages, [], TOKENS, form=_form(number))["content"])
        try:
            found = jsonl.loads(content, where="the teacher's list")
        except CaseError:
            return []
        texts = found.get("requests") if isinstance(found, dict) else found
        if not isinstance(texts, list):
            return []
        return list(dict.fromkeys(text.strip() for text in texts if isinstance(text, str) and text.strip()))[:number]

    def answer(self, messages: list[Json], tools: list[Json], limit: int) -> Json:
        """What the teacher says: content, calls, and the fault that makes it no answer. Raises AskError."""
        return self._asked(messages, tools, limit)

    def _asked(self, messages: list[Json], tools: list[Json], limit: int, form: Json | None = None) -> Json:
        text = json.dumps([self._name, messages, tools, limit, form], sort_keys=True)
        key = hashlib.sha256(text.encode()).hexdigest()
        if key not in self._known:
            reply = self._client.chat(messages, tools=tools, max_tokens=limit, form=form)
            fault = reply.fault or ("a call came as text" if reply.leaks else "")
            self._known[key] = {"content": reply.content, "calls": reply.calls, "fault": fault}
            self._remember({"asked": key, "answer": self._known[key]})
        return self._known[key]

    def _remember(self, line: Json) -> None:
        try:
            self._memory.parent.mkdir(parents=True, exist_ok=True)
            disk.add(self._memory, json.dumps(line).encode() + b"\n")
        except OSError as error:
            raise TeacherError(
                f"{self._memory}: cannot be written: {error}: mend that; what is there is kept"
            ) from error


@contextmanager
def taught(where: str, name: str, memory: Path, say: Say) -> Iterator[Teacher]:
    """A teacher that answers. Raises CheckpointError, ServeError, TeacherError."""
    found = checkpoint.identify(where, served_name=name)
    with served(found, say, context=CONTEXT, key=KEY) as server, Client(server, timeout=SECONDS) as client:
        yield Teacher(client, memory, f"{where} {server.model}")


def memory(folder: Path) -> Path:
    """Where a repair's teacher is remembered: beside the repair, which is there whole or not at all."""
    return folder.with_name(f"{folder.name}.teacher.jsonl")


def _remembered(path: Path) -> Iterator[tuple[str, Json]]:
    """What the teacher has said before; half a last line, which a kill leaves, is cut off."""
    try:
        data = path.read_bytes() if path.exists() else b""
        whole = data[: data.rfind(b"\n") + 1]
        if len(whole) < len(data):
            disk.cut(path, len(whole))
    except OSError as error:
        raise TeacherError(f"{path}: cannot be read: {error}") from error
    for number, line in enumerate(whole.split(b"\n")[:-1], start=1):
        value = _line(line, f"{path}:{number}")
        yield value["asked"], value["answer"]


def _line(line: bytes, where: str) -> Any:
    try:
        value = jsonl.loads(line.decode(), where=where)
        if set(value) == {"asked", "answer"} and set(value["answer"]) == {"content", "calls", "fault"}:
            return value
    except (UnicodeDecodeError, CaseError, TypeError) as error:
        raise TeacherError(f"{where}: is no answer of a teacher: {error}: delete the file") from error
    raise TeacherError(f"{where}: is no answer of a teacher: delete the file")


def _form(number: int) -> Json:
    texts = {"type": "array", "items": {"type": "string"}, "minItems": 1, "maxItems": number}
    schema = {
        "type": "object",
        "properties": {"requests": texts},
        "required": ["requests"],
        "additionalProperties": False,
    }
    return {"type": "json_schema", "json_schema": {"name": "requests", "strict": True, "schema": schema}}
