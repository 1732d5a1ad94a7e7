"""A slot's champion is what its ledger says, whatever kills, hands and other processes do."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from gate.registry import ledger, slots
from gate.registry.ledger import LedgerError
from gate.registry.slots import Pointer, Slot, SlotError, Standing
from gate.types import Forced

ROOT = Path(__file__).parents[3]


@pytest.fixture
def slot(tmp_path: Path) -> Slot:
    return Slot("hermes", tmp_path / "registry")


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not to disk: what only a power cut would show."""
    monkeypatch.setattr(os, "fsync", lambda _: None)


def facts(name: str) -> dict[str, Any]:
    return {"path": f"/models/{name}", "digest": sha256(name.encode()).hexdigest(), "report": "runs/1"}


def promote(slot: Slot, name: str) -> Pointer:
    return slots.promote(slot, facts(name), beat=slots.current(slot))


def names(standing: Standing) -> list[str | None]:
    return [p and p.path.removeprefix("/models/") for p in (standing.current, standing.previous)]


def pointer(slot: Slot, role: str) -> Any:
    path = slot.folder / role
    return json.loads(path.read_text()) if path.exists() else None


class TestPromote:
    def test_a_promotion_is_a_line_and_then_a_pointer(self, slot: Slot) -> None:
        champion = promote(slot, "a")
        [line] = slots.history(slot)
        assert (line.event, line.facts, line.hash) == ("promotion", facts("a"), champion.line)
        assert pointer(slot, "current") == {
            "role": "current",
            "path": "/models/a",
            "digest": facts("a")["digest"],
            "number": 1,
            "line": line.hash,
        }
        assert pointer(slot, "previous") is None

    def test_the_champion_before_is_kept_beside_it(self, slot: Slot) -> None:
        first = promote(slot, "a")
        second = promote(slot, "b")
        assert slots.standing(slot) == Standing(second, first)
        assert pointer(slot, "previous")["path"] == "/models/a"

    def test_a_candidate_that_was_compared_with_another_champion_is_refused(self, slot: Slot) -> None:
        promote(slot, "a")
        with pytest.raises(SlotError, match=r"compared with no champion, and the champion is line 1 \(/models/a"):
            slots.promote(slot, facts("b"), beat=None)
        assert len(slots.history(slot)) == 1

    def test_the_champion_is_not_promoted_again(self, slot: Slot) -> None:
        promote(slot, "a")
        with pytest.raises(SlotError, match="nothing to promote"):
            promote(slot, "a")
        assert len(slots.history(slot)) == 1

    @pytest.mark.parametrize("wrong", [{"path": ""}, {"digest": "abc"}, {"digest": None}])
    def test_a_promotion_without_path_or_digest_is_refused(self, slot: Slot, wrong: dict[str, Any]) -> None:
        with pytest.raises(LedgerError, match="a promotion needs a path and a sha256"):
            slots.promote(slot, facts("a") | wrong, beat=None)
        assert slots.history(slot) == ()

    def test_a_full_disk_leaves_the_old_champion(self, slot: Slot, monkeypatch: pytest.MonkeyPatch) -> None:
        first = promote(slot, "a")
        with monkeypatch.context() as patch:
            patch.setattr(os, "write", _full)
            with pytest.raises(LedgerError, match="nothing was recorded"):
                promote(slot, "b")
        assert slots.standing(slot) == Standing(first)

    def test_a_disk_full_of_the_line_finishes_later(self, slot: Slot, monkeypatch: pytest.MonkeyPatch) -> None:
        """The line fits and the pointer does not: the promotion counts, and the next call makes it visible."""
        promote(slot, "a")
        with monkeypatch.context() as patch:
            patch.setattr(os, "replace", _full)
            with pytest.raises(SlotError, match=r"line 2 .* is recorded as champion, but .* No space left"):
                promote(slot, "b")
        assert pointer(slot, "current")["path"] == "/models/a"
        assert names(slots.standing(slot)) == ["b", "a"]
        assert pointer(slot, "current")["path"] == "/models/b"


class TestRollback:
    def test_leads_down_the_succession_and_never_back_up(self, slot: Slot) -> None:
        for name in "abc":
            promote(slot, name)
        assert slots.rollback(slot, "c is worse in use").path == "/models/b"
        assert names(slots.standing(slot)) == ["b", "a"]
        assert slots.rollback(slot, "so is b").path == "/models/a"
        assert names(slots.standing(slot)) == ["a", None]
        assert pointer(slot, "previous") is None
        with pytest.raises(SlotError, match="none before it to roll back to"):
            slots.rollback(slot, "so is a")

    def test_what_was_rolled_back_is_no_target_after_the_next_promotion(self, slot: Slot) -> None:
        for name in "ab":
            promote(slot, name)
        slots.rollback(slot, "worse")
        promote(slot, "c")
        assert names(slots.standing(slot)) == ["c", "a"]

    def test_is_a_line_with_its_reason(self, slot: Slot) -> None:
        for name in "ab":
            promote(slot, name)
        slots.rollback(slot, "speaks French")
        line = slots.history(slot)[-1]
        assert (line.event, line.facts["reason"]) == ("rollback", "speaks French")
        assert [line.facts[end]["path"] for end in ("from", "to")] == ["/models/b", "/models/a"]

    def test_repeating_one_that_was_interrupted_does_not_go_back_twice(
        self, slot: Slot, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for name in "abc":
            promote(slot, name)
        with monkeypatch.context() as patch:
            patch.setattr(os, "replace", _full)
            with pytest.raises(SlotError, match="the next gate command on this slot finishes it"):
                slots.rollback(slot, "worse")
        with pytest.raises(SlotError, match=r"is finished now: the champion is line 2 \(/models/b"):
            slots.rollback(slot, "worse")
        assert names(slots.standing(slot)) == ["b", "a"]

    def test_needs_a_reason_and_a_champion(self, slot: Slot) -> None:
        with pytest.raises(SlotError, match="needs a reason"):
            slots.rollback(slot, " ")
        with pytest.raises(SlotError, match="no champion has none before it"):
            slots.rollback(slot, "because")

    def test_a_rollback_that_gate_did_not_write_is_refused(self, slot: Slot) -> None:
        promote(slot, "a")
        ledger.append(slot.ledger, "rollback", {"reason": "by hand"})
        with pytest.raises(LedgerError, match="line 2 rolls back what was not champion"):
            slots.current(slot)


class TestRecord:
    def test_forced_promotions_are_found_in_every_slot(self, slot: Slot) -> None:
        promote(slot, "a")
        given = facts("b") | {"force": "the demo is at noon"}
        slots.promote(slot, given, beat=slots.current(slot))
        slots.promote(Slot("other", slot.registry), given | {"force": ""}, beat=None)
        assert slots.forced(slot.registry) == (Forced(slot.name, 2, "the demo is at noon"),)

    @pytest.mark.parametrize("event", ["promotion", "rollback", "", "Attempt", "a\n"])
    def test_only_promote_and_rollback_move_the_champion(self, slot: Slot, event: str) -> None:
        with pytest.raises(SlotError, match="not an event to record"):
            slots.record(slot, event, {})
        assert not slot.folder.exists()


class TestStanding:
    def test_a_slot_that_is_not_there_has_no_champion_and_is_not_made(self, slot: Slot) -> None:
        assert slots.current(slot) is None
        assert slots.history(slot) == ()
        assert not slot.folder.exists()

    @pytest.mark.parametrize("name", ["", "Hermes", "../up", "a/b", ".hidden", "-x", "a\n", "a" * 65, "é"])
    def test_a_name_is_a_plain_folder_name(self, name: str) -> None:
        with pytest.raises(SlotError, match="not a name for a slot"):
            Slot(name)

    def test_reading_writes_nothing(self, slot: Slot) -> None:
        promote(slot, "a")
        for lock in slot.folder.glob("*.lock"):
            lock.unlink()
        before = sorted(slot.folder.iterdir())
        slots.standing(slot), slots.history(slot), slots.verify(slot)
        assert sorted(slot.folder.iterdir()) == before

    def test_pointers_are_written_anew_once_both_are_deleted(self, slot: Slot) -> None:
        for name in "ab":
            promote(slot, name)
        before = [pointer(slot, role) for role in ("current", "previous")]
        (slot.folder / "current").unlink()
        (slot.folder / "previous").unlink()
        assert names(slots.standing(slot)) == ["b", "a"]
        assert [pointer(slot, role) for role in ("current", "previous")] == before

    def test_a_pointer_moved_by_hand_is_refused_everywhere(self, slot: Slot) -> None:
        """Also where it looks as a kill would leave it: the old champion in `current`, and no `previous`."""
        for name in "ab":
            promote(slot, name)
        (slot.folder / "previous").replace(slot.folder / "current")
        for call in (slots.current, slots.verify, lambda s: slots.rollback(s, "why")):
            with pytest.raises(SlotError, match="copied from another pointer by hand"):
                call(slot)
        with pytest.raises(SlotError, match="by hand"):
            slots.promote(slot, facts("c"), beat=None)
        assert len(slots.history(slot)) == 2

    @pytest.mark.parametrize("change", [{"path": "/models/evil"}, {"digest": "0" * 64}, {"number": 2}, {"path": []}])
    def test_an_edited_pointer_is_refused(self, slot: Slot, change: dict[str, Any]) -> None:
        promote(slot, "a")
        _edit(slot, change)
        with pytest.raises(SlotError, match="which the ledger does not record"):
            slots.current(slot)

    @pytest.mark.parametrize("text", ["", "[]", "{}", '{"role":"current"}', "{", "\x00" * 40])
    def test_what_is_no_pointer_is_refused(self, slot: Slot, text: str) -> None:
        promote(slot, "a")
        (slot.folder / "current").write_text(text)
        with pytest.raises(SlotError, match="is not a pointer as gate writes it"):
            slots.current(slot)

    def test_an_older_champion_put_back_by_hand_is_refused(self, slot: Slot) -> None:
        promote(slot, "a")
        old = (slot.folder / "current").read_text()
        promote(slot, "b")
        promote(slot, "c")
        (slot.folder / "current").write_text(old)
        with pytest.raises(SlotError, match=r"names line 1 .* and the ledger says line 3 .* moved by hand"):
            slots.current(slot)

    def test_a_pointer_is_an_anchor_of_its_ledger(self, slot: Slot) -> None:
        for name in "ab":
            promote(slot, name)
        lines = slot.ledger.read_bytes().splitlines(keepends=True)
        slot.ledger.write_bytes(lines[0])
        with pytest.raises(SlotError, match="ledger has lost lines"):
            slots.current(slot)
        slot.ledger.unlink()
        with pytest.raises(SlotError, match="ledger has lost lines"):
            slots.current(slot)

    def test_verify_gives_the_head_that_a_promotion_printed(self, slot: Slot) -> None:
        champion = promote(slot, "a")
        slots.record(slot, "attempt", {"asked": []})
        assert slots.verify(slot, head=champion.line) == slots.history(slot)[-1].hash


class TestTogether:
    def test_promotions_of_several_processes_follow_one_another(self, slot: Slot) -> None:
        code = (
            "import sys; from pathlib import Path; from tests.unit.registry.test_slots import *\n"
            "slot, done = Slot('hermes', Path(sys.argv[1])), 0\n"
            "for turn in range(6):\n"
            "    try: promote(slot, f'{sys.argv[2]}-{turn}'); done += 1\n"
            "    except SlotError as error: assert 'grade it again' in str(error), error\n"
            "print(done)"
        )
        children = [
            subprocess.Popen([sys.executable, "-c", code, str(slot.registry), who], stdout=subprocess.PIPE, cwd=ROOT)
            for who in "xyz"
        ]
        done = sum(int(child.communicate(timeout=60)[0]) for child in children)
        assert [child.returncode for child in children] == [0, 0, 0]
        assert [line.event for line in slots.history(slot)] == ["promotion"] * done
        assert slots.standing(slot).current == slots._pointer(slots.history(slot)[-1])


class Slots(RuleBasedStateMachine):
    """Whatever the order of promotions, rollbacks, attempts, tears and deleted pointers: a list, pushed and popped."""

    def __init__(self) -> None:
        super().__init__()
        self.home = tempfile.TemporaryDirectory()
        self.slot = Slot("hermes", Path(self.home.name))
        self.succession: list[str] = []
        self.lines = 0

    @rule(name=st.sampled_from("abc"))
    def promotes(self, name: str) -> None:
        if self.succession[-1:] == [name]:
            with pytest.raises(SlotError):
                promote(self.slot, name)
        else:
            promote(self.slot, name)
            self.succession.append(name)
            self.lines += 1

    @rule()
    def rolls_back(self) -> None:
        if len(self.succession) < 2:
            with pytest.raises(SlotError):
                slots.rollback(self.slot, "reason")
        else:
            slots.rollback(self.slot, "reason")
            self.succession.pop()
            self.lines += 1

    @rule(text=st.text())
    def attempts(self, text: str) -> None:
        slots.record(self.slot, "attempt", {"said": text})
        self.lines += 1

    @rule(half=st.binary(min_size=1).map(lambda data: data.replace(b"\n", b"")).filter(bool))
    def is_torn(self, half: bytes) -> None:
        if self.slot.ledger.exists():
            with self.slot.ledger.open("ab") as stream:
                stream.write(half)

    @rule()
    def loses_its_pointers(self) -> None:
        for role in ("current", "previous"):
            (self.slot.folder / role).unlink(missing_ok=True)

    @invariant()
    def stands_as_told(self) -> None:
        assert names(slots.standing(self.slot)) == [*reversed([None, None, *self.succession][-2:])]
        assert len(slots.history(self.slot)) == self.lines

    def teardown(self) -> None:
        self.home.cleanup()


@pytest.mark.usefixtures("quick")
class TestAnyOrder(Slots.TestCase):
    settings = settings(max_examples=25, stateful_step_count=15, deadline=None)


def _full(*_: Any) -> None:
    raise OSError(28, "No space left on device")


def _edit(slot: Slot, change: dict[str, Any]) -> None:
    (slot.folder / "current").write_text(json.dumps(pointer(slot, "current") | change))
