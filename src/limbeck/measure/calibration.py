"""Whether a classifier is as often right as it is confident."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from limbeck.errors import ArgumentError
from limbeck.measure.activations import log_softmax, sigmoid
from limbeck.measure.classification import is_multi_label, logits_and_target
from limbeck.measure.metric import Floats, Integers, Labels, OfMeans, Outputs
from limbeck.measure.tables import Table
from limbeck.registry import register

__all__ = ["Bin", "ExpectedCalibrationError", "Reliability", "reliability"]


@dataclass(frozen=True)
class Bin:
    """The decisions whose confidence lies in `(low, high]`: their number, mean confidence and share that is right.

    The last two are None if there is no decision. A row of one class is one decision, of its largest probability. A
    multi-label row is one decision per class: its confidence is the probability of the class, and it is right if the
    row has the class.
    """

    low: float
    high: float
    count: int
    confidence: float | None
    accuracy: float | None


def _edges(bins: int) -> Floats:
    return np.linspace(0.0, 1.0, bins + 1)


def _decisions(logits: Floats, target: Integers) -> tuple[Floats, Floats]:
    """The confidence of each decision and whether it is right: ``[N, 1]`` each, or ``[N, C]`` for multi-label rows."""
    if is_multi_label(logits, target):
        return sigmoid(logits), target.astype(np.float64)
    confidence = np.exp(log_softmax(logits).max(axis=1, keepdims=True))
    return confidence, (logits.argmax(axis=1) == target).astype(np.float64)[:, None]


def _bin_of(confidence: Floats, bins: int) -> Integers:
    return np.searchsorted(_edges(bins)[1:-1], confidence, side="left").astype(np.int64)


@register("metric", "expected_calibration_error")
class ExpectedCalibrationError(OfMeans):
    """Mean distance between confidence and accuracy, over bins of equal width.

    `Σ_b n_b/N · |accuracy_b − confidence_b|`, with bins `(0, 1/B], …, (1 − 1/B, 1]` of rows. For multi-label rows the
    bins hold one decision for each class of each row, by its probability.

    Args:
        bins: the number B of bins.

    Raises:
        ArgumentError: if there is no bin.

    >>> outputs, labels = {"logits": np.array([[1e4, 0.0], [1e4, 0.0]])}, {"target": np.array([0, 1])}
    >>> metric = ExpectedCalibrationError()
    >>> metric.value(metric.statistics(outputs, labels, None), np.ones((1, 2))).tolist()
    [0.5]

    Paper: C. Guo, G. Pleiss, Y. Sun, K. Q. Weinberger (2017), On calibration of modern neural networks,
    arXiv:1706.04599.
    """

    title = "calibration error"
    column = "ECE"
    higher_is_better = False
    is_share = True
    bounds = (0.0, 1.0)

    def __init__(self, bins: int = 15) -> None:
        if bins < 1:
            raise ArgumentError(
                f"expected_calibration_error: bins={bins}, expected at least 1; the usual number is 15", path="bins"
            )
        self.bins = bins

    def statistics(self, outputs: Outputs, labels: Labels, reference: Outputs | None) -> Floats:
        confidence, right = _decisions(*logits_and_target(outputs, labels))
        bins = _bin_of(confidence, self.bins)
        statistics = np.zeros((len(bins), self.bins))
        np.add.at(statistics, (np.arange(len(bins))[:, None], bins), (right - confidence) / bins.shape[1])
        return statistics

    def of_means(self, means: Floats) -> Floats:
        return np.asarray(np.abs(means).sum(axis=-1), np.float64)


def _binned(confidence: Floats, right: Floats, bins: int) -> tuple[Bin, ...]:
    bin_of_decision = _bin_of(confidence, bins)
    count = np.bincount(bin_of_decision, minlength=bins)
    total = np.bincount(bin_of_decision, confidence, minlength=bins)
    hits = np.bincount(bin_of_decision, right, minlength=bins)
    edges = _edges(bins)
    return tuple(
        Bin(float(low), float(high), int(n), float(c / n) if n else None, float(h / n) if n else None)
        for low, high, n, c, h in zip(edges[:-1], edges[1:], count, total, hits, strict=True)
    )


def reliability(logits: Floats, target: Integers, bins: int = 15) -> tuple[Bin, ...]:
    """The decisions by confidence, for a reliability diagram.

    Args:
        logits: `[N, C]`.
        target: the true class of each row, `[N]`, or 0 or 1 for each class, `[N, C]`.
        bins: the number of bins of equal width.

    Returns:
        The bins, from low to high confidence; each includes its upper edge, so confidence 1 is in the last.

    >>> reliability(np.array([[1e4, 0.0]]), np.array([0]))[-1]
    Bin(low=0.9333333333333333, high=1.0, count=1, confidence=1.0, accuracy=1.0)
    """
    confidence, right = _decisions(logits, target)
    return _binned(confidence.ravel(), right.ravel(), bins)


class Reliability(Table):
    """The table of `reliability`.

    Args:
        bins: the number of bins of equal width.
    """

    def __init__(self, bins: int = 15) -> None:
        self.bins = bins

    def entries(self, outputs: Outputs, labels: Labels) -> tuple[Integers, Floats]:
        confidence, right = _decisions(*logits_and_target(outputs, labels))
        row = np.repeat(np.arange(len(confidence)), confidence.shape[1])
        return row, np.stack([confidence.ravel(), right.ravel()], axis=1)

    def summary(self, entries: Floats) -> list[Any]:
        return [asdict(one) for one in _binned(entries[:, 0], entries[:, 1], self.bins)]
