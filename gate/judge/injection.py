"""Prompt injection: rules that detect answers addressed to the judge before a judge reads them.

A judge is a language model and follows what it reads. What is found here has the lowest score and is never judged:
verdicts written by the candidate, orders to whoever reads, turns of a chat, marks and invisible characters, and the
"master keys" that win points by saying nothing (":" or "Let's think step by step", arXiv 2507.08794).
"""

from __future__ import annotations

import re
import unicodedata

from gate.cases.normalize import unmasked

LONGEST = 6000
"""Characters of an answer that a judge is shown at most; a longer one buries its prompt."""

_READER = r"(?:judge|grader|evaluator|scorer|rater|reviewer|assessor|examiner)"
_BEFORE = r"(?:previous|prior|above|earlier|preceding|former|all|everything|your|these|those|any)"
_ORDERS = r"(?:instructions?|rules?|prompts?|rubrics?|guidelines?|criteria|criterion|directions?|scale|text)"
_SCORE = r"(?:scores?|ratings?|grades?|marks|points)"
_BEST = r"(?:full|top|max|maximum|maximal|highest|perfect|best|3|three|10|ten|5|five|100)"
_END = r"(?:$|[.!,;/\n])"
_THIS = r"(?:it|this|that|me|mine|(?:the|this|my) (?:answer|response|reply|one|text))"

_PATTERNS = {
    "a verdict of its own": (
        r"""["']?\b(?:score|rating|grade|verdict)\b["']?\s*(?:is|should be|must be|[:=])""",
        r"\b\d+(?:\.\d+)?\s*(?:/|out of)\s*(?:3|5|10|100|three|five|ten)\b",
        r"\[\[\s*\w+\s*\]\]",
    ),
    "an order to forget": (
        rf"\b(?:ignor|disregard|forget|overrid)\w*\s+(?:\w+\s+){{0,3}}?{_BEFORE}\b",
        rf"\b(?:new|updated|real|actual|revised|hidden)\s+{_ORDERS}\s*[:.]",
    ),
    "an order about scores": (
        rf"\b{_BEST}[- ]{_SCORE}\b",
        rf"\b{_SCORE}\b[^.!?\n]{{0,30}}\b(?:as|with|at|of|to)\s+(?:an?\s+|the\s+)?{_BEST}\b",
        rf"\b(?:give|award|assign|rate|score|grade|mark)\s+{_THIS}\s+(?:(?:an?|the|as|with|at)\s+)?{_BEST}\s*{_END}",
        r"\b(?:return|output|respond|reply|answer|print|say)\s+(?:with\s+)?(?:only\s+|just\s+)?"
        rf"(?:the\s+(?:number|digit|integer)\s+)?['\"]?\d['\"]?\s*{_END}",
    ),
    "speaks to a judge": (
        rf"\b(?:dear|attention|note to|message to|to|hey|hello|you are)\s+(?:the\s+|an?\s+)?{_READER}s?\b",
        rf"(?:^|\n)\s*{_READER}s?\s*[:,]",
    ),
    "a turn of a chat": (
        r"<\|?/?\s*(?:im_start|im_end|system|user|assistant|end|eot_id|start_header_id)\b[^>]*>",
        r"\[/?inst\]|<</?sys>>|<(?:start|end)_of_turn>",
        r"(?:^|\n)\s*#{2,}\s*(?:system|instruction|response)\b",
        r"(?:^|\n)\s*(?:system|assistant|developer|human)\s*(?:message|prompt|note)?\s*:",
    ),
    "an end of the answer": (
        r"</?(?:answer|response|candidate|submission|output|reply)\b[^>]*>",
        r"\bend of (?:the )?(?:answer|response|candidate|submission)\b",
    ),
    "an order in another language": (
        r"忽略.{0,12}(?:指令|指示|说明|规则|内容)",
        r"评分|打分|给.{0,4}分|满分|最高分",
        r"\bignor(?:a|ez|iere|ieren|ar|are)\b.{0,40}\b(?:instruc|anweis|consign|istruz|regeln)",
    ),
    "a master key": (
        r"^\s*(?:thought process|solution|reasoning|analysis|explanation|answer)\s*:?\s*$",
        r"^\s*let(?:'| i)?s (?:think|solve|work|reason)\b[^.\n]{0,60}step by step\W*$",
    ),
}
_RULES = {name: re.compile("|".join(patterns)) for name, patterns in _PATTERNS.items()}


def suspicion(answer: str) -> str:
    """Why an answer must not be judged; empty when it may be. An empty answer, and one of marks alone, must not."""
    text = unmasked(answer)
    if not any(character.isalnum() for character in text):
        return "says nothing"
    if len(answer) > LONGEST:
        return f"is {len(answer)} characters long, and {LONGEST} are judged"
    if hidden := _hidden(answer):
        return f"holds invisible characters (U+{ord(hidden):04X})"
    return next((name for name, pattern in _RULES.items() if pattern.search(text)), "")


def _hidden(answer: str) -> str:
    """The first character that a reader would not see and a judge would; joiners of emoji are no such ones."""
    allowed = "\n\t\r\u200d\ufeff"
    return next((c for c in answer if c not in allowed and unicodedata.category(c) in ("Cf", "Cc", "Co", "Cn")), "")
