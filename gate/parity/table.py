"""The comparison of all hops, for a terminal and as JSON. Model text is data: no control character gets through."""

from __future__ import annotations

from collections.abc import Sequence

from tabulate import tabulate

from gate.parity.answer import Answer, Hop
from gate.parity.compare import TOKENS, Comparison, Pair, Parting
from gate.parity.verdict import Leg, line
from gate.system.text import clean, one_line
from gate.types import Json

SHOWN = 5
"""Differing answers that are shown of each hop, the gravest first."""
HEAD = ("hop", "size", "prompts", "same", "tokens", "KL", "fragile", "faults", "endings", "calls", "before", "outcome")
NOTE = """\
Compared with {first}, over the first {tokens} tokens of the answers to {total} prompts:
  prompts   by how many tokens the rendered prompts are longer or shorter
  same      answers that are equal
  tokens    leading tokens that are equal, mean share
  KL        nats, mean over the tokens with equal context; at least this (the servers give only their best tokens)
  fragile   answers that part at a margin below {bound:g} nats
  faults    answers that part at {bound:g} nats or more, or at a margin that is not given
  (answers that part because a server's grammar forbids a token are neither: "constrained")
  endings   answers that run on or stop early
  calls     answers of the same tokens that are read as other calls
  before    same and faults, against the hop before"""


def text(hops: Sequence[Hop], legs: Sequence[Leg], *, bound: float) -> str:
    """The table, what it means, the answers that part first, and the line that names the hop."""
    head = [clean(hops[0].name), _size(hops[0].bytes), *["-"] * (len(HEAD) - 3), "compared with"]
    rows = [head, *[_row(leg) for leg in legs]]
    table = tabulate(rows, HEAD, disable_numparse=True, colalign=("left", *["right"] * (len(HEAD) - 2), "left"))
    total = len(hops[0].answers)
    note = NOTE.format(first=clean(hops[0].name), tokens=TOKENS, total=total, bound=bound)
    parts = [table, note, *[_partings(leg) for leg in legs], clean(line(hops, legs))]
    return "\n\n".join(part for part in parts if part)


def as_json(hops: Sequence[Hop], legs: Sequence[Leg], *, bound: float) -> Json:
    """Everything that was compared, as plain JSON; log-probabilities and tokens are left out."""
    return {
        "prompts": len(hops[0].answers),
        "tokens": TOKENS,
        "bound": bound,
        "verdict": line(hops, legs),
        "hops": [_described(hops[0]), *[_described(leg.hop) | _compared(leg) for leg in legs]],
    }


def _row(leg: Leg) -> list[str]:
    with_first, counts, before = leg.with_first, leg.with_first.counts, leg.with_before.counts
    return [
        clean(leg.hop.name),
        _size(leg.hop.bytes),
        _lengths(with_first),
        f"{counts[Parting.SAME]}/{len(with_first.pairs)}",
        f"{100 * with_first.agreement:.1f} %",
        "not given" if with_first.divergence is None else f"{with_first.divergence:.4f}",
        str(counts[Parting.FRAGILE]),
        str(counts[Parting.FAULT]),
        str(counts[Parting.RAN_ON] + counts[Parting.STOPPED_EARLY]),
        str(counts[Parting.OTHER_CALLS]),
        f"{before[Parting.SAME]}, {before[Parting.FAULT]}",
        "FELL" if leg.fell_here else "had fallen" if leg.fell else "stands",
    ]


def _lengths(comparison: Comparison) -> str:
    if all(None in (pair.first.prompt_tokens, pair.second.prompt_tokens) for pair in comparison.pairs):
        return "not given"
    longer = sorted({pair.longer for pair in comparison.pairs})
    return "=" if longer == [0] else f"{longer[0]:+d}" if len(longer) == 1 else f"{longer[0]:+d}…{longer[-1]:+d}"


def _partings(leg: Leg) -> str:
    """The gravest differing answers against the first hop: faults by their margin, then the others."""
    differing = [pair for pair in leg.with_first.pairs if pair.parting is not Parting.SAME]
    gravest = sorted(differing, key=lambda pair: (pair.parting is Parting.FRAGILE, -(pair.margin or 1e9)))
    more = [f"  … and {len(gravest) - SHOWN} more (--json has all)"] if len(gravest) > SHOWN else []
    title = f"{leg.hop.name} differs from {leg.with_first.first}:"
    return "\n".join([clean(title), *[_parting(pair) for pair in gravest[:SHOWN]], *more]) if differing else ""


def _parting(pair: Pair) -> str:
    margin = "" if pair.margin is None else f", {pair.margin:.2f} nats"
    head = f"  {pair.first.prompt}: {pair.parting} at token {pair.equal + 1}{margin}"
    return "\n".join([clean(head), f"    {_said(pair.first, pair.equal)}", f"    {_said(pair.second, pair.equal)}"])


def _said(answer: Answer, parted: int) -> str:
    """An answer with a mark where it parts; its text where the tokens are not known."""
    tokens = [step.token.text for step in answer.steps]
    said = "".join([*tokens[:parted], " ▸", *tokens[parted:]]) if tokens else answer.text
    return clean(one_line(f"{said} [{answer.finish or 'no ending'}]", 130))


def _described(hop: Hop) -> Json:
    return {
        "name": hop.name,
        "kind": hop.kind,
        "where": hop.where,
        "bytes": hop.bytes,
        "seconds": round(hop.seconds, 1),
    }


def _compared(leg: Leg) -> Json:
    with_first, with_before = _numbers(leg.with_first), _numbers(leg.with_before)
    return {"fell": list(leg.fell), "fell_here": leg.fell_here, "with_first": with_first, "with_before": with_before}


def _numbers(comparison: Comparison) -> Json:
    differing = [pair for pair in comparison.pairs if pair.parting is not Parting.SAME or pair.longer]
    return {
        "compared_with": comparison.first,
        "agreement": comparison.agreement,
        "kl": comparison.divergence,
        "partings": {str(parting): count for parting, count in comparison.counts.items()},
        "differing": [_differing(pair) for pair in differing],
    }


def _differing(pair: Pair) -> Json:
    return {
        "prompt": pair.first.prompt,
        "parting": str(pair.parting),
        "equal_tokens": pair.equal,
        "margin": pair.margin,
        "prompt_tokens": [pair.first.prompt_tokens, pair.second.prompt_tokens],
        "finish": [pair.first.finish, pair.second.finish],
        "texts": [pair.first.text, pair.second.text],
    }


def _size(size: int | None) -> str:
    return "not given" if size is None else f"{size / 1e6:,.0f} MB"
