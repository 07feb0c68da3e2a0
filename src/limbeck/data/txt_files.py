"""Plain texts, one in each line."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from limbeck.data.label_columns import OneClass
from limbeck.data.row_files import Row, tables_of
from limbeck.data.text_rows import Columns, text_sets
from limbeck.data.texts import TextSet
from limbeck.registry import register

__all__ = ["Txt"]


@register("text_source", "txt")
class Txt:
    """Up to three files of texts without labels, UTF-8, one text in each line.

    Args:
        file: of the training rows.
        validation_file: of the validation rows; without it, a share of the training rows is held out.
        test_file: of the test rows, likewise.
        skip: leave out and count lines that are empty or not UTF-8, instead of refusing the file.
    """

    def __init__(
        self, *, file: str, validation_file: str | None = None, test_file: str | None = None, skip: bool = False
    ) -> None:
        self.files = {"train": file, "validation": validation_file, "test": test_file}
        self.columns = Columns("line", None, OneClass(None), skip)

    def load(self) -> dict[str, TextSet]:
        """The sets by name.

        Raises:
            DataError: if a file is missing, or holds a line that is refused.
        """
        return text_sets(tables_of(self.files, _lines), self.columns)


def _lines(file: Path) -> Iterator[Row]:
    # What is not UTF-8 becomes lone surrogates, which are told with the row they stand in.
    with file.open(encoding="utf-8-sig", errors="surrogateescape") as stream:
        for line in stream:
            yield {"line": line.rstrip("\n")}
