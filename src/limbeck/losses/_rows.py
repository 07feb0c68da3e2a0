"""Rows of losses over a whole batch: as vectors, and which of them count."""

from __future__ import annotations

import torch
from torch import Tensor

from limbeck.errors import ArgumentError
from limbeck.losses._checks import shape
from limbeck.losses.precision import at_least_float32

__all__ = ["as_vectors", "count_admitted", "row_mask"]


def row_mask(operation: str, student: Tensor, mask: Tensor | None) -> Tensor:
    """Which of the N rows of `[*, C]` count, bool `[N]`: all, or those of a mask `[*]` or of its leading axes.

    Raises:
        ArgumentError: if the mask does not fit, or is not bool.
    """
    rows = student.shape[:-1]
    if mask is None:
        return torch.ones(rows.numel(), dtype=torch.bool, device=student.device)
    if mask.dtype != torch.bool or mask.shape != rows[: mask.ndim]:
        raise ArgumentError(
            f"{operation}: mask is {mask.dtype} of shape {shape(mask)} and student has shape {shape(student)}, "
            f"expected torch.bool of shape {list(rows)} or of its leading axes",
            code="wrong_shape",
            path="mask",
        )
    return mask.reshape(mask.shape + (1,) * (len(rows) - mask.ndim)).expand(rows).reshape(-1)


def as_vectors(operation: str, student: Tensor, teacher: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor]:
    """Student and teacher as `[B, D]` in at least float32, with masked rows set to 0.

    Raises:
        ArgumentError: if they are not floating tensors with the same rows, or the mask is not boolean `[B]`.
    """
    if student.ndim < 2 or teacher.ndim < 2 or len(student) != len(teacher):
        raise ArgumentError(
            f"{operation}: student has shape {shape(student)} and teacher {shape(teacher)}, expected [B, …] with at "
            f"least two axes and the same B for both; give both the same rows",
            code="wrong_shape",
            path="student",
        )
    if not (student.is_floating_point() and teacher.is_floating_point()):
        raise ArgumentError(
            f"{operation}: student is {student.dtype} and teacher {teacher.dtype}, expected floating features for "
            f"both; cast them by .float()",
            code="wrong_type",
            path="student",
        )
    if mask is not None and (mask.shape != student.shape[:1] or mask.dtype != torch.bool):
        raise ArgumentError(
            f"{operation}: the mask is {mask.dtype} of shape {shape(mask)}, expected torch.bool of shape "
            f"[{len(student)}], one value for each row",
            code="wrong_shape",
            path="mask",
        )
    return _admitted(student, mask), _admitted(teacher, mask)


def _admitted(features: Tensor, mask: Tensor | None) -> Tensor:
    rows = at_least_float32(features).flatten(1)
    return rows if mask is None else rows.masked_fill(~mask[:, None], 0)


def count_admitted(mask: Tensor | None, like: Tensor) -> Tensor | float:
    """The number of true entries of a mask, 0-d, in the dtype of `like`; by default the rows of `like`. At least 1."""
    if mask is None:
        return float(max(len(like), 1))
    return mask.sum(dtype=like.dtype).clamp(min=1)
