"""A ledger says what was recorded, all of it and nothing else, or says what is wrong."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from gate.registry import ledger
from gate.registry.ledger import LedgerError

ROOT = Path(__file__).parents[3]
Lines = list[bytes]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ledger.jsonl"


@pytest.fixture
def three(path: Path) -> Path:
    for outcome in ("INCOMPLETE", "BELOW_FLOOR", "PASS"):
        ledger.append(path, "attempt", {"outcome": outcome, "name": "Zoë ✓\n"})
    return path


def python(code: str, *arguments: str) -> subprocess.Popen[str]:
    command = [
        sys.executable,
        "-c",
        f"import sys; from pathlib import Path; from gate.registry import ledger\n{code}",
        *arguments,
    ]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)


def chained(*values: dict[str, Any]) -> bytes:
    """A ledger whose chain is right, as whoever writes all of it anew can make it."""
    data, prev = b"", ledger.BEGINNING
    for number, value in enumerate(values, start=1):
        record = {"version": 1, "number": number, "at": "", "event": "attempt", "facts": {}, "prev": prev}
        line = ledger.canonical(record | value)
        data, prev = data + line + b"\n", sha256(line).hexdigest()
    return data


class TestAppend:
    def test_a_record_is_a_line_of_canonical_json_chained_to_the_one_before(self, three: Path) -> None:
        lines = three.read_bytes().splitlines()
        values = [json.loads(line) for line in lines]
        assert [value["number"] for value in values] == [1, 2, 3]
        assert [value["prev"] for value in values] == ["0" * 64, *(sha256(line).hexdigest() for line in lines[:2])]
        assert lines == [
            json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode() for value in values
        ]

    def test_gives_the_record_that_read_gives(self, three: Path) -> None:
        added = ledger.append(three, "promotion", {"path": "x", "half": 0.5})
        assert ledger.read(three)[-1] == added
        assert ledger.verify(three) == added.hash

    def test_makes_its_folder(self, tmp_path: Path) -> None:
        assert ledger.append(tmp_path / "a" / "b" / "ledger.jsonl", "attempt", {}).number == 1

    @pytest.mark.parametrize(
        "facts",
        [
            {"x": float("nan")},
            {"x": 2**53},
            {"x": 1e20},
            {"x": "\ud800"},
            {"x": {1, 2}},
            {1: "x"},
            {"x": Path("x")},
            {"x": json.loads("[" * 64 + "]" * 64)},
            ["x"],
        ],
        ids=["nan", "big", "big-float", "surrogate", "set", "key", "path", "deep", "list"],
    )
    def test_facts_that_would_not_come_back_as_they_are_are_refused(self, three: Path, facts: Any) -> None:
        before = three.read_bytes()
        with pytest.raises(LedgerError, match="these facts of 'attempt' cannot be recorded"):
            ledger.append(three, "attempt", facts)
        assert three.read_bytes() == before


class TestTorn:
    """Half a last line is what a kill leaves, and nobody was told that it is recorded."""

    TAILS = (b"{", b'{"at":"2026', b"\x00" * 300, b"\xff\xfe", "é".encode()[:1])

    @pytest.mark.parametrize("tail", TAILS, ids=range(len(TAILS)))
    @pytest.mark.parametrize("call", [ledger.read, ledger.verify, lambda path: ledger.append(path, "next", {})])
    def test_is_moved_aside_by_whatever_comes_next(self, three: Path, tail: bytes, call: Callable[[Path], Any]) -> None:
        before = ledger.verify(three)
        with three.open("ab") as stream:
            stream.write(tail)
        call(three)
        assert [aside.read_bytes() for aside in ledger.torn(three)] == [tail]
        assert three.read_bytes().endswith(b"\n")
        assert ledger.verify(three, head=before)

    def test_a_line_that_lacks_only_its_newline_was_not_told_of_either(self, three: Path) -> None:
        last = three.read_bytes().splitlines()[-1]
        os.truncate(three, three.stat().st_size - 1)
        assert len(ledger.read(three)) == 2
        assert ledger.torn(three)[0].read_bytes() == last

    def test_each_is_kept_under_a_name_of_its_own(self, three: Path) -> None:
        for half in (b"one", b"two"):
            with three.open("ab") as stream:
                stream.write(half)
            ledger.append(three, "next", {})
        assert [(aside.name, aside.read_bytes()) for aside in ledger.torn(three)] == [
            ("ledger.jsonl.torn-1", b"one"),
            ("ledger.jsonl.torn-2", b"two"),
        ]

    def test_a_first_line_can_be_torn(self, path: Path) -> None:
        path.write_bytes(b'{"at"')
        assert ledger.append(path, "first", {}).number == 1

    def test_is_left_where_it_is_while_the_chain_is_broken(self, three: Path) -> None:
        three.write_bytes(three.read_bytes().replace(b"PASS", b"pass").replace(b"BELOW", b"ABOVE") + b"{")
        before = three.read_bytes()
        with pytest.raises(LedgerError):
            ledger.read(three)
        assert (three.read_bytes(), ledger.torn(three)) == (before, ())

    def test_stays_until_there_is_room_to_keep_it(self, three: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        with three.open("ab") as stream:
            stream.write(b"half")
        with monkeypatch.context() as patch:
            patch.setattr(os, "write", _full)
            with pytest.raises(LedgerError, match="No space left"):
                ledger.append(three, "next", {})
        assert (three.read_bytes()[-4:], ledger.torn(three)) == (b"half", ())


class TestTampering:
    CHANGES: tuple[tuple[str, Callable[[Lines], Lines], str], ...] = (
        ("edit", lambda x: [x[0], x[1].replace(b"BELOW_FLOOR", b"PASS"), x[2]], r":3: does not follow line 2"),
        ("edit the time", lambda x: [x[0].replace(b'"at":"20', b'"at":"19'), *x[1:]], r":2: does not follow line 1"),
        ("edit the form", lambda x: [x[0], x[1].replace(b",", b", ", 1), x[2]], r":2: is not in the form"),
        ("escape", lambda x: [x[0], x[1], x[2].replace("ë".encode(), rb"\u00eb")], r":3: is not in the form"),
        ("add a key", lambda x: [x[0], x[1], b'{"aa":1,' + x[2][1:]], r":3: is not a record: it wants exactly"),
        ("repeat a key", lambda x: [x[0], x[1], x[2].replace(b"{", b'{"at":"",', 1)], r":3: is not a record .*twice"),
        ("delete", lambda x: [x[0], x[2]], r":2: says that it is line 3"),
        ("delete the first", lambda x: x[1:], r":1: says that it is line 2"),
        ("reorder", lambda x: [x[0], x[2], x[1]], r":2: says that it is line 3"),
        ("repeat", lambda x: [x[0], x[1], x[1], x[2]], r":3: says that it is line 2"),
        ("insert", lambda x: [x[0], b"hello", x[1], x[2]], r":2: is not a record .*not JSON"),
        ("insert an empty line", lambda x: [x[0], b"", x[1], x[2]], r":2: is not a record .*not JSON"),
        ("insert zeros", lambda x: [x[0], b"\x00" * 9, x[1], x[2]], r":2: is not a record"),
        ("no UTF-8", lambda x: [x[0], b"\xff", x[1], x[2]], r":2: is not a record"),
        ("add at the end", lambda x: [*x, b"[]"], r":4: is not in the form"),
        ("renumber", lambda x: [x[0], x[2].replace(b'"number":3', b'"number":2')], r":2: does not follow line 1"),
        ("carriage returns", lambda x: [line + b"\r" for line in x], r":1: is not in the form"),
        ("a mark", lambda x: [b"\xef\xbb\xbf" + x[0], *x[1:]], r":1: is not a record"),
        ("join", lambda x: [x[0] + x[1], x[2]], r":1: is not a record"),
        ("split", lambda x: [x[0][:20], x[0][20:], *x[1:]], r":1: is not a record"),
        ("nest", lambda x: [b"[" * 100_000, *x], r":1: is not a record .*recursion depth"),
    )

    @pytest.mark.parametrize(("change", "found"), [c[1:] for c in CHANGES], ids=[c[0] for c in CHANGES])
    def test_is_found_and_nothing_is_added(self, three: Path, change: Callable[[Lines], Lines], found: str) -> None:
        lines = change(three.read_bytes().splitlines())
        three.write_bytes(b"".join(line + b"\n" for line in lines))
        before = three.read_bytes()
        for call in (ledger.read, ledger.verify, lambda path: ledger.append(path, "next", {})):
            with pytest.raises(LedgerError, match=f"{found}.*restore the file"):
                call(three)
        assert (three.read_bytes(), ledger.torn(three)) == (before, ())

    @pytest.mark.parametrize("keep", [0, 1, 2])
    def test_lost_last_lines_are_found_by_an_anchor_alone(self, three: Path, keep: int) -> None:
        head = ledger.verify(three)
        three.write_bytes(b"".join(three.read_bytes().splitlines(keepends=True)[:keep]))
        ledger.verify(three)
        with pytest.raises(LedgerError, match=f"none of its {keep} lines has the hash {head}: lines .* are gone"):
            ledger.verify(three, head=head)

    def test_an_edited_last_line_is_found_by_an_anchor_alone(self, three: Path) -> None:
        head = ledger.verify(three)
        three.write_bytes(three.read_bytes().replace(b'"PASS"', b'"FAIL"'))
        ledger.verify(three)
        with pytest.raises(LedgerError, match="rewritten"):
            ledger.verify(three, head=head)

    def test_a_ledger_written_anew_is_found_by_an_anchor_alone(self, three: Path) -> None:
        head = ledger.read(three)[0].hash
        three.write_bytes(chained({}, {}, {}))
        ledger.verify(three)
        with pytest.raises(LedgerError, match="rewritten"):
            ledger.verify(three, head=head)

    def test_an_anchor_stays_good_as_the_ledger_grows(self, three: Path) -> None:
        anchors = [record.hash for record in ledger.read(three)]
        ledger.append(three, "next", {})
        assert {ledger.verify(three, head=anchor) for anchor in anchors} == {ledger.verify(three)}

    @pytest.mark.parametrize("head", ["", "abc", "G" * 64, "0" * 64 + "\n"])
    def test_an_anchor_that_is_no_hash_is_refused(self, three: Path, head: str) -> None:
        with pytest.raises(LedgerError, match="is not a line's hash"):
            ledger.verify(three, head=head)

    def test_a_ledger_that_is_not_there_has_nothing_to_verify(self, path: Path) -> None:
        assert ledger.read(path) == ()
        with pytest.raises(LedgerError, match="there is no ledger"):
            ledger.verify(path)
        assert list(path.parent.iterdir()) == []

    @pytest.mark.parametrize("wrong", [{"number": True}, {"facts": []}, {"at": 1}, {"event": None}, {"more": 1}])
    def test_a_record_has_its_keys_and_types(self, path: Path, wrong: dict[str, Any]) -> None:
        path.write_bytes(chained(wrong))
        with pytest.raises(LedgerError, match=":1: is not a record: it wants exactly"):
            ledger.read(path)

    def test_a_newer_version_says_so(self, path: Path) -> None:
        path.write_bytes(chained({"version": 2}))
        with pytest.raises(LedgerError, match="is of version 2: if a newer gate wrote it, upgrade pytest-gate"):
            ledger.read(path)

    def test_a_folder_is_no_ledger(self, path: Path) -> None:
        path.mkdir()
        with pytest.raises(LedgerError, match="cannot be read"):
            ledger.read(path)


class TestTogether:
    def test_four_processes_make_one_chain(self, path: Path) -> None:
        code = "for turn in range(25): ledger.append(Path(sys.argv[1]), 'attempt', {'who': sys.argv[2], 'turn': turn})"
        children = [python(code, str(path), who) for who in "abcd"]
        assert [child.wait(timeout=120) for child in children] == [0, 0, 0, 0]
        records = ledger.read(path)
        assert len(records) == 100
        for who in "abcd":
            assert [record.facts["turn"] for record in records if record.facts["who"] == who] == list(range(25))
        assert ledger.torn(path) == ()

    def test_so_do_threads(self, path: Path) -> None:
        threads = [threading.Thread(target=lambda: [ledger.append(path, "x", {}) for _ in range(5)]) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(timeout=60)
        assert len(ledger.read(path)) == 20

    def test_a_reader_waits_for_a_line_that_is_being_written(
        self, three: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """Half a line is torn only when nobody holds the lock."""
        whole = three.read_bytes()
        os.truncate(three, len(whole) - 30)
        with three.with_name("ledger.jsonl.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            read: list[int] = []
            reader = threading.Thread(target=lambda: read.append(len(ledger.read(three))))
            reader.start()
            time.sleep(0.2)
            assert read == []
            three.write_bytes(whole)
        reader.join(timeout=60)
        assert (read, ledger.torn(three)) == ([3], ())
        assert "another process writes" in capsys.readouterr().err


def _full(*_: Any) -> Any:
    raise OSError(errno.ENOSPC, "No space left on device")
