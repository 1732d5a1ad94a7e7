"""Is an answer whose margin is above the bound unaffected by batching? Thousands of requests, asked both ways.

    python -m benchmarks.batch_invariance smollm2 [--requests 2000] [--at-once 8]
    python -m benchmarks.batch_invariance model.gguf

The requests are distinct short questions, some of them with tools. Each is asked in a batch, and later one at a time,
as a run verifies. Prints how many answers differ, their margins in the batch, the bound that follows from the probe's
drift (gate.models.batch_invariance), how many answers are above it, and how many of those differ: it must be none. The
seconds of both modes show what batching gains.
"""

from __future__ import annotations

import argparse
import itertools
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from tabulate import tabulate

from gate.cases import loader
from gate.checkpoints import checkpoint
from gate.models import batch_invariance, determinism
from gate.models.client import Client
from gate.models.serving.start import served
from gate.stats import quantile
from gate.system import parallel
from gate.types import Question, Reply

THINGS = (
    "the moon", "a bicycle", "bread", "the river Rhine", "a violin", "snow", "the number seven", "a lighthouse", "tea",
    "a mirror", "an octopus", "chess", "the colour blue", "a library", "thunder", "salt", "a bridge", "gravity",
    "a compass", "the sea", "an orchard", "a clock", "silk", "a volcano", "honey", "a candle", "winter", "a kite",
    "an island", "copper", "a letter", "the wind", "a map", "a horse", "glass", "a garden", "the desert", "a drum",
    "ink", "a mountain",
)  # fmt: skip
QUESTIONS = (
    "What is {}?", "Say one sentence about {}.", "Why do people like {}?", "Describe {} to a child.",
    "Where does one find {}?", "Name three words that go with {}.", "What is {} made of?", "Is {} old or new?",
    "Write a title for a story about {}.", "Who would draw {}?", "What comes to mind first with {}?",
    "Compare {} with a stone.", "What is the opposite of {}?", "How would you measure {}?", "Ask me about {}.",
    "Translate '{}' into French.", "Is {} heavy?", "What sound does {} make?", "What does {} cost?",
    "When was {} first written about?", "Give a riddle about {}.", "What could {} mean in a dream?",
    "How does one say {} politely?", "Which colour is {}?", "What is {} for?", "Can one eat {}?",
    "Write the first line of a poem about {}.", "Is {} dangerous?", "What is bigger than {}?", "Where is {} now?",
    "List two facts about {}.", "What would happen without {}?", "Spell {} backwards.", "Is {} alive?",
    "Who invented {}?", "How many letters has {}?", "What rhymes with {}?", "Explain {} in five words.",
    "Should I buy {}?", "Tell me a secret about {}.", "What is like {}?", "How long does {} last?",
    "What is the best thing about {}?", "What is the worst thing about {}?", "Does {} move?", "Use {} in a sentence.",
    "How would a poet name {}?", "What do birds think of {}?", "Can {} break?", "Where do I keep {}?",
)  # fmt: skip
TOOLED = 4
"""Every TOOLED-th request has tools, some 1,100 tokens: only such prompts drift on every machine."""
TOKENS = 24


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", help="smollm2, an MLX folder or adapter, a .gguf file")
    parser.add_argument("--requests", type=int, default=2000, help="at most 2000 (default %(default)s)")
    parser.add_argument("--at-once", type=int, default=8, help="requests in flight at once (default %(default)s)")
    parser.add_argument("--fixtures", type=Path, default=Path("fixtures"))
    args = parser.parse_args()
    questions = list(itertools.islice(_questions(args.fixtures), args.requests))
    model = checkpoint.identify(args.model)
    with served(model, lambda _: None, context=8192, parallel=args.at_once) as server:
        probed = determinism.probe(server, timeout=300)
        with Client(server, timeout=600) as client:
            batched, fast = _timed(client, questions, "batched", args.at_once)
            sequential, slow = _timed(client, questions, "", 1)
    _print_table(batched, sequential, batch_invariance.bound(probed), probed.drift)
    print(f"{args.at_once} at once {fast:.1f} s, one at a time {slow:.1f} s: ratio {slow / fast:.2f}")


def _questions(fixtures: Path) -> Iterator[Question]:
    tools = loader.tools("hermes", fixtures)
    for number, (question, thing) in enumerate(itertools.product(QUESTIONS, THINGS)):
        messages = [{"role": "user", "content": question.format(thing)}]
        yield Question(messages, tools if number % TOOLED == 0 else [], TOKENS)


def _timed(client: Client, questions: list[Question], how: str, at_once: int) -> tuple[list[Reply], float]:
    begun = time.perf_counter()
    replies = parallel.map(
        partial(_ask, client, how), questions, at_once=at_once, tell=partial(_say, how or "sequential", len(questions))
    )
    return replies, time.perf_counter() - begun


def _ask(client: Client, how: str, each: Question) -> Reply:
    return client.chat(each.messages, tools=each.tools, max_tokens=each.max_tokens, mode=how)


def _say(how: str, count: int, done: int) -> None:
    if done % 100 == 0:
        print(f"{how} {done}/{count}", flush=True)


def _print_table(batched: list[Reply], sequential: list[Reply], bound: float | None, drift: float | None) -> None:
    pairs = list(zip(batched, sequential, strict=True))
    margins = [each.margin for each in batched if each.margin is not None]
    changed = sorted(
        a.margin for a, b in pairs if a.margin is not None and batch_invariance.output(a) != batch_invariance.output(b)
    )
    moved = [abs(a.margin - b.margin) for a, b in pairs if a.margin is not None and b.margin is not None]
    same = [
        m for m, (a, b) in zip(moved, pairs, strict=False) if batch_invariance.output(a) == batch_invariance.output(b)
    ]
    above = [each for each in margins if bound is not None and each > bound]
    rows = [
        ("requests, with a margin", f"{len(pairs)}, {len(margins)}"),
        ("answers that differ one at a time", f"{len(changed)} ({100 * len(changed) / len(pairs):.2f} %)"),
        ("largest margin of an answer that differs, nats", f"{max(changed, default=0):.4f}"),
        ("drift of the margin under the same text: median, 99 %, most", _quantiles(same)),
        ("the probe's drift, and the bound", f"{drift}, {bound}"),
        ("answers above the bound", f"{len(above)} ({100 * len(above) / len(pairs):.1f} %)"),
        ("of these differ", str(sum(each > (bound or 0) for each in changed))),
        ("margins of all: 5 %, 25 %, median", ", ".join(f"{quantile(margins, q):.3f}" for q in (0.05, 0.25, 0.5))),
    ]
    print(tabulate(rows, tablefmt="github", disable_numparse=True))


def _quantiles(values: list[float]) -> str:
    return ", ".join(f"{quantile(values, q):.4f}" for q in (0.5, 0.99, 1.0))


if __name__ == "__main__":
    main()
