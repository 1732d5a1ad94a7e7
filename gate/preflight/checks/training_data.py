"""P18: training rows as mlx-lm trains them, with the model's own template and tokenizer.

Source: mlx_lm/tuner/datasets.py and trainer.py (0.32.2). What needs no model is looked at here, in one pass over the
files; what needs one is asked of one child process (gate/checkpoints/probes/rows.py) for all rows. Neither is done
twice.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache, partial
from pathlib import Path
from typing import NamedTuple

from gate.cases import training_rows as rows
from gate.preflight import row_shape
from gate.preflight.artifact import Artifact, NotApplicable, NotPossible
from gate.preflight.checks import safety
from gate.preflight.rule import rule
from gate.system import platform, sandbox
from gate.types import Json

SECONDS, MEMORY = 600.0, 4 * 2**30
LENGTH = 2048
"""mlx-lm's max_seq_length where nothing else is set (mlx_lm/lora.py, CONFIG_DEFAULTS)."""
SPOILED = {
    "double": "the arguments of a call come out as a JSON text in JSON",
    "python": "the arguments of a call, or parts of a content, come out as Python's own notation, which is not JSON",
}

Files = tuple[tuple[Path, int], ...]
"""Paths with the times of their last change: the key under which a result is kept."""
ours = partial(rule, "P18", "fail")


class Fact(NamedTuple):
    """What the child says of one row (gate.checkpoints.probes.rows.Reader.facts)."""

    where: str
    tokens: int
    prompt: int | None
    """Tokens before the answer; None for a row of text."""
    prefix: int
    stopped: int
    fault: str
    written: str
    mend: str


@dataclass(slots=True)
class Lint:
    """What one pass over the files found."""

    rows: int = 0
    found: defaultdict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    """Lines by the name of the check."""
    unsound: set[str] = field(default_factory=set)
    """Rows that are not asked of the child: nobody can say how they should render."""
    seen: dict[bytes, tuple[Path, str]] = field(default_factory=dict)
    """The file and the line in which each row stands first."""


@ours(remedy="write each row as one JSON object on one line, in UTF-8, without blank lines between them")
def rows_are_json(artifact: Artifact) -> Sequence[str]:
    """Every line of the training files is one strict JSON object, and there is a train.jsonl with at least one."""
    if artifact.train is None:
        raise NotApplicable("no --train was given")
    if artifact.train.is_dir() and not (artifact.train / "train.jsonl").is_file():
        return [f"{artifact.train}: holds no train.jsonl"]
    lint = _lint(_files(rows.files(artifact.train)))
    return rows.shown(lint.found["json"]) or ([] if lint.rows else [f"{artifact.train}: holds no row"])


@ours(remedy="write all rows of a file in one format; mlx-lm takes that of its first row for all")
def rows_have_one_format(artifact: Artifact) -> Sequence[str]:
    """Every row of a file has the format of the first: messages, prompt and completion, or text."""
    return rows.shown(_linted(artifact).found["format"])


@ours(remedy="fix the rows; mlx-lm hands them to the template as they are")
def turns_are_sound(artifact: Artifact) -> Sequence[str]:
    """Every turn has a known role and says or calls something, and every tool's answer follows a call."""
    return rows.shown(_linted(artifact).found["shape"])


@ours(remedy="cut each row after an assistant turn; of another last turn the model learns to speak for the user")
def rows_end_in_an_answer(artifact: Artifact) -> Sequence[str]:
    """Every training row ends in an assistant turn."""
    return rows.shown(_linted(artifact).found["last"])


@ours(remedy="offer the tool in the row's `tools`, or fix the call")
def calls_are_valid(artifact: Artifact) -> Sequence[str]:
    """Every tool call names a tool that its row offers, with arguments that are valid by its schema."""
    return rows.shown(_linted(artifact).found["call"])


@ours(remedy="take the row out of one of the two files; a validation loss over training rows tells nothing")
def splits_are_apart(artifact: Artifact) -> Sequence[str]:
    """No row stands in two of the files."""
    return rows.shown(_linted(artifact).found["split"])


@rule("P18", "warn", remedy="keep one of them, unless its weight is meant")
def rows_stand_once(artifact: Artifact) -> Sequence[str]:
    """No row stands twice in one file."""
    return rows.shown(_linted(artifact).found["twin"])


@ours(remedy="fix the rows until the template takes them")
def rows_render(artifact: Artifact) -> Sequence[str]:
    """Every row renders with the model's own chat template."""
    return _lines(artifact, lambda fact: fact.fault and f"does not render: {fact.fault}{_way(fact)}")


@ours(remedy="write arguments the way this template needs; trained as they are, they are served broken")
def arguments_are_encoded_once(artifact: Artifact) -> Sequence[str]:
    """The template writes the arguments of every call as a JSON object."""
    return _lines(artifact, lambda fact: SPOILED.get(fact.written) and f"{SPOILED[fact.written]}{_way(fact)}")


@ours(remedy="leave the BOS out of the text, or train on messages: the tokenizer adds one by itself")
def texts_begin_once(artifact: Artifact) -> Sequence[str]:
    """No row of text begins with two BOS tokens."""
    return _lines(artifact, lambda fact: fact.written == "begun twice" and "begins with two BOS tokens")


@ours(remedy="train on the template that is served; a template that rewrites earlier turns needs one row a turn")
def prompts_are_prefixes(artifact: Artifact) -> Sequence[str]:
    """The tokens of the prompt, as they are served, begin the whole row: --mask-prompt cuts by their count."""
    return _lines(artifact, lambda fact: not (fact.fault or fact.prefix or fact.prompt is None) and _unlike(fact))


@ours(remedy="shorten the prompts or raise max_seq_length; a batch without a trained token makes the loss NaN")
def answers_are_trained(artifact: Artifact) -> Sequence[str]:
    """Something of every answer is left after max_seq_length has cut the row."""
    length = _length(artifact)
    return _lines(
        artifact, lambda fact: 0 < length <= (fact.prompt or 0) and f"{_cut(fact, length)}: all of its answer"
    )


@ours(remedy="shorten or part the rows, or raise max_seq_length; the end is what is cut")
def rows_fit(artifact: Artifact) -> Sequence[str]:
    """No row is longer than max_seq_length, which cuts off the answer's end and its stop token."""
    length = _length(artifact)
    return _lines(artifact, lambda fact: fact.tokens > length and _cut(fact, length))


@ours(remedy="fix the template, which must end an assistant's turn with a token that generation stops at")
def rows_end_in_a_stop_token(artifact: Artifact) -> Sequence[str]:
    """Every row ends in a token at which generation stops, white space after it aside."""
    return _lines(artifact, lambda fact: not (fact.fault or fact.stopped) and "ends in no stop token")


def _lines(artifact: Artifact, fault: Callable[[Fact], object]) -> list[str]:
    """One line for each sound row of which `fault` says something."""
    unsound = _linted(artifact).unsound
    told = ((fact.where, fault(fact)) for fact in _facts(artifact) if fact.where not in unsound)
    return rows.shown([f"{where}: {line}" for where, line in told if line])


def _way(fact: Fact) -> str:
    return f"; written as {fact.mend}, they come out well" if fact.mend else ""


def _unlike(fact: Fact) -> str:
    return f"its prompt's {fact.prompt} tokens are not the first of its {fact.tokens}"


def _cut(fact: Fact, length: int) -> str:
    return f"{fact.tokens} tokens, {fact.prompt or 0} of them the prompt; what lies beyond {length} is cut off"


def _length(artifact: Artifact) -> int:
    """The max_seq_length of an adapter's training; mlx-lm's default for what is not an adapter."""
    told = artifact.adapter_config.get("max_seq_length") if artifact.checkpoint.adapter else None
    return told if isinstance(told, int) and told > 0 else LENGTH


def _linted(artifact: Artifact) -> Lint:
    if artifact.train is None:
        raise NotApplicable("no --train was given")
    lint = _lint(_files(rows.files(artifact.train)))
    if not lint.rows:
        raise NotPossible(f"no row could be read from {artifact.train}")
    return lint


def _files(paths: Sequence[Path]) -> Files:
    return tuple((path, path.stat().st_mtime_ns if path.is_file() else 0) for path in paths)


@lru_cache(maxsize=4)
def _lint(files: Files) -> Lint:
    lint = Lint()
    for path, _ in files:
        first: str | None = None
        for row in rows.read(path):
            if row.fault:
                lint.found["json"].append(f"{row.where}: {row.fault}")
                lint.unsound.add(row.where)
                continue
            format_ = rows.form(row.value)
            first = format_ if first is None else first
            lint.rows += 1
            for name, line in _judged(row, format_, first, lint):
                lint.found[name].append(f"{row.where}: {line}")
    return lint


def _judged(row: rows.Row, format_: str, first: str, lint: Lint) -> Iterator[tuple[str, str]]:
    """What is wrong with one row, by the name of the check; what cannot be looked at is unsound."""
    lint.unsound.add(row.where)
    if not format_ or format_ != first:
        wanted = f"the first row's is {first}" if first else "mlx-lm knows messages, prompt and completion, and text"
        yield "format", f"its format is {format_ or 'none'}; {wanted}"
        return
    if faults := row_shape.misshapen(row.value, format_):
        yield from (("shape", fault) for fault in faults)
        return
    lint.unsound.remove(row.where)
    if role := row_shape.unanswered(row.value, format_):
        yield "last", f"ends in a turn of {role}"
    yield from (("call", fault) for fault in row_shape.bad_calls(row.value, format_))
    digest = hashlib.blake2b(row_shape.canonical(row.value, format_).encode(), digest_size=16).digest()
    path, where = lint.seen.setdefault(digest, (row.path, row.where))
    if where != row.where:
        yield ("twin" if path == row.path else "split"), f"the same row as {where}"


def _facts(artifact: Artifact) -> tuple[Fact, ...]:
    """What the child says of every row. Raises NotPossible where there is no tokenizer, or the child gave up."""
    if artifact.train is None:
        raise NotApplicable("no --train was given")
    folder = _folder(artifact)
    told = _asked(_files(rows.files(artifact.train)), folder, _files(sorted(folder.glob("*.j*"))))
    if isinstance(told, sandbox.LimitError):
        raise NotPossible(f"the rows cannot be rendered and tokenized with {folder}: {told}") from told
    return told


def _folder(artifact: Artifact) -> Path:
    checkpoint = artifact.checkpoint
    folder = checkpoint.tokenizer or artifact.base
    if folder is None:
        raise NotPossible(
            f"a {checkpoint.kind} brings no tokenizer that mlx-lm can load: give its base with --base DIR"
        )
    safety.require(artifact, "its tokenizer")
    return folder


@lru_cache(maxsize=4)
def _asked(files: Files, folder: Path, _tokenizer: Files) -> tuple[Fact, ...] | sandbox.LimitError:
    """The child's facts, or why it gave none: that is kept, too, since the next check would wait as long for it."""
    environment = platform.model_environment(offline=True) | {"TOKENIZERS_PARALLELISM": "true"}
    request: Json = {"folder": str(folder), "files": [str(path) for path, _ in files]}
    try:
        told = sandbox.run(
            "gate.checkpoints.probes.rows", request, seconds=SECONDS, memory=MEMORY, environment=environment
        )
    except sandbox.LimitError as error:
        return error
    return tuple(Fact(f"{name}:{number}", *rest) for name, facts in told.items() for number, *rest in facts)
