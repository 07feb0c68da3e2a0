"""The loss of quantiles."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from limbeck.errors import ArgumentError
from limbeck.losses._checks import shape
from limbeck.losses.precision import at_least_float32
from limbeck.registry import register

__all__ = ["Pinball", "pinball"]


def pinball(student: Tensor, target: Tensor, *, quantiles: Sequence[float] = (0.05, 0.5, 0.95)) -> Tensor:
    r"""Pinball loss of predicted quantiles, the mean over the quantiles.

    .. math:: \ell = \frac{1}{Q} \sum_q \max\bigl(q (y - \hat y_q),\; (q - 1) (y - \hat y_q)\bigr)

    It is least, in expectation, where each prediction is the quantile of its level.

    Args:
        student: a prediction for each quantile, `[B, Q]`; float16 and bfloat16 inputs are computed in float32.
        target: true values `[B]`, floating.
        quantiles: the levels q, ascending, each between 0 and 1.

    Returns:
        One value per row, `[B]`, in at least float32, in the unit of the target.

    Raises:
        ArgumentError: if the shapes do not fit, a tensor is not floating, or the levels are not ascending in (0, 1).

    Knowledge: labels.
    Cost: O(B Q) operations, O(B Q) memory.

    Example:
        >>> import torch
        >>> pinball(torch.tensor([[1.0, 3.0]]), torch.tensor([2.0]), quantiles=(0.1, 0.9))
        tensor([0.1000])

    Koenker and Bassett, 1978, "Regression Quantiles", Econometrica 46 (1).
    """
    levels = check_quantiles("pinball", quantiles)
    is_floating = student.is_floating_point() and target.is_floating_point()
    if student.shape != (*target.shape, len(levels)) or not is_floating:
        raise ArgumentError(
            f"pinball: student is {student.dtype} of shape {shape(student)} and target {target.dtype} of shape "
            f"{shape(target)}; expected floating targets [*] and predictions [*, {len(levels)}], one for each quantile",
            code="wrong_shape",
            path="student",
        )
    error = at_least_float32(target).unsqueeze(-1) - at_least_float32(student)
    level = torch.tensor(levels, dtype=error.dtype, device=error.device)
    return torch.maximum(level * error, (level - 1) * error).mean(-1)


def check_quantiles(name: str, quantiles: Sequence[float]) -> tuple[float, ...]:
    """The levels of quantiles.

    Raises:
        ArgumentError: if they are not ascending, or one is not between 0 and 1.
    """
    levels = tuple(float(level) for level in quantiles)
    bounds = (0.0, *levels, 1.0)
    if not levels or any(not low < high for low, high in pairwise(bounds)):
        raise ArgumentError(
            f"{name}: quantiles are {list(levels)}; expected ascending levels between 0 and 1", path="quantiles"
        )
    return levels


@register("loss", "pinball")
class Pinball(nn.Module):
    """Module for `limbeck.functional.pinball`, with the levels.

    Args:
        quantiles: the levels q, ascending, each between 0 and 1.

    Raises:
        ArgumentError: if the levels are not ascending in (0, 1).

    Example:
        >>> import torch
        >>> Pinball(quantiles=(0.1, 0.9))(torch.tensor([[1.0, 3.0]]), torch.tensor([2.0]))
        tensor([0.1000])
    """

    def __init__(self, *, quantiles: tuple[float, ...] = (0.05, 0.5, 0.95)) -> None:
        super().__init__()
        self.quantiles = check_quantiles("pinball", quantiles)

    def forward(self, student: Tensor, target: Tensor) -> Tensor:
        return pinball(student, target, quantiles=self.quantiles)

    def extra_repr(self) -> str:
        return f"quantiles={self.quantiles}"
