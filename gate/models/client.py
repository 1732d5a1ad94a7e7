"""Send requests to a served model over the OpenAI-compatible API; each ends in a Reply or an AskError.

openai is imported where it is used: its import is slow, and a run whose replies are all cached never needs it.
"""

from __future__ import annotations

import contextlib
import copy
import json
import logging
import socket
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from gate.errors import AskError
from gate.models import reply as replies
from gate.models.runtime import by_name
from gate.system.text import one_line
from gate.types import Case, Json, Question, Reply, Server, Step

BODY_LIMIT = 32 * 2**20
"""Most bytes of a response body; a server that sends more is broken."""
LOOPBACK = ("127.0.0.1", "localhost", "::1")


@dataclass(frozen=True, slots=True)
class Streamed:
    """The timing of a streamed answer."""

    first: float | None
    """Seconds to the first token; None where there was none."""
    rate: float | None
    """Tokens a second after the first; None where the server reports no count, or sent them in one event."""


class Model:
    """The model under test, as a suite sees it: sends requests and keeps every reply for the report."""

    def __init__(self, answer: Callable[[Question], Reply]) -> None:
        self._answer = answer
        self.replies: list[Reply] = []
        self.questions: list[Question] = []
        """The question that each of the replies answers."""
        self.broken: list[str] = []
        """The error of each request without an answer, even where a test caught it."""

    def ask(self, case: Case) -> Reply:
        """Ask one case. Raises AskError, which counts as a break, when no answer can be scored."""
        return self._ask(Question(copy.deepcopy(case.messages), case.tools, case.max_tokens))

    def chat(self, messages: list[Json], *, tools: list[Json] | None = None, max_tokens: int = 512) -> Reply:
        """Ask with any OpenAI messages and tools. Raises AskError."""
        return self._ask(Question(copy.deepcopy(messages), copy.deepcopy(tools or []), max_tokens))

    def _ask(self, question: Question) -> Reply:
        try:
            reply = self._answer(question)
        except AskError as error:
            self.broken.append(str(error))
            raise
        self.replies.append(reply)
        self.questions.append(question)
        return reply


class Client:
    """A connection to one server. Requests pin every sampling parameter and are never retried."""

    def __init__(self, server: Server, *, timeout: float) -> None:
        import ssl

        import openai

        self.server = server
        self.timeout = timeout
        for name in ("openai", "httpx", "httpcore", "httpx2", "httpcore2"):  # they log every request
            logging.getLogger(name).setLevel(logging.WARNING)
        url = urlsplit(server.url)
        local = url.hostname in LOOPBACK
        unencrypted = local and url.scheme == "http"  # then load no certificates: loading them all takes 25 ms
        self._sockets: list[socket.socket] = []
        self._http = openai.DefaultHttpxClient(
            trust_env=not local,
            timeout=timeout,
            verify=ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT) if unencrypted else True,
        )
        self._http.event_hooks["request"].append(self._trace_connections)
        self._openai = openai.OpenAI(
            base_url=server.url, api_key=server.key or "none", max_retries=0, timeout=timeout, http_client=self._http
        )

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._openai.close()

    def abort(self) -> None:
        """End the requests under way in other threads by shutting down their connections."""
        for each in self._sockets:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    def chat(
        self,
        messages: list[Json],
        *,
        tools: list[Json],
        max_tokens: int,
        response_format: Json | None = None,
        mode: str = "",
    ) -> Reply:
        """Request one chat completion. Raises AskError when it cannot be scored.

        `mode`: `batched` allows the server to batch the request, `sequential` bypasses the cache of earlier requests,
        and "" does neither.
        """
        body = request(self.server, messages, tools=tools, max_tokens=max_tokens, mode=mode)
        body |= {"response_format": response_format} if response_format else {}
        begun = time.perf_counter()
        try:
            status, text = self._post(body)
        except AskError as error:
            if fault := self._closing_fault(error):
                return replies.failed(fault, time.perf_counter() - begun)
            raise
        return replies.read(status, text, seconds=time.perf_counter() - begun, tools=tools)

    def chat_with_steps(self, messages: list[Json], *, max_tokens: int, mode: str) -> tuple[Reply, list[Step]]:
        """Request one chat completion without tools; the Reply and its steps. Raises AskError for anything else."""
        begun = time.perf_counter()
        status, text = self._post(request(self.server, messages, tools=[], max_tokens=max_tokens, mode=mode))
        return replies.read(status, text, seconds=time.perf_counter() - begun, tools=[]), replies.steps(text)

    def stream(self, messages: list[Json], *, tools: list[Json], max_tokens: int) -> Streamed:
        """Time one streamed answer; its content is ignored. Raises AskError."""
        body = request(self.server, messages, tools=tools, max_tokens=max_tokens)
        # llama-server refuses log-probabilities in a stream with tools
        body = {key: value for key, value in body.items() if "logprobs" not in key}
        body |= {"stream": True, "stream_options": {"include_usage": True}}
        begun = time.perf_counter()
        path = self._root("/v1/chat/completions")
        with (
            _failing_as(f"{self.server.url}: a streamed answer broke off"),
            self._http.stream("POST", path, json=body, headers=self._headers()) as response,
        ):
            if response.status_code != 200:
                text = one_line(self._body(response, begun + self.timeout))
                raise AskError(f"{self.server.url}: a streamed answer: HTTP {response.status_code}: {text}")
            return _streamed(response.iter_lines(), begun, begun + self.timeout)

    def ping(self) -> tuple[int, str]:
        """Request one token; the HTTP status and the body. Raises AskError when no server responds."""
        return self._post(request(self.server, [{"role": "user", "content": "ping"}], tools=[], max_tokens=1))

    def get_json(self, path: str) -> Json:
        """GET a path of the server's root (not of /v1): the JSON object, {} for any other response."""
        return self.get(path)[1]

    def get(self, path: str) -> tuple[str, Json]:
        """GET a path of the server's root: its Server header and the JSON object, {} for any other response."""
        with _failing_as(f"{self.server.url}: {path}"):
            response = self._http.get(self._root(path), headers=self._headers())
        value = replies.loads(response.text) if response.status_code == 200 else None
        return response.headers.get("server", ""), value if isinstance(value, dict) else {}

    def post_json(self, path: str, body: Json) -> Json:
        """POST to a path of the server's root (not of /v1): the JSON object. Raises AskError for any other response."""
        deadline = time.monotonic() + self.timeout
        with (
            _failing_as(f"{self.server.url}: {path}: no answer"),
            self._http.stream("POST", self._root(path), json=body, headers=self._headers()) as response,
        ):
            status, text = response.status_code, self._body(response, deadline)
        value = replies.loads(text)
        if status != 200 or not isinstance(value, dict):
            raise AskError(f"{self.server.url}: {path}: HTTP {status}: {one_line(text)}")
        return value

    def _root(self, path: str) -> str:
        return f"{self.server.url.removesuffix('/v1')}{path}"

    def _headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.server.key}"} if self.server.key else {}

    def _trace_connections(self, request: Any) -> None:
        """Keep the socket of every connection, for `abort` (httpcore's `trace` extension)."""
        request.extensions["trace"] = self._keep_socket

    def _keep_socket(self, event: str, info: Json) -> None:
        if event == "connection.connect_tcp.complete":
            self._sockets.append(info["return_value"].get_extra_info("socket"))

    def _post(self, body: Json) -> tuple[int, str]:
        """POST a chat request: the HTTP status and the body. Raises AskError when no whole response comes."""
        import openai

        deadline = time.monotonic() + self.timeout
        try:
            # extra_body is sent unchanged; openai transforms `messages`, which takes half a millisecond
            with self._openai.chat.completions.with_streaming_response.create(
                model=body["model"], messages=[], extra_body=body
            ) as response:
                return response.status_code, self._body(response, deadline)
        except openai.APIStatusError as error:
            return error.response.status_code, error.response.text
        except openai.APIConnectionError as error:
            late = isinstance(error, openai.APITimeoutError)
            why = "no answer in time (--gate-timeout)" if late else f"no answer: {error.__cause__ or error}"
            raise AskError(f"{self.server.url}: {why}") from error

    def _body(self, response: Any, deadline: float) -> str:
        """Read a body with a limit of bytes and of wall time: a read timeout does not end a slow drip of bytes."""
        chunks, size = [], 0
        with _failing_as(f"{self.server.url}: the connection broke in the middle of an answer"):
            for chunk in response.iter_bytes():
                chunks.append(chunk)
                size += len(chunk)
                if size > BODY_LIMIT:
                    raise AskError(f"{self.server.url}: the response is larger than {BODY_LIMIT} bytes")
                if time.monotonic() > deadline:
                    raise AskError(f"{self.server.url}: no complete answer within {self.timeout:.0f} s")
        return b"".join(chunks).decode("utf-8", "replace")

    def _closing_fault(self, error: AskError) -> str:
        """The model's fault where a healthy server closed the connection because of it (Runtime.closing), else ""."""
        import openai

        cause = error.__cause__
        closed = (
            isinstance(cause, openai.APIConnectionError) and type(cause.__cause__).__name__ == "RemoteProtocolError"
        )
        why = by_name(self.server.runtime).closing
        return f"the server closed the connection: {why}" if closed and why and self._healthy() else ""

    def _healthy(self) -> bool:
        try:
            return self.get_json("/health").get("status") == "ok"
        except AskError:
            return False


def request(server: Server, messages: list[Json], *, tools: list[Json], max_tokens: int, mode: str = "") -> Json:
    """The body of a chat request, with the arguments of earlier calls as JSON strings. `mode`: as in Client.chat."""
    body: Json = {"model": server.model, "messages": [_message(m) for m in messages]}
    if tools:
        body["tools"] = tools
    sampling = server.sampling if mode != "batched" or server.batch_sampling is None else server.batch_sampling
    limit = "max_completion_tokens" if "max_completion_tokens" in sampling else "max_tokens"
    return body | sampling | (server.cold if mode == "sequential" else {}) | {limit: max_tokens}


@contextlib.contextmanager
def _failing_as(what: str) -> Iterator[None]:
    """Turn any exception but an AskError into an AskError that begins with `what`."""
    try:
        yield
    except AskError:
        raise
    except Exception as error:
        raise AskError(f"{what}: {error}") from error


def _streamed(lines: Iterable[str], begun: float, deadline: float) -> Streamed:
    """Read server-sent events: when the first came with text or a call, and the usage in the last one."""
    first, last, tokens, parts = None, begun, 0, 0
    for line in lines:
        event = replies.loads(line.removeprefix("data:").strip()) if line.startswith("data:") else None
        last = time.perf_counter()
        if last > deadline:
            raise AskError("a streamed answer did not end in time (--gate-timeout)")
        if not isinstance(event, dict):
            continue
        usage = event.get("usage")
        tokens = usage.get("completion_tokens", tokens) if isinstance(usage, dict) else tokens
        if _has_output(event):
            first, parts = first or last, parts + 1
    streamed = first is not None and tokens > 1 and parts >= tokens / 2  # mlx_lm sends a call in one event
    rate = (tokens - 1) / (last - first) if first is not None and streamed and last > first else None
    return Streamed(None if first is None else first - begun, rate)


def _has_output(event: Json) -> bool:
    """Does an event hold text, reasoning or a part of a call?"""
    choices = event.get("choices")
    deltas = [each.get("delta") for each in choices if isinstance(each, dict)] if isinstance(choices, list) else []
    keys = ("content", "reasoning", "reasoning_content", "tool_calls")
    return any(delta.get(key) for delta in deltas if isinstance(delta, dict) for key in keys)


def _message(message: Json) -> Json:
    """The message as the API takes it: case files hold the arguments of earlier calls as objects, not as strings."""
    if "tool_calls" not in message:
        return message
    calls = [
        call | {"function": call["function"] | {"arguments": json.dumps(call["function"]["arguments"])}}
        for call in message["tool_calls"]
    ]
    return message | {"tool_calls": calls}
