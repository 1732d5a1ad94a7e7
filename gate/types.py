"""The values that flow through a run. Frozen, without I/O; this module imports nothing of gate.

What a report holds is annotated with what else must be true of it (msgspec.Meta): gate.report.schema makes the JSON
Schema of a report from these classes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from fractions import Fraction
from pathlib import Path
from typing import Annotated, Any

from msgspec import Meta

Json = dict[str, Any]
"""A JSON object as json.loads gives it. Tool calls are Json: {"name": str, "arguments": object or raw str}."""
Say = Callable[[str], None]
"""Tells a person what is going on; called again and again."""
DEV, HELD_OUT = "dev", "held-out"
SPLITS = (DEV, HELD_OUT)
"""Where a case stands: open to everyone, or asked in secret, so that nobody can learn from it."""

Count = Annotated[int, Meta(ge=0)]
Positive = Annotated[int, Meta(ge=1)]
Amount = Annotated[float, Meta(ge=0)]
Rate = Annotated[float, Meta(ge=0, le=1)]
Factor = Annotated[float, Meta(gt=0)]
Sha256 = Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]
Split = Annotated[str, Meta(extra_json_schema={"enum": list(SPLITS)})]
Call = Annotated[Json, Meta(extra_json_schema={"required": ["name", "arguments"]})]


@dataclass(frozen=True, slots=True)
class Named:
    """What a person names: the options `--model`, `--base` and `--served-name`."""

    text: str
    base: str | None = None
    served_name: str = ""


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of checkpoint. Those of the gate stand in gate.checkpoints.kinds; a plugin's runtime brings its own."""

    name: str
    """As it stands in reports."""
    form: str
    """How `--model` names one, for messages: "a .gguf file"."""
    recognize: Callable[[Named], Checkpoint | None]
    """The checkpoint that is named; None where it is of another kind. Raises CheckpointError for a broken one."""
    family: Callable[[Checkpoint], str] = lambda _: ""
    """The architecture of the model, by which one knows its kin; empty where it does not tell."""
    verified: bool = True
    """Are the bytes that answer those that were hashed? What a URL serves cannot be known."""
    preflight: bool = True
    """Has it weights, a template or a parser that preflight can check?"""
    weights: str = ""
    """Pattern of the safetensors files in its folder; empty where it has none."""
    tokenizer: bool = False
    """Is it, or its base, a folder from which transformers and mlx-lm load a tokenizer?"""

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What is graded, and where it lies."""

    kind: Kind
    name: str
    """A short name for folders and tables."""
    path: Path | None = None
    """The folder or file; None for a URL."""
    base: Path | None = None
    """The model under an adapter; None for anything else."""
    url: str = ""
    served_name: str = ""
    """The model's name in requests to a URL."""

    @property
    def where(self) -> str:
        return self.url or str(self.path)

    @property
    def adapter(self) -> Path | None:
        """The folder of an adapter; None for anything else."""
        return self.path if self.base is not None else None

    @property
    def tokenizer(self) -> Path | None:
        """The folder with its tokenizer: an adapter has its base's. None where there is none."""
        return (self.base or self.path) if self.kind.tokenizer else None


@dataclass(frozen=True, slots=True)
class Server:
    """How to ask a model that is being served. Plain values: it travels to the xdist workers."""

    url: str
    """The OpenAI-compatible root, ending in /v1."""
    model: str
    """The model's name in requests."""
    runtime: str
    """The name of its runtime (gate.models.runtime)."""
    sampling: Json
    """Every sampling parameter, sent in every request and written in the report."""
    reported: Json
    """What the server says of itself: versions, build, template. Goes into the report."""
    key: str = field(default="", repr=False)
    at_once: int = 1
    """Requests that it decodes together."""
    batch_sampling: Json | None = None
    """Sampling parameters of a request that may be served in a batch; None where they are the usual ones."""
    cold: Json = field(default_factory=dict)
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
    """The id of the contaminated case whose place it takes (gate.registry.contaminated); empty for any other."""
    calls: Any
    """Equal to a reply's calls when they are what `expect.calls` asks for (gate.cases.expected.ExpectedCalls)."""
    answer: Any
    """Equal to a reply's content when it is what `expect.answer` asks for (gate.cases.expected.ExpectedAnswer)."""

    def __repr__(self) -> str:
        """Short, for pytest shows it; of a held-out one nothing."""
        return "<a held-out case>" if self.split == HELD_OUT else f"<case {self.id}>"


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
    calls: list[Call]
    """Tool calls as served; arguments are an object, or the raw string where they did not parse."""
    leaks: list[Call]
    """Tool calls that arrived as text in `content` (gate.models.tool_calls.find)."""
    finish: str
    """The server's finish reason; empty when it gave none."""
    fault: str
    """A failure of the model in words (empty, cut at max_tokens, a call the server could not parse), or empty."""
    usage: Json
    seconds: Amount
    status: Count
    """HTTP status; 0 when the server closed the connection without an answer."""
    margin: Amount | None
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
    digest: Sha256
    """sha256 over the cases with their tools resolved."""
    ids: Annotated[tuple[str, ...], Meta(min_length=1, extra_json_schema={"uniqueItems": True})]
    """Every case of the file, in its order: each must have exactly one Result."""
    floor: Rate
    """Lowest accepted rate of hits, 0..1."""
    drop: Count | None = None
    """Accepted regressions against the champion, as the marker gives it; None for the usual number."""
    bound: Rate | None = None
    """Lowest accepted one-sided 95 % lower bound of the rate; None where none is demanded."""
    must: bool = False
    """Any miss blocks."""
    smoke: bool = False
    """Too small to prove anything: a run of smoke tests alone is inconclusive."""
    repeats: Positive = 1
    """How often each case is asked; it is a hit when all of its answers are (pass^k, arXiv 2406.12045)."""
    digests: tuple[str, ...] = ()
    """Of each case, what it asks and expects; in the order of `ids`."""
    contaminated: tuple[str, ...] = ()
    """The ids of cases that training has learned from (gate.registry.contaminated): asked, and not counted."""
    replaced: tuple[str, ...] = ()
    """Those of them whose place a fresh case of the file has taken."""
    held_out: tuple[str, ...] = ()
    """Of each held-out case, what it asks: by this it is known again under another name."""
    held_out_ids: tuple[str, ...] = ()
    """Their ids: nothing that is shown names them."""
    floors: dict[str, Rate] = field(default_factory=dict)
    """Lowest accepted rate of the cases that bear a tag, by tag."""
    tagged: dict[str, Annotated[tuple[str, ...], Meta(min_length=1)]] = field(default_factory=dict)
    """The ids of the cases that bear each of these tags."""
    positive: str = ""
    """Of two labels the one that counts as positive, for rates of false positives and negatives."""
    rubric: str = ""
    """The rubric by which a judge scores the answers; empty where none does."""
    rubric_digest: str = ""
    mean: float | None = None
    """Lowest accepted mean of the judge's scores."""
    slower: Factor | None = None
    """How many times the champion's median seconds, on the same machine, are accepted."""
    within: Factor | None = None
    """Highest accepted median of the seconds of a case."""
    attempt: Count = 0
    """The number of this checkpoint among all that were asked the held-out cases, from 1; 0 while it is not known."""

    @property
    def alpha(self) -> float:
        """One minus the confidence of its lower bound: 5 %, divided by the attempt where cases are held out."""
        return 0.05 / max(1, self.attempt)

    @property
    def counted(self) -> tuple[str, ...]:
        """The ids of the cases that count: all but the contaminated ones."""
        contaminated = set(self.contaminated)
        return tuple(id_ for id_ in self.ids if id_ not in contaminated)

    @property
    def allowed(self) -> int:
        """Regressions against the champion that are accepted: `drop`, else 2 % of the cases, none of a must."""
        if self.drop is not None:
            return self.drop
        return 0 if self.must else len(self.counted) // 50


@dataclass(frozen=True, slots=True)
class Judged:
    """What a judge made of one answer."""

    score: int | None
    """None where there was no verdict."""
    votes: tuple[int, ...]
    reason: str
    """The judge's words, or the rule that forbade to judge it."""
    ruled: bool
    """Was it scored by a rule, without the judge?"""


STAGES = ("model", "parser", "server", "stop", "length", "template", "grammar")
"""Where the fault of a miss can lie (gate.grading.attribution)."""


@dataclass(frozen=True, slots=True)
class Result:
    """One case, asked and scored."""

    test: str
    case: str
    split: Split
    hit: bool
    parsed: bool
    """Would it be a hit if the calls written as text counted as calls?"""
    why: tuple[str, ...]
    """The reasons of a miss; empty for a hit."""
    asked: str
    """The last user message, shortened."""
    expect: Json
    replies: Annotated[tuple[Reply, ...], Meta(min_length=1)]
    stage: Annotated[str, Meta(extra_json_schema={"enum": ["", *STAGES]})] = ""
    """Where the fault of a miss lies (gate.grading.attribution); empty until attribution has looked."""
    raw: bool | None = None
    """Would it be a hit by what the model wrote raw? None where that was not asked or cannot be told."""
    cold: bool = False
    """Was it among the first that were asked of a server just started?"""
    judged: Judged | None = None
    """None until a judge has looked."""

    @property
    def leaked(self) -> bool:
        return any(reply.leaks for reply in self.replies)

    @property
    def seconds(self) -> float:
        return sum(reply.seconds for reply in self.replies)

    @property
    def score(self) -> int | None:
        """The judge's score; None where there is none."""
        return self.judged.score if self.judged else None

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
    status: Annotated[str, Meta(extra_json_schema={"enum": ["ok", "found", "not applicable", "not possible"]})]
    """ok | found | not applicable | not possible"""
    severity: Annotated[str, Meta(extra_json_schema={"enum": ["refuse", "fail", "warn"]})]
    """What a finding means: refuse (never load it) | fail (graded, cannot be promoted) | warn"""
    meaning: str
    """One sentence that is true of a good artifact."""
    found: tuple[str, ...]
    """What is wrong, a line each; or why the check was not made."""
    remedy: str


@dataclass(frozen=True, slots=True)
class Graded:
    """The checkpoint that a report is of."""

    kind: Annotated[str, Meta(min_length=1)]
    """As a Checkpoint's."""
    name: str
    where: str
    """Its path or URL."""
    digest: Sha256
    verified: bool
    """Was the digest taken of its bytes? Of a URL it is over what the server says of itself."""
    bytes: Count | None
    """Its size; None for a URL."""
    family: str = ""
    """The architecture, by which one knows its kin; empty where it does not tell."""
    base: str | None = None
    """The path of the model under an adapter."""


@dataclass(frozen=True, slots=True)
class Hardware:
    """The machine that a run was made on; nothing personal."""

    platform: str
    machine: str
    processor: str
    cores: Positive
    memory: Count
    """Bytes."""
    id: str
    """A hash by which the same machine is known again."""


@dataclass(frozen=True, slots=True)
class AskMode:
    """How the cases were asked (gate.models.batch_invariance)."""

    name: Annotated[str, Meta(extra_json_schema={"enum": ["batched", "verified", "sequential"]})]
    at_once: Positive
    """Most requests under way at the same time, of all processes."""
    bound: Amount | None = None
    """Nats: a hit whose every step had a larger gap is sure."""
    why: str = ""
    """Why it is not a stricter mode."""
    lost: Count = 0
    """Hits that were misses when they were asked again, one at a time."""
    won: Count = 0


@dataclass(frozen=True, slots=True)
class Attribution:
    """Which results were asked raw, to say where the fault of a miss lies."""

    asked: Annotated[str, Meta(extra_json_schema={"enum": ["off", "misses", "all"]})]
    seconds: Amount
    problems: dict[str, Positive]
    """Why some have no stage, and how many."""


@dataclass(frozen=True, slots=True)
class Determinism:
    """Does the server answer the same question in the same way? None is "not possible"."""

    equal: bool | None
    """Is none of the three below false?"""
    seconds: Amount
    sequential: bool | None = None
    batched: bool | None = None
    cold: bool | None = None
    differences: tuple[str, ...] = ()
    not_possible: dict[str, str] = field(default_factory=dict)
    margins: dict[str, float | None] = field(default_factory=dict)
    said: str = ""
    """The answer to the first question, shortened."""
    why: str = ""
    """Why nothing was measured; empty where something was."""
    drift: Amount | None = None
    """Root mean square, in nats, of what a batch moved the gaps of `steps` steps by."""
    steps: Count = 0
    first: Amount | None = None
    """Seconds of the first question, and of the same asked once more."""
    again: Amount | None = None


@dataclass(frozen=True, slots=True)
class Streaming:
    """What one sees who waits alone: medians over a few cases, streamed one at a time, warm."""

    seconds: Amount
    first_token: Amount | None = None
    """Seconds to the first token; None where it could not be measured."""
    tokens_per_second: Amount | None = None
    asked: Count = 0
    why: str = ""
    """Why nothing was measured."""


@dataclass(frozen=True, slots=True)
class Forced:
    """A promotion against the gate, which every later report names."""

    slot: str
    line: int
    """Of the slot's ledger."""
    reason: str


@dataclass(frozen=True, slots=True)
class Interval:
    """A figure and its bounds, each of them one-sided 95 % (bootstrap, percentiles)."""

    value: float
    lower: float
    upper: float


@dataclass(frozen=True, slots=True)
class Means:
    """The mean of a test's scores, and what it would be without the judge's error."""

    mean: float | None
    corrected: Interval | None


@dataclass(frozen=True, slots=True)
class Checkup:
    """How well a judge agrees with the people who scored a rubric's anchors, and what its canaries did."""

    digest: str
    """Of the rubric."""
    bar: Annotated[float, Meta(gt=0, le=1)]
    """Lowest accepted lower bound of kappa."""
    anchors: Positive
    silent: Count
    """Anchors that got no verdict."""
    scale: Annotated[tuple[int, ...], Meta(min_length=2, max_length=2)]
    """Lowest and highest score."""
    canaries: dict[str, int | None]
    scores: tuple[Annotated[tuple[int, ...], Meta(min_length=2, max_length=2)], ...]
    """Of each anchor with a verdict the judge's score and the person's."""
    turned: Count
    """Items that were scored under a rising and under a falling scale."""
    other: Count
    """Those of them that got another score."""
    kappa: Interval | None = None
    """None where no anchor got a verdict, as the next three."""
    bias: float | None = None
    confusion: dict[str, Positive] = field(default_factory=dict)
    length: float | None = None
    """Correlation of the judge's error with the length of the answer."""
    faults: tuple[str, ...] = ()
    """Every reason not to believe the judge."""
    tests: dict[str, Means] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Earlier:
    """A judging that a later one has replaced."""

    name: str
    pinned: str
    means: dict[str, float | None]


@dataclass(frozen=True, slots=True)
class Judging:
    """Who judged, by what prompt and parameters, and may one believe it?"""

    name: str
    where: str
    verified: bool
    family: str
    digest: str
    prompt: str
    """sha256 of all that is put to a judge beside the rubric."""
    sampling: Json
    runtime: str
    pinned: str
    """A hash over all that makes a judge's scores."""
    rubrics: dict[str, Checkup] = field(default_factory=dict)
    seconds: Amount = 0.0
    earlier: tuple[Earlier, ...] = ()
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Folders:
    """Where a project's suites and fixtures lie, from its root."""

    suites: str
    fixtures: str


@dataclass(frozen=True, slots=True)
class Made:
    """Under what conditions a report was made: versions, settings, digests, command, times, measurements."""

    gate: str
    python: str
    started: str
    seconds: Amount
    command: tuple[str, ...]
    runtime: str
    server: Json
    """What the server says of itself."""
    sampling: Json
    hardware: Hardware
    versions: dict[str, str | None]
    suites: dict[str, Sha256] = field(default_factory=dict)
    """Of every file of the suites' folder."""
    folders: Folders = Folders("suites", "fixtures")
    preflight: tuple[Check, ...] = ()
    ask_mode: AskMode | None = None
    attribution: Attribution | None = None
    determinism: Determinism | None = None
    streaming: Streaming | None = None
    stopped: str = ""
    """Why the run ended before all was asked."""
    confusion: dict[str, dict[str, dict[str, Positive]]] = field(default_factory=dict)
    """By test and by what was wanted: how often which answer came."""
    forced: tuple[Forced, ...] = ()
    judge: Judging | None = None


@dataclass(frozen=True, slots=True)
class Report:
    """Everything one run asked, got and was made with. `decide` needs nothing else."""

    checkpoint: Graded
    made: Made
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
    lost: int = 0
    """Cases that the champion got right and this did not."""
    won: int = 0
    """The other way round."""
    regressions: tuple[str, ...] = ()
    """The ids of those that were lost, and are not held out."""
    fixes: tuple[str, ...] = ()
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
    """PASS only when every finding passes and nothing is missing. It names no case that is held out."""

    outcome: Outcome
    findings: tuple[Finding, ...]
    gaps: tuple[str, ...] = field(default=())
    """Every way in which the run asked too little."""
    faults: tuple[str, ...] = field(default=())
    """What preflight found in the files that forbids promotion."""
