"""Job summaries and annotations: model text can never become a command, a link, HTML or a mention."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import cmarkgfm
import pytest
from cmarkgfm.cmark import Options

from gate.cli.main import main
from gate.grading.verdict import decide
from gate.report import github
from gate.report.io import write
from gate.report.markdown import code
from gate.report.shown import Shown, shown
from gate.types import Outcome, Report, Result
from tests.reports import WHOLE

TAGS = {"h2", "h3", "p", "table", "thead", "tbody", "tr", "th", "td", "ul", "li", "code"}


def a_result(case: str, *, hit: bool) -> Result:
    return replace(WHOLE.results[0], case=case, hit=hit, why=() if hit else ("another word",))


def a_report(*results: Result) -> Report:
    ids = tuple(result.case for result in results) or ("a",)
    contract = replace(WHOLE.contracts[0], ids=ids, floor=1.0)
    return replace(WHOLE, contracts=(contract,), results=results, breaks=(), skips=())


def seen(report: Report) -> Shown:
    return shown(report, decide(report))


HOSTILE = [
    "[click](https://evil.example)",
    "![x](https://evil.example/x.png)",
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "`` ` ``<b>out</b>",
    "`<b>out</b>`",
    "https://evil.example www.evil.example me@evil.example",
    "@everyone #1 GH-1",
    "| a | b |\n| --- | --- |",
    "\n\n# heading\n\n- item",
    "\n::error::mine",
    "::set-output name=x::y",
    "##[add-mask]a",
    "text ##[command]rm",
    "\r::stop-commands::x",
    "\u2028::error::x",
    "%0A::error::x",
    "&lt;b&gt;&#60;b&#62;",
    "[ref]: https://evil.example",
    "$`x`$ $$x$$",
    "\\`<b>x</b>\\`",
    "\x1b]8;;https://evil.example\x07link\x1b]8;;\x07",
    "a" * 5000,
]


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_stays_text(text: str) -> None:
    missed = replace(a_result("x", hit=False), why=(text,), test=f"suites/t.py::test_{text[:30]}", stage=text[:20])
    told = seen(replace(a_report(missed), checkpoint=replace(WHOLE.checkpoint, name=text)))
    rendered = cmarkgfm.github_flavored_markdown_to_html(github.summary(told), options=Options.CMARK_OPT_UNSAFE)
    outside = re.sub(r"<code>.*?</code>", "", rendered, flags=re.DOTALL)
    assert set(re.findall(r"<(\w+)", rendered)) <= TAGS
    assert "evil" not in outside
    assert "@everyone" not in outside
    for line in github.alarms(told):
        assert line.startswith("::error title=gate ")
        assert "##[" not in line
        assert line.count("\n") == line.count("\r") == 0


def test_a_span_of_nothing_is_said() -> None:
    assert code(" ") == "(nothing)"


def test_there_are_at_most_ten_annotations_and_none_for_a_pass() -> None:
    report = a_report(*[a_result(f"c{number}", hit=False) for number in range(3)])
    told = replace(seen(report), gaps=tuple(f"gap {number}" for number in range(50)))
    assert len(github.alarms(told)) == 10
    assert github.alarms(told)[-1].endswith("more")
    assert github.alarms(replace(told, outcome=Outcome.PASS)) == []


def test_a_summary_is_under_the_limit() -> None:
    misses = [replace(a_result(f"c{number}", hit=False), why=("é" * 300,) * 50) for number in range(50)]
    told = replace(seen(a_report(*misses)), gaps=("日本" * 200,) * 5000, faults=("x" * 300,) * 5000)
    assert len(github.summary(told).encode()) < 2**20


def test_held_out_cases_are_a_number() -> None:
    report = a_report(replace(a_result("secret", hit=False), split="held-out"), a_result("open", hit=False))
    text = github.summary(seen(report))
    assert "secret" not in text
    assert "- 1 of held-out cases" in text
    assert "`open`" in text


def test_the_command_appends_to_the_step_summary(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write(tmp_path / "report.json", a_report(a_result("c", hit=False)))
    monkeypatch.delenv("GITHUB_STEP_SUMMARY", raising=False)
    assert main(["show", str(tmp_path), "--github"]) == 4
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path / "summary.md"))
    assert main(["show", str(tmp_path), "--github"]) == 1
    assert (tmp_path / "summary.md").read_text().startswith("## ")
    assert capsys.readouterr().out.startswith("::error title=gate ")
