"""Text of a model, a file or a test inside Markdown, where it can be neither a link, nor HTML, nor a mention."""

from __future__ import annotations

from gate.system.text import clean


def code(text: str, limit: int = 300) -> str:
    """Any text as a code span on one line: nothing in it is Markdown, not even in a table's cell (GFM 6.1, 4.10)."""
    shown = clean(text).replace("`", "ˋ").replace("|", "¦").strip()
    return f"`{shown if len(shown) <= limit else shown[: limit - 1] + '…'}`" if shown else "(nothing)"


def table(head: list[str], rows: list[list[str]]) -> str:
    """A table whose cells are plain words, numbers or `code`."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)
