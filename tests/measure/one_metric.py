"""The value of one metric on logits, as tests need it."""

from __future__ import annotations

import numpy as np

from limbeck import registry
from limbeck.measure import Floats, Integers, OfMeans


def metric_named(name: str) -> OfMeans:
    metric: OfMeans = registry.lookup("metric", name)()
    return metric


def table(metric: OfMeans, logits: Floats, target: Integers, teacher: Floats | None = None) -> Floats:
    """The statistics, ``[rows, k]``."""
    reference = None if teacher is None else {"logits": teacher}
    return metric.statistics({"logits": logits}, {"target": target}, reference)


def measure(name: str, logits: Floats, target: Integers, teacher: Floats | None = None) -> float:
    metric = metric_named(name)
    return float(metric.value(table(metric, logits, target, teacher), np.ones((1, len(target))))[0])
