"""The divergence taken apart into the target class and the others, as a module."""

from __future__ import annotations

from torch import Tensor

from limbeck import functional
from limbeck.functional._checks import check_at_least_0
from limbeck.losses._softening import Softened
from limbeck.losses._temperature import Temperature
from limbeck.registry import register

__all__ = ["DecoupledKD"]


@register("loss", "decoupled_kd")
class DecoupledKD(Softened):
    """Keeps two weights, a temperature, and whether to standardize, for `limbeck.functional.decoupled_kd`.

    Args:
        alpha: weight of the target class, at least 0.
        beta: weight of the other classes, at least 0.
        temperature: T, a number above 0, a schedule of the optimizer step, or `Curriculum`.
        standardize: bring each row of logits to mean 0 and standard deviation 1 first (Sun et al., 2024).

    Raises:
        ArgumentError: if a weight is below 0 or not finite, or the temperature is not a finite number above 0.

    Example:
        >>> import torch
        >>> student, teacher = torch.zeros(1, 3), torch.tensor([[4.0, 4.0, 0.0]])
        >>> DecoupledKD()(student, teacher, torch.tensor([0]))
        tensor([14.4755])
    """

    def __init__(
        self, *, alpha: float = 1.0, beta: float = 8.0, temperature: Temperature = 4.0, standardize: bool = False
    ) -> None:
        super().__init__("decoupled_kd", temperature, standardize)
        check_at_least_0("decoupled_kd", "alpha", alpha)
        self.alpha = alpha
        check_at_least_0("decoupled_kd", "beta", beta)
        self.beta = beta

    def forward(self, student: Tensor, teacher: Tensor, target: Tensor, temperature: Tensor | None = None) -> Tensor:
        return functional.decoupled_kd(
            student,
            teacher,
            target,
            alpha=self.alpha,
            beta=self.beta,
            temperature=self.for_rows(temperature),
            standardize=self.standardize,
        )

    def extra_repr(self) -> str:
        return f"alpha={self.alpha}, beta={self.beta}, {super().extra_repr()}"
