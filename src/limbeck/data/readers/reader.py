"""What a reader gives: records, each with its position."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Protocol, TypeAlias

from limbeck import registry
from limbeck.errors import ArgumentError, DataError, suggest

__all__ = ["FileReader", "InvalidRow", "Position", "Reader", "Record", "Records", "check_utf8", "located", "reader_of"]

Record: TypeAlias = Mapping[str, Any]
"""One row of a file: its values by column name."""


@dataclass(frozen=True)
class Position:
    """Where a record comes from.

    Args:
        origin: the file, or the name of the data.
        row: the number of the row in it; the first is 1.

    >>> str(Position("rows.csv", 3))
    'rows.csv, row 3'
    """

    origin: str
    row: int

    def __str__(self) -> str:
        return f"{self.origin}, row {self.row}"


@dataclass(frozen=True)
class InvalidRow:
    """Takes the place of a record that cannot be read. Reading stops there, unless the recipe says ``skip: true``.

    Args:
        reason: what is wrong, such as ``"the line is not UTF-8"``.
    """

    reason: str


Located: TypeAlias = tuple[Position, Record | InvalidRow]


@dataclass(frozen=True)
class Records:
    """The records of one split, to be read once.

    Args:
        origin: the file, or the name of the data, for messages.
        rows: each record with its position.
        class_names: for columns that hold class numbers 0, 1, …, the names of the classes, where the file has them.
    """

    origin: str
    rows: Iterable[Located]
    class_names: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def __iter__(self) -> Iterator[Located]:
        return iter(self.rows)


class Reader(Protocol):
    """Reads a file format. A class is registered under the kind ``reader``; its options are options of the recipe.

    A class may have ``preset``, a mapping from options of row types and label types to values: what its records fix,
    and no recipe can give.
    """

    def records(self) -> Mapping[str, Iterable[Located]]:
        """The records of ``train`` and, where there are such, of ``validation`` and ``test``.

        Raises:
            DataError: if a file is missing or cannot be read.
        """


class FileReader(ABC):
    """Up to three files of one format.

    Args:
        file: the file of the training rows.
        validation_file: the file of the validation rows; without it, a share of the training rows is held out.
        test_file: the file of the test rows, likewise.
    """

    suffixes: ClassVar[tuple[str, ...]] = ()
    """The endings of the names of such files."""

    def __init__(self, *, file: str, validation_file: str | None = None, test_file: str | None = None) -> None:
        self.files = {"train": file, "validation": validation_file, "test": test_file}

    def records(self) -> Mapping[str, Records]:
        """The records of each file that is given.

        Raises:
            DataError: if a file is missing.
        """
        files = {name: Path(path) for name, path in self.files.items() if path is not None}
        for file in files.values():
            if not file.is_file():
                raise DataError(f"no file {file}; give the path of a file", code="not_found", path=file)
        return {name: Records(str(file), located(str(file), self.rows(file))) for name, file in files.items()}

    @abstractmethod
    def rows(self, file: Path) -> Iterator[Record | InvalidRow]:
        """The rows of a file, one after the other.

        Raises:
            DataError: if the file as a whole cannot be read.
        """


def located(origin: str, rows: Iterable[Record | InvalidRow]) -> Iterator[Located]:
    """Rows with their positions, counted from 1."""
    for number, row in enumerate(rows, start=1):
        yield Position(origin, number), row


def reader_of(file: str | Path) -> str:
    """The name of the reader of a file, by the ending of its name.

    Raises:
        ArgumentError: if no reader knows this ending.

    >>> reader_of("rows.csv")
    'csv'
    """
    known: dict[str, str] = {}
    for name in registry.names("reader"):
        known |= dict.fromkeys(getattr(registry.lookup("reader", name), "suffixes", ()), name)
    suffix = Path(file).suffix.lower()
    if suffix not in known:
        raise ArgumentError.at(
            file, f"no reader for files that end in {suffix!r}.{suggest(suffix, known)}", code="unsupported"
        )
    return known[suffix]


def check_utf8(value: str, what: str) -> None:
    """Refuse lone surrogates, which stand for bytes that are not UTF-8.

    Args:
        value: some text.
        what: how to call it in the message, such as ``the column 'text'``.

    Raises:
        ValueError: if there are some.
    """
    try:
        value.encode("utf-8")
    except UnicodeEncodeError:
        raise ValueError(f"{what} is not UTF-8") from None
