"""Losses between intermediate features."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from limbeck.functional._features import check_features, mean_over_features, resized
from limbeck.functional._precision import at_least_float32

__all__ = ["hint_mse"]


def hint_mse(student: Tensor, teacher: Tensor) -> Tensor:
    """Squared difference of features, averaged over the feature axes.

    mean (student − teacher)², over D for vectors and sequences and over C, H and W for maps. The student's features are
    already projected to the teacher's channels. Maps of another height or width are brought to the teacher's by
    bilinear interpolation (pixel centres aligned, no antialiasing). The paper takes half of the sum, so its weights are
    to be multiplied by half the number of elements.

    Args:
        student: vectors `[B, D]`, sequences `[B, T, D]` or maps `[B, C, H, W]`; float16 and bfloat16 are computed in
            float32.
        teacher: features of the same kind; maps may differ from the student's in height and width.

    Returns:
        One value per sample, `[B]`, and for sequences one per position, `[B, T]`, in at least float32.

    Raises:
        ArgumentError: if the shapes do not fit.

    Knowledge: features.
    Cost: O(B C H W) operations, O(B C H W) memory.

    Example:
        >>> import torch
        >>> hint_mse(torch.zeros(2, 3), torch.tensor([[1.0, 1.0, 1.0], [3.0, 0.0, 0.0]]))
        tensor([1., 3.])
        >>> hint_mse(torch.zeros(1, 4, 2, 2), torch.ones(1, 4, 8, 8))
        tensor([1.])

    Romero, Ballas, Kahou, Chassang, Gatta and Bengio, 2015, "FitNets: Hints for Thin Deep Nets", arXiv:1412.6550.
    """
    check_features("hint_mse", student, teacher)
    student, teacher = at_least_float32(student), at_least_float32(teacher)
    return mean_over_features(F.mse_loss(resized(student, teacher), teacher, reduction="none"))
