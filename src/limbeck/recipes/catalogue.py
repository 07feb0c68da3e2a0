"""What a recipe may use, told from the registered constructors themselves."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterable
from dataclasses import asdict
from itertools import groupby
from typing import Any

from limbeck import registry
from limbeck.recipes.caching.settings import CacheSettings
from limbeck.recipes.methods import KINDS, Input, Method, Option, find, methods, options_of
from limbeck.recipes.options import option_types
from limbeck.recipes.schema import ExportSettings, MeasureSettings
from limbeck.tasks import DataSettings
from limbeck.training.settings import Settings

__all__ = ["as_json", "describe", "explain", "listing"]

_sections = {
    "data": DataSettings,
    "cache": CacheSettings,
    "train": Settings,
    "measure": MeasureSettings,
    "export": ExportSettings,
}


def describe() -> dict[str, Any]:
    """Every section and entry, with the types and defaults of its options."""
    kinds = [kind for kind in KINDS if kind != "metric" and registry.names(kind)]
    entries = {kind: {name: options_of(kind, name) for name in registry.names(kind)} for kind in kinds}
    tasks = {name: {"data": option_types(registry.lookup("task", name).Settings)} for name in registry.names("task")}
    sections = {name: option_types(entry) for name, entry in _sections.items()}
    return {"schema": 1, "sections": sections, "tasks": tasks, **entries}


def listing() -> str:
    """One line for each entry, its name and what it is, by kind; losses by the knowledge that they transfer."""
    lines: list[str] = []
    for kind, of_kind in groupby(methods(), key=lambda method: method.kind):
        lines.append(kind)
        for knowledge, found in groupby(of_kind, key=lambda method: method.knowledge):
            if kind == "loss":
                lines.append(f"  on {knowledge or 'something else'}")
            indent = "    " if kind == "loss" else "  "
            lines += [f"{indent}{method.name:<26} {method.summary}".rstrip() for method in found]
    return "\n".join(lines)


def as_json(name: str | None = None) -> dict[str, Any]:
    """All entries, or one, with everything that `explain` tells of them.

    Raises:
        ArgumentError: if no kind has an entry of this name.
    """
    return {"schema": 1, "methods": [asdict(method) for method in ([find(name)] if name else methods())]}


def explain(name: str, *, width: int = 80) -> str:
    """One entry: its equation, inputs, options with defaults, result, cost and papers.

    Raises:
        ArgumentError: if no kind has an entry of this name.
    """
    method = find(name)
    parts = [
        _heading(method),
        _flowed([method.summary], width, ""),
        _flowed(method.explanation, width),
        _part("As a module", _flowed(method.setup, width)),
        _part("Inputs", "\n".join(_input(key, value, width) for key, value in method.inputs.items())),
        _part("Options", "\n".join(_option(key, value, width) for key, value in method.options.items())),
        _part("Gives", _flowed([method.returns or ""], width)),
        _part("Cost per step", _flowed(method.cost, width)),
        _part("Papers", _flowed(method.references, width)),
        _part("In Python", "\n".join(f"  {path}" for path in method.objects)),
    ]
    return "\n\n".join(part for part in parts if part)


def _heading(method: Method) -> str:
    return f"{method.kind} {method.name}" + (f" (on {method.knowledge})" if method.knowledge else "")


def _part(title: str, text: str) -> str:
    return f"{title}\n{text}" if text else ""


def _flowed(paragraphs: Iterable[str], width: int, indent: str = "  ") -> str:
    return "\n\n".join(
        "\n".join(_wrapped(item, width, indent, 2 * item.startswith("- ")) for item in paragraph.split("\n"))
        for paragraph in paragraphs
    )


def _wrapped(text: str, width: int, indent: str, hanging: int = 0) -> str:
    further = indent + " " * hanging
    return textwrap.fill(
        text, width, initial_indent=indent, subsequent_indent=further, break_long_words=False, break_on_hyphens=False
    )


def _input(name: str, value: Input, width: int) -> str:
    otherwise = "no default address" if value.required else "may be left out"
    return _described(f"{name}  {f'reads {value.reads}' if value.reads else otherwise}", value.meaning, width)


def _option(name: str, option: Option, width: int) -> str:
    default = "no default" if option.required else f"default {json.dumps(option.default, ensure_ascii=False)}"
    return _described(f"{name}  {option.type}, {default}", option.meaning, width)


def _described(head: str, meaning: str, width: int) -> str:
    first = _wrapped(head, width, "  ", hanging=2)
    return f"{first}\n{_wrapped(meaning, width, '      ')}" if meaning else first
