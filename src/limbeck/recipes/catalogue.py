"""What a recipe may use, told from the registered constructors themselves."""

from __future__ import annotations

import inspect
from typing import Any

from limbeck import registry
from limbeck.errors import ArgumentError, suggest
from limbeck.recipes.options import FROM_TRAIN, option_types
from limbeck.recipes.schema import FROM_TASK, ExportSettings, MeasureSettings
from limbeck.tasks import DataSettings
from limbeck.training.settings import Settings

__all__ = ["describe", "explain", "listing"]

_kinds = ("loss", "schedule", "temperature", "balance", "model", "source", "metric")
_sections = {"data": DataSettings, "train": Settings, "measure": MeasureSettings, "export": ExportSettings}


def describe() -> dict[str, Any]:
    """Every section and entry, with the types and defaults of its options."""
    entries = {
        kind: {name: _options(kind, name) for name in registry.names(kind)} for kind in _kinds if kind != "metric"
    }
    return {"schema": 1, "sections": {name: option_types(entry) for name, entry in _sections.items()}, **entries}


def _options(kind: str, name: str) -> dict[str, Any]:
    supplied = {"model": FROM_TASK, "temperature": FROM_TRAIN}.get(kind, ())
    return option_types(registry.lookup(kind, name), supplied)


def listing() -> str:
    """One line for each entry: its kind, its name and what it is."""
    lines = []
    for kind in _kinds:
        lines.append(f"{kind}")
        for name in registry.names(kind):
            text = inspect.getdoc(registry.lookup(kind, name)) or ""
            lines.append(f"  {name:<28} {text.partition(chr(10))[0]}")
    return "\n".join(lines)


def explain(name: str) -> str:
    """The signature and documentation of one entry.

    Raises:
        ArgumentError: if no kind has an entry of this name.
    """
    for kind in _kinds:
        if name in registry.names(kind):
            entry = registry.lookup(kind, name)
            return f"{kind} {name}{inspect.signature(entry)}\n\n{inspect.getdoc(entry) or ''}"
    known = [entry for kind in _kinds for entry in registry.names(kind)]
    raise ArgumentError(f"no entry {name!r}.{suggest(name, known)}")
