"""Losses between maps of where a network looks."""

from __future__ import annotations

import math
from typing import Literal

import torch.nn.functional as F
from torch import Tensor

from limbeck.errors import ArgumentError
from limbeck.functional._features import check_maps, pooled_alike
from limbeck.functional._precision import at_least_float32

__all__ = ["attention_transfer", "check_channels", "check_power", "gradient_attention"]


def check_power(operation: str, power: float) -> None:
    """Refuse a power below 1 (its gradient is infinite at 0) or without end."""
    if not 1.0 <= power < math.inf:
        raise ArgumentError(
            f"{operation}: power is {power}, expected a finite number of at least 1; 2.0 is the paper's choice"
        )


def check_channels(operation: str, channels: str) -> None:
    """Refuse what is no way to compare channels."""
    if channels not in ("each", "sum"):
        raise ArgumentError(f"{operation}: channels is {channels!r}, expected 'each' or 'sum'")


def attention_transfer(student: Tensor, teacher: Tensor, *, power: float = 2.0) -> Tensor:
    """Squared distance of normalized activation attention maps, averaged over the positions.

    (1 / HW) ‖Q(student) / ‖Q(student)‖₂ − Q(teacher) / ‖Q(teacher)‖₂‖₂², with the map Q(A) = Σ_c |A_c|^p at each
    position. Numbers of channels may differ. Where heights or widths differ, the larger features are averaged down to
    the smaller before the map is formed. A map that is 0 everywhere stays 0.

    The paper's equation 2 has the norm without the square, and a weight that is divided by the number of positions. Its
    authors' code, and so their weight of 10³, takes this mean of squares.

    Args:
        student: maps `[B, C, H, W]`; float16 and bfloat16 are computed in float32.
        teacher: maps `[B, C', H', W']`.
        power: p, at least 1. Larger ones stress the positions with the largest activations.

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
    student, teacher = pooled_alike(at_least_float32(student), at_least_float32(teacher))
    return (_attention(student, power) - _attention(teacher, power)).square().mean(dim=1)


def _attention(maps: Tensor, power: float) -> Tensor:
    powers = maps.square() if power == 2.0 else maps.abs().pow(power)
    # The mean over the channels: the sum would overflow earlier, and both are normalized alike.
    return F.normalize(powers.mean(dim=1).flatten(1), dim=1)


def gradient_attention(student: Tensor, teacher: Tensor, *, channels: Literal["each", "sum"] = "each") -> Tensor:
    """Squared distance of the gradients of two hard losses with respect to features.

    ‖J_student − J_teacher‖₂², summed over all elements, with J = ∂ℓ/∂x for the hard loss ℓ of one sample and x the
    input or any features. `channels="sum"` takes Σ_c |J_c| at each position for J, which lets numbers of channels
    differ. Where heights or widths differ, the larger is averaged down to the smaller.

    The paper's equation 3 has β / 2 times the norm without the square, its equation 4 the derivative of the square;
    here the square, so its weight is β / 2. The paper takes the input for x and no sum over the channels.

    Args:
        student: the gradient of the student's loss, maps `[B, C, H, W]`; float16 and bfloat16 are computed in float32.
        teacher: the gradient of the teacher's loss, `[B, C', H', W']`.
        channels: compare the gradients of each channel, or their absolute sum.

    Returns:
        One value per sample, `[B]`, in at least float32.

    Raises:
        ArgumentError: if the shapes do not fit, or `channels` is neither.

    Knowledge: features.
    Cost: O(B C H W) operations, O(B C H W) memory.

    Example:
        >>> import torch
        >>> student, teacher = torch.tensor([[[[1.0, -2.0]]]]), torch.tensor([[[[1.0, 2.0]]]])
        >>> gradient_attention(student, teacher), gradient_attention(student, teacher, channels="sum")
        (tensor([16.]), tensor([0.]))

    Zagoruyko and Komodakis, 2017, "Paying More Attention to Attention: Improving the Performance of Convolutional
    Neural Networks via Attention Transfer", arXiv:1612.03928.
    """
    check_channels("gradient_attention", channels)
    check_maps("gradient_attention", student, teacher, channels=channels == "each")
    student, teacher = at_least_float32(student), at_least_float32(teacher)
    if channels == "sum":
        student, teacher = (maps.abs().sum(dim=1, keepdim=True) for maps in (student, teacher))
    student, teacher = pooled_alike(student, teacher)
    return (student - teacher).square().sum(dim=(1, 2, 3))
