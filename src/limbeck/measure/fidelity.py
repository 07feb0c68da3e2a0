"""How close a classifier is to its teacher."""

from __future__ import annotations

import math

import numpy as np

from limbeck.measure.activations import log_softmax, sigmoid, softplus
from limbeck.measure.classification import is_multi_label, logits_and_target
from limbeck.measure.metric import Floats, Labels, Outputs, RowMean, reference_of
from limbeck.registry import register

__all__ = ["TeacherAgreement", "TeacherKL"]


def _binary_kl(teacher: Floats, logits: Floats) -> Floats:
    """The part of a binary divergence that comes from one of the two outcomes: `t · (log t − log p)`."""
    return np.asarray(sigmoid(teacher) * (softplus(-logits) - softplus(-teacher)), np.float64)


@register("metric", "teacher_agreement")
class TeacherAgreement(RowMean):
    """Share of rows for which the model and the teacher predict the same class, right or wrong.

    For multi-label rows: the share of decisions, one for each row and class, that are the same.

    Paper: S. Stanton, P. Izmailov, P. Kirichenko, A. A. Alemi, A. G. Wilson (2021), Does knowledge distillation really
    work?, arXiv:2106.05945.
    """

    title = "agreement with the teacher"
    is_share = True
    bounds = (0.0, 1.0)
    needs_reference = True

    def statistics(self, outputs: Outputs, labels: Labels, reference: Outputs | None) -> Floats:
        logits, target = logits_and_target(outputs, labels)
        teacher = reference_of(reference, "teacher_agreement")["logits"]
        if is_multi_label(logits, target):
            return np.asarray(((logits > 0) == (teacher > 0)).mean(axis=1, keepdims=True), np.float64)
        return np.asarray((logits.argmax(axis=1) == teacher.argmax(axis=1))[:, None], np.float64)


@register("metric", "teacher_kl")
class TeacherKL(RowMean):
    """Mean of `KL(teacher ‖ model) = Σ_c t_c · (log t_c − log p_c)` at temperature 1, in nats.

    For multi-label rows: the sum of the divergences of the binary decisions of a row, as in `binary_kd`.

    >>> outputs, labels = {"logits": np.zeros((1, 2))}, {"target": np.array([0])}
    >>> TeacherKL().statistics(outputs, labels, outputs).item()
    0.0
    """

    title = "KL divergence to the teacher"
    unit = "nats"
    higher_is_better = False
    bounds = (0.0, math.inf)
    needs_reference = True

    def statistics(self, outputs: Outputs, labels: Labels, reference: Outputs | None) -> Floats:
        logits, target = logits_and_target(outputs, labels)
        teacher = reference_of(reference, "teacher_kl")["logits"]
        if is_multi_label(logits, target):
            divergence = _binary_kl(teacher, logits) + _binary_kl(-teacher, -logits)
        else:
            log_teacher = log_softmax(teacher)
            divergence = np.exp(log_teacher) * (log_teacher - log_softmax(logits))
        return np.asarray(divergence.sum(axis=1, keepdims=True), np.float64)
