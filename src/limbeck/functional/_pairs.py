"""What the losses between samples share: rows as vectors, masks, directions, and blocks of rows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from limbeck.errors import ArgumentError
from limbeck.functional._checks import shape
from limbeck.functional._precision import at_least_float32

__all__ = ["admitted", "number_of", "sum_over_blocks", "unit", "values_over_blocks", "vectors"]

# The largest tensor of one block: 64 MiB in float32.
_block_elements = 2**24


def vectors(operation: str, student: Tensor, teacher: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
    """Student and teacher as `[B, D]` in at least float32, 0 in rows that the mask leaves out; and the mask.

    Raises:
        ArgumentError: if these are not floating tensors with the same rows, or the mask is not boolean `[B]`.
    """
    if student.ndim < 2 or teacher.ndim < 2 or len(student) != len(teacher):
        raise ArgumentError(
            f"{operation}: student has shape {shape(student)} and teacher {shape(teacher)}, expected [B, …] with at "
            f"least two axes and the same B for both; give both the same rows"
        )
    if not (student.is_floating_point() and teacher.is_floating_point()):
        raise ArgumentError(
            f"{operation}: student is {student.dtype} and teacher {teacher.dtype}, expected floating features for both"
        )
    if mask is None:
        mask = torch.ones(len(student), dtype=torch.bool, device=student.device)
    elif mask.shape != student.shape[:1] or mask.dtype != torch.bool:
        raise ArgumentError(
            f"{operation}: the mask is {mask.dtype} of shape {shape(mask)}, expected torch.bool of shape "
            f"[{len(student)}], one value for each row"
        )
    return admitted(student, mask), admitted(teacher, mask), mask


def admitted(features: Tensor, mask: Tensor) -> Tensor:
    """The rows as `[B, D]` in at least float32, 0 where the mask is false."""
    return at_least_float32(features).flatten(1).masked_fill(~mask[:, None], 0)


def number_of(mask: Tensor, like: Tensor) -> Tensor:
    """How many the mask admits, at least 1, as a 0-d tensor of the precision of `like`."""
    return mask.sum(dtype=like.dtype).clamp(min=1)


def unit(rows: Tensor) -> Tensor:
    """The vectors on the last axis at length 1; those of length 0 stay 0, and get the gradient 0."""
    directions, _ = _Unit.apply(rows)
    found: Tensor = directions
    return found


class _Unit(torch.autograd.Function):
    # By torch's own operations, this takes half as long again, and a second gradient at 0 is NaN.
    @staticmethod
    def forward(ctx: Any, rows: Tensor) -> tuple[Tensor, Tensor]:
        length = torch.linalg.vector_norm(rows, dim=-1, keepdim=True)
        longer = length > 0
        inverse = longer / length.where(longer, 1)
        directions = rows * inverse
        ctx.save_for_backward(directions, inverse)
        ctx.set_materialize_grads(False)
        return directions, inverse

    @staticmethod
    def backward(ctx: Any, of_directions: Tensor | None, of_inverse: Tensor | None) -> Tensor | None:
        directions, inverse = ctx.saved_tensors
        found = None
        if of_directions is not None:
            along = (of_directions * directions).sum(dim=-1, keepdim=True)
            found = (of_directions - directions * along) * inverse
        if of_inverse is not None:
            shorter = directions * (of_inverse * inverse.square())
            found = -shorter if found is None else found - shorter
        return found


def sum_over_blocks(of_rows: Callable[[int, int], Tensor], rows: int, elements: int) -> Tensor:
    """The sum of `of_rows(start, stop)`, 0-d, over consecutive blocks of rows.

    Args:
        of_rows: the sum over the rows from start to stop, 0-d.
        rows: the number of rows.
        elements: the largest number of elements that a row needs at once. Where all rows together need more than
            2²⁴, blocks hold no more than that (but at least one row), and are computed again for the gradient.

    Returns:
        The sum, 0-d.
    """
    parts = _over_blocks(of_rows, rows, elements)
    return parts[0] if len(parts) == 1 else torch.stack(parts).sum()


def values_over_blocks(of_rows: Callable[[int, int], Tensor], rows: int, elements: int) -> Tensor:
    """The values of all rows, `[rows]`, where `of_rows(start, stop)` gives those from start to stop.

    Blocks are those of `sum_over_blocks`.
    """
    parts = _over_blocks(of_rows, rows, elements)
    return parts[0] if len(parts) == 1 else torch.cat(parts)


def _over_blocks(of_rows: Callable[[int, int], Tensor], rows: int, elements: int) -> list[Tensor]:
    block = max(_block_elements // max(elements, 1), 1)
    if rows <= block:
        return [of_rows(0, rows)]
    parts = []
    for start in range(0, rows, block):
        stop = min(start + block, rows)
        part: Tensor = checkpoint(of_rows, start, stop, use_reentrant=False, preserve_rng_state=False)
        parts.append(part)
    return parts
