"""A loss between softened distributions, by row and between their correlations over the batch, as a module."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from limbeck import functional
from limbeck.functional._multi_level import check_temperatures
from limbeck.registry import register

__all__ = ["MultiLevelLogits"]


@register("loss", "multi_level_logits")
class MultiLevelLogits(nn.Module):
    """Keeps temperatures, and whether to standardize, for `limbeck.functional.multi_level_logits`.

    Args:
        temperatures: each T, a number above 0.
        standardize: bring each row of logits to mean 0 and standard deviation 1 first (Sun et al., 2024).

    Raises:
        ArgumentError: if there is no temperature, or one that is not a finite number above 0.

    Example:
        >>> import torch
        >>> teacher = torch.tensor([[2.0, 0.0], [0.0, 2.0]])
        >>> MultiLevelLogits(temperatures=[2.0])(teacher.flip(0), teacher)
        tensor(1.8485)
    """

    relational = True
    exclusive = True

    def __init__(self, *, temperatures: Sequence[float] = (2.0, 3.0, 4.0, 5.0, 6.0), standardize: bool = False) -> None:
        super().__init__()
        check_temperatures("multi_level_logits", temperatures)
        self.temperatures = tuple(temperatures)
        self.standardize = standardize

    def forward(self, student: Tensor, teacher: Tensor, mask: Tensor | None = None) -> Tensor:
        return functional.multi_level_logits(
            student, teacher, mask, temperatures=self.temperatures, standardize=self.standardize
        )

    def extra_repr(self) -> str:
        return f"temperatures={self.temperatures}, standardize={self.standardize}"
