"""The columns of a table: which are numbers, which are categories, and how both become arrays."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from limbeck.data.labels.classes import rising
from limbeck.data.readers.reader import Position, check_utf8
from limbeck.data.row_errors import kind_of
from limbeck.errors import DataError, suggest

__all__ = ["Cell", "Column", "Row", "encode", "fit_columns", "read_cell", "wrong_cells"]

Cell: TypeAlias = str | int | float | None
Row: TypeAlias = Mapping[str, Cell]

_LARGEST = float(np.finfo(np.float32).max)


@dataclass(frozen=True)
class Column:
    """A column of a table.

    Args:
        name: its name.
        categories: the values of a column of categories, in rising order; None for a column of numbers.

    >>> Column("colour", ("blue", "red")).is_numeric
    False
    """

    name: str
    categories: tuple[str, ...] | None = None

    @property
    def is_numeric(self) -> bool:
        return self.categories is None

    @property
    def codes(self) -> int:
        """The number of codes of a column of categories: one for each, and 0 for any other value."""
        return len(self.categories or ()) + 1


def read_cell(value: Any, column: str) -> Cell:
    """A cell as text without spaces around it, as a number, or None where there is nothing or NaN.

    True and False are text.

    Raises:
        ValueError: if it holds anything else, or an infinite number.
    """
    if isinstance(value, str):
        check_utf8(value, f"the column {column!r}")
        text = value.strip()
        return None if text == "" or text.lower() == "nan" else text
    if isinstance(value, bool):
        return str(value)
    if value is None:
        return None
    if not isinstance(value, int | float):
        raise ValueError(f"the column {column!r} holds {kind_of(value)}, not a number or text")
    if isinstance(value, float) and math.isnan(value):
        return None
    if abs(value) > _LARGEST:
        raise ValueError(f"the column {column!r} holds {value!r}; expected a finite number of float32")
    return value


def fit_columns(
    rows: Sequence[Row], positions: Sequence[Position], names: Sequence[str], categorical: Collection[str]
) -> tuple[Column, ...]:
    """The columns of these training rows.

    A column is one of numbers if every value in it is a number, and one of categories if none is, or if it is named.

    Args:
        rows: the training rows.
        positions: where each comes from.
        names: of the columns, in order.
        categorical: columns of categories, whatever they hold.

    Raises:
        DataError: if a column has no value at all, or holds numbers and text.
    """
    for name in categorical:
        if name not in names:
            raise DataError.at("categorical", f"no feature {name!r}.{suggest(name, names)}", code="unknown_name")
    return tuple(_column(name, rows, positions, forced=name in categorical) for name in names)


def _column(name: str, rows: Sequence[Row], positions: Sequence[Position], *, forced: bool) -> Column:
    values = [row.get(name) for row in rows]
    known = {value for value in values if value is not None}
    if not known:
        raise DataError(
            f"the column {name!r} has no value in the training rows; leave it out of features",
            code="missing",
            path=name,
        )
    texts = {value for value in known if _number(value) is None}
    if not texts and not forced:
        return Column(name)
    if len(texts) < len(known) and not forced:
        at = next(at for at, value in enumerate(values) if value in texts)
        raise DataError.at(
            positions[at],
            f"the column {name!r} holds {values[at]!r}, and numbers in other rows; mend the row, or "
            f"say categorical: [{name}]",
            code="invalid_row",
        )
    return Column(name, rising({_category(value) for value in known}))


def wrong_cells(rows: Sequence[Row], columns: Sequence[Column]) -> dict[int, str]:
    """Which rows lack a column or have no number in a column of numbers, each with the reason."""
    wrong = {}
    for at, row in enumerate(rows):
        for column in columns:
            if column.name not in row:
                wrong[at] = f"it has no column {column.name!r}"
            elif column.is_numeric and row[column.name] is not None and _number(row[column.name]) is None:
                wrong[at] = f"the column {column.name!r} holds {row[column.name]!r}, not a number"
    return wrong


def encode(rows: Sequence[Row], columns: Sequence[Column]) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Rows as arrays.

    Returns:
        The columns of numbers, float32 ``[N, F]``, NaN where there is no value; and those of categories, int64
        ``[N, G]``: 1 for the first category of a column and so on, 0 where there is no value or one of no category.

    >>> numbers, codes = encode([{"size": 2.0, "kind": "b"}], [Column("size"), Column("kind", ("a", "b"))])
    >>> numbers.tolist(), codes.tolist()
    ([[2.0]], [[2]])
    """
    numbers = [_numbers(rows, column.name) for column in columns if column.is_numeric]
    codes = [_codes(rows, column) for column in columns if not column.is_numeric]
    empty = np.empty((len(rows), 0))
    return (
        np.stack(numbers, axis=1) if numbers else empty.astype(np.float32),
        np.stack(codes, axis=1) if codes else empty.astype(np.int64),
    )


def _numbers(rows: Sequence[Row], name: str) -> NDArray[np.float32]:
    values = (_number(row[name]) for row in rows)
    return np.array([math.nan if value is None else value for value in values], np.float32)


def _codes(rows: Sequence[Row], column: Column) -> NDArray[np.int64]:
    codes = {category: code for code, category in enumerate(column.categories or (), start=1)}
    values = (row[column.name] for row in rows)
    return np.array([0 if value is None else codes.get(_category(value), 0) for value in values], np.int64)


def _number(value: Cell) -> float | None:
    if value is None:
        return None
    try:
        number = float(value)
    except ValueError:
        return None
    # Python allows underscores in numbers; tables do not.
    return number if abs(number) <= _LARGEST and "_" not in str(value) else None


def _category(value: str | float) -> str:
    """The name of a category: a whole number has no decimals."""
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)
