"""Compares two hops prompt by prompt: where their answers first differ, with which margin, and in what way.

An answer is compared over its first TOKENS tokens. Two answers have the same context at every step up to and including
their first difference, so only at these steps are their probabilities comparable.
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
"""The margin, in nats, up to which different arithmetic alone may change a token.

The same weights in MLX and in llama.cpp (which rounds activations to 8 bits) change answers at up to 0.32 nats, 8-bit
weights at up to 0.24 (gate/parity/verdict.py has the table); logits in bfloat16 near 20 are 0.125 apart. A change at a
larger margin means that weights, prompt or tokens differ: stable answers have margins of 1 to 15.
"""
REST = 1e-6
"""The least probability: below it one minus a sum of probabilities is 0 in float32."""


class Difference(StrEnum):
    """How two answers to one prompt differ."""

    SAME = "same"
    FRAGILE = "fragile"
    """They differ first where the margin of the first is below the bound."""
    FAULT = "fault"
    """They differ first where the margin of the first is at least the bound, or is unknown."""
    CONSTRAINED = "constrained"
    """Both models preferred the same token, and one server's grammar forbade it: such as a tool that is not offered."""
    RAN_ON = "ran on"
    """The second goes on after the token that ended the first."""
    STOPPED_EARLY = "stopped early"
    """The second ends where the first goes on."""
    OTHER_CALLS = "other calls"
    """The tokens are the same, but the second server parsed other calls from them."""


@dataclass(frozen=True, slots=True)
class Pair:
    """The answers of two hops to one prompt, compared."""

    first: Answer
    second: Answer
    difference: Difference
    equal: int
    """Leading tokens that are equal."""
    length: int
    """Tokens that are compared: those of the longer answer, TOKENS at most."""
    margin: float | None
    """At the first difference, by how many nats the first preferred its token to the second's; None if unknown."""
    divergences: tuple[float, ...]
    """KL of each step with the same context, in nats."""

    @property
    def longer(self) -> int:
        """Tokens by which the second's prompt is longer; 0 where a server does not report the count."""
        counts = self.first.prompt_tokens, self.second.prompt_tokens
        return 0 if counts[0] is None or counts[1] is None else counts[1] - counts[0]


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two hops compared on all prompts."""

    first: str
    second: str
    pairs: tuple[Pair, ...]

    @property
    def counts(self) -> Counter[Difference]:
        return Counter(pair.difference for pair in self.pairs)

    @property
    def agreement(self) -> float:
        """Mean share of leading tokens that are equal, from 0 to 1."""
        return sum(pair.equal / pair.length if pair.length else 1.0 for pair in self.pairs) / len(self.pairs)

    @property
    def divergence(self) -> float | None:
        """Mean KL of all steps in nats; None where a server returns no log-probabilities."""
        values = [value for pair in self.pairs for value in pair.divergences]
        return sum(values) / len(values) if values else None


def compare(first: Hop, second: Hop, *, bound: float = BOUND) -> Comparison:
    """Compare two hops that were asked the same prompts. `bound`: the least margin of a fault, in nats."""
    pairs = [pair(a, b, bound=bound) for a, b in zip(first.answers, second.answers, strict=True)]
    return Comparison(first.name, second.name, tuple(pairs))


def pair(first: Answer, second: Answer, *, bound: float = BOUND) -> Pair:
    """Compare two answers to the same prompt."""
    ours, theirs = _steps(first, second)
    equal = _equal_tokens(ours, theirs)
    margin = _margin(ours[equal], theirs[equal]) if equal < min(len(ours), len(theirs)) else None
    length = min(max(len(ours), len(theirs)), TOKENS)
    same_context = zip(ours[: min(equal + 1, length)], theirs, strict=False)
    return Pair(
        first=first,
        second=second,
        difference=Difference.CONSTRAINED
        if first.tools and _forbidden(ours, theirs, equal)
        else _difference(first, second, equal=equal, lengths=(len(ours), len(theirs)), margin=margin, bound=bound),
        equal=min(equal, length),
        length=length,
        margin=margin,
        divergences=tuple(kl(a.top, b.top) for a, b in same_context if a.top and b.top),
    )


def kl(ours: Sequence[Token], theirs: Sequence[Token]) -> float:
    """A lower bound of KL(ours || theirs) in nats, from the most likely tokens that each server lists for one step.

    Tokens that both list count with their probabilities. A token that only ours lists has in theirs at most the
    probability of theirs' last token, and counts with that if ours gives it more. All other tokens are one bucket on
    each side. Merging outcomes (data-processing inequality) and overestimating theirs can only lower a divergence.
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
    """The tokens of both answers; the words of both where one of them has no tokens."""
    if first.steps and second.steps:
        return first.steps, second.steps
    return _words(first.text), _words(second.text)


def _words(text: str) -> list[Step]:
    return [Step(Token(None, word, 0.0), ()) for word in text.split()]


def _equal_tokens(ours: Sequence[Step], theirs: Sequence[Step]) -> int:
    """How many leading tokens are equal."""
    by_id = _numbered(step.token for step in (*ours, *theirs))
    pairs = list(zip(ours, theirs, strict=False))
    differing = (i for i, (a, b) in enumerate(pairs) if _key(a.token, by_id) != _key(b.token, by_id))
    return next(differing, len(pairs))


def _forbidden(ours: Sequence[Step], theirs: Sequence[Step], at: int) -> bool:
    """At the first difference, is one side's best token the one that the other generated, but not its own?

    llama-server reports log-probabilities from before the grammar, and samples after it (tools/server,
    populate_token_probs): the name of a tool that is not offered can be the best token without being generated.
    """
    if at >= min(len(ours), len(theirs), TOKENS):
        return False
    pair = ours[at], theirs[at]
    by_id = _numbered(token for step in pair for token in (step.token, *step.top))
    generated = [_key(step.token, by_id) for step in pair]
    best = [_key(step.top[0], by_id) if step.top else None for step in pair]
    return generated[0] != generated[1] and (best[1] == generated[0] or best[0] == generated[1])


def _margin(ours: Step, theirs: Step) -> float | None:
    """By how many nats ours prefers its token to theirs; a lower bound where ours does not list theirs."""
    by_id = _numbered((theirs.token, *ours.top))
    logprobs = {_key(token, by_id): token.logprob for token in ours.top}
    if len(logprobs) < 2:
        return None
    return ours.token.logprob - logprobs.get(_key(theirs.token, by_id), min(logprobs.values()))


def _difference(
    first: Answer, second: Answer, *, equal: int, lengths: tuple[int, int], margin: float | None, bound: float
) -> Difference:
    if equal < min(lengths):
        fragile = margin is not None and margin < bound
        return Difference.SAME if equal >= TOKENS else Difference.FRAGILE if fragile else Difference.FAULT
    ended = first.finish in ENDINGS, second.finish in ENDINGS
    if lengths[0] == lengths[1] or (all(ended) and _last_token_unlisted(first, second, lengths)):
        return Difference.OTHER_CALLS if all(ended) and first.calls != second.calls else Difference.SAME
    if lengths[0] < lengths[1]:
        return Difference.RAN_ON if ended[0] else Difference.SAME
    return Difference.STOPPED_EARLY


def _last_token_unlisted(first: Answer, second: Answer, lengths: tuple[int, int]) -> bool:
    """Do the answers differ only in that one server does not list the token that ended its answer?"""
    return abs(lengths[0] - lengths[1]) == 1 and first.text.strip() == second.text.strip()


def _numbered(tokens: Iterable[Token]) -> bool:
    """Do all tokens have a number? Then they are compared by number, else by text."""
    return all(token.id is not None for token in tokens)


def _key(token: Token, by_id: bool) -> int | str:
    return token.id if by_id and token.id is not None else token.text
