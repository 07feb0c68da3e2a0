"""Losses between distributions softened by a temperature, as modules."""

from __future__ import annotations

from torch import Tensor

from limbeck import functional
from limbeck.functional import SparseLogits
from limbeck.losses._softening import Softened
from limbeck.losses._temperature import Temperature
from limbeck.registry import register

__all__ = ["KLDivergence", "SoftCrossEntropy"]


@register("loss", "kl_divergence")
class KLDivergence(Softened):
    """Keeps a temperature, and whether to standardize, for `limbeck.functional.kl_divergence`.

    Args:
        temperature: T, a number above 0, a schedule of the optimizer step, or `Curriculum`.
        standardize: bring each row of logits to mean 0 and standard deviation 1 first (Sun et al., 2024).

    Raises:
        ArgumentError: if the temperature is not a finite number above 0.

    Example:
        >>> import torch
        >>> KLDivergence(temperature=2.0)(torch.zeros(1, 2), torch.tensor([[2.0, 0.0]]))
        tensor([0.4438])
    """

    sparse = ("teacher",)

    def __init__(self, *, temperature: Temperature = 1.0, standardize: bool = False) -> None:
        super().__init__("kl_divergence", temperature, standardize)

    def forward(self, student: Tensor, teacher: Tensor | SparseLogits, temperature: Tensor | None = None) -> Tensor:
        return functional.kl_divergence(
            student, teacher, temperature=self.for_rows(temperature), standardize=self.standardize
        )


@register("loss", "soft_cross_entropy")
class SoftCrossEntropy(Softened):
    """Keeps a temperature, and whether to standardize, for `limbeck.functional.soft_cross_entropy`.

    Args:
        temperature: T, a number above 0, a schedule of the optimizer step, or `Curriculum`.
        standardize: bring each row of logits to mean 0 and standard deviation 1 first (Sun et al., 2024).

    Raises:
        ArgumentError: if the temperature is not a finite number above 0.

    Example:
        >>> import torch
        >>> SoftCrossEntropy(temperature=2.0)(torch.zeros(1, 2), torch.tensor([[2.0, 0.0]]))
        tensor([2.7726])
    """

    sparse = ("teacher",)

    def __init__(self, *, temperature: Temperature = 1.0, standardize: bool = False) -> None:
        super().__init__("soft_cross_entropy", temperature, standardize)

    def forward(self, student: Tensor, teacher: Tensor | SparseLogits, temperature: Tensor | None = None) -> Tensor:
        return functional.soft_cross_entropy(
            student, teacher, temperature=self.for_rows(temperature), standardize=self.standardize
        )
