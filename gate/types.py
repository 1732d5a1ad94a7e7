"""The values that flow through a run. Frozen, without I/O; this module imports nothing of gate."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from fractions import Fraction
from pathlib import Path
from typing import Any

Json = dict[str, Any]
"""A JSON object as json.loads gives it. Tool calls are Json: {"name": str, "arguments": object or raw str}."""
Say = Callable[[str], None]
"""Tells a person what is going on; called again and again."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What is graded, and where it lies."""

    kind: str
    """adapter | mlx | gguf | url | scripted"""
    name: str
    """A short name for folders and tables."""
    path: Path | None = None
    """The folder or file; None for a URL."""
    base: Path | None = None
    """The model under an adapter."""
    url: str = ""
    served_name: str = ""
    """The model's name in requests to a URL."""


@dataclass(frozen=True, slots=True)
class Server:
    """How to ask a model that is being served. Plain values: it travels to the xdist workers."""

    url: str
    """The OpenAI-compatible root, ending in /v1."""
    model: str
    """The model's name in requests."""
    runtime: str
    """mlx_lm | llama.cpp | scripted | unknown"""
    sampling: Json
    """Every sampling parameter, sent in every request and written in the report."""
    told: Json
    """What the server says of itself: versions, build, template. Goes into the report."""
    key: str = field(default="", repr=False)
    at_once: int = 1
    """Requests that it decodes together."""
    together: Json | None = None
    """Sampling parameters of a request that may be served in a batch; None where they are the usual ones."""
    alone: Json = field(default_factory=dict)
    """What a request says beside them to be computed from nothing, without the cache of earlier ones."""


@dataclass(frozen=True, slots=True)
class Case:
    """One line of a case file, checked."""

    id: str
    messages: list[Json]
    tools: list[Json]
    """OpenAI tools, resolved; empty when none are offered."""
    expect: Json
    """As written in the file: plain JSON."""
    split: str
    """dev | held-out"""
    tags: tuple[str, ...]
    source: str
    max_tokens: int
    replaces: str
    """The id of the burned case whose place it takes (gate.registry.contaminated); empty for any other."""
    calls: Any
    """Equal to a reply's calls when they are what `expect.calls` asks for (gate.cases.expected.ExpectedCalls)."""
    answer: Any
    """Equal to a reply's content when it is what `expect.answer` asks for (gate.cases.expected.ExpectedAnswer)."""

    def __repr__(self) -> str:
        """Short, for pytest shows it; of a held-out one nothing."""
        return "<a held-out case>" if self.split == "held-out" else f"<case {self.id}>"


@dataclass(frozen=True, slots=True)
class Question:
    """What one request asked."""

    messages: list[Json]
    tools: list[Json]
    max_tokens: int


@dataclass(frozen=True, slots=True)
class Raw:
    """A question as the model itself sees and answers it: without the server's parser and without a grammar."""

    prompt: str = ""
    """The messages and tools as the checkpoint's own template renders them."""
    limit: int = 0
    """Tokens that the answer may have."""
    text: str = ""
    """What the model wrote, special tokens included, but for the one that ended it."""
    cut: bool = False
    """Did it end at the limit?"""
    tokens: int | None = None
    """Tokens of the prompt, as the server counts them."""
    problem: str = ""
    """Why the model could not be asked raw; empty when it was."""


Step = tuple[str, float]
"""A token of an answer, and by how many nats it, the best one, was above the second best."""


@dataclass(frozen=True, slots=True)
class Reply:
    """What came back from any server, in one shape."""

    content: str
    """The text for the user; empty when there was none."""
    reasoning: str
    calls: list[Json]
    """Tool calls as served; arguments are an object, or the raw string where they did not parse."""
    leaks: list[Json]
    """Tool calls that arrived as text in `content` (gate.models.tool_calls.find)."""
    finish: str
    """The server's finish reason; empty when it gave none."""
    fault: str
    """A failure of the model in words (empty, cut at max_tokens, a call the server could not parse), or empty."""
    usage: Json
    seconds: float
    status: int
    """HTTP status; 0 when the server closed the connection without an answer."""
    margin: float | None
    """Smallest gap in nats between the two best tokens over the answer; None where the server gives none."""
    raw: str
    """The body as received."""
    verified: bool = False
    """Was it asked again by itself, because the answer given in a batch was a miss or not sure
    (gate.models.batch_invariance)?"""
    cached: bool = False
    """Was it given in an earlier run (gate.models.reply_cache)?"""


@dataclass(frozen=True, slots=True)
class Contract:
    """What one marked test asks and demands."""

    test: str
    """Node id of the test function."""
    cases: str
    """The case file, as the marker names it."""
    digest: str
    """sha256 over the cases with their tools resolved."""
    ids: tuple[str, ...]
    """Every case of the file, in its order: each must have exactly one Result."""
    floor: float
    """Lowest accepted rate of hits, 0..1."""
    drop: int | None = None
    """Accepted regressions against the champion, as the marker gives it; None for the usual number."""
    bound: float | None = None
    """Lowest accepted one-sided 95 % lower bound of the rate; None where none is demanded."""
    must: bool = False
    """Any miss blocks."""
    smoke: bool = False
    """Too small to prove anything: a run of smoke tests alone is inconclusive."""
    repeats: int = 1
    """How often each case is asked; it is a hit when all of its answers are (pass^k, arXiv 2406.12045)."""
    digests: tuple[str, ...] = ()
    """Of each case, what it asks and expects; in the order of `ids`."""
    burned: tuple[str, ...] = ()
    """The ids of cases that training has learned from (gate.registry.contaminated): asked, and not counted."""
    replaced: tuple[str, ...] = ()
    """Those of them whose place a fresh case of the file has taken."""
    held_out: tuple[str, ...] = ()
    """Of each held-out case, what it asks: by this it is known again under another name."""
    floors: Json = field(default_factory=dict)
    """Lowest accepted rate of the cases that bear a tag, by tag."""
    tagged: Json = field(default_factory=dict)
    """The ids of the cases that bear each of these tags."""
    positive: str = ""
    """Of two labels the one that counts as positive, for rates of false positives and negatives."""
    rubric: str = ""
    """The rubric by which a judge scores the answers; empty where none does."""
    rubric_digest: str = ""
    mean: float | None = None
    """Lowest accepted mean of the judge's scores."""
    slower: float | None = None
    """How many times the champion's median seconds, on the same machine, are accepted."""
    within: float | None = None
    """Highest accepted median of the seconds of a case."""
    attempt: int = 0
    """The number of this checkpoint among all that were asked the held-out cases, from 1; 0 while it is not known."""

    @property
    def alpha(self) -> float:
        """One minus the confidence of its lower bound: 5 %, divided by the attempt where cases are held out."""
        return 0.05 / max(1, self.attempt)

    @property
    def counted(self) -> tuple[str, ...]:
        """The ids of the cases that count: all but the burned ones."""
        burned = set(self.burned)
        return tuple(id_ for id_ in self.ids if id_ not in burned)

    @property
    def allowed(self) -> int:
        """Regressions against the champion that are accepted: `drop`, else 2 % of the cases, none of a must."""
        if self.drop is not None:
            return self.drop
        return 0 if self.must else len(self.counted) // 50


@dataclass(frozen=True, slots=True)
class Result:
    """One case, asked and scored."""

    test: str
    case: str
    split: str
    hit: bool
    parsed: bool
    """Would it be a hit if the calls written as text counted as calls?"""
    why: tuple[str, ...]
    """The reasons of a miss; empty for a hit."""
    asked: str
    """The last user message, shortened."""
    expect: Json
    replies: tuple[Reply, ...]
    stage: str = ""
    """Where the fault of a miss lies (gate.grading.attribution); empty until attribution has looked."""
    raw: bool | None = None
    """Would it be a hit by what the model wrote raw? None where that was not asked or cannot be told."""
    cold: bool = False
    """Was it among the first that were asked of a server just started?"""
    judged: Json = field(default_factory=dict)
    """The judge's score, votes and reason (gate.judge.scoring.Judged); empty until a judge has looked."""

    @property
    def leaked(self) -> bool:
        return any(reply.leaks for reply in self.replies)

    @property
    def seconds(self) -> float:
        return sum(reply.seconds for reply in self.replies)

    @property
    def score(self) -> int | None:
        """The judge's score; None where there is none."""
        score: int | None = self.judged.get("score")
        return score

    @property
    def margin(self) -> float | None:
        return min((r.margin for r in self.replies if r.margin is not None), default=None)


@dataclass(frozen=True, slots=True)
class Break:
    """Something that could not be scored."""

    where: str
    """Node id, or what broke."""
    what: str


@dataclass(frozen=True, slots=True)
class Check:
    """What one preflight check says of an artifact."""

    id: str
    """P01 … P24, as in the README's table."""
    name: str
    status: str
    """ok | found | not applicable | not possible"""
    severity: str
    """What a finding means: refuse (never load it) | fail (graded, cannot be promoted) | warn"""
    meaning: str
    """One sentence that is true of a good artifact."""
    found: tuple[str, ...]
    """What is wrong, a line each; or why the check was not made."""
    remedy: str


@dataclass(frozen=True, slots=True)
class Report:
    """Everything one run asked, got and was made with. `decide` needs nothing else."""

    version: int
    checkpoint: Json
    made: Json
    """Versions, settings, digests, command, times."""
    contracts: tuple[Contract, ...]
    results: tuple[Result, ...]
    breaks: tuple[Break, ...]
    skips: tuple[Break, ...]
    """Skipped, expected to fail, deselected: asked too little, and why."""


class Outcome(StrEnum):
    """How a run ended."""

    PASS = "PASS"
    FAULTY = "FAULTY"
    BELOW_FLOOR = "BELOW_FLOOR"
    REGRESSED = "REGRESSED"
    INCONCLUSIVE = "INCONCLUSIVE"
    INCOMPLETE = "INCOMPLETE"


@dataclass(frozen=True, slots=True)
class Part:
    """What the results of the cases with one tag say."""

    tag: str
    hits: int
    total: int
    lower: float
    """As a Finding's."""
    floor: float

    @property
    def met(self) -> bool:
        """Is the floor reached? Never by no case at all."""
        return self.total > 0 and self.hits >= Fraction(str(self.floor)) * self.total


@dataclass(frozen=True, slots=True)
class Finding:
    """What the results of one test say."""

    test: str
    hits: int
    """Cases of which every answer was right."""
    total: int
    """Cases that were asked, as often as the contract wants."""
    parsed: int
    leaks: int
    lower: float
    """One-sided Clopper-Pearson lower bound of the rate, at the contract's confidence."""
    floor: float
    median: float
    p95: float
    """Seconds of a case, median and 95th percentile; of the warm ones where there are any."""
    outcome: Outcome
    why: str
    regressions: tuple[str, ...] = ()
    """Cases that the champion got right and this did not."""
    fixes: tuple[str, ...] = ()
    """The other way round."""
    p: float | None = None
    """Exact one-sided McNemar p of the regressions, after Holm over all tests; None without a champion.

    Where a judge scores, the p of a lower mean by flipping signs (gate.stats.sign_flip).
    """
    parts: tuple[Part, ...] = ()
    """The tags that have a floor of their own."""
    mean: float | None = None
    """Mean of the judge's scores; None without a judge."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """PASS only when every finding passes and nothing is missing."""

    outcome: Outcome
    findings: tuple[Finding, ...]
    gaps: tuple[str, ...] = field(default=())
    """Every way in which the run asked too little."""
    faults: tuple[str, ...] = field(default=())
    """What preflight found in the files that forbids promotion."""
