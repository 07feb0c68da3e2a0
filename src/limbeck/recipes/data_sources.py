"""The source that a section ``data`` names: its options checked, its rows loaded."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any

from limbeck.data import object_constructor, source_constructor
from limbeck.data.readers.objects import is_table
from limbeck.errors import ArgumentError, RecipeError
from limbeck.recipes.options import construct, resolve_options
from limbeck.tasks import Task

__all__ = ["load_object", "load_source", "resolve_object", "resolve_source"]


def resolve_source(task: type[Task], spec: Any, path: str, beside: Collection[str] = ()) -> dict[str, Any]:
    """A section ``{use: NAME, …}``, or NAME alone, with every default of the source written out.

    Args:
        task: takes the rows.
        spec: the section.
        path: its place in the recipe, for errors.
        beside: what the section takes beside the options, to suggest for a misspelt one.

    Raises:
        RecipeError: if there is no such source, or an option cannot be right.
    """
    if isinstance(spec, str):
        spec = {"use": spec}
    if not isinstance(spec, Mapping) or not isinstance(spec.get("use"), str):
        raise RecipeError(f"{path} is {spec!r}; write a name, or {{use: NAME}} with its options")
    name = spec["use"]
    options = resolve_options(_constructor(task, spec, path), _options(spec), path=path, name=name, beside=beside)
    return {"use": name, **options}


def resolve_object(task: type[Task], spec: Mapping[str, Any], beside: Collection[str] = ()) -> dict[str, Any]:
    """The section ``data`` of a run whose data are given in Python, with every default of the rows written out.

    Raises:
        RecipeError: if an option cannot be right.
    """
    constructor = object_constructor(task.row_type, task.label_type, None, spec)
    options = resolve_options(constructor, _options(spec), path="data", name="data from Python", beside=beside)
    return {"use": "object", **options}


def load_source(task: type[Task], spec: Mapping[str, Any], path: str) -> Any:
    """The rows of a resolved section."""
    return construct(_constructor(task, spec, path), _options(spec), path=path).load()


def load_object(task: type[Task], data: Any, spec: Mapping[str, Any]) -> Any:
    """The rows of data that are given in Python: data frames by the options of the section, others by the task."""
    parts = list(data.values()) if isinstance(data, Mapping) else [data]
    if not parts or not all(is_table(part) for part in parts):
        sets = task.from_objects(data)
        return sets if task.label_type is None else task.label_type.adapt(sets, "data")
    constructor = object_constructor(task.row_type, task.label_type, data, spec)
    return construct(constructor, _options(spec) if spec.get("use") == "object" else {}, path="data").load()


def _constructor(task: type[Task], spec: Mapping[str, Any], path: str) -> Callable[..., Any]:
    try:
        return source_constructor(task.row_type, task.label_type, spec)
    except ArgumentError as error:
        raise RecipeError(f"{path}: {error}") from error


def _options(spec: Mapping[str, Any]) -> dict[str, Any]:
    return {option: value for option, value in spec.items() if option != "use"}
