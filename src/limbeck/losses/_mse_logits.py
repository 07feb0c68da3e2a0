"""The squared difference of logits."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from limbeck.losses._checks import check_same_logits
from limbeck.losses.precision import at_least_float32
from limbeck.registry import register

__all__ = ["MSELogits", "mse_logits"]


def mse_logits(student: Tensor, teacher: Tensor) -> Tensor:
    """Squared difference of the logits, averaged over the classes.

    (1 / C) Σ_c (student_c − teacher_c)². Both papers sum over the classes, and the first halves the sum; multiply their
    weights by C, and those of the first by C / 2.

    Args:
        student: logits `[*, C]`; float16 and bfloat16 inputs are computed in float32.
        teacher: logits `[*, C]`.

    Returns:
        One value per row, `[*]`, in at least float32.

    Raises:
        ArgumentError: if the shapes differ.

    Knowledge: outputs.
    Cost: O(B C) operations, O(B C) memory.

    Example:
        >>> import torch
        >>> mse_logits(torch.tensor([[1.0, 0.0]]), torch.tensor([[3.0, 0.0]]))
        tensor([2.])

    Ba and Caruana, 2014, "Do Deep Nets Really Need to be Deep?", arXiv:1312.6184.
    Kim, Oh, Kim, Cho and Yun, 2021, "Comparing Kullback-Leibler Divergence and Mean Squared Error Loss in Knowledge
    Distillation", arXiv:2105.08919.
    """
    check_same_logits("mse_logits", student, teacher)
    return F.mse_loss(at_least_float32(student), at_least_float32(teacher), reduction="none").mean(dim=-1)


@register("loss", "mse_logits")
class MSELogits(nn.Module):
    """Module for `limbeck.functional.mse_logits`, without settings.

    Example:
        >>> import torch
        >>> MSELogits()(torch.tensor([[1.0, 0.0]]), torch.tensor([[3.0, 0.0]]))
        tensor([2.])
    """

    def __init__(self) -> None:
        super().__init__()

    def forward(self, student: Tensor, teacher: Tensor) -> Tensor:
        return mse_logits(student, teacher)
