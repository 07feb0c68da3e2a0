"""Losses between logits and labels, as modules."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn

from limbeck import functional
from limbeck.errors import ArgumentError
from limbeck.functional._checks import check_label_smoothing
from limbeck.registry import register

__all__ = ["CrossEntropy"]


@register("loss", "cross_entropy")
class CrossEntropy(nn.Module):
    """Keeps label smoothing and class weights (a buffer) for `limbeck.functional.cross_entropy`.

    Args:
        label_smoothing: ε, at least 0 and below 1.
        class_weights: one finite number for each class, none below 0 and not all 0.

    Raises:
        ArgumentError: if a setting is out of range.

    Example:
        >>> import torch
        >>> loss = CrossEntropy(class_weights=[1.0, 3.0])
        >>> loss(torch.zeros(2, 2), torch.tensor([0, 1]))
        tensor([0.6931, 2.0794])
    """

    exclusive: ClassVar = True
    class_weights: Tensor | None

    def __init__(self, *, label_smoothing: float = 0.0, class_weights: Sequence[float] | None = None) -> None:
        super().__init__()
        check_label_smoothing("cross_entropy", label_smoothing)
        self.label_smoothing = label_smoothing
        self.register_buffer("class_weights", None if class_weights is None else _as_tensor(class_weights))

    def forward(self, student: Tensor, target: Tensor) -> Tensor:
        return functional.cross_entropy(
            student, target, label_smoothing=self.label_smoothing, class_weights=self.class_weights
        )

    def extra_repr(self) -> str:
        weights = None if self.class_weights is None else self.class_weights.tolist()
        return f"label_smoothing={self.label_smoothing}, class_weights={weights}"


def _as_tensor(class_weights: Sequence[float]) -> Tensor:
    weights = [float(weight) for weight in class_weights]
    if not all(0.0 <= weight < math.inf for weight in weights) or not any(weights):
        raise ArgumentError(
            f"cross_entropy: class_weights are {weights}, expected finite numbers of at least 0, not all 0; "
            f"leave them out to weigh all classes alike"
        )
    return torch.tensor(weights, dtype=torch.float32)
