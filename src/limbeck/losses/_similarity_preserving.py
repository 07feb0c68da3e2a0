"""A loss between the normalized similarities of the rows of a batch."""

from __future__ import annotations

from typing import ClassVar

import torch.nn.functional as F
from torch import Tensor, nn

from limbeck.losses._blocks import row_slice, sum_over_blocks
from limbeck.losses._rows import as_vectors, count_admitted
from limbeck.losses._unit import unit_vectors
from limbeck.registry import register

__all__ = ["SimilarityPreserving", "similarity_preserving"]


def similarity_preserving(student: Tensor, teacher: Tensor, mask: Tensor | None = None) -> Tensor:
    """Squared difference of the rows' normalized similarities, averaged over the pairs.

    (1 / B²) ‖G(teacher) − G(student)‖²_F, where row i of G(A) is the row of inner products A_i · A_j over all j,
    divided by its length. Pairs of a row with itself count, as in the paper. A row of zeros has similarities 0.

    Args:
        student: features or maps `[B, …]`, flattened to vectors; float16 and bfloat16 inputs are computed in float32.
        teacher: features or maps `[B, …]` of any size.
        mask: boolean `[B]`, the rows whose pairs count; all if None. With a mask, B is the number of these rows.

    Returns:
        One number, 0-d, in at least float32; 0 if the mask admits no row.

    Raises:
        ArgumentError: if the numbers of rows differ, or the mask does not fit.

    Knowledge: relations between samples.
    Cost: O(B² D) operations, O(B) memory, and blocks of at most 2²³ elements.

    Example:
        >>> import torch
        >>> student, teacher = torch.tensor([[1.0, 0.0], [1.0, 0.0]]), torch.tensor([[1.0, 0.0], [0.0, 1.0]])
        >>> similarity_preserving(student, teacher), similarity_preserving(2 * student, student)
        (tensor(0.2929), tensor(0.))

    Tung and Mori, 2019, "Similarity-Preserving Knowledge Distillation", arXiv:1907.09682.
    """
    student, teacher = as_vectors("similarity_preserving", student, teacher, mask)

    def of_rows(start: int, stop: int) -> Tensor:
        of_student, of_teacher = (unit_vectors(row_slice(rows, start, stop) @ rows.T) for rows in (student, teacher))
        return F.mse_loss(of_student, of_teacher, reduction="sum").clone()

    # Masked rows are 0, and so are all their similarities.
    return sum_over_blocks(of_rows, len(student), len(student)) / count_admitted(mask, teacher) ** 2


@register("loss", "similarity_preserving")
class SimilarityPreserving(nn.Module):
    """Module for `limbeck.functional.similarity_preserving`, without settings.

    Example:
        >>> import torch
        >>> SimilarityPreserving()(torch.tensor([[1.0], [1.0]]), torch.eye(2))
        tensor(0.2929)
    """

    relational: ClassVar[bool] = True

    def __init__(self) -> None:
        super().__init__()

    def forward(self, student: Tensor, teacher: Tensor, mask: Tensor | None = None) -> Tensor:
        return similarity_preserving(student, teacher, mask)
