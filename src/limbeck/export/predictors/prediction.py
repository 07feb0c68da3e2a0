"""What a predictor returns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

__all__ = ["Prediction"]


@dataclass(frozen=True)
class Prediction:
    """The prediction for one input.

    Args:
        found: in plain types, as ``limbeck predict --json`` prints it.
        line: for people, in one line.
    """

    found: dict[str, Any]
    line: str
