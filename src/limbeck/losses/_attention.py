"""Attention projections split into heads, and comparisons of their scores and maps."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from limbeck.errors import ArgumentError
from limbeck.losses._blocks import row_slice, values_over_blocks
from limbeck.losses._checks import shape
from limbeck.losses._kl_divergence import kl_of_log_probs
from limbeck.losses.precision import at_least_float32

__all__ = [
    "Heads",
    "admitted_tokens",
    "check_heads",
    "compare_in_blocks",
    "map_divergence",
    "require_heads",
    "split_heads",
    "token_counts",
]


def check_heads(operation: str, name: str, heads: int | None) -> None:
    """Reject a number of heads below 1; None stands for a number that a recipe takes from the model."""
    if heads is not None and heads < 1:
        raise ArgumentError(f"{operation}: {name} is {heads}, expected at least 1", path=name)


class Heads(NamedTuple):
    """Queries and keys, both `[B, H, T, d]`, and 0 for padding."""

    query: Tensor
    key: Tensor

    def scores(self, start: int, stop: int) -> Tensor:
        products = row_slice(self.query, start, stop) @ row_slice(self.key, start, stop).mT
        return products.mul_(self.query.shape[3] ** -0.5)


def split_heads(
    operation: str,
    student: tuple[Tensor, ...],
    teacher: tuple[Tensor, ...],
    attention_mask: Tensor | None,
    student_heads: int,
    teacher_heads: int,
) -> tuple[Heads, Heads, Tensor | None]:
    """The heads of student and teacher, and the mask as booleans.

    Args:
        operation: the loss, for errors.
        student: queries and keys, `[B, T, D]`.
        teacher: queries and keys, `[B, T, D']`.
        attention_mask: `[B, T]`, boolean, or integers that are 0 for padding; None if no token is padding.
        student_heads: the number of heads of the student.
        teacher_heads: the number of heads of the teacher.

    Raises:
        ArgumentError: if shapes, data types or numbers of heads do not fit.
    """
    for side, projections, heads in (("student", student, student_heads), ("teacher", teacher, teacher_heads)):
        check_heads(operation, f"the number of the {side}'s heads", heads)
        _check_projections(operation, side, projections, student[0], heads)
    rows, mask = student[0].shape[:2], None
    if attention_mask is None:
        pass
    elif attention_mask.shape != rows or attention_mask.is_floating_point():
        raise ArgumentError(
            f"{operation}: attention_mask is {attention_mask.dtype} of shape {shape(attention_mask)}, expected "
            f"booleans or integers of shape {list(rows)}, false or 0 for padding; read batch.inputs.attention_mask",
            code="wrong_shape",
            path="attention_mask",
        )
    else:
        mask = attention_mask != 0
    return (
        _split_queries_and_keys(student, student_heads, mask),
        _split_queries_and_keys(teacher, teacher_heads, mask),
        mask,
    )


def _check_projections(operation: str, side: str, projections: tuple[Tensor, ...], like: Tensor, heads: int) -> None:
    for projection in projections:
        if (
            projection.ndim != 3
            or projection.shape[:2] != like.shape[:2]
            or projection.shape != projections[0].shape
            or not projection.is_floating_point()
        ):
            raise ArgumentError(
                f"{operation}: the {side} has {projection.dtype} of shape {shape(projection)}, expected floating "
                f"projections [B, T, D] with B and T of {shape(like)}, and one D for queries and keys; tap the linear "
                f"layers of an attention without grouped queries",
                code="wrong_shape",
                path=side,
            )
        if projection.shape[2] % heads:
            raise ArgumentError(
                f"{operation}: the {side}'s {projection.shape[2]} features do not divide by {heads} heads, expected a "
                f"multiple (its shape is {shape(projection)}); give the number in the model's configuration, or "
                f"relation heads that divide both widths",
                code="wrong_shape",
                path=side,
            )


def _split_queries_and_keys(projections: tuple[Tensor, ...], heads: int, mask: Tensor | None) -> Heads:
    query, key = (_split(projection, heads, mask) for projection in projections)
    return Heads(query, key)


def _split(projection: Tensor, heads: int, mask: Tensor | None) -> Tensor:
    projection = at_least_float32(projection)
    if mask is not None:
        projection = projection.masked_fill(~mask[:, :, None], 0)
    return projection.view(*projection.shape[:2], heads, -1).transpose(1, 2)


def compare_in_blocks(
    of_samples: Callable[[Tensor, Tensor, Tensor | None], Tensor],
    student: Heads,
    teacher: Heads,
    mask: Tensor | None,
) -> Tensor:
    """Values of all samples, `[B]`, computed in blocks of samples from scores `[b, H, T, T]` and the mask `[b, T]`."""
    rows, heads, tokens = student.query.shape[:3]
    more_heads = max(heads, teacher.query.shape[1])

    def of_rows(start: int, stop: int) -> Tensor:
        tokens = None if mask is None else mask[start:stop]
        return of_samples(student.scores(start, stop), teacher.scores(start, stop), tokens)

    return values_over_blocks(of_rows, rows, more_heads * tokens**2)


def map_divergence(student: Tensor, teacher: Tensor, mask: Tensor | None) -> Tensor:
    """Mean KL divergence of the student's attention maps from the teacher's, `[B]`, of scores `[B, H, T, T]`."""
    padding = None if mask is None else ~mask[:, None, None, :]
    log_q, log_p = (_log_map(scores, padding) for scores in (student, teacher))
    if student.shape[1] != teacher.shape[1]:
        log_q, log_p = (
            log_map.logsumexp(dim=1, keepdim=True) - math.log(log_map.shape[1]) for log_map in (log_q, log_p)
        )
    # Queries of padding are 0, so both models have uniform maps for them.
    sums = kl_of_log_probs(log_p, log_q).sum(dim=(1, 2))
    return sums / (log_q.shape[1] * token_counts(mask, log_q))


def _log_map(scores: Tensor, padding: Tensor | None) -> Tensor:
    if padding is not None:
        # Not −∞: the softmax of a row that is all padding would be NaN.
        scores = scores.masked_fill_(padding, torch.finfo(scores.dtype).min)
    return F.log_softmax(scores, dim=-1)


def token_counts(mask: Tensor | None, maps: Tensor) -> Tensor | int:
    """The number of tokens of each sample, at least 1."""
    if mask is None:
        return max(maps.shape[-1], 1)
    return mask.sum(dim=1, dtype=maps.dtype).clamp(min=1)


def require_heads(operation: str, name: str, heads: int | None) -> int:
    """The number of heads, or an error if it is not known."""
    if heads is None:
        raise ArgumentError(
            f"{operation}: {name} is None; give the number, which only a recipe takes from the model",
            code="missing",
            path=name,
        )
    return heads


def admitted_tokens(samples: Sequence[Mapping[str, Any]], masks: Sequence[Tensor | None] | None) -> list[Tensor | None]:
    """Which tokens count: those of the rows in the masks, without padding."""
    admitted = []
    for sample, rows in zip(samples, masks or [None] * len(samples), strict=True):
        padded = sample.get("attention_mask")
        tokens = None if padded is None else padded != 0
        admitted.append(rows if tokens is None else tokens if rows is None else tokens & rows[:, None])
    return admitted
