"""The model as it is shipped: it takes plain images and normalizes them itself."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from limbeck.errors import ArgumentError

__all__ = ["Normalized"]


class Normalized(nn.Module):
    """A model behind the normalization that it was trained with: net((images − mean) / std), per channel.

    Further keyword arguments of a call go to the model as they are.
    The mean and the standard deviation are buffers, so they are saved with the weights and lie in an exported graph.

    Args:
        model: takes normalized images [B, C, H, W]; it stands at ``net``.
        mean: of each channel over the training images, C numbers on the scale of the images (0 to 1).
        std: standard deviation of each channel, C numbers above 0 on the same scale.

    Raises:
        ArgumentError: if there are not as many means as deviations, one is not finite, or a deviation is not above 0.

    >>> Normalized(nn.Identity(), mean=[0.5], std=[0.25])(torch.ones(1, 1, 1, 1)).item()
    2.0
    """

    mean: Tensor
    std: Tensor

    def __init__(self, model: nn.Module, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        means, deviations = [float(value) for value in mean], [float(value) for value in std]
        if len(means) != len(deviations) or not means:
            raise ArgumentError(
                f"Normalized: {len(means)} means and {len(deviations)} standard deviations; "
                "expected one of each per channel",
                code="mismatch",
                path="std",
            )
        if not all(map(math.isfinite, means)):
            raise ArgumentError(
                f"Normalized: the means are {means}; expected finite numbers", code="not_finite", path="mean"
            )
        if not all(math.isfinite(value) and value > 0 for value in deviations):
            raise ArgumentError(
                f"Normalized: the standard deviations are {deviations}; expected finite numbers above 0; "
                "give 1.0 for a channel that never changes",
                path="std",
            )
        self.net = model
        self.register_buffer("mean", torch.tensor(means).view(-1, 1, 1))
        self.register_buffer("std", torch.tensor(deviations).view(-1, 1, 1))

    def forward(self, images: Tensor, **call: Any) -> Any:
        return self.net((images - self.mean) / self.std, **call)
