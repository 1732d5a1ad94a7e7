"""The loss of a batch, and a model's head asked by itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import mlx.core as mx
import mlx.nn as nn

ALONE = "_gate_head_alone"


def loss_of(model: Any, tokens: mx.array, spans: mx.array, offsets: mx.array, total: mx.array) -> mx.array:
    """Cross-entropy of the trained tokens, summed and divided by `total`. The arrays are those of batches.Batch.

    Logits are made of the answers alone where the model's head can be asked by itself: of 380 tokens of a tool-call row
    some 30 are trained, and a vocabulary of 49,152 is a fifth of a small model's work. mlx-lm makes all of them, and
    trains one pad token a row, for the mask of its default_loss includes the position of the length.
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
    """What makes logits of a model's last hidden state; None where `alone` has not found it to be all that is done."""
    if not getattr(model, ALONE, False):
        return None
    return model.lm_head if "lm_head" in model else model.model.embed_tokens.as_linear  # type: ignore[no-any-return]


def alone(model: Any) -> bool:
    """Do inner model and head, one after the other, say exactly what the model says? Some scale or cap in between."""
    tokens = mx.arange(8)[None]
    wanted = model(tokens)
    try:
        setattr(model, ALONE, True)
        head = head_of(model)
        same = head is not None and bool(mx.array_equal(head(model.model(tokens)), wanted))
    except (AttributeError, TypeError, ValueError):
        same = False
    setattr(model, ALONE, same)
    return same


def vocabulary(model: Any) -> int:
    """How many tokens a model chooses from."""
    return int(model(mx.zeros((1, 1), mx.int32)).shape[-1])
