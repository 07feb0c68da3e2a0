"""Sets of labelled texts, or pairs of texts, in memory."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Self

import torch
from torch import Tensor

from limbeck.data.labelled import UNKNOWN, Labelled, check_labels, class_weights, known
from limbeck.errors import DataError

if TYPE_CHECKING:
    from limbeck.data.tokens import Tokens

__all__ = ["TextSet", "Texts"]


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


@dataclass(frozen=True, eq=False)
class TextSet(Labelled):
    """Texts or pairs of texts, their classes, and where each came from.

    Args:
        files: what holds the texts.
        place: int64 `[N]`, where each row stands in the files, one after the other.
        target: int64 `[N]`, the class of each in 0..K-1; or `[N, K]`, 1 for each of its classes and 0 for the others;
            -100 where it is not known.
        index: int64 `[N]`, the stable number of each row in its source; no number twice.
        classes: the names of the K classes; none where no class is known.
        skipped: what was left out of the source, in words.

    Raises:
        DataError: if rows have not all one text or all two, lengths or types disagree, a target is out of range, a
            number is there twice, or K < 2.

    >>> data = TextSet.of([("good",), ("bad",)], torch.tensor([1, 0]), ("negative", "positive"))
    >>> len(data), data.subset(torch.tensor([1])).texts
    (2, [('bad',)])
    """

    files: tuple[Texts, ...]
    place: Tensor
    target: Tensor
    index: Tensor
    classes: tuple[str, ...]
    skipped: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        check_labels("text", len(self.place), self.target, self.index, self.classes)
        found = {len(row) for file in self.files for row in file.rows} or {1}
        if len(found) > 1 or not found <= {1, 2}:
            raise DataError(f"rows have {sorted(found)} texts; expected one in each, or a pair in each")

    @classmethod
    def of(
        cls,
        texts: Sequence[tuple[str, ...]],
        target: Tensor,
        classes: tuple[str, ...],
        *,
        index: Tensor | None = None,
        skipped: tuple[str, ...] = (),
    ) -> TextSet:
        """A set of all these rows, numbered from 0 unless index says otherwise."""
        place = torch.arange(len(texts))
        return cls((Texts(tuple(texts)),), place, target, place if index is None else index, classes, skipped)

    @property
    def texts(self) -> list[tuple[str, ...]]:
        """The texts of each row."""
        rows = [row for file in self.files for row in file.rows]
        return [rows[place] for place in self.place.tolist()]

    @property
    def shape(self) -> tuple[int, ...]:
        """How many texts a row has."""
        return next(((len(row),) for file in self.files for row in file.rows), (1,))

    def subset(self, rows: Tensor) -> Self:
        """The set with these rows (int64 `[B]`) only, in this order; each keeps its index."""
        return replace(self, place=self.place[rows], target=self.target[rows], index=self.index[rows], skipped=())

    def with_unlabelled(self, others: TextSet) -> TextSet:
        """These rows, then those of others, whose targets are not known and whose index goes on.

        Raises:
            DataError: if one has texts and the other pairs.
        """
        behind = sum(len(file.rows) for file in self.files)
        start = int(self.index.max()) + 1 if len(self) else 0
        return TextSet(
            self.files + others.files,
            torch.cat([self.place, others.place + behind]),
            torch.cat([self.target, self.target.new_full((len(others), *self.target.shape[1:]), UNKNOWN)]),
            torch.cat([self.index, torch.arange(start, start + len(others))]),
            self.classes,
        )

    @property
    def entries(self) -> int:
        """How many entries a cache of what is said of these rows has: one for each."""
        return len(self)

    def entries_of(self, rows: Tensor) -> Tensor:
        """The entries of these rows, int64 `[B]`: their numbers."""
        return rows

    def rows_of(self, entries: Tensor) -> tuple[Tensor, Any]:
        """The rows (int64 `[B]`) of these entries, and where each stands in what is said of these rows."""
        return entries, slice(None)

    def truth(self, rows: Tensor, tokens: Sequence[Tokens], least: int) -> dict[str, Tensor]:
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
        """SHA-256, in hexadecimal, over class names, places, targets, index and the files."""
        digest = hashlib.sha256(repr((self.classes, [file.digest for file in self.files])).encode())
        for column in (self.place, self.target, self.index):
            digest.update(column.numpy().tobytes())
        return digest.hexdigest()
