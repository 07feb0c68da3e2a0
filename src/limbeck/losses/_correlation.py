"""A loss between the correlations of softened distributions, as a module."""

from __future__ import annotations

from torch import Tensor

from limbeck import functional
from limbeck.functional._checks import check_at_least_0
from limbeck.losses._softening import Softened
from limbeck.losses._temperature import Temperature
from limbeck.registry import register

__all__ = ["DIST"]


@register("loss", "dist")
class DIST(Softened):
    """Keeps two weights, a temperature, and whether to standardize, for `limbeck.functional.dist`.

    Args:
        beta: weight of the relation between classes, at least 0.
        gamma: weight of the relation between rows, at least 0.
        temperature: T, a number above 0, a schedule of the optimizer step, or `Curriculum`.
        standardize: bring each row of logits to mean 0 and standard deviation 1 first (Sun et al., 2024).

    Raises:
        ArgumentError: if a weight is below 0 or not finite, or the temperature is not a finite number above 0.

    Example:
        >>> import torch
        >>> teacher = torch.tensor([[2.0, 0.0, 0.0], [0.0, 2.0, 0.0]])
        >>> DIST(gamma=0.0)(teacher.flip(0), teacher)
        tensor(1.5000)
    """

    relational = True

    def __init__(
        self, *, beta: float = 1.0, gamma: float = 1.0, temperature: Temperature = 1.0, standardize: bool = False
    ) -> None:
        super().__init__("dist", temperature, standardize)
        check_at_least_0("dist", "beta", beta)
        self.beta = beta
        check_at_least_0("dist", "gamma", gamma)
        self.gamma = gamma

    def forward(self, student: Tensor, teacher: Tensor, mask: Tensor | None = None) -> Tensor:
        return functional.dist(
            student,
            teacher,
            mask,
            beta=self.beta,
            gamma=self.gamma,
            temperature=self.temperature_in_force,
            standardize=self.standardize,
        )

    def extra_repr(self) -> str:
        return f"beta={self.beta}, gamma={self.gamma}, {super().extra_repr()}"
