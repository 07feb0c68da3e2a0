"""From the rows of a table to texts and classes; what cannot be right is refused, or skipped and counted."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from limbeck.data.label_columns import Label, Labels, cell, check_utf8
from limbeck.data.labelled import UNKNOWN
from limbeck.data.refusals import Refusals, kind_of
from limbeck.data.texts import TextSet
from limbeck.errors import DataError

__all__ = ["Broken", "Columns", "Table", "text_sets"]


@dataclass(frozen=True)
class Broken:
    """A row that could not be read at all, and why."""

    reason: str


@dataclass(frozen=True)
class Table:
    """The rows of one file, each with its columns by name.

    Args:
        origin: the file, for messages.
        rows: the first is row 1.
        classes: the names of the classes that stand for 0, 1, …, where the file has them.
    """

    origin: str
    rows: Iterable[Mapping[str, Any] | Broken]
    classes: tuple[str, ...] | None = None


@dataclass(frozen=True)
class Columns:
    """What is where.

    Args:
        text: the column of the text.
        pair: that of a second text, which belongs to the first.
        labels: where its classes stand.
        skip: leave out rows that cannot be right, instead of refusing the file.
    """

    text: str
    pair: str | None
    labels: Labels
    skip: bool

    def texts(self, row: Mapping[str, Any]) -> tuple[str, ...]:
        """The texts of a row.

        Raises:
            ValueError: if one is none; the message says why.
        """
        return tuple(_text(row, name) for name in (self.text, self.pair) if name is not None)


def _text(row: Mapping[str, Any], column: str) -> str:
    value = cell(row, column)
    if not isinstance(value, str):
        raise ValueError(f"the column {column!r} holds {kind_of(value)}, not text")
    check_utf8(value, column)
    if not value.strip():
        raise ValueError(f"the column {column!r} is empty")
    return value


@dataclass
class _Found:
    """What was read of one table."""

    table: Table
    columns: Columns
    texts: list[tuple[str, ...]] = field(default_factory=list)
    labels: list[tuple[Label, ...] | None] = field(default_factory=list)
    numbers: list[int] = field(default_factory=list)

    @cached_property
    def refusals(self) -> Refusals:
        return Refusals(self.table.origin, self.columns.skip)

    def read(self) -> None:
        for number, row in enumerate(self.table.rows, start=1):
            try:
                if isinstance(row, Broken):
                    raise ValueError(row.reason)
                texts, label = self.columns.texts(row), self.columns.labels.read(row, self.table.classes)
            except KeyError as error:
                raise self.refusals.without(str(error.args[0]), row) from None
            except ValueError as error:
                self.refusals.refuse(number, str(error))
                continue
            self.texts.append(texts)
            self.labels.append(label)
            self.numbers.append(number)

    def of_classes(self, classes: tuple[str, ...]) -> None:
        """Only rows of these classes, and those without any."""
        known = set(classes)
        self._drop(
            {
                at: f"the label {label!r} does not occur in the training rows"
                for at, label in self.each()
                if str(label) not in known
            }
        )

    def of_one_type(self) -> None:
        """Only rows whose labels are of the type of the first one."""
        first = next((type(label) for _, label in self.each()), str)
        self._drop(
            {
                at: f"the label is {kind_of(label)}, that of the first row a {first.__name__}"
                for at, label in self.each()
                if type(label) is not first
            }
        )

    def each(self) -> Iterator[tuple[int, Label]]:
        """Every label, with the place of its row."""
        return ((at, label) for at, labels in enumerate(self.labels) for label in labels or ())

    def _drop(self, strange: Mapping[int, str]) -> None:
        for at, reason in strange.items():
            self.refusals.refuse(self.numbers[at], reason)
        kept = [at for at in range(len(self.labels)) if at not in strange]
        self.texts = [self.texts[at] for at in kept]
        self.labels = [self.labels[at] for at in kept]
        self.numbers = [self.numbers[at] for at in kept]

    def set(self, classes: tuple[str, ...], start: int) -> TextSet:
        if not self.texts:
            raise DataError(f"{self.table.origin} has no row that can be used; expected at least one")
        # Of the source's own numbering: a row keeps its number when others are skipped.
        index = torch.tensor(self.numbers) + (start - 1)
        return TextSet.of(self.texts, self._target(classes), classes, index=index, skipped=self.refusals.lines)

    def _target(self, classes: tuple[str, ...]) -> Tensor:
        """The class of each row, int64 `[N]`; or a 0 or 1 for each class, `[N, K]`."""
        place = {name: number for number, name in enumerate(classes)}
        known = torch.tensor([labels is not None for labels in self.labels])
        if not self.columns.labels.several:
            return torch.tensor([place[str(labels[0])] if labels else UNKNOWN for labels in self.labels])
        target = torch.zeros(len(self.labels), len(classes), dtype=torch.int64)
        for at, label in self.each():
            target[at, place[str(label)]] = 1
        return target.masked_fill(~known[:, None], UNKNOWN)


def text_sets(tables: Mapping[str, Table], columns: Columns) -> dict[str, TextSet]:
    """The sets of a source, numbered on from one to the next; the classes are those of ``train``, in rising order.

    Raises:
        DataError: if a column is missing; or if a row has no text, a wrong label or is not UTF-8, unless these are
            skipped. The message has file and row.
    """
    found = {name: _Found(table, columns) for name, table in tables.items()}
    for one in found.values():
        one.read()
        one.of_one_type()
    classes = columns.labels.names or tables["train"].classes
    if classes is None:
        classes = _rising([label for _, label in found["train"].each()])
    sets, start = {}, 0
    for name, one in found.items():
        one.of_classes(classes)
        sets[name] = one.set(classes, start)
        start = int(sets[name].index.max()) + 1
    return sets


def _rising(labels: Sequence[str | int]) -> tuple[str, ...]:
    distinct = list({str(label) for label in labels})
    if all(label.removeprefix("-").isdecimal() for label in distinct):
        return tuple(sorted(distinct, key=int))
    return tuple(sorted(distinct))
