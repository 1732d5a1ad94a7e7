"""The server of a scripted model, which answers from a file of rules. Run as a command; imports nothing slow.

    python -m gate.models.serving.scripted_rules answers.jsonl --port 8080

Each line is a rule. A rule with "user" answers requests whose last message is that text:

    {"user": "pwd in terminal", "calls": [{"name": "terminal", "arguments": {"command": "pwd"}}]}
    {"user": "hello", "content": "Hi.", "finish": "stop", "reasoning": "…", "seconds": 0.1}
    {"status": 500, "body": "The model produced output that does not match the expected peg-native format"}
    {"user": "crash", "close": true}        the connection is closed without an answer
    {"user": "die", "die": true}            the server process ends
    {"user": "hello", "message": {…}}       an assistant message, returned unchanged
    {"user": "hello", "raw": "Hi.<|im_end|>"}   the raw completion: a text, or a rule of its own; by default the
                                            rule's content, and its calls in <tool_call> tags
    {"user": "hello", "prompt": "…"}        the rendered prompt; by default tools and messages as JSON
    {"user": "hello", "content": "Hi.", "gap": 0.3}   log-probabilities: the two best tokens are 0.3 nats apart
    {"user": "hello", "content": "Hi.", "sequential": {…}}   another rule for requests with a seed, which are the
                                            sequential ones (mlx_lm.server does not batch them)
    {"user": "hello", "content": "Hi.", "log": true}  each request is written to server.log

    {"has": "logs", "content": "…"}         answers requests whose last message contains the text
    {"runtime": "mlx_lm"}                   the server is reported as one of that runtime

"user" takes precedence over "has"; the first rule without both answers everything else. Where there is none, the answer
is "(no rule)". One-token requests are always answered, so that the server counts as ready, and so are the texts of
--always.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from gate.errors import CaseError
from gate.system import jsonl
from gate.types import Json

KEYS = {"user", "content", "calls", "finish", "reasoning", "message", "status", "body", "seconds", "close", "die"}
KEYS |= {"gap", "runtime", "raw", "prompt", "has", "sequential", "log"}
USAGE = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}


def read_rules(path: Path) -> list[Json]:
    """The rules of a script. Raises CaseError with file:line."""
    rules = []
    for number, rule in jsonl.read(path):
        if not isinstance(rule, dict) or not set(rule) <= KEYS:
            raise CaseError(f"{path}:{number}: a rule is an object with the keys {', '.join(sorted(KEYS))}")
        if not isinstance(rule.get("user", ""), str) or not isinstance(rule.get("has", ""), str):
            raise CaseError(f"{path}:{number}: user and has are texts: the whole last message, or a part of it")
        if not all(isinstance(call, dict) and "name" in call for call in rule.get("calls", [])):
            raise CaseError(f'{path}:{number}: calls are a list of {{"name": "…", "arguments": {{…}}}}')
        rules.append(rule)
    return rules


def main() -> None:
    parser = argparse.ArgumentParser(description="Answer chat completions from a file of rules.")
    parser.add_argument("script", type=Path)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--always", action="append", default=[], help="a last message that is answered without a rule")
    arguments = parser.parse_args()
    rules = read_rules(arguments.script)
    script = {
        "by_user": {rule["user"]: rule for rule in reversed(rules) if "user" in rule},
        "by_part": [rule for rule in rules if "has" in rule],
        "default": next((rule for rule in rules if not {"user", "has"} & {*rule} and {*rule} != {"runtime"}), None),
        "always": tuple(arguments.always),
        "gap": 1.0 if any("gap" in rule for rule in rules) else None,
    }
    handler = type("Handler", (_Handler,), script)
    with _Server(("127.0.0.1", arguments.port), handler) as server:
        server.serve_forever()


class _Server(ThreadingHTTPServer):
    request_queue_size = 128
    """With the default of five, the sixth connection at once waits a second."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # one packet an answer: two small ones take 40 ms (Nagle, delayed acknowledgement)
    by_user: dict[str, Json] = {}  # noqa: RUF012 - main sets these in a subclass
    by_part: list[Json] = []  # noqa: RUF012
    default: Json | None = None
    always: tuple[str, ...] = ()
    gap: float | None = None

    def do_GET(self) -> None:
        paths = {"/health": {"status": "ok"}, "/v1/models": {"object": "list", "data": [{"id": "scripted"}]}}
        self._send(200 if self.path in paths else 404, json.dumps(paths.get(self.path, {"error": "no such path"})))

    def do_POST(self) -> None:
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if request.get("max_tokens") == 1:
            return self._send(200, _completion({"content": "ok", "finish": "length"}))
        if self.path == "/apply-template":
            prompt = self._rule(_last_message(request)).get("prompt") or _rendered(request)
            return self._send(200, json.dumps({"prompt": prompt}))
        if self.path == "/v1/completions":
            return self._answer(_raw(self._rule_of_prompt(request["prompt"])), _text_completion)
        rule = self._rule(_last_message(request))
        if "seed" in request:
            rule = rule.get("sequential", rule)
        return self._answer(rule, _streamed if request.get("stream") else _completion)

    def _answer(self, rule: Json, complete: Callable[[Json], str]) -> None:
        if rule.get("log"):
            print(f"asked {rule['user']}\n", end="", flush=True)  # one write, as several threads print
        time.sleep(rule.get("seconds", 0))
        if rule.get("die"):
            os._exit(3)
        if rule.get("close"):
            self.close_connection = True
            return
        self._send(rule.get("status", 200), rule.get("body") or complete(rule))

    def _rule(self, text: str) -> Json:
        default = {"content": "one two three", "gap": self.gap} if text in self.always else self.default
        part = next((rule for rule in self.by_part if rule["has"] in text), None)
        return self.by_user.get(text) or part or default or {"content": "(no rule)"}

    def _rule_of_prompt(self, prompt: str) -> Json:
        rules = (rule for rule in self.by_user.values() if rule.get("prompt") == prompt)
        return next(rules, None) or self._rule(json.loads(prompt.splitlines()[-1])["content"])

    def _send(self, status: int, body: str) -> None:
        data = body.encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: Any) -> None:
        """Do not log requests: the log is for errors."""


def _completion(rule: Json) -> str:
    calls = [_call(number, call) for number, call in enumerate(rule.get("calls", []))]
    message = {"role": "assistant", "content": rule.get("content"), "reasoning": rule.get("reasoning")}
    message = rule.get("message") or {k: v for k, v in message.items() if v is not None} | {"tool_calls": calls}
    finish = rule.get("finish") or ("tool_calls" if calls else "stop")
    choice = {"index": 0, "finish_reason": finish, "message": message, "logprobs": _logprobs(rule.get("gap"))}
    body = {"id": "scripted", "object": "chat.completion", "model": "scripted", "choices": [choice], "usage": USAGE}
    return json.dumps(body)


def _streamed(rule: Json) -> str:
    """The same answer as server-sent events."""
    choice = json.loads(_completion(rule))["choices"][0]
    part = {"choices": [{"index": 0, "delta": choice["message"], "finish_reason": choice["finish_reason"]}]}
    events = [json.dumps(part), json.dumps({"choices": [], "usage": USAGE}), "[DONE]"]
    return "".join(f"data: {event}\n\n" for event in events)


def _last_message(request: Json) -> str:
    return str(request["messages"][-1].get("content"))


def _rendered(request: Json) -> str:
    return "\n".join(json.dumps(each) for each in [*request.get("tools", []), *request["messages"]])


def _raw(rule: Json) -> Json:
    """The rule of a raw completion."""
    raw = rule.get("raw")
    if raw is None:
        calls = "".join(f"<tool_call>{json.dumps(call)}</tool_call>" for call in rule.get("calls", []))
        return {"content": (rule.get("content") or "") + calls, "finish": rule.get("finish")}
    return raw if isinstance(raw, dict) else {"content": raw}


def _text_completion(rule: Json) -> str:
    finish = "length" if rule.get("finish") == "length" else "stop"
    choice = {"index": 0, "finish_reason": finish, "text": rule.get("content") or "", "logprobs": None}
    return json.dumps({"id": "scripted", "object": "text_completion", "choices": [choice], "usage": USAGE})


def _call(number: int, call: Json) -> Json:
    arguments = call.get("arguments")
    text = arguments if isinstance(arguments, str) else json.dumps(arguments)
    return {"id": f"call_{number}", "type": "function", "function": {"name": call["name"], "arguments": text}}


def _logprobs(gap: float | None) -> Json | None:
    if gap is None:
        return None
    best = [{"token": "a", "logprob": -0.1}, {"token": "b", "logprob": -0.1 - gap}]
    return {"content": [{"token": "a", "logprob": -0.1, "top_logprobs": best}]}


if __name__ == "__main__":
    main()
