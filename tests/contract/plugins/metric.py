"""A metric that is better when smaller and has a unit."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from limbeck.measure import Floats, OfMeans
from limbeck.registry import register


@register("metric", "cost_of_errors")
class CostOfErrors(OfMeans):
    """Mean cost of a wrong class: the distance between the two class numbers, at a price each.

    Args:
        price: of one class of distance, in euros.
    """

    title = "Cost of errors"
    unit = "EUR"
    higher_is_better = False
    bounds = (0.0, math.inf)

    def __init__(self, price: float = 40.0) -> None:
        self.price = price

    def statistics(
        self, outputs: Mapping[str, Any], labels: Mapping[str, Any], reference: Mapping[str, Any] | None
    ) -> Floats:
        distance = np.abs(outputs["logits"].argmax(-1) - labels["target"])
        return np.asarray(self.price * distance[:, None], np.float64)

    def of_means(self, means: Floats) -> Floats:
        return np.asarray(means[..., 0], np.float64)
