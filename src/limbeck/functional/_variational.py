"""A loss that bounds the information which the student's features hold about the teacher's."""

from __future__ import annotations

from torch import Tensor

from limbeck.errors import ArgumentError
from limbeck.functional._checks import shape
from limbeck.functional._features import check_features, mean_over_features, on_channels
from limbeck.functional._precision import at_least_float32

__all__ = ["variational_information"]


def variational_information(student: Tensor, teacher: Tensor, *, variance: Tensor) -> Tensor:
    """Negative log-likelihood of the teacher's features under a Gaussian around the student's, in nats.

    mean ½ ((teacher − student)² / σ_c² + log σ_c²), over D for vectors and sequences and over C, H and W for maps. It
    bounds the negative mutual information up to constants (½ log 2π and the teacher's entropy), so it may be negative.
    The paper sums over the features; its weights are to be multiplied by their number.

    Args:
        student: the mean that the student's features predict: `[B, D]`, `[B, T, D]` or `[B, C, H, W]`; float16 and
            bfloat16 are computed in float32.
        teacher: features of the same shape.
        variance: σ², `[C]`, above 0.

    Returns:
        One value per sample, `[B]`, and for sequences one per position, `[B, T]`, in at least float32.

    Raises:
        ArgumentError: if the shapes do not fit.

    Knowledge: features.
    Cost: O(B C H W) operations, O(B C H W) memory.

    Example:
        >>> import torch
        >>> variational_information(torch.zeros(1, 2), torch.tensor([[2.0, 0.0]]), variance=torch.ones(2))
        tensor([1.])

    Ahn, Hu, Damianou, Lawrence and Dai, 2019, "Variational Information Distillation for Knowledge Transfer",
    arXiv:1904.05835.
    """
    check_features("variational_information", student, teacher)
    channels = teacher.shape[1 if teacher.ndim == 4 else -1]
    if student.shape != teacher.shape or variance.shape != (channels,):
        raise ArgumentError(
            f"variational_information: student has shape {shape(student)}, teacher {shape(teacher)} and variance "
            f"{shape(variance)}, expected one shape for both and [{channels}]; pool the larger maps first"
        )
    student, teacher = at_least_float32(student), at_least_float32(teacher)
    variance = on_channels(variance.to(teacher.dtype), teacher)
    return mean_over_features((teacher - student).square() / variance + variance.log()) / 2
