"""Texts from CSV, JSON lines and Parquet files."""

from __future__ import annotations

import csv
import json
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from limbeck.data.text_rows import Broken, Columns, Table, text_sets
from limbeck.data.texts import TextSet
from limbeck.errors import DataError
from limbeck.registry import register
from limbeck.students.library import import_library

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
            without a label.
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
        label: str | None = "label",
        skip: bool = False,
    ) -> None:
        files = {"train": file, "validation": validation_file, "test": test_file}
        self.files = {name: Path(path) for name, path in files.items() if path is not None}
        self.columns = Columns(text, pair, label, skip)

    def load(self) -> dict[str, TextSet]:
        """The sets by name.

        Raises:
            DataError: if a file is missing or cannot be read, or holds a row that is refused.
        """
        for file in self.files.values():
            if not file.is_file():
                raise DataError(f"no file {file}; give the path of a file of texts")
        tables = {name: Table(str(file), self.rows(file)) for name, file in self.files.items()}
        return text_sets(tables, self.columns)

    @abstractmethod
    def rows(self, file: Path) -> Iterator[Mapping[str, Any] | Broken]:
        """The rows of a file."""


@register("text_source", "csv")
class Csv(_Files):
    """Comma-separated values, UTF-8, with the names of the columns in the first line; see RFC 4180."""

    def rows(self, file: Path) -> Iterator[Mapping[str, Any] | Broken]:
        # What is not UTF-8 becomes lone surrogates, which are told with the row they stand in.
        with file.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as stream, _long_cells():
            reader = csv.DictReader(stream, strict=True)
            try:
                for row in reader:
                    if None in row or None in row.values():
                        yield Broken(f"it has other columns than the first line, which names {reader.fieldnames}")
                    else:
                        yield row
            except csv.Error as error:
                raise DataError(f"{file}, line {reader.line_num}: no CSV ({error})") from error


@contextmanager
def _long_cells() -> Iterator[None]:
    before = csv.field_size_limit(_LONGEST)
    try:
        yield
    finally:
        csv.field_size_limit(before)


@register("text_source", "jsonl")
class JsonLines(_Files):
    """One JSON object in each line, UTF-8."""

    def rows(self, file: Path) -> Iterator[Mapping[str, Any] | Broken]:
        with file.open("rb") as stream:
            for line in stream:
                yield _json(line)


def _json(line: bytes) -> Mapping[str, Any] | Broken:
    try:
        row = json.loads(line.decode("utf-8"))
    except UnicodeDecodeError:
        return Broken("the line is not UTF-8")
    except ValueError:
        return Broken("the line is no JSON")
    return row if isinstance(row, dict) else Broken(f"the line holds a {type(row).__name__}, not an object")


@register("text_source", "parquet")
class Parquet(_Files):
    """A Parquet file, read with pyarrow."""

    def rows(self, file: Path) -> Iterator[Mapping[str, Any] | Broken]:
        arrow, parquet = (import_library(name, "text") for name in ("pyarrow", "pyarrow.parquet"))
        try:
            with parquet.ParquetFile(file) as opened:
                for batch in opened.iter_batches():
                    for number in range(batch.num_rows):
                        yield _plain(batch, number)
        except arrow.ArrowInvalid as error:
            raise DataError(f"{file} is no Parquet file ({str(error).splitlines()[0]})") from error


def _plain(batch: Any, number: int) -> Mapping[str, Any] | Broken:
    try:
        return {name: batch.column(name)[number].as_py() for name in batch.schema.names}
    except UnicodeDecodeError:
        return Broken("it is not UTF-8")
