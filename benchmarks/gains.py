"""How far the student of a run is above its control, in the words of the pages."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["accuracy", "effect", "gain", "interval"]


def accuracy(results: Mapping[str, Any], model: str) -> float:
    """The share of test rows that a model gets right, the mean over its seeds."""
    value: float = results["models"][model]["metrics"]["accuracy"]["value"]
    return value


def gain(results: Mapping[str, Any]) -> Mapping[str, float]:
    """The accuracy of the student above that of its control, with its 95% interval."""
    pair = ("student", "control", "accuracy")
    return next(one for one in results["comparisons"] if (one["a"], one["b"], one["metric"]) == pair)


def interval(found: Mapping[str, float]) -> str:
    """A gain in points, with the interval."""
    return f"{100 * found['difference']:+.1f} ({100 * found['low']:+.1f} to {100 * found['high']:+.1f})"


def effect(found: Mapping[str, float]) -> str:
    """What the interval says."""
    if found["low"] <= 0 <= found["high"]:
        return "no difference that this run can show"
    return "helped" if found["difference"] > 0 else "hurt"
