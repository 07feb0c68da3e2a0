"""How outputs are judged where a row has any number of classes, or none."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from limbeck.errors import ArgumentError
from limbeck.measure.calibration import Bin, reliability
from limbeck.measure.metrics import Floats, Integers, Metric, sigmoid
from limbeck.measure.scoring import registered

__all__ = ["MULTI_LABEL_METRICS", "MultiLabel"]

MULTI_LABEL_METRICS = (
    "micro_f1",
    "macro_f1",
    "subset_accuracy",
    "negative_log_likelihood",
    "expected_calibration_error",
    "teacher_agreement",
    "teacher_kl",
)


class MultiLabel:
    """Logits ``[N, C]``, each a yes or no of its own, called where its probability is above ½; targets ``[N, C]``.

    The micro-F1 decides: over all rows and classes it has the narrowest intervals, and unlike the share of right
    answers it does not rise where everything is denied. Few rows of a class can throw the macro-F1 about.

    >>> MultiLabel().probabilities(np.zeros((1, 2))).tolist()
    [[0.5, 0.5]]
    """

    metrics: ClassVar = MULTI_LABEL_METRICS
    loss: ClassVar = "binary_cross_entropy"
    exclusive: ClassVar = False

    def metric(self, name: str) -> Metric:
        return registered(name)

    def check(self, target: NDArray[Any], shape: tuple[int, ...]) -> None:
        """Refuse targets that do not say 0 or 1 for each logit.

        Raises:
            ArgumentError: if the shapes differ, or there is another number.
        """
        if target.shape != shape or len(shape) != 2:
            raise ArgumentError(
                f"evaluate: target of shape {target.shape} for logits of shape {shape}; expected a 0 or 1 for each "
                "class of each row, [N, C] both"
            )
        wrong = np.flatnonzero(((target != 0) & (target != 1)).any(axis=1))
        if len(wrong):
            raise ArgumentError(
                f"evaluate: target {target[wrong[0]].tolist()} in row {wrong[0]}; expected 0 or 1 for each class; "
                "leave out rows whose classes are not known"
            )

    def probabilities(self, logits: Floats) -> Floats:
        return sigmoid(logits)

    def reliability(self, logits: Floats, target: Integers) -> tuple[Bin, ...]:
        return reliability(logits, target)

    def confusion(self, logits: Floats, target: Integers) -> tuple[tuple[int, ...], ...]:
        return ()
