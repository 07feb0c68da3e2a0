"""Helpers of losses between intermediate features: checks, resizing, pooling and means."""

from __future__ import annotations

import math

import torch.nn.functional as F
from torch import Tensor

from limbeck.errors import ArgumentError
from limbeck.losses._checks import shape

__all__ = [
    "broadcast_channels",
    "check_features",
    "check_kinds",
    "check_maps",
    "mean_over_features",
    "pool_to_smaller",
    "propagate_nan",
    "resize_to_teacher",
]


def check_features(operation: str, student: Tensor, teacher: Tensor) -> None:
    """Reject features that are not two floating tensors of one kind with equal rows, positions and channels."""
    compared = 2 if student.ndim == 4 else student.ndim
    if (
        student.ndim not in (2, 3, 4)
        or student.ndim != teacher.ndim
        or student.shape[:compared] != teacher.shape[:compared]
    ):
        raise ArgumentError(
            f"{operation}: student has shape {shape(student)} and teacher {shape(teacher)}, expected [B, D], [B, T, D] "
            f"or [B, C, H, W] for both with equal B, T, D and C; project the student's channels first, as the "
            f"module in limbeck.losses does",
            code="wrong_shape",
            path="student",
        )
    _check_floating(operation, student, teacher)


def check_kinds(operation: str, student: Tensor, teacher: Tensor) -> None:
    """Reject features that are not two floating tensors of one kind with equal rows; channels may differ."""
    if student.ndim not in (2, 3, 4) or student.ndim != teacher.ndim or len(student) != len(teacher):
        raise ArgumentError(
            f"{operation}: student has shape {shape(student)} and teacher {shape(teacher)}, expected [B, D], [B, T, D] "
            f"or [B, C, H, W] for both with equal B; read taps of one kind",
            code="wrong_shape",
            path="student",
        )
    _check_floating(operation, student, teacher)


def check_maps(operation: str, student: Tensor, teacher: Tensor, *, channels: bool = False) -> None:
    """Reject features that are not two floating maps with equal rows and, with ``channels``, equal channels."""
    compared = 2 if channels else 1
    if student.ndim != 4 or teacher.ndim != 4 or student.shape[:compared] != teacher.shape[:compared]:
        raise ArgumentError(
            f"{operation}: student has shape {shape(student)} and teacher {shape(teacher)}, expected maps "
            f"[B, C, H, W] for both with equal {'B and C' if channels else 'B'}; read taps before the pooling",
            code="wrong_shape",
            path="student",
        )
    _check_floating(operation, student, teacher)


def _check_floating(operation: str, student: Tensor, teacher: Tensor) -> None:
    if not (student.is_floating_point() and teacher.is_floating_point()):
        raise ArgumentError(
            f"{operation}: student is {student.dtype} and teacher {teacher.dtype}, expected floating features for "
            f"both; cast them by .float()",
            code="wrong_type",
            path="student",
        )


def resize_to_teacher(student: Tensor, teacher: Tensor) -> Tensor:
    """The student's maps in the teacher's height and width: bilinear, pixel centres aligned, no antialiasing."""
    if student.ndim != 4 or student.shape[2:] == teacher.shape[2:]:
        return student
    return F.interpolate(student, size=teacher.shape[2:], mode="bilinear", align_corners=False)


def pool_to_smaller(student: Tensor, teacher: Tensor) -> tuple[Tensor, Tensor]:
    """Both maps pooled to the smaller height and the smaller width of the two, by adaptive average pooling."""
    size = (min(student.shape[2], teacher.shape[2]), min(student.shape[3], teacher.shape[3]))
    return _pooled(student, size), _pooled(teacher, size)


def _pooled(maps: Tensor, size: tuple[int, int]) -> Tensor:
    return maps if maps.shape[2:] == size else F.adaptive_avg_pool2d(maps, size)


def mean_over_features(values: Tensor) -> Tensor:
    """The mean over D of `[B, D]` and `[B, T, D]`, and over C, H and W of `[B, C, H, W]`."""
    return values.mean(dim=(1, 2, 3) if values.ndim == 4 else -1)


def propagate_nan(values: Tensor, teacher: Tensor) -> Tensor:
    """The values, with NaN where the teacher's features contain NaN, which a comparison would hide."""
    return values.masked_fill(teacher.amax(dim=(1, 2, 3) if teacher.ndim == 4 else -1).isnan(), math.nan)


def broadcast_channels(values: Tensor, features: Tensor) -> Tensor:
    """Values of the channels, `[C]`, in a shape that broadcasts over these features."""
    return values[:, None, None] if features.ndim == 4 else values
