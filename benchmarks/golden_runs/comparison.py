"""The differences between two recordings of one run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

# The ends of an interval are means over draws, whose last bits depend on how products are grouped.
INTERVAL = 1e-9
ENDS = ("low", "high")
SHOWN = 100  # characters of a value

Record = Mapping[str, Mapping[str, Any]]


def differences(old: Record, new: Record) -> Iterator[str]:
    """One line for every old value that is missing or differs; what is new is no difference."""
    for section, values in old.items():
        others = new.get(section, {})
        for path, value in values.items():
            if path not in others:
                yield f"{section}: {path}: {_short(value)} is missing"
            elif not _is_equal(section, path, value, others[path]):
                yield f"{section}: {path}: {_short(value)} is now {_short(others[path])}"


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}…"


def _is_equal(section: str, path: str, old: Any, new: Any) -> bool:
    is_end = section == "results" and path.rpartition("/")[2] in ENDS
    if is_end and isinstance(old, float) and isinstance(new, float):
        return abs(old - new) <= INTERVAL
    return type(old) is type(new) and bool(old == new)
