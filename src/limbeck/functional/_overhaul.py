"""A loss between responses before the ReLU that leaves alone what the ReLU cuts off."""

from __future__ import annotations

import torch
from torch import Tensor

from limbeck.errors import ArgumentError
from limbeck.functional._checks import shape
from limbeck.functional._features import check_features, mean_over_features, on_channels, resized
from limbeck.functional._precision import at_least_float32

__all__ = ["overhaul"]


def overhaul(student: Tensor, teacher: Tensor, *, margin: Tensor) -> Tensor:
    """Partial squared distance to the teacher's responses after a margin ReLU, averaged over the features.

    mean d(student, max(teacher, m_c)), with d(s, t) = 0 where s ≤ t ≤ 0, else (s − t)². Where the teacher is off, any
    response that is low enough will do; how low says the margin m_c of the channel. The paper sums over the features;
    its weights are to be multiplied by their number.

    Args:
        student: responses projected to the teacher's channels: `[B, D]`, `[B, T, D]` or `[B, C, H, W]`; float16 and
            bfloat16 are computed in float32. Maps of another height or width are brought to the teacher's by bilinear
            interpolation.
        teacher: responses before the ReLU, of the same kind.
        margin: m, `[C]`, at most 0: the mean of each channel's negative responses.

    Returns:
        One value per sample, `[B]`, and for sequences one per position, `[B, T]`, in at least float32.

    Raises:
        ArgumentError: if the shapes do not fit.

    Knowledge: features.
    Cost: O(B C H W) operations, O(B C H W) memory.

    Example:
        >>> import torch
        >>> student, teacher = torch.tensor([[-5.0, 0.5, 1.0]]), torch.tensor([[-4.0, -4.0, 3.0]])
        >>> overhaul(student, teacher, margin=torch.full((3,), -0.5))
        tensor([1.6667])

    Heo, Kim, Yun, Park, Kwak and Choi, 2019, "A Comprehensive Overhaul of Feature Distillation", arXiv:1904.01866.
    """
    check_features("overhaul", student, teacher)
    channels = teacher.shape[1 if teacher.ndim == 4 else -1]
    if margin.shape != (channels,):
        raise ArgumentError(
            f"overhaul: margin has shape {shape(margin)} and teacher {shape(teacher)}, expected [{channels}]; "
            f"give one margin for each channel"
        )
    student, teacher = at_least_float32(student), at_least_float32(teacher)
    student = resized(student, teacher)
    target = torch.maximum(teacher, on_channels(margin.to(teacher.dtype), teacher))
    asked = (student > target) | (target > 0)
    return mean_over_features((student - target).square() * asked)
