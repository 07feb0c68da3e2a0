"""What the losses between samples share: rows as vectors, masks, directions, and sums over blocks of rows."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from limbeck.errors import ArgumentError
from limbeck.functional._checks import shape
from limbeck.functional._precision import at_least_float32
from limbeck.functional._unit import unit

__all__ = ["number_of", "part", "sum_over_blocks", "unit", "values_over_blocks", "vectors"]

# The largest tensor of one block: 32 MiB in float32.
_block_elements = 2**23


def vectors(operation: str, student: Tensor, teacher: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor]:
    """Student and teacher as `[B, D]` in at least float32, 0 in rows that the mask leaves out.

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
            f"{operation}: student is {student.dtype} and teacher {teacher.dtype}, expected floating features for "
            f"both; cast them by .float()"
        )
    if mask is not None and (mask.shape != student.shape[:1] or mask.dtype != torch.bool):
        raise ArgumentError(
            f"{operation}: the mask is {mask.dtype} of shape {shape(mask)}, expected torch.bool of shape "
            f"[{len(student)}], one value for each row"
        )
    return _admitted(student, mask), _admitted(teacher, mask)


def _admitted(features: Tensor, mask: Tensor | None) -> Tensor:
    rows = at_least_float32(features).flatten(1)
    return rows if mask is None else rows.masked_fill(~mask[:, None], 0)


def number_of(mask: Tensor | None, like: Tensor) -> Tensor | float:
    """How many the mask admits, 0-d, in the precision of `like`; without one, how many rows `like` has. At least 1."""
    if mask is None:
        return float(max(len(like), 1))
    return mask.sum(dtype=like.dtype).clamp(min=1)


def part(rows: Tensor, start: int, stop: int) -> Tensor:
    """The rows from start to stop, without a step in the graph where these are all."""
    return rows if stop - start == len(rows) else rows[start:stop]


def sum_over_blocks(of_rows: Callable[[int, int], Tensor], rows: int, elements: int) -> Tensor:
    """The sum of `of_rows(start, stop)`, 0-d, over consecutive blocks of rows.

    Args:
        of_rows: the sum over the rows from start to stop, 0-d; a clone of what torch's losses return, for that keeps
            the storage of all that it is the sum of.
        rows: the number of rows.
        elements: the largest number of elements that a row needs at once. Where all rows together need more than
            2²³, blocks hold no more than that (but at least one row), and are computed again for the gradient.

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
