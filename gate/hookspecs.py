"""The one hook of gate: how a checkpoint is served."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from gate.models.serving.process import Serving, Start
    from gate.types import Checkpoint


@pytest.hookspec(firstresult=True)
def pytest_gate_serve(checkpoint: Checkpoint, start: Start) -> Serving | None:
    """Serve the checkpoint and return how to ask and how to stop it; None leaves it to the next plugin.

    The server must answer when this returns. Raise gate.errors.ServeError when it cannot.
    `start` says where logs go, how long it may take, the context length and how many requests come at once.
    """
