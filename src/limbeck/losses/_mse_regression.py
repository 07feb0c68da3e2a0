"""A loss of regression: the squared error, bounded by the teacher's."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from limbeck.errors import ArgumentError
from limbeck.losses._checks import check_at_least_0, shape
from limbeck.losses.precision import at_least_float32
from limbeck.registry import register

__all__ = ["MSERegression", "mse_regression"]


def mse_regression(student: Tensor, teacher: Tensor, target: Tensor, *, margin: float = 0.0) -> Tensor:
    """Squared error of the student where it does not beat the teacher's by a margin, else 0.

    ℓ_s if ℓ_s + m > ℓ_t, else 0, with ℓ_s = (1 / D) Σ_d (student_d − target_d)², and ℓ_t the same for the teacher. The
    teacher is a bound, not a target: the loss is 0 once the student reaches it, and a wrong teacher does no harm. Use
    it beside a regression loss; the paper uses smooth L1. The paper sums over the outputs; multiply its weight (ν =
    0.5) by D, and divide its margin by D.

    Args:
        student: predictions `[*, D]`, `[*, 1]` for one quantity; float16 and bfloat16 inputs are computed in float32.
        teacher: predictions `[*, D]`.
        target: true values `[*, D]`, floating. Leave out or mask rows without them.
        margin: m, at least 0, a mean squared error. The loss is 0 where the student is better by at least m.

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
    # 0, or NaN where the comparison would hide it.
    nothing = of_teacher - of_teacher
    return of_student.where(of_student + margin > of_teacher, nothing)


def _check_quantities(student: Tensor, teacher: Tensor, target: Tensor) -> None:
    if not student.shape == teacher.shape == target.shape or student.ndim == 0:
        raise ArgumentError(
            f"mse_regression: student has shape {shape(student)}, teacher {shape(teacher)} and target {shape(target)}, "
            f"expected one shape [*, D] for all; give one quantity an axis of length 1 by unsqueeze(-1)",
            code="wrong_shape",
            path="student",
        )
    if not all(tensor.is_floating_point() for tensor in (student, teacher, target)):
        raise ArgumentError(
            f"mse_regression: student is {student.dtype}, teacher {teacher.dtype} and target {target.dtype}, expected "
            f"floating values for all; cast them by .float()",
            code="wrong_type",
            path="student",
        )


@register("loss", "mse_regression")
class MSERegression(nn.Module):
    """Module for `limbeck.functional.mse_regression`, with a margin.

    Args:
        margin: m, at least 0, a mean squared error. The loss is 0 where the student is better by at least m.

    Raises:
        ArgumentError: if the margin is below 0 or not finite.

    Example:
        >>> import torch
        >>> student, target = torch.tensor([[3.0], [1.0]]), torch.zeros(2, 1)
        >>> MSERegression()(student, torch.full((2, 1), 2.0), target)
        tensor([9., 0.])
    """

    def __init__(self, *, margin: float = 0.0) -> None:
        super().__init__()
        check_at_least_0("mse_regression", "margin", margin)
        self.margin = margin

    def forward(self, student: Tensor, teacher: Tensor, target: Tensor) -> Tensor:
        return mse_regression(student, teacher, target, margin=self.margin)

    def extra_repr(self) -> str:
        return f"margin={self.margin}"
