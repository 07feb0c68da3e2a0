"""Some of the classes, for a teacher who does not know all."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from limbeck.errors import ArgumentError

__all__ = ["Classes"]


class Classes(nn.Module):
    """The logits [*, K] of K classes among all [*, C].

    Args:
        classes: their places, at least two.

    Raises:
        ArgumentError: if there are fewer than two, or one is negative or given twice; in forward, if there are not so
            many classes.
    """

    places: Tensor

    def __init__(self, classes: Sequence[int]) -> None:
        super().__init__()
        if len(set(classes)) != len(classes) or len(classes) < 2 or min(classes) < 0:
            raise ArgumentError(
                f"classes={list(classes)}; expected at least two different numbers from 0 on", path="classes"
            )
        self._most = max(classes)
        self.register_buffer("places", torch.tensor(list(classes)), persistent=False)

    def forward(self, logits: Any) -> Tensor:
        if not isinstance(logits, Tensor) or not logits.ndim or logits.shape[-1] <= self._most:
            shape = list(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
            raise ArgumentError(
                f"classes: the student gives {shape}, expected logits [*, C] with class {self._most}",
                code="wrong_shape",
                path="student",
            )
        return logits.index_select(-1, self.places)
