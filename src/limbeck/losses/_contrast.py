"""A loss that tells a sample's pair of embeddings from pairs of different samples, as a module."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

import torch
from torch import Tensor

from limbeck import functional
from limbeck.errors import ArgumentError
from limbeck.functional._checks import check_temperature, shape
from limbeck.functional._contrast import check_negatives
from limbeck.functional._pairs import unit, vectors
from limbeck.hashing import draw_below
from limbeck.losses._memory import MemoryBank
from limbeck.losses._projection import ChannelProjection
from limbeck.losses._sized import Sized
from limbeck.registry import register

__all__ = ["CRD"]


@register("loss", "crd")
class CRD(Sized):
    """Keeps linear embeddings of student and teacher, and a memory bank of them, for `limbeck.functional.crd`.

    The embeddings are learned together with the student and sized by `prepare`; features with more than one axis are
    flattened. The bank holds what rows were embedded to when they were last trained on: a forward in training mode
    notes its rows, `after_step` writes those of all processes. Negatives of a row are rows of the bank that have been
    seen before, other than itself, and, if both classes are known, of another class. While the bank has more rows than
    ``negatives``, as many are drawn for each step, with replacement, as a function of ``seed`` and the step, and serve
    all rows (the paper draws for each row; this takes one matrix product in its place). Else all of them serve.

    Args:
        rows: the number of training rows, so that ``batch.row`` is below it; if None, the bank grows.
        features: D, the size of the embeddings.
        negatives: N, at least 1.
        temperature: τ, a number above 0.
        momentum: what of an older embedding the bank keeps, at least 0 and below 1.
        seed: of the draws.

    Raises:
        ArgumentError: if a setting is out of range.

    Inputs:
        student: features `[B, …]`, taken as vectors.
        teacher: features `[B, …]` of any size.
        row: the rows' places in the training set, int64 `[B]`.
        label: the rows' classes, int64 `[B]`, −100 where unknown; all are if not given.

    Cost: O(B (S + C) D + B K) operations more, O(B (D + K)) memory more, for S and C features of student
        and teacher and K rows of the bank; after a step, its rows are written.

    Example:
        >>> from limbeck.core import Term
        >>> loss = CRD(features=8)
        >>> term = Term(loss, {"student": "student.pooled", "teacher": "teacher.pooled"})
        >>> board = {"batch": {"row": torch.arange(4)}, "student": {"pooled": torch.eye(4)}}
        >>> board["teacher"] = {"pooled": torch.ones(4, 6)}
        >>> _ = term.prepare([board])
        >>> term(board).count
        tensor(1.)
        >>> loss.after_step(1)
        >>> loss.bank.seen
        tensor([True, True, True, True])
    """

    relational: ClassVar[bool] = True

    def __init__(
        self,
        *,
        rows: int | None = None,
        features: int = 128,
        negatives: int = 16384,
        temperature: float = 0.1,
        momentum: float = 0.5,
        seed: int = 0,
    ) -> None:
        super().__init__()
        check_temperature("crd", temperature)
        check_negatives("crd", negatives)
        self.features = features
        self.negatives = negatives
        self.temperature = temperature
        self.seed = seed
        self.bank = MemoryBank(rows=rows, features=features, momentum=momentum)

    def build(self, channels: Sequence[int]) -> None:
        student, teacher = channels
        self.student_embedding = ChannelProjection(student, self.features, operation="crd")
        self.teacher_embedding = ChannelProjection(teacher, self.features, operation="crd")

    def prepare(self, samples: Sequence[Mapping[str, Tensor]]) -> None:
        """Size the embeddings from the first sample, and check the features of all.

        Args:
            samples: for each batch, the arguments of `forward` by name.

        Raises:
            ArgumentError: if the features are not those given before.
        """
        for sample in samples:
            self.size([sample["student"].flatten(1).shape[1], sample["teacher"].flatten(1).shape[1]])

    def forward(
        self, student: Tensor, teacher: Tensor, row: Tensor, mask: Tensor | None = None, label: Tensor | None = None
    ) -> Tensor:
        self.check_sized()
        student, teacher = vectors("crd", student, teacher, mask)
        _check_places(row, label, len(student))
        student, teacher = unit(self.student_embedding(student)), unit(self.teacher_embedding(teacher))
        student_bank, teacher_bank, pairs = self._negatives(row, label)
        value = functional.crd(
            student,
            teacher,
            student_bank,
            teacher_bank,
            pairs,
            mask,
            negatives=self.negatives,
            temperature=self.temperature,
        )
        if self.training and torch.is_grad_enabled():
            admitted = torch.ones_like(row, dtype=torch.bool) if mask is None else mask
            self.bank.stage(row, label, student, teacher, admitted)
        return value

    def _negatives(self, row: Tensor, label: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
        """The rows of the bank that serve this step, and which of them are negatives of which row of the batch."""
        bank = self.bank
        if len(bank.seen) <= self.negatives:
            chosen = torch.arange(len(bank.seen), device=row.device)
            student, teacher, labels, seen = bank.student, bank.teacher, bank.label, bank.seen
        else:
            chosen = draw_below(len(bank.seen), self.negatives, self.seed, bank.step)
            student, teacher = bank.student[chosen], bank.teacher[chosen]
            labels, seen = bank.label[chosen], bank.seen[chosen]
        pairs = seen & (row[:, None] != chosen)
        if label is not None:
            pairs = pairs & ((label[:, None] != labels) | (label[:, None] < 0))
        return student, teacher, pairs

    def after_step(self, step: int) -> None:
        """Write the staged embeddings of all processes into the bank."""
        self.bank.commit(step)

    def extra_repr(self) -> str:
        return f"negatives={self.negatives}, temperature={self.temperature}, seed={self.seed}"


def _check_places(row: Tensor, label: Tensor | None, rows: int) -> None:
    for name, places in (("row", row), ("label", label)):
        if places is not None and (list(places.shape) != [rows] or places.dtype != torch.int64):
            raise ArgumentError(
                f"crd: {name} is {places.dtype} of shape {shape(places)}, expected int64 of shape [{rows}]; read "
                f"{'batch.row' if name == 'row' else 'batch.target'}"
            )
