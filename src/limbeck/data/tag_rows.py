"""From the rows of a table to words and tags; what cannot be right is refused, or skipped and counted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from limbeck.data.labelled import UNKNOWN
from limbeck.data.refusals import Refusals, kind_of
from limbeck.data.tagged import TagSet
from limbeck.data.text_rows import Broken, Table
from limbeck.errors import DataError

__all__ = ["TagColumns", "tag_sets"]

Tags = tuple[str, ...] | tuple[int, ...]


@dataclass(frozen=True)
class TagColumns:
    """What is where.

    Args:
        words: the column of the words of a sentence.
        tags: that of their tags; None if there is none.
        skip: leave out rows that cannot be right, instead of refusing the file.
    """

    words: str
    tags: str | None
    skip: bool

    def read(self, row: Mapping[str, Any]) -> tuple[tuple[str, ...], Tags | None]:
        """The words of a row, and their tags, None where it has none.

        Raises:
            KeyError: if there is no such column.
            ValueError: if it cannot be right; the message says why.
        """
        words = _list(row, self.words)
        if not words:
            raise ValueError(f"the column {self.words!r} is empty")
        for number, word in enumerate(words, start=1):
            _check_text(word, f"word {number}")
        if self.tags is None or row[self.tags] is None:
            return tuple(words), None
        tags = _list(row, self.tags)
        if len(tags) != len(words):
            raise ValueError(f"it has {len(words)} words and {len(tags)} tags")
        return tuple(words), _tags(tags)


def _list(row: Mapping[str, Any], column: str) -> Sequence[Any]:
    value = row[column]
    if not isinstance(value, list | tuple):
        raise ValueError(f"the column {column!r} holds {kind_of(value)}, not a list")
    return value


def _check_text(value: Any, what: str) -> None:
    if not isinstance(value, str):
        raise ValueError(f"{what} is {kind_of(value)}, not text")
    if not value.strip():
        raise ValueError(f"{what} is empty")
    try:
        value.encode("utf-8")
    except UnicodeEncodeError:
        raise ValueError(f"{what} is not UTF-8") from None


def _tags(tags: Sequence[Any]) -> Tags:
    if all(isinstance(tag, int) and not isinstance(tag, bool) for tag in tags):
        return tuple(tags)
    for number, tag in enumerate(tags, start=1):
        _check_text(tag, f"tag {number}")
    return tuple(tags)


@dataclass
class _Found:
    """What was read of one table."""

    table: Table
    columns: TagColumns
    refusals: Refusals
    words: list[tuple[str, ...]] = field(default_factory=list)
    tags: list[Tags | None] = field(default_factory=list)
    numbers: list[int] = field(default_factory=list)

    def read(self) -> None:
        kind: type | None = None
        for number, row in enumerate(self.table.rows, start=1):
            try:
                if isinstance(row, Broken):
                    raise ValueError(row.reason)
                words, tags = self.columns.read(row)
                kind = _same(kind, tags)
            except KeyError as error:
                raise self.refusals.without(str(error.args[0]), row) from None
            except ValueError as error:
                self.refusals.refuse(number, str(error))
                continue
            self.words.append(words)
            self.tags.append(tags)
            self.numbers.append(number)

    def distinct(self) -> tuple[str, ...]:
        """The tags that occur, in rising order."""
        found = {tag for tags in self.tags if tags is not None for tag in tags if tag != UNKNOWN}
        return tuple(map(str, sorted(found)))

    def set(self, classes: tuple[str, ...], start: int) -> TagSet:
        place = {name: number for number, name in enumerate(classes)}
        kept, tags = [], []
        for at, own in enumerate(self.tags):
            strange = [tag for tag in own or () if tag != UNKNOWN and self._named(tag) not in place]
            if strange:
                self.refusals.refuse(self.numbers[at], f"the tag {strange[0]!r} does not occur in the training rows")
                continue
            kept.append(at)
            tags.append(None if own is None else [place.get(self._named(tag), UNKNOWN) for tag in own])
        if not kept:
            raise DataError(f"{self.table.origin} has no row that can be used; expected at least one")
        # Of the source's own numbering: a row keeps its number when others are skipped.
        index = torch.tensor([self.numbers[at] for at in kept]) + (start - 1)
        return TagSet.of([self.words[at] for at in kept], tags, classes, index=index, skipped=self.refusals.lines)

    def _named(self, tag: str | int) -> str:
        """The name of a class: of a number, what the table calls it."""
        names = self.table.classes
        return names[tag] if names is not None and isinstance(tag, int) and 0 <= tag < len(names) else str(tag)


def _same(kind: type | None, tags: Tags | None) -> type | None:
    """The type of the tags of a file.

    Raises:
        ValueError: if these have another.
    """
    if not tags:
        return kind
    own = type(tags[0])
    if kind not in (None, own):
        raise ValueError(f"the tags are {own.__name__}, those of the first row {kind.__name__}")
    return own


def tag_sets(tables: Mapping[str, Table], columns: TagColumns) -> dict[str, TagSet]:
    """The sets of a source, numbered on from one to the next; the classes are the tags of ``train``, in rising order.

    Raises:
        DataError: if a column is missing; or if a row has no word, not one tag for each, or is not UTF-8, unless these
            are skipped. The message has file and row.
    """
    found = {name: _Found(table, columns, Refusals(table.origin, columns.skip)) for name, table in tables.items()}
    for one in found.values():
        one.read()
    named = tables["train"].classes if columns.tags is not None else None
    classes = found["train"].distinct() if named is None else named
    sets, start = {}, 0
    for name, one in found.items():
        sets[name] = one.set(classes, start)
        start = int(sets[name].index.max()) + 1
    return sets
