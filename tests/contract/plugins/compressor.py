"""A compressor stub: weights below a threshold become 0."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from limbeck.compress import CompressionPlan, LayerPlan
from limbeck.registry import register


@register("compressor", "drop_small_weights")
@dataclass(frozen=True, kw_only=True)
class DropSmallWeights:
    """Set weights to 0 that are smaller than a threshold.

    Args:
        below: the threshold, for absolute values.
    """

    below: float = 0.01

    def plan(
        self, model: nn.Module, *, example: Any, measure: Any = None, calibration: Iterable[Any] = ()
    ) -> CompressionPlan:
        layers = [
            LayerPlan(name, tuple(value.shape), tuple(value.shape), parameters=value.numel(), bytes=value.nbytes)
            for name, value in model.named_parameters()
        ]
        return CompressionPlan(layers=tuple(layers))

    def apply(self, model: nn.Module, plan: CompressionPlan) -> nn.Module:
        smaller = copy.deepcopy(model)
        with torch.no_grad():
            for value in smaller.parameters():
                value[value.abs() < self.below] = 0
        return smaller
