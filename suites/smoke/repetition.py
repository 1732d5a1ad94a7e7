"""Whether a text has collapsed into repetition: two measures, because each misses what the other sees.

`seq_rep` is seq-rep-4 of Welleck et al., "Neural Text Generation with Unlikelihood Training" (ICLR 2020): the share
of 4-grams that were said before. It is taken over words, so that it is the same for every tokenizer, and without
numbers, so that a list that counts up while it says one thing over and over is a loop too.

`looped_end` is what Holtzman et al., "The Curious Case of Neural Text Degeneration" (ICLR 2020), count as repetition
in their metrics/repetition.py: the text ends in one phrase over and over. They ask for two times in 200 tokens; a
short answer may say a thing twice for effect, so here it is three times. It sees a loop that has only just begun.
"""

import regex

MOST_REPEATED = 0.5
"""Largest healthy seq-rep-4; above it, most of the text was said before. Measured with this function: prose in 1,160
windows of 150 words from manuals and licences has a median of 0.00, 99 % are under 0.18, the largest is 0.40; greedy
answers of SmolLM2-135M had 0.16 to 0.29 when they did not loop and 0.57 to 0.91 when they had looped for a while.
litetune's liveness check draws the line at the same place."""
FEWEST_WORDS = 12
"""Shorter texts are not measured by `seq_rep` (as in litetune)."""
SHORTEST_LOOP = 24
"""Letters, digits and signs that a looped end has at least: "Ha ha ha!" or "Never, never, never." is no collapse."""
UNSPACED = r"\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}"
WORD = regex.compile(rf"(?V1)[{UNSPACED}]|[[\p{{L}}\p{{M}}]--[{UNSPACED}]]+")
"""A run of letters; one character in scripts that put no space between words."""


def collapse(text: str) -> list[str]:
    """The signs of a repetition collapse, in words; empty for a healthy text."""
    signs = []
    if (share := seq_rep(text)) > MOST_REPEATED:
        signs.append(f"{share:.0%} of the 4-grams were said before")
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
    """The end of a text, without white space, that is one unit at least three times over; empty when there is none."""
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
