"""A loss that raises once the student's training has begun: after its dry run and its first steps."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from limbeck import registry
from recipes.small import changed

FAILING: dict[str, Any] = changed({"objective.soft": {"loss": "failing", "weight": 0.5}})


def register_failing(error: BaseException) -> None:
    """Register the loss of `FAILING`, which raises this error at its fourth call."""
    calls = 0

    @registry.register("loss", "failing")
    class Failing(nn.Module):
        def forward(self, student: Tensor, teacher: Tensor) -> Tensor:
            nonlocal calls
            calls += 1
            if calls > 3:
                raise error
            return (student - teacher).square().mean(-1)
