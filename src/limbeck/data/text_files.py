"""Texts from CSV, JSON lines and Parquet files."""

from __future__ import annotations

import csv
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from pathlib import Path

from limbeck.data.label_columns import check_utf8, labels_of
from limbeck.data.row_files import Row, json_rows, parquet_rows, tables_of
from limbeck.data.text_rows import Broken, Columns, text_sets
from limbeck.data.texts import TextSet
from limbeck.errors import DataError
from limbeck.registry import register

__all__ = ["Csv", "JsonLines", "Parquet"]

_LONGEST = 2**31 - 1


class _Files(ABC):
    """Up to three files of one format.

    Args:
        file: of the training rows.
        validation_file: of the validation rows; without it, a share of the training rows is held out.
        test_file: of the test rows, likewise.
        text: the column of the text.
        pair: that of a second text, where two belong together.
        label: that of the class, a text or a whole number; null for a file without labels. An empty cell is a row
            without a label. Or several columns, one for each class, that hold 1 where a row has it and 0 where not.
        multi_label: whether the column holds a list, of any number of classes; an empty one is a row of no class.
        separator: what stands between the classes of a row in a column of text; alone in a cell, it is a row of no
            class.
        skip: leave out and count rows that are empty, no text, not UTF-8 or of a wrong label, instead of refusing the
            file.
    """

    def __init__(
        self,
        *,
        file: str,
        validation_file: str | None = None,
        test_file: str | None = None,
        text: str = "text",
        pair: str | None = None,
        label: str | tuple[str, ...] | None = "label",
        multi_label: bool = False,
        separator: str | None = None,
        skip: bool = False,
    ) -> None:
        self.files = {"train": file, "validation": validation_file, "test": test_file}
        self.columns = Columns(text, pair, labels_of(label, multi_label, separator), skip)

    def load(self) -> dict[str, TextSet]:
        """The sets by name.

        Raises:
            DataError: if a file is missing or cannot be read, or holds a row that is refused.
        """
        return text_sets(tables_of(self.files, self.rows), self.columns)

    @abstractmethod
    def rows(self, file: Path) -> Iterator[Row]:
        """The rows of a file."""


@register("text_source", "csv")
class Csv(_Files):
    """Comma-separated values, UTF-8, with the names of the columns in the first line; see RFC 4180."""

    def rows(self, file: Path) -> Iterator[Row]:
        # What is not UTF-8 becomes lone surrogates, which are told with the row they stand in.
        with file.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as stream:
            reader = csv.DictReader(stream, strict=True)
            try:
                _check_names(file, reader.fieldnames or ())
                while (row := _next(reader)) is not None:
                    if None in row or None in row.values():
                        yield Broken(f"it has other columns than the first line, which names {reader.fieldnames}")
                    else:
                        yield row
            except csv.Error as error:
                raise DataError(f"{file}, line {reader.line_num}: no CSV ({error})") from error


def _check_names(file: Path, names: Iterable[str]) -> None:
    for name in names:
        try:
            check_utf8(name, name)
        except ValueError:
            raise DataError(f"{file}, line 1: the names of the columns are not UTF-8; save it as UTF-8") from None


def _next(reader: Iterator[dict[str, str]]) -> dict[str, str] | None:
    """The next row, with cells of any length. Between rows, where a reader may stop, the limit is that of others."""
    before = csv.field_size_limit(_LONGEST)
    try:
        return next(reader, None)
    finally:
        csv.field_size_limit(before)


@register("text_source", "jsonl")
class JsonLines(_Files):
    """One JSON object in each line, UTF-8."""

    def rows(self, file: Path) -> Iterator[Row]:
        return json_rows(file)


@register("text_source", "parquet")
class Parquet(_Files):
    """A Parquet file, read with pyarrow."""

    def rows(self, file: Path) -> Iterator[Row]:
        return parquet_rows(file)
