"""Models of other classes than the task's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from limbeck.errors import ArgumentError

__all__ = ["PadClasses"]

# As a logit: no probability, at a cost that is finite.
_absent_logit = -1e4


class PadClasses(nn.Module):
    """A model with logits of its own, as one with those of all classes of a task: to measure it like any other.

    A class that it does not know has the logit −10⁴; one that the task does not have is left out.

    Args:
        model: gives logits ``[B, K]``, or a mapping that has them.
        classes: what each of these stands for.
        to: the classes of the task.

    Raises:
        ArgumentError: when it runs, if there are not so many logits.

    >>> PadClasses(nn.Identity(), ["dog", "cat"], ["cat", "emu", "dog"])(torch.tensor([[1.0, 2.0]]))
    tensor([[ 2.0000e+00, -1.0000e+04,  1.0000e+00]])
    """

    positions: Tensor

    def __init__(self, model: nn.Module, classes: Sequence[str], to: Sequence[str]) -> None:
        super().__init__()
        self.model = model
        self.count = len(classes)
        positions = [classes.index(name) if name in classes else -1 for name in to]
        self.register_buffer("positions", torch.tensor(positions), persistent=False)

    def forward(self, *inputs: Any, **named: Any) -> Tensor:
        given = self.model(*inputs, **named)
        logits: Tensor = given["logits"] if isinstance(given, Mapping) else given
        if not isinstance(logits, Tensor) or logits.shape[-1] != self.count:
            shape = list(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
            raise ArgumentError(
                f"the model gives {shape}, but {self.count} classes are named", code="mismatch", path="classes"
            )
        return logits.index_select(-1, self.positions.clamp(min=0)).where(self.positions >= 0, _absent_logit)
