"""The squared error of numbers."""

from __future__ import annotations

from torch import Tensor, nn

from limbeck.errors import ArgumentError
from limbeck.losses._checks import shape
from limbeck.losses.precision import at_least_float32
from limbeck.registry import register

__all__ = ["SquaredError", "squared_error"]


def squared_error(student: Tensor, target: Tensor) -> Tensor:
    r"""Squared difference of each number.

    .. math:: \ell = (y_{student} - y_{target})^2

    It is the loss of regression on labels; with ``target`` bound to the output of a teacher, the student learns the
    teacher's numbers.

    Args:
        student: predictions `[B, D]`, or `[B]` for one number; float16 and bfloat16 inputs are computed in float32.
        target: true values, or those of a teacher, of the same shape, floating.

    Returns:
        One value per number, of the same shape, in at least float32, in the square of their unit.

    Raises:
        ArgumentError: if the shapes differ, or a tensor is not floating.

    Knowledge: labels.
    Cost: O(B D) operations, O(B D) memory.

    Example:
        >>> import torch
        >>> squared_error(torch.tensor([1.0, 5.0]), torch.tensor([2.0, 2.0]))
        tensor([1., 9.])

    Stigler, 1981, "Gauss and the Invention of Least Squares", The Annals of Statistics 9(3), 465-474,
    doi:10.1214/aos/1176345451.
    """
    if student.shape != target.shape or not (student.is_floating_point() and target.is_floating_point()):
        raise ArgumentError(
            f"squared_error: student is {student.dtype} of shape {shape(student)} and target {target.dtype} of shape "
            f"{shape(target)}; expected floating numbers of one shape",
            code="wrong_shape",
            path="student",
        )
    return (at_least_float32(student) - at_least_float32(target)).square()


@register("loss", "squared_error")
class SquaredError(nn.Module):
    """Module for `limbeck.functional.squared_error`, without settings.

    Example:
        >>> import torch
        >>> SquaredError()(torch.tensor([1.0, 5.0]), torch.tensor([2.0, 2.0]))
        tensor([1., 9.])
    """

    def __init__(self) -> None:
        super().__init__()

    def forward(self, student: Tensor, target: Tensor) -> Tensor:
        return squared_error(student, target)
