"""A softened loss that counts more where the student is worse than the teacher, as a module."""

from __future__ import annotations

from torch import Tensor

from limbeck import functional
from limbeck.losses._softening import Softened
from limbeck.losses._temperature import Temperature
from limbeck.registry import register

__all__ = ["WeightedSoftLabel"]


@register("loss", "weighted_soft_label")
class WeightedSoftLabel(Softened):
    """Keeps a temperature, and whether to standardize, for `limbeck.functional.weighted_soft_label`.

    Args:
        temperature: T, a number above 0, a schedule of the optimizer step, or `Curriculum`.
        standardize: bring each row of logits to mean 0 and standard deviation 1 first (Sun et al., 2024).

    Raises:
        ArgumentError: if the temperature is not a finite number above 0.

    Example:
        >>> import torch
        >>> logits = torch.tensor([[2.0, 0.0]])
        >>> WeightedSoftLabel()(logits, logits, torch.tensor([0]))
        tensor([1.4721])
    """

    def __init__(self, *, temperature: Temperature = 2.0, standardize: bool = False) -> None:
        super().__init__("weighted_soft_label", temperature, standardize)

    def forward(self, student: Tensor, teacher: Tensor, target: Tensor, temperature: Tensor | None = None) -> Tensor:
        return functional.weighted_soft_label(
            student, teacher, target, temperature=self.for_rows(temperature), standardize=self.standardize
        )
