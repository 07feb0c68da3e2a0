"""Losses of logits that are each a question of yes or no, as modules."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor, nn

from limbeck import functional
from limbeck.losses._softening import Tempered
from limbeck.losses._temperature import Temperature
from limbeck.registry import register

__all__ = ["BinaryCrossEntropy", "BinaryKD"]


@register("loss", "binary_cross_entropy")
class BinaryCrossEntropy(nn.Module):
    """Stands for `limbeck.functional.binary_cross_entropy`; it has no settings.

    Example:
        >>> import torch
        >>> BinaryCrossEntropy()(torch.tensor([[2.0, 0.0]]), torch.tensor([[1, 0]]))
        tensor([0.8201])
    """

    exclusive: ClassVar = False

    def __init__(self) -> None:
        super().__init__()

    def forward(self, student: Tensor, target: Tensor) -> Tensor:
        return functional.binary_cross_entropy(student, target)


@register("loss", "binary_kd")
class BinaryKD(Tempered):
    """Keeps a temperature for `limbeck.functional.binary_kd`.

    Args:
        temperature: T, a number above 0, a schedule of the optimizer step, or `Curriculum`.

    Raises:
        ArgumentError: if the temperature is not a finite number above 0.

    Example:
        >>> import torch
        >>> BinaryKD(temperature=2.0)(torch.zeros(1, 1), torch.tensor([[2.0]]))
        tensor([0.4438])
    """

    def __init__(self, *, temperature: Temperature = 1.0) -> None:
        super().__init__("binary_kd", temperature)

    def forward(self, student: Tensor, teacher: Tensor, temperature: Tensor | None = None) -> Tensor:
        return functional.binary_kd(student, teacher, temperature=self.for_rows(temperature))
