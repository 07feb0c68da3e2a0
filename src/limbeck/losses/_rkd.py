"""Relational knowledge distillation: losses between distances and angles of the rows of a batch."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from limbeck.losses._blocks import row_slice, sum_over_blocks
from limbeck.losses._rows import as_vectors, count_admitted
from limbeck.registry import register

__all__ = ["RKDAngle", "RKDDistance", "rkd_angle", "rkd_distance"]

# Added to a mean distance to avoid a division by 0; it changes no other value.
_TINY = 1e-30
# The largest number of features for which PyTorch's gradient of pdist is the faster one.
_SHORT_ROW = 128


def rkd_distance(student: Tensor, teacher: Tensor, mask: Tensor | None = None) -> Tensor:
    """Huber loss between the rows' distances in units of their mean, averaged over the pairs.

    mean over pairs i ≠ j of ℓ(ψ(s_i, s_j), ψ(t_i, t_j)), with ψ(a_i, a_j) = ‖a_i − a_j‖ / μ, μ the mean of ‖a_i − a_j‖
    over the same pairs, and ℓ(x, y) = (x − y)² / 2 where |x − y| ≤ 1, else |x − y| − 1/2. The paper sums over the
    pairs; this function and published code take the mean. Pairs are of distinct rows, as in the paper. If all rows are
    equal, ψ is 0; where two rows are equal, their distance has a gradient of 0.

    Args:
        student: features `[B, …]`, flattened to vectors; float16 and bfloat16 inputs are computed in float32.
        teacher: features `[B, …]` of any size.
        mask: boolean `[B]`, the rows whose pairs count; all if None.

    Returns:
        One number, 0-d, in at least float32; 0 if the mask admits fewer than two rows.

    Raises:
        ArgumentError: if the numbers of rows differ, or the mask does not fit.

    Knowledge: relations between samples.
    Cost: O(B² D) operations, O(B²) memory.

    Example:
        >>> student, teacher = torch.tensor([[0.0], [1.0], [2.0]]), torch.tensor([[0.0], [4.0], [5.0]])
        >>> rkd_distance(student, teacher), rkd_distance(10 * teacher + 3, teacher)
        (tensor(0.0675), tensor(0.))

    Park, Kim, Lu and Cho, 2019, "Relational Knowledge Distillation", arXiv:1904.05068.
    """
    student, teacher = as_vectors("rkd_distance", student, teacher, mask)
    pairs = None
    if mask is not None:
        first, second = torch.triu_indices(len(mask), len(mask), 1, device=mask.device)
        pairs = mask[first] & mask[second]
    student, teacher = _relative_distances(student, pairs), _relative_distances(teacher, pairs)
    if pairs is None and len(student) > 0:
        return F.smooth_l1_loss(student, teacher)
    # Masked pairs are 0 on both sides.
    return F.smooth_l1_loss(student, teacher, reduction="sum") / count_admitted(pairs, teacher)


def _relative_distances(rows: Tensor, pairs: Tensor | None) -> Tensor:
    distances = _distances(rows)
    if pairs is None:
        mean = distances.mean()
    else:
        distances = distances * pairs
        mean = distances.sum() / count_admitted(pairs, distances)
    return distances / (mean + _TINY)


def _distances(rows: Tensor) -> Tensor:
    # PyTorch's gradient is faster for short rows, but crashes the process if there is no pair.
    if rows.shape[1] <= _SHORT_ROW and len(rows) > 1:
        return F.pdist(rows)
    distances: Tensor = _Distances.apply(rows)
    return distances


class _Distances(torch.autograd.Function):
    # Distances by inner products lose precision where rows are close together, and PyTorch's gradient of pdist takes
    # several times as long as two matrix products.
    @staticmethod
    def forward(ctx: Any, rows: Tensor) -> Tensor:
        distances = F.pdist(rows)
        ctx.save_for_backward(rows, distances)
        return distances

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        rows, distances = ctx.saved_tensors
        weights = _symmetric(gradient / distances.masked_fill(distances == 0, math.inf), rows)
        rows = rows - rows.mean(dim=0)
        return torch.addmm(rows * weights.sum(dim=1, keepdim=True), weights, rows, alpha=-1)


def rkd_angle(student: Tensor, teacher: Tensor, mask: Tensor | None = None) -> Tensor:
    """Huber loss between the cosines of the angles that three rows form, averaged over the triples.

    mean over triples of distinct i, j, k of ℓ(ψ(s_i, s_j, s_k), ψ(t_i, t_j, t_k)), with ψ(a_i, a_j, a_k) the cosine of
    the angle at a_j between the directions to a_i and a_k, and ℓ as in `rkd_distance`. The paper sums over the triples;
    this function takes the mean. Equal rows have no direction between them: their cosines are 0, with a gradient of 0.
    Time grows with B³ D; memory is bounded by blocks, which are recomputed for the gradient.

    Args:
        student: features `[B, …]`, flattened to vectors; float16 and bfloat16 inputs are computed in float32.
        teacher: features `[B, …]` of any size.
        mask: boolean `[B]`, the rows whose triples count; all if None.

    Returns:
        One number, 0-d, in at least float32; 0 if the mask admits fewer than three rows.

    Raises:
        ArgumentError: if the numbers of rows differ, or the mask does not fit.

    Knowledge: relations between samples.
    Cost: O(B³ D) operations, O(B² + B D) memory, and blocks of at most 2²³ elements.

    Example:
        >>> right = torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
        >>> straight = torch.tensor([[0.0, 0.0], [1.0, 0.0], [2.0, 0.0]])
        >>> rkd_angle(right, straight), rkd_angle(4 * right, right)
        (tensor(0.5833), tensor(0.))

    Park, Kim, Lu and Cho, 2019, "Relational Knowledge Distillation", arXiv:1904.05068.
    """
    student, teacher = as_vectors("rkd_angle", student, teacher, mask)
    student_inverse, teacher_inverse = _inverse_distances(student, mask), _inverse_distances(teacher, mask)

    def at_vertices(start: int, stop: int) -> Tensor:
        first, second = _cosines(student, student_inverse, start, stop), _cosines(teacher, teacher_inverse, start, stop)
        total = F.smooth_l1_loss(first, second, reduction="sum")
        # Cosines with an equal row or a masked row are 0 on both sides; those with i = k are subtracted again.
        first, second = first.diagonal(dim1=1, dim2=2), second.diagonal(dim1=1, dim2=2)
        return total - F.smooth_l1_loss(first, second, reduction="sum")

    rows = len(student)
    total = sum_over_blocks(at_vertices, rows, rows * max(rows, student.shape[1], teacher.shape[1]))
    count = count_admitted(mask, teacher)
    triples = count * (count - 1) * (count - 2)
    return total / (triples + (triples == 0))


def _inverse_distances(rows: Tensor, mask: Tensor | None) -> Tensor:
    """`[B, B]`; 0 between equal rows and for masked rows."""
    distances: Tensor = _Distances.apply(rows)
    inverse = _symmetric(distances.masked_fill(distances == 0, math.inf).reciprocal(), rows)
    return inverse if mask is None else inverse * (mask & mask[:, None])


def _cosines(rows: Tensor, inverse: Tensor, start: int, stop: int) -> Tensor:
    """`[stop − start, B, B]`: for each of these vertices, the cosines between the directions to any two rows."""
    directions = (rows - row_slice(rows, start, stop)[:, None]) * row_slice(inverse, start, stop)[:, :, None]
    return directions @ directions.mT


def _symmetric(pairs: Tensor, rows: Tensor) -> Tensor:
    """The symmetric matrix `[B, B]` of the values of the pairs i < j, in this order, with a diagonal of 0."""
    upper = pairs.new_zeros(len(rows), len(rows)).masked_scatter(_above_diagonal(rows), pairs)
    return upper + upper.T


def _above_diagonal(rows: Tensor) -> Tensor:
    return torch.ones(len(rows), len(rows), dtype=torch.bool, device=rows.device).triu_(1)


@register("loss", "rkd_distance")
class RKDDistance(nn.Module):
    """Module for `limbeck.functional.rkd_distance`, without settings.

    Example:
        >>> import torch
        >>> RKDDistance()(torch.tensor([[0.0], [1.0], [2.0]]), torch.tensor([[0.0], [4.0], [5.0]]))
        tensor(0.0675)
    """

    relational: ClassVar[bool] = True

    def __init__(self) -> None:
        super().__init__()

    def forward(self, student: Tensor, teacher: Tensor, mask: Tensor | None = None) -> Tensor:
        return rkd_distance(student, teacher, mask)


@register("loss", "rkd_angle")
class RKDAngle(nn.Module):
    """Module for `limbeck.functional.rkd_angle`, without settings.

    Example:
        >>> import torch
        >>> right, straight = torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]]), torch.tensor([[0.0], [1.0], [2.0]])
        >>> RKDAngle()(right, straight)
        tensor(0.5833)
    """

    relational: ClassVar[bool] = True

    def __init__(self) -> None:
        super().__init__()

    def forward(self, student: Tensor, teacher: Tensor, mask: Tensor | None = None) -> Tensor:
        return rkd_angle(student, teacher, mask)
