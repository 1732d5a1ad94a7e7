"""Attribute a miss to a stage by comparing the served answer with the raw text of the model. Pure functions.

    model     the raw text is wrong, too
    parser    the raw text is right, and the server lost or changed the call that is in it
    server    the raw text is right, and the server failed at it or answered something else
    stop      right, and then the model ran on: into a new turn, or to max_tokens
    length    cut at max_tokens before the right thing was there
    template  wrong, and the rendered prompt lacks an offered tool, what it is for, or a message
    grammar   no miss: a hit only because decoding was constrained, its raw text is wrong

What is right is what the case expects. Where that does not tell the miss (the test asserts something else, or asked
several times), the raw text is compared with the served one: the same text is the model's.
"""

from __future__ import annotations

import re
from dataclasses import replace

from gate.cases import answer, expected
from gate.errors import CaseError
from gate.models import tool_calls
from gate.models.tool_calls import reasoning
from gate.types import Json, Question, Raw, Reply, Result

KNOWN = 0.8
"""Share of a text's words that a prompt must hold: a template may print JSON in another way."""
_MESSAGES = {"tool": "the result of a tool", "user": "what the user said", "system": "the system prompt"}
_TURNS = (
    r"<\|(?:im_\w{1,20}|eot_id|eom_id|start_header_id|end_header_id|(?:start|end)_of_role|endoftext|end_of_text"
    r"|begin_of_text|user|assistant|system|observation|(?:start|end)_of_turn(?:_token)?|turn)\|?>",
    r"<\|end\|>(?!\s*<\|start\|>assistant)",  # gpt-oss ends each of its channels with it
    r"<(?:start|end)_of_turn>|<turn\|>|</?s>|<(?:bos|eos|pad|unk)>|\[/?INST\]|<｜(?:User|Assistant|(?:begin|end)▁of▁sentence)｜>",
    r"\[\|(?:user|assistant|system|endofturn)\|\]|^(?:User|Human|Question):|^(?:user|assistant|system)$",
)
_TURN = re.compile("|".join(_TURNS), re.IGNORECASE | re.MULTILINE)
_THOUGHT_END = re.compile(rf"{reasoning.CLOSING}|<\|channel\|>\s?final\s?<\|message\|>", re.IGNORECASE)
_THOUGHT = re.compile(reasoning.OPENING, re.IGNORECASE)
_THOUGHT_BEGUN = re.compile(rf"(?:{reasoning.OPENING})\s*\Z", re.IGNORECASE)
_ESCAPE = re.compile(r"\\(?:u[0-9a-fA-F]{4}|[nrtbf\"\\/])")


def judged(result: Result, question: Question, raw: Raw, *, constrained: bool) -> Result:
    """The result with its stage and with what the raw text alone would be; as it was where nothing can be told.

    `question` and `raw` are those of its last reply; `constrained`: the server may use a grammar.
    """
    served = result.replies[-1]
    wanted = result.expect if len(result.replies) == 1 else {}
    if thought := _THOUGHT_BEGUN.search(raw.prompt):  # a template can open the reasoning itself
        raw = replace(raw, text=thought.group() + raw.text)
    try:
        if not result.hit:
            found = stage(wanted, served, question, raw)
            return replace(result, stage=found, raw=_raw_hit(wanted, served, question, found))
        held = _held(wanted, served, question, raw)
    except CaseError:  # a pattern that took too long on this text
        return result
    return replace(result, raw=held, stage="" if held is not False else "grammar" if constrained else "server")


def stage(wanted: Json, served: Reply, question: Question, raw: Raw) -> str:
    """The stage of a miss. `wanted` is the case's `expect`. Raises CaseError for a pattern that is too slow."""
    if not (set(wanted) & {"calls", "answer"}) or _served_right(wanted, served, question.tools):
        return _by_text(served, question, raw)
    head = _head(raw.text)
    ran_on = raw.cut or len(head.strip()) < len(raw.text.strip())
    if _right(wanted, head, question.tools, cut=raw.cut):
        if not ran_on or served.leaks:
            return _lost(wanted, served, raw)
        return "stop"
    if lacks(question, raw.prompt):
        return "template"
    return "length" if raw.cut and _unfinished(wanted, head, question.tools) else "model"


def lacks(question: Question, prompt: str) -> list[str]:
    """What a rendered prompt lacks of its question: tools, what they are for, messages but the model's own."""
    said = [(m["role"], m["content"]) for m in question.messages if isinstance(m.get("content"), str)]
    told = [(role, content) for role, content in said if role != "assistant"]
    names = [tool["function"]["name"] for tool in question.tools]
    here = {name: sum(content.count(name) for _, content in told) for name in names}
    lacking = [f"the tool {name}" for name in names if prompt.count(name) <= here[name]]
    words = _words(prompt) | _words(_ESCAPE.sub(_unescaped, prompt))
    texts = [(_MESSAGES.get(role, f"a message of role {role}"), content) for role, content in told]
    texts += [(f"what the tool {tool['function']['name']} is for", _about(tool)) for tool in question.tools]
    return lacking + [name for name, text in texts if len(_words(text) & words) < KNOWN * len(_words(text))]


def _about(tool: Json) -> str:
    return str(tool["function"].get("description") or "")


def _by_text(served: Reply, question: Question, raw: Raw) -> str:
    """The stage where only the two texts can tell it."""
    calls, head = tool_calls.find(raw.text, question.tools), _head(raw.text).strip()
    if served.status == 0:
        return "server"
    if (served.leaks or _unparsed(served)) and any(isinstance(call["arguments"], dict) for call in calls):
        return "parser"
    if lacks(question, raw.prompt):
        return "template"
    if head and len(head) < len(raw.text.strip()):
        return "stop"
    if raw.cut:
        return "length"
    return "model" if _same(served, calls, raw) else "server"


def _lost(wanted: Json, served: Reply, raw: Raw) -> str:
    """Whose fault it is that something right did not arrive."""
    if served.status == 0:
        return "server"
    if _unparsed(served):
        return "parser"
    if not wanted.get("calls"):
        return "parser" if served.calls else "server"
    other_text = served.content.strip() and not served.calls and not _holds(raw.text, served.content)
    return "server" if other_text else "parser"


def _served_right(wanted: Json, served: Reply, tools: list[Json]) -> bool:
    """Is the served reply what the case expects, so that its expectation does not tell a miss?"""
    if served.fault or served.leaks or expected.compare(wanted, served.calls, tools):
        return False
    return "answer" not in wanted or not list(answer.reasons(wanted["answer"], served.content))


def _right(wanted: Json, text: str, tools: list[Json], *, cut: bool) -> bool:
    """Is a raw text what the case expects? One that is cut may go on after the calls or the answer that it wants."""
    calls = tool_calls.find(text, tools)
    if wanted.get("calls"):
        calls = calls[: len(wanted["calls"])] if cut else calls
    elif "answer" not in wanted and (cut or not _spoken(text)):
        return False  # words are wanted, whichever: they must be there, and must end
    if expected.compare(wanted, calls, tools):
        return False
    return "answer" not in wanted or not list(answer.reasons(wanted["answer"], _spoken(text)))


def _unfinished(wanted: Json, text: str, tools: list[Json]) -> bool:
    """Might the right thing have come later? Not where so many whole calls are there already."""
    calls = [call for call in tool_calls.find(text, tools) if isinstance(call["arguments"], dict)]
    return not calls or len(calls) < len(wanted.get("calls", []))


def _held(wanted: Json, served: Reply, question: Question, raw: Raw) -> bool | None:
    """Is a hit one by its raw text, too? What stands after its end does not count: the server stopped there."""
    if set(wanted) & {"calls", "answer"} and _served_right(wanted, served, question.tools):
        return _right(wanted, _head(raw.text), question.tools, cut=False)
    return True if _same(served, tool_calls.find(raw.text, question.tools), raw) else None


def _raw_hit(wanted: Json, served: Reply, question: Question, found: str) -> bool | None:
    """Is the raw text of a miss with this stage a hit? Unknown where the expectation does not tell."""
    if found not in ("parser", "server"):
        return False
    told = set(wanted) & {"calls", "answer"} and not _served_right(wanted, served, question.tools)
    return True if told else None


def _unparsed(served: Reply) -> bool:
    return served.status == 500 or (served.finish in ("tool_calls", "function_call") and not served.calls)


def _same(served: Reply, calls: list[Json], raw: Raw) -> bool:
    """Is what was served what the model wrote raw?"""
    if served.calls or calls:
        return served.calls == calls
    if not served.content.strip():
        return not _spoken(raw.text)
    return _holds(raw.text, served.content)


def _holds(text: str, part: str) -> bool:
    return " ".join(part.split()) in " ".join(text.split())


def _head(text: str) -> str:
    """A raw text up to the first sign of another turn."""
    turn = _TURN.search(text)
    return text[: turn.start()] if turn else text


def _spoken(text: str) -> str:
    """What of a raw text is meant for the user: neither what was only thought, nor what stands around it."""
    after = _THOUGHT_END.split(text)[-1]
    return _THOUGHT.split(after)[0].strip()


def _unescaped(escape: re.Match[str]) -> str:
    return chr(int(escape.group()[2:], 16)) if escape.group()[1] == "u" else " "


def _words(text: str) -> set[str]:
    return set(re.findall(r"\w+", text.lower()))
