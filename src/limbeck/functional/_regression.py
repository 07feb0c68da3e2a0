"""Losses between outputs that are quantities."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from limbeck.errors import ArgumentError
from limbeck.functional._checks import check_at_least_0, shape
from limbeck.functional._precision import at_least_float32

__all__ = ["mse_regression"]


def mse_regression(student: Tensor, teacher: Tensor, target: Tensor, *, margin: float = 0.0) -> Tensor:
    """Squared error of the student where it is not better than the teacher by a margin, else 0.

    ℓ_s if ℓ_s + m > ℓ_t, else 0, with ℓ_s = (1 / D) Σ_d (student_d − target_d)², and ℓ_t the same for the teacher. The
    teacher is a bound, not a target: a student that has reached it is left alone, and a teacher that is wrong teaches
    nothing wrong. It is meant beside the usual regression loss, in the paper smooth L1. The paper sums over the
    outputs, so its weight (ν = 0.5) is to be multiplied by D, and its margin divided.

    Args:
        student: predictions `[*, D]`, `[*, 1]` for one quantity; float16 and bfloat16 are computed in float32.
        teacher: predictions `[*, D]`.
        target: true values `[*, D]`, floating. Rows without them are to be left out or masked before.
        margin: m, at least 0, a mean squared error. The student is to be better by more than m, or at m = 0 as good.

    Returns:
        One value per row, `[*]`, in at least float32.

    Raises:
        ArgumentError: if the shapes differ, a tensor is not floating, or the margin is below 0 or not finite.

    Knowledge: outputs.
    Cost: O(B D) operations, O(B D) memory.

    Example:
        >>> import torch
        >>> student, target = torch.tensor([[3.0], [1.0]]), torch.zeros(2, 1)
        >>> mse_regression(student, torch.full((2, 1), 2.0), target)
        tensor([9., 0.])

    Chen, Choi, Yu, Han and Chandraker, 2017, "Learning Efficient Object Detection Models with Knowledge Distillation",
    Advances in Neural Information Processing Systems 30 (equation 4).
    """
    check_at_least_0("mse_regression", "margin", margin)
    _check_quantities(student, teacher, target)
    target = at_least_float32(target)
    of_student = F.mse_loss(at_least_float32(student), target, reduction="none").mean(dim=-1)
    of_teacher = F.mse_loss(at_least_float32(teacher), target, reduction="none").mean(dim=-1)
    # 0, or NaN, which a comparison would hide.
    nothing = of_teacher - of_teacher
    return of_student.where(of_student + margin > of_teacher, nothing)


def _check_quantities(student: Tensor, teacher: Tensor, target: Tensor) -> None:
    if not student.shape == teacher.shape == target.shape or student.ndim == 0:
        raise ArgumentError(
            f"mse_regression: student has shape {shape(student)}, teacher {shape(teacher)} and target {shape(target)}, "
            f"expected one shape [*, D] for all; give one quantity an axis of length 1 by unsqueeze(-1)"
        )
    if not all(tensor.is_floating_point() for tensor in (student, teacher, target)):
        raise ArgumentError(
            f"mse_regression: student is {student.dtype}, teacher {teacher.dtype} and target {target.dtype}, expected "
            f"floating values for all; cast them by .float()"
        )
