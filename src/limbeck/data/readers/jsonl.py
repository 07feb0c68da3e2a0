"""JSON lines."""

from __future__ import annotations

import json
from codecs import BOM_UTF8
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

from limbeck.data.readers.reader import FileReader, InvalidRow, Record
from limbeck.registry import register

__all__ = ["JsonLines"]


@register("reader", "jsonl")
class JsonLines(FileReader):
    """One JSON object in each line, UTF-8.

    Args:
        file: the file of the training rows.
        validation_file: the file of the validation rows; without it, a share of the training rows is held out.
        test_file: the file of the test rows, likewise.
    """

    suffixes: ClassVar = (".jsonl",)

    def rows(self, file: Path) -> Iterator[Record | InvalidRow]:
        with file.open("rb") as stream:
            for number, line in enumerate(stream):
                yield _object(line if number else line.removeprefix(BOM_UTF8))


def _object(line: bytes) -> Record | InvalidRow:
    try:
        row = json.loads(line.decode("utf-8"))
    except UnicodeDecodeError:
        return InvalidRow("the line is not UTF-8")
    except ValueError:
        return InvalidRow("the line is no JSON")
    return row if isinstance(row, dict) else InvalidRow(f"the line holds a {type(row).__name__}, not an object")
