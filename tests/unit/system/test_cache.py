"""What was answered once is known: by all that was asked, to several processes, and never at the price of an answer."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from gate.models import reply_cache
from gate.system import cache
from gate.system.cache import Cache


def test_an_answer_is_known_again_under_the_same_conditions_alone(tmp_path: Path) -> None:
    store = Cache(tmp_path / "k.sqlite", {"digest": "a"})
    store.put({"q": 1}, {"content": "one", "n": [1, None]})
    assert store.get({"q": 1}) == {"content": "one", "n": [1, None]}
    assert store.get({"q": 2}) is None
    store.close()
    assert Cache(tmp_path / "k.sqlite", {"digest": "a"}).get({"q": 1}) == {"content": "one", "n": [1, None]}
    assert Cache(tmp_path / "k.sqlite", {"digest": "b"}).get({"q": 1}) is None


def test_fresh_gives_nothing_and_keeps_the_new_answer(tmp_path: Path) -> None:
    Cache(tmp_path / "k.sqlite", "a").put("q", "old")
    store = Cache(tmp_path / "k.sqlite", "a", fresh=True)
    assert store.get("q") is None
    store.put("q", "new")
    assert Cache(tmp_path / "k.sqlite", "a").get("q") == "new"


@pytest.mark.parametrize("damage", ["rubbish", "folder", "gone", "read-only"])
def test_a_store_that_cannot_be_used_costs_no_answer(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "in" / "k.sqlite"
    path.parent.mkdir()
    if damage == "rubbish":
        path.write_bytes(b"no database" * 1000)
    elif damage == "folder":
        path.mkdir()
    elif damage == "read-only":
        Cache(path, "a").put("q", 1)
        path.chmod(0o400)
    store = Cache(path, "a")
    if damage == "gone":
        for each in path.parent.iterdir():
            each.unlink()
    store.put("q", 2)
    assert store.get("q") in (None, 1, 2)
    store.close()
    store.close()
    assert store.get("q") is None


def test_a_damaged_row_is_not_known(tmp_path: Path) -> None:
    store = Cache(tmp_path / "k.sqlite", "a")
    store.put("q", 1)
    assert store._store is not None
    store._store.execute("UPDATE answers SET value = x'00'")
    assert store.get("q") is None


def test_the_least_used_go_when_there_is_too_much(tmp_path: Path) -> None:
    store = Cache(tmp_path / "k.sqlite", "a", limit=64 * 1024)
    for number in range(200):
        store.put(number, os.urandom(500).hex())
    assert store._store is not None
    store._store.execute("UPDATE answers SET used = 1 WHERE key != ?", (store._key(199),))
    store.close()
    again = Cache(tmp_path / "k.sqlite", "a")
    assert again.get(199) is not None
    assert (tmp_path / "k.sqlite").stat().st_size <= 2 * 64 * 1024
    assert sum(again.get(number) is not None for number in range(200)) < 150


def test_several_processes_write_and_read_at_the_same_time(tmp_path: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from gate.system.cache import Cache\n"
        "store = Cache(Path(sys.argv[1]), 'a')\n"
        "for n in range(100): store.put([sys.argv[2], n], n)\n"
        "store.close()"
    )
    children = [
        subprocess.Popen(
            [sys.executable, "-c", script, str(tmp_path / "k.sqlite"), name], cwd=Path(cache.__file__).parents[2]
        )
        for name in "abc"
    ]
    assert [child.wait(60) for child in children] == [0, 0, 0]
    store = Cache(tmp_path / "k.sqlite", "a")
    assert all(store.get([name, n]) == n for name in "abc" for n in range(100))


def test_nobody_else_can_read_the_file(tmp_path: Path) -> None:
    Cache(tmp_path / "k.sqlite", "a").put("q", json.dumps({"x": 1}))
    assert (tmp_path / "k.sqlite").stat().st_mode & 0o077 == 0


def test_an_environment_variable_names_the_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATE_REPLIES", str(tmp_path / "other"))
    assert reply_cache.path() == tmp_path / "other"


def test_an_answer_of_the_same_run_is_not_of_an_earlier_one(tmp_path: Path) -> None:
    one = Cache(tmp_path / "k.sqlite", "a", run="r1")
    one.put("q", 1)
    one.flush()
    assert one.look("q") == (1, False)
    assert Cache(tmp_path / "k.sqlite", "a", run="r1").look("q") == (1, False)
    assert Cache(tmp_path / "k.sqlite", "a", run="r2").look("q") == (1, True)
    assert Cache(tmp_path / "k.sqlite", "a").look("other") == (None, False)


def test_forgotten_are_all_answers_of_one_checkpoint(tmp_path: Path) -> None:
    for about in ("a", "b"):
        store = Cache(tmp_path / "k.sqlite", about)
        store.put("q", about)
        store.close()
    Cache(tmp_path / "k.sqlite", "a").forget()
    assert Cache(tmp_path / "k.sqlite", "a").get("q") is None
    assert Cache(tmp_path / "k.sqlite", "b").get("q") == "b"


def test_a_store_that_another_process_holds_is_waited_for_once(tmp_path: Path) -> None:
    store = Cache(tmp_path / "k.sqlite", "a")
    with sqlite3.connect(tmp_path / "k.sqlite", isolation_level=None) as other:
        other.execute("BEGIN IMMEDIATE")
        begun = time.monotonic()
        for number in range(3):
            store.put(number, number)
            store.flush()
        assert time.monotonic() - begun < 2 * cache.PATIENCE
        other.execute("ROLLBACK")
    assert store.get(0) is None


def test_a_slow_question_about_files_is_asked_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("GATE_CACHE", str(tmp_path / "cache"))
    asked: list[int] = []

    def ask() -> dict[str, int]:
        asked.append(1)
        return {"answer": len(asked)}

    assert cache.remembered("a", ["x", 1], ask) == cache.remembered("a", ["x", 1], ask) == {"answer": 1}
    assert cache.remembered("b", ["x", 1], ask) == {"answer": 2}
    assert cache.remembered("a", ["x", 1], ask, fresh=True) == {"answer": 3}
    assert cache.remembered("a", ["x", 1], ask) == {"answer": 3}
    for each in (tmp_path / "cache").iterdir():
        each.unlink()
    (tmp_path / "cache/facts.sqlite").write_bytes(b"no database" * 1000)
    assert cache.remembered("a", ["x", 1], ask) == {"answer": 4}
