"""Everything that a recipe may `use`, told by the constructors and docstrings themselves."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import limbeck.measure  # noqa: F401  # registers the metrics
from limbeck import functional, registry
from limbeck.core.binding import arguments, default_address
from limbeck.errors import ArgumentError, suggest
from limbeck.recipes.docstrings import Docstring, read_docstring
from limbeck.recipes.options import FROM_TRAIN, option_types
from limbeck.tasks import Task

__all__ = ["KINDS", "Input", "Method", "Option", "find", "methods", "options_of"]

KINDS = (
    "loss",
    "schedule",
    "temperature",
    "balance",
    "model",
    "text_model",
    "pretrained_text_model",
    "masked_language_model",
    "tokenizer",
    "tagging_model",
    "pretrained_tagging_model",
    "tagging_tokenizer",
    "source",
    "text_source",
    "tagged_source",
    "metric",
)
_tasks: list[type[Task]] = [registry.lookup("task", name) for name in registry.names("task")]
_supplied: Mapping[str, tuple[str, ...]] = {
    "temperature": FROM_TRAIN,
    **{kind: task.supplied for task in _tasks for kind in task.models},
    **{kind: part.supplied for task in _tasks for part in task.parts.values() for kind in part.kinds},
}
# In the order in which losses are listed.
_knowledge = (
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
    """An argument of a loss: the address that it reads unless a term says another, and what it is."""

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
class Method:
    """One entry of the registry.

    Args:
        kind: as it is registered.
        name: as a recipe uses it.
        knowledge: of a loss, what it transfers; None of others, and of a loss that does not say it.
        summary: its first line.
        explanation: paragraphs, the equation of a loss first.
        setup: paragraphs on what a loss keeps and learns itself.
        inputs: of a loss.
        options: of the constructor.
        returns: what it gives.
        cost: of one step.
        references: papers.
        objects: where it stands in the package.
    """

    kind: str
    name: str
    knowledge: str | None
    summary: str
    explanation: tuple[str, ...]
    setup: tuple[str, ...]
    inputs: Mapping[str, Input]
    options: Mapping[str, Option]
    returns: str | None
    cost: tuple[str, ...]
    references: tuple[str, ...]
    objects: tuple[str, ...]


def options_of(kind: str, name: str) -> dict[str, Any]:
    """The options of an entry, with types and defaults."""
    return option_types(registry.lookup(kind, name), _supplied.get(kind, ()))


def methods() -> Iterator[Method]:
    """All entries by kind, losses by what they transfer, then by name."""
    for kind in KINDS:
        found = [_method(kind, name) for name in registry.names(kind)]
        yield from sorted(found, key=lambda method: _place(method.knowledge))


def find(name: str) -> Method:
    """The entry of this name, of the first kind that has one.

    Raises:
        ArgumentError: if no kind has one.
    """
    for kind in KINDS:
        if name in registry.names(kind):
            return _method(kind, name)
    known = [entry for kind in KINDS for entry in registry.names(kind)]
    raise ArgumentError(f"no entry {name!r}.{suggest(name, known)}")


def _place(knowledge: str | None) -> tuple[int, str]:
    place = _knowledge.index(knowledge) if knowledge in _knowledge else len(_knowledge)
    return place, knowledge or "\uffff"


def _method(kind: str, name: str) -> Method:
    entry = registry.lookup(kind, name)
    own = read_docstring(entry)
    function = getattr(functional, name, None) if kind == "loss" else None
    told = own if function is None else read_docstring(function)
    parts = [own] if told is own else [told, own]
    return Method(
        kind=kind,
        name=name,
        knowledge=next((part.section("Knowledge") for part in parts if part.section("Knowledge")), None),
        summary=told.summary,
        explanation=told.body,
        setup=() if told is own else (own.summary, *own.body),
        inputs=_inputs(entry, own, told) if kind == "loss" else {},
        options=_options(kind, name, own),
        returns=told.sections.get("Returns"),
        cost=tuple(part.sections["Cost"] for part in parts if "Cost" in part.sections),
        references=tuple(dict.fromkeys(paper for part in parts for paper in part.references)),
        objects=tuple(_path(found) for found in (entry, function) if found is not None),
    )


def _inputs(entry: Any, own: Docstring, told: Docstring) -> dict[str, Input]:
    meanings = {**told.arguments.get("Args", {}), **own.arguments.get("Inputs", {})}
    return {
        name: Input(default_address(name), parameter.default is inspect.Parameter.empty, meanings.get(name, ""))
        for name, parameter in arguments(entry).items()
    }


def _options(kind: str, name: str, own: Docstring) -> dict[str, Option]:
    meanings = own.arguments.get("Args", {})
    return {
        option: Option(told["type"], "default" not in told, told.get("default"), meanings.get(option, ""))
        for option, told in options_of(kind, name).items()
    }


def _path(entry: Any) -> str:
    """Where a user imports it from: rooms export what their modules with an underscore hold."""
    public = [part for part in entry.__module__.split(".") if not part.startswith("_")]
    return ".".join([*public, entry.__qualname__])
