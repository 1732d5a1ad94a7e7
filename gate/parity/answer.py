"""What one hop answered, token by token; read from the body of a chat completion, whichever server sent it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from gate.models import reply as replies
from gate.types import Json

MARKS = str.maketrans({"Ġ": " ", "Ċ": "\n", "▁": " "})
"""mlx_lm.server gives tokens as the vocabulary writes them: Ġthe; others as text: " the"."""


@dataclass(frozen=True, slots=True)
class Token:
    """A token and its log-probability in nats."""

    id: int | None
    """Its number in the vocabulary; None where the server gives none."""
    text: str
    logprob: float


@dataclass(frozen=True, slots=True)
class Step:
    """One place of an answer: the token that stands there, and the most likely ones, best first."""

    token: Token
    top: tuple[Token, ...]
    """Empty where the server gives no log-probabilities."""


@dataclass(frozen=True, slots=True)
class Answer:
    """One prompt, answered greedily."""

    prompt: str
    """The prompt's id."""
    tools: bool
    """Were tools offered?"""
    steps: tuple[Step, ...]
    """Every token with the one that ended the answer; empty where the server gives no log-probabilities."""
    text: str
    """Everything that was said and called, for a person and for servers that give no tokens."""
    calls: tuple[Json, ...]
    finish: str
    prompt_tokens: int | None
    """Tokens of the rendered prompt as the server counts them; None where it does not say."""


@dataclass(frozen=True, slots=True)
class Hop:
    """One form of the model, and all its answers."""

    name: str
    kind: str
    where: str
    bytes: int | None
    """Size of its files, an adapter's base among them; None for a URL."""
    seconds: float
    answers: tuple[Answer, ...]


def steps(body: str, *, best: bool) -> tuple[Step, ...]:
    """The steps of a chat completion with log-probabilities; () when one of them cannot be read.

    `best`: the best token stands for the one that the server names as generated, which may be any of the best
    (Runtime.any_of_best): at temperature 0 that is the same.
    """
    found = [_step(given, best=best) for given in _content(replies.loads(body))]
    read = tuple(step for step in found if step is not None)
    return read if len(read) == len(found) else ()


def _content(body: Any) -> list[Any]:
    """choices[0].logprobs.content, or [] where a body has none."""
    choices = body.get("choices") if isinstance(body, dict) else None
    choice = choices[0] if isinstance(choices, list) and choices and isinstance(choices[0], dict) else {}
    logprobs = choice.get("logprobs")
    content = logprobs.get("content") if isinstance(logprobs, dict) else None
    return content if isinstance(content, list) else []


def _step(given: Any, *, best: bool) -> Step | None:
    own = _token(given)
    listed = given.get("top_logprobs") if isinstance(given, dict) else None
    tokens = [token for each in (listed if isinstance(listed, list) else []) if (token := _token(each))]
    top = tuple(sorted(tokens, key=lambda token: (-token.logprob, token.id or 0)))
    if best:
        return Step(top[0], top) if top else None
    return Step(own, top) if own else None


def _token(given: Any) -> Token | None:
    """A token as a server gives it; a log-probability of minus infinity comes as a very low number or as null."""
    if not isinstance(given, dict) or not isinstance(given.get("token"), str):
        return None
    number, value = given.get("id"), given.get("logprob")
    if not isinstance(value, (int, float)) or value > 0.01:
        return None
    return Token(number if isinstance(number, int) else None, given["token"].translate(MARKS), float(min(value, 0.0)))
