"""Sentences: a row is a sequence of words, each of them with a tag."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, Self

import torch
from torch import Tensor

from limbeck.data.from_records import UnfittedFields
from limbeck.data.labels.classes import UNKNOWN
from limbeck.data.labels.label_type import LabelSpace, LabelType
from limbeck.data.labels.tags import check_text, read_list
from limbeck.data.ragged import Ragged
from limbeck.data.readers.reader import Record
from limbeck.data.rows.row_set import LabelledRows, check_labels
from limbeck.data.rows.texts import Texts
from limbeck.errors import DataError
from limbeck.functional import inverse_frequency
from limbeck.registry import register

if TYPE_CHECKING:
    from limbeck.data.tokens import Tokens

__all__ = ["TagSet", "WordFields"]


@register("rows", "sentences")
@dataclass(frozen=True, kw_only=True)
class WordFields(UnfittedFields):
    """Which column of a record holds words.

    Args:
        words: the column of the words, a list of texts.
    """

    words: str = "words"

    def read(self, record: Record, labels: LabelType) -> tuple[str, ...]:
        words = read_list(record, self.words)
        if not words:
            raise ValueError(f"the column {self.words!r} is empty")
        for number, word in enumerate(words, start=1):
            check_text(word, f"word {number}")
        return tuple(words)

    def build(
        self,
        rows: Sequence[tuple[str, ...]],
        target: Any,
        space: LabelSpace,
        *,
        index: Tensor,
        skipped: tuple[str, ...],
    ) -> TagSet:
        return TagSet.of(rows, target, space.classes, index=index, skipped=skipped)


@dataclass(frozen=True, eq=False)
class TagSet(LabelledRows):
    """Sentences of words, the tag of each word, and the number of each sentence in its source.

    Args:
        files: what holds the words.
        tags: of all rows of the files, for each word its tag in 0..K-1, or -100 where it is not known.
        position: int64 `[N]`, where each row stands in the files, one after the other.
        target: int64 `[N]`, the tag in each row that the fewest rows have: what rows are drawn by; or -100 where its
            tags are not known, whatever ``tags`` holds.
        index: int64 `[N]`, the stable number of each row in its source; no number twice.
        classes: the names of the K tags; none where no tag is known.
        skipped: which rows of the source were left out, in words.

    Raises:
        DataError: if lengths or types disagree, a tag is out of range, a number is there twice, or K < 2.

    >>> data = TagSet.of([("Ann", "sings"), ("she",)], [[0, 1], None], ("B-PER", "O"))
    >>> data.labelled.tolist(), data.known.padded(torch.arange(2), -100).tolist()
    ([True, False], [[0, 1], [-100, -100]])
    """

    kind: ClassVar = "sentences"
    fields: ClassVar = WordFields

    files: tuple[Texts, ...]
    tags: Ragged
    position: Tensor
    target: Tensor
    index: Tensor
    classes: tuple[str, ...]
    skipped: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        check_labels("sentence", len(self.position), self.target, self.index, self.classes)
        words = [len(row) for file in self.files for row in file.rows]
        if self.tags.lengths.tolist() != words:
            raise DataError(
                f"tags of {len(self.tags)} rows for {len(words)} sentences; expected one for each word",
                code="mismatch",
                path="tags",
            )
        known = self.tags.values[self.tags.values != UNKNOWN]
        if len(known) and not 0 <= int(known.min()) <= int(known.max()) < len(self.classes):
            raise DataError(
                f"tags go from {int(known.min())} to {int(known.max())}; expected 0 to {len(self.classes) - 1}, or "
                f"{UNKNOWN} where the tag is not known",
                code="out_of_range",
                path="tags",
            )

    @classmethod
    def of(
        cls,
        words: Sequence[tuple[str, ...]],
        tags: Sequence[Sequence[int] | None],
        classes: tuple[str, ...],
        *,
        index: Tensor | None = None,
        skipped: tuple[str, ...] = (),
    ) -> TagSet:
        """A set of all these sentences, numbered from 0 unless index says otherwise; None for one without tags."""
        position = torch.arange(len(words))
        laid = Ragged.of([[UNKNOWN] * len(row) if own is None else own for row, own in zip(words, tags, strict=True)])
        target = _rarest(laid, len(classes))
        return cls(
            (Texts(tuple(words)),), laid, position, target, position if index is None else index, classes, skipped
        )

    @property
    def words(self) -> list[tuple[str, ...]]:
        """The words of each row."""
        rows = [row for file in self.files for row in file.rows]
        return [rows[position] for position in self.position.tolist()]

    @property
    def known(self) -> Ragged:
        """The tags of each row, -100 where they are not known."""
        own = self.tags.subset(self.position)
        return Ragged(own.values.where(self.labelled[own.row], UNKNOWN), own.ends)

    @property
    def lacking(self) -> list[str]:
        """None: a tag may be too rare to stand in every split."""
        return []

    @property
    def shape(self) -> tuple[int, ...]:
        """No axis has a fixed size."""
        return ()

    def subset(self, rows: Tensor) -> Self:
        """The set with these rows (int64 `[B]`) only, in this order; each keeps its index."""
        return replace(self, position=self.position[rows], target=self.target[rows], index=self.index[rows], skipped=())

    def with_unlabelled(self, others: TagSet) -> TagSet:
        """These rows, then those of others, whose tags are not known and whose index goes on."""
        start = int(self.index.max()) + 1 if len(self) else 0
        hidden = Ragged(torch.full_like(others.tags.values, UNKNOWN), others.tags.ends)
        return TagSet(
            self.files + others.files,
            Ragged.concat([self.tags, hidden]),
            torch.cat([self.position, others.position + len(self.tags)]),
            torch.cat([self.target, torch.full_like(others.target, UNKNOWN)]),
            torch.cat([self.index, torch.arange(start, start + len(others))]),
            self.classes,
        )

    @cached_property
    def _words(self) -> Ragged:
        lengths = self.tags.lengths[self.position]
        ends = torch.cat([torch.zeros(1, dtype=torch.int64), lengths.cumsum(0)])
        return Ragged(torch.arange(int(ends[-1])), ends)

    @property
    def entries(self) -> int:
        """The number of entries of a cache: one for each word."""
        return len(self._words.values)

    def cache_index(self, rows: Tensor) -> Tensor:
        """The entries of these rows, int64 `[B, W]`: the numbers of their words, and -1 where there is none."""
        return self._words.padded(rows, -1)

    def rows_of(self, entries: Tensor) -> tuple[Tensor, Any]:
        """The rows (int64 `[B]`) of these entries, and the index of each entry in the outputs for these rows."""
        own = self._words.row[entries]
        rows, number = torch.unique(own, return_inverse=True)
        return rows, (number, entries - self._words.ends[own])

    def labels(self, rows: Tensor, tokens: Sequence[Tokens], least: int) -> dict[str, Tensor]:
        """What a batch holds of the words of these rows (int64 `[B]`), each `[B, W]`.

        A word counts if every model has a token of it: the others were cut off, or are nothing to a tokenizer.

        Args:
            rows: int64 `[B]`.
            tokens: as the models read them.
            least: the smallest W.
        """
        position = self.position[rows]
        read = [one.starts.padded(position, -1, least=least) >= 0 for one in tokens if one.starts is not None]
        words = torch.stack(read).all(0)
        target = self.tags.padded(position, UNKNOWN, least=least)
        target = target.where(words & self.labelled[rows].unsqueeze(1), UNKNOWN)
        labelled = target != UNKNOWN
        return {"target": target, "words": words, "labelled": labelled, "unlabelled": words & ~labelled}

    @cached_property
    def _class_weights(self) -> Tensor:
        if not self.labelled.any():
            return torch.ones(len(self.classes))
        return inverse_frequency(self.known.values, classes=len(self.classes))

    def class_weight(self, rows: Tensor, target: Tensor) -> Tensor:
        """The weight of the tag of each word, float32 `[B, W]`, by inverse frequency; 1 where it is not known."""
        return self._class_weights[target.clamp(min=0)].where(target != UNKNOWN, 1.0)

    def fingerprint(self) -> str:
        """SHA-256, in hexadecimal, over class names, tags, positions, targets, index and the files."""
        digest = hashlib.sha256(repr((self.classes, [file.digest for file in self.files])).encode())
        for column in (self.tags.values, self.position, self.target, self.index):
            digest.update(column.numpy().tobytes())
        return digest.hexdigest()


def _rarest(tags: Ragged, classes: int) -> Tensor:
    """Of the tags in each row the one that the fewest rows have, int64 `[N]`; -100 for a row without tags."""
    known = tags.values != UNKNOWN
    held = torch.zeros(len(tags), classes, dtype=torch.bool)
    held[tags.row[known], tags.values[known]] = True
    rows = held.sum(0).expand_as(held).masked_fill(~held, len(tags) + 1)
    return rows.argmin(1).where(held.any(1), UNKNOWN) if classes else torch.full((len(tags),), UNKNOWN)
