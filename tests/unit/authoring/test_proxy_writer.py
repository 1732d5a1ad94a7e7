"""A recorded answer becomes one line of strict JSON, whatever was answered, and a line is there whole or not at all."""

from __future__ import annotations

import gzip
import json
import os
import zlib
from pathlib import Path
from threading import Event
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gate.authoring.proxy import record as proxy_line
from gate.authoring.proxy import writer as proxy_save
from gate.authoring.proxy.record import RAW_LIMIT, Exchange, line
from gate.authoring.proxy.sse import joined
from gate.authoring.proxy.writer import Saving, append, check
from gate.errors import GateError
from gate.system import jsonl

END = "data: [DONE]\n\n"


def streamed(*events: Any) -> str:
    return "".join(f"data: {json.dumps(each)}\n\n" for each in events)


def delta(finish: str | None = None, index: int = 0, **given: Any) -> dict[str, Any]:
    return {"choices": [{"index": index, "delta": given, "finish_reason": finish}]}


def part(index: int | None, arguments: str = "", **given: Any) -> dict[str, Any]:
    """A delta with a part of one call; `name` is its function's."""
    function = {"arguments": arguments} | {key: given.pop(key) for key in ("name",) if key in given}
    return delta(tool_calls=[given | ({} if index is None else {"index": index}) | {"function": function}])


def calls(*events: Any) -> list[tuple[Any, Any, Any]]:
    """Id, name and arguments of each call of a stream."""
    found = joined(streamed(*events)).answer["choices"][0]["message"]["tool_calls"]
    return [(call.get("id"), call["function"].get("name"), call["function"].get("arguments")) for call in found]


def an_exchange(answer: bytes = b"{}", request: bytes = b"{}", **given: Any) -> Exchange:
    known = {"at": "now", "seconds": 1.0, "first": 0.5, "status": 200, "kind": "", "encoding": "", "why": ""}
    return Exchange(**(known | {"request": request, "answer": answer} | given))


def read(exchange: Exchange) -> dict[str, Any]:
    """The line as strict JSON."""
    data = line(exchange)
    assert data.count(b"\n") == 1
    value = jsonl.loads(data.decode(), where="line")
    assert isinstance(value, dict)
    return value


def test_a_stream_is_put_together_to_what_it_is_without_streaming() -> None:
    usage = {"prompt_tokens": 1, "completion_tokens": 2}
    text = streamed(
        {"id": "c1", "object": "chat.completion.chunk", "model": "m", "usage": None, **delta(role="assistant")},
        delta(reasoning_content="I "),
        delta(reasoning_content="think"),
        delta(content="Hel"),
        delta(content="lo"),
        delta("stop"),
        {"choices": [], "usage": usage, "timings": {"predicted_ms": 3}},
    )
    found = joined(text + END)
    message = {"role": "assistant", "content": "Hello", "reasoning_content": "I think"}
    assert found.answer == {
        "id": "c1",
        "object": "chat.completion",
        "model": "m",
        "usage": usage,
        "timings": {"predicted_ms": 3},
        "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
    }
    assert found.ended
    assert not found.rest


def test_parts_of_calls_are_put_together_by_index_also_where_they_alternate() -> None:
    parts = [part(0, '{"a"', id="x", name="f", type="function"), part(1, "{", id="y", name="g"), part(0, ": 1}")]
    assert calls(*parts, part(1, "}")) == [("x", "f", '{"a": 1}'), ("y", "g", "{}")]
    assert "index" not in joined(streamed(*parts)).answer["choices"][0]["message"]["tool_calls"][0]


@pytest.mark.parametrize(
    "parts",
    [
        [part(0, "{}", id="x", name="f"), part(0, "[]", id="y", name="g")],
        [part(None, "{}", id="x", name="f"), part(None, "[]", id="y", name="g")],
        [part(None, "{", id="x", name="f"), part(None, "}"), part(None, "[", id="y", name="g"), part(None, "]")],
        [part(0, "{", id="x", name="f"), part(0, "}", id="x", name="f"), part(1, "[]", id="y", name="g")],
        [part(0, "{", id="x", name="f"), part(0, "}", id="", name=""), part(1, "[]", id="y", name="g")],
    ],
    ids=["one index for all", "no index", "parts without index", "name and id repeated", "empty name and id"],
)
def test_servers_that_number_calls_in_their_own_way_are_understood(parts: list[Any]) -> None:
    assert calls(*parts) == [("x", "f", "{}"), ("y", "g", "[]")]


def test_calls_without_index_and_id_are_parted_by_their_names() -> None:
    assert calls(part(None, "{}", name="f"), part(None, "[]", name="g")) == [(None, "f", "{}"), (None, "g", "[]")]


def test_several_answers_and_their_probabilities_stay_apart() -> None:
    def chance(token: str) -> dict[str, Any]:
        return {"content": [{"token": token, "logprob": -1}]}

    chunks = [
        {"choices": [{"index": index, "delta": {"content": text}, "logprobs": chance(text)}]}
        for index, text in [(1, "b"), (0, "a"), (1, "B")]
    ]
    found = joined(streamed(*chunks)).answer["choices"]
    assert [each["message"]["content"] for each in found] == ["a", "bB"]
    assert [each["token"] for each in found[1]["logprobs"]["content"]] == ["b", "B"]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_events_end_as_the_standard_says(end: str) -> None:
    data = json.dumps(delta(content="a\u2028b"), ensure_ascii=False)
    text = f": ping{end}event: x{end}data: {data}{end}{end}"
    found = joined("\ufeff" + text + text.replace("data: ", "data:") + END.replace("\n", end))
    assert found.answer["choices"][0]["message"]["content"] == "a\u2028ba\u2028b"


def test_a_stream_without_its_end_is_not_whole_and_the_torn_event_is_kept() -> None:
    exchange = an_exchange(streamed(delta(content="a")).encode() + b'data: {"choi', kind="text/event-stream")
    told = read(exchange)
    assert (told["partial"], told["why"]) == (True, "the stream stopped before its end")
    assert told["response"]["raw"] == '{"choi'
    assert told["response"]["choices"][0]["message"]["content"] == "a"


def test_a_finish_reason_is_an_end_for_servers_that_write_no_other() -> None:
    assert joined(streamed(delta(content="a"), delta("stop"))).ended
    assert not joined(streamed(delta("stop", 0), delta(content="a", index=1))).ended


def test_a_text_that_goes_on_as_a_list_is_not_mixed_with_it() -> None:
    found = joined(streamed(delta(content="a"), delta(content=["b"])))
    assert found.answer["choices"][0]["message"]["content"] == ["b"]


def test_an_error_in_a_stream_is_kept() -> None:
    told = read(an_exchange(streamed({"error": {"message": "out of memory"}}).encode(), kind="text/event-stream"))
    assert told["response"]["error"] == {"message": "out of memory"}


def test_events_are_known_also_under_another_content_type() -> None:
    told = read(an_exchange((streamed(delta(content="a")) + END).encode(), kind="application/json"))
    assert told["streamed"] is True
    assert told["response"]["choices"][0]["message"]["content"] == "a"


@pytest.mark.parametrize(
    "body", [b"", b"null", b"[1]", b'{"a": NaN}', b'{"a": 1, "a": 2}', b"\xff\xfe", b"<html>", b'{"a":' + b"[" * 99_999]
)
def test_what_is_no_strict_json_object_is_kept_as_text(body: bytes) -> None:
    told = read(an_exchange(body, request=body))
    wanted = {"raw": body[:RAW_LIMIT].decode("utf-8", "replace")}
    assert told["request"] == told["response"] == wanted | ({"bytes": len(body)} if len(body) > RAW_LIMIT else {})


@pytest.mark.parametrize("depth", range(300, 1000, 20))
def test_what_is_nested_deeply_becomes_a_line(depth: int) -> None:
    body = b'{"a":' + b"[" * depth + b"]" * depth + b"}"
    assert read(an_exchange(body))["response"]


def test_half_a_surrogate_pair_survives() -> None:
    assert read(an_exchange(rb'{"a": "\ud83d"}'))["response"] == {"a": "\ud83d"}


@pytest.mark.parametrize(("encoding", "packed"), [("gzip", gzip.compress), ("deflate", zlib.compress)])
def test_a_compressed_answer_is_saved_in_plain(encoding: str, packed: Any) -> None:
    assert read(an_exchange(packed(b'{"a": 1}'), encoding=encoding))["response"] == {"a": 1}


@pytest.mark.parametrize("encoding", ["gzip", "br"])
def test_what_cannot_be_unpacked_is_named(encoding: str) -> None:
    assert read(an_exchange(b"1234", encoding=encoding))["response"] == {"raw": f"({encoding}, 4 bytes)"}


def test_a_bomb_is_not_unpacked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proxy_line, "UNPACKED_LIMIT", 1000)
    bomb = gzip.compress(bytes(100_000))
    assert read(an_exchange(bomb, encoding="gzip"))["response"] == {"raw": f"(gzip, {len(bomb)} bytes)"}


def test_what_the_client_did_not_get_is_partial_though_its_end_came_here() -> None:
    data = (streamed(delta(content="a")) + END).encode()
    told = read(an_exchange(data, kind="text/event-stream", why="the client read nothing for 1 s", unread=True))
    assert (told["partial"], told["why"]) == (True, "the client read nothing for 1 s")


KEYS = ["choices", "delta", "message", "index", "tool_calls", "function", "arguments", "name", "id", "content", "raw"]
KEYS += ["function_call", "logprobs", "finish_reason", "error", "usage", "role"]
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 2) | st.text(max_size=2),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=4),
    max_leaves=20,
)
CHUNKS = st.fixed_dictionaries({"choices": st.lists(st.dictionaries(st.sampled_from(KEYS), VALUES, max_size=4))})
DELTAS = st.dictionaries(st.sampled_from(KEYS), VALUES, max_size=4).map(lambda given: {"choices": [{"delta": given}]})
CALLS = st.lists(st.dictionaries(st.sampled_from(KEYS), VALUES, max_size=4)).map(lambda given: delta(tool_calls=given))


@settings(deadline=None)
@given(st.lists(CHUNKS | DELTAS | CALLS | VALUES, max_size=6))
def test_no_stream_of_any_shape_fails(events: list[Any]) -> None:
    read(an_exchange(streamed(*events).encode(), kind="text/event-stream"))


def test_a_file_that_was_moved_away_is_begun_anew(tmp_path: Path) -> None:
    append(tmp_path / "s", b"1\n")
    (tmp_path / "s").rename(tmp_path / "old")
    append(tmp_path / "s", b"2\n")
    assert (tmp_path / "s").read_bytes() == b"2\n"
    assert (tmp_path / "s").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b'{"at":1}\n{"at', b'{"at":1}\n{"at":2}\n'),
        (b'{"at":1}\n{"at":3}', b'{"at":1}\n{"at":3}\n{"at":2}\n'),
        (b'{"at":"' + b"x" * 200_000, b'{"at":2}\n'),
    ],
    ids=["half a line", "no newline", "half a long line"],
)
def test_what_a_kill_has_left_does_not_spoil_the_next_line(before: bytes, after: bytes, tmp_path: Path) -> None:
    (tmp_path / "s").write_bytes(before)
    check(tmp_path / "s")
    append(tmp_path / "s", b'{"at":2}\n')
    assert (tmp_path / "s").read_bytes() == after


def test_a_disk_that_fills_in_the_middle_of_a_line_leaves_no_half(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    append(tmp_path / "s", b'{"at":1}\n')
    real, asked = os.write, []

    def half(handle: int, data: bytes) -> int:
        asked.append(data)
        if len(asked) > 1:
            raise OSError(28, "No space left on device")
        return real(handle, data[:5])

    monkeypatch.setattr(os, "write", half)
    with pytest.raises(OSError, match="No space"):
        append(tmp_path / "s", b'{"at":2}\n')
    assert (tmp_path / "s").read_bytes() == b'{"at":1}\n'


def test_handing_over_never_waits_and_what_has_no_room_is_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(proxy_save, "WAITING", 5)
    free = Event()
    saving = Saving(tmp_path / "s", write=lambda path, data: (free.wait(5), append(path, data))[1])
    for _ in range(8):
        saving.put(an_exchange())
    assert saving.lost == 3
    free.set()
    saving.close(5)
    assert (saving.saved, saving.lost) == (5, 3)
    assert capsys.readouterr().err.count("more came than could be written") == 1
    assert len((tmp_path / "s").read_bytes().splitlines()) == 5


def test_large_answers_wait_up_to_a_limit_of_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proxy_save, "HELD", 1000)
    free = Event()
    saving = Saving(tmp_path / "s", write=lambda *_: free.wait(5) and None)
    for _ in range(3):
        saving.put(an_exchange(b"x" * 400))
    free.set()
    saving.close(5)
    assert (saving.saved, saving.lost) == (2, 1)


def test_a_disk_that_hangs_does_not_hold_up_the_end(tmp_path: Path) -> None:
    free = Event()
    saving = Saving(tmp_path / "s", write=lambda *_: free.wait(5) and None)
    for _ in range(3):
        saving.put(an_exchange())
    saving.close(0.05)
    free.set()
    assert (saving.saved, saving.lost) == (0, 3)
    assert "longer than" in saving.why


def test_an_answer_that_cannot_be_written_down_does_not_stop_the_others(tmp_path: Path) -> None:
    saving = Saving(tmp_path / "s")
    saving.put(an_exchange(status=object()))
    saving.put(an_exchange())
    saving.close(5)
    assert (saving.saved, saving.lost) == (1, 1)
    assert "TypeError" in saving.why


def test_a_pipe_or_a_device_is_no_file_to_save_to(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", Path("/dev/null")):
        with pytest.raises(GateError, match="is not a plain file"):
            check(path)


def test_a_file_that_others_can_read_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "s").touch(0o644)
    (tmp_path / "s").chmod(0o644)
    check(tmp_path / "s")
    assert "others may read it (mode 0644)" in capsys.readouterr().err
