"""A loss between the kernel matrices of the rows of a batch."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import ClassVar

import torch.nn.functional as F
from torch import Tensor, nn

from limbeck.errors import ArgumentError
from limbeck.losses._blocks import row_slice, sum_over_blocks
from limbeck.losses._rows import as_vectors, count_admitted
from limbeck.losses._unit import unit_vectors
from limbeck.registry import register

__all__ = ["CorrelationCongruence", "check_kernel", "correlation_congruence"]


def check_kernel(operation: str, gamma: float, order: int) -> None:
    """Reject a γ that is not a finite number above 0, and an order below 1."""
    if not 0.0 < gamma < math.inf:
        raise ArgumentError(
            f"{operation}: gamma is {gamma}, expected a finite number above 0; 0.4 is the default", path="gamma"
        )
    if order < 1:
        raise ArgumentError(f"{operation}: order is {order}, expected at least 1; 2 is the default", path="order")


def correlation_congruence(
    student: Tensor, teacher: Tensor, mask: Tensor | None = None, *, gamma: float = 0.4, order: int = 2
) -> Tensor:
    """Squared difference of the rows' correlations by a Gaussian kernel, averaged over the pairs.

    (1 / B²) ‖C(teacher) − C(student)‖²_F, with C_ij = Σ_{p=0}^P exp(−2γ) (2γ)^p / p! (u_i · u_j)^p and u_i the row i
    scaled to length 1: the Taylor expansion of exp(−γ ‖u_i − u_j‖²) up to the order P. Pairs of a row with itself
    count. A row of zeros has inner products 0. The paper names three kernels (maximum mean discrepancy, bilinear,
    Gaussian); this is the Gaussian.

    Args:
        student: features `[B, …]`, flattened to vectors; float16 and bfloat16 inputs are computed in float32.
        teacher: features `[B, …]` of any size.
        mask: boolean `[B]`, the rows whose pairs count; all if None. With a mask, B is the number of these rows.
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
    student, teacher = as_vectors("correlation_congruence", student, teacher, mask)
    # exp(−2γ) (2γ)^p / p!, by logarithms because the factorial of a high order overflows.
    factors = [math.exp(p * math.log(2 * gamma) - 2 * gamma - math.lgamma(p + 1)) for p in range(1, order + 1)]
    student, teacher = unit_vectors(student), unit_vectors(teacher)

    def of_rows(start: int, stop: int) -> Tensor:
        of_student, of_teacher = (
            _expansion(row_slice(rows, start, stop) @ rows.T, factors) for rows in (student, teacher)
        )
        return F.mse_loss(of_student, of_teacher, reduction="sum").clone()

    return sum_over_blocks(of_rows, len(student), len(student)) / count_admitted(mask, teacher) ** 2


def _expansion(products: Tensor, factors: Sequence[float]) -> Tensor:
    """The kernel without its constant term, which is the same for student and teacher; 0 for rows of zeros."""
    value = factors[-1] * products
    for factor in reversed(factors[:-1]):
        value = (value + factor) * products
    return value


@register("loss", "correlation_congruence")
class CorrelationCongruence(nn.Module):
    """Module for `limbeck.functional.correlation_congruence`, with the settings of its kernel.

    Args:
        gamma: γ, a number above 0.
        order: P, at least 1.

    Raises:
        ArgumentError: if a setting is out of range.

    Example:
        >>> import torch
        >>> CorrelationCongruence()(torch.tensor([[1.0], [1.0]]), torch.eye(2))
        tensor(0.1266)
    """

    relational: ClassVar[bool] = True

    def __init__(self, *, gamma: float = 0.4, order: int = 2) -> None:
        super().__init__()
        check_kernel("correlation_congruence", gamma, order)
        self.gamma = gamma
        self.order = order

    def forward(self, student: Tensor, teacher: Tensor, mask: Tensor | None = None) -> Tensor:
        return correlation_congruence(student, teacher, mask, gamma=self.gamma, order=self.order)

    def extra_repr(self) -> str:
        return f"gamma={self.gamma}, order={self.order}"
