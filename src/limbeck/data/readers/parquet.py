"""Parquet files."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

from limbeck.data.readers.reader import FileReader, InvalidRow, Record
from limbeck.errors import DataError
from limbeck.models.optional_deps import import_library
from limbeck.registry import register

__all__ = ["Parquet"]


@register("reader", "parquet")
class Parquet(FileReader):
    """A Parquet file, read with pyarrow.

    Args:
        file: the file of the training rows.
        validation_file: the file of the validation rows; without it, a share of the training rows is held out.
        test_file: the file of the test rows, likewise.
    """

    suffixes: ClassVar = (".parquet",)

    def rows(self, file: Path) -> Iterator[Record | InvalidRow]:
        arrow, parquet = (import_library(name, "text") for name in ("pyarrow", "pyarrow.parquet"))
        try:
            with parquet.ParquetFile(file) as opened:
                for batch in opened.iter_batches():
                    for number in range(batch.num_rows):
                        yield _row(batch, number)
        except arrow.ArrowInvalid as error:
            raise DataError(
                f"{file} is no Parquet file ({str(error).splitlines()[0]})", code="unreadable", path=file
            ) from error
        except OSError as error:  # of a block that does not unpack; it names no file
            raise DataError(
                f"{file} is damaged ({str(error).splitlines()[0]}); write it again", code="damaged", path=file
            ) from error


def _row(batch: Any, number: int) -> Record | InvalidRow:
    try:
        return {name: batch.column(name)[number].as_py() for name in batch.schema.names}
    except UnicodeDecodeError:
        return InvalidRow("it is not UTF-8")
