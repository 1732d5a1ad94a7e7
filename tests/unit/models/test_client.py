"""Requests go out pinned and without retries; what does not come back whole is a break."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import pytest

from gate.checkpoints import kinds
from gate.errors import AskError, ServeError
from gate.models import client
from gate.models.client import Client, Model
from gate.models.runtime import Start
from gate.models.serving import openai_url
from gate.types import Checkpoint, Server

Answer = Callable[[BaseHTTPRequestHandler, dict[str, Any]], None]
OK = json.dumps({"choices": [{"message": {"content": "ok"}, "finish_reason": "stop"}], "system_fingerprint": "f1"})


class Served:
    """A server with a test's handlers that records the requests."""

    def __init__(self, post: Answer, get: dict[str, Any], software: str) -> None:
        self.requests: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        served = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                served.requests.append(body)
                served.headers.append({name.lower(): value for name, value in self.headers.items()})
                post(self, body)

            def do_GET(self) -> None:
                send(self, 200 if self.path in get else 404, json.dumps(get.get(self.path, {})))

            def version_string(self) -> str:
                return software

            def log_message(self, *_: object) -> None: ...

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_address[1]}/v1"


def send(handler: BaseHTTPRequestHandler, status: int, text: str) -> None:
    handler.send_response(status)
    handler.send_header("Content-Length", str(len(text.encode())))
    handler.end_headers()
    handler.wfile.write(text.encode())


@contextmanager
def served(post: Answer | None = None, get: dict[str, Any] | None = None, software: str = "test/1") -> Iterator[Served]:
    running = Served(post or (lambda handler, _: send(handler, 200, OK)), get or {}, software)
    Thread(target=running.http.serve_forever, daemon=True).start()
    try:
        yield running
    finally:
        running.http.shutdown()
        running.http.server_close()


def asking(server: Served, **more: Any) -> Client:
    sampling = more.pop("sampling", {"temperature": 0.0, "top_p": 1.0, "seed": 0})
    return Client(
        Server(server.url, "m", more.pop("runtime", "unknown"), sampling, {}, "key"), timeout=more.get("timeout", 5)
    )


def test_a_request_holds_every_sampling_parameter_and_the_key() -> None:
    with served() as server, asking(server) as ask:
        model = Model(lambda q: ask.chat(q.messages, tools=q.tools, max_tokens=q.max_tokens))
        assert model.chat([{"role": "user", "content": "hi"}], max_tokens=9).content == "ok"
    assert server.requests == [
        {"model": "m", "messages": [{"role": "user", "content": "hi"}]}
        | {"temperature": 0.0, "top_p": 1.0, "seed": 0, "max_tokens": 9}
    ]
    assert server.headers[0]["authorization"] == "Bearer key"
    assert len(model.replies) == 1


def test_arguments_of_earlier_calls_go_out_as_json_strings() -> None:
    call = {"id": "1", "type": "function", "function": {"name": "f", "arguments": {"a": "ü"}}}
    with served() as server, asking(server) as ask:
        ask.chat([{"role": "assistant", "content": "", "tool_calls": [call]}], tools=[], max_tokens=1)
    sent = server.requests[0]["messages"][0]["tool_calls"][0]["function"]["arguments"]
    assert json.loads(sent) == {"a": "ü"}
    assert call["function"]["arguments"] == {"a": "ü"}, "the case itself stays as it is"


def test_no_proxy_of_the_environment_sees_a_local_request(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:9")
    with served() as server, asking(server) as ask:
        assert ask.chat([{"role": "user", "content": "hi"}], tools=[], max_tokens=1).content == "ok"


def test_an_error_is_not_retried() -> None:
    with served(lambda handler, _: send(handler, 503, "busy")) as server, asking(server) as ask:
        with pytest.raises(AskError, match="HTTP 503: busy"):
            ask.chat([], tools=[], max_tokens=1)
    assert len(server.requests) == 1


def test_a_server_that_sends_for_ever_is_cut_at_the_limit_of_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "BODY_LIMIT", 100_000)

    def endless(handler: BaseHTTPRequestHandler, _: dict[str, Any]) -> None:
        handler.send_response(200)
        handler.end_headers()
        try:
            while True:
                handler.wfile.write(b"x" * 10_000)
        except OSError:
            pass

    with served(endless) as server, asking(server) as ask, pytest.raises(AskError, match="larger than 100000 bytes"):
        ask.chat([], tools=[], max_tokens=1)


def test_a_slow_drip_is_cut_at_the_limit_of_time() -> None:
    def drip(handler: BaseHTTPRequestHandler, _: dict[str, Any]) -> None:
        import time

        handler.send_response(200)
        handler.end_headers()
        try:
            for _ in range(100):
                handler.wfile.write(b" ")
                handler.wfile.flush()
                time.sleep(0.1)
        except OSError:
            pass

    with served(drip) as server, asking(server, timeout=0.5) as ask, pytest.raises(AskError, match="within"):
        ask.chat([], tools=[], max_tokens=1)


def test_an_answer_cut_in_the_middle_is_a_break() -> None:
    def cut(handler: BaseHTTPRequestHandler, _: dict[str, Any]) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", "1000")
        handler.end_headers()
        handler.wfile.write(b'{"choices"')

    with served(cut) as server, asking(server) as ask, pytest.raises(AskError, match="in the middle of an answer"):
        ask.chat([], tools=[], max_tokens=1)


def test_no_server_on_the_port_is_a_break() -> None:
    with served() as server:
        gone = asking(server)
    with gone, pytest.raises(AskError, match="no answer"):
        gone.chat([], tools=[], max_tokens=1)


def close(handler: BaseHTTPRequestHandler, _: dict[str, Any]) -> None:
    handler.close_connection = True


def test_a_closed_connection_is_the_models_failure_only_while_mlx_lm_server_is_healthy() -> None:
    with served(close, {"/health": {"status": "ok"}}) as server:
        with asking(server, runtime="mlx_lm") as ask:
            assert "closed the connection" in ask.chat([], tools=[], max_tokens=1).fault
        with asking(server) as ask, pytest.raises(AskError):
            ask.chat([], tools=[], max_tokens=1)
    with served(close, {"/health": {"status": "unavailable"}}) as server:
        with asking(server, runtime="mlx_lm") as ask, pytest.raises(AskError):
            ask.chat([], tools=[], max_tokens=1)


def start(tmp_path: Any) -> Start:
    return Start(folder=tmp_path, timeout=5, context=512, parallel=1, say=lambda _: None)


def serve_url(server: Served, tmp_path: Any, name: str = "") -> Server:
    connected = openai_url.RUNTIME.start(Checkpoint(kinds.URL, "x", url=server.url, served_name=name), start(tmp_path))
    assert connected is not None
    assert connected.alive()
    connected.stop()
    return connected.server


MODELS = {"/v1/models": {"data": [{"id": "only", "created": 123}]}}


def test_a_url_with_one_model_needs_no_name(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATE_API_KEY", "secret")
    with served(get=MODELS) as server:
        connected = serve_url(server, tmp_path)
    assert (connected.model, connected.runtime, connected.key) == ("only", "unknown", "secret")
    assert connected.reported == {"server": "test/1", "models": ["only"], "system_fingerprint": "f1"}
    assert "secret" not in repr(connected)
    assert "logprobs" in connected.sampling


def test_a_url_with_several_models_needs_a_name(tmp_path: Any) -> None:
    with served(get={"/v1/models": {"data": [{"id": "a"}, {"id": "b"}]}}) as server:
        with pytest.raises(ServeError, match="serves a, b: choose one with --served-name"):
            serve_url(server, tmp_path)
        assert serve_url(server, tmp_path, "b").model == "b"


def test_known_servers_are_recognised(tmp_path: Any) -> None:
    props = {"build_info": "b1", "chat_template": "t", "default_generation_settings": {}}
    with served(get=MODELS | {"/props": props}) as server:
        llama = serve_url(server, tmp_path)
    assert (llama.runtime, llama.reported["build_info"]) == ("llama.cpp", "b1")
    with served(get={"/v1/models": {"data": []}}, software="BaseHTTP/0.6 Python/3.11") as server:
        mlx = serve_url(server, tmp_path)
    assert (mlx.runtime, mlx.model) == ("mlx_lm", "default_model")


def test_a_server_that_refuses_log_probabilities_is_asked_without(tmp_path: Any) -> None:
    def strict(handler: BaseHTTPRequestHandler, body: dict[str, Any]) -> None:
        send(handler, 400 if "logprobs" in body else 200, '{"error": "logprobs"}' if "logprobs" in body else OK)

    with served(strict, MODELS) as server:
        assert "logprobs" not in serve_url(server, tmp_path).sampling


def test_a_server_that_needs_the_newer_name_of_the_limit_gets_it(tmp_path: Any) -> None:
    def newer(handler: BaseHTTPRequestHandler, body: dict[str, Any]) -> None:
        send(handler, *((400, '{"error": "max_tokens"}') if "max_tokens" in body else (200, OK)))

    with served(newer, MODELS) as server:
        connected = serve_url(server, tmp_path)
        with Client(connected, timeout=5) as ask:
            ask.chat([{"role": "user", "content": "x"}], tools=[], max_tokens=77)
    assert server.requests[-1]["max_completion_tokens"] == 77


@pytest.mark.parametrize(("status", "message"), [(401, "set GATE_API_KEY"), (404, "HTTP 404"), (500, "HTTP 500")])
def test_a_url_that_does_not_answer_a_token_is_refused(tmp_path: Any, status: int, message: str) -> None:
    with served(lambda handler, _: send(handler, status, "{}"), MODELS) as server:
        with pytest.raises(ServeError, match=message):
            serve_url(server, tmp_path)
    assert len(server.requests) == 1


def test_a_url_that_answers_a_token_with_no_json_is_refused(tmp_path: Any) -> None:
    with served(lambda handler, _: send(handler, 200, "<html>"), MODELS) as server:
        with pytest.raises(ServeError, match="not JSON"):
            serve_url(server, tmp_path)


def test_a_list_of_models_that_breaks_off_is_taken_for_none(tmp_path: Any) -> None:
    """mlx_lm.server answers /v1/models with an empty body where there is no Hugging Face cache folder."""
    with served(get={"/v1/models": None}, software="BaseHTTP/0.6 Python/3.11") as server:
        assert serve_url(server, tmp_path).model == "default_model"
