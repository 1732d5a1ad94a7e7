"""Every way to break a good artifact is seen by the check meant for it, and the good ones pass every check."""

from __future__ import annotations

from pathlib import Path

import pytest

from gate.preflight.registry import inspect, worst
from gate.system import platform
from tests.mutations import MUTATIONS, Mutation, caught
from tests.mutations.good import Good, make
from tests.mutations.hostile import SENTINEL

pytestmark = pytest.mark.real


@pytest.fixture(scope="session")
def good(tmp_path_factory: pytest.TempPathFactory) -> Good:
    return make(tmp_path_factory.mktemp("good"))


def own(root: Path, folder: Path) -> Path:
    """A place on the same file system as the good artifacts, so that weights can be linked."""
    place = root / "places" / folder.name
    place.mkdir(parents=True)
    return place


@pytest.mark.parametrize("one", MUTATIONS, ids=lambda one: one.name)
def test_a_broken_artifact_is_seen(one: Mutation, good: Good, tmp_path: Path) -> None:
    place = own(good.folder, tmp_path)
    check = caught(one, good.at(place))
    assert check.status == "found", check
    assert check.found
    assert check.remedy
    assert not (place / SENTINEL).exists()


def test_there_are_thirty_mutations_and_more() -> None:
    assert len({one.name for one in MUTATIONS}) == len(MUTATIONS) >= 30


@pytest.mark.parametrize("kind", ["adapter", "base", "fused", "eight"])
def test_a_good_artifact_passes_every_check(kind: str, good: Good) -> None:
    against = good.adapter if kind in ("fused", "eight") else None
    checks = inspect(good.artifact(getattr(good, kind), against=against))
    assert worst(checks) == "", [check for check in checks if check.status == "found"]
    impossible = {check.id for check in checks if check.status == "not possible"}
    assert impossible <= ({"P04"} if kind == "base" else set())
    assert sum(check.status == "ok" for check in checks) >= 12


def test_a_good_gguf_passes_every_check(good: Good) -> None:
    artifact = good.artifact(good.gguf)
    with good.served(artifact) as served:
        checks = inspect(served) + inspect(served, asking=True)
    assert worst(checks) == "", [check for check in checks if check.status == "found"]
    assert not [check for check in checks if check.status == "not possible"]
    assert sum(check.status == "ok" for check in checks) >= 18


def test_a_second_look_starts_no_child(good: Good, monkeypatch: pytest.MonkeyPatch) -> None:
    inspect(good.artifact(good.fused, against=good.adapter))
    monkeypatch.setattr("gate.system.sandbox.run", lambda *_, **__: pytest.fail("a child was started"))
    assert worst(inspect(good.artifact(good.fused, against=good.adapter))) == ""
    assert (platform.cache_folder() / "facts.sqlite").is_file()
