"""Reasoning that a server left in the content. A call inside it does not count."""

from __future__ import annotations

import re

from gate.models.tool_calls.source import Source

OPENING = (
    r"<(?:seed:)?(?:think|thinking|thoughts?|reasoning)>|\[THINK\]|◁think▷|<\|START_THINKING\|>|<\|channel>"
    r"|<\|channel\|>\s?analysis\s?<\|message\|>"
)
CLOSING = r"</(?:seed:)?(?:think|thinking|thoughts?|reasoning)>|\[/THINK\]|◁/think▷|<\|END_THINKING\|>|<channel\|>"

_TAG_END = re.compile(r"</(?:seed:)?(?:think|thinking|thoughts?|reasoning)>", re.IGNORECASE)
_ENDS = {
    "[think]": re.compile(r"\[/THINK\]", re.IGNORECASE),
    "◁think▷": re.compile(r"◁/think▷", re.IGNORECASE),
    "<|start_thinking|>": re.compile(r"<\|END_THINKING\|>", re.IGNORECASE),
    "<|channel>": re.compile(r"<channel\|>", re.IGNORECASE),
}
_MESSAGE_END = re.compile(r"<\|(?:end|start|channel|return|call)\|>", re.IGNORECASE)


def after(source: Source, opening: re.Match[str]) -> int:
    """The index after the reasoning that opens here; after its opening where it is not closed."""
    mark = opening.group().lower()
    if mark.startswith("<|channel|>"):
        end = source.seek(_MESSAGE_END, opening.end())
        return end.start() if end else opening.end()
    end = source.seek(_ENDS.get(mark, _TAG_END), opening.end())
    return end.end() if end else opening.end()
