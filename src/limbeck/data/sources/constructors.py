"""Sources of rows, as a recipe names them: complete ones, and readers with a row type and a label type."""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol, TypeAlias

from limbeck import registry
from limbeck.data.from_records import rows_from_records
from limbeck.data.labels.label_type import LabelType
from limbeck.data.readers.objects import Objects, is_table
from limbeck.errors import ArgumentError, DataError, suggest

__all__ = [
    "Loadable",
    "RowType",
    "from_objects",
    "load",
    "object_constructor",
    "row_kinds",
    "source_constructor",
    "sources_for",
]

RowType: TypeAlias = type[Any] | tuple[type[Any], ...]
"""A class of row sets; or several, of which a recipe chooses one by the option ``rows``."""


class Loadable(Protocol):
    """Rows that can be loaded."""

    def load(self) -> Mapping[str, Any]:
        """The row sets by split: ``train``, and where there are such ``validation`` and ``test``.

        Raises:
            DataError: if they cannot be read.
        """


def sources_for(row_type: RowType) -> tuple[str, ...]:
    """The names that ``data: {use: NAME}`` may have where a task takes these rows, sorted.

    >>> from limbeck.data import TagSet
    >>> sources_for(TagSet)
    ('conll', 'csv', 'datasets', 'jsonl', 'parquet', 'txt')
    """
    complete = (name for name in registry.names("source") if _gives(name, row_type))
    readers = registry.names("reader") if _of_records(row_type) else ()
    return tuple(sorted({*complete, *readers}))


def row_kinds(row_type: RowType, spec: Mapping[str, Any]) -> tuple[str, ...]:
    """The kinds of the rows, such as ``tables``, that a section ``{"use": NAME, …}`` gives where a task takes these.

    >>> from limbeck.data import ImageSet, TableSet
    >>> row_kinds((TableSet, ImageSet), {"use": "diabetes"}), row_kinds((TableSet, ImageSet), {"use": "csv"})
    (('tables',), ('tables',))
    """
    name = spec.get("use")
    if name in registry.names("source"):
        given = _all(getattr(registry.lookup("source", name), "row_type", ()))
        return tuple(one.kind for one in given if issubclass(one, _all(row_type)) and hasattr(one, "kind"))
    return (_chosen(row_type, spec)[0].kind,) if _of_records(row_type) else ()


def source_constructor(
    row_type: RowType, label_type: type[LabelType] | None, spec: Mapping[str, Any]
) -> Callable[..., Loadable]:
    """What makes the source that a recipe names; its signature has every option of the recipe.

    For a reader these are its own options, those of the row type, those of the label type, and ``skip``.

    Args:
        row_type: the rows that a task takes.
        label_type: how their labels are read; None for sources whose labels stay as they are.
        spec: ``{"use": NAME, **options}``; of the options only ``rows`` is read here.

    Raises:
        ArgumentError: if there is no such source for these rows, with the nearest name.
    """
    name = spec["use"]
    if name in registry.names("source") and _gives(name, row_type):
        return _complete(name, row_type, label_type)
    if name in registry.names("reader") and _of_records(row_type) and label_type is not None:
        return _combined(name, registry.lookup("reader", name), row_type, label_type, spec)
    known = sources_for(row_type)
    if name in registry.names("source"):
        raise ArgumentError(
            f"the source {name!r} has other rows than this task takes, {_names(row_type)}. Known: "
            f"{', '.join(map(repr, known))}.",
            code="unsupported",
            path="use",
        )
    raise ArgumentError(f"no source or reader {name!r}.{suggest(name, known)}", code="unknown_name", path="use")


def load(row_type: RowType, label_type: type[LabelType] | None, spec: Mapping[str, Any]) -> Mapping[str, Any]:
    """The row sets that ``data: {use: NAME, …}`` means.

    Args:
        row_type: the rows that a task takes.
        label_type: how their labels are read; None for sources whose labels stay as they are.
        spec: ``{"use": NAME, **options}``.

    Raises:
        ArgumentError: if there is no such source for these rows.
        DataError: if the data cannot be read.

    >>> from limbeck.data import FloatLabels, TableSet
    >>> len(load(TableSet, FloatLabels, {"use": "diabetes"})["train"])
    442
    """
    options = {name: value for name, value in spec.items() if name != "use"}
    return source_constructor(row_type, label_type, spec)(**options).load()


def object_constructor(
    row_type: RowType, label_type: type[LabelType] | None, data: Any, spec: Mapping[str, Any]
) -> Callable[..., Loadable]:
    """What makes a source of data frames, or lists of mappings, that are given in Python, as `source_constructor` does.

    Args:
        row_type: the rows that a task takes.
        label_type: how their labels are read.
        data: one of them, or several by split.
        spec: of the options only ``rows`` is read here.

    Raises:
        ArgumentError: if such rows are not made of records.
    """

    if label_type is None or not _of_records(row_type):
        raise ArgumentError(
            f"rows of {_names(row_type)} are not made of data frames; give them as a source loads them",
            code="unsupported",
            path="data",
        )

    def reader() -> Objects:
        return Objects(data)

    return _combined("object", reader, row_type, label_type, spec)


def from_objects(row_type: RowType, label_type: type[LabelType], data: Any, **options: Any) -> Mapping[str, Any]:
    """The row sets of data that are given in Python.

    Args:
        row_type: the rows that a task takes.
        label_type: how their labels are read.
        data: row sets by split, as they are; a data frame (of pandas, polars, pyarrow or the like) or a list of
            mappings; or several of these by split.
        options: of the row type and of the label type.

    Raises:
        ArgumentError: if it is none of these.
        DataError: if a row cannot be right.

    >>> from limbeck.data import FloatLabels, TableSet
    >>> data = from_objects(TableSet, FloatLabels, [{"size": 1, "price": 2.5}], label="price")["train"]
    >>> data.numeric.tolist(), data.target.tolist()
    ([[1.0]], [2.5])
    """
    if isinstance(data, Mapping) and data and all(isinstance(rows, _all(row_type)) for rows in data.values()):
        return data
    parts = list(data.values()) if isinstance(data, Mapping) else [data]
    if not parts or not all(is_table(part) for part in parts):
        raise ArgumentError(
            f"data is a {type(data).__name__}; give a data frame, a list of mappings, or "
            f"{{'train': {_names(row_type)}, …}}",
            code="wrong_type",
            path="data",
        )
    return object_constructor(row_type, label_type, data, options)(**options).load()


@dataclass(frozen=True)
class _RecordSource:
    reader: Any
    fields: Any
    labels: LabelType
    skip: bool

    def load(self) -> Mapping[str, Any]:
        return rows_from_records(self.reader.records(), self.fields, self.labels, skip=self.skip)


@dataclass(frozen=True)
class _CompleteSource:
    name: str
    source: Loadable
    row_type: RowType
    label_type: type[LabelType] | None

    def load(self) -> Mapping[str, Any]:
        sets = self.source.load()
        for split, rows in sets.items():
            if not isinstance(rows, self.row_type):
                raise DataError.at(
                    self.name,
                    f"{split} is a {type(rows).__name__}; this task takes {_names(self.row_type)}",
                    code="wrong_type",
                )
        return sets if self.label_type is None else self.label_type.adapt(sets, self.name)


def _complete(name: str, row_type: RowType, label_type: type[LabelType] | None) -> Callable[..., Loadable]:
    entry = registry.lookup("source", name)

    def construct(**options: Any) -> Loadable:
        return _CompleteSource(name, entry(**options), row_type, label_type)

    return _with_signature(construct, _parameters(entry))


def _combined(
    name: str, reader: Callable[..., Any], row_type: RowType, label_type: type[LabelType], spec: Mapping[str, Any]
) -> Callable[..., Loadable]:
    own = _parameters(reader)
    preset: Mapping[str, Any] = getattr(reader, "preset", {})
    chosen, choice = _chosen(row_type, spec)
    # An option of the reader takes the place of one of the same name: it says where its records have that.
    hidden = {*own, *preset}
    fields, labels = (
        {option: parameter for option, parameter in _parameters(entry).items() if option not in hidden}
        for entry in (chosen.fields, label_type)
    )
    skip = inspect.Parameter("skip", inspect.Parameter.KEYWORD_ONLY, default=False, annotation=bool)

    known = {**own, **choice, **fields, **labels}

    def construct(skip: bool = False, **options: Any) -> Loadable:
        def taken(entry: Callable[..., Any], visible: Mapping[str, Any]) -> Any:
            fixed = {option: value for option, value in preset.items() if option in _parameters(entry)}
            return entry(**fixed, **{option: options[option] for option in visible if option in options})

        unknown = [option for option in options if option not in known]
        if unknown:
            raise ArgumentError(
                f"{name} takes no {unknown[0]!r}.{suggest(unknown[0], known)}", code="unknown_name", path=unknown[0]
            )
        return _RecordSource(taken(reader, own), taken(chosen.fields, fields), taken(label_type, labels), skip)

    return _with_signature(construct, {**known, "skip": skip})


def _parameters(entry: Callable[..., Any]) -> dict[str, inspect.Parameter]:
    """The parameters of a constructor, with their types in place of the text of annotations."""
    hints = typing.get_type_hints(entry.__init__ if inspect.isclass(entry) else entry, include_extras=True)
    return {
        name: parameter.replace(annotation=hints.get(name, Any), kind=inspect.Parameter.KEYWORD_ONLY)
        for name, parameter in inspect.signature(entry).parameters.items()
        if parameter.kind in (inspect.Parameter.KEYWORD_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    }


def _with_signature(
    construct: Callable[..., Loadable], parameters: Mapping[str, inspect.Parameter]
) -> Callable[..., Loadable]:
    construct.__signature__ = inspect.Signature(list(parameters.values()))  # type: ignore[attr-defined]
    construct.__annotations__ = {name: parameter.annotation for name, parameter in parameters.items()}
    return construct


def _all(row_type: RowType) -> tuple[type[Any], ...]:
    return row_type if isinstance(row_type, tuple) else (row_type,)


def _names(row_type: RowType) -> str:
    return " or ".join(one.__name__ for one in _all(row_type))


def _of_records(row_type: RowType) -> Sequence[type[Any]]:
    """The row types that records can become."""
    return [one for one in _all(row_type) if hasattr(one, "fields")]


def _gives(name: str, row_type: RowType) -> bool:
    given = _all(getattr(registry.lookup("source", name), "row_type", ()))
    return any(issubclass(one, _all(row_type)) for one in given)


def _chosen(row_type: RowType, spec: Mapping[str, Any]) -> tuple[type[Any], dict[str, inspect.Parameter]]:
    """The row type that the option ``rows`` names, and this option, if there is a choice."""
    kinds = {one.kind: one for one in _of_records(row_type)}
    first = next(iter(kinds))
    if len(kinds) == 1:
        return kinds[first], {}
    choice: Any = Literal[tuple(kinds)]
    option = inspect.Parameter("rows", inspect.Parameter.KEYWORD_ONLY, default=first, annotation=choice)
    return kinds.get(spec.get("rows", first), kinds[first]), {"rows": option}
