"""Losses between the similarities that the rows of a batch have to each other."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from limbeck.errors import ArgumentError
from limbeck.functional._pairs import number_of, part, sum_over_blocks, unit, vectors

__all__ = ["check_kernel", "correlation_congruence", "probabilistic_transfer", "similarity_preserving"]

# So that opposite rows have a logarithm.
_least_kernel = 1e-7


def check_kernel(operation: str, gamma: float, order: int) -> None:
    """Refuse a kernel width that is not a finite number above 0, and an expansion without a term."""
    if not 0.0 < gamma < math.inf:
        raise ArgumentError(f"{operation}: gamma is {gamma}, expected a finite number above 0; 0.4 is the default")
    if order < 1:
        raise ArgumentError(f"{operation}: order is {order}, expected at least 1; 2 is the default")


def similarity_preserving(student: Tensor, teacher: Tensor, mask: Tensor | None = None) -> Tensor:
    """Squared difference of the rows' normalized similarities, averaged over the pairs.

    (1 / B²) ‖G(teacher) − G(student)‖²_F, where row i of G(A) is the row of inner products A_i · A_j over all j,
    divided by its length. Pairs of a row with itself count, as in the paper. A row of zeros has similarities 0.

    Args:
        student: features or maps `[B, …]`, taken as vectors; float16 and bfloat16 are computed in float32.
        teacher: features or maps `[B, …]` of any size.
        mask: boolean `[B]`, the rows whose pairs count; all if None. B is their number then.

    Returns:
        One number, 0-d, in at least float32; 0 if the mask admits no row.

    Raises:
        ArgumentError: if the numbers of rows differ, or the mask does not fit.

    Knowledge: relations between samples.
    Cost: O(B² D) operations, O(B) memory, and blocks of at most 2²³ elements.

    Example:
        >>> import torch
        >>> student, teacher = torch.tensor([[1.0, 0.0], [1.0, 0.0]]), torch.tensor([[1.0, 0.0], [0.0, 1.0]])
        >>> similarity_preserving(student, teacher), similarity_preserving(2 * student, student)
        (tensor(0.2929), tensor(0.))

    Tung and Mori, 2019, "Similarity-Preserving Knowledge Distillation", arXiv:1907.09682.
    """
    student, teacher = vectors("similarity_preserving", student, teacher, mask)

    def of_rows(start: int, stop: int) -> Tensor:
        ours, theirs = (unit(part(rows, start, stop) @ rows.T) for rows in (student, teacher))
        return F.mse_loss(ours, theirs, reduction="sum").clone()

    # Rows that are left out are 0, and so are all their similarities.
    return sum_over_blocks(of_rows, len(student), len(student)) / number_of(mask, teacher) ** 2


def correlation_congruence(
    student: Tensor, teacher: Tensor, mask: Tensor | None = None, *, gamma: float = 0.4, order: int = 2
) -> Tensor:
    """Squared difference of the rows' correlations by a Gaussian kernel, averaged over the pairs.

    (1 / B²) ‖C(teacher) − C(student)‖²_F, with C_ij = Σ_{p=0}^P exp(−2γ) (2γ)^p / p! (u_i · u_j)^p and u_i the row i at
    length 1: the Taylor expansion of exp(−γ ‖u_i − u_j‖²) up to the order P. Pairs of a row with itself count. A row of
    zeros has inner products 0. Of the correlations that the paper names (maximum mean discrepancy, bilinear, Gaussian),
    this is the last.

    Args:
        student: features `[B, …]`, taken as vectors; float16 and bfloat16 are computed in float32.
        teacher: features `[B, …]` of any size.
        mask: boolean `[B]`, the rows whose pairs count; all if None. B is their number then.
        gamma: γ, a number above 0.
        order: P, at least 1.

    Returns:
        One number, 0-d, in at least float32; 0 if the mask admits no row.

    Raises:
        ArgumentError: if the numbers of rows differ, or the mask or a setting does not fit.

    Knowledge: relations between samples.
    Cost: O(B² D) operations, O(B D) memory, and blocks of at most 2²³ elements.

    Example:
        >>> import torch
        >>> student, teacher = torch.tensor([[1.0, 0.0], [1.0, 0.0]]), torch.tensor([[1.0, 0.0], [0.0, 1.0]])
        >>> correlation_congruence(student, teacher), correlation_congruence(3 * student, student)
        (tensor(0.1266), tensor(0.))

    Peng, Jin, Liu, Zhou, Wu, Liu, Li and Zhang, 2019, "Correlation Congruence for Knowledge Distillation",
    arXiv:1904.01802.
    """
    check_kernel("correlation_congruence", gamma, order)
    student, teacher = vectors("correlation_congruence", student, teacher, mask)
    # exp(−2γ) (2γ)^p / p! through logarithms: the factorial alone overflows for a high order.
    factors = [math.exp(p * math.log(2 * gamma) - 2 * gamma - math.lgamma(p + 1)) for p in range(1, order + 1)]
    student, teacher = unit(student), unit(teacher)

    def of_rows(start: int, stop: int) -> Tensor:
        ours, theirs = (_expansion(part(rows, start, stop) @ rows.T, factors) for rows in (student, teacher))
        return F.mse_loss(ours, theirs, reduction="sum").clone()

    return sum_over_blocks(of_rows, len(student), len(student)) / number_of(mask, teacher) ** 2


def _expansion(products: Tensor, factors: Sequence[float]) -> Tensor:
    """The kernel without its constant term, which is the same for student and teacher; 0 for rows of zeros."""
    value = factors[-1] * products
    for factor in reversed(factors[:-1]):
        value = (value + factor) * products
    return value


def probabilistic_transfer(student: Tensor, teacher: Tensor, mask: Tensor | None = None) -> Tensor:
    """Kullback-Leibler divergence of how likely rows pick each other as neighbours, in nats, averaged over the rows.

    (1 / B) Σ_i Σ_{j ≠ i} p_ij log (p_ij / q_ij), with p_ij = K_ij / Σ_{k ≠ i} K_ik from the teacher's rows, q_ij from
    the student's, and the cosine kernel K_ij = (cos(a_i, a_j) + 1) / 2, at least 10⁻⁷. The paper sums over i;
    its code averages over all pairs and has each row among its own neighbours, the equation does not. The least value,
    which keeps opposite rows finite, is not in the equation. The cosine with a row of zeros is 0.

    Args:
        student: features `[B, …]`, taken as vectors; float16 and bfloat16 are computed in float32.
        teacher: features `[B, …]` of any size.
        mask: boolean `[B]`, the rows that count; all if None. B is their number then.

    Returns:
        One number, 0-d, in at least float32; 0 if the mask admits fewer than three rows: one neighbour is certain.

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
    student, teacher = vectors("probabilistic_transfer", student, teacher, mask)
    student, teacher = unit(student), unit(teacher)

    def of_rows(start: int, stop: int) -> Tensor:
        ours, theirs = part(student, start, stop), part(teacher, start, stop)
        apart = _not_compared(theirs, teacher, start, mask)
        log_q, log_p = _log_shares(ours, student, apart), _log_shares(theirs, teacher, apart)
        return (log_p.exp().masked_fill(apart, 0) * (log_p - log_q)).sum()

    return sum_over_blocks(of_rows, len(student), len(student)) / number_of(mask, teacher)


def _not_compared(rows: Tensor, others: Tensor, start: int, mask: Tensor | None) -> Tensor:
    """`[rows, others]`: a row, the first of which has the number `start`, with itself, or a row that is left out."""
    if mask is None:
        apart = torch.zeros(len(rows), len(others), dtype=torch.bool, device=rows.device)
    else:
        apart = ~(part(mask, start, start + len(rows))[:, None] & mask)
    apart.diagonal(offset=start).fill_(True)
    return apart


def _log_shares(rows: Tensor, others: Tensor, apart: Tensor) -> Tensor:
    """The logarithm of each row's shares of the kernel; finite also where rows are not compared."""
    # Twice the kernel, whose shares are the same.
    kernel = torch.addmm(rows.new_ones(()), rows, others.T).clamp(min=2 * _least_kernel)
    sums = kernel.masked_fill(apart, 0).sum(dim=1, keepdim=True)
    return kernel.log() - sums.clamp(min=_least_kernel).log()
