"""Neuron selectivity transfer: the maximum mean discrepancy between the activations of channels."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from limbeck.errors import ArgumentError
from limbeck.losses._blocks import row_slice, values_over_blocks
from limbeck.losses._features import check_maps, pool_to_smaller
from limbeck.losses.precision import at_least_float32
from limbeck.registry import register

__all__ = ["NSTMMD", "Kernel", "check_kernel", "nst_mmd"]

Kernel = Literal["linear", "polynomial", "gaussian"]


def check_kernel(operation: str, kernel: str, degree: int, offset: float, bandwidth: float | None) -> None:
    """Reject a kernel that is unknown or not positive definite."""
    if kernel not in ("linear", "polynomial", "gaussian"):
        raise ArgumentError(
            f"{operation}: kernel is {kernel!r}, expected 'linear', 'polynomial' or 'gaussian'", path="kernel"
        )
    if degree < 1 or not 0.0 <= offset < math.inf:
        raise ArgumentError(
            f"{operation}: degree is {degree} and offset {offset}, expected a degree of at least 1 and a finite offset "
            f"of at least 0; the paper takes 2 and 0.0",
            path="degree",
        )
    if bandwidth is not None and not 0.0 < bandwidth < math.inf:
        raise ArgumentError(
            f"{operation}: bandwidth is {bandwidth}, expected a finite number above 0, or None to take it from "
            "the data",
            path="bandwidth",
        )


def nst_mmd(
    student: Tensor,
    teacher: Tensor,
    *,
    kernel: Kernel = "polynomial",
    degree: int = 2,
    offset: float = 0.0,
    bandwidth: float | None = None,
) -> Tensor:
    """Squared maximum mean discrepancy between the activation patterns of the student's and the teacher's channels.

    mean_ij k(t_i, t_j) + mean_ij k(s_i, s_j) − 2 mean_ij k(s_i, t_j), where s_i and t_j are the channels of one sample,
    each flattened to HW numbers and divided by its norm. The kernels are xᵀy (linear), (xᵀy + c)^d (polynomial) and
    exp(−‖x − y‖² / (2σ²)) (Gaussian). The numbers of channels may differ. Where heights or widths differ, the larger
    features are average-pooled to the smaller size. A channel that is 0 everywhere counts as a pattern of zeros.

    By default σ² is the mean squared distance of pairs, as in the paper; here these are the pairs (t_i, t_j) of each
    sample, so that the kernel does not depend on the student.

    Args:
        student: maps `[B, C, H, W]`; float16 and bfloat16 inputs are computed in float32.
        teacher: maps `[B, C', H', W']`.
        kernel: one of the three kernels.
        degree: d, at least 1; for the polynomial kernel only.
        offset: c, at least 0; for the polynomial kernel only.
        bandwidth: σ, above 0; for the Gaussian kernel only. None computes it from the data.

    Returns:
        One value per sample, `[B]`, in at least float32; it does not change when channels are reordered or multiplied
        by numbers above 0.

    Raises:
        ArgumentError: if the shapes do not fit, or a setting of the kernel is out of range.

    Knowledge: features.
    Cost: O(B C H W min(C, H W)) operations, O(B C H W + B min(C, H W)²) memory.

    Example:
        >>> import torch
        >>> student, teacher = torch.tensor([[[[3.0, 0.0]]]]), torch.tensor([[[[0.0, 5.0]]]])
        >>> nst_mmd(student, teacher), nst_mmd(student, student * 2)
        (tensor([2.]), tensor([0.]))

    Huang and Wang, 2017, "Like What You Like: Knowledge Distill via Neuron Selectivity Transfer", arXiv:1707.01219.
    """
    check_kernel("nst_mmd", kernel, degree, offset, bandwidth)
    check_maps("nst_mmd", student, teacher)
    student, teacher = pool_to_smaller(at_least_float32(student), at_least_float32(teacher))
    student, teacher = F.normalize(student.flatten(2), dim=2), F.normalize(teacher.flatten(2), dim=2)
    if kernel == "linear":
        # The mean of all inner products is the inner product of the means.
        return (student.mean(dim=1) - teacher.mean(dim=1)).square().sum(dim=1)
    if kernel == "polynomial" and degree == 2 and not offset and student.shape[2] < student.shape[1]:
        # The sum of squared products of channels is a product of Gram matrices over the positions, if these are fewer.
        return (_gram(student) - _gram(teacher)).square().sum(dim=(1, 2))
    similarity = _polynomial(degree, offset) if kernel == "polynomial" else _gaussian(teacher, bandwidth)

    def of_samples(start: int, stop: int) -> Tensor:
        of = slice(start, stop)
        of_student, of_teacher = row_slice(student, start, stop), row_slice(teacher, start, stop)
        return (
            similarity(of_teacher, of_teacher, of)
            + similarity(of_student, of_student, of)
            - 2 * similarity(of_student, of_teacher, of)
        )

    return values_over_blocks(of_samples, len(student), max(student.shape[1], teacher.shape[1]) ** 2)


def _gram(patterns: Tensor) -> Tensor:
    return torch.bmm(patterns.mT, patterns) / patterns.shape[1]


def _polynomial(degree: int, offset: float) -> Callable[[Tensor, Tensor, slice], Tensor]:
    def similarity(first: Tensor, second: Tensor, of: slice) -> Tensor:
        products = torch.bmm(first, second.mT)
        if offset:
            products = products + offset
        return (products.square() if degree == 2 else products.pow(degree)).mean(dim=(1, 2))

    return similarity


def _gaussian(teacher: Tensor, bandwidth: float | None) -> Callable[[Tensor, Tensor, slice], Tensor]:
    if bandwidth is None:
        # The mean squared distance of all pairs is twice the mean squared distance from the mean.
        spread = 2 * (teacher - teacher.mean(dim=1, keepdim=True)).square().sum(dim=2).mean(dim=1)
        # All channels of a teacher may be equal.
        precision = 1 / spread.clamp(min=torch.finfo(teacher.dtype).eps)
    else:
        precision = teacher.new_full((len(teacher),), 1 / bandwidth**2)

    def similarity(first: Tensor, second: Tensor, of: slice) -> Tensor:
        scaled = first * precision[of, None, None]
        # The squared lengths are 1, or 0 for a channel of zeros: without a gradient.
        lengths = first.detach().square().sum(dim=2)[:, :, None] + second.detach().square().sum(dim=2)[:, None]
        exponents = torch.baddbmm(lengths * precision[of, None, None], scaled, second.mT, beta=-0.5)
        # Above 1 only by rounding. Clamped here so that backward needs one matrix instead of two.
        return exponents.exp().clamp(max=1).mean(dim=(1, 2))

    return similarity


@register("loss", "nst_mmd")
class NSTMMD(nn.Module):
    """Module for `limbeck.functional.nst_mmd`, with the settings of its kernel.

    Args:
        kernel: one of the three kernels.
        degree: d of the polynomial kernel, at least 1.
        offset: c of the polynomial kernel, at least 0.
        bandwidth: σ of the Gaussian kernel, above 0; None computes it from the data.

    Raises:
        ArgumentError: if a setting is out of range.

    Example:
        >>> import torch
        >>> NSTMMD(kernel="linear")(torch.tensor([[[[3.0, 0.0]]]]), torch.tensor([[[[0.0, 5.0]]]]))
        tensor([2.])
    """

    def __init__(
        self,
        *,
        kernel: Literal["linear", "polynomial", "gaussian"] = "polynomial",
        degree: int = 2,
        offset: float = 0.0,
        bandwidth: float | None = None,
    ) -> None:
        super().__init__()
        check_kernel("nst_mmd", kernel, degree, offset, bandwidth)
        self.kernel = kernel
        self.degree = degree
        self.offset = offset
        self.bandwidth = bandwidth

    def forward(self, student: Tensor, teacher: Tensor) -> Tensor:
        return nst_mmd(
            student, teacher, kernel=self.kernel, degree=self.degree, offset=self.offset, bandwidth=self.bandwidth
        )

    def extra_repr(self) -> str:
        return f"kernel={self.kernel!r}, degree={self.degree}, offset={self.offset}, bandwidth={self.bandwidth}"
