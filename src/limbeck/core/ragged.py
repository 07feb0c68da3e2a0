"""Rows of unequal lengths in one tensor."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, overload

import torch
from torch import Tensor

from limbeck.errors import ArgumentError

__all__ = ["Ragged"]


@dataclass(frozen=True, eq=False)
class Ragged:
    """Rows of unequal lengths: their values one after the other, and where each row begins.

    Row i is ``values[offsets[i]:offsets[i + 1]]``. A batch may hold it wherever it may hold a tensor: it is moved to
    devices, cast, masked and split into micro-batches row by row.

    Args:
        values: ``[N, *]``.
        offsets: int64 ``[B + 1]``, ascending from 0 to N.

    Raises:
        ArgumentError: if the shapes or types are others, or the offsets do not ascend from 0 to N. The values of the
            offsets are checked on a CPU only: on another device that would wait for it.

    >>> boxes = Ragged.of([torch.zeros(2, 4), torch.ones(0, 4), torch.ones(3, 4)])
    >>> len(boxes), boxes.lengths.tolist(), boxes[2].shape
    (3, [2, 0, 3], torch.Size([3, 4]))
    >>> boxes[1:].offsets
    tensor([0, 0, 3])
    """

    values: Tensor
    offsets: Tensor

    def __post_init__(self) -> None:
        values, offsets = self.values, self.offsets
        if offsets.ndim != 1 or not len(offsets) or offsets.dtype != torch.int64:
            raise ArgumentError(
                f"Ragged: the offsets are {offsets.dtype} {list(offsets.shape)}; expected torch.int64 [B + 1], one "
                "more than there are rows",
                code="wrong_shape",
                path="offsets",
            )
        if not values.ndim or values.device != offsets.device:
            raise ArgumentError(
                f"Ragged: the values have shape {list(values.shape)} on {values.device}, the offsets are on "
                f"{offsets.device}; expected values [N, *] on the same device",
                code="wrong_shape",
                path="values",
            )
        if offsets.device.type == "cpu" and not torch.compiler.is_compiling():
            _check_offsets(offsets, len(values))

    @classmethod
    def of(cls, rows: Sequence[Tensor]) -> Ragged:
        """Collate rows ``[L_i, *]``.

        Raises:
            ArgumentError: if there is no row, or the rows differ in more than their first axis.
        """
        if not rows:
            raise ArgumentError(
                "Ragged.of needs at least one row; for a batch without rows give values and offsets",
                code="missing",
                path="rows",
            )
        if len({row.shape[1:] if row.ndim else None for row in rows}) > 1 or not rows[0].ndim:
            raise ArgumentError(
                f"Ragged.of: the rows have shapes {[list(row.shape) for row in rows]}; expected [L, *] with one length "
                "L for each and all other axes equal",
                code="wrong_shape",
                path="rows",
            )
        lengths = torch.tensor([len(row) for row in rows], device=rows[0].device)
        return cls(torch.cat(list(rows)), _from_lengths(lengths))

    @classmethod
    def cat(cls, parts: Sequence[Ragged]) -> Ragged:
        """The rows of all parts, in this order."""
        lengths = torch.cat([part.lengths for part in parts])
        return cls(torch.cat([part.values for part in parts]), _from_lengths(lengths))

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def lengths(self) -> Tensor:
        """int64 ``[B]``."""
        return self.offsets.diff()

    @property
    def rows(self) -> Tensor:
        """The row of each value, int64 ``[N]``."""
        return torch.arange(len(self), device=self.offsets.device).repeat_interleave(
            self.lengths, output_size=len(self.values)
        )

    @overload
    def __getitem__(self, rows: int) -> Tensor: ...

    @overload
    def __getitem__(self, rows: slice | Tensor) -> Ragged: ...

    def __getitem__(self, rows: int | slice | Tensor) -> Tensor | Ragged:
        """One row ``[L, *]``; or those that a slice, row numbers or a boolean mask ``[B]`` selects."""
        if isinstance(rows, int):
            return self.values[int(self.offsets[:-1][rows]) : int(self.offsets[1:][rows])]
        if isinstance(rows, slice) and rows.step in (None, 1):
            start, stop, _ = rows.indices(len(self))
            offsets = self.offsets[start : max(start, stop) + 1]
            return Ragged(self.values[int(offsets[0]) : int(offsets[-1])], offsets - offsets[0])
        numbers = torch.arange(len(self), device=self.offsets.device)[rows]
        offsets = _from_lengths(self.lengths[numbers])
        lengths = offsets.diff()
        positions = torch.arange(int(offsets[-1]), device=offsets.device)
        starts = (self.offsets[numbers] - offsets[:-1]).repeat_interleave(lengths, output_size=len(positions))
        return Ragged(self.values[positions + starts], offsets)

    def __iter__(self) -> Iterator[Tensor]:
        return iter(torch.split(self.values, self.lengths.tolist()))

    def chunk(self, parts: int) -> tuple[Ragged, ...]:
        """The rows in so many parts, cut where `torch.Tensor.chunk` cuts a tensor of as many rows."""
        size = max(-(-len(self) // parts), 1)
        return tuple(self[start : start + size] for start in range(0, max(len(self), 1), size))

    def map(self, change: Callable[..., Tensor], *arguments: Any) -> Ragged:
        """The same rows with other values, as many; the offsets follow them to their device."""
        values = change(self.values, *arguments)
        return Ragged(values, self.offsets.to(values.device, non_blocking=True))

    def to(self, *arguments: Any, **options: Any) -> Ragged:
        """The rows as `torch.Tensor.to` moves and casts their values."""
        return self.map(lambda values: values.to(*arguments, **options))

    def where(self, mask: Tensor, other: float) -> Ragged:
        """The values of the rows in the mask ``[B]``; ``other`` in place of those of the other rows."""
        chosen = mask.repeat_interleave(self.lengths, output_size=len(self.values))
        return self.map(lambda values: values.where(chosen.view(-1, *(1,) * (values.ndim - 1)), other))

    def padded(self, filler: float = 0) -> tuple[Tensor, Tensor]:
        """The rows filled up to the longest: ``[B, L, *]``, and the mask ``[B, L]`` of what is a value.

        >>> Ragged.of([torch.tensor([1, 2]), torch.tensor([3])]).padded(-1)
        (tensor([[ 1,  2],
                [ 3, -1]]), tensor([[ True,  True],
                [ True, False]]))
        """
        lengths = self.lengths
        longest = int(lengths.max()) if len(self) else 0
        mask = torch.arange(longest, device=lengths.device) < lengths[:, None]
        with_full_batches = self.values.new_full((*mask.shape, *self.values.shape[1:]), filler)
        with_full_batches[mask] = self.values
        return with_full_batches, mask


def _check_offsets(offsets: Tensor, count: int) -> None:
    ends = offsets.tolist()
    if ends[0] != 0 or ends[-1] != count:
        raise ArgumentError(
            f"Ragged: the offsets run from {ends[0]} to {ends[-1]} and there are {count} values; expected 0 to {count}",
            path="offsets",
        )
    falling = next((row for row, (start, end) in enumerate(pairwise(ends)) if end < start), None)
    if falling is not None:
        raise ArgumentError(
            f"Ragged: the offsets fall from {ends[falling]} to {ends[falling + 1]} at row {falling}; expected them to "
            "ascend",
            path="offsets",
        )


def _from_lengths(lengths: Tensor) -> Tensor:
    return torch.cat([lengths.new_zeros(1), lengths.cumsum(0)])
