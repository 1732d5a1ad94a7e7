"""What travels with a promotion: the report, a summary for machines, a model card, and an in-toto statement.

They lie in `<slot>/releases/<sha256 of the statement>/`. The statement names the sha256 of the other three and of every
file of the checkpoint, and the ledger's line of the promotion names the statement's: one changed byte anywhere shows.
Nothing of a single case is in the summary, the card or the statement.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from gate.errors import GateError, ReportError
from gate.registry.slots import Slot
from gate.report.io import read
from gate.report.markdown import code, table
from gate.report.shown import Shown, ShownTest
from gate.report.table import cells
from gate.system import jsonl
from gate.types import Json, Outcome, Report

REPORT, SUMMARY, CARD, STATEMENT = "report.json", "release_summary.json", "README.md", "statement.json"
STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
"""in-toto/attestation, spec/v1/statement.md"""
PREDICATE_TYPE = "https://in-toto.io/attestation/test-result/v0.1"
"""in-toto/attestation, spec/predicates/test-result.md"""
COLUMNS = ("test", "hits", "at least", "floor", "held out", "outcome")
"""Of the model card's table."""
ARTIFACT_SIGNATURE, RELEASE_SIGNATURE = "artifact.sig", "release.sig"


@dataclass(frozen=True, slots=True)
class Evidence:
    """Everything that a promotion stands on."""

    slot: str
    shown: Shown
    """The report and its verdict."""
    text: str
    """The report as it lies on disk."""
    files: Mapping[str, str]
    """sha256 of each file of the checkpoint, an adapter's base under `base/`."""
    facts: Json
    """The promotion's line in the ledger, but for the statement's digest."""
    training: Json
    """What it was trained with: digests of data and recipe, by name; empty where that is not known."""


def place(slot: Slot, statement: str) -> Path:
    """The folder of the release with this statement."""
    return slot.folder / "releases" / statement


def write(slot: Slot, evidence: Evidence) -> str:
    """Write the slot's release, each file whole; the sha256 of its statement. Raises OSError."""
    written = texts(evidence)
    folder = place(slot, _digest(written[STATEMENT]))
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in written.items():
        jsonl.write_whole(folder / name, text)
    return folder.name


def texts(evidence: Evidence) -> dict[str, str]:
    """The files of a release, by name."""
    named = {REPORT: evidence.text, SUMMARY: _json(_summary(evidence)), CARD: _card(evidence)}
    return named | {STATEMENT: _json(_statement(evidence, {name: _digest(text) for name, text in named.items()}))}


def digests(folder: Path) -> dict[str, str]:
    """sha256 of the release's files as they are now, by name; without those that are missing. Raises OSError."""
    found = [folder / name for name in (REPORT, SUMMARY, CARD, STATEMENT)]
    return {path.name: sha256(path.read_bytes()).hexdigest() for path in found if path.is_file()}


def statement(folder: Path) -> Json:
    """The statement of a release, if it has the shape of one of ours. Raises GateError."""
    path = folder / STATEMENT
    try:
        value = jsonl.loads(path.read_text(encoding="utf-8"), where=str(path))
        value["predicate"]["result"] + "".join(each["name"] + each["digest"]["sha256"] for each in value["subject"])
        {each["name"]: each["digest"]["sha256"] for each in value["predicate"]["configuration"] if "digest" in each}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise GateError(f"{path}: is not a statement of gate: {type(error).__name__} {error}") from error
    if (value.get("_type"), value.get("predicateType")) != (STATEMENT_TYPE, PREDICATE_TYPE):
        raise GateError(f"{path}: is not an in-toto statement v1 of a test result")
    return dict(value)


def report(folder: Path, digest: str) -> Report:
    """The report of a release, if its bytes have this sha256. Raises ReportError."""
    path = folder / REPORT
    try:
        same = sha256(path.read_bytes()).hexdigest() == digest
    except OSError:
        same = False
    if not same:
        raise ReportError(f"{path}: the champion's report is missing or was changed: restore it")
    return read(path)


def _summary(evidence: Evidence) -> Json:
    told = evidence.shown
    made, graded = told.made, told.checkpoint
    given = ["--base", graded.base] if graded.base else []
    promoting = ["gate", "promote", graded.where, *given, "--slot", evidence.slot, "--report", "REPORT"]
    return {
        "version": 1,
        "slot": evidence.slot,
        "checkpoint": asdict(graded) | {"files": dict(evidence.files)},
        "run": {"started": made.started, "seconds": made.seconds, "report": _digest(evidence.text)},
        "outcome": str(told.outcome),
        "forced": evidence.facts["force"],
        "lower_bar": evidence.facts["lower_bar"],
        "metrics": [_metric(test) for test in told.tests],
        "suites": made.suites,
        "judge": asdict(made.judge) if made.judge else None,
        "training": evidence.training or None,
        "runtime": made.runtime,
        "sampling": made.sampling,
        "versions": made.versions | {"gate": made.gate, "python": made.python},
        "hardware": asdict(made.hardware),
        "commands": [shlex.join(made.command), shlex.join(promoting)],
    }


def _metric(test: ShownTest) -> Json:
    contract, finding = test.contract, test.finding
    return {
        "test": finding.test,
        "cases": contract.cases,
        "cases_sha256": contract.digest,
        "hits": finding.hits,
        "total": finding.total,
        "lower_bound": round(finding.lower, 6),
        "alpha": contract.alpha,
        "floor": contract.floor,
        "bound": contract.bound,
        "repeats": contract.repeats,
        "held_out": test.held_out,
        "attempt": contract.attempt,
        "regressions": None if finding.p is None else finding.lost,
        "fixes": None if finding.p is None else finding.won,
        "median_seconds": round(finding.median, 3),
        "p95_seconds": round(finding.p95, 3),
        "outcome": str(finding.outcome),
    }


def _statement(evidence: Evidence, texts: Mapping[str, str]) -> Json:
    told = evidence.shown
    suites = {f"suites/{name}": digest for name, digest in told.made.suites.items()}
    cases = [
        {
            "name": f"cases/{test.contract.cases}",
            "uri": f"fixtures/cases/{test.contract.cases}",
            "annotations": {
                "cases_sha256": test.contract.digest,
                "cases": test.cases,
                "attempt": test.contract.attempt,
            },
        }
        for test in told.tests
    ]
    passed = [test.finding.test for test in told.tests if test.finding.outcome is Outcome.PASS]
    return {
        "_type": STATEMENT_TYPE,
        "subject": [_resource(name, digest) for name, digest in sorted(evidence.files.items())],
        "predicateType": PREDICATE_TYPE,
        "predicate": {
            "result": "FAILED" if evidence.facts["refused"] else "PASSED",
            "configuration": [_resource(name, digest) for name, digest in (*texts.items(), *suites.items())] + cases,
            "passedTests": passed,
            "warnedTests": [],
            "failedTests": [test.finding.test for test in told.tests if test.finding.test not in passed],
        },
    }


def _resource(name: str, digest: str) -> Json:
    return {"name": name, "digest": {"sha256": digest}}


def _card(evidence: Evidence) -> str:
    """A model card whose results the hub shows as a table (model-index)."""
    from huggingface_hub import EvalResult, ModelCardData

    told = evidence.shown
    results = [
        EvalResult(
            task_type="text-generation",
            dataset_type=test.contract.cases,
            dataset_name=test.finding.test,
            metric_type="pass_rate",
            metric_name=f"cases with every answer right ({test.finding.hits} of {test.finding.total})",
            metric_value=round(test.finding.hits / test.finding.total, 6) if test.finding.total else 0.0,
        )
        for test in told.tests
    ]
    data = ModelCardData(model_name=told.checkpoint.name, tags=["pytest-gate"], eval_results=results)
    return f"---\n{data.to_yaml()}\n---\n\n{_words(evidence, told)}\n"


def _words(evidence: Evidence, told: Shown) -> str:
    made, facts = told.made, evidence.facts
    rows = [cells(test) for test in told.tests]
    data = ", ".join(f"{code(name)} {code(str(digest))}" for name, digest in evidence.training.items())
    parts = [
        f"# {code(told.checkpoint.name)}",
        f"Graded by pytest-gate {made.gate} on {code(made.started)}: **{told.outcome}**."
        + (f" **Promoted by force: {code(facts['force'])}**" if facts["force"] else "")
        + (f" The bar was lowered: {code(facts['lower_bar'])}" if facts["lower_bar"] else ""),
        table(list(COLUMNS), [[code(row["test"]), *[row[column] for column in COLUMNS[1:]]] for row in rows]),
        "Hits: cases of which every answer was right. At least: one-sided Clopper-Pearson lower bound at 95 %; where "
        "cases are held out, the 5 % are divided by the number of checkpoints that were asked them.",
        f"Runtime {code(made.runtime)}, sampling {code(json.dumps(made.sampling))}, on "
        f"{code(json.dumps(asdict(made.hardware)))}.",
        f"sha256 of the checkpoint: {code(told.checkpoint.digest)}. Trained with: {data or 'not known to the gate'}.",
        f"To grade it again: {code(shlex.join(made.command), 1000)}. To check these files: `gate verify PATH`.",
        "What it does not show: anything that the cases do not ask. A rate is that of these cases, on this runtime.",
    ]
    return "\n\n".join(parts)


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, indent=1, sort_keys=True) + "\n"


def _digest(text: str) -> str:
    return sha256(text.encode()).hexdigest()
