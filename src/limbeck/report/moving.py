"""What moved beside the losses: weights of terms, norms of their gradients, temperatures."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from limbeck.report.curves import Line
from limbeck.report.formatting import count, finite, significant
from limbeck.report.markup import fold, table, text

__all__ = ["moving"]

_groups = {"weights": "weight", "gradient_norms": "gradient norm", "temperatures": "temperature"}


def moving(events: Iterable[Mapping[str, Any]]) -> str:
    """A table of the quantities of terms that were not the same at every logged step; nothing where all were."""
    values: dict[tuple[str, int, str, str], list[float]] = {}
    for event in events:
        for group in _groups:
            found = event.get(group)
            for name, value in found.items() if isinstance(found, Mapping) else ():
                known = finite(value) if isinstance(value, int | float) else None
                if known is not None:
                    place = (str(event["stage"]), int(event["seed"]), group, str(name))
                    values.setdefault(place, []).append(known)
    rows = [
        [text(part) for part in (Line(stage, seed, []).name, f"{_groups[group]} of {name}", *_figures(found))]
        for (stage, seed, group, name), found in values.items()
        if min(found) < max(found)
    ]
    head = ["line", "quantity", "points", "first", "lowest", "highest", "last"]
    return fold("Weights, gradient norms and temperatures that moved", table(head, rows)) if rows else ""


def _figures(values: list[float]) -> list[str]:
    return [count(len(values)), *(significant(value) for value in (values[0], min(values), max(values), values[-1]))]
