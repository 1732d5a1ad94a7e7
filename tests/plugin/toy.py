"""A runtime in one file, as a plugin brings it: it serves a JSON file of messages and the commands that answer them."""

from __future__ import annotations

import json
import os
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from gate.errors import CheckpointError
from gate.models.runtime import Runtime, Serving, Start
from gate.models.serving.process import free_port, serve
from gate.types import Checkpoint, Json, Kind, Named, Server


def _recognize(named: Named) -> Checkpoint | None:
    if not named.text.startswith("toy:"):
        return None
    path = Path(named.text.removeprefix("toy:"))
    if not path.is_file():
        raise CheckpointError(f"{named.text}: there is no such file")
    return Checkpoint(TOY, path.stem, path.resolve())


def _versions() -> Json:
    return {"toy": "1.0"}


def _start(checkpoint: Checkpoint, start: Start) -> Serving:
    port = free_port()
    server = Server(f"http://127.0.0.1:{port}/v1", "toy", RUNTIME.name, {"temperature": 0.0}, _versions(), at_once=2)
    command = [sys.executable, __file__, str(checkpoint.path), str(port)]
    return serve(command, server=server, port=port, environment=os.environ, name="toy server", start=start)


TOY = Kind("toy", "toy:FILE", _recognize)
RUNTIME = Runtime("toy", kinds=(TOY,), start=_start, versions=_versions, at_once=2)


class _Handler(BaseHTTPRequestHandler):
    answers: Json

    def do_POST(self) -> None:
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        data = json.dumps(_completion(self.answers.get(request["messages"][-1]["content"]))).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


def _completion(command: Any) -> Json:
    function = {"name": "terminal", "arguments": json.dumps({"command": command})}
    calls = [{"id": "call_0", "type": "function", "function": function}] if command else []
    message = {"role": "assistant", "content": None if calls else "Hello.", "tool_calls": calls}
    choice = {"index": 0, "finish_reason": "tool_calls" if calls else "stop", "message": message}
    return {"object": "chat.completion", "model": "toy", "choices": [choice]}


if __name__ == "__main__":
    _Handler.answers = json.loads(Path(sys.argv[1]).read_text())
    ThreadingHTTPServer(("127.0.0.1", int(sys.argv[2])), _Handler).serve_forever()
