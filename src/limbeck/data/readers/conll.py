"""CoNLL files."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

from limbeck.data.readers.reader import FileReader, InvalidRow, Record
from limbeck.registry import register

__all__ = ["Conll"]

_document = "-DOCSTART-"


@register("reader", "conll")
class Conll(FileReader):
    """Files with a word and its tag in each line, UTF-8, and an empty line behind each sentence.

    A record has the columns ``words`` and ``tags``, two lists. Columns of the file are separated by tabs, or by spaces
    where there is no tab. A sentence of the one word ``-DOCSTART-`` is no record.

    Args:
        file: the file of the training rows.
        validation_file: the file of the validation rows; without it, a share of the training rows is held out.
        test_file: the file of the test rows, likewise.
        words: the number of the column of the words, from 0 or, if negative, from the last.
        tags: the number of the column of the tags, likewise; null for a file without tags.

    Tjong Kim Sang, De Meulder, 2003, "Introduction to the CoNLL-2003 Shared Task: Language-Independent Named Entity
    Recognition", arXiv:cs/0306050.
    """

    suffixes: ClassVar = (".conll",)

    def __init__(
        self,
        *,
        file: str,
        validation_file: str | None = None,
        test_file: str | None = None,
        words: int = 0,
        tags: int | None = -1,
    ) -> None:
        super().__init__(file=file, validation_file=validation_file, test_file=test_file)
        self.columns = {"words": words, **({} if tags is None else {"tags": tags})}

    def rows(self, file: Path) -> Iterator[Record | InvalidRow]:
        lines: list[tuple[int, bytes]] = []
        with file.open("rb") as stream:
            for number, line in enumerate(stream, start=1):
                if line.strip():
                    lines.append((number, line.removeprefix(b"\xef\xbb\xbf") if number == 1 else line))
                    continue
                yield from self._sentence(lines)
                lines = []
        yield from self._sentence(lines)

    def _sentence(self, lines: list[tuple[int, bytes]]) -> Iterator[Record | InvalidRow]:
        columns: dict[str, list[str]] = {name: [] for name in self.columns}
        for number, line in lines:
            try:
                parts = _parts(line)
                for name, column in self.columns.items():
                    columns[name].append(parts[column])
            except UnicodeDecodeError:
                yield InvalidRow(f"line {number} is not UTF-8")
                return
            except IndexError:
                expected = " and ".join(f"{name} in column {column}" for name, column in self.columns.items())
                yield InvalidRow(f"line {number} has {len(parts)} columns; expected {expected}")
                return
        if columns["words"] not in ([], [_document]):
            record: dict[str, Any] = {"tags": None, **columns}
            yield record


def _parts(line: bytes) -> list[str]:
    # As bytes: `str.split` would split at the spaces within a word, as in "10\u00a0000".
    parts = line.split(b"\t") if b"\t" in line else line.split()
    return [part.decode("utf-8").strip() for part in parts]
