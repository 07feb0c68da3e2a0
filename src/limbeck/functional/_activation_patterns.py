"""Losses between the patterns of which neurons are on."""

from __future__ import annotations

import math

import torch.nn.functional as F
from torch import Tensor

from limbeck.errors import ArgumentError
from limbeck.functional._features import check_features, mean_over_features, resized, unhidden
from limbeck.functional._precision import at_least_float32

__all__ = ["activation_boundary", "check_margin", "sparsity_pattern"]


def check_margin(operation: str, margin: float) -> None:
    """Refuse a margin that is not a finite number above 0."""
    if not 0.0 < margin < math.inf:
        raise ArgumentError(f"{operation}: margin is {margin}, expected a finite number above 0; the paper's is 1.0")


def activation_boundary(student: Tensor, teacher: Tensor, *, margin: float = 1.0) -> Tensor:
    """Squared hinge between the student's responses and the teacher's on/off pattern, averaged over the features.

    mean (ρ · max(μ − student, 0) + (1 − ρ) · max(μ + student, 0))², with ρ = 1 where teacher > 0, else 0. It is 0 where
    the student's responses lie on the teacher's side of 0, and at least the margin μ away from it. The paper sums over
    the features; its weights are to be multiplied by their number.

    Args:
        student: responses before the ReLU, projected to the teacher's channels: `[B, D]`, `[B, T, D]` or
            `[B, C, H, W]`; float16 and bfloat16 are computed in float32. Maps of another height or width are brought to
            the teacher's by bilinear interpolation.
        teacher: responses of the same kind, before or after the ReLU.
        margin: μ, above 0.

    Returns:
        One value per sample, `[B]`, and for sequences one per position, `[B, T]`, in at least float32.

    Raises:
        ArgumentError: if the shapes do not fit, or the margin is not a finite number above 0.

    Knowledge: features.
    Cost: O(B C H W) operations, O(B C H W) memory.

    Example:
        >>> import torch
        >>> activation_boundary(torch.tensor([[0.5, 2.0, 1.0]]), torch.tensor([[3.0, 0.1, -1.0]]))
        tensor([1.4167])

    Heo, Lee, Yun and Choi, 2019, "Knowledge Transfer via Distillation of Activation Boundaries Formed by Hidden
    Neurons", arXiv:1811.03233.
    """
    check_margin("activation_boundary", margin)
    check_features("activation_boundary", student, teacher)
    student, teacher = at_least_float32(student), at_least_float32(teacher)
    student = resized(student, teacher)
    squares = F.relu(margin - student.where(teacher > 0, -student)).square()
    return unhidden(mean_over_features(squares), teacher)


def sparsity_pattern(student: Tensor, teacher: Tensor) -> Tensor:
    """Logistic loss of the student's responses on the teacher's on/off pattern, in nats, averaged over the features.

    mean log(1 + exp(−y · student)), with y = 1 where teacher > 0, else −1: the cross-entropy of the probability
    sigmoid(student) that a neuron is on. The paper starts from the share of neurons whose state differs,
    mean |ρ(teacher) − ρ(student)|, which has no gradient, and replaces it by the hinge of `activation_boundary`. Here a
    smooth bound replaces it: at least log 2 times that share, without a margin, and never exactly 0.

    Args:
        student: responses before the ReLU, projected to the teacher's channels: `[B, D]`, `[B, T, D]` or
            `[B, C, H, W]`; float16 and bfloat16 are computed in float32. Maps of another height or width are brought to
            the teacher's by bilinear interpolation.
        teacher: responses of the same kind, before or after the ReLU.

    Returns:
        One value per sample, `[B]`, and for sequences one per position, `[B, T]`, in at least float32.

    Raises:
        ArgumentError: if the shapes do not fit.

    Knowledge: features.
    Cost: O(B C H W) operations, O(B C H W) memory.

    Example:
        >>> import torch
        >>> sparsity_pattern(torch.tensor([[0.0, 9.0], [0.0, -9.0]]), torch.tensor([[1.0, 1.0], [1.0, 1.0]]))
        tensor([0.3466, 4.8466])

    Heo, Lee, Yun and Choi, 2019, "Knowledge Transfer via Distillation of Activation Boundaries Formed by Hidden
    Neurons", arXiv:1811.03233 (the pattern and its 0-1 loss).
    """
    check_features("sparsity_pattern", student, teacher)
    student, teacher = at_least_float32(student), at_least_float32(teacher)
    student = resized(student, teacher)
    on = (teacher > 0).to(student.dtype)
    terms = F.binary_cross_entropy_with_logits(student, on, reduction="none")
    return unhidden(mean_over_features(terms), teacher)
