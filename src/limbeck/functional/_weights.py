"""A loss between the weights of paired layers."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from limbeck.errors import ArgumentError
from limbeck.functional._checks import shape
from limbeck.functional._precision import at_least_float32

__all__ = ["weight_match"]


def weight_match(student: Tensor, teacher: Tensor) -> Tensor:
    """Squared difference of two layers' weights, averaged over all of them.

    (1 / N) Σ (student − teacher)². It does not depend on the batch, and counts once for each step.

    Args:
        student: a parameter of any shape, already projected to the teacher's; float16 and bfloat16 are computed in
            float32.
        teacher: a parameter of the same shape.

    Returns:
        One value, `[1]`, in at least float32.

    Raises:
        ArgumentError: if the shapes differ.

    Knowledge: weights.
    Cost: O(N) operations, O(N) memory.

    Example:
        >>> import torch
        >>> weight_match(torch.zeros(2, 3), torch.ones(2, 3))
        tensor([1.])

    Not from a paper on distillation; as a penalty on the distance to trained weights: Li, Grandvalet and Davoine, 2018,
    "Explicit Inductive Bias for Transfer Learning with Convolutional Networks", arXiv:1802.01483.
    """
    if student.shape != teacher.shape:
        raise ArgumentError(
            f"weight_match: student has shape {shape(student)} and teacher {shape(teacher)}, expected one shape; "
            f"project the student's first, as WeightMatch does"
        )
    if not (student.is_floating_point() and teacher.is_floating_point()):
        raise ArgumentError(
            f"weight_match: student is {student.dtype} and teacher {teacher.dtype}, expected floating weights for "
            f"both; read parameters that are trained"
        )
    # Stacked, which copies: the mean that torch returns keeps the storage of all squares.
    return torch.stack([F.mse_loss(at_least_float32(student), at_least_float32(teacher))])
