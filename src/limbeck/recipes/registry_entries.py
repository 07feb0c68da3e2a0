"""Descriptions of the entries that a recipe may `use`, read from the index without importing them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from limbeck import registry
from limbeck.errors import ArgumentError, suggest
from limbeck.registry import Capabilities, Index

__all__ = ["Input", "Option", "RegistryEntry", "find", "registry_entries"]

# In the order in which losses are listed.
_KNOWLEDGE = (
    "labels",
    "outputs",
    "features",
    "relations between layers",
    "relations between samples",
    "weights",
    "transformers",
)


@dataclass(frozen=True)
class Input:
    """An argument of a loss.

    Args:
        reads: the address that it reads by default.
        required: whether the loss needs it.
        meaning: what it is.
    """

    reads: str | None
    required: bool
    meaning: str


@dataclass(frozen=True)
class Option:
    """An option of a constructor; one that is required has no default."""

    type: str
    required: bool
    default: Any
    meaning: str


@dataclass(frozen=True)
class RegistryEntry:
    """One entry of the registry.

    Args:
        kind: as it is registered.
        name: as a recipe uses it.
        module: the module that defines it.
        capabilities: what a model or a tokenizer can be used for; None for other kinds.
        knowledge: what a loss transfers; None for other kinds, and for a loss that does not say so.
        summary: the first line of its docstring.
        explanation: paragraphs, the equation of a loss first.
        setup: paragraphs about the state and the parameters of a loss.
        inputs: the arguments of a loss.
        options: the options of the constructor.
        returns: what it returns.
        recipe: how a recipe names a teacher; None for other kinds.
        cost: the cost of one step.
        references: papers.
        objects: where users import it from.
    """

    kind: str
    name: str
    module: str
    capabilities: Capabilities | None
    knowledge: str | None
    summary: str
    explanation: tuple[str, ...]
    setup: tuple[str, ...]
    inputs: Mapping[str, Input]
    options: Mapping[str, Option]
    returns: str | None
    recipe: str | None
    cost: tuple[str, ...]
    references: tuple[str, ...]
    objects: tuple[str, ...]


def registry_entries() -> Iterator[RegistryEntry]:
    """All entries by kind, losses by what they transfer, models by what they can be used for, then by name."""
    for kind in registry.kinds():
        entries = [entry for name in registry.names(kind) for entry in _entries(kind, name)]
        yield from sorted(entries, key=lambda entry: (*_place(entry.knowledge), str(entry.capabilities or "")))


def find(name: str) -> tuple[RegistryEntry, ...]:
    """The entries of this name, of all kinds.

    Raises:
        ArgumentError: if no kind has one.
    """
    kinds = [kind for kind in registry.kinds() if name in registry.names(kind)]
    if not kinds:
        known = {entry for kind in registry.kinds() for entry in registry.names(kind)}
        raise ArgumentError(f"no entry {name!r}.{suggest(name, sorted(known))}", code="unknown_name", path="name")
    return tuple(entry for kind in kinds for entry in _entries(kind, name))


def _place(knowledge: str | None) -> tuple[int, str]:
    place = _KNOWLEDGE.index(knowledge) if knowledge in _KNOWLEDGE else len(_KNOWLEDGE)
    return place, knowledge or "\uffff"


def _entries(kind: str, name: str) -> Iterator[RegistryEntry]:
    index: Index = registry.read_index()["kinds"]
    indexed = index.get(kind, {}).get(name, ())
    yield from (_entry(kind, name, described) for described in indexed)
    if not indexed:
        registry.lookup(kind, name)  # loads an entry point
    modules = {described["module"] for described in indexed}
    for plugin in registry.registered(kind, name):
        if plugin.entry.__module__ not in modules:
            # Imports torch, as the plugin that registered the entry has done.
            from limbeck.recipes.registry_index import describe_entry

            yield describe_entry(plugin)


def _entry(kind: str, name: str, described: Mapping[str, Any]) -> RegistryEntry:
    fields: dict[str, Any] = {
        **{key: tuple(value) if isinstance(value, list) else value for key, value in described.items()},
        "kind": kind,
        "name": name,
        "capabilities": Capabilities.of_index(described) if described["capabilities"] else None,
        "inputs": {key: Input(**value) for key, value in described["inputs"].items()},
        "options": {key: Option(**value) for key, value in described["options"].items()},
    }
    return RegistryEntry(**fields)
