"""Other divergences than Kullback and Leibler's between softened distributions, as modules."""

from __future__ import annotations

from torch import Tensor

from limbeck import functional
from limbeck.functional import SparseLogits
from limbeck.functional._divergences import check_beta
from limbeck.losses._softening import Softened
from limbeck.losses._temperature import Temperature
from limbeck.registry import register

__all__ = ["GeneralizedJSD", "ReverseKL", "TotalVariation"]


@register("loss", "reverse_kl")
class ReverseKL(Softened):
    """Keeps a temperature, and whether to standardize, for `limbeck.functional.reverse_kl`.

    Args:
        temperature: T, a number above 0, a schedule of the optimizer step, or `Curriculum`.
        standardize: bring each row of logits to mean 0 and standard deviation 1 first (Sun et al., 2024).

    Raises:
        ArgumentError: if the temperature is not a finite number above 0.

    Example:
        >>> import torch
        >>> ReverseKL(temperature=2.0)(torch.zeros(1, 2), torch.tensor([[2.0, 0.0]]))
        tensor([0.4805])
    """

    sparse = ("teacher",)

    def __init__(self, *, temperature: Temperature = 1.0, standardize: bool = False) -> None:
        super().__init__("reverse_kl", temperature, standardize)

    def forward(self, student: Tensor, teacher: Tensor | SparseLogits, temperature: Tensor | None = None) -> Tensor:
        return functional.reverse_kl(
            student, teacher, temperature=self.for_rows(temperature), standardize=self.standardize
        )


@register("loss", "generalized_jsd")
class GeneralizedJSD(Softened):
    """Keeps β, a temperature, and whether to standardize, for `limbeck.functional.generalized_jsd`.

    Args:
        beta: β, from 0 to 1; 0 is KL(teacher ‖ student) and 1 KL(student ‖ teacher).
        temperature: T, a number above 0, a schedule of the optimizer step, or `Curriculum`.
        standardize: bring each row of logits to mean 0 and standard deviation 1 first (Sun et al., 2024).

    Raises:
        ArgumentError: if β is outside 0 to 1, or the temperature is not a finite number above 0.

    Example:
        >>> import torch
        >>> GeneralizedJSD()(torch.zeros(1, 2), torch.tensor([[2.0, 0.0]]))
        tensor([0.0895])
    """

    def __init__(self, *, beta: float = 0.5, temperature: Temperature = 1.0, standardize: bool = False) -> None:
        super().__init__("generalized_jsd", temperature, standardize)
        check_beta("generalized_jsd", beta)
        self.beta = beta

    def forward(self, student: Tensor, teacher: Tensor, temperature: Tensor | None = None) -> Tensor:
        return functional.generalized_jsd(
            student, teacher, beta=self.beta, temperature=self.for_rows(temperature), standardize=self.standardize
        )

    def extra_repr(self) -> str:
        return f"beta={self.beta}, {super().extra_repr()}"


@register("loss", "total_variation")
class TotalVariation(Softened):
    """Keeps a temperature, and whether to standardize, for `limbeck.functional.total_variation`.

    Args:
        temperature: T, a number above 0, a schedule of the optimizer step, or `Curriculum`.
        standardize: bring each row of logits to mean 0 and standard deviation 1 first (Sun et al., 2024).

    Raises:
        ArgumentError: if the temperature is not a finite number above 0.

    Example:
        >>> import torch
        >>> TotalVariation()(torch.zeros(1, 2), torch.tensor([[2.0, 0.0]]))
        tensor([0.3808])
    """

    def __init__(self, *, temperature: Temperature = 1.0, standardize: bool = False) -> None:
        super().__init__("total_variation", temperature, standardize)

    def forward(self, student: Tensor, teacher: Tensor, temperature: Tensor | None = None) -> Tensor:
        return functional.total_variation(
            student, teacher, temperature=self.for_rows(temperature), standardize=self.standardize
        )
