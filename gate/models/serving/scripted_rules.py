"""The server of a scripted model: it answers from a file of rules. Run as a command; imports nothing slow.

    python -m gate.models.serving.scripted_rules answers.jsonl --port 8080

Each line is a rule; the first that matches the last message of a request answers it:

    {"user": "pwd in terminal", "calls": [{"name": "terminal", "arguments": {"command": "pwd"}}]}
    {"user": "hello", "content": "Hi.", "finish": "stop", "reasoning": "…", "seconds": 0.1}
    {"status": 500, "body": "The model produced output that does not match the expected peg-native format"}
    {"user": "crash", "close": true}        the connection is closed without an answer
    {"user": "die", "die": true}            the server process ends
    {"user": "hello", "message": {…}}       an assistant message as it stands
    {"user": "hello", "raw": "Hi.<|im_end|>"}   what the model writes without a parser: a text, or a rule of its own;
                                            if absent, what the rule says, its calls in <tool_call> marks
    {"user": "hello", "prompt": "…"}        the prompt that the template renders; if absent, tools and messages as JSON

    {"has": "logs", "content": "…"}         the first rule of this kind whose text stands in the last message
    {"user": "hello", "content": "Hi.", "gap": 0.3}   log-probabilities: the two best tokens are 0.3 nats apart
    {"user": "hello", "content": "Hi.", "alone": {…}}   the rule by which the same is answered with a seed, as one
                                            asks alone (mlx_lm.server does not batch such requests)
    {"user": "hello", "content": "Hi.", "log": true}  each request is told in server.log

A rule without "user" or "has" matches everything. Where no rule matches, the answer is "(no rule)". One-token requests
are always answered, so that the server counts as ready, and so are the texts given with --always.
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
KEYS |= {"gap", "runtime", "raw", "prompt", "has", "alone", "log"}


def read_rules(path: Path) -> list[Json]:
    """The rules of a script. Raises CaseError with file:line."""
    rules = []
    for number, rule in jsonl.read(path):
        if not isinstance(rule, dict) or not set(rule) <= KEYS:
            raise CaseError(f"{path}:{number}: a rule is an object with the keys {', '.join(sorted(KEYS))}")
        if not isinstance(rule.get("user", ""), str) or not isinstance(rule.get("has", ""), str):
            raise CaseError(f"{path}:{number}: user is the whole last message, has a part of it: a text")
        if not all(isinstance(call, dict) and "name" in call for call in rule.get("calls", [])):
            raise CaseError(f'{path}:{number}: calls are a list of {{"name": "…", "arguments": {{…}}}}')
        rules.append(rule)
    return rules


def main() -> None:
    parser = argparse.ArgumentParser(description="Answer chat completions from a file of rules.")
    parser.add_argument("script", type=Path)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--always", action="append", default=[], help="a last message that is answered in any case")
    arguments = parser.parse_args()
    rules = read_rules(arguments.script)
    told: dict[str, Any] = {"exact": _by_user(rules), "anything": _first_open(rules), "always": tuple(arguments.always)}
    told["parts"] = [rule for rule in rules if "has" in rule]
    told["gap"] = 1.0 if any("gap" in rule for rule in rules) else None
    handler = type("Handler", (_Handler,), told)
    with _Server(("127.0.0.1", arguments.port), handler) as server:
        server.serve_forever()


class _Server(ThreadingHTTPServer):
    request_queue_size = 128
    """Of the five that it is otherwise, the sixth connection at once would wait a second."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # one packet an answer: two small ones wait 40 ms for each other (Nagle, delayed acknowledgement)
    exact: dict[str, Json] = {}  # noqa: RUF012 - set by main for the subclass it serves with
    parts: list[Json] = []  # noqa: RUF012
    anything: Json | None = None
    always: tuple[str, ...] = ()
    gap: float | None = None

    def do_GET(self) -> None:
        known = {"/health": {"status": "ok"}, "/v1/models": {"object": "list", "data": [{"id": "scripted"}]}}
        self._send(200 if self.path in known else 404, json.dumps(known.get(self.path, {"error": "no such path"})))

    def do_POST(self) -> None:
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if request.get("max_tokens") == 1:
            return self._send(200, _completion({"content": "ok", "finish": "length"}))
        if self.path == "/apply-template":
            prompt = self._rule(_asked(request)).get("prompt") or _rendered(request)
            return self._send(200, json.dumps({"prompt": prompt}))
        if self.path == "/v1/completions":
            return self._answer(_raw(self._rule_of_prompt(request["prompt"])), _text_completion)
        rule = self._rule(_asked(request))
        if "seed" in request:
            rule = rule.get("alone", rule)
        return self._answer(rule, _streamed if request.get("stream") else _completion)

    def _answer(self, rule: Json, complete: Callable[[Json], str]) -> None:
        if rule.get("log"):
            print(f"asked {rule['user']}\n", end="", flush=True)  # one write: several threads do
        time.sleep(rule.get("seconds", 0))
        if rule.get("die"):
            os._exit(3)
        if rule.get("close"):
            self.close_connection = True
            return
        self._send(rule.get("status", 200), rule.get("body") or complete(rule))

    def _rule(self, asked: str) -> Json:
        always = {"content": "one two three", "gap": self.gap}
        open_rule = always if asked in self.always else self.anything
        part = next((rule for rule in self.parts if rule["has"] in asked), None)
        return self.exact.get(asked) or part or open_rule or {"content": "(no rule)"}

    def _rule_of_prompt(self, prompt: str) -> Json:
        given = (rule for rule in self.exact.values() if rule.get("prompt") == prompt)
        return next(given, None) or self._rule(json.loads(prompt.splitlines()[-1])["content"])

    def _send(self, status: int, body: str) -> None:
        data = body.encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: Any) -> None:
        """Quiet: the log is for what goes wrong."""


def _by_user(rules: list[Json]) -> dict[str, Json]:
    return {rule["user"]: rule for rule in reversed(rules) if "user" in rule}


def _first_open(rules: list[Json]) -> Json | None:
    return next((rule for rule in rules if not {"user", "has"} & set(rule) and set(rule) != {"runtime"}), None)


def _completion(rule: Json) -> str:
    calls = [_call(number, call) for number, call in enumerate(rule.get("calls", []))]
    message = {"role": "assistant", "content": rule.get("content"), "reasoning": rule.get("reasoning")}
    message = rule.get("message") or {k: v for k, v in message.items() if v is not None} | {"tool_calls": calls}
    finish = rule.get("finish") or ("tool_calls" if calls else "stop")
    choice = {"index": 0, "finish_reason": finish, "message": message, "logprobs": _logprobs(rule.get("gap"))}
    usage = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
    body = {"id": "scripted", "object": "chat.completion", "model": "scripted", "choices": [choice], "usage": usage}
    return json.dumps(body)


def _streamed(rule: Json) -> str:
    """The same answer as server-sent events."""
    whole = json.loads(_completion(rule))
    choice = whole["choices"][0]
    part = {"choices": [{"index": 0, "delta": choice["message"], "finish_reason": choice["finish_reason"]}]}
    events = [json.dumps(part), json.dumps({"choices": [], "usage": whole["usage"]}), "[DONE]"]
    return "".join(f"data: {event}\n\n" for event in events)


def _asked(request: Json) -> str:
    return str(request["messages"][-1].get("content"))


def _rendered(request: Json) -> str:
    return "\n".join(json.dumps(each) for each in [*request.get("tools", []), *request["messages"]])


def _raw(rule: Json) -> Json:
    """The rule of the raw text."""
    raw = rule.get("raw")
    if raw is None:
        calls = "".join(f"<tool_call>{json.dumps(call)}</tool_call>" for call in rule.get("calls", []))
        return {"content": (rule.get("content") or "") + calls, "finish": rule.get("finish")}
    return raw if isinstance(raw, dict) else {"content": raw}


def _text_completion(rule: Json) -> str:
    finish = "length" if rule.get("finish") == "length" else "stop"
    choice = {"index": 0, "finish_reason": finish, "text": rule.get("content") or "", "logprobs": None}
    usage = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
    return json.dumps({"id": "scripted", "object": "text_completion", "choices": [choice], "usage": usage})


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
