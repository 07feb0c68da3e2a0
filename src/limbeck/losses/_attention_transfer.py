"""A loss between spatial maps of activations (attention transfer)."""

from __future__ import annotations

import math

import torch.nn.functional as F
from torch import Tensor, nn

from limbeck.errors import ArgumentError
from limbeck.losses._features import check_maps, pool_to_smaller
from limbeck.losses.precision import at_least_float32
from limbeck.registry import register

__all__ = ["AttentionTransfer", "attention_transfer", "check_power"]


def check_power(operation: str, power: float) -> None:
    """Reject a power below 1 (its gradient is infinite at 0) or one that is not finite."""
    if not 1.0 <= power < math.inf:
        raise ArgumentError(
            f"{operation}: power is {power}, expected a finite number of at least 1; 2.0 is the paper's choice",
            path="power",
        )


def attention_transfer(student: Tensor, teacher: Tensor, *, power: float = 2.0) -> Tensor:
    """Squared distance of normalized activation attention maps, averaged over the positions.

    (1 / HW) ‖Q(student) / ‖Q(student)‖₂ − Q(teacher) / ‖Q(teacher)‖₂‖₂², with the map Q(A) = Σ_c |A_c|^p at each
    position. The numbers of channels may differ. Where heights or widths differ, the larger features are average-pooled
    to the smaller size before the map is formed. A map that is 0 everywhere stays 0.

    The paper's equation 2 has the norm without the square, and a weight that is divided by the number of positions. The
    authors' code, and therefore their weight of 10³, uses this mean of squares.

    Args:
        student: maps `[B, C, H, W]`; float16 and bfloat16 inputs are computed in float32.
        teacher: maps `[B, C', H', W']`.
        power: p, at least 1. Larger values stress the positions with the largest activations.

    Returns:
        One value per sample, `[B]`, in at least float32; it does not change when either side is multiplied by a number.

    Raises:
        ArgumentError: if the shapes do not fit, or the power is below 1.

    Knowledge: features.
    Cost: O(B C H W) operations, O(B C H W) memory.

    Example:
        >>> import torch
        >>> student, teacher = torch.tensor([[[[1.0, 0.0]]]]), torch.tensor([[[[0.0, 2.0]], [[0.0, -1.0]]]])
        >>> attention_transfer(student, teacher)
        tensor([1.])

    Zagoruyko and Komodakis, 2017, "Paying More Attention to Attention: Improving the Performance of Convolutional
    Neural Networks via Attention Transfer", arXiv:1612.03928.
    """
    check_power("attention_transfer", power)
    check_maps("attention_transfer", student, teacher)
    student, teacher = pool_to_smaller(at_least_float32(student), at_least_float32(teacher))
    return (_attention(student, power) - _attention(teacher, power)).square().mean(dim=1)


def _attention(maps: Tensor, power: float) -> Tensor:
    powers = maps.square() if power == 2.0 else maps.abs().pow(power)
    # The mean over the channels, because the sum would overflow earlier; normalization removes the difference.
    return F.normalize(powers.mean(dim=1).flatten(1), dim=1)


@register("loss", "attention_transfer")
class AttentionTransfer(nn.Module):
    """Module for `limbeck.functional.attention_transfer`, with a power.

    Args:
        power: p, at least 1.

    Raises:
        ArgumentError: if the power is below 1.

    Example:
        >>> import torch
        >>> AttentionTransfer()(torch.ones(2, 3, 4, 4), torch.ones(2, 5, 4, 4))
        tensor([0., 0.])
    """

    def __init__(self, *, power: float = 2.0) -> None:
        super().__init__()
        check_power("attention_transfer", power)
        self.power = power

    def forward(self, student: Tensor, teacher: Tensor) -> Tensor:
        return attention_transfer(student, teacher, power=self.power)

    def extra_repr(self) -> str:
        return f"power={self.power}"
