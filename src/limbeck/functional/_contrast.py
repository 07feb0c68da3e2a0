"""A loss that tells a sample's pair of embeddings from pairs of different samples."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from limbeck.errors import ArgumentError
from limbeck.functional._checks import check_temperature, shape
from limbeck.functional._pairs import number_of, part, sum_over_blocks, vectors

__all__ = ["check_negatives", "crd"]


def check_negatives(operation: str, negatives: int) -> None:
    """Refuse a number of negatives below 1."""
    if negatives < 1:
        raise ArgumentError(f"{operation}: negatives is {negatives}, expected at least 1; 16384 is the default")


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
    """Noise-contrastive loss of a critic that knows pairs of one sample from N pairs of two, averaged over the rows.

    mean over i of −log h(s_i, t_i) − N mean_j log(1 − h(s_i, t̄_j)) − N mean_j log(1 − h(s̄_j, t_i)), with
    h(s, t) = p / (p + N / M), p = exp(s · t / τ) / Z and M the size of the data set. The embeddings are of length 1,
    those with a bar from the bank, and j runs over the bank's rows that make a pair with i.

    What the paper leaves open, and the choice made here. (1) Its h has no Z, so that only inner products far below 0
    would mean "two samples"; its code estimates Z in the first batch, after Wu et al., 2018. Here Z is what that
    estimate is for directions drawn at random, M exp(1 / (2 D τ²)): no state, and M cancels. (2) The negatives stand
    twice, since what comes from the bank has no gradient, and the sample's own pair once, since both its sides have
    one: so the gradient is that of the paper's objective. (3) Its code takes the partner of the own pair from the
    bank, where it may be an epoch old; here it is the one of this step, as in the equation.

    Args:
        student: embeddings `[B, D]` of length 1; float16 and bfloat16 are computed in float32.
        teacher: embeddings `[B, D]` of length 1.
        student_bank: the student's embeddings of other rows, `[K, D]`, of length 1.
        teacher_bank: the teacher's embeddings of the same rows, `[K, D]`.
        pairs: boolean `[B, K]`, which rows of the bank are negatives of which row; a row may have none.
        mask: boolean `[B]`, the rows that count; all if None.
        negatives: N, at least 1; a weight and part of h, whatever the number of pairs is.
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
    student, teacher = vectors("crd", student, teacher, mask)
    _check_bank(student, teacher, student_bank, teacher_bank, pairs)
    # h is the logistic function of s · t / τ − log(N Z / M).
    offset = math.log(negatives) + 1 / (2 * student.shape[1] * temperature**2)

    def against(rows: Tensor, bank: Tensor) -> Tensor:
        """−log (1 − h) of each row with each row of the bank."""
        scores = torch.addmm(rows.new_full((), -offset), rows, bank.to(rows.dtype).T, alpha=1 / temperature)
        # The default threshold would cut what float64 can tell apart.
        return F.softplus(scores, threshold=50)

    def of_rows(start: int, stop: int) -> Tensor:
        ours, theirs = part(student, start, stop), part(teacher, start, stop)
        value = -F.logsigmoid((ours * theirs).sum(dim=1) / temperature - offset)
        # Numbers: booleans would be converted for every product.
        chosen = part(pairs, start, stop).to(value.dtype)
        apart = ((against(ours, teacher_bank) + against(theirs, student_bank)) * chosen).sum(dim=1)
        value = value + negatives * apart / chosen.sum(dim=1).clamp(min=1)
        return (value if mask is None else value.where(part(mask, start, stop), 0)).sum()

    return sum_over_blocks(of_rows, len(student), len(student_bank)) / number_of(mask, teacher)


def _check_bank(student: Tensor, teacher: Tensor, student_bank: Tensor, teacher_bank: Tensor, pairs: Tensor) -> None:
    if student.shape != teacher.shape or student_bank.shape != teacher_bank.shape:
        raise ArgumentError(
            f"crd: student has shape {shape(student)} and teacher {shape(teacher)}, the banks {shape(student_bank)} "
            f"and {shape(teacher_bank)}, expected [B, D] twice and [K, D] twice; embed both in one space first, as the "
            f"module in limbeck.losses does"
        )
    expected = [len(student), len(student_bank)]
    if student_bank.shape[1:] != student.shape[1:] or list(pairs.shape) != expected or pairs.dtype != torch.bool:
        raise ArgumentError(
            f"crd: the banks have shape {shape(student_bank)} and pairs are {pairs.dtype} of shape {shape(pairs)}, "
            f"expected [K, {student.shape[1]}] and torch.bool [{len(student)}, K]"
        )
