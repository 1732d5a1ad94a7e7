"""A test-driven evaluation and regression gate for small fine-tuned language models.

What a suite, a notebook or another tool may rely on is in `__all__`; each name is imported when it is first asked for.

    import gate

    report = gate.read(Path("runs/20260101-120000-adapter/report.json"))
    verdict = gate.decide(report, champion=gate.read(Path("runs/20251201-120000-adapter/report.json")))
    misses = [result.case for result in report.results if not result.hit]
"""

from importlib import import_module

TYPE_CHECKING = False  # importing typing takes longer than all of this
if TYPE_CHECKING:
    from gate.cases.loader import load as load_cases
    from gate.cases.loader import parse as parse_case
    from gate.checkpoints.checkpoint import digest, identify
    from gate.errors import AskError, CaseError, CheckpointError, FetchError, GateError, ReportError, ServeError
    from gate.grading.verdict import decide
    from gate.judge.style_rules import faults as style_faults
    from gate.judge.style_rules import load as load_style
    from gate.report.io import read, write
    from gate.types import Case, Check, Checkpoint, Contract, Finding, Outcome, Reply, Report, Result, Verdict

__version__ = "0.1.0"
__all__ = [
    "AskError",
    "Case",
    "CaseError",
    "Check",
    "Checkpoint",
    "CheckpointError",
    "Contract",
    "FetchError",
    "Finding",
    "GateError",
    "Outcome",
    "Reply",
    "Report",
    "ReportError",
    "Result",
    "ServeError",
    "Verdict",
    "decide",
    "digest",
    "identify",
    "load_cases",
    "load_style",
    "parse_case",
    "read",
    "style_faults",
    "write",
]
_FUNCTIONS = {
    "decide": "gate.grading.verdict:decide",
    "digest": "gate.checkpoints.checkpoint:digest",
    "identify": "gate.checkpoints.checkpoint:identify",
    "load_cases": "gate.cases.loader:load",
    "load_style": "gate.judge.style_rules:load",
    "parse_case": "gate.cases.loader:parse",
    "read": "gate.report.io:read",
    "style_faults": "gate.judge.style_rules:faults",
    "write": "gate.report.io:write",
}


if not TYPE_CHECKING:  # or every misspelt name would pass as one of ours

    def __getattr__(name: str) -> object:
        if name not in __all__:
            raise AttributeError(f"module 'gate' has no attribute {name!r}")
        classes = "gate.errors" if name.endswith("Error") else "gate.types"
        module, _, attribute = _FUNCTIONS.get(name, f"{classes}:{name}").partition(":")
        value = globals()[name] = getattr(import_module(module), attribute)  # asked for once
        return value


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
