"""The source that a section ``data`` names: its options checked, its rows loaded."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from limbeck import registry
from limbeck.data import object_constructor, source_constructor
from limbeck.data.readers.objects import is_table
from limbeck.data.sources.constructors import load
from limbeck.errors import ArgumentError, LimbeckError, RecipeError
from limbeck.recipes.fitting_tasks import fitting_tasks
from limbeck.recipes.options import construct, option_types, place_of, resolve_options, unnamed
from limbeck.recipes.sections import resolve_section
from limbeck.tasks import Task

__all__ = ["DataSpec", "load_object", "load_source", "parse_data", "resolve_object", "resolve_source"]

# The source of rows that are given in Python.
OBJECT = "object"
# The settings of a task that are sources of their own.
_further = ("unlabelled", "test_from")


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
        raise unnamed(spec, path)
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
    return {"use": OBJECT, **options}


@dataclass(frozen=True, kw_only=True)
class DataSpec:
    """The section ``data``.

    Args:
        source: ``use`` and the options of the source.
        settings: those of the task, with the sections ``unlabelled`` and ``test_from`` of further sources.
    """

    source: Mapping[str, Any]
    settings: Mapping[str, Any]

    @property
    def is_object(self) -> bool:
        """Whether the rows are given in Python."""
        return bool(self.source["use"] == OBJECT)

    def to_dict(self) -> dict[str, Any]:
        """As a recipe has it."""
        return {**self.source, **self.settings}

    def load(self, task: type[Task], data: Any = None) -> Task:
        """The task with these rows.

        Args:
            task: takes the rows.
            data: given in Python, in place of those of the source; None for none.

        Raises:
            LimbeckError: if they cannot be read.
        """
        if data is None:
            with _naming_tasks(task, self.source):
                return self._with_rows(task, load_source(task, self.source, "data"))
        return self._with_rows(task, load_object(task, data, self.source))

    def _with_rows(self, task: type[Task], rows: Any) -> Task:
        others = {
            name: load_source(task, self.settings[name], f"data.{name}") for name in _further if self.settings.get(name)
        }
        loaded: Task = construct(
            lambda **given: task(rows, task.Settings(**given), **others), self.settings, path="data"
        )
        return loaded


@contextmanager
def _naming_tasks(task: type[Task], source: Mapping[str, Any]) -> Iterator[None]:
    """Name the tasks that fit in an error on labels of another kind than the task predicts."""
    try:
        yield
    except LimbeckError as error:
        of_source = error.path == source["use"]
        # Numbers that happen to be whole are taken as classes, of which there are then too many to split.
        if not (of_source and error.code == "wrong_type") and error.path not in ("data.test", "data.validation"):
            raise
        tasks = fitting_tasks(source, task)
        if not tasks or (not of_source and not _are_numbers(task, source)):
            raise
        path = "data" if of_source else error.path
        message = f"{error}; the task that fits these data is {' or '.join(tasks)}"
        raise type(error)(message, code=error.code, path=path) from error


def _are_numbers(task: type[Task], source: Mapping[str, Any]) -> bool:
    """Whether the labels of a source are numbers by themselves."""
    rows = load(task.row_type, None, source)["train"] if source["use"] in registry.names("source") else None
    return rows is not None and bool(rows.target.is_floating_point())


def parse_data(given: Mapping[str, Any], task: type[Task], is_object: bool) -> DataSpec:
    """The section ``data`` with every default written out.

    Args:
        given: the section.
        task: takes the rows.
        is_object: whether the rows are given in Python.

    Raises:
        RecipeError: if there is no such source, or an option cannot be right.
    """
    own = option_types(task.Settings)
    source = {option: value for option, value in given.items() if option not in own}
    try:
        settings = _settings({option: value for option, value in given.items() if option in own}, task)
    except RecipeError as error:
        raise _with_file_option(error, given, task, source) from error
    if is_object and source.get("use", OBJECT) == OBJECT:
        options = resolve_object(task, source, beside=own) if set(source) - {"use"} else {"use": OBJECT}
        return DataSpec(source=options, settings=settings)
    if source.get("use") == OBJECT:
        raise RecipeError.at(
            "data", "this run had its data from Python; give it again, as in limbeck.run(…, data=…)", code="missing"
        )
    if not source:
        raise RecipeError(
            "data names no source; give data: {use: NAME}, as in data: {use: digits}", code="missing", path="data"
        )
    options = resolve_source(task, source, "data", beside=own)
    return DataSpec(source={"use": OBJECT} if is_object else options, settings=settings)


def _with_file_option(
    error: RecipeError, given: Mapping[str, Any], task: type[Task], source: Mapping[str, Any]
) -> RecipeError:
    """The error, with the option of a file where one is given for a share of the rows."""
    option = str(error.path).removeprefix("data.")
    if not isinstance(given.get(option), str) or not isinstance(source.get("use"), str):
        return error
    known = inspect.signature(_constructor(task, source, "data")).parameters
    meant = [name for name in known if name.startswith(f"{option}_")]
    if not meant:
        return error
    return RecipeError(
        f"{error}; rows of another file are {meant[0]}: {given[option]}", code=error.code, path=error.path
    )


def _settings(given: Mapping[str, Any], task: type[Task]) -> dict[str, Any]:
    settings = resolve_section(task.Settings, given, "data")
    for section, entry in task.sections.items():
        if settings[section] is not None:
            settings[section] = resolve_section(entry, settings[section], f"data.{section}")
    for other in _further:
        if settings.get(other) is not None:
            settings[other] = resolve_source(task, settings[other], f"data.{other}")
    return settings


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
    return construct(constructor, _options(spec) if spec.get("use") == OBJECT else {}, path="data").load()


def _constructor(task: type[Task], spec: Mapping[str, Any], path: str) -> Callable[..., Any]:
    try:
        return source_constructor(task.row_type, task.label_type, spec)
    except ArgumentError as error:
        tasks = fitting_tasks(spec, task) if error.code == "unsupported" else ()
        fitting = f" The task that fits these data is {' or '.join(tasks)}." if tasks else ""
        raise RecipeError(
            f"{path}: {error}{fitting}", code=error.code, path=place_of(error, path, set(spec) - {"use"})
        ) from error


def _options(spec: Mapping[str, Any]) -> dict[str, Any]:
    return {option: value for option, value in spec.items() if option != "use"}
