"""Comma-separated values."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import ClassVar

from limbeck.data.readers.reader import FileReader, InvalidRow, Record, check_utf8
from limbeck.errors import DataError
from limbeck.registry import register

__all__ = ["Csv"]

_LONGEST = 2**31 - 1


@register("reader", "csv")
class Csv(FileReader):
    """Comma-separated values, UTF-8, with the names of the columns in the first line; see RFC 4180.

    Args:
        file: the file of the training rows.
        validation_file: the file of the validation rows; without it, a share of the training rows is held out.
        test_file: the file of the test rows, likewise.
    """

    suffixes: ClassVar = (".csv",)

    def rows(self, file: Path) -> Iterator[Record | InvalidRow]:
        # Bytes that are not UTF-8 become lone surrogates: the row types report them with the row.
        with file.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as stream:
            reader = csv.DictReader(stream, strict=True)
            try:
                _check_names(file, reader.fieldnames or ())
                while (row := _next(reader)) is not None:
                    if None in row or None in row.values():
                        yield InvalidRow(f"it has other columns than the first line, which names {reader.fieldnames}")
                    else:
                        yield row
            except csv.Error as error:
                raise DataError.at(f"{file}, line {reader.line_num}", f"no CSV ({error})", code="damaged") from error


def _check_names(file: Path, names: Iterable[str]) -> None:
    for name in names:
        try:
            check_utf8(name, name)
        except ValueError:
            raise DataError.at(
                f"{file}, line 1", "the names of the columns are not UTF-8; save it as UTF-8", code="unreadable"
            ) from None


def _next(reader: Iterator[dict[str, str]]) -> dict[str, str] | None:
    """The next row, with cells of any length; between rows, other users of csv find their own limit."""
    before = csv.field_size_limit(_LONGEST)
    try:
        return next(reader, None)
    finally:
        csv.field_size_limit(before)
