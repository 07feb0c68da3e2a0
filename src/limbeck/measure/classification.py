"""Metrics of one classifier: outputs ``logits``, ``[N, C]``, and labels ``target``.

A target ``[N]`` is the class of each row. A target ``[N, C]`` is 0 or 1 for each class, and each logit is a binary
decision: the class is predicted if its probability is above one half.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from types import MappingProxyType

import numpy as np

from limbeck.measure.activations import log_softmax, softplus
from limbeck.measure.metric import Floats, Integers, Labels, OfMeans, Outputs, RowMean, ratio
from limbeck.registry import register

__all__ = [
    "Accuracy",
    "BrierScore",
    "MacroF1",
    "MicroF1",
    "NegativeLogLikelihood",
    "SubsetAccuracy",
    "Top5Accuracy",
    "decisions",
    "is_multi_label",
    "logits_and_target",
]


def logits_and_target(outputs: Outputs, labels: Labels) -> tuple[Floats, Integers]:
    """The two arrays that these metrics read."""
    return outputs["logits"], labels["target"]


def is_multi_label(logits: Floats, target: Integers) -> bool:
    """Whether the target is 0 or 1 for each class."""
    return target.ndim == logits.ndim


def decisions(logits: Floats, target: Integers) -> tuple[Floats, Floats]:
    """The true classes and the predicted classes of each row, 0 or 1, ``[N, C]`` each.

    A class of a multi-label row is predicted if its probability is above one half. A row of one class has one
    prediction, the class with the largest logit.
    """
    if is_multi_label(logits, target):
        return target.astype(np.float64), (logits > 0).astype(np.float64)
    classes = np.eye(logits.shape[1])
    return classes[target], classes[logits.argmax(axis=1)]


def _at_target(table: Floats, target: Integers) -> Floats:
    """The entry of the true class of each row: ``[N, C]``, ``[N]`` to ``[N, 1]``."""
    return np.take_along_axis(table, target[:, None], axis=1)


@register("metric", "accuracy")
class Accuracy(RowMean):
    """Share of rows whose largest logit is that of the true class; the first of several equal logits counts.

    >>> outputs, labels = {"logits": np.array([[1.0, 0.0], [0.0, 1.0]])}, {"target": np.array([0, 0])}
    >>> float(Accuracy().statistics(outputs, labels, None).mean())
    0.5
    """

    title = "accuracy"
    is_share = True
    bounds = (0.0, 1.0)

    def statistics(self, outputs: Outputs, labels: Labels, reference: Outputs | None) -> Floats:
        logits, target = logits_and_target(outputs, labels)
        return np.asarray((logits.argmax(axis=1) == target)[:, None], np.float64)


@register("metric", "top5_accuracy")
class Top5Accuracy(RowMean):
    """Share of rows whose true class is among the five largest logits; 1 if there are five classes or fewer.

    The first of several equal logits count, as in `Accuracy`.
    """

    title = "top-5 accuracy"
    is_share = True
    bounds = (0.0, 1.0)

    def statistics(self, outputs: Outputs, labels: Labels, reference: Outputs | None) -> Floats:
        logits, target = logits_and_target(outputs, labels)
        true = _at_target(logits, target)
        before = np.arange(logits.shape[1]) < target[:, None]
        rank = ((logits > true) | ((logits == true) & before)).sum(axis=1, keepdims=True)
        return np.asarray(rank < 5, np.float64)


@register("metric", "macro_f1")
class MacroF1(OfMeans):
    """Mean over classes of `2·TP / (rows of the class + rows predicted as the class)`.

    A class that neither occurs nor is predicted is left out of the mean; it is 0 if none is left.
    """

    title = "macro-F1"
    hub = MappingProxyType({"type": "f1", "args": {"average": "macro"}})
    is_share = True
    bounds = (0.0, 1.0)

    def statistics(self, outputs: Outputs, labels: Labels, reference: Outputs | None) -> Floats:
        actual, predicted = decisions(*logits_and_target(outputs, labels))
        return np.concatenate([2 * actual * predicted, actual + predicted], axis=1)

    def of_means(self, means: Floats) -> Floats:
        score, counts = self._per_class(means)
        return np.asarray(score.sum(axis=-1) / (counts > 0).sum(axis=-1).clip(min=1), np.float64)

    def breakdown(self, statistics: Floats, weights: Floats) -> Mapping[str, Floats]:
        score, counts = self._per_class(self.means(statistics, weights))
        score[counts == 0] = np.nan
        return {str(number): score[:, number] for number in range(score.shape[1])}

    @staticmethod
    def _per_class(means: Floats) -> tuple[Floats, Floats]:
        hits, counts = np.split(means, 2, axis=-1)
        return ratio(hits, counts), counts


@register("metric", "micro_f1")
class MicroF1(OfMeans):
    """`2·TP / (true classes + predicted classes)`, counted over all rows and classes; 0 if there are none.

    For rows of one class it equals the accuracy.
    """

    title = "micro-F1"
    hub = MappingProxyType({"type": "f1", "args": {"average": "micro"}})
    is_share = True
    bounds = (0.0, 1.0)

    def statistics(self, outputs: Outputs, labels: Labels, reference: Outputs | None) -> Floats:
        actual, predicted = decisions(*logits_and_target(outputs, labels))
        return np.stack([2 * (actual * predicted).sum(axis=1), (actual + predicted).sum(axis=1)], axis=1)

    def of_means(self, means: Floats) -> Floats:
        return ratio(means[..., 0], means[..., 1])


@register("metric", "subset_accuracy")
class SubsetAccuracy(RowMean):
    """Share of rows with exactly the true classes predicted."""

    title = "subset accuracy"
    is_share = True
    bounds = (0.0, 1.0)

    def statistics(self, outputs: Outputs, labels: Labels, reference: Outputs | None) -> Floats:
        actual, predicted = decisions(*logits_and_target(outputs, labels))
        return np.asarray((actual == predicted).all(axis=1, keepdims=True), np.float64)


@register("metric", "negative_log_likelihood")
class NegativeLogLikelihood(RowMean):
    """Mean of `−log p(true class)`, in nats; for multi-label rows the sum of this over the decisions of a row.

    >>> outputs, labels = {"logits": np.zeros((1, 4))}, {"target": np.array([2])}
    >>> NegativeLogLikelihood().statistics(outputs, labels, None).item() == math.log(4)
    True
    """

    title = "negative log-likelihood"
    unit = "nats"
    higher_is_better = False
    bounds = (0.0, math.inf)

    def statistics(self, outputs: Outputs, labels: Labels, reference: Outputs | None) -> Floats:
        logits, target = logits_and_target(outputs, labels)
        if is_multi_label(logits, target):
            return np.asarray(softplus(np.where(target == 1, -logits, logits)).sum(axis=1, keepdims=True), np.float64)
        return -_at_target(log_softmax(logits), target)


@register("metric", "brier_score")
class BrierScore(RowMean):
    """Mean of `Σ_c (p_c − y_c)²`, from 0 to 2.

    Paper: G. W. Brier (1950), Verification of forecasts expressed in terms of probability,
    doi:10.1175/1520-0493(1950)078<0001:VOFEIT>2.0.CO;2.
    """

    title = "Brier score"
    higher_is_better = False
    bounds = (0.0, 2.0)

    def statistics(self, outputs: Outputs, labels: Labels, reference: Outputs | None) -> Floats:
        logits, target = logits_and_target(outputs, labels)
        error = np.exp(log_softmax(logits)) - np.eye(logits.shape[1])[target]
        return np.asarray(np.square(error).sum(axis=1, keepdims=True), np.float64)
