"""A network whose outputs are numbers with a unit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from limbeck.errors import ArgumentError

__all__ = ["Values", "WithoutQuantiles"]


class Values(nn.Module):
    r"""A network that predicts standardized numbers, as a model that predicts them in their unit.

    .. math:: y = \mu + \sigma z

    with the output z of the network and the mean and standard deviation of the training labels. A network that begins
    near 0 begins at the mean of the labels. Both are buffers: they are saved with the weights and lie in an exported
    graph.

    With the levels of quantiles, the network gives Q numbers for each target. They are brought into rising order, so
    that quantiles do not cross, and the value is the median.

    Args:
        model: gives `[B, K]`, or `[B, K Q]` with levels, target by target; or a mapping that has it as ``logits``; it
            stands at ``net``.
        mean: of each of the K targets.
        std: the standard deviation of each, above 0.
        single: whether a row has one number without an axis of its own: then K is 1 and the output is `[B]`.
        levels: of the quantiles, ascending, 0.5 among them; none if the network gives none.

    Shape:
        - ``value``: `[B, K]`, or `[B]` if single.
        - ``quantiles``, with levels: `[B, K, Q]`, or `[B, Q]` if single.

    Raises:
        ArgumentError: if means and deviations differ in number, a deviation is not above 0, ``single`` with several, or
            levels lack 0.5.

    >>> Values(nn.Identity(), mean=[10.0], std=[2.0], single=True)(torch.tensor([[1.0], [-1.0]]))["value"].tolist()
    [12.0, 8.0]
    >>> median = Values(nn.Identity(), [10.0], [2.0], single=True, levels=(0.1, 0.5, 0.9))
    >>> median(torch.tensor([[1.0, -1.0, 0.0]]))
    {'value': tensor([10.]), 'quantiles': tensor([[ 8., 10., 12.]])}

    Chernozhukov, Fernández-Val, Galichon, 2010, "Quantile and Probability Curves Without Crossing", Econometrica 78.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        model: nn.Module,
        mean: Sequence[float],
        std: Sequence[float],
        *,
        single: bool,
        levels: Sequence[float] = (),
    ) -> None:
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
        if levels and 0.5 not in levels:
            raise ArgumentError(
                f"Values: levels are {list(levels)}; add 0.5, the median, which is the predicted value",
                code="missing",
                path="levels",
            )
        self.net = model
        self.levels = tuple(levels)
        self.single = single
        self.register_buffer("mean", torch.tensor(mean, dtype=torch.float32))
        self.register_buffer("std", torch.tensor(std, dtype=torch.float32))

    def forward(self, *inputs: Any, **named: Any) -> dict[str, Tensor]:
        given = self.net(*inputs, **named)
        outputs: Tensor = given["logits"] if isinstance(given, dict) else given
        if self.levels:
            return self._with_quantiles(outputs)
        value = self.mean + self.std * outputs
        return {"value": value.squeeze(-1) if self.single else value}

    def _with_quantiles(self, outputs: Tensor) -> dict[str, Tensor]:
        ordered = outputs.reshape(-1, len(self.mean), len(self.levels)).sort(dim=-1).values
        quantiles = self.mean.unsqueeze(-1) + self.std.unsqueeze(-1) * ordered
        if self.single:
            quantiles = quantiles.squeeze(1)
        return {"value": quantiles[..., self.levels.index(0.5)], "quantiles": quantiles}

    def standardize(self, numbers: Tensor) -> Tensor:
        """What the network is to predict for these numbers: ``(y − μ) / σ``, in the type of the numbers.

        Args:
            numbers: `[*, K]`.
        """
        standardized: Tensor = (numbers - self.mean.cpu()) / self.std.cpu()
        return standardized


class WithoutQuantiles(nn.Module):
    """A model of numbers among models of quantiles: its own are not known, NaN.

    Args:
        model: gives ``value``, `[B]` or `[B, K]`; it stands at ``model``.
        count: of the quantiles, Q.

    >>> WithoutQuantiles(Values(nn.Identity(), [0.0], [1.0], single=True), 2)(torch.ones(1, 1))
    {'value': tensor([1.]), 'quantiles': tensor([[nan, nan]])}
    """

    def __init__(self, model: nn.Module, count: int) -> None:
        super().__init__()
        self.model = model
        self.count = count

    def forward(self, *inputs: Any, **named: Any) -> dict[str, Tensor]:
        value: Tensor = self.model(*inputs, **named)["value"]
        return {"value": value, "quantiles": value.new_full((*value.shape, self.count), torch.nan)}
