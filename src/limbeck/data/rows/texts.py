"""Texts: a row is a text, or a pair of texts."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, Self

import torch
from torch import Tensor

from limbeck.data.from_records import UnfittedFields
from limbeck.data.labels.label_type import FloatTarget, LabelSpace, LabelType
from limbeck.data.readers.reader import Record, check_utf8
from limbeck.data.row_errors import cell, kind_of
from limbeck.data.rows.row_set import LabelledRows, check_labels, class_weights, known, unknown_target
from limbeck.errors import DataError
from limbeck.registry import register

if TYPE_CHECKING:
    from limbeck.data.tokens import Tokens

__all__ = ["TextFields", "TextSet", "Texts"]


@dataclass(frozen=True, eq=False)
class Texts:
    """All rows of one file: what is tokenized together, whichever of them a model sees.

    Args:
        rows: of one text, or of two that belong together.
    """

    rows: tuple[tuple[str, ...], ...]

    @cached_property
    def digest(self) -> str:
        """SHA-256, in hexadecimal, over every text."""
        digest = hashlib.sha256()
        for row in self.rows:
            for text in row:
                encoded = text.encode()
                digest.update(f"{len(row)} {len(encoded)} ".encode() + encoded)
        return digest.hexdigest()


@register("rows", "texts")
@dataclass(frozen=True, kw_only=True)
class TextFields(UnfittedFields):
    """Which columns of a record hold texts.

    Args:
        text: the column of the text.
        pair: the column of a second text, where two belong together.
    """

    text: str = "text"
    pair: str | None = None

    def read(self, record: Record, labels: LabelType) -> tuple[str, ...]:
        return tuple(_text(record, name) for name in (self.text, self.pair) if name is not None)

    def build(
        self,
        rows: Sequence[tuple[str, ...]],
        target: Any,
        space: LabelSpace,
        *,
        index: Tensor,
        skipped: tuple[str, ...],
    ) -> TextSet:
        options: dict[str, Any] = {"targets": space.targets, "index": index, "skipped": skipped}
        return TextSet.of(rows, torch.from_numpy(target), space.classes, **options)


def _text(record: Record, column: str) -> str:
    value = cell(record, column)
    if not isinstance(value, str):
        raise ValueError(f"the column {column!r} holds {kind_of(value)}, not text")
    check_utf8(value, f"the column {column!r}")
    if not value.strip():
        raise ValueError(f"the column {column!r} is empty")
    return value


@dataclass(frozen=True, eq=False)
class TextSet(LabelledRows):
    """Texts or pairs of texts, their labels, and the number of each in its source.

    Args:
        files: what holds the texts.
        position: int64 `[N]`, where each row stands in the files, one after the other.
        target: the class of each in 0..K-1, int64 `[N]`; or a 0 or 1 for each class, int64 `[N, K]`; -100 where it is
            not known; or numbers, float32 `[N]` or `[N, K]`, NaN where one is not known.
        index: int64 `[N]`, the stable number of each row in its source; no number twice.
        classes: the names of the K classes; none where no class is known.
        skipped: which rows of the source were left out, in words.
        targets: the names and units of float targets.

    Raises:
        DataError: if rows have not all one text or all two, lengths or types disagree, a target is out of range, a
            number is there twice, or K < 2.

    >>> data = TextSet.of([("good",), ("bad",)], torch.tensor([1, 0]), ("negative", "positive"))
    >>> len(data), data.subset(torch.tensor([1])).texts
    (2, [('bad',)])
    """

    kind: ClassVar = "texts"
    fields: ClassVar = TextFields

    files: tuple[Texts, ...]
    position: Tensor
    target: Tensor
    index: Tensor
    classes: tuple[str, ...]
    skipped: tuple[str, ...] = ()
    targets: tuple[FloatTarget, ...] = ()

    def __post_init__(self) -> None:
        check_labels("text", len(self.position), self.target, self.index, self.classes, self.targets)
        found = {len(row) for file in self.files for row in file.rows} or {1}
        if len(found) > 1 or not found <= {1, 2}:
            raise DataError(
                f"rows have {sorted(found)} texts; expected one in each, or a pair in each",
                code="mismatch",
                path="texts",
            )

    @classmethod
    def of(
        cls,
        texts: Sequence[tuple[str, ...]],
        target: Tensor,
        classes: tuple[str, ...] = (),
        *,
        targets: tuple[FloatTarget, ...] = (),
        index: Tensor | None = None,
        skipped: tuple[str, ...] = (),
    ) -> TextSet:
        """A set of all these rows, numbered from 0 unless index says otherwise."""
        position = torch.arange(len(texts))
        index = position if index is None else index
        return cls((Texts(tuple(texts)),), position, target, index, classes, skipped, targets)

    @property
    def texts(self) -> list[tuple[str, ...]]:
        """The texts of each row."""
        rows = [row for file in self.files for row in file.rows]
        return [rows[position] for position in self.position.tolist()]

    @property
    def shape(self) -> tuple[int, ...]:
        """How many texts a row has."""
        return next(((len(row),) for file in self.files for row in file.rows), (1,))

    def subset(self, rows: Tensor) -> Self:
        """The set with these rows (int64 `[B]`) only, in this order; each keeps its index."""
        return replace(self, position=self.position[rows], target=self.target[rows], index=self.index[rows], skipped=())

    def with_unlabelled(self, others: TextSet) -> TextSet:
        """These rows, then those of others, whose targets are not known and whose index goes on.

        Raises:
            DataError: if one has texts and the other pairs.
        """
        behind = sum(len(file.rows) for file in self.files)
        start = int(self.index.max()) + 1 if len(self) else 0
        return TextSet(
            self.files + others.files,
            torch.cat([self.position, others.position + behind]),
            torch.cat([self.target, unknown_target(self.target, len(others))]),
            torch.cat([self.index, torch.arange(start, start + len(others))]),
            self.classes,
            targets=self.targets,
        )

    @property
    def entries(self) -> int:
        """The number of entries of a cache: one for each row."""
        return len(self)

    def cache_index(self, rows: Tensor) -> Tensor:
        """The entries of these rows, int64 `[B]`: their numbers."""
        return rows

    def rows_of(self, entries: Tensor) -> tuple[Tensor, Any]:
        """The rows (int64 `[B]`) of these entries, and the index of each entry in the outputs for these rows."""
        return entries, slice(None)

    def labels(self, rows: Tensor, tokens: Sequence[Tokens], least: int) -> dict[str, Tensor]:
        """What a batch holds of the labels of these rows (int64 `[B]`), whichever tokens models read."""
        target = self.target[rows]
        labelled = known(target)
        return {"target": target, "labelled": labelled, "unlabelled": ~labelled}

    @cached_property
    def _class_weights(self) -> Tensor:
        return class_weights(self)

    def class_weight(self, rows: Tensor, target: Tensor) -> Tensor:
        """For each of these rows the weight of its class, float32 `[B]`, as `class_weights` has it."""
        return self._class_weights[rows]

    def fingerprint(self) -> str:
        """SHA-256, in hexadecimal, over names of classes and targets, positions, targets, index and the files."""
        named = (self.classes, self.targets) if self.targets else (self.classes,)
        digest = hashlib.sha256(repr((*named, [file.digest for file in self.files])).encode())
        for column in (self.position, self.target, self.index):
            digest.update(column.numpy().tobytes())
        return digest.hexdigest()
