"""How models are evaluated that predict masked tokens.

Logits over a vocabulary are large, so metrics read what `masked_token_outputs` makes of them: ``log_likelihood`` and
``predicted``, ``[N, M]`` each, for up to M masked tokens of each row. A target ``[N, M]`` is the number of a token,
-100 where a row has fewer.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from limbeck.errors import ArgumentError
from limbeck.measure.activations import log_softmax
from limbeck.measure.metric import Floats, Integers, Labels, OfMeans, Outputs, ratio, reference_of
from limbeck.measure.scoring import ClassScoring
from limbeck.registry import register

__all__ = [
    "MaskedAccuracy",
    "MaskedAgreement",
    "MaskedCrossEntropy",
    "MaskedPerplexity",
    "masked_token_outputs",
    "masked_token_scoring",
]

_UNKNOWN = -100


def masked_token_outputs(logits: Floats, target: Integers) -> dict[str, NDArray[Any]]:
    """What metrics read of the logits of K masked tokens.

    Args:
        logits: ``[K, V]``, over a vocabulary.
        target: ``[K]``, the true tokens.

    Returns:
        ``log_likelihood``, log p of the true token in nats, and ``predicted``, the most likely token: ``[K]`` each.

    >>> outputs = masked_token_outputs(np.array([[0.0, 0.0, math.log(2)]]), np.array([0]))
    >>> outputs["log_likelihood"].round(3).tolist(), outputs["predicted"].tolist()
    ([-1.386], [2])
    """
    likelihood = np.take_along_axis(log_softmax(logits), target[:, None], axis=1)
    return {"log_likelihood": likelihood[:, 0], "predicted": logits.argmax(axis=1)}


class _TokenMean(OfMeans):
    """The mean over all masked tokens, whatever their rows; 0 if there are none."""

    bounds = (0.0, 1.0)

    def of_means(self, means: Floats) -> Floats:
        return ratio(means[..., 0], means[..., 1])


def _sums(tokens: NDArray[Any], target: Integers) -> Floats:
    """The sum over the masked tokens of each row, and their number: ``[N, 2]``."""
    masked = target != _UNKNOWN
    return np.stack([np.where(masked, tokens, 0).sum(axis=1), masked.sum(axis=1)], axis=1).astype(np.float64)


@register("metric", "masked_accuracy")
class MaskedAccuracy(_TokenMean):
    """Share of masked tokens that are predicted.

    >>> outputs, labels = {"predicted": np.array([[7, 3, 0]])}, {"target": np.array([[7, 4, -100]])}
    >>> metric = MaskedAccuracy()
    >>> metric.value(metric.statistics(outputs, labels, None), np.ones((1, 1))).tolist()
    [0.5]
    """

    title = "accuracy on masked tokens"
    is_share = True

    def statistics(self, outputs: Outputs, labels: Labels, reference: Outputs | None) -> Floats:
        return _sums(outputs["predicted"] == labels["target"], labels["target"])


@register("metric", "masked_cross_entropy")
class MaskedCrossEntropy(_TokenMean):
    """Mean of ``−log p`` of masked tokens, in nats."""

    title = "cross-entropy of masked tokens"
    unit = "nats"
    higher_is_better = False
    bounds = (0.0, math.inf)

    def statistics(self, outputs: Outputs, labels: Labels, reference: Outputs | None) -> Floats:
        return _sums(-outputs["log_likelihood"], labels["target"])


@register("metric", "masked_perplexity")
class MaskedPerplexity(MaskedCrossEntropy):
    """e to the cross-entropy of masked tokens.

    >>> float(MaskedPerplexity().of_means(np.array([math.log(8), 1.0])).round(6))
    8.0
    """

    title = "perplexity of masked tokens"
    unit = ""
    bounds = (1.0, math.inf)

    def of_means(self, means: Floats) -> Floats:
        return np.asarray(np.exp(super().of_means(means)), np.float64)


@register("metric", "masked_agreement")
class MaskedAgreement(_TokenMean):
    """Share of masked tokens for which the model and the teacher predict the same."""

    title = "agreement with the teacher on masked tokens"
    is_share = True
    needs_reference = True

    def statistics(self, outputs: Outputs, labels: Labels, reference: Outputs | None) -> Floats:
        teacher = reference_of(reference, "masked_agreement")
        return _sums(outputs["predicted"] == teacher["predicted"], labels["target"])


def masked_token_scoring() -> ClassScoring:
    """The scoring of masked tokens by their share that is predicted.

    >>> masked_token_scoring().main.title
    'accuracy on masked tokens'
    """
    return ClassScoring(
        hard={"hard": {"loss": "cross_entropy"}},
        metrics=(MaskedAccuracy(), MaskedCrossEntropy(), MaskedPerplexity(), MaskedAgreement()),
        tables={"reliability": None, "confusion": None},
        check=_check,
        known=_count_masked,
        label_kind="single_label",
        probabilities=_probabilities,
    )


def _probabilities(outputs: Outputs) -> Floats:
    return np.asarray(np.exp(outputs["log_likelihood"]), np.float64)


def _check(outputs: Outputs, labels: Labels) -> None:
    shapes = [outputs["log_likelihood"].shape, outputs["predicted"].shape, labels["target"].shape]
    if len(set(shapes)) > 1 or len(shapes[0]) != 2:
        raise ArgumentError(
            f"evaluate: log_likelihood, predicted and target of shapes {shapes}; expected [N, M] each",
            code="wrong_shape",
            path="target",
        )


def _count_masked(labels: Labels) -> int:
    return int((labels["target"] != _UNKNOWN).sum())
