"""How close a classifier is to its teacher."""

from __future__ import annotations

import math
from typing import ClassVar

import numpy as np

from limbeck.errors import ArgumentError
from limbeck.measure.metrics import Floats, Integers, MeanOfRows, log_softmax, sigmoid, softplus
from limbeck.registry import register

__all__ = ["TeacherAgreement", "TeacherKL", "present"]


def present(teacher: Floats | None, name: str) -> Floats:
    """The teacher's outputs, which a metric of this name needs.

    Raises:
        ArgumentError: if there are none.
    """
    if teacher is None:
        raise ArgumentError(f"{name}: no teacher's logits; give them, or leave the metric out")
    return teacher


def _binary_kl(teacher: Floats, logits: Floats) -> Floats:
    """The part of a divergence that "yes" adds: `t · (log t − log p)`."""
    return np.asarray(sigmoid(teacher) * (softplus(-logits) - softplus(-teacher)), np.float64)


@register("metric", "teacher_agreement")
class TeacherAgreement(MeanOfRows):
    """Share of rows for which model and teacher call the same class, right or wrong.

    Where rows have several classes: share of the answers, one for each row and class, that are the same.

    Paper: S. Stanton, P. Izmailov, P. Kirichenko, A. A. Alemi, A. G. Wilson (2021), Does knowledge distillation really
    work?, arXiv:2106.05945.
    """

    needs_teacher: ClassVar[bool] = True

    def rows(self, logits: Floats, target: Integers, teacher: Floats | None) -> Floats:
        known = present(teacher, "teacher_agreement")
        if target.ndim == logits.ndim:
            return np.asarray(((logits > 0) == (known > 0)).mean(axis=1, keepdims=True), np.float64)
        return np.asarray((logits.argmax(axis=1) == known.argmax(axis=1))[:, None], np.float64)


@register("metric", "teacher_kl")
class TeacherKL(MeanOfRows):
    """Mean of `KL(teacher ‖ model) = Σ_c t_c · (log t_c − log p_c)` at temperature 1, in nats.

    Where rows have several classes: the sum of this over a yes or no for each class, as in `binary_kd`.

    >>> TeacherKL().rows(np.zeros((1, 2)), np.array([0]), np.zeros((1, 2))).item()
    0.0
    """

    higher_is_better: ClassVar[bool] = False
    needs_teacher: ClassVar[bool] = True
    bounds: ClassVar[tuple[float, float]] = (0.0, math.inf)
    points: ClassVar[bool] = False

    def rows(self, logits: Floats, target: Integers, teacher: Floats | None) -> Floats:
        given = present(teacher, "teacher_kl")
        if target.ndim == logits.ndim:
            both = _binary_kl(given, logits) + _binary_kl(-given, -logits)
            return np.asarray(both.sum(axis=1, keepdims=True), np.float64)
        known = log_softmax(given)
        divergence = np.exp(known) * (known - log_softmax(logits))
        return np.asarray(divergence.sum(axis=1, keepdims=True), np.float64)
