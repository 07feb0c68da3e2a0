"""Which tasks can use the rows of a source, for the error of one that cannot."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from typing import Any

from limbeck import registry
from limbeck.data.sources.constructors import load, source_constructor
from limbeck.errors import LimbeckError
from limbeck.tasks import Task

__all__ = ["fitting_tasks"]


def fitting_tasks(spec: Mapping[str, Any], task: type[Task]) -> tuple[str, ...]:
    """The names of the other tasks that can use the rows of a section ``{"use": NAME, …}``, sorted.

    >>> from limbeck.tasks import ImageClassification
    >>> fitting_tasks({"use": "diabetes"}, ImageClassification)
    ('regression',)
    """
    return tuple(_fitting(spec, task))


def _fitting(spec: Mapping[str, Any], task: type[Task]) -> Iterator[str]:
    for name in registry.names("task"):
        other: type[Task] = registry.lookup("task", name)
        if other is task or inspect.isabstract(other):
            continue
        try:
            # Split as well: numbers that happen to be whole are classes, but too many of them.
            other(load(other.row_type, other.label_type, _known(other, spec)), other.Settings())
        except LimbeckError:
            continue
        yield name


def _known(task: type[Task], spec: Mapping[str, Any]) -> dict[str, Any]:
    """The options that a source has for this task: the label types of two tasks have different ones."""
    constructor = source_constructor(task.row_type, task.label_type, spec)
    return {key: value for key, value in spec.items() if key in ("use", *inspect.signature(constructor).parameters)}
