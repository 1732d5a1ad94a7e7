"""The answers of one hop token by token, parsed from the chat completions of any server."""

from __future__ import annotations

from dataclasses import dataclass

from gate.errors import AskError
from gate.models import reply as replies
from gate.types import Json

MARKS = str.maketrans({"Ġ": " ", "Ċ": "\n", "▁": " "})
"""mlx_lm.server returns tokens as in the vocabulary, "Ġthe"; other servers as text, " the"."""


@dataclass(frozen=True, slots=True)
class Token:
    """A token and its log-probability in nats."""

    id: int | None
    """Its number in the vocabulary; None where the server returns none."""
    text: str
    logprob: float


@dataclass(frozen=True, slots=True)
class Step:
    """One step of an answer: the generated token, and the most likely candidates, best first."""

    token: Token
    top: tuple[Token, ...]
    """Empty where the server returns no log-probabilities."""


@dataclass(frozen=True, slots=True)
class Answer:
    """The greedy answer to one prompt."""

    prompt: str
    """The prompt's id."""
    tools: bool
    """Were tools offered?"""
    steps: tuple[Step, ...]
    """One for each token, including the one that ended the answer; empty where the server returns none."""
    text: str
    """Reasoning, content and calls, for display and for servers that return no tokens."""
    calls: tuple[Json, ...]
    finish: str
    prompt_tokens: int | None
    """Tokens of the rendered prompt as counted by the server; None where it does not report them."""


@dataclass(frozen=True, slots=True)
class Hop:
    """One checkpoint of the export, and its answers to all prompts."""

    name: str
    kind: str
    where: str
    bytes: int | None
    """Size of its files, including an adapter's base; None for a URL."""
    seconds: float
    answers: tuple[Answer, ...]


def steps(body: str, *, best: bool) -> tuple[Step, ...]:
    """Parse the steps of a chat completion with log-probabilities; () when one of them cannot be parsed.

    `best`: take the most likely token for the generated one, as the server may report any other candidate
    (Runtime.any_of_best). At temperature 0 the two are the same.
    """
    try:
        served = replies.distributions(replies.first_choice(body))
    except AskError:
        return ()
    parsed = [_step(step, candidates, best=best) for step, candidates in served]
    readable = tuple(step for step in parsed if step is not None)
    return readable if len(readable) == len(parsed) else ()


def _step(served: Json, candidates: list[Json], *, best: bool) -> Step | None:
    tokens = (token for each in candidates if (token := _token(each)))
    top = tuple(sorted(tokens, key=lambda token: (-token.logprob, token.id or 0)))
    generated = next(iter(top), None) if best else _token(served)
    return Step(generated, top) if generated else None


def _token(served: Json) -> Token | None:
    """Parse a token; None where it has no text or no log-probability."""
    if not isinstance(served.get("token"), str) or not replies.has_logprob(served):
        return None
    number = served.get("id") if isinstance(served.get("id"), int) else None
    return Token(number, served["token"].translate(MARKS), float(min(served["logprob"], 0.0)))
