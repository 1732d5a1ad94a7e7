"""Ask a served model over the OpenAI-compatible API; whatever comes back becomes a Reply or an AskError.

openai is imported where it is used: it takes longer than all else, and a run whose answers are cached asks nothing.
"""

from __future__ import annotations

import contextlib
import copy
import json
import logging
import socket
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from gate.errors import AskError
from gate.models import reply as replies
from gate.models.runtime import named
from gate.system.text import one_line
from gate.types import Case, Json, Question, Reply, Server, Step

if TYPE_CHECKING:
    import openai

BODY_LIMIT = 32 * 2**20
"""Bytes of a response body; a server that sends more is broken."""
LOOPBACK = ("127.0.0.1", "localhost", "::1")


@dataclass(frozen=True, slots=True)
class Streamed:
    """When the tokens of an answer came."""

    first: float | None
    """Seconds to the first of them; None where none came."""
    rate: float | None
    """Tokens a second after it; None where the server does not tell how many there were, or sent them as one."""


class Model:
    """The model under test, as a suite sees it: it asks, and keeps every reply for the report."""

    def __init__(self, answer: Callable[[Question], Reply]) -> None:
        self._answer = answer
        self.replies: list[Reply] = []
        self.questions: list[Question] = []
        """What each of the replies answers."""
        self.broken: list[str] = []
        """Requests that got no answer, also where a test has caught the error."""

    def ask(self, case: Case) -> Reply:
        """Ask one case. Raises AskError (a break) when no answer came that could be scored."""
        return self._ask(Question(copy.deepcopy(case.messages), case.tools, case.max_tokens))

    def chat(self, messages: list[Json], *, tools: list[Json] | None = None, max_tokens: int = 512) -> Reply:
        """Ask free form: OpenAI messages and tools. Raises AskError."""
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
    """One server, asked with every sampling parameter pinned and without retries."""

    def __init__(self, server: Server, *, timeout: float) -> None:
        import ssl

        import openai

        self.server = server
        self.timeout = timeout
        for name in ("openai", "httpx", "httpcore", "httpx2", "httpcore2"):  # they tell of single answers
            logging.getLogger(name).setLevel(logging.WARNING)
        url = urlsplit(server.url)
        local = url.hostname in LOOPBACK
        plain = local and url.scheme == "http"  # then no certificate is read: reading all of them takes 25 ms
        self._sockets: list[socket.socket] = []
        self._http = openai.DefaultHttpxClient(
            trust_env=not local, timeout=timeout, verify=ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT) if plain else True
        )
        self._http.event_hooks["request"].append(self._follow)
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
        """End every request that is under way in other threads: to them the connection breaks."""
        for each in self._sockets:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    def chat(
        self, messages: list[Json], *, tools: list[Json], max_tokens: int, form: Json | None = None, how: str = ""
    ) -> Reply:
        """One chat completion as a Reply; `form` is a response_format. Raises AskError when it cannot be scored.

        `how`: `batched` where it may be served in a batch, `sequential` where no earlier request may have an effect.
        """
        import openai

        body = request(self.server, messages, tools=tools, max_tokens=max_tokens, how=how)
        body |= {"response_format": form} if form else {}
        begun = time.perf_counter()
        try:
            status, text = self._post(body)
        except openai.APIConnectionError as error:
            return self._unanswered(error, time.perf_counter() - begun)
        return replies.read(status, text, seconds=time.perf_counter() - begun, tools=tools)

    def measured(self, messages: list[Json], *, max_tokens: int, how: str) -> tuple[Reply, list[Step]]:
        """One chat completion without tools, and its steps. Raises AskError for whatever is no answer."""
        import openai

        begun = time.perf_counter()
        try:
            status, text = self._post(request(self.server, messages, tools=[], max_tokens=max_tokens, how=how))
        except openai.APIConnectionError as error:
            raise AskError(f"{self.server.url}: {_cause(error)}") from error
        return replies.read(status, text, seconds=time.perf_counter() - begun, tools=[]), replies.steps(text)

    def stream(self, messages: list[Json], *, tools: list[Json], max_tokens: int) -> Streamed:
        """When the tokens of one streamed answer came. Raises AskError; what was answered is not looked at."""
        asked = self.request(messages, tools=tools, max_tokens=max_tokens)
        body = {key: value for key, value in asked.items() if "logprobs" not in key}  # llama-server: not with tools
        body |= {"stream": True, "stream_options": {"include_usage": True}}
        begun = time.perf_counter()
        try:
            path = self._root("/v1/chat/completions")
            with self._http.stream("POST", path, json=body, headers=self._headers()) as response:
                if response.status_code != 200:
                    told = one_line(self._body(response, begun + self.timeout))
                    raise AskError(f"{self.server.url}: a streamed answer: HTTP {response.status_code}: {told}")
                return _streamed(response.iter_lines(), begun, begun + self.timeout)
        except AskError:
            raise
        except Exception as error:
            raise AskError(f"{self.server.url}: a streamed answer broke: {error}") from error

    def ping(self) -> tuple[int, str]:
        """Ask for one token; HTTP status and body. Raises AskError when nothing answers."""
        import openai

        try:
            return self._post(self.request([{"role": "user", "content": "ping"}], tools=[], max_tokens=1))
        except openai.APIConnectionError as error:
            raise AskError(f"{self.server.url}: {_cause(error)}") from error

    def get_json(self, path: str) -> Json:
        """GET a path of the server's root (not of /v1) as a JSON object; {} when it has no such path."""
        return self.get(path)[1]

    def get(self, path: str) -> tuple[str, Json]:
        """GET a path of the server's root: its Server header and the JSON object, {} when that is none."""
        try:
            response = self._http.get(self._root(path), headers=self._headers())
        except Exception as error:
            raise AskError(f"{self.server.url}: {path}: {error}") from error
        value = replies.loads(response.text) if response.status_code == 200 else None
        return response.headers.get("server", ""), value if isinstance(value, dict) else {}

    def post_json(self, path: str, body: Json) -> Json:
        """POST to a path of the server's root (not of /v1); its JSON object. Raises AskError for any other answer."""
        deadline = time.monotonic() + self.timeout
        try:
            with self._http.stream("POST", self._root(path), json=body, headers=self._headers()) as response:
                status, text = response.status_code, self._body(response, deadline)
        except AskError:
            raise
        except Exception as error:
            raise AskError(f"{self.server.url}: {path}: no answer: {error}") from error
        value = replies.loads(text)
        if status != 200 or not isinstance(value, dict):
            raise AskError(f"{self.server.url}: {path}: HTTP {status}: {one_line(text)}")
        return value

    def request(self, messages: list[Json], *, tools: list[Json], max_tokens: int) -> Json:
        """The body of a chat request."""
        return request(self.server, messages, tools=tools, max_tokens=max_tokens)

    def _root(self, path: str) -> str:
        return f"{self.server.url.removesuffix('/v1')}{path}"

    def _headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.server.key}"} if self.server.key else {}

    def _follow(self, request: Any) -> None:
        """Know the socket of every connection, to be able to cut it (httpcore's `trace` extension)."""
        request.extensions["trace"] = self._connected

    def _connected(self, event: str, facts: Json) -> None:
        if event == "connection.connect_tcp.complete":
            self._sockets.append(facts["return_value"].get_extra_info("socket"))

    def _post(self, body: Json) -> tuple[int, str]:
        import openai

        deadline = time.monotonic() + self.timeout
        try:
            # all of the body goes as it stands: `messages` given as such would be walked through, half a millisecond
            with self._openai.chat.completions.with_streaming_response.create(
                model=body["model"], messages=[], extra_body=body
            ) as response:
                return response.status_code, self._body(response, deadline)
        except openai.APIStatusError as error:
            return error.response.status_code, error.response.text

    def _body(self, response: Any, deadline: float) -> str:
        """Read the body under a limit of bytes and of wall time: a read timeout alone lets a slow drip run for ever."""
        chunks, size = [], 0
        try:
            for chunk in response.iter_bytes():
                chunks.append(chunk)
                size += len(chunk)
                if size > BODY_LIMIT:
                    raise AskError(f"{self.server.url}: the response is larger than {BODY_LIMIT} bytes")
                if time.monotonic() > deadline:
                    raise AskError(f"{self.server.url}: no complete answer within {self.timeout:.0f} s")
        except AskError:
            raise
        except Exception as error:
            raise AskError(f"{self.server.url}: the connection broke in the middle of an answer: {error}") from error
        return b"".join(chunks).decode("utf-8", "replace")

    def _unanswered(self, error: openai.APIConnectionError, seconds: float) -> Reply:
        """No answer. From some servers that live on, a closed connection is the model's failure (Runtime.closing)."""
        closed = type(error.__cause__).__name__ == "RemoteProtocolError"
        if closed and (why := named(self.server.runtime).closing) and self._lives():
            return replies.failed(f"the server closed the connection: {why}", seconds)
        raise AskError(f"{self.server.url}: {_cause(error)}") from error

    def _lives(self) -> bool:
        try:
            return self.get_json("/health").get("status") == "ok"
        except AskError:
            return False


def request(server: Server, messages: list[Json], *, tools: list[Json], max_tokens: int, how: str = "") -> Json:
    """The body of a chat request: OpenAI form, arguments of earlier calls as JSON strings."""
    body: Json = {"model": server.model, "messages": [_message(m) for m in messages]}
    if tools:
        body["tools"] = tools
    sampling = server.sampling if how != "batched" or server.batch_sampling is None else server.batch_sampling
    limit = "max_completion_tokens" if "max_completion_tokens" in sampling else "max_tokens"
    return body | sampling | (server.cold if how == "sequential" else {}) | {limit: max_tokens}


def _streamed(lines: Iterable[str], begun: float, deadline: float) -> Streamed:
    """Read server-sent events: the first with text or a call, and the usage that the last one tells."""
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
        if _spoken(event):
            first, parts = first or last, parts + 1
    streamed = first is not None and tokens > 1 and parts >= tokens / 2  # mlx_lm sends a call whole, when it is done
    rate = (tokens - 1) / (last - first) if first is not None and streamed and last > first else None
    return Streamed(None if first is None else first - begun, rate)


def _spoken(event: Json) -> bool:
    """Does an event bring text, reasoning or a part of a call?"""
    choices = event.get("choices")
    deltas = [each.get("delta") for each in choices if isinstance(each, dict)] if isinstance(choices, list) else []
    keys = ("content", "reasoning", "reasoning_content", "tool_calls")
    return any(delta.get(key) for delta in deltas if isinstance(delta, dict) for key in keys)


def _cause(error: openai.APIConnectionError) -> str:
    import openai

    if isinstance(error, openai.APITimeoutError):
        return "no answer in time (--gate-timeout)"
    return f"no answer: {error.__cause__ or error}"


def _message(message: Json) -> Json:
    """Case files keep the arguments of earlier calls as objects; the API wants JSON strings."""
    if "tool_calls" not in message:
        return message
    calls = [
        call | {"function": call["function"] | {"arguments": json.dumps(call["function"]["arguments"])}}
        for call in message["tool_calls"]
    ]
    return message | {"tool_calls": calls}
