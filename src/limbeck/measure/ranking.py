"""Metrics of how well a classifier ranks rows, from outputs and labels as in `limbeck.measure.classification`.

Rows are ranked for each class by its probability. Rows of equal probability share a rank.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from limbeck.measure.activations import log_softmax
from limbeck.measure.classification import is_multi_label, logits_and_target
from limbeck.measure.metric import Floats, Labels, Metric, Outputs, mean_of_defined, ratio
from limbeck.registry import register

__all__ = ["AUROC", "AveragePrecision", "log_odds"]


def log_odds(logits: Floats) -> Floats:
    """`log p_c − log(1 − p_c)` of the softmax, ``[N, C]``, which distinguishes probabilities that round to 1.

    >>> log_odds(np.array([[50.0, 0.0]])).tolist()
    [[50.0, -50.0]]
    """
    log_p = log_softmax(logits)
    top = np.arange(logits.shape[1]) == logits.argmax(axis=1)[:, None]
    with np.errstate(divide="ignore"):
        others = np.log(np.where(top, 0.0, np.exp(log_p)).sum(axis=1, keepdims=True))
        rest = np.where(top, others, np.log1p(-np.where(top, 0.0, np.exp(log_p))))
    return np.asarray(log_p - np.maximum(rest, np.finfo(np.float64).min), np.float64)


class _OverClasses(Metric[dict[str, Floats]]):
    """The mean over classes of a function of the ranking of rows, of the classes for which it is defined."""

    is_share = True
    bounds = (0.0, 1.0)

    def statistics(self, outputs: Outputs, labels: Labels, reference: Outputs | None) -> dict[str, Floats]:
        logits, target = logits_and_target(outputs, labels)
        if is_multi_label(logits, target):
            return {"score": logits, "positive": target.astype(np.float64)}
        return {"score": log_odds(logits), "positive": np.eye(logits.shape[1])[target]}

    def join(self, parts: Sequence[dict[str, Floats]]) -> dict[str, Floats]:
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}

    def value(self, statistics: dict[str, Floats], weights: Floats) -> Floats:
        return mean_of_defined(self._each(statistics, weights))

    def breakdown(self, statistics: dict[str, Floats], weights: Floats) -> Mapping[str, Floats]:
        each = self._each(statistics, weights)
        return {str(number): each[:, number] for number in range(each.shape[1])}

    def _each(self, statistics: dict[str, Floats], weights: Floats) -> Floats:
        """The value of each class, ``[draws, C]``."""
        by_row = np.ascontiguousarray(weights.T)
        columns = zip(statistics["score"].T, statistics["positive"].T > 0, strict=True)
        return np.stack([self.of_class(score, positive, by_row) for score, positive in columns], axis=1)

    @abstractmethod
    def of_class(self, score: Floats, positive: NDArray[np.bool_], weights: Floats) -> Floats:
        """The value of one class, ``[draws]``, from its scores ``[N]`` and the weights of the rows, ``[N, draws]``."""


def _cumulated(weights: Floats) -> Floats:
    """The sum of the first 0, 1, … rows, ``[N + 1, draws]``."""
    total = np.zeros((len(weights) + 1, weights.shape[1]))
    np.cumsum(weights, axis=0, out=total[1:])
    return total


@register("metric", "auroc")
class AUROC(_OverClasses):
    """Area under the ROC curve, the mean over classes against the rest.

    For one class it is the probability that a row of the class has a higher score than another row; equal scores count
    half. It is not defined for a class that all rows or no row has; such a class is left out of the mean.

    >>> metric, outputs = AUROC(), {"logits": np.array([[0.0], [1.0], [1.0], [2.0]])}
    >>> statistics = metric.statistics(outputs, {"target": np.array([[0], [0], [1], [1]])}, None)
    >>> metric.value(statistics, np.ones((1, 4))).tolist()
    [0.875]
    """

    title = "AUROC"
    column = "AUROC"

    def of_class(self, score: Floats, positive: NDArray[np.bool_], weights: Floats) -> Floats:
        positives, negatives = np.flatnonzero(positive), np.flatnonzero(~positive)
        negatives = negatives[np.argsort(score[negatives])]
        below = _cumulated(weights[negatives])
        ordered, own = score[negatives], weights[positives]
        # A tie is half a pair in order.
        pairs = sum(
            np.einsum("pd,pd->d", own, below[np.searchsorted(ordered, score[positives], side)]) / 2
            for side in ("left", "right")
        )
        return ratio(pairs, own.sum(axis=0) * below[-1], undefined=np.nan)


@register("metric", "average_precision")
class AveragePrecision(_OverClasses):
    r"""Average precision, the mean over classes against the rest.

    For one class it is :math:`\sum_n (R_n - R_{n-1}) P_n`, with precision P and recall R at each score, as in
    scikit-learn. It is not defined for a class without a row; such a class is left out of the mean.
    """

    title = "average precision"

    def of_class(self, score: Floats, positive: NDArray[np.bool_], weights: Floats) -> Floats:
        order = np.argsort(-score)
        positives = order[positive[order]]
        hits, seen = _cumulated(weights[positives]), _cumulated(weights[order])
        at_or_above = np.searchsorted(-score[positives], -score[positives], "right")
        precision = ratio(hits[at_or_above], seen[np.searchsorted(-score[order], -score[positives], "right")])
        return ratio(np.einsum("pd,pd->d", weights[positives], precision), hits[-1], undefined=np.nan)
