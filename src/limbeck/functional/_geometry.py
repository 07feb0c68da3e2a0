"""Losses between the distances and angles that the rows of a batch form."""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from limbeck.functional._pairs import number_of, part, sum_over_blocks, vectors

__all__ = ["rkd_angle", "rkd_distance"]

# Added to a mean distance: no other number changes, and 0 divides.
_tiny = 1e-30
# At most so many features make a short row.
_short = 128


def rkd_distance(student: Tensor, teacher: Tensor, mask: Tensor | None = None) -> Tensor:
    """Huber loss between the rows' distances in units of their mean, averaged over the pairs.

    mean over pairs i ≠ j of ℓ(ψ(s_i, s_j), ψ(t_i, t_j)), with ψ(a_i, a_j) = ‖a_i − a_j‖ / μ, μ the mean of
    ‖a_i − a_j‖ over the same pairs, and ℓ(x, y) = (x − y)² / 2 where |x − y| ≤ 1, else |x − y| − 1/2. The paper sums
    over the pairs; here and in published code it is the mean. Pairs are of distinct rows, as in the paper. If all rows
    are equal, ψ is 0; where two rows are equal, their distance has the gradient 0.

    Args:
        student: features `[B, …]`, taken as vectors; float16 and bfloat16 are computed in float32.
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
    student, teacher = vectors("rkd_distance", student, teacher, mask)
    pairs = None
    if mask is not None:
        first, second = torch.triu_indices(len(mask), len(mask), 1, device=mask.device)
        pairs = mask[first] & mask[second]
    student, teacher = _relative_distances(student, pairs), _relative_distances(teacher, pairs)
    if pairs is None and len(student) > 0:
        return F.smooth_l1_loss(student, teacher)
    # Pairs that are left out are 0 in both.
    return F.smooth_l1_loss(student, teacher, reduction="sum") / number_of(pairs, teacher)


def _relative_distances(rows: Tensor, pairs: Tensor | None) -> Tensor:
    distances = _distances(rows)
    if pairs is None:
        mean = distances.mean()
    else:
        distances = distances * pairs
        mean = distances.sum() / number_of(pairs, distances)
    return distances / (mean + _tiny)


def _distances(rows: Tensor) -> Tensor:
    # torch's own gradient is the faster one of short rows; of no pair at all, it ends the process.
    if rows.shape[1] <= _short and len(rows) > 1:
        return F.pdist(rows)
    distances: Tensor = _Distances.apply(rows)
    return distances


class _Distances(torch.autograd.Function):
    # Distances by inner products cancel where rows lie close together, and torch's own gradient of the others takes
    # several times as long as two matrix products.
    @staticmethod
    def forward(ctx: Any, rows: Tensor) -> Tensor:
        distances = F.pdist(rows)
        ctx.save_for_backward(rows, distances)
        return distances

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        rows, distances = ctx.saved_tensors
        pull = _symmetric(gradient / distances.masked_fill(distances == 0, math.inf), rows)
        rows = rows - rows.mean(dim=0)
        return torch.addmm(rows * pull.sum(dim=1, keepdim=True), pull, rows, alpha=-1)


def rkd_angle(student: Tensor, teacher: Tensor, mask: Tensor | None = None) -> Tensor:
    """Huber loss between the cosines of the angles that three rows form, averaged over the triples.

    mean over triples of distinct i, j, k of ℓ(ψ(s_i, s_j, s_k), ψ(t_i, t_j, t_k)), with ψ(a_i, a_j, a_k) the cosine of
    the angle at a_j between the directions to a_i and a_k, and ℓ as in `rkd_distance`. The paper sums over the triples;
    here it is the mean. Between equal rows there is no direction: their cosines are 0, with the gradient 0. Time grows
    with B³ D; memory is bounded by blocks, each computed again for the gradient.

    Args:
        student: features `[B, …]`, taken as vectors; float16 and bfloat16 are computed in float32.
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
    student, teacher = vectors("rkd_angle", student, teacher, mask)
    ours, theirs = _inverse_distances(student, mask), _inverse_distances(teacher, mask)

    def at_vertices(start: int, stop: int) -> Tensor:
        first, second = _cosines(student, ours, start, stop), _cosines(teacher, theirs, start, stop)
        total = F.smooth_l1_loss(first, second, reduction="sum")
        # Cosines with an equal, or a left out, row are 0 in both; those with i = k are taken off again.
        first, second = first.diagonal(dim1=1, dim2=2), second.diagonal(dim1=1, dim2=2)
        return total - F.smooth_l1_loss(first, second, reduction="sum")

    rows = len(student)
    total = sum_over_blocks(at_vertices, rows, rows * max(rows, student.shape[1], teacher.shape[1]))
    count = number_of(mask, teacher)
    triples = count * (count - 1) * (count - 2)
    return total / (triples + (triples == 0))


def _inverse_distances(rows: Tensor, mask: Tensor | None) -> Tensor:
    """`[B, B]`; 0 between equal rows, and where the mask leaves one out."""
    distances: Tensor = _Distances.apply(rows)
    inverse = _symmetric(distances.masked_fill(distances == 0, math.inf).reciprocal(), rows)
    return inverse if mask is None else inverse * (mask & mask[:, None])


def _cosines(rows: Tensor, inverse: Tensor, start: int, stop: int) -> Tensor:
    """`[stop − start, B, B]`: at each of these vertices, between the directions to any two rows."""
    directions = (rows - part(rows, start, stop)[:, None]) * part(inverse, start, stop)[:, :, None]
    return directions @ directions.mT


def _symmetric(pairs: Tensor, rows: Tensor) -> Tensor:
    """`[B, B]` with the values of the pairs i < j, in this order, on both sides of a diagonal of 0."""
    upper = pairs.new_zeros(len(rows), len(rows)).masked_scatter(_above_diagonal(rows), pairs)
    return upper + upper.T


def _above_diagonal(rows: Tensor) -> Tensor:
    return torch.ones(len(rows), len(rows), dtype=torch.bool, device=rows.device).triu_(1)
