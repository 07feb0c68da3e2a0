"""Data frames and lists of records that are given in Python."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from limbeck.data.readers.reader import Record, Records, located
from limbeck.errors import ArgumentError

__all__ = ["Objects", "is_table"]


def is_table(value: Any) -> bool:
    """Whether an object is a data frame (of pandas, polars, pyarrow or the like) or a list of mappings."""
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return bool(value) and all(isinstance(row, Mapping) for row in value)
    return _names(value) is not None and hasattr(value, "__getitem__")


class Objects:
    """Data frames, or lists of mappings, as records.

    Args:
        data: one of them, with the training rows; or several, by ``train``, ``validation`` and ``test``.

    Raises:
        ArgumentError: if it is none of these.

    >>> rows = Objects([{"size": 2, "price": 7.5}]).records()["train"]
    >>> [record for _, record in rows]
    [{'size': 2, 'price': 7.5}]
    """

    def __init__(self, data: Any) -> None:
        tables = dict(data) if isinstance(data, Mapping) else {"train": data}
        for name, table in tables.items():
            if not is_table(table):
                raise ArgumentError.at(
                    "data",
                    f"{name!r} is a {type(table).__name__}; give a data frame or a list of mappings",
                    code="wrong_type",
                )
        self.tables = tables

    def records(self) -> Mapping[str, Records]:
        """The records of each table."""
        origins = {name: f"the data frame {name!r}" for name in self.tables}
        return {
            name: Records(origins[name], located(origins[name], _rows(table))) for name, table in self.tables.items()
        }


def _names(frame: Any) -> list[str] | None:
    names = getattr(frame, "column_names", getattr(frame, "columns", None))
    try:
        return None if names is None else [str(name) for name in names]
    except TypeError:
        return None


def _rows(table: Any) -> Iterator[Record]:
    if isinstance(table, Sequence):
        yield from table
        return
    names = _names(table) or []
    columns = [_values(table[name]) for name in names]
    for cells in zip(*columns, strict=True):
        yield dict(zip(names, cells, strict=True))


def _values(column: Any) -> list[Any]:
    """The values of a column as plain Python objects, None where one is missing."""
    for name in ("to_list", "to_pylist", "tolist"):
        if hasattr(column, name):
            values = list(getattr(column, name)())
            break
    else:
        values = list(column)
    if hasattr(column, "isna"):  # pandas has several objects that stand for a missing value
        values = [None if gone else value for value, gone in zip(values, column.isna(), strict=True)]
    return values
