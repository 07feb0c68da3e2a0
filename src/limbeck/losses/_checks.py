"""Checks that losses share: settings in range and shapes that fit."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from limbeck.errors import ArgumentError

__all__ = [
    "check_at_least_0",
    "check_label_smoothing",
    "check_same_logits",
    "check_target",
    "check_temperature",
    "shape",
]


def check_temperature(operation: str, temperature: float | Tensor, rows: torch.Size | None = None) -> None:
    """Reject a temperature that is neither a finite number above 0 nor a 0-d floating tensor.

    With ``rows``, the shape of the rows, a tensor of this shape with one value per row passes too. The values of a
    tensor are not checked: that would synchronize with the device, and break the graph under compile.
    """
    if isinstance(temperature, Tensor):
        if temperature.shape not in ((), rows) or not temperature.is_floating_point():
            each = "" if rows is None else f", or {list(rows)} with one for each row"
            raise ArgumentError(
                f"{operation}: temperature is {temperature.dtype} of shape {shape(temperature)}, expected one floating "
                f"number: a float, or a tensor without axes{each}",
                code="wrong_shape",
                path="temperature",
            )
    elif not 0.0 < temperature < math.inf:
        raise ArgumentError(
            f"{operation}: temperature is {temperature}, expected a finite number above 0; "
            f"1.0 leaves the logits as they are",
            path="temperature",
        )


def check_at_least_0(operation: str, name: str, value: float) -> None:
    """Reject a weight or a margin that is not a finite number of at least 0."""
    if not 0.0 <= value < math.inf:
        raise ArgumentError(f"{operation}: {name} is {value}, expected a finite number of at least 0", path=name)


def check_label_smoothing(operation: str, label_smoothing: float) -> None:
    """Reject a label smoothing outside [0, 1)."""
    if not 0.0 <= label_smoothing < 1.0:
        raise ArgumentError(
            f"{operation}: label_smoothing is {label_smoothing}, expected at least 0 and below 1; 0 means no smoothing",
            path="label_smoothing",
        )


def check_same_logits(operation: str, student: Tensor, teacher: Tensor) -> None:
    """Reject logits that are not two floating tensors of one shape `[*, C]`."""
    if student.shape != teacher.shape or student.ndim == 0:
        raise ArgumentError(
            f"{operation}: student has shape {shape(student)} and teacher {shape(teacher)}, expected one shape [*, C] "
            f"for both; give both the same rows and models with the same classes",
            code="wrong_shape",
            path="student",
        )
    if not (student.is_floating_point() and teacher.is_floating_point()):
        raise ArgumentError(
            f"{operation}: student is {student.dtype} and teacher {teacher.dtype}, expected floating logits for both; "
            f"class numbers belong in the target of cross_entropy",
            code="wrong_type",
            path="student",
        )


def check_target(operation: str, student: Tensor, target: Tensor) -> None:
    """Reject logits `[*, C]` and class numbers `[*]` that do not fit."""
    if student.ndim == 0 or student.shape[:-1] != target.shape:
        raise ArgumentError(
            f"{operation}: student has shape {shape(student)} and target {shape(target)}, expected [*, C] and [*]; "
            f"put the classes on the last axis of the logits and give one class number for each row",
            code="wrong_shape",
            path="target",
        )
    if target.dtype != torch.int64 or not student.is_floating_point():
        raise ArgumentError(
            f"{operation}: student is {student.dtype} and target {target.dtype}, expected floating logits and int64 "
            f"class numbers; for probabilities as target use soft_cross_entropy with their logarithms",
            code="wrong_type",
            path="target",
        )


def shape(tensor: Tensor) -> str:
    """The shape as printed in error messages."""
    return str(list(tensor.shape))
