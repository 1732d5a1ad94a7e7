"""The verdict on each hop, a pure function of the hops' answers: has it fallen, that is, lost the first hop's model?

A hop is judged by its comparison with the first one. The comparison with the hop before it decides whether it fell here
or had fallen already. The limits come from SmolLM2-135M with a LoRA adapter, 24 prompts, MLX in float32 and llama.cpp
(4 bits damage a model this small more than a larger one):

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
from gate.parity.compare import BOUND, Comparison, Difference, Pair, compare

FAULTS = 1 / 3
"""Accepted share of answers that are faults."""
LARGE_MARGIN = 3.0
"""Nats: one token is 20 times as likely as the other. No quantisation that stands in the table changes such a token."""
LARGE_MARGINS = 1
"""Accepted number of faults with a margin of LARGE_MARGIN or more."""
LOST = 0.25
"""Mean KL in nats: above that of the coarsest quantisation in the table, and below that of a lost adapter."""


@dataclass(frozen=True, slots=True)
class Leg:
    """One hop after the first, with its comparisons and verdict."""

    hop: Hop
    with_first: Comparison
    with_before: Comparison
    fell: tuple[str, ...]
    """The reasons why it is not the first hop's model any more; empty when it stands."""
    fell_here: bool
    """False where it stands, and where it does not differ from the hop before it, which had fallen."""


def legs(hops: Sequence[Hop], *, bound: float = BOUND) -> tuple[Leg, ...]:
    """Every hop after the first, compared with the first and with the one before it."""
    compared: list[Leg] = []
    for before, hop in pairwise(hops):
        with_first, with_before = compare(hops[0], hop, bound=bound), compare(before, hop, bound=bound)
        why = reasons(with_first, bound=bound)
        inherited = bool(compared and compared[-1].fell) and not reasons(with_before, bound=bound)
        compared.append(Leg(hop, with_first, with_before, why, bool(why) and not inherited))
    return tuple(compared)


def reasons(comparison: Comparison, *, bound: float = BOUND) -> tuple[str, ...]:
    """Why the second hop is not the first one's model any more, the most specific reason first."""
    counts, total = comparison.counts, len(comparison.pairs)
    texts = [_prompts(comparison.pairs)]
    if count := counts[Difference.RAN_ON]:
        texts.append(f"{count} of {total} answers run on after the token that ended them: another stop token")
    if count := counts[Difference.STOPPED_EARLY]:
        texts.append(f"{count} of {total} answers end where the first goes on: another stop token")
    if count := counts[Difference.OTHER_CALLS]:
        texts.append(f"from the same tokens of {count} answers the server parses other calls: another tool parser")
    faults = [pair for pair in comparison.pairs if pair.difference is Difference.FAULT]
    large = sum(pair.margin is not None and pair.margin >= LARGE_MARGIN for pair in faults)
    if len(faults) > FAULTS * total or large > LARGE_MARGINS:
        texts.append(_faults(comparison, faults, large=large, bound=bound))
    return tuple(text for text in texts if text)


def summary(hops: Sequence[Hop], legs: Sequence[Leg]) -> str:
    """One line that names the hop that fell, the hop before it, and why; or says that none fell."""
    if not any(leg.fell for leg in legs):
        return f"no hop fell: {' = '.join(hop.name for hop in hops)}"
    parts = []
    for before, leg in zip(hops, legs, strict=False):
        if leg.fell_here:
            parts.append(f"fell between {before.name} and {leg.hop.name}: {'; '.join(leg.fell)}")
        elif leg.fell:
            parts.append(f"{leg.hop.name} is like {before.name}, which had fallen already")
    return " | ".join(parts)


def _prompts(pairs: Sequence[Pair]) -> str:
    """The reason in the lengths of the prompts; empty when these are equal."""
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


def _faults(comparison: Comparison, faults: Sequence[Pair], *, large: int, bound: float) -> str:
    total = len(comparison.pairs)
    differ = total - comparison.counts[Difference.SAME]
    margins = [f"{len(faults)} of them at a margin of {bound:g} nats or more"]
    if large:
        margins.append(f"{large} at {LARGE_MARGIN:g} or more")
    if unknown := sum(pair.margin is None for pair in faults):
        margins.append(f"{unknown} at an unknown margin")
    return f"{differ} of {total} answers differ, {', '.join(margins)}{_suspected_by(comparison.divergence)}"


def _suspected_by(divergence: float | None) -> str:
    """The likely cause by the mean KL; empty where the servers return no log-probabilities."""
    if divergence is None:
        return ""
    suspect = "the adapter was lost, or weights are wrong" if divergence >= LOST else "too coarse a quantisation"
    return f"; mean KL {divergence:.2g} nats: {suspect}?"
