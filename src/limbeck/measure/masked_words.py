"""How models are judged that are asked for hidden words."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from limbeck.errors import ArgumentError
from limbeck.measure.calibration import Bin
from limbeck.measure.fidelity import present
from limbeck.measure.metrics import Floats, Integers, Metric, log_softmax
from limbeck.measure.scoring import registered
from limbeck.registry import register

__all__ = [
    "MaskedAccuracy",
    "MaskedAgreement",
    "MaskedCrossEntropy",
    "MaskedPerplexity",
    "MaskedWordScoring",
    "answers",
]

_unknown = -100


def answers(logits: Floats, target: Integers) -> Floats:
    """What logits over a vocabulary say of hidden words, in two numbers for each word.

    Args:
        logits: ``[K, V]``, of K hidden words.
        target: ``[K]``, which these are.

    Returns:
        ``[K, 2]``: log p of the word, in nats, and the number of the likeliest entry.

    >>> answers(np.array([[0.0, 0.0, math.log(2)]]), np.array([0])).round(3).tolist()
    [[-1.386, 2.0]]
    """
    likely = np.take_along_axis(log_softmax(logits), target[:, None], axis=1)
    return np.concatenate([likely, logits.argmax(axis=1)[:, None]], axis=1)


class MaskedWordScoring:
    """Answers ``[N, M, 2]``, as `answers` gives them for up to M words of each row, and targets ``[N, M]``.

    A target is the number of a word, −100 where a row has fewer words.
    """

    metrics: ClassVar = ("masked_accuracy", "masked_cross_entropy", "masked_perplexity", "masked_agreement")
    loss: ClassVar = "cross_entropy"
    exclusive: ClassVar = True

    def metric(self, name: str) -> Metric:
        return registered(name)

    def check(self, target: NDArray[Any], shape: tuple[int, ...]) -> None:
        """Refuse targets without a word, or of other words than the answers.

        Raises:
            ArgumentError: which says what was expected.
        """
        if shape != (*target.shape, 2) or target.ndim != 2:
            raise ArgumentError(
                f"evaluate: targets of shape {target.shape} and answers of shape {shape}; expected [N, M] and [N, M, 2]"
            )
        if not (target != _unknown).any():
            raise ArgumentError("evaluate: no word is hidden in any row; give longer texts")

    def probabilities(self, logits: Floats) -> Floats:
        """The probability of each hidden word, ``[N, M, 1]``."""
        return np.asarray(np.exp(logits[..., :1]), np.float64)

    def reliability(self, logits: Floats, target: Integers) -> tuple[Bin, ...]:
        return ()

    def confusion(self, logits: Floats, target: Integers) -> tuple[tuple[int, ...], ...]:
        return ()


class _MeanOfWords:
    """What the metrics share that are a mean over all hidden words, whatever rows these stand in; 0 without any."""

    higher_is_better: ClassVar[bool] = True
    needs_teacher: ClassVar[bool] = False
    bounds: ClassVar[tuple[float, float]] = (0.0, 1.0)
    points: ClassVar[bool] = True

    def value(self, means: Floats) -> Floats:
        found, words = means[..., 0], means[..., 1]
        return np.asarray(np.divide(found, words, out=np.zeros_like(found), where=words > 0), np.float64)


def _sums(words: NDArray[Any], target: Integers) -> Floats:
    """The sum over the hidden words of each row, and their number: ``[N, 2]``."""
    asked = target != _unknown
    return np.stack([np.where(asked, words, 0).sum(axis=1), asked.sum(axis=1)], axis=1).astype(np.float64)


@register("metric", "masked_accuracy")
class MaskedAccuracy(_MeanOfWords):
    """Share of hidden words that are the likeliest entry.

    >>> said, target = np.array([[[-1.0, 7], [-2.0, 3], [0.0, 0]]]), np.array([[7, 4, -100]])
    >>> MaskedAccuracy().value(MaskedAccuracy().rows(said, target, None)).tolist()
    [0.5]
    """

    def rows(self, logits: Floats, target: Integers, teacher: Floats | None) -> Floats:
        return _sums(logits[..., 1] == target, target)


@register("metric", "masked_cross_entropy")
class MaskedCrossEntropy(_MeanOfWords):
    """Mean of ``−log p`` of hidden words, in nats."""

    higher_is_better: ClassVar[bool] = False
    bounds: ClassVar[tuple[float, float]] = (0.0, math.inf)
    points: ClassVar[bool] = False

    def rows(self, logits: Floats, target: Integers, teacher: Floats | None) -> Floats:
        return _sums(-logits[..., 0], target)


@register("metric", "masked_perplexity")
class MaskedPerplexity(MaskedCrossEntropy):
    """e to the cross-entropy of hidden words: that of so many words that are all as likely.

    >>> float(MaskedPerplexity().value(np.array([math.log(8), 1.0])).round(6))
    8.0
    """

    bounds: ClassVar[tuple[float, float]] = (1.0, math.inf)

    def value(self, means: Floats) -> Floats:
        return np.asarray(np.exp(super().value(means)), np.float64)


@register("metric", "masked_agreement")
class MaskedAgreement(_MeanOfWords):
    """Share of hidden words for which the likeliest entry is the teacher's."""

    needs_teacher: ClassVar[bool] = True

    def rows(self, logits: Floats, target: Integers, teacher: Floats | None) -> Floats:
        known = present(teacher, "masked_agreement")
        return _sums(logits[..., 1] == known[..., 1], target)
