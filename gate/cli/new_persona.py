"""`gate new-persona NAME`: writes a rubric, its anchors, cases and a suite for a new persona, to fill in."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
from pathlib import Path
from typing import Any

from gate.errors import CaseError
from gate.judge.style_rules import NAME
from gate.system import disk
from gate.system.text import show

DESCRIPTION = """\
Write the files of a new persona suite. They are valid, and their texts say what to write instead of them. Nothing is
overwritten. Either all files are written, or none."""
EPILOG = "example:\n  gate new-persona harbourmaster"

RUBRIC = '''\
# How "{name}" speaks. Anchors in the same folder: {name}.jsonl. Cases: ../cases/persona/{name}.jsonl.
about = """
Say who speaks here, to whom and how, in one paragraph. The judge knows nothing else about this person. Quote two or \\
three things that this person really says, and name what this person never does. Then say what decides a score, \\
as questions that a stranger can answer with yes or no."""
bar = 0.6   # lowest accepted 95 % lower bound of the quadratic-weighted kappa between judge and anchors
votes = 3   # times the judge is asked for each answer, an odd number; the median counts

[[score]]
value = 0
means = "Say what the worst answers have in common: those that could be anybody's."
example = "Write an answer that has exactly the score 0."

[[score]]
value = 1
means = "Say what is half right: the matter without the manner, or the manner without the matter."
example = "Write an answer that has exactly the score 1."

[[score]]
value = 2
means = "Say what one slip is, so that two readers count the same slips."
example = "Write an answer that has exactly the score 2."

[[score]]
value = 3
means = "Say what cannot be distinguished from the person."
example = "Write an answer that has exactly the score 3."

[style]   # counted without a judge, the same each time
filler = ["happy to help", "as an ai"]   # phrases this person never says
hedges = ["it depends"]                  # words with which people avoid a decision; never this person
most_words = 60
lists = false                            # true: lists, headings, tables and bold marks are allowed
# opens = ["show", "patch"]              # the first word is one of these
# never_opens = ["please", "let"]        # no sentence begins with one of these
# questions = 1                          # question marks at most
# exclamations = 0                       # exclamation marks at most
'''
ASKED = "Write a message that is in none of the cases."
ANSWER = "Write an answer to it that a careful reader of the rubric gives the score {score}."
PROMPTS = (
    "Write the first of some ten messages that this person gets, as they come.",
    "Write the second message: one that asks to choose.",
    "Write the third message: one that asks nothing at all.",
)
SUITE = '''\
"""Say in one sentence how {name} speaks."""

from pathlib import Path

import pytest

from gate.judge.style_rules import faults, load

RULES = load("{name}", Path(__file__).parents[{up}] / {fixtures})


@pytest.mark.gate("persona/{name}.jsonl", floor=1.0, rubric="{name}", mean=2.0)
def test_sounds_like_the_person(model, case):
    assert model.ask(case).content == case.answer


@pytest.mark.gate("persona/{name}.jsonl", floor=0.8)
def test_keeps_the_style(model, case):
    assert faults(model.ask(case).content, RULES) == []
'''
NEXT = """
What to do next:
  1. {rubric}: say who speaks and what each score means; list what this person never says.
  2. {cases}: some ten messages. Never change what an id means; add a new one.
  3. {anchors}: at least 40 answers with the scores that a careful person gives them, at least 30 of them
     below the highest, to messages that are in no case. With fewer the judge refuses to run. Let short and long
     answers have every score, or the judge may learn to count words.
  4. {suite}: one sentence at its top; the mean and the rate to demand. Then:
     pytest --model PATH --judge MODEL {suite}"""


def add_parsers(commands: Any) -> None:
    """Add `new-persona` to the subparsers of the command `gate`."""
    parser = commands.add_parser(
        "new-persona",
        help="write a rubric, anchors, cases and a suite for a new persona, to fill in",
        description=DESCRIPTION,
        epilog=EPILOG,
    )
    parser.add_argument("name", metavar="NAME", help="small letters, digits and _, a letter first, 40 at most")
    for folder, holds in (("fixtures", "rubrics/ and cases/"), ("suites", "persona/")):
        parser.add_argument(
            f"--{folder}",
            metavar="DIR",
            type=Path,
            default=Path(folder),
            help=f"folder with {holds} (default %(default)s)",
        )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Write the files, and print what to do with them. Raises CaseError."""
    name, fixtures, suites = args.name, args.fixtures, args.suites
    if not NAME.fullmatch(name):
        raise CaseError(f"new-persona {show(name)}: a name has small letters, digits and _, a letter first, 40 at most")
    paths = {
        "rubric": fixtures / "rubrics" / f"{name}.toml",
        "anchors": fixtures / "rubrics" / f"{name}.jsonl",
        "cases": fixtures / "cases" / "persona" / f"{name}.jsonl",
        "suite": suites / "persona" / f"test_{name}.py",
    }
    existing = [path for path in paths.values() if os.path.lexists(path)]
    if existing := existing or sorted(suites.rglob(f"test_{name}.py")):
        raise CaseError(f"{existing[0]}: exists already, and nothing is overwritten: choose another name")
    texts = {"rubric": RUBRIC.format(name=name), "anchors": _anchors(name), "cases": _cases(name)}
    texts["suite"] = _suite(name, fixtures, suites)
    _write({paths[key]: text for key, text in texts.items()})
    print(*(f"created {path}" for path in paths.values()), NEXT.format(**paths), sep="\n")
    return 0


def _anchors(name: str) -> str:
    rows = [
        {"id": f"{name}-{score + 1:02d}", "asked": ASKED, "answer": ANSWER.format(score=score), "score": score}
        for score in range(4)
    ]
    return "".join(json.dumps(row) + "\n" for row in rows)


def _cases(name: str) -> str:
    rows = [
        {
            "id": f"{name}-{number:02d}",
            "messages": [{"role": "user", "content": prompt}],
            "expect": {"answer": {"regex": r"\S"}},
            "split": "dev",
            "tags": ["persona"],
            "source": "Say where this message comes from.",
            "max_tokens": 128,
        }
        for number, prompt in enumerate(PROMPTS, start=1)
    ]
    return "".join(json.dumps(row) + "\n" for row in rows)


def _suite(name: str, fixtures: Path, suites: Path) -> str:
    """The suite's text; it names its fixtures relative to its own file."""
    steps = os.path.relpath(fixtures.resolve(), (suites / "persona").resolve()).split(os.sep)
    up = steps.count("..")
    rest = "/".join(steps[up:]) or "."
    return SUITE.format(name=name, up=up, fixtures=json.dumps(rest))


def _write(files: dict[Path, str]) -> None:
    """Create all files, or none: what was created before a failure is removed again, folders too. Raises CaseError."""
    created: list[Path] = []
    try:
        for path, text in files.items():
            _make_folders(path.parent, created)
            disk.create(path, text.encode("utf-8"))
            created.append(path)
    except BaseException as error:
        for path in reversed(created):
            with contextlib.suppress(OSError):
                path.rmdir() if path.is_dir() else path.unlink()
        if isinstance(error, OSError):
            raise CaseError(f"nothing was written: {error}; name folders that can be written to") from error
        raise


def _make_folders(folder: Path, created: list[Path]) -> None:
    missing = [each for each in (folder, *folder.parents) if not each.exists()]
    for each in reversed(missing):
        each.mkdir()
        created.append(each)
