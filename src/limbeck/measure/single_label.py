"""How outputs are judged where every row is of exactly one class."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from limbeck.errors import ArgumentError
from limbeck.measure.calibration import Bin, reliability
from limbeck.measure.metrics import Floats, Integers, Metric, log_softmax
from limbeck.measure.scoring import registered

__all__ = ["CLASSIFICATION_METRICS", "SingleLabel"]

CLASSIFICATION_METRICS = (
    "accuracy",
    "top5_accuracy",
    "macro_f1",
    "negative_log_likelihood",
    "brier_score",
    "expected_calibration_error",
    "teacher_agreement",
    "teacher_kl",
)


class SingleLabel:
    """Logits ``[N, C]``, of which the greatest is called, and targets ``[N]`` in 0..C-1.

    >>> SingleLabel().probabilities(np.zeros((1, 2))).tolist()
    [[0.5, 0.5]]
    """

    metrics: ClassVar = CLASSIFICATION_METRICS
    loss: ClassVar = "cross_entropy"
    exclusive: ClassVar = True

    def metric(self, name: str) -> Metric:
        return registered(name)

    def check(self, target: NDArray[Any], shape: tuple[int, ...]) -> None:
        """Refuse targets that are no class numbers.

        Raises:
            ArgumentError: if they are not one integer for each row, or out of range.
        """
        if target.ndim != 1 or len(shape) != 2:
            raise ArgumentError(
                f"evaluate: target of shape {target.shape} for logits of shape {shape}; expected one class number for "
                "each row, [N], and logits [N, C]"
            )
        classes = shape[-1]
        if target.min() < 0 or target.max() >= classes:
            raise ArgumentError(
                f"evaluate: targets from {target.min()} to {target.max()} for logits of {classes} classes; expected "
                f"0 to {classes - 1}; leave out rows without a known class"
            )

    def probabilities(self, logits: Floats) -> Floats:
        return np.asarray(np.exp(log_softmax(logits)), np.float64)

    def reliability(self, logits: Floats, target: Integers) -> tuple[Bin, ...]:
        return reliability(logits, target)

    def confusion(self, logits: Floats, target: Integers) -> tuple[tuple[int, ...], ...]:
        classes = logits.shape[1]
        counts = np.bincount(target * classes + logits.argmax(axis=1), minlength=classes**2).reshape(classes, classes)
        return tuple(tuple(map(int, row)) for row in counts)
