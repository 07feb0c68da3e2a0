"""Linear centred kernel alignment: the similarity of two representations of the same rows."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from limbeck.losses._rows import as_vectors, count_admitted

__all__ = ["linear_cka", "linear_ckas"]

# In units of the rounding error of the largest feature: smaller deviations are rounding errors of the means.
_ROUNDINGS = 8


def linear_cka(student: Tensor, teacher: Tensor, mask: Tensor | None = None) -> Tensor:
    """Centred kernel alignment with a linear kernel: how similar two representations of the same rows are.

    ‖Yᵀ X‖²_F / (‖Xᵀ X‖_F ‖Yᵀ Y‖_F), where X and Y hold the rows of student and teacher, with the mean of each column
    subtracted. It is computed from the products of columns or, where that takes fewer operations, from those of rows.

    Args:
        student: features `[N, …]`, flattened to vectors; float16 and bfloat16 inputs are computed in float32.
        teacher: features `[N, …]` of any size.
        mask: boolean `[N]`, the rows that count; all if None.

    Returns:
        One number from 0 to 1, 0-d, in at least float32; it does not change when either side is rotated, shifted, or
        scaled as a whole. It is 0 where all rows of a side are equal and the quotient is undefined.

    Raises:
        ArgumentError: if the numbers of rows differ, or the mask does not fit.

    Cost: O(N D min(N, D)) operations, O(N D + min(N, D)²) memory.

    Example:
        >>> import torch
        >>> student, teacher = torch.eye(3), torch.tensor([[1.0], [0.0], [0.0]])
        >>> linear_cka(student, teacher), linear_cka(teacher, 2 * teacher + 1)
        (tensor(0.7071), tensor(1.))

    Kornblith, Norouzi, Lee and Hinton, 2019, "Similarity of Neural Network Representations Revisited",
    arXiv:1905.00414.
    """
    return linear_ckas([student], [teacher], mask)[0, 0]


def linear_ckas(students: Sequence[Tensor], teachers: Sequence[Tensor], mask: Tensor | None = None) -> Tensor:
    """The similarity of each of S representations to each of T, `[S, T]`, as by `linear_cka`."""
    rows = [_scaled(as_vectors("linear_cka", layer, teachers[0], mask)[0], mask) for layer in students]
    columns = [_scaled(as_vectors("linear_cka", students[0], layer, mask)[1], mask) for layer in teachers]
    return torch.stack([torch.stack([_squared_product(x, y) for y in columns]) for x in rows])


def _scaled(rows: Tensor, mask: Tensor | None) -> Tensor:
    """The rows with columns of mean 0, scaled so that ‖Xᵀ X‖_F is 1, or 0 for equal rows."""
    rounding = _ROUNDINGS * torch.finfo(rows.dtype).eps * rows.abs().amax()
    rows = rows - rows.sum(dim=0) / count_admitted(mask, rows)
    if mask is not None:
        rows = rows.masked_fill(~mask[:, None], 0)
    largest = rows.abs().amax()
    equal = largest <= rounding
    # Scale to about 1 first, because fourth powers of large features overflow. The factor cancels.
    rows = rows * (~equal / largest.masked_fill(equal, 1)).detach()
    square = _squared_product(rows, rows)
    return rows / square.masked_fill(equal, 1) ** 0.25


def _squared_product(x: Tensor, y: Tensor) -> Tensor:
    """‖Yᵀ X‖²_F, by the product that takes fewer operations."""
    if x.shape[1] * y.shape[1] <= len(x) * (x.shape[1] + y.shape[1]):
        return (y.T @ x).square().sum()
    return ((x @ x.T) * (y @ y.T)).sum()
