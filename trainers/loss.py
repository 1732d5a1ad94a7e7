"""The loss of a batch, with logits of the trained tokens only."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import mlx.core as mx
import mlx.nn as nn

SEPARABLE = "_gate_head_separable"
"""The attribute of a model that says whether `head_of` may be used."""


def loss_of(model: Any, tokens: mx.array, spans: mx.array, offsets: mx.array, total: mx.array) -> mx.array:
    """Cross-entropy of the trained tokens, summed and divided by `total`. The arrays are those of batches.Batch.

    Logits are computed for the answers only, if the model's head can be called by itself: of 380 tokens of a tool-call
    row some 30 are trained, and a vocabulary of 49,152 is a fifth of a small model's work. mlx-lm computes all of them,
    and trains one pad token per row, because the mask of its default_loss includes the position of the length.
    """
    places = spans[:, :1] + offsets[None]
    mask = places < spans[:, 1:]
    before = mx.minimum(mx.maximum(places - 1, 0), tokens.shape[1] - 2)
    targets = mx.take_along_axis(tokens, before + 1, axis=1)
    head = head_of(model)
    if head is None:
        logits = mx.take_along_axis(model(tokens[:, :-1]), before[..., None], axis=1)
    else:
        logits = head(mx.take_along_axis(model.model(tokens[:, :-1]), before[..., None], axis=1))
    entropy = nn.losses.cross_entropy(logits, targets) * mask
    return entropy.astype(mx.float32).sum() / total


def head_of(model: Any) -> Callable[[mx.array], mx.array] | None:
    """The function from a model's last hidden state to logits; None unless `has_separable_head` has found one."""
    if not getattr(model, SEPARABLE, False):
        return None
    return model.lm_head if "lm_head" in model else model.model.embed_tokens.as_linear  # type: ignore[no-any-return]


def has_separable_head(model: Any) -> bool:
    """Do inner model and head compute exactly the model's logits? Some models scale or cap in between.

    The answer is stored in the model, for `head_of`.
    """
    tokens = mx.arange(8)[None]
    expected = model(tokens)
    try:
        setattr(model, SEPARABLE, True)
        head = head_of(model)
        same = head is not None and bool(mx.array_equal(head(model.model(tokens)), expected))
    except (AttributeError, TypeError, ValueError):
        same = False
    setattr(model, SEPARABLE, same)
    return same


def vocabulary(model: Any) -> int:
    """The number of tokens in a model's vocabulary."""
    return int(model(mx.zeros((1, 1), mx.int32)).shape[-1])
