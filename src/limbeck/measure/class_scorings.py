"""How classifiers are evaluated whose rows have one class, or any number of classes."""

from __future__ import annotations

import numpy as np

from limbeck.errors import ArgumentError
from limbeck.measure.activations import log_softmax, sigmoid
from limbeck.measure.calibration import ExpectedCalibrationError, Reliability
from limbeck.measure.classification import (
    Accuracy,
    BrierScore,
    MacroF1,
    MicroF1,
    NegativeLogLikelihood,
    SubsetAccuracy,
    Top5Accuracy,
)
from limbeck.measure.fidelity import TeacherAgreement, TeacherKL
from limbeck.measure.metric import Floats, Labels, Metric, Outputs
from limbeck.measure.ranking import AUROC
from limbeck.measure.scoring import ClassScoring
from limbeck.measure.tables import Confusion

__all__ = ["check_class_numbers", "multi_label_scoring", "single_label_metrics", "single_label_scoring", "softmax"]


def single_label_metrics(classes: int) -> tuple[Metric[Floats], ...]:
    """The metrics of rows of one class. The top-5 accuracy is left out where it is always 1."""
    return (
        Accuracy(),
        *([Top5Accuracy()] if classes > 5 else []),
        MacroF1(),
        NegativeLogLikelihood(),
        BrierScore(),
        ExpectedCalibrationError(),
        TeacherAgreement(),
        TeacherKL(),
    )


def softmax(outputs: Outputs) -> Floats:
    """The probabilities of classes that exclude one another, from ``logits``, ``[…, C]``."""
    return np.asarray(np.exp(log_softmax(outputs["logits"])), np.float64)


def _sigmoid(outputs: Outputs) -> Floats:
    return sigmoid(outputs["logits"])


def single_label_scoring(classes: int) -> ClassScoring:
    """The scoring of logits ``[N, C]``, of which the largest is the prediction, and targets ``[N]`` in 0..C-1.

    >>> [metric.name for metric in single_label_scoring(3).metrics][:3]
    ['accuracy', 'macro_f1', 'negative_log_likelihood']
    """
    return ClassScoring(
        hard={"hard": {"loss": "cross_entropy"}},
        metrics=single_label_metrics(classes),
        tables={"reliability": Reliability(), "confusion": Confusion(classes)},
        check=_check_single_label,
        label_kind="single_label",
        probabilities=softmax,
    )


def multi_label_scoring() -> ClassScoring:
    """The scoring of logits ``[N, C]``, each a binary decision at probability ½, and targets ``[N, C]`` of 0 and 1.

    The micro-F1 decides: counted over all rows and classes it has the narrowest intervals, and unlike the share of
    right decisions it does not rise when no class is predicted. The macro-F1 depends on the few rows of rare classes.
    """
    return ClassScoring(
        hard={"hard": {"loss": "binary_cross_entropy"}},
        metrics=(
            MicroF1(),
            MacroF1(),
            SubsetAccuracy(),
            NegativeLogLikelihood(),
            ExpectedCalibrationError(),
            AUROC(),
            TeacherAgreement(),
            TeacherKL(),
        ),
        tables={"reliability": Reliability(), "confusion": None},
        check=_check_multi_label,
        label_kind="multi_label",
        probabilities=_sigmoid,
    )


def _check_single_label(outputs: Outputs, labels: Labels) -> None:
    logits, target = outputs["logits"], labels["target"]
    if target.ndim != 1 or logits.ndim != 2 or target.dtype.kind not in "iu":
        raise ArgumentError(
            f"evaluate: target of shape {target.shape} and type {target.dtype} for logits of shape {logits.shape}; "
            "expected one class number for each row, [N] of integers, and logits [N, C]",
            code="wrong_shape",
            path="target",
        )
    check_class_numbers(target, logits.shape[-1])


def check_class_numbers(target: Floats, classes: int) -> None:
    """Refuse class numbers that are out of range.

    Raises:
        ArgumentError: with the smallest and the largest of them.
    """
    if len(target) and (target.min() < 0 or target.max() >= classes):
        raise ArgumentError(
            f"evaluate: targets from {target.min()} to {target.max()} for logits of {classes} classes; expected "
            f"0 to {classes - 1}; leave out rows without a known class",
            path="target",
        )


def _check_multi_label(outputs: Outputs, labels: Labels) -> None:
    logits, target = outputs["logits"], labels["target"]
    if target.shape != logits.shape or logits.ndim != 2:
        raise ArgumentError(
            f"evaluate: target of shape {target.shape} for logits of shape {logits.shape}; expected a 0 or 1 for each "
            "class of each row, [N, C] both",
            code="wrong_shape",
            path="target",
        )
    wrong = np.flatnonzero(((target != 0) & (target != 1)).any(axis=1))
    if len(wrong):
        raise ArgumentError(
            f"evaluate: target {target[wrong[0]].tolist()} in row {wrong[0]}; expected 0 or 1 for each class; "
            "leave out rows whose classes are not known",
            path="target",
        )
