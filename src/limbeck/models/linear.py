"""A linear map of flattened inputs, trained along a gradient."""

from __future__ import annotations

from math import prod

from torch import Tensor, nn

from limbeck.models.checks import check_task
from limbeck.registry import register

__all__ = ["Linear"]


@register("model", "linear")
class Linear(nn.Module):
    r"""Outputs that are linear in the columns of a table or in pixels, :math:`z = W x + b`, with any loss.

    `ridge` and `logistic_regression` are fitted at once, to the losses that they state. It begins at 0. Taps: ``head``.

    Args:
        channels: of the images.
        classes: number of logits, or of numbers.
        size: height and width.

    Raises:
        ArgumentError: if a number is below 1.

    >>> import torch
    >>> Linear(channels=1, classes=3, size=(1, 5))(torch.ones(2, 5)).tolist()
    [[0.0, 0.0, 0.0], [0.0, 0.0, 0.0]]
    """

    def __init__(self, *, channels: int, classes: int, size: tuple[int, int]) -> None:
        check_task("linear", channels, classes, size)
        super().__init__()
        self.head = nn.Linear(prod((channels, *size)), classes)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def forward(self, images: Tensor) -> Tensor:
        outputs: Tensor = self.head(images.flatten(1))
        return outputs
