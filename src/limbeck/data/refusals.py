"""Rows that cannot be right: refused by file and row number, or skipped and counted."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from limbeck.errors import DataError, suggest

__all__ = ["Refusals", "kind_of"]


def kind_of(value: Any) -> str:
    """What a value is, for a reason.

    >>> kind_of(1.5), kind_of(None)
    ('a float', 'nothing')
    """
    return "nothing" if value is None else f"a {type(value).__name__}"


@dataclass
class Refusals:
    """What is wrong with the rows of one file.

    Args:
        origin: the file, for messages.
        skip: leave such rows out, instead of refusing the file.
    """

    origin: str
    skip: bool
    reasons: Counter[str] = field(default_factory=Counter)

    def refuse(self, number: int, reason: str) -> None:
        """Skip the row, where the recipe says so.

        Raises:
            DataError: where it does not.
        """
        if not self.skip:
            raise DataError(f"{self.origin}, row {number}: {reason}; mend the row, or say skip: true")
        self.reasons[reason] += 1

    def without(self, column: str, row: Any) -> DataError:
        """The error for a row that has other columns."""
        return DataError(f"{self.origin} has no column {column!r}.{suggest(column, [str(name) for name in row])}")

    @property
    def lines(self) -> tuple[str, ...]:
        """What was skipped and why, in words; nothing where all was right."""
        if not self.reasons:
            return ()
        reasons = ", ".join(f"{count} because {reason}" for reason, count in self.reasons.most_common())
        return (f"{self.origin}: {self.reasons.total()} rows skipped, {reasons}",)
