"""Whether a classifier is as often right as it is confident."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from limbeck.errors import ArgumentError
from limbeck.measure.metrics import Floats, Integers, log_softmax, sigmoid
from limbeck.registry import register

__all__ = ["Bin", "ExpectedCalibrationError", "reliability"]


@dataclass(frozen=True)
class Bin:
    """The rows whose confidence lies in `(low, high]`: how many, their mean confidence, and the share that is right.

    The last two are None where there is no row. Where rows have several classes, each class of each row stands in place
    of a row: its confidence is its probability, and it is right where the row has it.
    """

    low: float
    high: float
    count: int
    confidence: float | None
    accuracy: float | None


def _edges(bins: int) -> Floats:
    return np.linspace(0.0, 1.0, bins + 1)


def _confidence(logits: Floats, target: Integers, bins: int) -> tuple[Floats, Floats, Integers]:
    """The greatest probability, whether the row is right, and the row's bin, each `[N, 1]`; or all of each class."""
    if target.ndim == logits.ndim:
        confidence, right = sigmoid(logits), target.astype(np.float64)
    else:
        confidence = np.exp(log_softmax(logits).max(axis=1, keepdims=True))
        right = (logits.argmax(axis=1) == target).astype(np.float64)[:, None]
    return confidence, right, np.searchsorted(_edges(bins)[1:-1], confidence, side="left").astype(np.int64)


@register("metric", "expected_calibration_error")
class ExpectedCalibrationError:
    """Mean distance between confidence and accuracy, over bins of equal width.

    `Σ_b n_b/N · |accuracy_b − confidence_b|`, with bins `(0, 1/B], …, (1 − 1/B, 1]` of rows; where these have several
    classes, of every class of every row, by its probability, against the share that have it.

    Args:
        bins: the number B of bins.

    Raises:
        ArgumentError: if there is no bin.

    >>> sure = np.array([[1e4, 0.0], [1e4, 0.0]])
    >>> error = ExpectedCalibrationError()
    >>> float(error.value(error.rows(sure, np.array([0, 1]), None).mean(axis=0)))
    0.5

    Paper: C. Guo, G. Pleiss, Y. Sun, K. Q. Weinberger (2017), On calibration of modern neural networks,
    arXiv:1706.04599.
    """

    higher_is_better: ClassVar[bool] = False
    needs_teacher: ClassVar[bool] = False
    bounds: ClassVar[tuple[float, float]] = (0.0, 1.0)
    points: ClassVar[bool] = True

    def __init__(self, bins: int = 15) -> None:
        if bins < 1:
            raise ArgumentError(f"expected_calibration_error: bins={bins}, expected at least 1; the usual number is 15")
        self.bins = bins

    def rows(self, logits: Floats, target: Integers, teacher: Floats | None) -> Floats:
        confidence, right, bins = _confidence(logits, target, self.bins)
        statistics = np.zeros((len(target), self.bins))
        np.add.at(statistics, (np.arange(len(target))[:, None], bins), (right - confidence) / bins.shape[1])
        return statistics

    def value(self, means: Floats) -> Floats:
        return np.asarray(np.abs(means).sum(axis=-1), np.float64)


def reliability(logits: Floats, target: Integers, bins: int = 15) -> tuple[Bin, ...]:
    """The rows by confidence, for a reliability diagram.

    Args:
        logits: `[N, C]`.
        target: the true class of each row, `[N]`, or 0 or 1 for each class, `[N, C]`.
        bins: the number of bins of equal width.

    Returns:
        The bins, from low to high confidence; each holds its upper edge, so confidence 1 is in the last.

    >>> reliability(np.array([[1e4, 0.0]]), np.array([0]))[-1]
    Bin(low=0.9333333333333333, high=1.0, count=1, confidence=1.0, accuracy=1.0)
    """
    confidence, right, bin_of_row = (column.ravel() for column in _confidence(logits, target, bins))
    count = np.bincount(bin_of_row, minlength=bins)
    sure = np.bincount(bin_of_row, confidence, minlength=bins)
    hits = np.bincount(bin_of_row, right, minlength=bins)
    edges = _edges(bins)
    return tuple(
        Bin(float(low), float(high), int(n), float(s / n) if n else None, float(h / n) if n else None)
        for low, high, n, s, h in zip(edges[:-1], edges[1:], count, sure, hits, strict=True)
    )
