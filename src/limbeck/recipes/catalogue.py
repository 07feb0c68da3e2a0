"""Descriptions of what a recipe may use, as text and as JSON."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterable
from dataclasses import asdict
from itertools import groupby
from typing import Any

from limbeck import registry
from limbeck.recipes.registry_entries import Input, Option, RegistryEntry, find, registry_entries

__all__ = ["as_json", "describe", "explain", "listing"]


def describe() -> dict[str, Any]:
    """Every section and, by kind, every entry, with the types and defaults of the options; data under its task.

    A model or a tokenizer is a list: its entries, each with what it can be used for.
    """
    kinds: dict[str, dict[str, Any]] = {}
    for entry in sorted(registry_entries(), key=lambda entry: (entry.kind, entry.name)):
        options = {name: _type_and_default(option) for name, option in entry.options.items()}
        if entry.capabilities is None:
            kinds.setdefault(entry.kind, {})[entry.name] = options
        else:
            described = {**asdict(entry.capabilities), "options": options}
            kinds.setdefault(entry.kind, {}).setdefault(entry.name, []).append(described)
    return {"schema": 1, "sections": registry.read_index()["sections"], **kinds}


def _type_and_default(option: Option) -> dict[str, Any]:
    return {"type": option.type} if option.required else {"type": option.type, "default": option.default}


def listing() -> str:
    """One line for each entry, its name and what it is, by kind; losses by the knowledge that they transfer, models
    and tokenizers by what they can be used for."""
    lines: list[str] = []
    for kind, of_kind in groupby(registry_entries(), key=lambda entry: entry.kind):
        lines.append(kind)
        for group, entries in groupby(of_kind, key=_group):
            lines += [f"  {group}"] if group else []
            indent = "    " if group else "  "
            lines += [f"{indent}{entry.name:<26} {entry.summary}".rstrip() for entry in entries]
    return "\n".join(lines)


def _group(entry: RegistryEntry) -> str:
    if entry.capabilities is not None:
        return str(entry.capabilities)
    return f"on {entry.knowledge or 'something else'}" if entry.kind == "loss" else ""


def as_json(name: str | None = None) -> dict[str, Any]:
    """All entries, or those of one name, with everything that `explain` shows.

    Raises:
        ArgumentError: if no kind has an entry of this name.
    """
    return {"schema": 1, "methods": [asdict(entry) for entry in (find(name) if name else registry_entries())]}


def explain(name: str, *, width: int = 80) -> str:
    """The entries of a name: equation, inputs, options with defaults, result, cost and papers.

    Raises:
        ArgumentError: if no kind has an entry of this name.
    """
    return "\n\n".join(_explained(entry, width) for entry in find(name))


def _explained(entry: RegistryEntry, width: int) -> str:
    parts = [
        _heading(entry),
        _flowed([entry.summary], width, ""),
        _flowed(entry.explanation, width),
        _part("As a module", _flowed(entry.setup, width)),
        _part("Inputs", "\n".join(_input(key, value, width) for key, value in entry.inputs.items())),
        _part("Options", "\n".join(_option(key, value, width) for key, value in entry.options.items())),
        _part("In a recipe", _flowed([entry.recipe or ""], width)),
        _part("Returns", _flowed([entry.returns or ""], width)),
        _part("Cost per step", _flowed(entry.cost, width)),
        _part("Papers", _flowed(entry.references, width)),
        _part("In Python", "\n".join(f"  {path}" for path in entry.objects)),
    ]
    return "\n\n".join(part for part in parts if part)


def _heading(entry: RegistryEntry) -> str:
    group = _group(entry) if entry.knowledge or entry.capabilities else ""
    return f"{entry.kind} {entry.name}" + (f" ({group})" if group else "")


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
