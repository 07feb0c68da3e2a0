"""Losses between raw logits."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from limbeck.functional._checks import check_same_logits
from limbeck.functional._precision import at_least_float32

__all__ = ["mse_logits"]


def mse_logits(student: Tensor, teacher: Tensor) -> Tensor:
    """Squared difference of the logits, averaged over the classes.

    (1 / C) Σ_c (student_c − teacher_c)². Both papers sum over the classes, and the first halves the sum; so a weight
    taken from them is to be multiplied by C, or by C / 2 for the first.

    Args:
        student: logits `[*, C]`; float16 and bfloat16 are computed in float32.
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
