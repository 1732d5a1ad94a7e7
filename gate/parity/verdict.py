"""Did a hop fall, and why? Pure: from the hops' answers alone.

A hop is judged by its comparison with the first one; the comparison with the one before it tells whether it fell here
or had fallen already. The limits come from SmolLM2-135M with a LoRA adapter, 24 prompts, MLX in float32 and
llama.cpp, as shares of the answers (a model so small suffers more from 4 bits than any larger one):

    hop                                     same   fragile  faults  largest margin  mean KL   verdict
    fused                                  24/24         0       0               -   0.0000   stands
    GGUF F16                               24/24         0       0               -   0.0000   stands
    8 bit, MLX                             23/24         1       0            0.03   0.0004   stands
    GGUF Q8_0                              22/24         2       0            0.24   0.0012   stands
    GGUF Q4_1, the base: the same weights  10/24        14       0            0.32   0.0016   stands
    GGUF Q4_K_M                            15/24         3       6            1.68    0.023   stands
    GGUF Q4_0                              10/24         3      11            2.59    0.059   fell: coarse
    4 bit, MLX                              8/24         2      14            4.36    0.094   fell: coarse
    fused into a 4-bit base: erased         4/24         0      20           15.69     0.67   fell: lost
    the base without the adapter            3/24         1      20           14.78     0.99   fell: lost
    GGUF, queries and keys not permuted     0/24         1      23            9.48     0.86   fell: lost
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from gate.parity.answer import Hop
from gate.parity.compare import BOUND, Comparison, Pair, Parting, compare

FAULTS = 1 / 3
"""Accepted share of answers that part where the first hop was sure."""
CERTAIN = 3.0
"""Nats: one token was 20 times as likely as the other. No quantisation that stands above flips such a one."""
CERTAINTIES = 1
"""Accepted answers that part at CERTAIN nats or more."""
LOST = 0.25
"""Mean KL in nats between what the coarsest quantisation above does, and what a lost adapter does."""


@dataclass(frozen=True, slots=True)
class Leg:
    """One hop after the first, compared."""

    hop: Hop
    with_first: Comparison
    with_before: Comparison
    fell: tuple[str, ...]
    """Why it is not the first hop's model any more, a reason each; empty when it stands."""
    fell_here: bool
    """False where it stands, and where it only has what the hop before it had already lost."""


def legs(hops: Sequence[Hop], *, bound: float = BOUND) -> tuple[Leg, ...]:
    """Every hop after the first, compared with the first and with the one before it."""
    found: list[Leg] = []
    for before, hop in pairwise(hops):
        with_first, with_before = compare(hops[0], hop, bound=bound), compare(before, hop, bound=bound)
        why = reasons(with_first, bound=bound)
        inherited = bool(found and found[-1].fell) and not reasons(with_before, bound=bound)
        found.append(Leg(hop, with_first, with_before, why, bool(why) and not inherited))
    return tuple(found)


def reasons(comparison: Comparison, *, bound: float = BOUND) -> tuple[str, ...]:
    """Why the second hop is not the first one's model any more, the most telling reason first."""
    counts, total = comparison.counts, len(comparison.pairs)
    found = [_prompts(comparison.pairs)]
    if count := counts[Parting.RAN_ON]:
        found.append(f"{count} of {total} answers run on after the token that ended them: another stop token")
    if count := counts[Parting.STOPPED_EARLY]:
        found.append(f"{count} of {total} answers end where the first goes on: another stop token")
    if count := counts[Parting.OTHER_CALLS]:
        found.append(f"from the same tokens of {count} answers the server reads other calls: another tool parser")
    if counts[Parting.FAULT] > FAULTS * total or _certain(comparison) > CERTAINTIES:
        found.append(_faults(comparison, bound))
    return tuple(reason for reason in found if reason)


def line(hops: Sequence[Hop], legs: Sequence[Leg]) -> str:
    """One line: which hop fell, between which two, and why; or that none did."""
    if not any(leg.fell for leg in legs):
        return f"no hop fell: {' = '.join(hop.name for hop in hops)}"
    parts = []
    for before, leg in zip(hops, legs, strict=False):
        if leg.fell_here:
            parts.append(f"fell between {before.name} and {leg.hop.name}: {'; '.join(leg.fell)}")
        elif leg.fell:
            parts.append(f"{leg.hop.name} has what {before.name} had lost already")
    return " | ".join(parts)


def _prompts(pairs: Sequence[Pair]) -> str:
    """What the lengths of the prompts say; empty when they are equal."""
    longer = {pair.first.prompt: pair.longer for pair in pairs if pair.longer}
    if not longer:
        return ""
    lengths = set(longer.values())
    span = f"{min(lengths):+d}" if len(lengths) == 1 else f"{min(lengths):+d} to {max(lengths):+d}"
    return f"{len(longer)} of {len(pairs)} prompts have another length ({span} tokens): {_suspect(pairs, lengths)}"


def _suspect(pairs: Sequence[Pair], lengths: set[int]) -> str:
    everywhere = all(pair.longer for pair in pairs)
    if everywhere and lengths == {1}:
        return "a doubled BOS?"
    if everywhere and lengths == {-1}:
        return "a missing BOS?"
    if everywhere and len(lengths) == 1:
        return "another chat template, perhaps another default system text"
    if all(pair.first.tools for pair in pairs if pair.longer):
        return "the chat template renders tools in another way"
    return "another chat template or tokenizer"


def _certain(comparison: Comparison) -> int:
    """How many answers part where the first hop had no doubt."""
    return sum(pair.margin is not None and pair.margin >= CERTAIN for pair in _faulty(comparison))


def _faulty(comparison: Comparison) -> list[Pair]:
    return [pair for pair in comparison.pairs if pair.parting is Parting.FAULT]


def _faults(comparison: Comparison, bound: float) -> str:
    faulty, total = _faulty(comparison), len(comparison.pairs)
    differ = total - comparison.counts[Parting.SAME]
    told = [f"{len(faulty)} of them at a margin of {bound:g} nats or more"]
    if certain := _certain(comparison):
        told.append(f"{certain} at {CERTAIN:g} or more")
    if unknown := sum(pair.margin is None for pair in faulty):
        told.append(f"{unknown} at one that is not given")
    return f"{differ} of {total} answers differ, {', '.join(told)}{_depth(comparison.divergence)}"


def _depth(divergence: float | None) -> str:
    """What a mean KL speaks for; nothing where the servers give no log-probabilities."""
    if divergence is None:
        return ""
    suspect = "the adapter was lost, or weights are wrong" if divergence >= LOST else "too coarse a quantisation"
    return f"; mean KL {divergence:.2g} nats: {suspect}?"
