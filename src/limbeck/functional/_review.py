"""A loss between features of several levels, each compared at several scales."""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor

from limbeck.errors import ArgumentError
from limbeck.functional._checks import shape
from limbeck.functional._features import check_maps
from limbeck.functional._precision import at_least_float32

__all__ = ["review_kd"]

_pyramid = (4, 2, 1)


def review_kd(student: Sequence[Tensor], teacher: Sequence[Tensor]) -> Tensor:
    """Hierarchical context loss: squared differences of features and of their pooled versions, summed over levels.

    Σ_levels Σ_k w_k mean (pool_k(student) − pool_k(teacher))² / Σ_k w_k, where pool_0 leaves the maps as they are and
    the others average them to 4×4, 2×2 and 1×1, as far as that is smaller than the map in height. The weights w are 1,
    ½, ¼, ⅛ in the order of what is there. The student's features are already fused over the levels and projected to the
    teacher's channels and size, as `limbeck.losses.ReviewKD` does.

    Args:
        student: for each level, maps `[B, C, H, W]`; float16 and bfloat16 are computed in float32.
        teacher: for each level, maps of the same shape.

    Returns:
        One value per sample, `[B]`, in at least float32; exactly 0 where all features are equal.

    Raises:
        ArgumentError: if there is no level, or the shapes differ.

    Knowledge: features.
    Cost: O(B C H W) operations, O(B C H W) memory, for each level.

    Example:
        >>> import torch
        >>> review_kd([torch.zeros(1, 3, 2, 2)], [torch.ones(1, 3, 2, 2)])
        tensor([1.])

    Chen, Liu, Zhao and Jia, 2021, "Distilling Knowledge via Knowledge Review", arXiv:2104.09044.
    """
    if not student or len(student) != len(teacher):
        raise ArgumentError(
            f"review_kd: student has {len(student)} levels and teacher {len(teacher)}, expected the same number, at "
            f"least 1; give one tensor for each level"
        )
    levels = [_level(*pair) for pair in zip(student, teacher, strict=True)]
    total = levels[0]
    for level in levels[1:]:
        total = total + level
    return total


def _level(student: Tensor, teacher: Tensor) -> Tensor:
    check_maps("review_kd", student, teacher, channels=True)
    if student.shape != teacher.shape:
        raise ArgumentError(
            f"review_kd: student has shape {shape(student)} and teacher {shape(teacher)}, expected one shape; bring "
            f"the student's maps to the teacher's size first"
        )
    # Pooling is linear: the difference is pooled once, not both sides.
    difference = at_least_float32(student) - at_least_float32(teacher)
    value, weight, weights = difference.square().mean(dim=(1, 2, 3)), 1.0, 1.0
    for size in _pyramid:
        if size < difference.shape[2]:
            weight /= 2
            weights += weight
            value = value + weight * F.adaptive_avg_pool2d(difference, size).square().mean(dim=(1, 2, 3))
    return value / weights
