"""Weights of terms, norms of their gradients and temperatures that change during training."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from limbeck.report.curves import Line
from limbeck.report.formatting import count, finite, significant
from limbeck.report.markup import fold, table, text

__all__ = ["animated_values"]

_GROUPS = {"weights": "weight", "gradient_norms": "gradient norm", "temperatures": "temperature"}


def animated_values(events: Iterable[Mapping[str, Any]]) -> str:
    """A table of the logged quantities of terms that changed; nothing if all of them stayed the same."""
    values: dict[tuple[str, int, str, str], list[float]] = {}
    for event in events:
        for group in _GROUPS:
            logged = event.get(group)
            for name, value in logged.items() if isinstance(logged, Mapping) else ():
                known = finite(value) if isinstance(value, int | float) else None
                if known is not None:
                    key = (str(event["stage"]), int(event["seed"]), group, str(name))
                    values.setdefault(key, []).append(known)
    rows = [
        [text(part) for part in (Line(stage, seed, []).name, f"{_GROUPS[group]} of {name}", *_figures(series))]
        for (stage, seed, group, name), series in values.items()
        if min(series) < max(series)
    ]
    head = ["line", "quantity", "points", "first", "lowest", "highest", "last"]
    return fold("Weights, gradient norms and temperatures that changed", table(head, rows)) if rows else ""


def _figures(values: list[float]) -> list[str]:
    return [count(len(values)), *(significant(value) for value in (values[0], min(values), max(values), values[-1]))]
