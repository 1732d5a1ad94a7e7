"""Groups rows into padded batches: their order is a function of the seed and the epoch only."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from trainers.tokens import Turn

STEP = 32
"""Lengths are padded to a multiple of it: few shapes to compile, little padding (as in mlx_lm/tuner/trainer.py)."""


def width(tokens: int) -> int:
    """Positions that a row of `tokens` tokens takes: one less, rounded up to a multiple of STEP."""
    return max(STEP, -(-(tokens - 1) // STEP) * STEP)


def ordered(lengths: Sequence[int], size: int, *, seed: int, epoch: int) -> list[list[int]]:
    """An epoch's batches of row numbers: every row once, rows of one length together, batches in random order.

    Rows are shuffled first and then sorted by their padded length, so that each epoch mixes rows of one length
    differently. The last batch of the longest rows can be smaller.
    """
    random = np.random.default_rng((seed, epoch))
    shuffled = random.permutation(len(lengths))
    by_length = sorted(shuffled.tolist(), key=lambda number: width(lengths[number]))
    batches = [by_length[at : at + size] for at in range(0, len(by_length), size)]
    return [batches[number] for number in random.permutation(len(batches))]


class Batch(NamedTuple):
    """Rows as arrays."""

    tokens: NDArray[np.int32]
    """(rows, width + 1)"""
    spans: NDArray[np.int32]
    """(rows, 2): the first and one past the last trained token; a missing row trains none."""
    offsets: NDArray[np.int32]
    """(trained,): 0, 1, … for the longest answer, rounded up."""


def padded(turns: Sequence[Turn], size: int) -> Batch:
    """The arrays of a batch of `size` rows; if there are fewer turns, the other rows are empty."""
    tokens = np.zeros((size, 1 + max(width(len(turn.tokens)) for turn in turns)), np.int32)
    spans = np.zeros((size, 2), np.int32)
    for row, turn in enumerate(turns):
        tokens[row, : len(turn.tokens)] = turn.tokens
        spans[row] = turn.start, len(turn.tokens)
    return Batch(tokens, spans, np.arange(width(1 + max(turn.trained for turn in turns)), dtype=np.int32))
