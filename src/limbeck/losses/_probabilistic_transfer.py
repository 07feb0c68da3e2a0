"""A loss between the conditional probabilities that rows of a batch are neighbours."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn

from limbeck.losses._blocks import row_slice, sum_over_blocks
from limbeck.losses._rows import as_vectors, count_admitted
from limbeck.losses._unit import unit_vectors
from limbeck.registry import register

__all__ = ["ProbabilisticTransfer", "probabilistic_transfer"]

# Keeps the logarithm finite for opposite rows.
_MIN_KERNEL = 1e-7


def probabilistic_transfer(student: Tensor, teacher: Tensor, mask: Tensor | None = None) -> Tensor:
    """Kullback-Leibler divergence of the probabilities that rows are neighbours, in nats, averaged over the rows.

    (1 / B) Σ_i Σ_{j ≠ i} p_ij log (p_ij / q_ij), with p_ij = K_ij / Σ_{k ≠ i} K_ik from the teacher's rows, q_ij from
    the student's, and the cosine kernel K_ij = (cos(a_i, a_j) + 1) / 2, at least 10⁻⁷. The paper sums over i; its code
    averages over all pairs and counts each row among its own neighbours, unlike the equation. The lower bound of the
    kernel, which keeps the loss finite for opposite rows, is not in the equation. The cosine with a row of zeros is 0.

    Args:
        student: features `[B, …]`, flattened to vectors; float16 and bfloat16 inputs are computed in float32.
        teacher: features `[B, …]` of any size.
        mask: boolean `[B]`, the rows that count; all if None. With a mask, B is the number of these rows.

    Returns:
        One number, 0-d, in at least float32; 0 if the mask admits fewer than three rows, because a single neighbour has
        the probability 1.

    Raises:
        ArgumentError: if the numbers of rows differ, or the mask does not fit.

    Knowledge: relations between samples.
    Cost: O(B² D) operations, O(B D) memory, and blocks of at most 2²³ elements.

    Example:
        >>> import torch
        >>> student, teacher = torch.eye(3), torch.tensor([[1.0, 0.0], [1.0, 0.0], [-1.0, 0.0]])
        >>> probabilistic_transfer(student, teacher), probabilistic_transfer(3 * student, student)
        (tensor(0.4621), tensor(0.))

    Passalis and Tefas, 2018, "Learning Deep Representations with Probabilistic Knowledge Transfer", arXiv:1803.10837.
    """
    student, teacher = as_vectors("probabilistic_transfer", student, teacher, mask)
    student, teacher = unit_vectors(student), unit_vectors(teacher)

    def of_rows(start: int, stop: int) -> Tensor:
        student_rows, teacher_rows = row_slice(student, start, stop), row_slice(teacher, start, stop)
        excluded = _excluded_pairs(teacher_rows, teacher, start, mask)
        log_q = _log_probabilities(student_rows, student, excluded)
        log_p = _log_probabilities(teacher_rows, teacher, excluded)
        return (log_p.exp().masked_fill(excluded, 0) * (log_p - log_q)).sum()

    return sum_over_blocks(of_rows, len(student), len(student)) / count_admitted(mask, teacher)


def _excluded_pairs(rows: Tensor, others: Tensor, start: int, mask: Tensor | None) -> Tensor:
    """`[rows, others]`, true for pairs of a row with itself and of masked rows; the first row has the index `start`."""
    if mask is None:
        excluded = torch.zeros(len(rows), len(others), dtype=torch.bool, device=rows.device)
    else:
        excluded = ~(row_slice(mask, start, start + len(rows))[:, None] & mask)
    excluded.diagonal(offset=start).fill_(True)
    return excluded


def _log_probabilities(rows: Tensor, others: Tensor, excluded: Tensor) -> Tensor:
    """The logarithm of each row's normalized kernel; finite also where rows are not compared."""
    # Twice the kernel; the factor cancels.
    kernel = torch.addmm(rows.new_ones(()), rows, others.T).clamp(min=2 * _MIN_KERNEL)
    sums = kernel.masked_fill(excluded, 0).sum(dim=1, keepdim=True)
    return kernel.log() - sums.clamp(min=_MIN_KERNEL).log()


@register("loss", "probabilistic_transfer")
class ProbabilisticTransfer(nn.Module):
    """Module for `limbeck.functional.probabilistic_transfer`, without settings.

    Example:
        >>> import torch
        >>> ProbabilisticTransfer()(torch.eye(3), torch.tensor([[1.0], [1.0], [-1.0]]))
        tensor(0.4621)
    """

    relational: ClassVar[bool] = True

    def __init__(self) -> None:
        super().__init__()

    def forward(self, student: Tensor, teacher: Tensor, mask: Tensor | None = None) -> Tensor:
        return probabilistic_transfer(student, teacher, mask)
