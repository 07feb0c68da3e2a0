"""From the records of a reader to row sets: any reader, any row type, any label type."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, Self

import torch
from torch import Tensor

from limbeck.data.labels.label_type import LabelSpace, LabelType
from limbeck.data.readers.reader import InvalidRow, Located, Position, Record, Records
from limbeck.data.row_errors import RowErrors
from limbeck.errors import DataError

__all__ = ["RowEncoder", "RowFields", "UnfittedFields", "rows_from_records"]


class RowEncoder(Protocol):
    """Makes the row sets of a source, as its training rows decide."""

    def refused(self, rows: Sequence[Any]) -> Mapping[int, str]:
        """Which of these rows cannot be encoded, each with the reason."""

    def build(
        self, rows: Sequence[Any], target: Any, space: LabelSpace, *, index: Tensor, skipped: tuple[str, ...]
    ) -> Any:
        """A row set.

        Args:
            rows: of the set.
            target: of each, as the label space encodes it.
            space: the names of classes and targets.
            index: int64 `[N]`, the number of each row in the source.
            skipped: which rows were left out, in words.
        """


class RowFields(Protocol):
    """Which columns of a record make a row. Its options are options of the recipe."""

    def read(self, record: Record, labels: LabelType) -> Any:
        """The row of a record.

        Raises:
            ValueError: if it cannot be right; the message says why.
            KeyError: with the column, if there is none.
        """

    def fit(self, rows: Sequence[Any], positions: Sequence[Position]) -> RowEncoder:
        """What makes row sets, given all training rows.

        Raises:
            DataError: if these do not go together.
        """


class UnfittedFields:
    """Base of the row fields that are not fitted to the training rows: they are their own encoder."""

    def fit(self, rows: Sequence[Any], positions: Sequence[Position]) -> Self:
        """These fields, as they are."""
        return self

    def refused(self, rows: Sequence[Any]) -> Mapping[int, str]:
        """No row: those that cannot be right are refused when they are read."""
        return {}


@dataclass
class _Split:
    """The rows that were read of one split."""

    records: Records
    errors: RowErrors
    rows: list[Any] = field(default_factory=list)
    labels: list[Any] = field(default_factory=list)
    numbers: list[int] = field(default_factory=list)
    positions: list[Position] = field(default_factory=list)

    def read(self, fields: RowFields, labels: LabelType) -> None:
        for number, (position, record) in enumerate(self.records, start=1):
            if isinstance(record, InvalidRow):
                self.errors.refuse(position, record.reason)
                continue
            try:
                row = fields.read(record, labels)
                label = labels.read(record, row, self.records.class_names)
            except KeyError as error:
                raise self.errors.without(str(error.args[0]), record) from None
            except ValueError as error:
                self.errors.refuse(position, str(error))
                continue
            self.rows.append(row)
            self.labels.append(label)
            self.numbers.append(number)
            self.positions.append(position)
        self.drop(labels.mismatched(self.labels))

    def drop(self, refused: Mapping[int, str]) -> None:
        """Leave out these rows, or refuse the first of them."""
        if not refused:
            return
        for at, reason in refused.items():
            self.errors.refuse(self.positions[at], reason)
        kept = [at for at in range(len(self.rows)) if at not in refused]
        self.rows = [self.rows[at] for at in kept]
        self.labels = [self.labels[at] for at in kept]
        self.numbers = [self.numbers[at] for at in kept]
        self.positions = [self.positions[at] for at in kept]

    def row_set(self, encoder: RowEncoder, space: LabelSpace, start: int) -> Any:
        self.drop(space.refused(self.labels))
        self.drop(encoder.refused(self.rows))
        self.check_rows()
        # The number in the source: a row keeps it when others are skipped.
        index = torch.tensor(self.numbers) + (start - 1)
        return encoder.build(self.rows, space.encode(self.labels), space, index=index, skipped=self.errors.lines)

    def check_rows(self) -> None:
        if not self.rows:
            raise DataError(
                f"{self.records.origin} has no row that can be used; expected at least one",
                code="missing",
                path=self.records.origin,
            )


def rows_from_records(
    records: Mapping[str, Iterable[Located]], fields: RowFields, labels: LabelType, *, skip: bool = False
) -> dict[str, Any]:
    """The row sets of a source, numbered on from one to the next. The training rows decide classes and encodings.

    Args:
        records: of ``train``, and where there are such of ``validation`` and ``test``.
        fields: how a record becomes a row.
        labels: how it becomes a label.
        skip: leave out and count rows that cannot be right, instead of refusing the file.

    Raises:
        DataError: if a column is missing, a split has no row, or a row cannot be right and is not skipped; the message
            has its position.
    """
    splits = {
        name: _Split(one, RowErrors(one.origin, skip))
        for name, one in ((name, _as_records(name, rows)) for name, rows in records.items())
    }
    if "train" not in splits:
        raise DataError(
            f"the reader has records of {sorted(splits)}; expected train, and perhaps validation and test",
            code="unknown_name",
            path="train",
        )
    for split in splits.values():
        split.read(fields, labels)
    train = splits["train"]
    train.check_rows()
    space = labels.fit(train.labels, train.positions, train.records.class_names)
    encoder = fields.fit(train.rows, train.positions)
    sets, start = {}, 0
    for name, split in splits.items():
        sets[name] = split.row_set(encoder, space, start)
        start = int(sets[name].index.max()) + 1
    return sets


def _as_records(name: str, rows: Iterable[Located]) -> Records:
    return rows if isinstance(rows, Records) else Records(f"the split {name!r}", rows)
