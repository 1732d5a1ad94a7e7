"""Two hops compared, prompt by prompt: where their answers part, how sure the first one was there, and what it means.

An answer is compared over its first TOKENS tokens. Two hops share the context of every step up to and including the
one at which they part, so there, and only there, their probabilities may be compared.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from gate.models.reply import ENDINGS
from gate.parity.answer import Answer, Hop, Step, Token

TOKENS = 32
"""Tokens of an answer that are compared."""
BOUND = 0.5
"""Nats of margin that another arithmetic may turn over.

The same weights in MLX and in llama.cpp (which rounds activations to 8 bits) flip answers at up to 0.32 nats, 8-bit
weights at up to 0.24 (gate/parity/verdict.py has the table); logits in bfloat16 near 20 lie 0.125 apart. Above that
a flip means that weights, prompt or tokens differ: steady answers have margins of 1 to 15.
"""
REST = 1e-6
"""The least probability: float32 cannot tell one minus a sum of probabilities from nothing below it."""


class Parting(StrEnum):
    """How two answers to one prompt part."""

    SAME = "same"
    FRAGILE = "fragile"
    """They part where the first was not sure: its margin is below the bound."""
    FAULT = "fault"
    """They part where the first was sure, or where nothing tells how sure it was."""
    CONSTRAINED = "constrained"
    """The one preferred the other's token too, and its server did not let it: a grammar forbids tools not offered."""
    RAN_ON = "ran on"
    """The second goes on after the token that ended the first."""
    STOPPED_EARLY = "stopped early"
    """The second ends where the first goes on."""
    OTHER_CALLS = "other calls"
    """The tokens are the same, and the server read other calls from them."""


@dataclass(frozen=True, slots=True)
class Pair:
    """One prompt's answers by two hops."""

    first: Answer
    second: Answer
    parting: Parting
    equal: int
    """Leading tokens that are equal."""
    length: int
    """Tokens that are compared: those of the longer answer, TOKENS at most."""
    margin: float | None
    """Where they part: by how many nats the first preferred its token to the other's; None where nothing tells."""
    divergences: tuple[float, ...]
    """KL of each step that both took in the same context, in nats."""

    @property
    def longer(self) -> int:
        """Tokens by which the second's prompt is longer; 0 where a server does not count them."""
        counts = self.first.prompt_tokens, self.second.prompt_tokens
        return 0 if counts[0] is None or counts[1] is None else counts[1] - counts[0]


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two hops over all prompts."""

    first: str
    second: str
    pairs: tuple[Pair, ...]

    @property
    def counts(self) -> Counter[Parting]:
        return Counter(pair.parting for pair in self.pairs)

    @property
    def agreement(self) -> float:
        """Mean share of leading tokens that are equal, 0..1."""
        return sum(pair.equal / pair.length if pair.length else 1.0 for pair in self.pairs) / len(self.pairs)

    @property
    def divergence(self) -> float | None:
        """Mean KL of all steps in nats; None where a server gives no log-probabilities."""
        every = [value for pair in self.pairs for value in pair.divergences]
        return sum(every) / len(every) if every else None


def compare(first: Hop, second: Hop, *, bound: float = BOUND) -> Comparison:
    """Compare two hops that were asked the same prompts."""
    pairs = [pair(a, b, bound=bound) for a, b in zip(first.answers, second.answers, strict=True)]
    return Comparison(first.name, second.name, tuple(pairs))


def pair(first: Answer, second: Answer, *, bound: float = BOUND) -> Pair:
    """Compare two answers to the same prompt."""
    ours, theirs = _steps(first, second)
    parted = _parted(ours, theirs)
    margin = _margin(ours[parted], theirs[parted]) if parted < min(len(ours), len(theirs)) else None
    length = min(max(len(ours), len(theirs)), TOKENS)
    shared = zip(ours[: min(parted + 1, length)], theirs, strict=False)
    return Pair(
        first=first,
        second=second,
        parting=Parting.CONSTRAINED
        if first.tools and _forbidden(ours, theirs, parted)
        else _parting(first, second, parted=parted, lengths=(len(ours), len(theirs)), margin=margin, bound=bound),
        equal=min(parted, length),
        length=length,
        margin=margin,
        divergences=tuple(kl(a.top, b.top) for a, b in shared if a.top and b.top),
    )


def kl(ours: Sequence[Token], theirs: Sequence[Token]) -> float:
    """A lower bound of KL(ours || theirs) in nats, from the best tokens that each server gives of one step.

    Tokens that both list count as they are. One that only ours lists has at most the probability of the last that
    theirs lists, and counts with that if ours gives it more. Everything else is one bucket on each side. Merging
    outcomes (data-processing inequality) and giving theirs too much can only lower a divergence.
    """
    by_id = _numbered((*ours, *theirs))
    p = {_key(token, by_id): math.exp(token.logprob) for token in ours}
    q = {_key(token, by_id): max(REST, math.exp(token.logprob)) for token in theirs}
    last = min(q.values())
    at_most = {key: q.get(key, last) for key in p if key in q or p[key] > last}
    p_rest = max(REST, 1 - sum(p[key] for key in at_most))
    q_rest = max(REST, 1 - sum(value for key, value in q.items() if key in p))
    listed = sum(p[key] * math.log(p[key] / value) for key, value in at_most.items() if p[key] > 0)
    return max(0.0, listed + p_rest * math.log(p_rest / q_rest))


def _steps(first: Answer, second: Answer) -> tuple[Sequence[Step], Sequence[Step]]:
    """The tokens of both; the words of both where one of them gives no tokens."""
    if first.steps and second.steps:
        return first.steps, second.steps
    return _words(first.text), _words(second.text)


def _words(text: str) -> list[Step]:
    return [Step(Token(None, word, 0.0), ()) for word in text.split()]


def _parted(ours: Sequence[Step], theirs: Sequence[Step]) -> int:
    """How many leading tokens are equal."""
    by_id = _numbered(step.token for step in (*ours, *theirs))
    pairs = list(zip(ours, theirs, strict=False))
    differing = (i for i, (a, b) in enumerate(pairs) if _key(a.token, by_id) != _key(b.token, by_id))
    return next(differing, len(pairs))


def _forbidden(ours: Sequence[Step], theirs: Sequence[Step], parted: int) -> bool:
    """Was one of two tokens not the best of its own model, which was the other's?

    llama-server gives log-probabilities before the grammar and takes the token after it (tools/server,
    populate_token_probs): a tool that is not offered is then the best token and not the one taken.
    """
    if parted >= min(len(ours), len(theirs), TOKENS):
        return False
    pair = ours[parted], theirs[parted]
    by_id = _numbered(token for step in pair for token in (step.token, *step.top))
    taken = [_key(step.token, by_id) for step in pair]
    best = [_key(step.top[0], by_id) if step.top else None for step in pair]
    return (best[1] == taken[0] and best[1] != taken[1]) or (best[0] == taken[1] and best[0] != taken[0])


def _margin(ours: Step, theirs: Step) -> float | None:
    """What the first gave its own token over the other's, in nats; at least that, where the other is not listed."""
    by_id = _numbered((theirs.token, *ours.top))
    given = {_key(token, by_id): token.logprob for token in ours.top}
    if len(given) < 2:
        return None
    return ours.token.logprob - given.get(_key(theirs.token, by_id), min(given.values()))


def _parting(
    first: Answer, second: Answer, *, parted: int, lengths: tuple[int, int], margin: float | None, bound: float
) -> Parting:
    if parted < min(lengths):
        fragile = margin is not None and margin < bound
        return Parting.SAME if parted >= TOKENS else Parting.FRAGILE if fragile else Parting.FAULT
    ended = first.finish in ENDINGS, second.finish in ENDINGS
    if lengths[0] == lengths[1] or (all(ended) and _but_for_the_last(first, second, lengths)):
        return Parting.OTHER_CALLS if all(ended) and first.calls != second.calls else Parting.SAME
    if lengths[0] < lengths[1]:
        return Parting.RAN_ON if ended[0] else Parting.SAME
    return Parting.STOPPED_EARLY


def _but_for_the_last(first: Answer, second: Answer, lengths: tuple[int, int]) -> bool:
    """Some servers list the token that ended an answer and others do not: then the texts are equal all the same."""
    return abs(lengths[0] - lengths[1]) == 1 and first.text.strip() == second.text.strip()


def _numbered(tokens: Iterable[Token]) -> bool:
    """Do all tokens have a number? Then numbers are compared, else texts."""
    return all(token.id is not None for token in tokens)


def _key(token: Token, by_id: bool) -> int | str:
    return token.id if by_id and token.id is not None else token.text
