"""Contrastive representation distillation, with a memory bank of embeddings."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from limbeck.errors import ArgumentError
from limbeck.hashing import draw_below
from limbeck.losses._blocks import row_slice, sum_over_blocks
from limbeck.losses._checks import check_temperature, shape
from limbeck.losses._lazy import LazyModule
from limbeck.losses._memory_bank import MemoryBank
from limbeck.losses._projection import ChannelProjection
from limbeck.losses._rows import as_vectors, count_admitted
from limbeck.losses._unit import unit_vectors
from limbeck.registry import register

__all__ = ["CRD", "check_negatives", "crd"]


def check_negatives(operation: str, negatives: int) -> None:
    """Reject a number of negatives below 1."""
    if negatives < 1:
        raise ArgumentError(
            f"{operation}: negatives is {negatives}, expected at least 1; 16384 is the default", path="negatives"
        )


def crd(
    student: Tensor,
    teacher: Tensor,
    student_bank: Tensor,
    teacher_bank: Tensor,
    pairs: Tensor,
    mask: Tensor | None = None,
    *,
    negatives: int = 16384,
    temperature: float = 0.1,
) -> Tensor:
    """Noise-contrastive loss of a critic that separates positive pairs from N negative pairs, averaged over the rows.

    mean over i of −log h(s_i, t_i) − N mean_j log(1 − h(s_i, t̄_j)) − N mean_j log(1 − h(s̄_j, t_i)), with h(s, t) = p
    / (p + N / M), p = exp(s · t / τ) / Z and M the size of the data set. The embeddings have length 1, those with a bar
    come from the bank, and j runs over the rows of the bank that are negatives of i.

    Differences from the paper and its code: (1) The paper's h has no Z, so that only inner products far below 0 would
    mean a negative pair; its code estimates Z in the first batch, after Wu et al., 2018. Here Z is the value of that
    estimate for random directions, M exp(1 / (2 D τ²)), which needs no state, and M cancels. (2) The negatives occur
    twice, because embeddings from the bank have no gradient, and the positive pair occurs once, because both its sides
    have a gradient: the gradient is that of the paper's objective. (3) The code takes the partner of the positive pair
    from the bank, where it may be an epoch old; here it is the embedding of this step, as in the equation.

    Args:
        student: embeddings `[B, D]` of length 1; float16 and bfloat16 inputs are computed in float32.
        teacher: embeddings `[B, D]` of length 1.
        student_bank: the student's embeddings of other rows, `[K, D]`, of length 1.
        teacher_bank: the teacher's embeddings of the same rows, `[K, D]`.
        pairs: boolean `[B, K]`, which rows of the bank are negatives of which row; a row may have none.
        mask: boolean `[B]`, the rows that count; all if None.
        negatives: N, at least 1; a factor in the loss and in h, which does not depend on the number of pairs.
        temperature: τ, a number above 0.

    Returns:
        One number, 0-d, in at least float32; 0 if the mask admits no row.

    Raises:
        ArgumentError: if the shapes or settings do not fit.

    Knowledge: relations between samples.
    Cost: O(B K D) operations, O(B + D + K) memory, and blocks of at most 2²³ elements.

    Example:
        >>> student = teacher = torch.eye(2)
        >>> others, pairs = torch.eye(2), ~torch.eye(2, dtype=torch.bool)
        >>> crd(student, teacher, others, others, pairs, negatives=4, temperature=0.5)
        tensor(1.6087)

    Tian, Krishnan and Isola, 2020, "Contrastive Representation Distillation", arXiv:1910.10699.
    Wu, Xiong, Yu and Lin, 2018, "Unsupervised Feature Learning via Non-Parametric Instance-level Discrimination",
    arXiv:1805.01978 (the bank, and Z).
    """
    check_temperature("crd", temperature)
    check_negatives("crd", negatives)
    student, teacher = as_vectors("crd", student, teacher, mask)
    _check_bank(student, teacher, student_bank, teacher_bank, pairs)
    # h is the logistic function of s · t / τ − log(N Z / M).
    offset = math.log(negatives) + 1 / (2 * student.shape[1] * temperature**2)

    def against(rows: Tensor, bank: Tensor) -> Tensor:
        """−log (1 − h) of each row with each row of the bank."""
        scores = torch.addmm(rows.new_full((), -offset), rows, bank.to(rows.dtype).T, alpha=1 / temperature)
        # The default threshold would lose precision in float64.
        return F.softplus(scores, threshold=50)

    def of_rows(start: int, stop: int) -> Tensor:
        student_rows, teacher_rows = row_slice(student, start, stop), row_slice(teacher, start, stop)
        value = -F.logsigmoid((student_rows * teacher_rows).sum(dim=1) / temperature - offset)
        # Converted once, because booleans would be converted for every product.
        chosen = row_slice(pairs, start, stop).to(value.dtype)
        negative = ((against(student_rows, teacher_bank) + against(teacher_rows, student_bank)) * chosen).sum(dim=1)
        value = value + negatives * negative / chosen.sum(dim=1).clamp(min=1)
        return (value if mask is None else value.where(row_slice(mask, start, stop), 0)).sum()

    return sum_over_blocks(of_rows, len(student), len(student_bank)) / count_admitted(mask, teacher)


def _check_bank(student: Tensor, teacher: Tensor, student_bank: Tensor, teacher_bank: Tensor, pairs: Tensor) -> None:
    if student.shape != teacher.shape or student_bank.shape != teacher_bank.shape:
        raise ArgumentError(
            f"crd: student has shape {shape(student)} and teacher {shape(teacher)}, the banks {shape(student_bank)} "
            f"and {shape(teacher_bank)}, expected [B, D] twice and [K, D] twice; embed both in one space first, as the "
            f"module in limbeck.losses does",
            code="wrong_shape",
            path="student",
        )
    expected = [len(student), len(student_bank)]
    if student_bank.shape[1:] != student.shape[1:] or list(pairs.shape) != expected or pairs.dtype != torch.bool:
        raise ArgumentError(
            f"crd: the banks have shape {shape(student_bank)} and pairs are {pairs.dtype} of shape {shape(pairs)}, "
            f"expected [K, {student.shape[1]}] and torch.bool [{len(student)}, K]",
            code="wrong_shape",
            path="pairs",
        )


@register("loss", "crd")
class CRD(LazyModule):
    """Module for `limbeck.functional.crd`, with linear embeddings of student and teacher, and a memory bank of them.

    The embeddings are learned together with the student; `prepare` sets their sizes. Features with more than one axis
    are flattened. The bank holds the embedding of each row at the last step that trained on it: a forward in training
    mode stages its rows, and `after_step` writes those of all processes. The negatives of a row are other rows of the
    bank that have been seen before and, if both classes are known, have another class. While the bank has more than
    ``negatives`` rows, each step draws ``negatives`` of them with replacement, as a function of ``seed`` and the step,
    and uses them for all rows (the paper draws for each row; one draw needs only one matrix product). Otherwise all
    rows of the bank are used.

    Args:
        rows: the number of training rows, so that ``batch.row`` is below it; if None, the bank grows.
        features: D, the size of the embeddings.
        negatives: N, at least 1.
        temperature: τ, a number above 0.
        momentum: the share of the old embedding that the bank keeps, at least 0 and below 1.
        seed: the seed of the draws.

    Raises:
        ArgumentError: if a setting is out of range.

    Inputs:
        student: features `[B, …]`, flattened to vectors.
        teacher: features `[B, …]` of any size.
        row: the indices of the rows in the training set, int64 `[B]`.
        label: the rows' classes, int64 `[B]`, −100 where unknown; all are unknown if not given.

    Cost: O(B (S + C) D + B K) operations and O(B (D + K)) memory in addition, for S and C features of student and
        teacher and K rows of the bank; after a step, its rows are written.

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
            ArgumentError: if the features differ from those given before.
        """
        for sample in samples:
            self.size([sample["student"].flatten(1).shape[1], sample["teacher"].flatten(1).shape[1]])

    def forward(
        self, student: Tensor, teacher: Tensor, row: Tensor, mask: Tensor | None = None, label: Tensor | None = None
    ) -> Tensor:
        self.check_sized()
        student, teacher = as_vectors("crd", student, teacher, mask)
        _check_rows(row, label, len(student))
        student, teacher = unit_vectors(self.student_embedding(student)), unit_vectors(self.teacher_embedding(teacher))
        student_bank, teacher_bank, pairs = self._negatives(row, label)
        value = crd(
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
        """The rows of the bank that this step uses, and which of them are negatives of each row of the batch."""
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


def _check_rows(row: Tensor, label: Tensor | None, rows: int) -> None:
    for name, places in (("row", row), ("label", label)):
        if places is not None and (list(places.shape) != [rows] or places.dtype != torch.int64):
            raise ArgumentError(
                f"crd: {name} is {places.dtype} of shape {shape(places)}, expected int64 of shape [{rows}]; read "
                f"{'batch.row' if name == 'row' else 'batch.target'}",
                code="wrong_shape",
                path=name,
            )
