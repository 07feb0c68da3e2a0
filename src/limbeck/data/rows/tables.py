"""Tables: a row has columns of numbers and columns of categories."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

import torch
from torch import Tensor

from limbeck.data.labels.label_type import FloatTarget, LabelSpace, LabelType
from limbeck.data.readers.reader import Position, Record
from limbeck.data.row_errors import cell
from limbeck.data.rows.row_set import LabelledRows, check_labels, unknown_target
from limbeck.data.table_columns import Column, Row, encode, fit_columns, read_cell, wrong_cells
from limbeck.errors import DataError
from limbeck.registry import register

__all__ = ["TableFields", "TableSet"]


@register("rows", "tables")
@dataclass(frozen=True, kw_only=True)
class TableFields:
    """Which columns of a record are features.

    A column is one of numbers if every value of the training rows in it is a number, and one of categories if none is;
    one that has both is refused. Empty cells and NaN are missing values.

    Args:
        features: the columns; if null, all but those of the labels.
        categorical: columns of categories although they hold numbers, such as a code.
    """

    features: tuple[str, ...] | None = None
    categorical: tuple[str, ...] = ()

    def read(self, record: Record, labels: LabelType) -> Row:
        names = self.features or [name for name in record if name not in labels.columns]
        return {name: read_cell(cell(record, name), name) for name in names}

    def fit(self, rows: Sequence[Row], positions: Sequence[Position]) -> _Encoder:
        names = list(self.features or rows[0])
        if not names:
            raise DataError(
                f"{positions[0].origin} has no column of features; expected at least one beside the labels",
                code="missing",
                path=positions[0].origin,
            )
        return _Encoder(fit_columns(rows, positions, names, self.categorical))


@dataclass(frozen=True)
class _Encoder:
    columns: tuple[Column, ...]

    def refused(self, rows: Sequence[Row]) -> Mapping[int, str]:
        return wrong_cells(rows, self.columns)

    def build(
        self, rows: Sequence[Row], target: Any, space: LabelSpace, *, index: Tensor, skipped: tuple[str, ...]
    ) -> TableSet:
        numbers, codes = map(torch.from_numpy, encode(rows, self.columns))
        return TableSet(
            numbers, codes, self.columns, torch.from_numpy(target), index, space.classes, space.targets, skipped
        )


@dataclass(frozen=True, eq=False)
class TableSet(LabelledRows):
    """Rows of a table, their labels, and the number of each in its source.

    Numbers are as the file has them: models bring their own scaling, and their own way with missing values.

    Args:
        numeric: float32 `[N, F]`, the columns of numbers; NaN where there is no value.
        categorical: int64 `[N, G]`, the columns of categories: 1 for the first category and so on, 0 where there is no
            value, or one that no training row has.
        columns: the F + G columns in the order of the file, each with its categories if it has some.
        target: the class of each row in 0..K-1, int64 `[N]`; or a 0 or 1 for each class, int64 `[N, K]`; -100 where it
            is not known; or numbers, float32 `[N]` or `[N, K]`, NaN where one is not known.
        index: int64 `[N]`, the stable number of each row in its source; no number twice.
        classes: the names of the K classes; none where targets are numbers.
        targets: the names and units of these numbers.
        skipped: which rows of the source were left out, in words.

    Raises:
        DataError: if lengths or types disagree, a number is infinite, a code or target is out of range, a number is
            there twice, or K < 2.

    >>> columns = (Column("size"), Column("colour", ("blue", "red")))
    >>> sizes, colours = torch.tensor([[1.5], [torch.nan]]), torch.tensor([[2], [0]])
    >>> data = TableSet(sizes, colours, columns, torch.tensor([0.5, 1.0]), torch.arange(2), (), (FloatTarget("price"),))
    >>> data.shape, data.subset(torch.tensor([1])).target
    ((1, 1), tensor([1.]))
    """

    kind: ClassVar = "tables"
    fields: ClassVar = TableFields

    numeric: Tensor
    categorical: Tensor
    columns: tuple[Column, ...]
    target: Tensor
    index: Tensor
    classes: tuple[str, ...] = ()
    targets: tuple[FloatTarget, ...] = ()
    skipped: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        rows = len(self.target)
        check_labels("row", rows, self.target, self.index, self.classes, self.targets)
        codes = torch.tensor([column.codes for column in self.columns if not column.is_numeric], dtype=torch.int64)
        expected = {
            "numeric": (self.numeric, torch.float32, (rows, len(self.columns) - len(codes))),
            "categorical": (self.categorical, torch.int64, (rows, len(codes))),
        }
        for name, (values, dtype, shape) in expected.items():
            if values.dtype != dtype or values.shape != shape:
                raise DataError(
                    f"{name} has type {values.dtype} and shape {tuple(values.shape)}; expected {dtype} of "
                    f"shape {shape}",
                    code="wrong_type" if values.dtype != dtype else "wrong_shape",
                    path=name,
                )
        if self.numeric.isinf().any():
            raise DataError(
                f"row {int(self.numeric.isinf().any(1).nonzero()[0])} holds an infinite number",
                code="not_finite",
                path="numeric",
            )
        if ((self.categorical < 0) | (self.categorical >= codes)).any():
            raise DataError(
                f"categorical holds a code out of range; columns have {codes.tolist()} codes, from 0",
                code="out_of_range",
                path="categorical",
            )

    @property
    def shape(self) -> tuple[int, int]:
        """How many columns of numbers and of categories there are."""
        return self.numeric.shape[1], self.categorical.shape[1]

    @property
    def codes(self) -> tuple[int, ...]:
        """The number of codes of each column of categories."""
        return tuple(column.codes for column in self.columns if not column.is_numeric)

    def subset(self, rows: Tensor) -> Self:
        """The set with these rows (int64 `[B]`) only, in this order; each keeps its index."""
        return replace(
            self,
            numeric=self.numeric[rows],
            categorical=self.categorical[rows],
            target=self.target[rows],
            index=self.index[rows],
            skipped=(),
        )

    def encoded_like(self, other: Self) -> Self:
        """The same rows with the columns, the order and the categories of another set.

        A category that the other set has not becomes 0.

        Raises:
            DataError: if a column is missing, or is one of numbers here and one of categories there.
        """
        if self.columns == other.columns:
            return self
        at = {column.name: column for column in self.columns}
        for column in other.columns:
            if column.name not in at:
                raise DataError(
                    f"the rows have no column {column.name!r}; expected the columns of the training rows",
                    code="unknown_name",
                    path=column.name,
                )
            if at[column.name].is_numeric != column.is_numeric:
                kinds = ("numbers", "categories") if column.is_numeric else ("categories", "numbers")
                raise DataError(
                    f"the column {column.name!r} holds {kinds[1]}, in the training rows {kinds[0]}",
                    code="mismatch",
                    path=column.name,
                )
        numeric = [self._numbers(column.name) for column in other.columns if column.is_numeric]
        codes = [self._recoded(column) for column in other.columns if not column.is_numeric]
        return replace(
            self,
            numeric=torch.stack(numeric, 1) if numeric else self.numeric[:, :0],
            categorical=torch.stack(codes, 1) if codes else self.categorical[:, :0],
            columns=other.columns,
        )

    def _numbers(self, name: str) -> Tensor:
        return self.numeric[:, [column.name for column in self.columns if column.is_numeric].index(name)]

    def _recoded(self, column: Column) -> Tensor:
        own = [one for one in self.columns if not one.is_numeric]
        at = next(at for at, one in enumerate(own) if one.name == column.name)
        codes = {category: code for code, category in enumerate(column.categories or (), start=1)}
        table = torch.tensor([0, *(codes.get(category, 0) for category in own[at].categories or ())])
        return table[self.categorical[:, at]]

    def with_unlabelled(self, others: Self) -> Self:
        """These rows, then those of others, whose targets are not known and whose index goes on.

        Raises:
            DataError: if a column is missing, or is one of numbers here and one of categories there.
        """
        others = others.encoded_like(self)
        start = int(self.index.max()) + 1 if len(self) else 0
        return replace(
            self,
            numeric=torch.cat([self.numeric, others.numeric]),
            categorical=torch.cat([self.categorical, others.categorical]),
            target=torch.cat([self.target, unknown_target(self.target, len(others))]),
            index=torch.cat([self.index, torch.arange(start, start + len(others))]),
        )

    def fingerprint(self) -> str:
        """SHA-256, in hexadecimal, over columns, names of classes and targets, and every value."""
        digest = hashlib.sha256(repr((self.columns, self.classes, self.targets, self.shape)).encode())
        for values in (self.numeric, self.categorical, self.target, self.index):
            digest.update(values.contiguous().numpy().tobytes())
        return digest.hexdigest()
