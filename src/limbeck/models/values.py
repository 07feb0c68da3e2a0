"""A network whose outputs are numbers with a unit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from limbeck.errors import ArgumentError

__all__ = ["Values"]


class Values(nn.Module):
    r"""A network that predicts standardized numbers, as a model that predicts them in their unit.

    .. math:: y = \mu + \sigma z

    with the output z of the network and the mean and standard deviation of the training labels. A network that begins
    near 0 begins at the mean of the labels. Both are buffers: they are saved with the weights and lie in an exported
    graph.

    Args:
        model: gives `[B, K]`, or a mapping that has it as ``logits``; it stands at ``net``.
        mean: of each of the K targets.
        std: the standard deviation of each, above 0.
        single: whether a row has one number without an axis of its own: then K is 1 and the output is `[B]`.

    Raises:
        ArgumentError: if means and deviations differ in number, a deviation is not above 0, or ``single`` with several.

    >>> Values(nn.Identity(), mean=[10.0], std=[2.0], single=True)(torch.tensor([[1.0], [-1.0]]))["value"].tolist()
    [12.0, 8.0]
    """

    mean: Tensor
    std: Tensor

    def __init__(self, model: nn.Module, mean: Sequence[float], std: Sequence[float], *, single: bool) -> None:
        super().__init__()
        if len(mean) != len(std) or not mean or not all(value > 0 for value in std):
            raise ArgumentError(
                f"Values: {len(mean)} means and the standard deviations {list(std)}; expected one of each for every "
                "target, the deviations above 0",
                code="mismatch",
                path="std",
            )
        if single and len(mean) > 1:
            raise ArgumentError(f"Values: single with {len(mean)} targets; expected 1", code="mismatch", path="single")
        self.net = model
        self.single = single
        self.register_buffer("mean", torch.tensor(mean, dtype=torch.float32))
        self.register_buffer("std", torch.tensor(std, dtype=torch.float32))

    def forward(self, *inputs: Any, **named: Any) -> dict[str, Tensor]:
        given = self.net(*inputs, **named)
        outputs: Tensor = given["logits"] if isinstance(given, dict) else given
        value = self.mean + self.std * outputs
        return {"value": value.squeeze(-1) if self.single else value}
