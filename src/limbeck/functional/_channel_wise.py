"""A loss between the distributions that each channel forms over the positions."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from limbeck.functional._checks import check_temperature
from limbeck.functional._features import check_maps, resized
from limbeck.functional._precision import at_least_float32
from limbeck.functional._softening import divergence

__all__ = ["channel_wise"]


def channel_wise(student: Tensor, teacher: Tensor, *, temperature: float | Tensor = 4.0) -> Tensor:
    """Kullback-Leibler divergence between the channels' softened distributions over the positions, in nats, times T².

    (T² / C) Σ_c Σ_i φ_ci(teacher) log (φ_ci(teacher) / φ_ci(student)), where φ_c is the softmax of channel c over the
    H·W positions i at temperature T. The student's features are already projected to the teacher's channels. Maps of
    another height or width are brought to the teacher's by bilinear interpolation.

    Args:
        student: maps or logit maps `[B, C, H, W]`; float16 and bfloat16 are computed in float32.
        teacher: maps `[B, C, H', W']`.
        temperature: T, a number above 0, or a tensor without axes that holds one.

    Returns:
        One value per sample, `[B]`, in at least float32; it does not change when a number is added to a channel.

    Raises:
        ArgumentError: if the shapes do not fit, or the temperature is not a finite number above 0.

    Knowledge: features.
    Cost: O(B C H W) operations, O(B C H W) memory.

    Example:
        >>> import torch
        >>> student, teacher = torch.zeros(1, 1, 1, 2), torch.tensor([[[[2.0, 0.0]]]])
        >>> channel_wise(student, teacher, temperature=2.0), channel_wise(student + 1, student)
        (tensor([0.4438]), tensor([0.]))

    Shu, Liu, Gao, Yan and Shen, 2021, "Channel-wise Knowledge Distillation for Dense Prediction", arXiv:2011.13256.
    """
    check_temperature("channel_wise", temperature)
    check_maps("channel_wise", student, teacher, channels=True)
    student, teacher = at_least_float32(student), at_least_float32(teacher)
    log_q = F.log_softmax(resized(student, teacher).flatten(2) / temperature, dim=2)
    log_p = F.log_softmax(teacher.flatten(2) / temperature, dim=2)
    return divergence(log_p, log_q).mean(dim=1) * temperature**2
