"""What a metric is, and the metrics that look at one classifier alone."""

from __future__ import annotations

import math
from typing import ClassVar, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from limbeck.registry import register

__all__ = [
    "Accuracy",
    "BrierScore",
    "Floats",
    "Integers",
    "MacroF1",
    "MeanOfRows",
    "Metric",
    "MicroF1",
    "NegativeLogLikelihood",
    "SubsetAccuracy",
    "Top5Accuracy",
    "decisions",
    "log_softmax",
    "sigmoid",
    "softplus",
]

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]


@runtime_checkable
class Metric(Protocol):
    """A number that follows from means over rows: `value(mean of rows(...))`.

    Keeping the two apart makes a bootstrap draw one matrix product: the counts of the resampled rows, times `rows`.
    """

    higher_is_better: bool
    needs_teacher: bool
    bounds: tuple[float, float]
    """The least and the greatest value that there can be."""
    points: bool
    """Whether it is a share, told in percentage points."""

    def rows(self, logits: Floats, target: Integers, teacher: Floats | None) -> Floats:
        """What each row adds: logits `[N, C]`, the target, the teacher's logits `[N, C]` -> statistics `[N, K]`.

        A target `[N]` is the class of each row; `[N, C]` says 0 or 1 of each class, and each logit is a question of its
        own. A metric of another `Scoring` takes its shapes.
        """
        ...

    def value(self, means: Floats) -> Floats:
        """The metric, from means of the statistics over rows: `[..., K]` -> `[...]`."""
        ...


class MeanOfRows:
    """What the metrics share that are the mean of one number per row."""

    higher_is_better: ClassVar[bool] = True
    needs_teacher: ClassVar[bool] = False
    bounds: ClassVar[tuple[float, float]] = (0.0, 1.0)
    points: ClassVar[bool] = True

    def value(self, means: Floats) -> Floats:
        return means[..., 0]


def log_softmax(logits: Floats) -> Floats:
    """Natural logarithm of softmax over the last axis, finite for every finite input.

    >>> float(log_softmax(np.array([1e4, -1e4]))[1])
    -20000.0
    """
    shifted = logits - logits.max(axis=-1, keepdims=True)
    return np.asarray(shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True)), np.float64)


def sigmoid(logits: Floats) -> Floats:
    """`1 / (1 + exp(−z))`, without overflow.

    >>> sigmoid(np.array([-1e4, 0.0])).tolist()
    [0.0, 0.5]
    """
    return np.asarray(0.5 * (1 + np.tanh(0.5 * logits)), np.float64)


def softplus(logits: Floats) -> Floats:
    """`log(1 + exp(z))`, without overflow: of a yes or no, `softplus(−z)` is −log p(yes)."""
    return np.asarray(np.logaddexp(0.0, logits), np.float64)


def decisions(logits: Floats, target: Integers) -> tuple[Floats, Floats]:
    """The classes that are true of each row and those that are called, 0 or 1, `[N, C]` each.

    Called are those with a probability above ½, or the one with the greatest logit where a row is of one class.
    """
    if target.ndim == logits.ndim:
        return target.astype(np.float64), (logits > 0).astype(np.float64)
    one = np.eye(logits.shape[1])
    return one[target], one[logits.argmax(axis=1)]


def _of_target(table: Floats, target: Integers) -> Floats:
    """The entry of each row's true class: `[N, C]`, `[N]` -> `[N, 1]`."""
    return np.take_along_axis(table, target[:, None], axis=1)


@register("metric", "accuracy")
class Accuracy(MeanOfRows):
    """Share of rows whose greatest logit is that of the true class; of equal logits the first counts.

    >>> float(Accuracy().rows(np.array([[1.0, 0.0], [0.0, 1.0]]), np.array([0, 0]), None).mean())
    0.5
    """

    def rows(self, logits: Floats, target: Integers, teacher: Floats | None) -> Floats:
        return np.asarray((logits.argmax(axis=1) == target)[:, None], np.float64)


@register("metric", "top5_accuracy")
class Top5Accuracy(MeanOfRows):
    """Share of rows whose true class is among the five greatest logits; 1 where there are five classes or fewer.

    Of equal logits the first ones count, as in `Accuracy`.
    """

    def rows(self, logits: Floats, target: Integers, teacher: Floats | None) -> Floats:
        own = _of_target(logits, target)
        before = np.arange(logits.shape[1]) < target[:, None]
        rank = ((logits > own) | ((logits == own) & before)).sum(axis=1, keepdims=True)
        return np.asarray(rank < 5, np.float64)


@register("metric", "macro_f1")
class MacroF1:
    """Mean over classes of `2·TP / (rows that are it + rows called it)`.

    A class that neither occurs nor is called is left out of the mean; it is 0 if none is.
    """

    higher_is_better: ClassVar[bool] = True
    needs_teacher: ClassVar[bool] = False
    bounds: ClassVar[tuple[float, float]] = (0.0, 1.0)
    points: ClassVar[bool] = True

    def rows(self, logits: Floats, target: Integers, teacher: Floats | None) -> Floats:
        actual, called = decisions(logits, target)
        return np.concatenate([2 * actual * called, actual + called], axis=1)

    def value(self, means: Floats) -> Floats:
        hit, seen = np.split(means, 2, axis=-1)
        score = np.divide(hit, seen, out=np.zeros_like(hit), where=seen > 0)
        return np.asarray(score.sum(axis=-1) / (seen > 0).sum(axis=-1).clip(min=1), np.float64)


@register("metric", "micro_f1")
class MicroF1:
    """`2·TP / (classes that rows have + classes that rows are called)`, over all rows and classes; 0 without any.

    Where a row is of one class, it is the accuracy.
    """

    higher_is_better: ClassVar[bool] = True
    needs_teacher: ClassVar[bool] = False
    bounds: ClassVar[tuple[float, float]] = (0.0, 1.0)
    points: ClassVar[bool] = True

    def rows(self, logits: Floats, target: Integers, teacher: Floats | None) -> Floats:
        actual, called = decisions(logits, target)
        return np.stack([2 * (actual * called).sum(axis=1), (actual + called).sum(axis=1)], axis=1)

    def value(self, means: Floats) -> Floats:
        hit, seen = means[..., 0], means[..., 1]
        return np.asarray(np.divide(hit, seen, out=np.zeros_like(hit), where=seen > 0), np.float64)


@register("metric", "subset_accuracy")
class SubsetAccuracy(MeanOfRows):
    """Share of rows of which every class is called right: those that it has, and no other."""

    def rows(self, logits: Floats, target: Integers, teacher: Floats | None) -> Floats:
        actual, called = decisions(logits, target)
        return np.asarray((actual == called).all(axis=1, keepdims=True), np.float64)


@register("metric", "negative_log_likelihood")
class NegativeLogLikelihood(MeanOfRows):
    """Mean of `−log p(true class)`, in nats; where rows have several, of the sum over a yes or no for each class.

    >>> NegativeLogLikelihood().rows(np.zeros((1, 4)), np.array([2]), None).item() == math.log(4)
    True
    """

    higher_is_better: ClassVar[bool] = False
    bounds: ClassVar[tuple[float, float]] = (0.0, math.inf)
    points: ClassVar[bool] = False

    def rows(self, logits: Floats, target: Integers, teacher: Floats | None) -> Floats:
        if target.ndim == logits.ndim:
            return np.asarray(softplus(np.where(target == 1, -logits, logits)).sum(axis=1, keepdims=True), np.float64)
        return -_of_target(log_softmax(logits), target)


@register("metric", "brier_score")
class BrierScore(MeanOfRows):
    """Mean of `Σ_c (p_c − y_c)²`, from 0 to 2.

    Paper: G. W. Brier (1950), Verification of forecasts expressed in terms of probability,
    doi:10.1175/1520-0493(1950)078<0001:VOFEIT>2.0.CO;2.
    """

    higher_is_better: ClassVar[bool] = False
    bounds: ClassVar[tuple[float, float]] = (0.0, 2.0)
    points: ClassVar[bool] = False

    def rows(self, logits: Floats, target: Integers, teacher: Floats | None) -> Floats:
        error = np.exp(log_softmax(logits)) - np.eye(logits.shape[1])[target]
        return np.asarray(np.square(error).sum(axis=1, keepdims=True), np.float64)
