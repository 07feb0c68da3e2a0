"""Plain text files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar

from limbeck.data.readers.reader import FileReader, Record
from limbeck.registry import register

__all__ = ["Txt"]


@register("reader", "txt")
class Txt(FileReader):
    """Texts without labels, UTF-8, one in each line: records with the column ``text``.

    Args:
        file: the file of the training rows.
        validation_file: the file of the validation rows; without it, a share of the training rows is held out.
        test_file: the file of the test rows, likewise.
    """

    suffixes: ClassVar = (".txt",)
    preset: ClassVar[Mapping[str, Any]] = {
        "text": "text",
        "pair": None,
        "label": None,
        "multi_label": False,
        "separator": None,
    }

    def rows(self, file: Path) -> Iterator[Record]:
        # Bytes that are not UTF-8 become lone surrogates: the row types report them with the row.
        with file.open(encoding="utf-8-sig", errors="surrogateescape") as stream:
            for line in stream:
                yield {"text": line.rstrip("\n")}
