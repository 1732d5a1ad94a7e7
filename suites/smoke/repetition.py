"""Detects a collapse into repetition by two measures, because each misses what the other detects.

`seq_rep` is seq-rep-4 of Welleck et al., "Neural Text Generation with Unlikelihood Training" (ICLR 2020): the share
of 4-grams that occurred before. It is computed over words, so that it is the same for every tokenizer, and without
numbers, so that a list that counts up while it repeats one phrase is a loop too.

`looped_end` is what Holtzman et al., "The Curious Case of Neural Text Degeneration" (ICLR 2020), count as repetition
in their metrics/repetition.py: the text ends in a repeated phrase. They require two repetitions in 200 tokens; a short
answer may repeat a phrase for effect, so here it is three. It detects a loop that has only just begun.
"""

import regex

MOST_REPEATED = 0.5
"""Largest healthy seq-rep-4; above it, most of the text is repeated. Measured with this function: prose in 1,160
windows of 150 words from manuals and licences has a median of 0.00, 99 % are under 0.18, the largest is 0.40; greedy
answers of SmolLM2-135M had 0.16 to 0.29 when they did not loop and 0.57 to 0.91 when they had looped for a while.
litetune's liveness check has the same limit."""
FEWEST_WORDS = 12
"""Shorter texts are not measured by `seq_rep` (as in litetune)."""
SHORTEST_LOOP = 24
"""Fewest letters, digits and signs of a looped end: "Ha ha ha!" or "Never, never, never." is not a collapse."""
UNSPACED = r"\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}"
WORD = regex.compile(rf"(?V1)[{UNSPACED}]|[[\p{{L}}\p{{M}}]--[{UNSPACED}]]+")
"""A run of letters; one character in scripts that put no space between words."""


def collapse(text: str) -> list[str]:
    """The signs of a repetition collapse, in words; empty for a healthy text."""
    signs = []
    if (share := seq_rep(text)) > MOST_REPEATED:
        signs.append(f"{share:.0%} of the 4-grams are repeated")
    if loop := looped_end(text):
        signs.append(f"ends in a loop: …{loop[-60:]}")
    return signs


def seq_rep(text: str, n: int = 4) -> float:
    """1 - distinct n-grams / n-grams, 0..1; 0.0 for a text too short to be judged."""
    words = WORD.findall(text.casefold())
    if len(words) < max(FEWEST_WORDS, n):
        return 0.0
    grams = [tuple(words[i : i + n]) for i in range(len(words) - n + 1)]
    return 1 - len(set(grams)) / len(grams)


def looped_end(text: str) -> str:
    """The end of a text, without white space, that repeats one unit at least three times; empty if there is none."""
    squeezed = "".join(text.split()).casefold()
    for period in range(1, len(squeezed) // 3 + 1):
        length = _periodic_end(squeezed, period)
        if length >= max(3 * period, SHORTEST_LOOP):
            return squeezed[-length:]
    return ""


def _periodic_end(text: str, period: int) -> int:
    """Length of the longest end of a text that repeats with this period, a last part of the unit included."""
    start = len(text) - period
    while start > 0 and text[start - 1] == text[start - 1 + period]:
        start -= 1
    return len(text) - start
