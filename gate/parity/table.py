"""Renders the comparison of all hops for a terminal and as JSON. The terminal shows no control character of a model."""

from __future__ import annotations

from collections.abc import Sequence

from tabulate import tabulate

from gate.parity.answer import Answer, Hop
from gate.parity.compare import TOKENS, Comparison, Difference, Pair
from gate.parity.verdict import Leg, summary
from gate.system.text import clean, one_line
from gate.types import Json

SHOWN = 5
"""Most differing answers that are shown for each hop, the most severe first."""
HEAD = ("hop", "size", "prompts", "same", "tokens", "KL", "fragile", "faults", "endings", "calls", "before", "outcome")
NOTE = """\
Compared with {first}, over the first {tokens} tokens of the answers to {total} prompts:
  prompts   by how many tokens the rendered prompts are longer or shorter
  same      answers that are equal
  tokens    leading tokens that are equal, mean share
  KL        nats, mean over the tokens with equal context; a lower bound (the servers list only the most likely tokens)
  fragile   answers that first differ at a margin below {bound:g} nats
  faults    answers that first differ at {bound:g} nats or more, or at an unknown margin
  (answers that differ because a server's grammar forbids a token are neither: "constrained")
  endings   answers that run on or stop early
  calls     answers with the same tokens from which other calls are parsed
  before    same and faults, compared with the hop before"""


def text(hops: Sequence[Hop], legs: Sequence[Leg], *, bound: float) -> str:
    """The table, its legend, the most severe differences, and the line that names the hop that fell."""
    head = [clean(hops[0].name), _size(hops[0].bytes), *["-"] * (len(HEAD) - 3), "compared with"]
    rows = [head, *[_row(leg) for leg in legs]]
    table = tabulate(rows, HEAD, disable_numparse=True, colalign=("left", *["right"] * (len(HEAD) - 2), "left"))
    total = len(hops[0].answers)
    note = NOTE.format(first=clean(hops[0].name), tokens=TOKENS, total=total, bound=bound)
    parts = [table, note, *[_differences(leg) for leg in legs], clean(summary(hops, legs))]
    return "\n\n".join(part for part in parts if part)


def as_json(hops: Sequence[Hop], legs: Sequence[Leg], *, bound: float) -> Json:
    """The comparisons as JSON, without log-probabilities and tokens."""
    return {
        "prompts": len(hops[0].answers),
        "tokens": TOKENS,
        "bound": bound,
        "verdict": summary(hops, legs),
        "hops": [_described(hops[0]), *[_described(leg.hop) | _compared(leg) for leg in legs]],
    }


def _row(leg: Leg) -> list[str]:
    with_first, counts, before = leg.with_first, leg.with_first.counts, leg.with_before.counts
    return [
        clean(leg.hop.name),
        _size(leg.hop.bytes),
        _lengths(with_first),
        f"{counts[Difference.SAME]}/{len(with_first.pairs)}",
        f"{100 * with_first.agreement:.1f} %",
        "unknown" if with_first.divergence is None else f"{with_first.divergence:.4f}",
        str(counts[Difference.FRAGILE]),
        str(counts[Difference.FAULT]),
        str(counts[Difference.RAN_ON] + counts[Difference.STOPPED_EARLY]),
        str(counts[Difference.OTHER_CALLS]),
        f"{before[Difference.SAME]}, {before[Difference.FAULT]}",
        "FELL" if leg.fell_here else "had fallen" if leg.fell else "stands",
    ]


def _lengths(comparison: Comparison) -> str:
    if all(None in (pair.first.prompt_tokens, pair.second.prompt_tokens) for pair in comparison.pairs):
        return "unknown"
    longer = sorted({pair.longer for pair in comparison.pairs})
    return "=" if longer == [0] else f"{longer[0]:+d}" if len(longer) == 1 else f"{longer[0]:+d}…{longer[-1]:+d}"


def _differences(leg: Leg) -> str:
    """The most severe differences from the first hop: by margin, fragile ones last."""
    differing = [pair for pair in leg.with_first.pairs if pair.difference is not Difference.SAME]
    by_severity = sorted(differing, key=lambda pair: (pair.difference is Difference.FRAGILE, -(pair.margin or 1e9)))
    more = [f"  … and {len(by_severity) - SHOWN} more (--json has all)"] if len(by_severity) > SHOWN else []
    title = f"{leg.hop.name} differs from {leg.with_first.first}:"
    return "\n".join([clean(title), *[_difference(pair) for pair in by_severity[:SHOWN]], *more]) if differing else ""


def _difference(pair: Pair) -> str:
    margin = "" if pair.margin is None else f", {pair.margin:.2f} nats"
    head = f"  {pair.first.prompt}: {pair.difference} at token {pair.equal + 1}{margin}"
    return "\n".join([clean(head), f"    {_marked(pair.first, pair.equal)}", f"    {_marked(pair.second, pair.equal)}"])


def _marked(answer: Answer, at: int) -> str:
    """The answer with a mark before token `at`; the text without one where the tokens are unknown."""
    tokens = [step.token.text for step in answer.steps]
    marked = "".join([*tokens[:at], " ▸", *tokens[at:]]) if tokens else answer.text
    return clean(one_line(f"{marked} [{answer.finish or 'no ending'}]", 130))


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
    differing = [pair for pair in comparison.pairs if pair.difference is not Difference.SAME or pair.longer]
    return {
        "compared_with": comparison.first,
        "agreement": comparison.agreement,
        "kl": comparison.divergence,
        "differences": {str(difference): count for difference, count in comparison.counts.items()},
        "differing": [_differing(pair) for pair in differing],
    }


def _differing(pair: Pair) -> Json:
    return {
        "prompt": pair.first.prompt,
        "difference": str(pair.difference),
        "equal_tokens": pair.equal,
        "margin": pair.margin,
        "prompt_tokens": [pair.first.prompt_tokens, pair.second.prompt_tokens],
        "finish": [pair.first.finish, pair.second.finish],
        "texts": [pair.first.text, pair.second.text],
    }


def _size(size: int | None) -> str:
    return "unknown" if size is None else f"{size / 1e6:,.0f} MB"
