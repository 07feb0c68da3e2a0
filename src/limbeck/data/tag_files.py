"""Words and tags from JSON lines, Parquet and CoNLL files."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from pathlib import Path

from limbeck.data.row_files import Row, json_rows, parquet_rows, tables_of
from limbeck.data.tag_rows import TagColumns, tag_sets
from limbeck.data.tagged import TagSet
from limbeck.data.text_rows import Broken
from limbeck.registry import register

__all__ = ["Conll", "TaggedJsonLines", "TaggedParquet"]

_document = "-DOCSTART-"


class _Files(ABC):
    """Up to three files of one format, with a column of words and one of tags.

    Args:
        file: of the training rows.
        validation_file: of the validation rows; without it, a share of the training rows is held out.
        test_file: of the test rows, likewise.
        words: the column of the words, a list of texts.
        tags: that of their tags, a list of as many texts or whole numbers, -100 for a tag that is not known; null for a
            file without tags. Null in a row stands for a row without tags.
        skip: leave out and count rows that cannot be right, instead of refusing the file.
    """

    def __init__(
        self,
        *,
        file: str,
        validation_file: str | None = None,
        test_file: str | None = None,
        words: str = "words",
        tags: str | None = "tags",
        skip: bool = False,
    ) -> None:
        self.files = {"train": file, "validation": validation_file, "test": test_file}
        self.columns = TagColumns(words, tags, skip)

    def load(self) -> dict[str, TagSet]:
        """The sets by name.

        Raises:
            DataError: if a file is missing or cannot be read, or holds a row that is refused.
        """
        return tag_sets(tables_of(self.files, self.rows), self.columns)

    @abstractmethod
    def rows(self, file: Path) -> Iterator[Row]:
        """The rows of a file."""


@register("tagged_source", "jsonl")
class TaggedJsonLines(_Files):
    """One JSON object with words and tags in each line, UTF-8."""

    def rows(self, file: Path) -> Iterator[Row]:
        return json_rows(file)


@register("tagged_source", "parquet")
class TaggedParquet(_Files):
    """A Parquet file with words and tags, read with pyarrow."""

    def rows(self, file: Path) -> Iterator[Row]:
        return parquet_rows(file)


@register("tagged_source", "conll")
class Conll:
    """Files with a word and its tag in each line, UTF-8, and an empty line behind each sentence.

    Columns stand apart by tabs, or by spaces where there is no tab. A sentence of the one word ``-DOCSTART-`` is none,
    and has no number.

    Args:
        file: of the training rows.
        validation_file: of the validation rows; without it, a share of the training rows is held out.
        test_file: of the test rows, likewise.
        words: the number of the column of the words, from 0 or, if negative, from the last.
        tags: that of the tags, likewise; null for a file without tags.
        skip: leave out and count sentences that cannot be right, instead of refusing the file.

    Tjong Kim Sang, De Meulder, 2003, "Introduction to the CoNLL-2003 Shared Task: Language-Independent Named Entity
    Recognition", arXiv:cs/0306050.
    """

    def __init__(
        self,
        *,
        file: str,
        validation_file: str | None = None,
        test_file: str | None = None,
        words: int = 0,
        tags: int | None = -1,
        skip: bool = False,
    ) -> None:
        self.files = {"train": file, "validation": validation_file, "test": test_file}
        self.places = {"words": words, **({} if tags is None else {"tags": tags})}
        self.columns = TagColumns("words", None if tags is None else "tags", skip)

    def load(self) -> dict[str, TagSet]:
        """The sets by name.

        Raises:
            DataError: if a file is missing or cannot be read, or holds a sentence that is refused.
        """
        return tag_sets(tables_of(self.files, self.rows), self.columns)

    def rows(self, file: Path) -> Iterator[Row]:
        """The sentences of a file."""
        lines: list[tuple[int, bytes]] = []
        with file.open("rb") as stream:
            for number, line in enumerate(stream, start=1):
                if line.strip():
                    lines.append((number, line.removeprefix(b"\xef\xbb\xbf") if number == 1 else line))
                    continue
                yield from self._sentence(lines)
                lines = []
        yield from self._sentence(lines)

    def _sentence(self, lines: list[tuple[int, bytes]]) -> Iterator[Row]:
        columns: dict[str, list[str]] = {name: [] for name in self.places}
        for number, line in lines:
            try:
                parts = _parts(line)
                for name, place in self.places.items():
                    columns[name].append(parts[place])
            except UnicodeDecodeError:
                yield Broken(f"line {number} is not UTF-8")
                return
            except IndexError:
                yield Broken(f"line {number} has {len(parts)} columns; expected {self._told}")
                return
        if columns["words"] not in ([], [_document]):
            yield columns

    @property
    def _told(self) -> str:
        return " and ".join(f"{name} in column {place}" for name, place in self.places.items())


def _parts(line: bytes) -> list[str]:
    # As bytes: of text, `split` would take the spaces within a word, as "10\u00a0000", for ends of columns.
    parts = line.split(b"\t") if b"\t" in line else line.split()
    return [part.decode("utf-8").strip() for part in parts]
