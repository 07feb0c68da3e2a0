"""The rows of JSON lines and Parquet files, each with its columns by name."""

from __future__ import annotations

import json
from codecs import BOM_UTF8
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from limbeck.data.text_rows import Broken, Table
from limbeck.errors import DataError
from limbeck.students.library import import_library

__all__ = ["Row", "json_rows", "parquet_rows", "tables_of"]

Row = Mapping[str, Any] | Broken


def tables_of(files: Mapping[str, str | None], rows: Callable[[Path], Iterator[Row]]) -> dict[str, Table]:
    """The tables of the files that are given.

    Raises:
        DataError: if one is missing.
    """
    given = {name: Path(path) for name, path in files.items() if path is not None}
    for file in given.values():
        if not file.is_file():
            raise DataError(f"no file {file}; give the path of a file of texts")
    return {name: Table(str(file), rows(file)) for name, file in given.items()}


def json_rows(file: Path) -> Iterator[Row]:
    """One JSON object in each line, UTF-8."""
    with file.open("rb") as stream:
        for number, line in enumerate(stream):
            yield _json(line if number else line.removeprefix(BOM_UTF8))


def _json(line: bytes) -> Row:
    try:
        row = json.loads(line.decode("utf-8"))
    except UnicodeDecodeError:
        return Broken("the line is not UTF-8")
    except ValueError:
        return Broken("the line is no JSON")
    return row if isinstance(row, dict) else Broken(f"the line holds a {type(row).__name__}, not an object")


def parquet_rows(file: Path) -> Iterator[Row]:
    """A Parquet file, read with pyarrow.

    Raises:
        DataError: if it is none, or is damaged.
    """
    arrow, parquet = (import_library(name, "text") for name in ("pyarrow", "pyarrow.parquet"))
    try:
        with parquet.ParquetFile(file) as opened:
            for batch in opened.iter_batches():
                for number in range(batch.num_rows):
                    yield _plain(batch, number)
    except arrow.ArrowInvalid as error:
        raise DataError(f"{file} is no Parquet file ({str(error).splitlines()[0]})") from error
    except OSError as error:  # of a block that does not unpack; it names no file
        raise DataError(f"{file} is damaged ({str(error).splitlines()[0]}); write it again") from error


def _plain(batch: Any, number: int) -> Row:
    try:
        return {name: batch.column(name)[number].as_py() for name in batch.schema.names}
    except UnicodeDecodeError:
        return Broken("it is not UTF-8")
