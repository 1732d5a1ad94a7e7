"""What one hop answered, token by token; read from the body of a chat completion, whichever server sent it."""

from __future__ import annotations

from dataclasses import dataclass

from gate.errors import AskError
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
    try:
        served = replies.distributions(replies.first_choice(body))
    except AskError:
        return ()
    found = [_step(given, top, best=best) for given, top in served]
    read = tuple(step for step in found if step is not None)
    return read if len(read) == len(found) else ()


def _step(given: Json, listed: list[Json], *, best: bool) -> Step | None:
    tokens = (token for each in listed if (token := _token(each)))
    top = tuple(sorted(tokens, key=lambda token: (-token.logprob, token.id or 0)))
    own = top[0] if best and top else None if best else _token(given)
    return Step(own, top) if own else None


def _token(given: Json) -> Token | None:
    """A token as a server gives it; None where it has no text or no log-probability."""
    if not isinstance(given.get("token"), str) or not replies.has_logprob(given):
        return None
    number = given.get("id") if isinstance(given.get("id"), int) else None
    return Token(number, given["token"].translate(MARKS), float(min(given["logprob"], 0.0)))
