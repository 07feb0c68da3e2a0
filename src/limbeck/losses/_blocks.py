"""Sums and values over blocks of rows, which bound the memory of a loss."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

__all__ = ["block_limit", "row_slice", "sum_over_blocks", "values_over_blocks"]

# The number of elements of the largest tensor of a block: 32 MiB in float32.
_limit = 2**23


@contextmanager
def block_limit(elements: int) -> Iterator[None]:
    """Limit blocks to this many elements inside the ``with`` statement."""
    global _limit
    before, _limit = _limit, elements
    try:
        yield
    finally:
        _limit = before


def row_slice(rows: Tensor, start: int, stop: int) -> Tensor:
    """The rows from start to stop, without a node in the autograd graph if these are all rows."""
    return rows if stop - start == len(rows) else rows[start:stop]


def sum_over_blocks(of_rows: Callable[[int, int], Tensor], rows: int, elements: int) -> Tensor:
    """The sum of `of_rows(start, stop)`, 0-d, over consecutive blocks of rows.

    Args:
        of_rows: the sum over the rows from start to stop, 0-d. Clone a result of PyTorch's reduced losses, which keeps
            the storage of all summands.
        rows: the number of rows.
        elements: the number of elements of the largest tensor that a row needs. If all rows together need more than 2²³
            elements, they are split into blocks of at most that size (but at least one row), which are recomputed for
            the gradient.

    Returns:
        The sum, 0-d.
    """
    parts = _over_blocks(of_rows, rows, elements)
    return parts[0] if len(parts) == 1 else torch.stack(parts).sum()


def values_over_blocks(of_rows: Callable[[int, int], Tensor], rows: int, elements: int) -> Tensor:
    """The values of all rows, `[rows]`, where `of_rows(start, stop)` returns those from start to stop.

    Blocks have the same size as in `sum_over_blocks`.
    """
    parts = _over_blocks(of_rows, rows, elements)
    return parts[0] if len(parts) == 1 else torch.cat(parts)


def _over_blocks(of_rows: Callable[[int, int], Tensor], rows: int, elements: int) -> list[Tensor]:
    block = max(_limit // max(elements, 1), 1)
    if rows <= block:
        return [of_rows(0, rows)]
    parts = []
    for start in range(0, rows, block):
        stop = min(start + block, rows)
        values: Tensor = checkpoint(of_rows, start, stop, use_reentrant=False, preserve_rng_state=False)
        parts.append(values)
    return parts
