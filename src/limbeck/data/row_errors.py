"""Rows that cannot be right: refused with their position, or skipped and counted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from limbeck.data.readers.reader import Position
from limbeck.errors import DataError, suggest

__all__ = ["RowErrors", "cell", "kind_of"]


def kind_of(value: Any) -> str:
    """The type of a value, for a message.

    >>> kind_of(1.5), kind_of(None)
    ('a float', 'nothing')
    """
    return "nothing" if value is None else f"a {type(value).__name__}"


def cell(record: Mapping[str, Any], column: str) -> Any:
    """The value of a column.

    Raises:
        KeyError: with the column, if there is none.
    """
    if column not in record:
        raise KeyError(column)
    return record[column]


@dataclass
class RowErrors:
    """The rows of one file that cannot be right.

    Args:
        origin: the file, for messages.
        skip: leave such rows out, instead of refusing the file.
    """

    origin: str
    skip: bool
    reasons: Counter[str] = field(default_factory=Counter)

    def refuse(self, position: Position, reason: str) -> None:
        """Count the row as skipped, where the recipe says ``skip: true``.

        Raises:
            DataError: where it does not.
        """
        if not self.skip:
            raise DataError.at(position, f"{reason}; mend the row, or say skip: true", code="invalid_row")
        self.reasons[reason] += 1

    def without(self, column: str, record: Any) -> DataError:
        """The error for a record that has no such column."""
        return DataError(
            f"{self.origin} has no column {column!r}.{suggest(column, [str(name) for name in record])}",
            code="unknown_name",
            path=self.origin,
        )

    @property
    def lines(self) -> tuple[str, ...]:
        """How many rows were skipped and why, in words; nothing where none was."""
        if not self.reasons:
            return ()
        reasons = ", ".join(f"{count} because {reason}" for reason, count in self.reasons.most_common())
        return (f"{self.origin}: {self.reasons.total()} rows skipped, {reasons}",)
