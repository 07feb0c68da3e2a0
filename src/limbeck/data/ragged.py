"""Rows of unequal lengths."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Self

import torch
from torch import Tensor

__all__ = ["Ragged", "laid", "spread"]


@dataclass(frozen=True, eq=False)
class Ragged:
    """The values of all rows, one row after the other.

    Args:
        values: `[S]`.
        ends: int64 `[N + 1]`: row n stands from ends[n] to ends[n + 1].

    >>> rows = Ragged.of([[1, 2, 3], [], [4]])
    >>> rows.padded(torch.tensor([2, 0]), -1).tolist()
    [[4, -1, -1], [1, 2, 3]]
    """

    values: Tensor
    ends: Tensor

    @classmethod
    def of(cls, rows: Sequence[Sequence[int]], dtype: torch.dtype = torch.int64) -> Self:
        """These rows."""
        ends = torch.tensor([0, *map(len, rows)]).cumsum(0)
        return cls(torch.tensor(list(chain.from_iterable(rows)), dtype=dtype), ends)

    @classmethod
    def concat(cls, parts: Sequence[Ragged]) -> Self:
        """The rows of all parts."""
        lengths = torch.cat([torch.zeros(1, dtype=torch.int64), *(part.lengths for part in parts)])
        return cls(torch.cat([part.values for part in parts]), lengths.cumsum(0))

    def __len__(self) -> int:
        return len(self.ends) - 1

    @property
    def lengths(self) -> Tensor:
        """int64 `[N]`."""
        return self.ends.diff()

    @property
    def row(self) -> Tensor:
        """int64 `[S]`: the row of each value."""
        return torch.arange(len(self)).repeat_interleave(self.lengths)

    def subset(self, rows: Tensor) -> Ragged:
        """These rows (int64 `[B]`) only, in this order."""
        lengths = self.lengths[rows]
        ends = torch.cat([torch.zeros(1, dtype=torch.int64), lengths.cumsum(0)])
        within = torch.arange(int(ends[-1])) - ends[:-1].repeat_interleave(lengths)
        return Ragged(self.values[self.ends[rows].repeat_interleave(lengths) + within], ends)

    def padded(self, rows: Tensor, filler: int, *, least: int = 1) -> Tensor:
        """These rows (int64 `[B]`), filled up to the longest of them, or to the least length: `[B, L]`."""
        position, real = spread(self.ends, rows, least=least)
        return laid(self.values, position, real, filler)


def spread(ends: Tensor, rows: Tensor, *, least: int = 1, left: bool = False) -> tuple[Tensor, Tensor]:
    """Where the values of some rows stand when these are filled up to the longest of them.

    Args:
        ends: as `Ragged` has them.
        rows: int64 `[B]`.
        least: the smallest length.
        left: fill up on the left.

    Returns:
        For each place of `[B, L]` the number of its value, and whether there is one; 0 where there is none.
    """
    lengths = ends.diff()[rows]
    longest = max(least, int(lengths.max()) if len(rows) else 0)
    position = torch.arange(longest).expand(len(rows), -1)
    if left:
        position = position - (longest - lengths)[:, None]
    real = (position >= 0) & (position < lengths[:, None])
    return torch.where(real, ends[rows][:, None] + position, 0), real


def laid(values: Tensor, position: Tensor, real: Tensor, filler: int) -> Tensor:
    """The values `[S]` at positions that `spread` gives: int64 `[B, L]`."""
    found = values[position].long() if len(values) else torch.zeros_like(position)
    return torch.where(real, found, filler)
