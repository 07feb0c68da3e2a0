"""What a run does: a graph of stages, their training, evaluation and artifacts."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from limbeck.runs.run_plan import RunPlan, RunProtocol, StageKind, StageSpec

__all__ = ["RunPlan", "RunProtocol", "StageKind", "StageSpec"]


def __getattr__(name: str) -> Any:
    # Predictions are in this package too, and need no torch.
    if name in __all__:
        return getattr(importlib.import_module("limbeck.runs.run_plan"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
